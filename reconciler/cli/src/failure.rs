//! Why a command failed, for people on stderr and for programs by exit code.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use reconciler_api::client::ClientError;
use reconciler_api::v1::Phase;
use reconciler_domain::duration;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon refused, or could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No token was given.
    #[error("no token was given")]
    NoToken,
    /// The token file cannot be read.
    #[error("cannot read the token file {}: {error}", path.display())]
    TokenFile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file with a secret cannot be read.
    #[error("cannot read the secret from {}: {error}", path.display())]
    SecretFile {
        /// Which file; `-` is standard input.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// An argument is not `KEY=VALUE`.
    #[error("--secret, --from-env and --from-file take a key, `=`, and where the secret is")]
    NotKeyed,
    /// An argument is not `KEY=VALUE`.
    #[error("a value is a key, `=`, and what it is")]
    NotAValue,
    /// Several freight were named for stages further down.
    #[error("--downstream takes one freight: each of the stages requests warehouses of its own")]
    OneFreight,
    /// A file with values cannot be read.
    #[error("cannot read values from {}: {why}", path.display())]
    ValuesFile {
        /// Which file; `-` is standard input.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A step asks nothing.
    #[error(
        "step {step} of promotion {promotion} asks nothing at this moment{}",
        asking_now(asking)
    )]
    NotAsked {
        /// Which promotion.
        promotion: String,
        /// Which step.
        step: String,
        /// The steps that ask something.
        asking: Vec<String>,
    },
    /// No project was named.
    #[error("no project was named")]
    NoProject,
    /// A promotion has no change set yet.
    #[error("promotion {promotion} is {phase}: what it will do is not known yet")]
    NotPrepared {
        /// Which promotion.
        promotion: String,
        /// How far it is.
        phase: Phase,
    },
    /// The digest to approve is not the promotion's.
    #[error("promotion {promotion} has the digest {current}, not {given}")]
    OtherDigest {
        /// Which promotion.
        promotion: String,
        /// The digest of its change set.
        current: String,
        /// The digest on the command line.
        given: String,
    },
    /// A plan cannot be read.
    #[error("cannot read the plan {}: {why}", path.display())]
    PlanFile {
        /// Which file; `-` is standard input.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Definitions of a plan cannot stand.
    #[error("the plan cannot be applied as it is; problems: {problems}")]
    CannotStand {
        /// How many.
        problems: usize,
    },
    /// The changes of a plan block what could go on, or what went on in the past.
    #[error("the plan blocks; effects now: {now}, promotions of the past: {past}")]
    Blocks {
        /// Effects that block.
        now: usize,
        /// Promotions of the past that would have been blocked.
        past: u32,
    },
    /// Something of a plan can be judged only later, or for lack of what was recorded.
    #[error(
        "nothing blocks of what can be judged; changes that cannot be judged yet: {left_out}, promotions \
         of the past of which too little is recorded: {unknown}"
    )]
    Unjudged {
        /// Changes whose values are known only after the apply.
        left_out: usize,
        /// Promotions of the past whose verdict is unknown.
        unknown: u32,
    },
    /// The infra of stages is not as promotions left it.
    #[error("the infra has drifted of {}", stages.join(", "))]
    Drifted {
        /// The stages.
        stages: Vec<String>,
    },
    /// Whether the infra of stages is as promotions left it is not known.
    #[error("whether the infra has drifted is not known of {}", stages.join(", "))]
    DriftUnknown {
        /// The stages.
        stages: Vec<String>,
    },
    /// A look that was waited for is not over.
    #[error("the look at the infra of {stage} is not over after {}", duration::print(*after))]
    NotLooked {
        /// The stage.
        stage: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Evidence or keys cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    EvidenceFile {
        /// Which file; `-` is standard input.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Something of evidence is not true.
    #[error("the evidence does not hold; what is not true of it: {count}")]
    Untrue {
        /// How much.
        count: usize,
    },
    /// Too few people approved what a promotion does.
    #[error("{count} of {wanted} people approved what the promotion does")]
    TooFewPeople {
        /// How many did.
        count: usize,
        /// How many should have.
        wanted: usize,
    },
    /// Evidence is about something else.
    #[error("the evidence is about {found}, not {wanted}")]
    OtherEvidence {
        /// What it is about.
        found: String,
        /// What it should be about.
        wanted: String,
    },
    /// The person at the terminal said no.
    #[error("not approved")]
    Declined,
    /// A promotion ended otherwise than well.
    #[error("promotion {promotion} did not succeed{}", cause(error.as_deref()))]
    NotSucceeded {
        /// Which promotion.
        promotion: String,
        /// What went wrong.
        error: Option<String>,
    },
    /// A promotion did not end in time.
    #[error("promotion {promotion} is still {phase} after {}", duration::print(*after))]
    Unfinished {
        /// Which promotion.
        promotion: String,
        /// How far it is.
        phase: Phase,
        /// How long it was watched.
        after: Duration,
    },
    /// An expiry is too far in the future to be written.
    #[error("{} from now is out of range", duration::print(*after))]
    ExpiryOutOfRange {
        /// How far.
        after: Duration,
    },
    /// An expiry lies in the past.
    #[error("{expires} has passed")]
    ExpiryPassed {
        /// When.
        expires: Timestamp,
    },
    /// What was to be said could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// An object cannot be shown as JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The asynchronous runtime did not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

fn cause(error: Option<&str>) -> String {
    error.map(|it| format!(": {it}")).unwrap_or_default()
}

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;
const UNFINISHED: u8 = 4;
const BLOCKS: u8 = 5;
const UNJUDGED: u8 = 6;

impl Failure {
    /// Says it on stderr: one line what, one line for each field or obstacle, one line what to do.
    /// Whoever closed the pipe that we write to has seen enough, and hears nothing.
    pub(crate) fn report(&self) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        let mut lines = vec![format!("error: {}", self.headline())];
        lines.extend(self.particulars().iter().map(|it| format!("  - {it}")));
        lines.extend(self.hint().map(|it| format!("hint: {it}")));
        // There is nowhere left to say that stderr is gone; the exit code still speaks.
        drop(writeln!(io::stderr(), "{}", lines.join("\n")));
        ExitCode::from(self.exit_code())
    }

    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NoToken | Self::TokenFile { .. } | Self::NoProject => USAGE,
            Self::ExpiryOutOfRange { .. } | Self::ExpiryPassed { .. } => USAGE,
            Self::SecretFile { .. } | Self::PlanFile { .. } | Self::NotKeyed => USAGE,
            Self::OneFreight
            | Self::NotAValue
            | Self::ValuesFile { .. }
            | Self::EvidenceFile { .. } => USAGE,
            Self::Blocks { .. } => BLOCKS,
            Self::Unjudged { .. } => UNJUDGED,
            Self::Client(error) => client_exit_code(error),
            Self::Unfinished { .. } | Self::NotLooked { .. } => UNFINISHED,
            Self::Drifted { .. } => BLOCKS,
            Self::DriftUnknown { .. } => UNJUDGED,
            Self::NotPrepared { .. }
            | Self::NotAsked { .. }
            | Self::OtherDigest { .. }
            | Self::CannotStand { .. }
            | Self::Untrue { .. }
            | Self::TooFewPeople { .. }
            | Self::OtherEvidence { .. }
            | Self::Declined
            | Self::NotSucceeded { .. }
            | Self::Output(_)
            | Self::Json(_)
            | Self::Runtime(_) => REFUSED,
        }
    }

    /// The message without the particulars that follow on lines of their own.
    fn headline(&self) -> String {
        match self {
            Self::Client(ClientError::Problem(problem)) => {
                problem.detail.clone().unwrap_or_else(|| problem.title.clone())
            }
            other => other.to_string(),
        }
    }

    fn particulars(&self) -> Vec<String> {
        let Self::Client(ClientError::Problem(problem)) = self else { return Vec::new() };
        let fields = problem.errors.iter().map(|error| match &error.hint {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        });
        fields.chain(problem.blockers.iter().cloned()).collect()
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Client(error) => return error.hint(),
            Self::NoToken => "set LOCKSTEP_TOKEN, or LOCKSTEP_TOKEN_FILE, or give --token-file",
            Self::TokenFile { .. } => "name a file that you may read and that holds only the token",
            Self::NotKeyed => "write password=- or token=./token; a secret is no argument",
            Self::SecretFile { .. } => "name a file that holds the secret, or - for stdin",
            Self::NotAValue => "write replicas=3 or zone=eu",
            Self::OneFreight => "name one, or promote to one stage after the other",
            Self::ValuesFile { .. } => "name a file with a JSON object, or - for stdin",
            Self::NotAsked { promotion, .. } => {
                return Some(format!(
                    "see what its steps ask: lockstep get promotions {promotion}"
                ));
            }
            Self::NoProject => "give --project, or set LOCKSTEP_PROJECT",
            Self::NotPrepared { promotion, .. } => {
                return Some(format!("see how far it gets: lockstep watch {promotion}"));
            }
            Self::OtherDigest { promotion, .. } => {
                return Some(format!("look at what it does now: lockstep diff {promotion}"));
            }
            Self::NotSucceeded { promotion, .. } => {
                return Some(format!(
                    "see what became of each step: lockstep get promotions {promotion}"
                ));
            }
            Self::Unfinished { promotion, .. } => {
                return Some(format!("it goes on by itself; watch on: lockstep watch {promotion}"));
            }
            Self::NotLooked { stage, .. } => {
                return Some(format!(
                    "it goes on by itself; see what it finds: lockstep drift {stage}"
                ));
            }
            Self::DriftUnknown { stages } => {
                let stage = stages.first().map_or("STAGE", String::as_str);
                return Some(format!("look now: lockstep drift {stage} --look"));
            }
            Self::ExpiryOutOfRange { .. } => "leave the time out for what does not expire",
            Self::ExpiryPassed { .. } => "give an instant in the future, or leave it out",
            Self::PlanFile { .. } => "write it with: terraform show -json PLAN",
            Self::EvidenceFile { .. } => {
                "write it with: lockstep evidence PROMOTION -o json, and the keys with: lockstep keys"
            }
            Self::Untrue { .. } => {
                "a key may be missing: ask whoever runs lockstepd what `lockstep keys` says there"
            }
            Self::CannotStand { .. }
            | Self::TooFewPeople { .. }
            | Self::OtherEvidence { .. }
            | Self::Blocks { .. }
            | Self::Unjudged { .. }
            | Self::Drifted { .. }
            | Self::Declined
            | Self::Output(_)
            | Self::Json(_)
            | Self::Runtime(_) => return None,
        };
        Some(hint.to_owned())
    }
}

fn client_exit_code(error: &ClientError) -> u8 {
    if error.is_unreachable() {
        return UNREACHABLE;
    }
    match error {
        ClientError::InvalidEndpoint { .. }
        | ClientError::InvalidToken
        | ClientError::InvalidUserAgent { .. }
        | ClientError::InvalidName { .. } => USAGE,
        ClientError::Unreachable { .. }
        | ClientError::Lost { .. }
        | ClientError::Timeout { .. }
        | ClientError::NotLockstep { .. } => UNREACHABLE,
        ClientError::Unauthorized { .. }
        | ClientError::Problem(_)
        | ClientError::VersionMismatch { .. }
        | ClientError::Unreadable { .. } => REFUSED,
    }
}

fn asking_now(steps: &[String]) -> String {
    if steps.is_empty() { String::new() } else { format!("; these do: {}", steps.join(", ")) }
}
