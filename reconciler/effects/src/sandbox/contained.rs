//! The daemon's side: a command with bounds, run to its end.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::egress;
use super::outer;
use super::spec::{Bounds, Excess, Identity, Network, NotMade, Report, Spec};
use super::{Missing, Mode, Sandbox};
use crate::process::{Command, Output, ProcessError, Status};

/// The report, in the directory of the notes.
pub(super) const REPORT: &str = "report.json";
/// Whoever a contained program is where the daemon is root: a number that no distribution gives to anybody.
const NOBODY: Identity = Identity { uid: 65_530, gid: 65_530 };
/// Time between two looks at what a program uses.
const LOOK: Duration = Duration::from_millis(200);

/// A command that is ready to run within its bounds.
#[derive(Debug)]
pub struct Contained {
    command: Command,
    /// Where its end is reported; none: it runs as the daemon's user.
    report: Option<PathBuf>,
    program: String,
}

/// Why a contained program gave no [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot contain it, and it must not run otherwise.
    #[error("{0}. To run it as the daemon's user nevertheless, set `mode` of `[sandbox]`")]
    Unavailable(Missing),
    /// It went beyond what it may use, and was ended.
    #[error("`{program}` was ended because it used more than {limit} of {excess}")]
    Exceeded {
        /// The program as named.
        program: String,
        /// Of what.
        excess: Excess,
        /// How much it may use, for people.
        limit: String,
    },
    /// It could not be started inside.
    #[error("cannot start `{program}` in the sandbox: {message}")]
    NotStarted {
        /// The program as named.
        program: String,
        /// Why.
        message: String,
    },
    /// The sandbox could not be made this time.
    #[error("the sandbox of `{program}` could not be made: {message}")]
    NotMade {
        /// The program as named.
        program: String,
        /// What failed.
        message: String,
    },
    /// Nobody reported its end.
    #[error("`{program}` was killed with its sandbox from outside, perhaps for want of memory")]
    Lost {
        /// The program as named.
        program: String,
    },
    /// As without a sandbox.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl SandboxError {
    /// Whether nothing of the program has run.
    #[must_use]
    pub fn is_before_the_start(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::NotStarted { .. } | Self::NotMade { .. } => true,
            Self::Lost { .. } | Self::Exceeded { .. } => false,
            Self::Process(error) => match error {
                ProcessError::NotFound { .. } | ProcessError::Spawn { .. } => true,
                ProcessError::Cancelled { .. }
                | ProcessError::DeadlineExceeded { .. }
                | ProcessError::Wait { .. } => false,
            },
        }
    }
}

impl Sandbox {
    /// Makes a command run within these bounds. Its environment is what is named for it; its standard input is
    /// empty, whatever was given.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where it has to be contained and cannot be; the notes cannot be kept.
    pub fn contain(&self, command: Command, bounds: &Bounds) -> Result<Contained, SandboxError> {
        let program = command.program().to_string_lossy().into_owned();
        let bare = |command| Contained { command, report: None, program: program.clone() };
        match (self.mode, self.mode == Mode::Off || self.probe().is_ok()) {
            (Mode::Off, _) => return Ok(bare(command)),
            (Mode::Preferred, false) => {
                tracing::warn!(program, "runs as the daemon's user: it cannot be contained here");
                return Ok(bare(command));
            }
            (Mode::Required | Mode::Preferred, true) => {}
            (Mode::Required, false) => {
                self.probe().map_err(|missing| SandboxError::Unavailable(missing.clone()))?;
            }
        }
        let not_made = |error: io::Error| SandboxError::NotMade {
            program: program.clone(),
            message: format!("{}: {error}", bounds.notes.display()),
        };
        make_private_dir(&bounds.notes).map_err(not_made)?;
        let report = bounds.notes.join(REPORT);
        match std::fs::remove_file(&report) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_made(error)),
            Ok(()) | Err(_) => {}
        }
        let mut command = command;
        if let Network::Egress(_) = bounds.network {
            for name in egress::VARIABLES {
                command = command.env(name, format!("http://{}", egress::ADDRESS));
            }
        }
        let spec = Spec {
            program: command.program().to_owned(),
            args: command.arguments().to_vec(),
            dir: command.directory().unwrap_or(Path::new("/tmp")).to_owned(),
            shares: bounds.shares.clone(),
            network: bounds.network.clone(),
            limits: bounds.limits,
            identity: identity(),
            report: report.clone(),
            look: LOOK,
        };
        let spec = serde_json::to_vec(&spec).map_err(|error| not_made(error.into()))?;
        let command = command
            .re_executed(&self.program, [OsString::from(outer::ARGUMENT)])
            .set_aside()
            .current_dir("/")
            .stdin(spec);
        Ok(Contained { command, report: Some(report), program })
    }
}

impl Contained {
    /// The command as it is started, for a caller that starts it by itself and asks [`conclude`] later.
    pub(crate) fn command(&self) -> &Command {
        &self.command
    }

    /// Where the end is reported; none: the program is started as it is.
    pub(crate) fn report(&self) -> Option<&Path> {
        self.report.as_deref()
    }

    /// Runs the program to its end, or stops it at the deadline or when `cancel` fires.
    ///
    /// # Errors
    /// [`SandboxError`]; a non-zero exit is not an error here.
    pub async fn run(self, cancel: &CancellationToken) -> Result<Output, SandboxError> {
        let mut output = self.command.clone().run(cancel).await?;
        if let Some(report) = &self.report {
            output.status = conclude(report, &self.program)?;
        }
        Ok(output)
    }
}

/// How a program ended that was started as [`Contained::command`] says, from its report.
///
/// # Errors
/// It did not come to an end of its own: [`SandboxError`].
pub(crate) fn conclude(report: &Path, program: &str) -> Result<Status, SandboxError> {
    let program = || program.to_owned();
    let not_made = |message: String| SandboxError::NotMade { program: program(), message };
    match read_report(report).map_err(|error| not_made(error.to_string()))? {
        Some(Report::Ended { code, signal }) => Ok(Status { code, signal }),
        Some(Report::Exceeded { excess, limit }) => {
            Err(SandboxError::Exceeded { program: program(), excess, limit: in_words(limit) })
        }
        Some(Report::NotStarted { message, is_missing: true }) => {
            let hint = "it is not among the programs that a sandbox sees (name its directory in \
                        `read` of `[sandbox]` if it is to be seen)";
            Err(SandboxError::NotStarted {
                program: program(),
                message: format!("{message}: {hint}"),
            })
        }
        Some(Report::NotStarted { message, is_missing: false }) => {
            Err(SandboxError::NotStarted { program: program(), message })
        }
        Some(Report::NotMade(NotMade { stage, message })) => {
            Err(not_made(format!("{stage}: {message}")))
        }
        Some(Report::Lost) | None => Err(SandboxError::Lost { program: program() }),
    }
}

/// A report that is there and whole.
pub(super) fn read_report(path: &Path) -> io::Result<Option<Report>> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who a program is outside: nobody where the daemon is root, else the daemon's own user.
pub(super) fn identity() -> Option<Identity> {
    rustix::process::geteuid().is_root().then_some(NOBODY)
}

/// A new directory in the temporary one, for this user only.
pub(super) fn private_dir() -> io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("lockstep-{}-{number}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn in_words(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 && bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    }
}
