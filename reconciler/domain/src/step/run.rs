//! Programs that a step runs, contained.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StepProblem, Unseen};
use crate::check::ProblemKind;

/// A program to run in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCall {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The directory that it runs in, below the working directory; absent: an empty one.
    pub dir: Option<String>,
    /// What else of the working directory it sees.
    pub reads: Vec<String>,
    /// What of the working directory it may change; empty: its directory.
    pub writes: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Variables that hold secrets of the project: which, as `CREDENTIAL/KEY`.
    pub secrets: BTreeMap<String, String>,
    /// What it may reach.
    pub network: RunNetwork,
    /// Most memory that it may use in all, in MiB.
    pub memory_mib: u64,
    /// Most that it may write in all, in MiB.
    pub disk_mib: u64,
    /// Most processes and threads at once.
    pub processes: u64,
    /// Time for it.
    pub timeout: Duration,
    /// Where its outputs are: `stdout`, or a file below its directory; absent: what it printed last is one.
    pub outputs: Option<String>,
    /// Names the run, the same each time: project, promotion and step.
    pub key: String,
    /// What it does outside; absent: nothing.
    pub effect: Option<RunEffect>,
}

/// What is to be known of a program with effects outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEffect {
    /// Whether it may be run again when it is not known whether it was.
    pub at_most_once: bool,
    /// The program, with its arguments, that takes back what it did; empty: nothing does.
    pub undo: Vec<String>,
}

/// What a program may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunNetwork {
    /// Nothing but itself.
    None,
    /// What the daemon's egress policy opens, over HTTP and HTTPS.
    Egress,
    /// All that the daemon's machine reaches, where the daemon allows it.
    Host,
}

/// A program with effects outside that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanRecord {
    /// How it ended, for people: `exit code 0`.
    pub ended: String,
    /// The end of what it printed, without secrets.
    pub output: String,
}

impl RunCall {
    /// The run that takes this one back, if there is one.
    #[must_use]
    pub fn undo(&self) -> Option<Self> {
        let effect = self.effect.as_ref().filter(|effect| !effect.undo.is_empty())?;
        Some(Self {
            command: effect.undo.clone(),
            key: format!("{}/undo", self.key),
            outputs: None,
            effect: Some(RunEffect { at_most_once: effect.at_most_once, undo: Vec::new() }),
            ..self.clone()
        })
    }

    /// The program as people know it.
    #[must_use]
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// What it means that nobody saw its end.
    #[must_use]
    pub fn unseen(&self) -> Unseen {
        match &self.effect {
            None => Unseen::Nothing,
            Some(RunEffect { at_most_once: true, .. }) => Unseen::Unknown,
            Some(RunEffect { at_most_once: false, .. }) => Unseen::Tolerable,
        }
    }

    /// Whether it must not be run a second time when nobody saw its end.
    #[must_use]
    pub fn is_at_most_once(&self) -> bool {
        self.effect.as_ref().is_some_and(|effect| effect.at_most_once)
    }
}

/// Why a text names no variable of the environment that a step may set; absent: it does.
pub(super) fn no_variable(name: &str) -> Option<&'static str> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !starts_well || !goes_on || name.starts_with("LOCKSTEP_") {
        return Some("is no variable: letters, digits and `_`, and not `LOCKSTEP_…`");
    }
    let loads = name.starts_with("LD_") || matches!(name, "GLIBC_TUNABLES" | "GCONV_PATH");
    loads.then_some(
        "says which code every program loads, which no step may: let the program that is run set it",
    )
}

/// Whether a text names a secret of the project: a credential, and a key of it.
pub(super) fn is_secret(reference: &str) -> bool {
    reference.split_once('/').is_some_and(|(name, key)| {
        !name.is_empty() && !key.is_empty() && !key.contains('/') && !name.contains("{{")
    })
}

/// What the table of the kind cannot say.
pub(super) fn check(config: &Value, problems: &mut Vec<StepProblem>) {
    let mut problem = |path: String, kind, message: &str| {
        problems.push(StepProblem { path, kind, message: message.to_owned() });
    };
    if config["command"].as_array().is_some_and(Vec::is_empty) {
        let message = "names a program, and then its arguments, each by itself";
        problem("command".to_owned(), ProblemKind::Missing, message);
    }
    for map in ["env", "secrets"] {
        for (name, value) in config[map].as_object().into_iter().flatten() {
            if let Some(message) = no_variable(name) {
                problem(format!("{map}.{name}"), ProblemKind::Invalid, message);
            }
            if map == "secrets" && !value.as_str().is_some_and(is_secret) {
                let message = "expected a secret of the project, as CREDENTIAL/KEY";
                problem(format!("{map}.{name}"), ProblemKind::Invalid, message);
            }
            if map == "secrets" && config["env"].get(name).is_some() {
                let message = "is in `env`, too";
                problem(format!("{map}.{name}"), ProblemKind::Conflict, message);
            }
        }
    }
    let has_dir = config["dir"].is_string();
    let file = config["outputs"].as_str().filter(|outputs| *outputs != "stdout");
    if file.is_some() && !has_dir {
        let message = "a file is below `dir`, which is not given; or write \"stdout\"";
        problem("outputs".to_owned(), ProblemKind::Conflict, message);
    }
    if file.is_some_and(|file| file.starts_with('/') || file.split('/').any(|part| part == "..")) {
        let message = "leaves `dir`; the path is relative to it";
        problem("outputs".to_owned(), ProblemKind::Invalid, message);
    }
}
