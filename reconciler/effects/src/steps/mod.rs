//! Carrying out the calls of a promotion.
//!
//! ```text
//! run ─┬─ workspace      the working directory, rebuilt from the log's calls if it was lost
//!      ├─ git            clone, commit, push, tag, and their undo
//!      ├─ yaml           values in a YAML file
//!      ├─ files          other files: copied, written, merged, edited, read
//!      ├─ archive        packed and unpacked
//!      ├─ download       files from elsewhere, by their checksum
//!      ├─ oci            layers, copies, tags and attachments of registries
//!      ├─ render         manifests, by kustomize and helm
//!      ├─ run            programs, contained
//!      ├─ infra ─┬─ vault     stored plans
//!      │         ├─ apply     the one run of a plan, found again after a crash
//!      │         ├─ states    the embedded state that a module works on, kept as versions
//!      │         └─ unchanged plans that need not be made
//!      ├─ http           a request and what its answer means
//!      └─ pull_request   opened, waited for, merged, closed, commented on
//! probe                  what moved since a change set was made
//! drift                  what differs from what the last apply left
//! ```
//!
//! Every call may be repeated after a crash at any point: what it changes outside is looked for
//! first and done only where it is missing. Nothing here tries again by itself: a failure says
//! whether another attempt can help, and attempts belong to the caller.

mod apply;
mod archive;
mod chart;
mod download;
mod drift;
mod files;
mod git;
mod http;
mod infra;
mod oci;
mod probe;
mod pull_request;
mod render;
mod revealed;
mod run;
mod states;
mod unchanged;
mod vault;
mod workspace;
mod yaml;

use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::duration;
use reconciler_domain::id::{ProjectName, PromotionId, StageName, StepName};
pub use reconciler_domain::step::Workdir;
use reconciler_domain::step::{Call, OciCall, Record, Seen, StepOutcome, Unseen};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use workspace::{Change, Workspace};

use crate::scoped::Scoped;
use crate::{blocking, fault};
pub(crate) use apply::PLAN as PLAN_OF_RUN;
pub use drift::LookDir;
pub(crate) use drift::look;
pub(crate) use probe::probe;
pub(crate) use revealed::Revealed;
pub use vault::reseal_plans;

/// Whose call it is, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunContext {
    /// The project.
    pub project: ProjectName,
    /// The stage.
    pub stage: StageName,
    /// The promotion.
    pub promotion: PromotionId,
    /// Which of its working directories.
    pub workdir: Workdir,
    /// The time of the call.
    pub now: Timestamp,
}

/// How long a call gets to end by itself once it is broken off; after that it is dropped, which ends
/// its processes and connections at once. What ends itself gets it twice, and so all but an apply is over in less
/// than the five seconds that an abort may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a call that is told to end may take. An infra tool that is killed may leave a lock in its backend, over which
/// every later run would fail, so it gets what an abort has left.
fn until_dropped(call: &Call) -> Duration {
    if matches!(call, Call::TfPlan(_) | Call::TfOutput(_)) { 2 * PATIENCE } else { PATIENCE }
}

/// Why nothing is known about a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halted {
    /// The process is stopping: nothing may be recorded. The next process finds the intent without
    /// an outcome and calls again.
    #[error("the process is stopping; the call is resumed by the next one")]
    Stopping,
    /// It was broken off as it was asked for.
    #[error("the call was broken off")]
    Interrupted,
    /// What it waits for is not so yet, and nothing was changed. The same call looks again: nothing is to
    /// be recorded until then, as after a crash.
    #[error("{message}; it is looked at again in {}", duration::print(*again))]
    NotYet {
        /// What is so instead.
        message: String,
        /// When to call again.
        again: Duration,
    },
}

/// Runs one call. `rebuild` fills the working directory again if it does not hold exactly that.
pub(crate) async fn run(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    call: &Call,
    rebuild: &[(StepName, Call)],
    interrupt: &CancellationToken,
) -> Result<StepOutcome, Halted> {
    let stopped = || effects.shutdown().is_cancelled();
    if stopped() {
        return Err(Halted::Stopping);
    }
    let cancel = effects.shutdown().child_token();
    let effects = effects.until(cancel.clone());
    let work = async {
        let done = fault::held(carry_out(&effects, cx, step, call, rebuild, interrupt)).await;
        done.unwrap_or_else(|said| Err(faulted(step, call, &said)))
    };
    tokio::pin!(work);
    let mut ended = tokio::select! {
        biased;
        ended = &mut work => Some(ended),
        () = interrupt.cancelled() => None,
    };
    if ended.is_none() && ends_itself(call) && !matches!(call, Call::TfApply(_)) {
        ended = tokio::time::timeout(PATIENCE, &mut work).await.ok();
    }
    if ended.is_none() {
        cancel.cancel();
        ended = if matches!(call, Call::TfApply(_)) {
            // Its tool is asked to end, and its own end is what counts.
            Some(work.await)
        } else {
            tokio::time::timeout(until_dropped(call), work).await.ok()
        };
    }
    let outcome = match ended {
        Some(Ok(done)) => StepOutcome::Done { outputs: done.outputs, record: done.record },
        // What stopping broke off says nothing about the call.
        Some(Err(_)) | None if stopped() => return Err(Halted::Stopping),
        None | Some(Err(Halt::Interrupted)) => return Err(Halted::Interrupted),
        Some(Err(Halt::Uncertain { message })) => StepOutcome::Uncertain { message },
        Some(Err(Halt::Failed { .. } | Halt::NotYet { .. }))
            if interrupt.is_cancelled() && !ends_itself(call) =>
        {
            return Err(Halted::Interrupted);
        }
        Some(Err(Halt::NotYet { message, again })) => {
            return Err(Halted::NotYet { message: effects.clean(&message), again });
        }
        Some(Err(Halt::Failed { message, retry, retry_after, record, seen })) => {
            StepOutcome::Failed { message, retry, retry_after, record: *record, seen }
        }
    };
    let was_done = matches!(outcome, StepOutcome::Done { .. });
    let outcome = effects.clean_outcome(outcome).within_limits();
    Ok(match (outcome, call) {
        // What it gave out is too much, but it was sent.
        (
            StepOutcome::Failed { message, retry, retry_after, record: Record::None, seen },
            Call::Http(call),
        ) if was_done && http::changes(call) => {
            StepOutcome::Failed { message, retry, retry_after, record: Record::Sent, seen }
        }
        (outcome, _) => outcome,
    })
}

/// What a panic in the middle of a call comes to. It is not run again: it would panic again.
fn faulted(step: &StepName, call: &Call, said: &str) -> Halt {
    let message = format!("step {step}: {}", fault::told(said));
    if !call.is_unknown_after_a_fault() {
        return Halt::never(message);
    }
    let message = format!("{message}; it is not known whether it happened: look there");
    Halt::Uncertain { message }
}

/// Whether the call's own end counts after it was broken off: it says more than that.
fn ends_itself(call: &Call) -> bool {
    match call {
        Call::TfApply(_) => true,
        // A look leaves nothing behind.
        Call::PullRequest(pull) => pull.unseen() != Unseen::Nothing && !call.only_asks(),
        Call::GitClone(_)
        | Call::YamlUpdate(_)
        | Call::GitCommit(_)
        | Call::GitPush(_)
        | Call::GitRevert(_)
        | Call::GitTag(_)
        | Call::GitUntag(_)
        | Call::Oci(_)
        | Call::Render(_)
        | Call::Chart(_)
        | Call::TfPlan(_)
        | Call::TfOutput(_)
        | Call::TfImport(_)
        | Call::Http(_)
        | Call::File(_)
        | Call::Download(_)
        | Call::Parse(_)
        | Call::Run(_)
        | Call::Compose { .. }
        | Call::Fail { .. }
        | Call::Ask(_)
        | Call::Keep(_)
        | Call::Wait(_) => false,
    }
}

async fn carry_out(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    call: &Call,
    rebuild: &[(StepName, Call)],
    interrupt: &CancellationToken,
) -> Result<Done, Halt> {
    let workspace = Workspace::open(effects, cx, rebuild);
    match call {
        Call::GitClone(clone) => workspace.advance(Change::Clone(clone)).await,
        Call::YamlUpdate(update) => workspace.advance(Change::Update(update)).await,
        Call::GitCommit(commit) => git::commit(effects, cx, &workspace.fill().await?, commit).await,
        Call::GitPush(push) => git::push(effects, cx, &workspace, push).await,
        Call::GitRevert(revert) => git::revert(effects, cx, revert).await,
        Call::GitTag(tag) => git::tag(effects, cx, tag).await,
        Call::GitUntag(tag) => git::untag(effects, tag).await,
        Call::TfPlan(plan) => infra::plan(effects, cx, &workspace, step, plan).await,
        Call::TfApply(call) => apply::apply(effects, cx, &workspace, step, call, interrupt).await,
        Call::TfImport(import) => infra::import(&workspace.fill().await?, import),
        Call::TfOutput(output) => infra::output(effects, cx, &workspace, &output.plan).await,
        Call::Http(http) => http::send(effects, cx, http).await,
        Call::File(file) => workspace.advance(Change::File(file)).await,
        Call::Download(download) => workspace.advance(Change::Download(download)).await,
        Call::Oci(OciCall::Pull(pull)) => workspace.advance(Change::Pull(pull)).await,
        Call::Oci(OciCall::Look(look)) => oci::look(effects, look).await,
        Call::Oci(OciCall::Push(push)) => oci::push(effects, push).await,
        Call::Oci(OciCall::PutBack(back)) => oci::put_back(effects, back).await,
        Call::Oci(OciCall::Attach(attach)) => oci::attach(effects, cx, &workspace, attach).await,
        Call::Oci(OciCall::Detach(detach)) => oci::detach(effects, detach).await,
        Call::Render(render) => workspace.advance(Change::Render(render)).await,
        Call::Chart(chart) => workspace.advance(Change::Chart(chart)).await,
        Call::Run(run) if run.effect.is_some() => {
            run::act(effects, cx, step, &workspace, run).await
        }
        Call::Run(run) => workspace.advance(Change::Run(step, run)).await,
        Call::Parse(parse) => files::parse(&workspace.fill().await?, parse).await,
        Call::PullRequest(call) => pull_request::carry_out(effects, cx, call, interrupt).await,
        Call::Compose { outputs } => Ok(Done { outputs: outputs.clone(), record: Record::None }),
        Call::Fail { message } => Err(Halt::never(message)),
        // What it waits for is the log's to tell, and nobody else's.
        Call::Wait(_) | Call::Ask(_) | Call::Keep(_) => {
            Err(Halt::never("nobody carries this step out; this is a bug of lockstepd"))
        }
    }
}

/// A call that is done.
struct Done {
    outputs: Map<String, Value>,
    record: Record,
}

/// A call that is not done.
#[derive(Debug)]
enum Halt {
    /// It failed, and what it changed outside is in the record.
    Failed {
        message: String,
        retry: bool,
        retry_after: Option<Duration>,
        record: Box<Record>,
        seen: Seen,
    },
    /// Nobody can know without looking.
    Uncertain { message: String },
    /// It was broken off before anything happened.
    Interrupted,
    /// What it waits for is not so yet, and nothing was changed.
    NotYet { message: String, again: Duration },
}

impl Done {
    fn new<const N: usize>(outputs: [(&str, Value); N], record: Record) -> Self {
        let outputs = outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { outputs, record }
    }
}

impl Halt {
    /// A person has to change something first.
    fn never(message: impl std::fmt::Display) -> Self {
        Self::failed(message.to_string(), false)
    }

    /// The same call may succeed later.
    fn later(message: impl std::fmt::Display) -> Self {
        Self::failed(message.to_string(), true)
    }

    /// The same call may succeed later, and the other side says when at the earliest.
    fn later_after(message: String, retry_after: Option<Duration>) -> Self {
        let (retry, record, seen) = (true, Box::new(Record::None), Seen::Unsaid);
        Self::Failed { message, retry, retry_after, record, seen }
    }

    fn not_yet(message: String, again: Duration) -> Self {
        Self::NotYet { message, again }
    }

    fn of(error: &(dyn std::error::Error + 'static), retry: bool) -> Self {
        Self::failed(crate::explain(error), retry)
    }

    fn failed(message: String, retry: bool) -> Self {
        let (retry_after, record, seen) = (None, Box::new(Record::None), Seen::Unsaid);
        Self::Failed { message, retry, retry_after, record, seen }
    }

    /// It was looked for, and has not happened. It is not carried out any more.
    fn absent(what: impl std::fmt::Display) -> Self {
        let message = format!("{what}: it was looked for, for nobody had seen how it ended");
        Self::never(message).seen(Seen::No)
    }

    /// The same, with what is known of the effect.
    fn seen(self, seen: Seen) -> Self {
        match self {
            Self::Failed { message, retry, retry_after, record, seen: _ } => {
                Self::Failed { message, retry, retry_after, record, seen }
            }
            other @ (Self::Uncertain { .. } | Self::NotYet { .. } | Self::Interrupted) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use reconciler_domain::step::HttpCall;
    use serde_json::json;

    use super::*;

    fn check(call: &Call, unknown: bool) {
        let step = "call".parse().expect("a name");
        match faulted(&step, call, "index out of bounds") {
            Halt::Failed { message, retry: false, .. } if !unknown => {
                assert_eq!(
                    message,
                    "step call: lockstepd itself failed: index out of bounds; this is a bug of it, and its \
                     log says where"
                );
            }
            Halt::Uncertain { message } if unknown => {
                assert!(message.ends_with("it is not known whether it happened: look there"));
            }
            other => panic!("{call:?}: {other:?}"),
        }
    }

    #[test]
    fn a_panic_in_a_call_is_a_failure_or_unknown() {
        check(&Call::Compose { outputs: Map::new() }, false);
        let http = |delivery: bool| -> HttpCall {
            let call = json!({
                "url": "http://127.0.0.1/", "method": "POST", "headers": {}, "body": null,
                "timeout": { "secs": 9, "nanos": 0 }, "success": "true", "outputs": {},
                "at_most_once": delivery,
            });
            serde_json::from_value(call).expect("a call")
        };
        check(&Call::Http(http(false)), false);
        check(&Call::Http(http(true)), true);
    }
}
