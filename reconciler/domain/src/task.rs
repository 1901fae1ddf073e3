//! Tasks: steps that several stages share, with inputs.
//!
//! A step `uses = "task"` is replaced by the steps of the task when a promotion is prepared. A promotion that
//! waits is prepared anew when the task changes; from its commit on it carries what it was prepared with. Their names are qualified by that of the step (`deploy.push`), so
//! nothing collides; their expressions see `inputs`, the freight, and the steps of the task as
//! `steps`, and nothing of the stage that it does not hand over.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::ProblemKind;
use crate::id::{InputName, TaskName};
use crate::step::{Step, StepKind, StepProblem, did_you_mean};
use crate::template::Template;

/// Tasks by name, as a check or an expansion looks them up.
pub type Tasks<'a> = BTreeMap<&'a str, &'a Task>;

/// Steps that several stages share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Unique in the project.
    pub name: TaskName,
    /// What it does, in a sentence.
    pub description: String,
    /// What a step that uses it hands over, by name.
    pub inputs: IndexMap<InputName, Input>,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// One thing that a step hands over to a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// What it may hold.
    pub holds: InputType,
    /// Its value where none is handed over; absent: one must be.
    pub default: Option<Value>,
    /// What it means.
    pub description: String,
}

/// What an input may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A list of anything.
    List,
    /// A map of anything.
    Map,
    /// Anything but null.
    Any,
}

impl InputType {
    /// Whether a value is of this type.
    #[must_use]
    pub fn admits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
            Self::Any => !value.is_null(),
        }
    }

    /// Whether what is handed over, as written, may give a value of this type.
    ///
    /// Text around a template makes text; what a template by itself gives is known when it is
    /// rendered.
    #[must_use]
    pub fn may_admit(self, written: &Value) -> bool {
        let template = written.as_str().and_then(|text| Template::parse(text).ok());
        template.is_some_and(|template| template.is_one_expression()) || self.admits(written)
    }

    /// What is expected, in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "a value",
        }
    }
}

/// The task that a step uses, as written.
#[must_use]
pub fn task_of(step: &Step) -> Option<&str> {
    if step.uses == StepKind::Task { step.config.get("task")?.as_str() } else { None }
}

/// One input of a task with what it holds where the task is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handed {
    /// What it may hold.
    pub holds: InputType,
    /// What is handed over, as written, or the default.
    pub value: Value,
}

/// Inputs of a task by name, as a step hands them over.
pub type Inputs = IndexMap<InputName, Handed>;

/// What a step hands over to a task, with the task's defaults for the rest.
///
/// # Errors
/// Every input that is missing, that the task does not have, or that cannot be of its type, at paths
/// below the step's arguments.
pub fn bind(task: &Task, config: &Value) -> Result<Inputs, Vec<StepProblem>> {
    let given = config.get("inputs").and_then(Value::as_object);
    let given = |name: &str| given?.get(name).filter(|value| !value.is_null());
    let mut problems = unknown_inputs(task, config);
    let mut problem = |name: &InputName, kind, message| {
        problems.push(StepProblem { path: format!("inputs.{name}"), kind, message });
    };
    let mut inputs = Inputs::new();
    for (name, Input { holds, default, .. }) in &task.inputs {
        match given(name.as_str()).or(default.as_ref()) {
            None => {
                let message = format!("task {} needs it: it has no default", task.name);
                problem(name, ProblemKind::Missing, message);
            }
            Some(value) if !holds.may_admit(value) => {
                let message =
                    format!("task {} expects {}, found {value}", task.name, holds.describe());
                problem(name, ProblemKind::Invalid, message);
            }
            Some(value) => {
                inputs.insert(name.clone(), Handed { holds: *holds, value: value.clone() });
            }
        }
    }
    if problems.is_empty() { Ok(inputs) } else { Err(problems) }
}

fn unknown_inputs(task: &Task, config: &Value) -> Vec<StepProblem> {
    let given = config.get("inputs").and_then(Value::as_object);
    let names = given.into_iter().flat_map(serde_json::Map::keys);
    let known: Vec<&str> = task.inputs.keys().map(InputName::as_str).collect();
    let unknown = names.filter(|name| !known.contains(&name.as_str())).map(|name| StepProblem {
        path: format!("inputs.{name}"),
        kind: ProblemKind::Argument,
        message: match known.as_slice() {
            [] => format!("task {} has no inputs", task.name),
            known => {
                format!("task {} has no input {name:?}; {}", task.name, did_you_mean(name, known))
            }
        },
    });
    unknown.collect()
}

/// The tasks that steps use, and those that these use, each once, by name. One that is gone is
/// absent.
#[must_use]
pub fn used<'t>(steps: &[Step], find: impl Fn(&str) -> Option<&'t Task>) -> Vec<&'t Task> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<&str> = steps.iter().filter_map(task_of).collect();
    let mut found = Vec::new();
    while let Some(name) = open.pop() {
        if !seen.insert(name.to_owned()) {
            continue;
        }
        let Some(task) = find(name) else { continue };
        open.extend(task.steps.iter().filter_map(task_of));
        found.push(task);
    }
    found.sort_by(|a: &&Task, b| a.name.cmp(&b.name));
    found
}
