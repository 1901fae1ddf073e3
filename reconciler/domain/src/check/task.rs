//! Checks of tasks: by themselves, and at the steps that use them.

use std::collections::BTreeSet;

use super::stage::{check_step_arguments, check_step_names};
use super::{Problem, ProblemKind, Surroundings, unknown};
use crate::expression::Names;
use crate::scope::{task_elements_names, task_names};
use crate::step::{Step, StepKind, StepProblem, did_you_mean};
use crate::task::{Task, bind, task_of, used};

/// Most steps of one task.
const STEPS_MAX: usize = 100;
/// Deepest nesting of tasks, so that what is expanded stays small.
const DEPTH_MAX: usize = 8;

/// Checks a task: its steps as far as they can be known to be wrong whatever stage uses them.
#[must_use]
pub fn check_task(task: &Task, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut around = around.clone();
    around.tasks.insert(task.name.as_str(), task);
    if task.steps.is_empty() {
        let message = "a task has at least one step";
        problems.push(Problem::new("steps", ProblemKind::Missing, message));
    }
    if task.steps.len() > STEPS_MAX {
        let message = format!("has {} steps, a task has at most {STEPS_MAX}", task.steps.len());
        problems.push(Problem::new("steps", ProblemKind::Invalid, message));
    }
    check_defaults(task, &mut problems);
    let mut seen = BTreeSet::new();
    for (at, step) in task.steps.iter().enumerate() {
        if !seen.insert(&step.name) {
            let message = format!("two steps are named {}", step.name);
            let path = format!("steps[{at}].name");
            problems.push(Problem::new(path, ProblemKind::Duplicate, message));
        }
        if check_step_arguments(step, at, &mut problems) {
            let names = task_names(task, at, None, &around.tasks);
            let elements = task_elements_names(task, None);
            check_step_names(step, at, &names, &elements, &around, &mut problems);
            check_plan(task, step, at, &mut problems);
            check_use(step, at, &around, &mut problems);
        }
    }
    check_nesting(task, &around, &mut problems);
    problems
}

fn check_defaults(task: &Task, problems: &mut Vec<Problem>) {
    for (at, (name, input)) in task.inputs.iter().enumerate() {
        let Some(default) = &input.default else { continue };
        let path = format!("inputs[{at}].default");
        if default.to_string().contains("{{") {
            let message = format!(
                "the default of {name} is a value: a template is handed over by the step that uses \
                 the task"
            );
            problems.push(Problem::new(path, ProblemKind::Invalid, message));
        } else if !input.holds.admits(default) {
            let message = format!("expected {}, found {default}", input.holds.describe());
            problems.push(Problem::new(path, ProblemKind::Invalid, message));
        }
    }
}

/// An apply and its plan stand in one task, so that a name can mean no other step's plan.
fn check_plan(task: &Task, step: &Step, at: usize, problems: &mut Vec<Problem>) {
    let plan = match (step.uses, step.config["plan"].as_str()) {
        (StepKind::TfApply, plan) => plan.unwrap_or_default(),
        (StepKind::TfOutput, Some(plan)) => plan,
        _ => return,
    };
    let first = plan.split(['.', '{']).next().unwrap_or_default();
    let plans = task.steps.iter().filter(|step| step.uses.plans_infra());
    let known: Vec<&str> = plans.map(|step| step.name.as_str()).collect();
    if !known.contains(&first) {
        let message = format!(
            "an apply and its plan stand in one task, and {plan:?} is no tf_plan step of this one{}",
            if known.is_empty() {
                String::new()
            } else {
                format!("; {}", did_you_mean(first, &known))
            }
        );
        let path = format!("steps[{at}].config.plan");
        problems.push(Problem::new(path, ProblemKind::Unknown, message));
    }
}

/// Checks that a task is there and is handed what it asks for. Whether it is.
pub(super) fn check_use(
    step: &Step,
    at: usize,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) -> bool {
    let Some(name) = task_of(step) else { return true };
    let Some(task) = around.tasks.get(name) else {
        let known: Vec<&str> = around.tasks.keys().copied().collect();
        unknown("task", name, &known, format!("steps[{at}].config.task"), problems);
        return false;
    };
    let misfits = bind(task, &step.config).err().unwrap_or_default();
    let fits = misfits.is_empty();
    problems.extend(misfits.into_iter().map(|StepProblem { path, kind, message }| Problem {
        path: format!("steps[{at}].config.{path}"),
        kind,
        message,
    }));
    fits
}

/// Checks what the steps of a task name, with what there is where a step uses it.
pub(super) fn check_inside(
    step: &Step,
    at: usize,
    names: &Names,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    for task in used(std::slice::from_ref(step), |name| around.tasks.get(name).copied()) {
        let elements = task_elements_names(task, Some(names));
        for (position, inner) in task.steps.iter().enumerate() {
            let names = task_names(task, position, Some(names), &around.tasks);
            let mut found = Vec::new();
            check_step_names(inner, position, &names, &elements, around, &mut found);
            problems.extend(found.into_iter().map(|problem| Problem {
                path: format!("steps[{at}].config.task"),
                message: format!("task {}: {problem}", task.name),
                ..problem
            }));
        }
    }
}

/// Tasks that use each other end somewhere, and soon.
fn check_nesting(task: &Task, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    let mut path = vec![task.name.as_str()];
    if is_circular(task, around, &mut path, &mut BTreeSet::new()) {
        let message = format!("tasks use each other in a circle: {}", path.join(" -> "));
        return problems.push(Problem::new("steps", ProblemKind::Cycle, message));
    }
    let mut level = vec![task];
    for _ in 0..DEPTH_MAX {
        let inner = level.iter().flat_map(|task| &task.steps).filter_map(task_of);
        let inner: BTreeSet<&str> = inner.collect();
        level = inner.into_iter().filter_map(|name| around.tasks.get(name).copied()).collect();
    }
    if let Some(deep) = level.first() {
        let message = format!(
            "tasks stand inside each other more than {DEPTH_MAX} deep; the innermost is {}",
            deep.name
        );
        problems.push(Problem::new("steps", ProblemKind::Invalid, message));
    }
}

/// Whether a task comes back to the first of the path, which then is the way.
fn is_circular<'t>(
    task: &'t Task,
    around: &Surroundings<'t>,
    path: &mut Vec<&'t str>,
    done: &mut BTreeSet<&'t str>,
) -> bool {
    for next in task.steps.iter().filter_map(task_of) {
        path.push(next);
        if Some(&next) == path.first() {
            return true;
        }
        if done.insert(next)
            && let Some(next) = around.tasks.get(next).copied()
            && is_circular(next, around, path, done)
        {
            return true;
        }
        path.pop();
    }
    false
}
