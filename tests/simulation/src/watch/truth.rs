//! I7: what a promotion says at its end, held against what happened outside.

use std::collections::HashSet;

use reconciler_domain::id::StepName;
use reconciler_domain::promotion::{Ending, Finish, Node, NodeRun, State};
use reconciler_domain::step::{Call, Record, StepOutcome};

use crate::outside::Effect;
use crate::store::Saga;

/// Whether an effect left anything that can be told, or undone.
pub(super) fn changes(effect: &Effect) -> bool {
    match effect {
        Effect::Pushed(_) | Effect::Reverted | Effect::Received => true,
        Effect::Applied { changed, .. } => !changed.is_empty(),
    }
}

/// What is not true of what a promotion says, given what happened.
pub(super) fn lies(saga: &Saga, landed: &HashSet<Node>) -> Vec<String> {
    let Some((_, finish)) = &saga.state.finish else { return Vec::new() };
    if stands(finish.ending) {
        return untrue_success(&saga.state, landed);
    }
    let steps = landed.iter().filter_map(|node| match node {
        Node::Step(step) => Some(step),
        Node::Replan(_) | Node::Excess(_) | Node::UndoPlan(_) | Node::Undo(_) => None,
    });
    let left = steps.filter(|step| !is_undone(&saga.state, step, landed));
    let hidden = left.filter(|step| !is_told(finish, step));
    hidden.map(|step| format!("{:?}, and step {step} is not told", finish.ending)).collect()
}

/// Whether what the promotion did is what is to be there.
fn stands(ending: Ending) -> bool {
    match ending {
        Ending::Succeeded | Ending::Inconclusive => true,
        Ending::Failed
        | Ending::RolledBack
        | Ending::Stuck
        | Ending::Aborted
        | Ending::Superseded
        | Ending::Expired
        | Ending::Rehearsed => false,
    }
}

fn is_told(finish: &Finish, step: &StepName) -> bool {
    let begins = format!("step {step}: ");
    finish.remaining.iter().any(|line| line.starts_with(&begins))
}

/// Whether an effect was taken back, or others had left nothing of it to take back.
fn is_undone(state: &State, step: &StepName, landed: &HashSet<Node>) -> bool {
    let nothing_left = state.nodes.get(&Node::UndoPlan(step.clone())).is_some_and(|run| {
        let plan = done(run).and_then(Record::as_plan);
        plan.is_some_and(|plan| !plan.summary.has_changes)
    });
    nothing_left || landed.contains(&Node::Undo(step.clone()))
}

fn done(run: &NodeRun) -> Option<&Record> {
    match &run.outcome.as_ref()?.1 {
        StepOutcome::Done { record, .. } => Some(record),
        StepOutcome::Failed { .. }
        | StepOutcome::Uncertain { .. }
        | StepOutcome::Interrupted { .. } => None,
    }
}

/// What is said to be done, and did not happen.
fn untrue_success(state: &State, landed: &HashSet<Node>) -> Vec<String> {
    let missing = state.nodes.iter().filter_map(|(node, run)| {
        let Node::Step(step) = node else { return None };
        if state.passed_over.contains_key(step) {
            return None;
        }
        let has_effect = match (&run.call, done(run)) {
            (Call::GitPush(push), Some(_)) => push.commit.is_some(),
            (Call::Http(_), Some(_)) => true,
            (_, Some(_)) => false,
            (_, None) => return Some(format!("it succeeded, and step {step} was not done")),
        };
        let happened = !has_effect || landed.contains(node);
        (!happened).then(|| format!("it succeeded, and step {step} did not happen"))
    });
    missing.collect()
}
