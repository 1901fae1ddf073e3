//! Applies: started below a shim, found again by their run directory.
//!
//! A run directory is used for one apply. Starting twice, even by two daemons at once, runs the tool at
//! most once: the shim that claims the directory first goes on, the other gives way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use super::error::lock_holder;
use super::log::{self, ApplyLog};
use super::module::{make_private_dir, sha256};
use super::record::{self, Exit, ProcessId, Spec};
use super::shim::{self, Shim};
use super::{InfraError, LockHolder, Module};
use crate::process::{Command, PidFd, ProcessError};

/// How long the shim may take to say that the run is its own.
const CLAIM_DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at the records of a run, for the moments that give no signal.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long an interrupt waits for the tool to be recorded.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(10);

/// Beside the records of a run: what it left was looked at.
const LOOKED_AT: &str = "looked-at";

/// An apply to start.
#[derive(Debug, Clone)]
pub struct ApplySpec {
    /// The plan file.
    pub plan: PathBuf,
    /// SHA-256 that the file must have, in hexadecimal.
    pub digest: String,
    /// The run directory; made if missing. An absolute path in a durable place.
    pub run_dir: PathBuf,
    /// Values of ephemeral variables, which a plan does not keep.
    pub ephemeral: Map<String, Value>,
    /// The program to be the shim.
    pub shim: Shim,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHandle {
    /// The run directory.
    pub run_dir: PathBuf,
    /// Whether this call started it, or it was started before.
    pub started_here: bool,
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunStatus {
    /// No shim has claimed the directory: nothing has happened.
    NotStarted,
    /// It goes on.
    Running {
        /// The shim's process.
        pid: i32,
    },
    /// The tool has ended.
    Exited {
        /// Its exit code, if it exited.
        code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// When.
        at: jiff::Timestamp,
    },
    /// The shim is gone without having written an end: it was killed, or the host went down.
    Dead {
        /// Processes of the run that are still there, such as children of a provisioner. See [`kill`].
        survivors: Vec<i32>,
    },
}

/// Why a run's state is not known.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run directory cannot be read.
    #[error("cannot {action} run directory `{run_dir}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The directory.
        run_dir: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The caller stopped waiting; the run goes on.
    #[error("waiting for the run in `{run_dir}` was cancelled; the run goes on")]
    Cancelled {
        /// The directory.
        run_dir: PathBuf,
    },
    /// The deadline passed; the run goes on.
    #[error(
        "the run in `{run_dir}` has not ended after {deadline:?}; it goes on until it is interrupted"
    )]
    DeadlineExceeded {
        /// The directory.
        run_dir: PathBuf,
        /// The deadline.
        deadline: Duration,
    },
    /// The tool did not appear.
    #[error("the tool of the run in `{run_dir}` cannot be interrupted: it is not recorded")]
    NotRecorded {
        /// The directory.
        run_dir: PathBuf,
    },
}

/// Why an apply did not succeed. Each carries what the log says was done before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The state has moved since the plan was made; nothing was changed.
    #[error("the saved plan is stale: the state was changed after the plan was made; plan again")]
    StalePlan,
    /// Another run holds the state's lock; nothing was changed.
    #[error(
        "the apply did not get the state lock{holder}; wait for that run, or unlock if it is dead"
    )]
    StateLocked {
        /// Who has it.
        holder: LockHolder,
    },
    /// The tool did not start; nothing was changed.
    #[error("the apply did not start: {reason}")]
    NotRun {
        /// Why.
        reason: String,
    },
    /// The tool failed part of the way.
    #[error("the apply failed ({ended}): {}", errors(log, stderr))]
    Failed {
        /// How it ended.
        ended: String,
        /// What was done.
        log: Box<ApplyLog>,
        /// The end of standard error.
        stderr: String,
    },
    /// The run died without an end.
    #[error("the apply was cut off; {} resources may exist that no state knows: {}", log.maybe_created().len(), log.maybe_created().join(", "))]
    Dead {
        /// What was done.
        log: Box<ApplyLog>,
    },
    /// It has not ended, or not begun.
    #[error("the apply has not ended; wait for it first")]
    NotEnded,
    /// The run directory cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Module {
    /// Starts to apply exactly the given plan file below a shim and returns when the shim has claimed the run
    /// directory. If it was claimed before, nothing is started.
    ///
    /// # Errors
    /// [`InfraError::OtherPlan`] if the file is not the one that was meant; nothing is started then.
    pub async fn start_apply(&self, spec: &ApplySpec) -> Result<RunHandle, InfraError> {
        let run_dir = spec.run_dir.clone();
        let bytes = std::fs::read(&spec.plan).map_err(InfraError::io("read", &spec.plan))?;
        let found = sha256(&bytes);
        if found != spec.digest {
            let (file, wanted) = (spec.plan.clone(), spec.digest.clone());
            return Err(InfraError::OtherPlan { file, found, wanted });
        }
        if !matches!(attach(&run_dir), Ok(RunStatus::NotStarted)) {
            return Ok(RunHandle { run_dir, started_here: false });
        }
        make_private_dir(&run_dir)?;
        let mut command = self.command("apply")?.args(["-input=false", "-json"]);
        command = command.arg(self.lock_argument());
        let ephemeral = if spec.ephemeral.is_empty() {
            None
        } else {
            let file = self.private_json("ephemeral.tfvars", &spec.ephemeral)?;
            command = command.arg(file.as_argument("-var-file="));
            Some(file)
        };
        command = command.arg(&spec.plan);
        let (command, record) = self.order(command, &run_dir, &spec.plan)?;
        record::write(&run_dir, record::SPEC, &record)
            .map_err(InfraError::io("write", &run_dir))?;
        let started_here = self.start_shim(&spec.shim, &run_dir, command).await?;
        if started_here && let Some(file) = ephemeral {
            // The run reads it, perhaps after this process is gone; it lies in the scratch directory.
            file.keep();
        }
        Ok(RunHandle { run_dir, started_here })
    }

    /// What the shim is to start, and with which environment.
    fn order(
        &self,
        command: Command,
        run_dir: &Path,
        plan: &Path,
    ) -> Result<(Command, Spec), InfraError> {
        let contained = self.contained("apply", command.clone(), run_dir.to_owned(), &[plan])?;
        let (command, contained) = match contained {
            None => (command, None),
            Some(contained) => {
                let command = contained.command().clone();
                let order = String::from_utf8_lossy(command.input()).into_owned();
                let report = contained.report().map(Path::to_owned);
                (command, report.map(|report| record::Contained { order, report }))
            }
        };
        let record = Spec {
            program: command.program().into(),
            args: command.arguments().iter().map(PathBuf::from).collect(),
            dir: command.directory().unwrap_or(&self.dir).to_owned(),
            contained,
        };
        Ok((command, record))
    }

    /// Starts the shim and waits for its first word.
    async fn start_shim(
        &self,
        shim: &Shim,
        run_dir: &Path,
        command: Command,
    ) -> Result<bool, InfraError> {
        let failed = |source: std::io::Error| InfraError::Process {
            operation: "apply",
            dir: self.dir.clone(),
            source: ProcessError::Spawn {
                program: shim.program.display().to_string(),
                dir: self.dir.display().to_string(),
                source,
            },
        };
        let log = std::fs::File::create(run_dir.join(record::SHIM_LOG)).map_err(failed)?;
        let mut child = command
            .re_executed(&shim.program, [shim::ARGUMENT.into(), run_dir.as_os_str().to_owned()])
            .spawn_detached(log)
            .map_err(failed)?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut word = String::new();
        let mut first_line = BufReader::new(stdout.take(64));
        let heard = tokio::time::timeout(CLAIM_DEADLINE, first_line.read_line(&mut word)).await;
        // Reaped when it ends, so that no zombie stays; it does not end with this task.
        tokio::spawn(async move { child.wait().await });
        match (heard, word.trim_end()) {
            (Ok(Ok(_)), shim::CLAIMED) => Ok(true),
            (Ok(Ok(_)), shim::TAKEN) => Ok(false),
            (Ok(Err(error)), _) => Err(failed(error)),
            (Ok(Ok(_)) | Err(_), _) => {
                let said = std::fs::read_to_string(run_dir.join(record::SHIM_LOG));
                let said = said.unwrap_or_default();
                Err(failed(std::io::Error::other(format!(
                    "the shim did not start: {}",
                    said.trim()
                ))))
            }
        }
    }
}

/// Looks at a run, whoever started it.
///
/// # Errors
/// [`RunError::Io`].
pub fn attach(run_dir: &Path) -> Result<RunStatus, RunError> {
    let status = || {
        let Some(shim) = record::read::<ProcessId>(run_dir, record::SHIM)? else {
            return Ok(RunStatus::NotStarted);
        };
        // Alive is asked before the end is looked for: a shim that ends in between has written it.
        let alive = shim.is_alive()?;
        if let Some(Exit { code, signal, at, .. }) = record::read(run_dir, record::EXIT)? {
            return Ok(RunStatus::Exited { code, signal, at });
        }
        if alive {
            return Ok(RunStatus::Running { pid: shim.pid });
        }
        Ok(RunStatus::Dead { survivors: shim.session_members()? })
    };
    status().map_err(io("read", run_dir))
}

/// Waits until a run has ended. Giving up does not end the run.
///
/// # Errors
/// [`RunError::Cancelled`] and [`RunError::DeadlineExceeded`]; the run goes on then.
pub async fn wait(
    run_dir: &Path,
    deadline: Option<Duration>,
    cancel: &CancellationToken,
) -> Result<RunStatus, RunError> {
    let overdue = async {
        match deadline {
            Some(deadline) => {
                tokio::time::sleep(deadline).await;
                deadline
            }
            None => std::future::pending().await,
        }
    };
    let ended = async {
        loop {
            match attach(run_dir)? {
                RunStatus::Running { pid } => {
                    process_end(pid).await.map_err(io("watch", run_dir))?;
                }
                ended => return Ok(ended),
            }
        }
    };
    tokio::select! {
        biased;
        ended = ended => ended,
        () = cancel.cancelled() => Err(RunError::Cancelled { run_dir: run_dir.to_owned() }),
        deadline = overdue => {
            Err(RunError::DeadlineExceeded { run_dir: run_dir.to_owned(), deadline })
        }
    }
}

/// Asks the tool to end: it finishes what it has begun, writes its state and releases its lock. A second
/// interrupt makes it give up what it has begun. Nothing happens to a run that does not go on.
///
/// # Errors
/// [`RunError`].
pub async fn interrupt(run_dir: &Path) -> Result<(), RunError> {
    let looked = async {
        while let RunStatus::Running { .. } = attach(run_dir)? {
            let child: Option<ProcessId> =
                record::read(run_dir, record::CHILD).map_err(io("read", run_dir))?;
            if let Some(child) = child {
                return signal(&child, Signal::INT).map_err(io("interrupt", run_dir));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    };
    tokio::time::timeout(INTERRUPT_PATIENCE, looked)
        .await
        .unwrap_or_else(|_| Err(RunError::NotRecorded { run_dir: run_dir.to_owned() }))
}

/// Ends every process of a run at once and returns when all are gone. What the tool was creating may exist
/// without any state knowing, so this is for a person's order, and for the survivors of a dead run.
///
/// # Errors
/// [`RunError::Io`].
pub async fn kill(run_dir: &Path) -> Result<(), RunError> {
    let Some(shim) =
        record::read::<ProcessId>(run_dir, record::SHIM).map_err(io("read", run_dir))?
    else {
        return Ok(());
    };
    loop {
        let members = shim.session_members().map_err(io("read", run_dir))?;
        if members.is_empty() {
            return Ok(());
        }
        for member in members {
            match ProcessId::of(member) {
                Ok(Some(id)) => signal(&id, Signal::KILL).map_err(io("kill", run_dir))?,
                Ok(None) => {}
                Err(error) => return Err(io("kill", run_dir)(error)),
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Records that what an ended run left was looked at, and kept.
///
/// # Errors
/// [`RunError::Io`].
pub(crate) fn looked_at(run_dir: &Path) -> Result<(), RunError> {
    record::write(run_dir, LOOKED_AT, &true).map_err(io("write", run_dir))
}

/// Whether what an ended run left was looked at.
pub(crate) fn was_looked_at(run_dir: &Path) -> bool {
    run_dir.join(LOOKED_AT).exists()
}

/// What an ended run did.
///
/// # Errors
/// [`ApplyError`] unless the tool succeeded.
pub fn outcome(run_dir: &Path) -> Result<ApplyLog, ApplyError> {
    let (code, signal) = match attach(run_dir)? {
        RunStatus::NotStarted | RunStatus::Running { .. } => return Err(ApplyError::NotEnded),
        RunStatus::Dead { .. } => {
            return Err(ApplyError::Dead { log: Box::new(read_log(run_dir)?) });
        }
        RunStatus::Exited { code, signal, .. } => (code, signal),
    };
    let exit: Option<Exit> = record::read(run_dir, record::EXIT).map_err(io("read", run_dir))?;
    if let Some(reason) = exit.and_then(|exit| exit.error) {
        return Err(ApplyError::NotRun { reason });
    }
    let log = read_log(run_dir)?;
    if code == Some(0) {
        return Ok(log);
    }
    let stderr = stderr_tail(run_dir);
    if log.errors().any(|error| is_stale(&error.summary)) {
        return Err(ApplyError::StalePlan);
    }
    if let Some(holder) = lock_holder(&log.diagnostics, &stderr) {
        return Err(ApplyError::StateLocked { holder });
    }
    let ended = crate::process::Status { code, signal }.to_string();
    Err(ApplyError::Failed { ended, log: Box::new(log), stderr })
}

/// The summaries by which both tools refuse a plan for another version, or another line, of the state.
fn is_stale(summary: &str) -> bool {
    matches!(summary, "Saved plan is stale" | "Saved plan does not match the given state")
}

fn read_log(run_dir: &Path) -> Result<ApplyLog, RunError> {
    log::read(run_dir).map_err(io("read", run_dir))
}

fn stderr_tail(run_dir: &Path) -> String {
    let bytes = std::fs::read(run_dir.join(record::STDERR)).unwrap_or_default();
    crate::process::Captured::whole(bytes).tail()
}

/// Resolves when the process has ended; at once if there is none.
async fn process_end(pid: i32) -> std::io::Result<()> {
    match PidFd::open(pid)? {
        Some(process) => process.ended().await,
        None => Ok(()),
    }
}

/// Signals one process, and never another one that has got its number.
fn signal(id: &ProcessId, signal: Signal) -> std::io::Result<()> {
    match PidFd::open(id.pid)? {
        // The handle is held, so the number cannot change hands between this check and the signal.
        Some(process) if id.is_alive()? => process.signal(signal),
        Some(_) | None => Ok(()),
    }
}

fn errors(log: &ApplyLog, stderr: &str) -> String {
    let errors: Vec<String> = log.errors().map(ToString::to_string).collect();
    if errors.is_empty() { stderr.to_owned() } else { errors.join("; ") }
}

fn io(action: &'static str, run_dir: &Path) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::Io { action, run_dir: run_dir.to_owned(), source }
}
