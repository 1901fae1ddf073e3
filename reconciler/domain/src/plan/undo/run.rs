//! The undo of programs with effects outside: another program, if they name one.

use jiff::Timestamp;
use serde_json::Value;

use super::{changed, node};
use crate::id::StepName;
use crate::plan::promotion::Move;
use crate::promotion::{Node, State};
use crate::snapshot::PromotionSnapshot;
use crate::step::{Call, Record, RunCall};

pub(super) fn describe(config: &Value) -> (bool, String) {
    match config["undo"].as_array().and_then(|undo| undo.first()).and_then(Value::as_str) {
        Some(program) => (true, format!("runs its undo, `{program}`")),
        None => (false, "has no undo: what its program did stays done".to_owned()),
    }
}

pub(super) fn undo(snapshot: &PromotionSnapshot, step: &StepName, now: Timestamp) -> Option<Move> {
    let call = ran(&snapshot.state, step)?.undo()?;
    node(snapshot, Node::Undo(step.clone()), || Call::Run(call), now)
}

/// The undo of a program that was broken off: it may have done anything.
pub(super) fn undo_perhaps(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    now: Timestamp,
) -> Option<Move> {
    let run = snapshot.state.nodes.get(&Node::Step(step.clone()))?;
    if !run.may_have_changed() || run.call.as_run().is_none() {
        return None;
    }
    undo(snapshot, step, now)
}

/// What stays of a program that has run and names nothing that takes it back.
pub(super) fn remains(state: &State, step: &StepName) -> Option<String> {
    let Record::Ran(record) = changed(state, step)? else { return None };
    let call = ran(state, step).filter(|call| call.undo().is_none())?;
    Some(format!("step {step}: `{}` ran ({}) and has no undo", call.program(), record.ended))
}

fn ran<'a>(state: &'a State, step: &StepName) -> Option<&'a RunCall> {
    state.nodes.get(&Node::Step(step.clone()))?.call.as_run()
}
