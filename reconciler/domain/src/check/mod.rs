//! Checks of definitions with the rest of the project at hand: what can be known to be wrong before
//! anything runs. Syntax is checked where a definition is parsed; here are names, references and the
//! shape of the graph. Every problem has the path of the field that causes it.

mod freeze;
mod graph;
mod hold;
mod inquiry;
mod order;
mod policy;
mod secret;
mod stage;
mod task;
mod verification;
mod warehouse;

use std::collections::BTreeMap;

use crate::credential::Credential;
use crate::expression::{Expression, ExpressionError, Names};
use crate::id::{CredentialName, StageName, VerificationName, WarehouseName};
use crate::stage::Stage;
use crate::step::did_you_mean;
use crate::task::Tasks;
use crate::verification::Verification;
use crate::warehouse::Warehouse;

pub use freeze::check_freeze;
pub use graph::{cycle_through, in_order, reachable};
pub use hold::check_hold;
pub(crate) use order::expanded;
pub use policy::{check_policy, check_windows};
pub use stage::check_stage;
pub use task::check_task;
pub use verification::{check_verification, response_names, result_names};
pub use warehouse::check_warehouse;

/// Something wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Where: `requests[0].from[1]`, `steps[2].config.updates`.
    pub path: String,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// A required thing is missing or empty.
    Missing,
    /// A value is not allowed.
    Invalid,
    /// The same name stands twice.
    Duplicate,
    /// A name that nothing has.
    Unknown,
    /// An expression or template that cannot work.
    Expression,
    /// Stages that wait for each other, or tasks that use each other, in a circle.
    Cycle,
    /// An argument that the kind of step does not take.
    Argument,
    /// A text that is not a duration.
    Duration,
    /// A text that is not a glob.
    Glob,
    /// Two fields that exclude each other, or neither of two of which one is needed.
    Conflict,
    /// It can never be fulfilled.
    Never,
}

/// The other definitions of the project, as far as checks look at them.
#[derive(Debug, Clone, Default)]
pub struct Surroundings<'a> {
    /// Warehouses.
    pub warehouses: BTreeMap<&'a WarehouseName, &'a Warehouse>,
    /// Stages.
    pub stages: BTreeMap<&'a StageName, &'a Stage>,
    /// Verification templates.
    pub verifications: BTreeMap<&'a VerificationName, &'a Verification>,
    /// Tasks.
    pub tasks: Tasks<'a>,
    /// Credentials.
    pub credentials: BTreeMap<&'a CredentialName, &'a Credential>,
}

impl<'a> Surroundings<'a> {
    /// The definitions of a project.
    #[must_use]
    pub fn of(definitions: &'a crate::snapshot::Definitions) -> Self {
        Self {
            warehouses: definitions.warehouses.iter().map(|(n, d)| (n, &d.spec)).collect(),
            stages: definitions.stages.iter().map(|(n, d)| (n, &d.spec)).collect(),
            verifications: definitions.verifications.iter().map(|(n, d)| (n, &d.spec)).collect(),
            tasks: definitions.tasks.iter().map(|(n, d)| (n.as_str(), &d.spec)).collect(),
            credentials: definitions.credentials.iter().map(|(n, d)| (n, &d.spec)).collect(),
        }
    }
}

impl Problem {
    fn new(path: impl Into<String>, kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { path: path.into(), kind, message: message.into() }
    }
}

fn unknown(what: &str, name: &str, known: &[&str], path: String, problems: &mut Vec<Problem>) {
    if known.contains(&name) {
        return;
    }
    let hint =
        if known.is_empty() { "there is none yet".to_owned() } else { did_you_mean(name, known) };
    let message = format!("there is no {what} {name:?}; {hint}");
    problems.push(Problem { path, kind: ProblemKind::Unknown, message });
}

fn expression(text: &str, names: &Names, path: &str, problems: &mut Vec<Problem>) {
    let errors: Vec<ExpressionError> = match Expression::parse(text) {
        Ok(parsed) => parsed.check(names).err().unwrap_or_default(),
        Err(error) => vec![error],
    };
    problems.extend(errors.into_iter().map(|error| Problem {
        path: path.to_owned(),
        kind: ProblemKind::Expression,
        message: error.to_string(),
    }));
}

fn join(base: &str, path: &str) -> String {
    match path {
        "" => base.to_owned(),
        path => format!("{base}.{path}"),
    }
}

/// A JSON pointer as a dotted path: `/updates/image.tag` becomes `.updates.image.tag`.
fn dotted(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) => format!("{path}.{part}"),
        }
    })
}
