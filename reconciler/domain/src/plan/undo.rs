//! Undoing: the effects of a failed promotion in reverse, each as crash-safe as the effect itself.
//!
//! A push is undone by a revert, an apply by planning and applying the module of the last succeeded
//! promotion against the same state, under the same infra rules; the first promotion's by
//! destroying only what it created. What cannot be undone leaves the promotion *stuck*, with what
//! remains; it is never called rolled back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::commit::{Advance, advance, stuck};
use super::promotion::{Act, Move};
use crate::id::StepName;
use crate::infra::{Address, judge_undo};
use crate::policy::Joined;
use crate::promotion::{Ending, Event, Finish, Frozen, Node, Previous, State, UndoPlan};
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    ApplyCall, Call, CommitCall, Nature, PlanCall, PlanRecord, PushRecord, Record, RevertCall,
    StepKind, StepOutcome, mark,
};

/// What an undo would do, in its order, for the change set.
pub(super) fn describe(frozen: &Frozen, state: &State) -> Vec<UndoPlan> {
    let effects = frozen.stage.steps.iter().rev().filter(|s| s.uses.nature() == Nature::Effect);
    effects
        .map(|step| {
            let (possible, description) = match step.uses {
                StepKind::GitPush => {
                    (true, "reverts the commit; stuck if others changed the same lines".to_owned())
                }
                StepKind::TfApply => (true, describe_infra(frozen, state, &step.config)),
                StepKind::Http => (false, "has no undo: what was sent stays sent".to_owned()),
                StepKind::GitClone
                | StepKind::YamlUpdate
                | StepKind::GitCommit
                | StepKind::TfPlan
                | StepKind::TfOutput => (true, String::new()),
            };
            UndoPlan { step: step.name.clone(), description, possible }
        })
        .collect()
}

fn describe_infra(frozen: &Frozen, state: &State, config: &serde_json::Value) -> String {
    let plan_step = config.get("plan").and_then(serde_json::Value::as_str);
    let plan = state.prepared.iter().find_map(|(name, done)| match &done.record {
        Record::Plan(plan) if Some(name.as_str()) == plan_step => Some(plan),
        _ => None,
    });
    let before = plan.and_then(|plan| previous_plan(frozen.previous.as_ref()?, &plan.call));
    match (before, &frozen.previous) {
        (Some(_), Some(previous)) => format!(
            "plans and applies the module of promotion {} again, under the same infra rules",
            previous.promotion
        ),
        (_, _) => "destroys what this promotion created, and nothing else".to_owned(),
    }
}

pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let Some(frozen) = &snapshot.state.frozen else { return Move::default() };
    for step in frozen.stage.steps.iter().rev() {
        let Some(record) = changed(&snapshot.state, &step.name) else { continue };
        let next = match record {
            Record::Push(push) => undo_push(snapshot, frozen, &step.name, push, now),
            Record::Applied(applied) => {
                undo_apply(snapshot, frozen, &step.name, &applied.created, now)
            }
            Record::None | Record::Clone(_) | Record::Commit(_) | Record::Plan(_) => None,
        };
        if let Some(next) = next {
            return next;
        }
    }
    let cause = snapshot.state.unwinding.clone().unwrap_or_default();
    let unreachable: Vec<String> = frozen
        .stage
        .steps
        .iter()
        .filter(|step| step.uses == StepKind::Http && was_done(&snapshot.state, &step.name))
        .map(|step| format!("step {}: its request was sent and has no undo", step.name))
        .collect();
    Move::append(Event::Finished(Finish {
        ending: Ending::RolledBack,
        message: format!("undone: {cause}"),
        remaining: unreachable,
    }))
}

/// What a step changed outside, whether it ended well or not.
fn changed<'a>(state: &'a State, step: &StepName) -> Option<&'a Record> {
    match &state.nodes.get(&Node::Step(step.clone()))?.outcome.as_ref()?.1 {
        StepOutcome::Done { record, .. } | StepOutcome::Failed { record, .. } => Some(record),
        StepOutcome::Uncertain { .. } => None,
    }
}

fn was_done(state: &State, step: &StepName) -> bool {
    let run = state.nodes.get(&Node::Step(step.clone()));
    run.is_some_and(|run| matches!(run.outcome, Some((_, StepOutcome::Done { .. }))))
}

/// The next move for one node of an undo; absent: it is done.
fn node(
    snapshot: &PromotionSnapshot,
    node: Node,
    call: impl FnOnce() -> Call,
    now: Timestamp,
) -> Option<Move> {
    let Some(run) = snapshot.state.nodes.get(&node) else {
        return Some(Move::act(Act::Run {
            call: Box::new(call()),
            rebuild: rebuild(snapshot, node.step()),
            resumed: false,
            node,
        }));
    };
    match advance(snapshot, &node, run, now) {
        Advance::Done => None,
        Advance::Move(next) => Some(*next),
        Advance::Failed(message) => {
            let what = super::commit::describe(&node);
            Some(stuck(snapshot, format!("{what} failed: {message}")))
        }
    }
}

fn undo_push(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    push: &PushRecord,
    now: Timestamp,
) -> Option<Move> {
    let commit = push.commit.clone()?;
    let author = author_of(&snapshot.state, frozen);
    let call = || {
        let (author_name, author_email) = author;
        Call::GitRevert(RevertCall {
            repo: push.repo.clone(),
            branch: push.branch.clone(),
            commit,
            author_name,
            author_email,
            date: snapshot.promotion.created_at,
            mark: mark(&snapshot.promotion.id, step),
        })
    };
    node(snapshot, Node::Undo(step.clone()), call, now)
}

/// Author of the commits of this promotion: that of the step that made the commit.
fn author_of(state: &State, frozen: &Frozen) -> (String, String) {
    let calls = frozen.stage.steps.iter().filter_map(|step| {
        let run = state.nodes.get(&Node::Step(step.name.clone())).map(|run| &run.call);
        run.or_else(|| state.prepared.get(&step.name).and_then(|done| done.call.as_ref()))
    });
    let commit = calls.into_iter().find_map(|call| match call {
        Call::GitCommit(CommitCall { author_name, author_email, .. }) => {
            Some((author_name.clone(), author_email.clone()))
        }
        _ => None,
    });
    commit.unwrap_or_else(|| ("Lockstep".to_owned(), "lockstep@localhost".to_owned()))
}

fn undo_apply(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    created: &[String],
    now: Timestamp,
) -> Option<Move> {
    let applied = applied_plan(&snapshot.state, step)?;
    let before =
        frozen.previous.as_ref().and_then(|previous| previous_plan(previous, &applied.call));
    if before.is_none() && created.is_empty() {
        return None;
    }
    let plan_call = || match before {
        Some(before) => Call::TfPlan(before.clone()),
        None => Call::TfPlan(PlanCall { destroy: created.to_vec(), ..applied.call.clone() }),
    };
    let plan_node = Node::UndoPlan(step.clone());
    if let Some(next) = node(snapshot, plan_node.clone(), plan_call, now) {
        return Some(next);
    }
    let plan = planned(&snapshot.state, &plan_node)?;
    if !plan.summary.has_changes {
        return None;
    }
    if let Some(refused) = refuse(snapshot, plan, created) {
        return Some(stuck(snapshot, format!("the undo of step {step} is refused: {refused}")));
    }
    let call = || {
        let run = format!("{}-undo", mark(&snapshot.promotion.id, step).replace('/', "-"));
        Call::TfApply(ApplyCall { plan: Box::new(plan.clone()), run })
    };
    node(snapshot, Node::Undo(step.clone()), call, now)
}

/// What the infra rules say against the plan of an undo.
fn refuse(snapshot: &PromotionSnapshot, plan: &PlanRecord, created: &[String]) -> Option<String> {
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let rules = Joined::of(&policies, &snapshot.promotion.stage).infra;
    let created: BTreeSet<Address> = created.iter().map(Address::new).collect();
    let violations = judge_undo(&plan.summary, &rules, &created);
    let reasons: Vec<String> = violations.into_iter().map(|violation| violation.reason).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn applied_plan<'a>(state: &'a State, step: &StepName) -> Option<&'a PlanRecord> {
    match &state.nodes.get(&Node::Step(step.clone()))?.call {
        Call::TfApply(apply) => Some(&apply.plan),
        _ => None,
    }
}

fn planned<'a>(state: &'a State, node: &Node) -> Option<&'a PlanRecord> {
    match &state.nodes.get(node)?.outcome.as_ref()?.1 {
        StepOutcome::Done { record: Record::Plan(plan), .. } => Some(plan),
        _ => None,
    }
}

/// How the last succeeded promotion planned the module with the same state.
fn previous_plan<'a>(previous: &'a Previous, plan: &PlanCall) -> Option<&'a PlanCall> {
    previous.calls.iter().rev().find_map(|(_, call)| match call {
        Call::TfPlan(before) if before.state == plan.state => Some(before),
        _ => None,
    })
}

/// What fills the working directory of an undo: the previous promotion's trees, or for the undo of
/// a first promotion its own.
pub(super) fn rebuild(snapshot: &PromotionSnapshot, step: &StepName) -> Vec<(StepName, Call)> {
    let state = &snapshot.state;
    let before = state.frozen.as_ref().and_then(|frozen| {
        let previous = frozen.previous.as_ref()?;
        previous_plan(previous, &applied_plan(state, step)?.call).map(|_| previous)
    });
    match before {
        Some(previous) => previous
            .calls
            .iter()
            .filter(|(_, call)| !matches!(call, Call::TfPlan(_)))
            .cloned()
            .collect(),
        None => state.rebuild(),
    }
}
