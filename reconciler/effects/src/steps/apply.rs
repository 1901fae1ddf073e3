//! The one run of a stored plan.
//!
//! A run belongs to its step and to the digest of its plan, and is known by its directory. It
//! outlives this process, so the first thing is always to look whether it is there: it is waited
//! for, or its end is taken. It is started again only where nothing was begun.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::id::StepName;
use reconciler_domain::infra::Action;
use reconciler_domain::step::{Applied, ApplyCall, PlanRecord, Record, Seen};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use super::{Done, Halt, RunContext, infra, states, unchanged, vault};
use crate::infra::log::ApplyLog;
use crate::infra::run::{self, ApplyError, ApplySpec, RunError, RunStatus};
use crate::infra::{State, read_file, write_file};
use crate::layout::{make_private_dir, plain};
use crate::scoped::Scoped;
use crate::states::Held;

/// Beside the records of the shim: the plan in clear text, as long as the tool runs.
pub(crate) const PLAN: &str = "plan.tfplan";
/// Beside the records of the shim: when the run began, and where.
const BEGAN: &str = "began.json";
/// Time that the tool gets to end after each of two interrupts.
const GRACE: Duration = Duration::from_secs(600);
/// Where the tool leaves a state that it could not write.
const ERRORED_STATE: &str = "errored.tfstate";

pub(super) async fn apply(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    step: &StepName,
    call: &ApplyCall,
    interrupt: &CancellationToken,
) -> Result<Done, Halt> {
    if !call.plan.summary.has_changes {
        return Ok(applied(Vec::new()));
    }
    let mut run = Run::last(effects, cx, call)?;
    let begun = match run.status()? {
        RunStatus::NotStarted => false,
        RunStatus::Running { .. } => true,
        RunStatus::Exited { .. } => !run.was_harmless(),
        RunStatus::Dead { survivors } => {
            run.forget_plan();
            untouched(effects, cx, workspace, call, &run, &survivors).await?;
            false
        }
    };
    let held = if begun {
        again(effects, cx, step, call, &run).await?
    } else {
        run = run.next_free()?;
        if interrupt.is_cancelled() {
            return Err(Halt::Interrupted);
        }
        match start(effects, cx, workspace, (step, call), &run, interrupt).await {
            // The plan stays laid out: the shim may have begun, and whoever comes next lays it out again.
            Err(_) if interrupt.is_cancelled() => return Err(Halt::Interrupted),
            started => started?,
        }
    };
    wait(effects, cx, call, &run, interrupt).await?;
    run.forget_plan();
    // Once that was done its lock counted no longer, and the state that is there may be another one's.
    let is_own = !run::was_looked_at(&run.dir());
    let kept = keep(effects, cx, step, call, &run, held.as_ref()).await?;
    let done = conclude(call, &run, &kept)?;
    if let (true, Ok(name)) = (is_own, states::name(cx, &call.plan.call)) {
        let inputs = call.plan.inputs.as_deref();
        unchanged::note(effects, cx, step, &name, inputs, held.as_ref()).await;
    }
    Ok(done)
}

/// A run directory. A run in which nothing happened is followed by another with the next number.
struct Run {
    base: PathBuf,
    number: u32,
}

impl Run {
    fn last(effects: &Scoped, cx: &RunContext, call: &ApplyCall) -> Result<Self, Halt> {
        let digest = call.plan.file_digest.get(..16).unwrap_or(&call.plan.file_digest);
        let name = plain(&format!("{}-{digest}", call.run))
            .ok_or_else(|| Halt::never(format_args!("run name {:?} is too long", call.run)))?;
        let mut run = Self { base: effects.layout().runs(&cx.project).join(name), number: 1 };
        while run.next().dir().exists() {
            run = run.next();
        }
        Ok(run)
    }

    fn next(&self) -> Self {
        Self { base: self.base.clone(), number: self.number + 1 }
    }

    /// This one if nothing was started in it, else the next.
    fn next_free(self) -> Result<Self, Halt> {
        match self.status()? {
            RunStatus::NotStarted => Ok(self),
            RunStatus::Running { .. } | RunStatus::Exited { .. } | RunStatus::Dead { .. } => {
                Ok(self.next())
            }
        }
    }

    fn dir(&self) -> PathBuf {
        let mut name = self.base.as_os_str().to_owned();
        name.push(format!(".{}", self.number));
        name.into()
    }

    fn status(&self) -> Result<RunStatus, Halt> {
        run::attach(&self.dir()).map_err(|error| Halt::of(&error, true))
    }

    /// Whether an ended run changed nothing, for a reason that may pass.
    fn was_harmless(&self) -> bool {
        match run::outcome(&self.dir()) {
            Err(ApplyError::StateLocked { .. } | ApplyError::NotRun { .. }) => true,
            Ok(_)
            | Err(
                ApplyError::StalePlan
                | ApplyError::Failed { .. }
                | ApplyError::Dead { .. }
                | ApplyError::NotEnded
                | ApplyError::Run(_),
            ) => false,
        }
    }

    fn began(&self) -> Option<Began> {
        serde_json::from_slice(&std::fs::read(self.dir().join(BEGAN)).ok()?).ok()
    }

    /// Where the tool finds the plan, in clear text, as long as it runs.
    fn plan(&self) -> PathBuf {
        self.dir().join(PLAN)
    }

    /// Removes the plan once nothing reads it any more. Where that fails whoever comes next does, or it goes with the
    /// directory.
    fn forget_plan(&self) {
        match std::fs::remove_file(self.plan()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, file = %self.plan().display(), "a plan stays in clear text");
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn begin(&self, began: &Began) -> std::io::Result<()> {
        make_private_dir(&self.dir())?;
        std::fs::write(self.dir().join(BEGAN), serde_json::to_vec(began)?)
    }
}

/// What a later process needs to know of a run that it did not start.
#[derive(Serialize, Deserialize)]
struct Began {
    at: Timestamp,
    module: PathBuf,
    /// Whether the daemon keeps the state.
    #[serde(default)]
    embedded: bool,
    /// What another run, or the repository, had left where this one leaves a state that it cannot write.
    #[serde(default)]
    errored: Option<String>,
}

impl Began {
    /// The state that the run could not write, if it left one.
    fn errored_state(&self) -> std::io::Result<Option<Vec<u8>>> {
        let left = read_file(&self.module.join(ERRORED_STATE))?;
        let is_older = |left: &Vec<u8>| {
            self.errored.as_deref() == Some(vault::hex(&Sha256::digest(left)).as_str())
        };
        Ok(left.filter(|left| !is_older(left)))
    }
}

async fn start(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    (step, call): (&StepName, &ApplyCall),
    run: &Run,
    interrupt: &CancellationToken,
) -> Result<Option<Held>, Halt> {
    let plan = vault::find(effects, &call.plan).await?;
    let dir = workspace.take().await?;
    let module = infra::module(effects, cx, workspace, &dir, &call.plan.call).await?;
    let module = infra::to_apply(effects, module, &call.plan.call)?;
    let embedded = module.state != State::Declared;
    let held = if embedded {
        let (planned, runs) = (&call.plan.call, Some(run.base.as_path()));
        let held = states::hold(effects, cx, step, planned, runs, Some(interrupt)).await?;
        // Whatever becomes of it, the state is not the result of what it was any more.
        unchanged::forget(effects, &states::name(cx, planned)?, &held).await?;
        Some(held)
    } else {
        None
    };
    vault::restore_lock(&plan.file, &module.dir)?;
    infra::init(effects, &module).await?;
    let run_dir = run.dir();
    let errored = read_file(&module.dir.join(ERRORED_STATE)).ok().flatten();
    let errored = errored.map(|left| vault::hex(&Sha256::digest(left)));
    let began = Began { at: cx.now, module: module.dir.clone(), embedded, errored };
    let begun = run.begin(&began).and_then(|()| vault::lay_out(&plan, &run.plan()));
    begun.map_err(|error| {
        Halt::later(format_args!("cannot write {}: {error}", run_dir.display()))
    })?;
    let spec = ApplySpec {
        plan: run.plan(),
        digest: call.plan.file_digest.clone(),
        run_dir,
        ephemeral: serde_json::Map::new(),
        shim: effects.shim().clone(),
    };
    // Another process that starts the same run is found out below: both wait for the one run.
    module.start_apply(&spec).await.map_err(|error| infra::halt(&error))?;
    Ok(held)
}

/// Takes up the lock of a run that was started before.
async fn again(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    call: &ApplyCall,
    run: &Run,
) -> Result<Option<Held>, Halt> {
    if !run.began().is_some_and(|began| began.embedded) {
        return Ok(None);
    }
    let ended = !matches!(run.status()?, RunStatus::Running { .. });
    let runs = Some(run.base.as_path());
    match states::hold(effects, cx, step, &call.plan.call, runs, None).await {
        Ok(held) => Ok(Some(held)),
        // Somebody was faster once it had ended; what it did is told all the same.
        Err(_) if ended => Ok(None),
        Err(halt) => Err(halt),
    }
}

/// Waits for the end; past the deadline, or when the call is broken off, asks for it twice, and never
/// forces it.
async fn wait(
    effects: &Scoped,
    cx: &RunContext,
    call: &ApplyCall,
    run: &Run,
    interrupt: &CancellationToken,
) -> Result<(), Halt> {
    let timeout = call.plan.call.timeout;
    let elapsed = run.began().map_or(Duration::ZERO, |began| {
        Duration::try_from(cx.now.duration_since(began.at)).unwrap_or_default()
    });
    let dir = run.dir();
    let mut asked = false;
    for patience in [timeout.saturating_sub(elapsed), GRACE, GRACE] {
        let waited = tokio::select! {
            biased;
            waited = run::wait(&dir, Some(patience), effects.shutdown()) => waited,
            () = interrupt.cancelled(), if !asked => {
                Err(RunError::DeadlineExceeded { run_dir: dir.clone(), deadline: patience })
            }
        };
        asked = true;
        match waited {
            Ok(_) => return Ok(()),
            Err(RunError::DeadlineExceeded { .. }) => {
                run::interrupt(&dir).await.map_err(|error| Halt::of(&error, true))?;
            }
            Err(error) => return Err(Halt::of(&error, true)),
        }
    }
    Err(Halt::Uncertain {
        message: format!(
            "the apply did not end in {timeout:?} and does not react to interrupts; it still runs \
             ({}): look at what it waits for, then end it by hand",
            dir.display(),
        ),
    })
}

fn conclude(call: &ApplyCall, run: &Run, kept: &str) -> Result<Done, Halt> {
    match run::outcome(&run.dir()) {
        Ok(log) => Ok(applied(created(&call.plan, &log))),
        Err(error @ (ApplyError::StateLocked { .. } | ApplyError::NotRun { .. })) => {
            Err(Halt::of(&error, true))
        }
        Err(ApplyError::StalePlan) => Err(Halt::Failed {
            message: "the state was changed after the plan was made, so the plan is not applied \
                      and nothing was changed"
                .to_owned(),
            retry: false,
            retry_after: None,
            record: Box::new(Record::Stale),
            seen: Seen::Unsaid,
        }),
        Err(ApplyError::Failed { ended, log, stderr }) => {
            let record = Box::new(Record::Applied(Applied { created: begun(&call.plan, &log) }));
            let error = ApplyError::Failed { ended, log, stderr };
            let message = format!("{}{kept}", crate::explain(&error));
            let (retry, retry_after, seen) = (false, None, Seen::Unsaid);
            Err(Halt::Failed { message, retry, retry_after, record, seen })
        }
        Err(ApplyError::Dead { log }) => Err(cut_off(&log, run)),
        Err(error @ (ApplyError::NotEnded | ApplyError::Run(_))) => Err(Halt::of(&error, true)),
    }
}

fn applied(created: Vec<String>) -> Done {
    Done::new([("applied", Value::Bool(true))], Record::Applied(Applied { created }))
}

/// Addresses that the run created. What it replaced was there before and is not its own.
fn created(plan: &PlanRecord, log: &ApplyLog) -> Vec<String> {
    let planned = planned_creations(plan);
    let creations = log.completed.iter().filter(|touched| touched.action == "create");
    let own = creations.filter(|touched| planned.contains(touched.address.as_str()));
    own.map(|touched| touched.address.clone()).collect()
}

/// Addresses that a failed run created or began to: an object whose creation failed may be there,
/// and the state knows it as tainted.
fn begun(plan: &PlanRecord, log: &ApplyLog) -> Vec<String> {
    let planned = planned_creations(plan);
    let all = log.completed.iter().chain(&log.errored).chain(&log.unfinished);
    let own = all
        .filter(|touched| touched.action == "create" && planned.contains(touched.address.as_str()));
    own.map(|touched| touched.address.clone()).collect()
}

fn planned_creations(plan: &PlanRecord) -> BTreeSet<&str> {
    let creations = plan.summary.addresses.get(&Action::Create);
    creations.into_iter().flatten().map(reconciler_domain::infra::Address::as_str).collect()
}

/// Lets a dead run be started again if it had begun nothing: no process is left, its log names no
/// resource, and the state is the one that was planned against.
async fn untouched(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    call: &ApplyCall,
    run: &Run,
    survivors: &[i32],
) -> Result<(), Halt> {
    let log = crate::infra::log::read(&run.dir())
        .map_err(|error| Halt::later(format_args!("cannot read the log of the apply: {error}")))?;
    if !survivors.is_empty() {
        let pids: Vec<String> = survivors.iter().map(ToString::to_string).collect();
        let message = format!(
            "the apply was cut off, but processes that it started still run: {}; end them by hand",
            pids.join(", ")
        );
        return Err(Halt::Uncertain { message });
    }
    let begun = log.completed.len() + log.errored.len() + log.unfinished.len();
    if begun > 0 {
        return Err(cut_off(&log, run));
    }
    let dir = workspace.take().await?;
    let module = infra::module(effects, cx, workspace, &dir, &call.plan.call).await?;
    infra::init(effects, &module).await?;
    let state = module.state(effects.cancel()).await.map_err(|error| infra::halt(&error))?;
    let state = state.map(|state| (state.lineage, state.serial));
    if state == call.plan.state { Ok(()) } else { Err(cut_off(&log, run)) }
}

/// A run that ended without a word, for a person to look at.
fn cut_off(log: &ApplyLog, run: &Run) -> Halt {
    let completed: Vec<&str> = log.completed.iter().map(|done| done.address.as_str()).collect();
    let open: Vec<String> =
        log.unfinished.iter().map(|open| format!("{} ({})", open.address, open.action)).collect();
    let or_none = |list: String| if list.is_empty() { "none".to_owned() } else { list };
    Halt::Uncertain {
        message: format!(
            "the apply was cut off (killed, or the machine stopped). Completed: {}. Begun and not \
             known to have ended: {}. Look whether those exist, import or remove them, then promote \
             again; the log is in {}",
            or_none(completed.join(", ")),
            or_none(open.join(", ")),
            run.dir().display(),
        ),
    }
}

/// Keeps what an ended run left of its state; says what it could not write, for people.
async fn keep(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    call: &ApplyCall,
    run: &Run,
    held: Option<&Held>,
) -> Result<String, Halt> {
    let Some(began) = run.began() else { return Ok(String::new()) };
    let name = if began.embedded { states::name(cx, &call.plan.call).ok() } else { None };
    let said = match (run.errored_state(&began), &name) {
        (Ok(None), _) => String::new(),
        (Ok(Some(state)), Some(name)) => {
            match states::keep_unwritten(effects, cx, step, name, state).await {
                Ok(said) => said,
                Err(error) => run.aside(&began, &error)?,
            }
        }
        (Ok(Some(_)), None) => run.aside(&began, &"the daemon does not keep that state")?,
        (Err(error), _) => run.aside(&began, &error)?,
    };
    if let Some(name) = name {
        states::keep(effects, cx, &name, &states::run(cx, step), held).await;
    }
    // Without this the lock of the state stays until this is repeated, or a person takes it away.
    if let Err(error) = run::looked_at(&run.dir()) {
        tracing::warn!(%error, "it is not recorded that the run was looked at");
    }
    Ok(said)
}

impl Run {
    /// The state that the run could not write, if it left one: aside already, or where the tool left it.
    fn errored_state(&self, began: &Began) -> std::io::Result<Option<Vec<u8>>> {
        match read_file(&self.dir().join(ERRORED_STATE))? {
            None => began.errored_state(),
            aside => Ok(aside),
        }
    }

    /// Moves the state that the tool could not write out of the working directory, which is removed: it may be the
    /// only one that knows what was made. Needs no room.
    fn aside(&self, began: &Began, why: &dyn std::fmt::Display) -> Result<String, Halt> {
        let (left, aside) = (began.module.join(ERRORED_STATE), self.dir().join(ERRORED_STATE));
        let moved = if aside.exists() { Ok(()) } else { std::fs::rename(&left, &aside) };
        // They may be on two disks.
        let moved = moved.or_else(|error| match read_file(&left)? {
            Some(state) => write_file(&aside, &state),
            None => Err(error),
        });
        match moved {
            Err(error) => Err(Halt::Uncertain {
                message: format!(
                    "the tool could not write the state, no version of it can be kept ({why}), and it cannot be \
                     moved to {} ({error}): save {} before anything else, and `state push` it",
                    aside.display(),
                    left.display(),
                ),
            }),
            Ok(()) => Ok(format!(
                "; the tool could not write the state: it is kept in {}, push it with `state push` ({why})",
                aside.display()
            )),
        }
    }
}
