//! From the steps that people write to those that a promotion carries out.
//!
//! Expansion happens when a promotion is prepared, before any step runs; from then on the steps are
//! fixed. It is pure: the same steps with the same elements give the same steps.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Control, Lane, Step, StepKind};
use crate::expression::{Expression, Reference};
use crate::id::{NameError, StepName, TaskName};
use crate::scope::outermost;
use crate::task::{Inputs, Task, Tasks, bind, task_of};
use crate::template::references_json;

/// Most elements of one `for_each`.
const ELEMENTS_MAX: usize = 200;
/// Most steps of one promotion.
const STEPS_MAX: usize = 1_000;
/// Most steps that are looked at for one promotion, with those that come to nothing.
const LOOKS_MAX: usize = 10_000;
/// Longest key of an element.
const KEY_MAX: usize = 63;

/// What a step was expanded from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "layer")]
pub enum Layer {
    /// One element of `for_each`; `each` in expressions.
    Each {
        /// Its key; of a list its position, from 0.
        key: String,
        /// Its value.
        value: Value,
    },
    /// A task; `inputs` in expressions, and `steps` are those of the task.
    Task {
        /// Which.
        task: TaskName,
        /// The step that stands for it.
        step: StepName,
        /// What is handed over, as written: it is rendered where the step stands.
        inputs: Inputs,
        /// The condition of that step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<Expression>,
    },
}

/// One step to carry out, and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Expanded {
    /// The step.
    pub step: Step,
    /// Its position among the steps that were expanded.
    pub origin: usize,
}

/// Why steps cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: {message}")]
pub struct ExpandError {
    /// The step as written.
    pub step: StepName,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Gives the value of a template of a step that stands in these layers.
pub(super) type Resolve<'a> = &'a dyn Fn(Wanted, &Value, &[Layer]) -> Result<Value, String>;

/// What a template is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The elements of a `for_each`.
    Elements,
    /// The name of a step.
    StepName,
}

/// Expands steps, with the tasks that they use.
///
/// # Errors
/// The first step that cannot be expanded.
pub fn expand(
    steps: &[Step],
    tasks: &Tasks<'_>,
    resolve: Resolve<'_>,
) -> Result<Vec<Expanded>, ExpandError> {
    let mut expansion = Expansion { tasks, resolve, origin: 0, looks: 0, expanded: Vec::new() };
    for (origin, step) in steps.iter().enumerate() {
        expansion.origin = origin;
        let fail = |message| ExpandError { step: step.name.clone(), message };
        expansion.step(step).map_err(fail)?;
    }
    whole_groups(&expansion.expanded)?;
    Ok(expansion.expanded)
}

/// A group is of steps that follow one another.
fn whole_groups(expanded: &[Expanded]) -> Result<(), ExpandError> {
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    let mut now: Option<&str> = None;
    for Expanded { step, .. } in expanded {
        let group = step.lane.as_ref().map(|lane| lane.group.as_str());
        if group == now {
            continue;
        }
        ended.extend(now);
        if let Some(group) = group.filter(|group| ended.contains(group)) {
            let message = format!(
                "other steps stand between it and those before that have `parallel` {group:?}, too: \
                 put them together, or use another word"
            );
            return Err(ExpandError { step: outermost_step(step), message });
        }
        now = group;
    }
    Ok(())
}

/// The step as it is written in the stage.
fn outermost_step(step: &Step) -> StepName {
    let first = step.name.as_str().split('.').next().unwrap_or_default();
    first.parse().unwrap_or_else(|_| step.name.clone())
}

struct Expansion<'a> {
    tasks: &'a Tasks<'a>,
    resolve: Resolve<'a>,
    /// The position of the step that is being expanded, as people wrote it.
    origin: usize,
    looks: usize,
    expanded: Vec<Expanded>,
}

impl Expansion<'_> {
    /// A step as it is written, in a stage or in a task.
    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            return Err(format!("tasks and elements come to more than {LOOKS_MAX} steps"));
        }
        let Some(for_each) = &step.control.for_each else { return self.one(step.clone()) };
        let named = |error: String| format!("for_each: {error}");
        no_late_elements(for_each, &step.within).map_err(named)?;
        let value = (self.resolve)(Wanted::Elements, for_each, &step.within).map_err(named)?;
        for (key, value) in elements(&value).map_err(named)? {
            let mut each = step.clone();
            each.name = step.name.part(&key).map_err(|error: NameError| error.to_string())?;
            each.control = Control { for_each: None, ..step.control.clone() };
            each.within.push(Layer::Each { key, value });
            name_plan(&mut each, self.resolve)?;
            self.one(each)?;
        }
        Ok(())
    }

    /// A step for one element.
    fn one(&mut self, mut step: Step) -> Result<(), String> {
        stand_in_lane(&mut step)?;
        if let Some(task) = task_of(&step) {
            let found = self.tasks.get(task).copied();
            let task = found.ok_or_else(|| format!("there is no task {task:?}"))?;
            return self.inside(&step, task);
        }
        if self.expanded.len() == STEPS_MAX {
            return Err(format!("a promotion has at most {STEPS_MAX} steps"));
        }
        self.expanded.push(Expanded { step, origin: self.origin });
        Ok(())
    }

    /// The steps of a task, for a step that uses it.
    fn inside(&mut self, step: &Step, task: &Task) -> Result<(), String> {
        let is_same =
            |layer: &Layer| matches!(layer, Layer::Task { task: outer, .. } if *outer == task.name);
        if step.within.iter().any(is_same) {
            return Err(format!("task {} uses itself", task.name));
        }
        let inputs = bind(task, &step.config).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })?;
        let layer = Layer::Task {
            task: task.name.clone(),
            step: step.name.clone(),
            inputs,
            when: step.control.when.clone(),
        };
        for written in &task.steps {
            let mut inner = written.clone();
            inner.name =
                step.name.part(written.name.as_str()).map_err(|error| error.to_string())?;
            inner.within = step.within.iter().chain([&layer]).cloned().collect();
            inner.control.retry = written.control.retry.or(step.control.retry);
            inner.lane = step.lane.clone();
            qualify_plan(&mut inner, &step.name);
            self.step(&inner).map_err(|error| format!("{}: {error}", written.name))?;
        }
        Ok(())
    }
}

/// Puts a step beside the others of its word.
fn stand_in_lane(step: &mut Step) -> Result<(), String> {
    let Some(word) = &step.control.parallel else { return Ok(()) };
    if let Some(lane) = &step.lane {
        return Err(format!(
            "`parallel`: it is part of step {}, which is beside others already; what is in a lane is \
             carried out in order",
            lane.name
        ));
    }
    let task = step.within.iter().rev().find_map(|layer| match layer {
        Layer::Task { step, .. } => Some(step),
        Layer::Each { .. } => None,
    });
    let group = task.map_or_else(|| word.to_string(), |task| format!("{task}.{word}"));
    step.lane = Some(Lane { group, name: step.name.clone() });
    Ok(())
}

/// Elements are wanted before any step runs; inside a task an input can read steps, too.
fn no_late_elements(for_each: &Value, within: &[Layer]) -> Result<(), String> {
    let read = references_json(for_each).unwrap_or_default();
    let mut read = read.iter().flat_map(|reference| outermost(reference, within));
    match read.find(|reference: &Reference| reference.root() == "steps") {
        Some(late) => Err(format!(
            "it is expanded before any step runs, so it cannot read {late}, which exists only once a \
             step has run"
        )),
        None => Ok(()),
    }
}

/// Inside a task, a plan is that of a step of the same task.
fn qualify_plan(step: &mut Step, within: &StepName) {
    if matches!(step.uses, StepKind::TfApply | StepKind::TfOutput)
        && let Some(plan) = step.config.get("plan").and_then(Value::as_str)
    {
        step.config["plan"] = Value::from(format!("{within}.{plan}"));
    }
}

/// `tf_apply` and `tf_output` name a step; which one, their element decides.
fn name_plan(step: &mut Step, resolve: Resolve<'_>) -> Result<(), String> {
    if matches!(step.uses, StepKind::TfApply | StepKind::TfOutput)
        && let Some(plan) = step.config.get("plan").filter(|plan| !plan.is_null()).cloned()
    {
        step.config["plan"] = resolve(Wanted::StepName, &plan, &step.within)
            .map_err(|error| format!("plan: {error}"))?;
    }
    Ok(())
}

/// Keys and values of what `for_each` holds.
///
/// # Errors
/// It is neither a list nor a map, too long, or a key cannot be part of a name.
pub fn elements(value: &Value) -> Result<Vec<(String, Value)>, String> {
    let found: Vec<(String, Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| (at.to_string(), item.clone())).collect()
        }
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(format!("expected a list or a map, found {value}"));
        }
    };
    if found.len() > ELEMENTS_MAX {
        return Err(format!("has {} elements, at most {ELEMENTS_MAX} are possible", found.len()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let misnamed = |key: &String| key.is_empty() || key.len() > KEY_MAX || !key.chars().all(plain);
    match found.iter().find(|(key, _)| misnamed(key)) {
        Some((key, _)) => Err(format!(
            "key {key:?} cannot be part of a step's name: use letters, digits, `_` and `-`, at most \
             {KEY_MAX} of them"
        )),
        None => Ok(found),
    }
}
