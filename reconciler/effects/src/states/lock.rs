//! Who may write a state: one at a time, whether it is a run of the daemon or somebody over HTTP.
//!
//! The lock is a file in the tree of versions. That of a client is there until the client, or somebody in its
//! place, takes it away, across restarts of the daemon. That of a run goes with the run: it holds as long as the
//! work goes on that took it, or the shim below which its apply runs.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use reconciler_domain::id::{Principal, PromotionId, StepName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{StateError, StateName, States};
use crate::infra::ProcessId;
use crate::infra::run::{self, RunStatus};
use crate::workdir::WorkdirError;

/// Bytes that a lock may have: the tools write a few hundred.
pub const LOCK_MAX: u64 = 16 << 10;

/// Bytes of its file, in which its words stand twice.
const KEPT_MAX: u64 = 2 * LOCK_MAX;

/// Bytes that each of its words may have, which stand in its file twice.
const WORD_MAX: usize = 1 << 10;

/// A lock of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateLock {
    /// Names this lock among all.
    pub id: String,
    /// What it is for, as the tools say it: `OperationTypeApply`.
    pub operation: String,
    /// Who has it, in the words of the holder: `ada@laptop`.
    pub who: String,
    /// When it was taken.
    pub since: Timestamp,
    /// Who has it, as far as we know.
    pub holder: Holder,
    /// All that a client said, which is given back to others.
    info: Map<String, Value>,
}

/// Who has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Holder {
    /// Somebody over HTTP.
    Client {
        /// Who.
        who: Principal,
    },
    /// A run of a promotion.
    Run(RunHolder),
}

/// A run that has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHolder {
    /// The promotion.
    pub promotion: PromotionId,
    /// Its step.
    pub step: StepName,
    /// The process that works on it.
    process: Option<ProcessId>,
    /// Where its apply runs, without the number; absent: it is no apply.
    runs: Option<PathBuf>,
}

impl StateLock {
    /// The lock that a client asks for, in the words of OpenTofu and Terraform: an object with an `ID`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_client(body: &[u8], who: &Principal, now: Timestamp) -> Result<Self, String> {
        if body.len() as u64 > LOCK_MAX {
            return Err(format!("a lock has at most {LOCK_MAX} bytes"));
        }
        let info: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| format!("a lock is an object: {error}"))?;
        let text = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        for key in ["ID", "Operation", "Who"] {
            if text(key).len() > WORD_MAX {
                return Err(format!("the `{key}` of a lock has at most {WORD_MAX} bytes"));
            }
        }
        let id = text("ID");
        if id.is_empty() {
            return Err("a lock has an `ID`".to_owned());
        }
        let (operation, by) = (text("Operation"), text("Who"));
        let holder = Holder::Client { who: who.clone() };
        let lock = Self { id, operation, who: by, since: now, holder, info };
        // Numbers may be longer as we write them.
        if lock.bytes().len() as u64 > KEPT_MAX {
            return Err(format!("a lock has at most {LOCK_MAX} bytes"));
        }
        Ok(lock)
    }

    fn of_run(holder: RunHolder, operation: &str, now: Timestamp) -> Self {
        let RunHolder { promotion, step, .. } = &holder;
        let id = format!("{promotion}/{step}/{}", now.as_microsecond());
        let who = format!("lockstepd, promotion {promotion}, step {step}");
        let info = json!({
            "ID": id, "Operation": operation, "Who": who, "Created": now.to_string(),
            "Info": "it is unlocked when that ends", "Version": "", "Path": "",
        });
        let info = info.as_object().cloned().unwrap_or_default();
        let (operation, holder) = (operation.to_owned(), Holder::Run(holder));
        Self { id, operation, who, since: now, holder, info }
    }

    /// As it is kept.
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and texts are JSON")
    }

    /// The lock in the words of OpenTofu and Terraform.
    #[must_use]
    pub fn info(&self) -> &Map<String, Value> {
        &self.info
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self, name: &StateName) -> String {
        let workspace = match name.workspace() {
            super::DEFAULT_WORKSPACE => String::new(),
            other => format!(" --workspace {other}"),
        };
        let unlock = format!(
            "lockstep state unlock {} {} {}{workspace} --reason …",
            name.stage,
            name.name(),
            self.id
        );
        match &self.holder {
            Holder::Run(_) => {
                format!("it is unlocked when that ends; or if its promotion is over: {unlock}")
            }
            Holder::Client { .. } => format!("wait for it, or if it is dead: {unlock}"),
        }
    }

    /// Whether it may be taken away: not under a run that goes on.
    #[must_use]
    pub fn may_be_taken_away(&self) -> bool {
        match &self.holder {
            Holder::Run(run) => !run.runs_still(),
            Holder::Client { .. } => true,
        }
    }

    /// Whether it is this client's own.
    #[must_use]
    pub fn is_of(&self, who: &Principal) -> bool {
        matches!(&self.holder, Holder::Client { who: holder } if holder == who)
    }
}

/// The right to write a state, for one run. It ends with this value, unless an apply goes on.
#[derive(Debug)]
pub(crate) struct Held {
    states: States,
    name: StateName,
    id: String,
}

impl Held {
    /// Of its lock.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _turn = self.states.turn();
        self.states.at_work().remove(&self.name);
        // Whether the apply goes on is looked at there.
        if let Err(error) = self.states.holder(&self.name) {
            tracing::warn!(name = %self.name, id = self.id, %error, "the lock of a state stays behind");
        }
    }
}

impl States {
    /// Locks a state for a client.
    ///
    /// # Errors
    /// [`StateError::Locked`].
    pub fn lock(&self, name: &StateName, lock: &StateLock) -> Result<(), StateError> {
        let _turn = self.turn();
        match self.holder(name)? {
            // The answer to the first request was lost.
            Some(held) if held.id == lock.id && held.holder == lock.holder => Ok(()),
            Some(held) => Err(locked(name, held)),
            None => self.write_lock(name, lock),
        }
    }

    /// Takes a lock away; tells which it was. `id` absent: whichever it is. That of a run only when the run has ended
    /// and its promotion never looked at what it left.
    ///
    /// # Errors
    /// There is none, another one, or a run goes on.
    pub fn unlock(&self, name: &StateName, id: Option<&str>) -> Result<StateLock, StateError> {
        let _turn = self.turn();
        let Some(held) = self.holder(name)? else {
            return Err(StateError::NotLocked { name: name.to_string() });
        };
        let at_work = self.at_work().contains(name);
        if at_work || !held.may_be_taken_away() || id.is_some_and(|id| id != held.id) {
            return Err(locked(name, held));
        }
        self.inner.versions.remove(&name.lock())?;
        Ok(held)
    }

    /// The lock of a state, if it has one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn locked(&self, name: &StateName) -> Result<Option<StateLock>, StateError> {
        let _turn = self.turn();
        self.holder(name)
    }

    /// Locks a state for a run of a promotion. `runs` is where its apply runs, without the number: while one of
    /// those goes on the lock holds, and whoever comes back to it has it again.
    pub(crate) fn hold(
        &self,
        name: &StateName,
        (promotion, step): (&PromotionId, &StepName),
        runs: Option<&Path>,
        now: Timestamp,
    ) -> Result<Held, StateError> {
        let _turn = self.turn();
        let is_same = |held: &StateLock| match &held.holder {
            Holder::Run(held) => runs.is_some() && held.runs.as_deref() == runs,
            Holder::Client { .. } => false,
        };
        if let Some(held) = self.holder(name)?
            && (self.at_work().contains(name) || !is_same(&held))
        {
            return Err(locked(name, held));
        }
        let process = ProcessId::of(std::process::id().cast_signed()).ok().flatten();
        let (promotion, step) = (promotion.clone(), step.clone());
        let operation = if runs.is_some() { "OperationTypeApply" } else { "OperationTypePlan" };
        let holder = RunHolder { promotion, step, process, runs: runs.map(Path::to_owned) };
        let lock = StateLock::of_run(holder, operation, now);
        self.write_lock(name, &lock)?;
        self.at_work().insert(name.clone());
        Ok(Held { states: self.clone(), name: name.clone(), id: lock.id })
    }

    /// The lock of a state; that of a run which is over is removed.
    pub(super) fn holder(&self, name: &StateName) -> Result<Option<StateLock>, StateError> {
        let path = name.lock();
        let bytes = match self.inner.versions.read(&path, KEPT_MAX) {
            Err(WorkdirError::NotFound { .. }) => return Ok(None),
            read => read?,
        };
        let lock: StateLock = serde_json::from_slice(&bytes)
            .map_err(|source| StateError::Damaged { name: name.to_string(), source })?;
        let goes_on = match &lock.holder {
            Holder::Client { .. } => true,
            Holder::Run(run) => self.at_work().contains(name) || run.goes_on(),
        };
        if goes_on {
            return Ok(Some(lock));
        }
        self.inner.versions.remove(&path)?;
        Ok(None)
    }

    fn write_lock(&self, name: &StateName, lock: &StateLock) -> Result<(), StateError> {
        Ok(self.inner.versions.write(&name.lock(), &lock.bytes())?)
    }
}

impl RunHolder {
    /// Whether another process works on it, an apply of it goes on, or one has ended that nobody looked at.
    fn goes_on(&self) -> bool {
        self.stands(|dir| !run::was_looked_at(dir))
    }

    /// Whether another process works on it, or an apply of it goes on.
    fn runs_still(&self) -> bool {
        self.stands(|_| false)
    }

    fn stands(&self, when_ended: impl Fn(&Path) -> bool) -> bool {
        let me = std::process::id().cast_signed();
        let elsewhere = self.process.as_ref().filter(|process| process.pid != me);
        if elsewhere.is_some_and(|process| process.is_alive().unwrap_or(true)) {
            return true;
        }
        let Some(runs) = &self.runs else { return false };
        let numbered = |number: u32| {
            let mut dir = runs.as_os_str().to_owned();
            dir.push(format!(".{number}"));
            PathBuf::from(dir)
        };
        let last = (1..).map(numbered).take_while(|dir| dir.exists()).last();
        last.is_some_and(|dir| match run::attach(&dir) {
            Ok(RunStatus::Running { .. }) | Err(_) => true,
            Ok(RunStatus::Dead { survivors }) => !survivors.is_empty(),
            Ok(RunStatus::Exited { .. }) => when_ended(&dir),
            Ok(RunStatus::NotStarted) => false,
        })
    }
}

pub(super) fn locked(name: &StateName, held: StateLock) -> StateError {
    let advice = held.advice(name);
    StateError::Locked { name: name.to_string(), advice, held: Box::new(held) }
}
