//! Plans that no gate saw, held to the bounds that people agreed to.
//!
//! One that is inside goes on. One that is outside is asked about: the same people whose approval the policies want
//! say whether it is to be applied as it is, and the promotion keeps its slot until then. No, and no answer in time,
//! fail the step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::commit::{Advance, advance};
use super::promotion::Move;
use crate::duration;
use crate::id::StepName;
use crate::infra::Envelope;
use crate::policy::Joined;
use crate::promotion::{Event, Node};
use crate::snapshot::PromotionSnapshot;
use crate::step::{ApplyCall, ApprovalCall, AskCall, AtTimeout, Call, PlanRecord, Step};

/// Whether a plan may be applied as far as its envelope tells.
pub(super) enum Fits {
    /// It may: it is inside, people agreed to it as it is, or nobody set bounds.
    Yes,
    /// This comes first.
    Next(Box<Move>),
    /// It may not.
    No(String),
}

/// Holds the plan of an apply to its envelope.
pub(super) fn fits(
    snapshot: &PromotionSnapshot,
    step: &Step,
    apply: &ApplyCall,
    now: Timestamp,
) -> Fits {
    let (plan, envelope) = match of(snapshot, step) {
        Ok(Some(found)) => found,
        Ok(None) => return Fits::Yes,
        Err(message) => return Fits::No(message),
    };
    let exceeded = envelope.exceeded(&apply.plan.summary);
    if exceeded.is_empty() {
        return Fits::Yes;
    }
    let node = Node::Excess(step.name.clone());
    let Some(run) = snapshot.state.nodes.get(&node) else {
        let ask = question(snapshot, plan, &envelope, (&apply.plan, &exceeded), now);
        let call = Box::new(Call::Ask(AskCall::Approval(ask)));
        return Fits::Next(Box::new(Move::append(Event::Intent { node, call, epoch: None })));
    };
    match advance(snapshot, &node, run, now) {
        Advance::Move(next) => Fits::Next(next),
        Advance::Failed(message) => Fits::No(format!(
            "the plan of step {plan} is outside its envelope: it {}: {message}",
            exceeded.join(", ")
        )),
        Advance::Done if was_asked(run.call.as_ask(), &apply.plan) => Fits::Yes,
        Advance::Done => Fits::No(format!(
            "the plan of step {plan} is outside its envelope, and another one than people agreed to"
        )),
    }
}

/// Why a plan that took the place of another may not be applied without asking; absent: it may.
pub(super) fn leaves(
    snapshot: &PromotionSnapshot,
    step: &Step,
    plan: &PlanRecord,
) -> Option<String> {
    let (name, envelope) = match of(snapshot, step) {
        Ok(found) => found?,
        Err(message) => return Some(message),
    };
    let exceeded = envelope.exceeded(&plan.summary);
    (!exceeded.is_empty()).then(|| {
        format!(
            "the plan of step {name} was made anew and is outside its envelope: it {}",
            exceeded.join(", ")
        )
    })
}

/// The envelope of an apply's plan, as it was approved, with the step that planned; none: there is none, or the gates
/// saw the plan itself.
fn of<'a>(
    snapshot: &'a PromotionSnapshot,
    step: &Step,
) -> Result<Option<(&'a StepName, Envelope)>, String> {
    let Some(name) = step.config.get("plan").and_then(Value::as_str) else { return Ok(None) };
    if snapshot.state.prepared.contains_key(name) {
        return Ok(None);
    }
    let steps = snapshot.state.change_set.iter().flat_map(|set| &set.steps);
    let Some(approved) = steps.into_iter().find(|approved| approved.name.as_str() == name) else {
        return Ok(None);
    };
    let envelope = Envelope::of_config(&approved.config);
    let envelope = envelope
        .map_err(|(at, why)| format!("the envelope of step {name} cannot be read: {at}: {why}"))?;
    Ok(envelope.map(|envelope| (&approved.name, envelope)))
}

/// What people are asked about a plan: it is named by its digest, so that a yes is good for no other.
fn question(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    envelope: &Envelope,
    (plan, exceeded): (&PlanRecord, &[String]),
    now: Timestamp,
) -> ApprovalCall {
    let policies: Vec<_> = snapshot.policies.iter().map(|policy| policy.spec.clone()).collect();
    let asked = Joined::of(&policies, &snapshot.promotion.stage).approvals;
    let until = now.checked_add(envelope.timeout).unwrap_or(Timestamp::MAX);
    let message = format!(
        "the plan of step {step} is outside its envelope: it {}. Approve plan {} as it is, within {}, or refuse it, and \
         the step fails",
        exceeded.join(", "),
        plan.semantic_digest,
        duration::print(envelope.timeout),
    );
    ApprovalCall {
        message,
        groups: asked
            .values()
            .map(|asked| (asked.group.clone(), asked.count))
            .collect::<BTreeMap<_, _>>(),
        exclude: asked.values().flat_map(|asked| asked.exclude.iter().copied()).collect(),
        until,
        at_timeout: AtTimeout::Fail,
    }
}

fn was_asked(ask: Option<&AskCall>, plan: &PlanRecord) -> bool {
    ask.is_some_and(|ask| ask.message().contains(&plan.semantic_digest.to_string()))
}
