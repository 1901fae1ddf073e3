//! Undoing applies: the module of the last succeeded promotion is planned and applied against the same
//! state, by the tool that wrote that last and under the same infra rules; the first promotion's by destroying
//! only what it created.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::super::commit::stuck;
use super::super::promotion::Move;
use super::super::stale;
use super::{changed, node};
use crate::id::StepName;
use crate::infra::{Action, Address, judge_undo};
use crate::policy::Joined;
use crate::promotion::{Frozen, Node, Previous, State};
use crate::snapshot::PromotionSnapshot;
use crate::step::{ApplyCall, Call, PlanCall, PlanGoal, PlanRecord, Record, StepOutcome, mark};

/// What the undo of an apply would do, for the change set.
pub(super) fn describe(frozen: &Frozen, state: &State, config: &Value) -> (bool, String) {
    let plan_step = config.get("plan").and_then(Value::as_str).unwrap_or_default();
    let plan = state.prepared.get(plan_step).and_then(|done| done.record.as_plan());
    if plan.is_some_and(|plan| !plan.summary.has_changes) {
        return (true, "has nothing to undo: its plan changes nothing".to_owned());
    }
    let before = plan.and_then(|plan| previous_plan(frozen.previous.as_ref()?, &plan.call));
    if let (Some(_), Some(previous)) = (before, &frozen.previous) {
        let id = &previous.promotion;
        let mut what = format!(
            "plans and applies the module of promotion {id} again, under the same infra rules"
        );
        if plan.is_some_and(|plan| plan.summary.delete + plan.summary.replace > 0) {
            what.push_str("; what this one deletes is made anew, without what was in it");
        }
        let imported = plan.map(|plan| {
            let plans = state.prepared.values().filter_map(|done| done.record.as_plan());
            imported(plans, &plan.call)
        });
        let imported = imported.unwrap_or_default();
        if !imported.is_empty() {
            let imported: Vec<&str> = imported.iter().map(Address::as_str).collect();
            let imported = imported.join(", ");
            what.push_str(&format!(
                "; stuck if that would delete what this one imports: {imported}"
            ));
        }
        return (true, what);
    }
    let kept = plan.map(|plan| kept_changes(plan, &BTreeSet::new())).unwrap_or_default();
    let what = "destroys what this promotion created, and nothing else";
    if kept.is_empty() {
        return (true, what.to_owned());
    }
    let why = "no earlier promotion says how these were";
    (false, format!("{what}; {why}: {}", kept.join(", ")))
}

/// What a plan does to things that were there before, and were not made by this promotion: no undo of a first
/// promotion brings it back.
fn kept_changes(plan: &PlanRecord, made: &BTreeSet<Address>) -> Vec<String> {
    let kept = plan.summary.changes.iter().filter_map(|change| {
        let done = match change.action {
            Action::Update => "updated",
            Action::Replace => "replaced",
            Action::Delete if made.contains(&change.address) => return None,
            Action::Delete => "deleted",
            Action::Forget => "forgotten",
            Action::NoOp if change.importing => "imported",
            Action::Create | Action::NoOp | Action::Read => return None,
        };
        Some(format!("{} ({done})", change.address))
    });
    kept.collect()
}

/// What these plans take into the state of a call, or were told to and found in it: it was there before, and no
/// undo may delete it.
fn imported<'a>(plans: impl Iterator<Item = &'a PlanRecord>, call: &PlanCall) -> BTreeSet<Address> {
    let state = call.state_key();
    let mut imported = BTreeSet::new();
    for plan in plans.filter(|plan| plan.call.state_key() == state) {
        let changes = plan.summary.changes.iter().filter(|change| change.importing);
        imported.extend(changes.map(|change| change.address.clone()));
        imported.extend(plan.call.options.imports.keys().map(Address::new));
    }
    imported
}

/// What a plan deletes.
fn deleted(plan: &PlanRecord) -> BTreeSet<Address> {
    let deleted = plan.summary.changes.iter().filter(|change| change.action == Action::Delete);
    deleted.map(|change| change.address.clone()).collect()
}

/// What stays changed of what an apply did to things that were there before: the undo of a first promotion
/// brings none of it back.
pub(super) fn kept(state: &State, frozen: &Frozen, step: &StepName) -> Vec<String> {
    let applied = matches!(changed(state, step), Some(Record::Applied(_)));
    let plan = applied_plan(state, step).filter(|_| applied);
    let first = plan.filter(|plan| previous_of(frozen, plan).is_none());
    let earlier = first.map(|plan| created_before(state, frozen, step, &plan.call));
    let earlier = earlier.unwrap_or_default();
    let kept = first.into_iter().flat_map(|plan| kept_changes(plan, &earlier));
    kept.map(|what| format!("step {step}: {what}, and no earlier promotion says how it was"))
        .collect()
}

/// What the applies before a step created in the state of a call.
fn created_before(
    state: &State,
    frozen: &Frozen,
    step: &StepName,
    call: &PlanCall,
) -> BTreeSet<Address> {
    let key = call.state_key();
    let before = frozen.stage.steps.iter().map(|step| &step.name).take_while(|name| *name != step);
    let created = before.filter_map(|name| match changed(state, name)? {
        Record::Applied(applied) if applied_plan(state, name)?.call.state_key() == key => {
            Some(applied.created.iter().map(Address::new))
        }
        _ => None,
    });
    created.flatten().collect()
}

/// The next move of the undo of an apply; absent: it is done.
pub(super) fn undo(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    created: &[String],
    now: Timestamp,
) -> Option<Move> {
    // What had nothing to do was not applied.
    let applied = applied_plan(&snapshot.state, step).filter(|plan| plan.summary.has_changes)?;
    let before = previous_of(frozen, applied);
    if before.is_none() && created.is_empty() {
        return None;
    }
    let plan_call = || match before {
        Some(before) => Call::TfPlan(before.undoing(&applied.call, &deleted(applied))),
        None => Call::TfPlan(applied.call.destroying(created)),
    };
    let plan_node = Node::UndoPlan(step.clone());
    if let Some(next) = node(snapshot, plan_node.clone(), plan_call, now) {
        return Some(next);
    }
    let Some(plan) = planned(&snapshot.state, &plan_node) else {
        return Some(stuck(snapshot, format!("the plan that undoes step {step} was not kept")));
    };
    if !plan.summary.has_changes {
        return None;
    }
    let undo = Node::Undo(step.clone());
    if let Some(refused) = snapshot.state.nodes.get(&undo).and_then(stale::refused) {
        let judge = |plan: &PlanRecord| refuse(snapshot, plan, created, applied, before.is_none());
        return Some(stale::undo(snapshot, step, refused, judge, now));
    }
    // What was let through stays so: a later edit of a policy stops no undo half-way.
    let begun = snapshot.state.nodes.contains_key(&undo);
    let refused =
        if begun { None } else { refuse(snapshot, plan, created, applied, before.is_none()) };
    if let Some(refused) = refused {
        return Some(stuck(snapshot, format!("the undo of step {step} is refused: {refused}")));
    }
    let call = || {
        let run = format!("{}-undo", mark(&snapshot.promotion.id, step).replace('/', "-"));
        Call::TfApply(ApplyCall { plan: plan.to_apply(), run })
    };
    node(snapshot, undo, call, now)
}

/// Why the plan of an undo may not be applied: the infra rules, that it would delete what was imported, and for
/// a first promotion that it would do more than destroy what the promotion created.
fn refuse(
    snapshot: &PromotionSnapshot,
    plan: &PlanRecord,
    created: &[String],
    applied: &PlanRecord,
    first: bool,
) -> Option<String> {
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let rules = Joined::of(&policies, &snapshot.promotion.stage).infra;
    let created: BTreeSet<Address> = created.iter().map(Address::new).collect();
    let violations = judge_undo(&plan.summary, &rules, &created);
    let mut reasons: Vec<String> = violations.into_iter().map(|found| found.reason).collect();
    let steps = snapshot.state.nodes.iter().filter(|(node, _)| matches!(node, Node::Step(_)));
    let plans = steps.filter_map(|(_, run)| Some(&*run.call.as_apply()?.plan));
    let imported = imported(plans, &applied.call);
    let gone = plan.summary.changes.iter().filter(|change| match change.action {
        Action::Delete | Action::Replace => imported.contains(&change.address),
        Action::Create | Action::Update | Action::Forget | Action::NoOp | Action::Read => false,
    });
    reasons.extend(gone.map(|change| {
        format!(
            "it would delete `{}`, which was there before this promotion imported it: take it out of the \
             state, or back into the module, by hand",
            change.address
        )
    }));
    let beyond = plan.summary.changes.iter().filter(|change| match change.action {
        Action::NoOp | Action::Read => false,
        Action::Delete => !created.contains(&change.address),
        Action::Create | Action::Update | Action::Replace | Action::Forget => true,
    });
    reasons.extend(beyond.filter(|_| first).map(|change| {
        format!("it would also change `{}`, which this promotion did not create", change.address)
    }));
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

pub(super) fn applied_plan<'a>(state: &'a State, step: &StepName) -> Option<&'a PlanRecord> {
    let run = state.nodes.get(&Node::Step(step.clone()))?;
    run.call.as_apply().map(|apply| &*apply.plan)
}

pub(in super::super) fn planned<'a>(state: &'a State, node: &Node) -> Option<&'a PlanRecord> {
    match &state.nodes.get(node)?.outcome.as_ref()?.1 {
        StepOutcome::Done { record, .. } => record.as_plan(),
        StepOutcome::Failed { .. }
        | StepOutcome::Uncertain { .. }
        | StepOutcome::Interrupted { .. } => None,
    }
}

/// How the promotion to go back to planned the module of an applied plan.
fn previous_of<'a>(frozen: &'a Frozen, applied: &PlanRecord) -> Option<&'a PlanCall> {
    previous_plan(frozen.previous.as_ref()?, &applied.call).map(|(_, plan)| plan)
}

/// How the last succeeded promotion planned the module with the same state, at its end. If that was to destroy,
/// there is nothing to go back to.
pub(super) fn previous_plan<'a>(
    previous: &'a Previous,
    plan: &PlanCall,
) -> Option<(&'a StepName, &'a PlanCall)> {
    let calls = previous.calls.iter().rev();
    let mut plans = calls.filter_map(|(step, call)| Some((step, call.as_plan()?)));
    let last = plans.find(|(_, before)| before.state_key() == plan.state_key())?;
    (last.1.options.goal == PlanGoal::Configuration).then_some(last)
}
