//! Stored plans that the tool refuses, because somebody wrote the state after they were made.
//!
//! The plan is made anew. If it would do what the first one would have done, it takes its place, with the
//! approvals that named it. If not, nobody agreed to it: where nothing was changed yet, the promotion gives
//! its slot back and goes to its gates with what it would do now; else it fails, and is undone if the policies
//! say so.

use jiff::Timestamp;

use super::commit::{Advance, aborted, advance, is_step, rebuild_for, refuse, step_of, stuck};
use super::envelope;
use super::prepare::deadline;
use super::promotion::{Act, Move, Run};
use super::undo::infra::planned;
use crate::id::StepName;
use crate::infra::difference;
use crate::promotion::{Event, Node, NodeRun};
use crate::snapshot::PromotionSnapshot;
use crate::step::{ApplyCall, Call, OciCall, PlanRecord, Record, Step, StepOutcome};

/// How often a plan is made anew until it is given up that the state comes to rest.
const REPLANS_MAX: u32 = 5;

/// The apply whose plan was refused, if that is how a run ended.
pub(super) fn refused(run: &NodeRun) -> Option<&ApplyCall> {
    match run.outcome.as_ref().map(|(_, outcome)| outcome) {
        Some(StepOutcome::Failed { record: Record::Stale, .. }) => run.call.as_apply(),
        Some(
            StepOutcome::Done { .. }
            | StepOutcome::Failed { .. }
            | StepOutcome::Uncertain { .. }
            | StepOutcome::Interrupted { .. },
        )
        | None => None,
    }
}

/// Decides about a step whose plan was refused.
pub(super) fn step(
    snapshot: &PromotionSnapshot,
    step: &Step,
    refused: &ApplyCall,
    now: Timestamp,
) -> Advance {
    let node = Node::Step(step.name.clone());
    let replan = Node::Replan(step.name.clone());
    let begun = snapshot.state.nodes.contains_key(&replan);
    if snapshot.state.abort.is_some() && !begun {
        let end = "its plan was refused, because the state had changed, and nothing was applied";
        return Advance::Move(Box::new(aborted(snapshot, &node, end)));
    }
    let plan = match replanned(snapshot, &replan, &refused.plan, now) {
        Replanned::Next(next) => return Advance::Move(next),
        Replanned::Failed(message) => return Advance::Failed(message),
        Replanned::Plan(plan) => plan,
    };
    let apply = ApplyCall { plan: plan.to_apply(), run: refused.run.clone() };
    if plan.semantic_digest != refused.plan.semantic_digest {
        if was_agreed_to(snapshot, step) {
            return send_back(snapshot, otherwise(&refused.plan, plan));
        }
        let refused = refuse(snapshot, step, &apply);
        if let Some(why) = refused.or_else(|| envelope::leaves(snapshot, step, plan)) {
            return Advance::Failed(why);
        }
    }
    Advance::Move(Box::new(act(snapshot, node, Call::TfApply(apply), now)))
}

/// Decides about the undo of a step whose plan was refused; `judge` says why a plan may not be applied.
pub(super) fn undo(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    refused: &ApplyCall,
    judge: impl FnOnce(&PlanRecord) -> Option<String>,
    now: Timestamp,
) -> Move {
    let plan = match replanned(snapshot, &Node::UndoPlan(step.clone()), &refused.plan, now) {
        Replanned::Next(next) => return *next,
        Replanned::Failed(message) => {
            return stuck(snapshot, format!("the undo of step {step} failed: {message}"));
        }
        Replanned::Plan(plan) => plan,
    };
    let is_same = plan.semantic_digest == refused.plan.semantic_digest;
    if let Some(why) = if is_same { None } else { judge(plan) } {
        return stuck(snapshot, format!("the undo of step {step} is refused: {why}"));
    }
    let apply = ApplyCall { plan: plan.to_apply(), run: refused.run.clone() };
    act(snapshot, Node::Undo(step.clone()), Call::TfApply(apply), now)
}

/// What comes of making a plan anew.
enum Replanned<'a> {
    /// It needs this first.
    Next(Box<Move>),
    /// It is made.
    Plan(&'a PlanRecord),
    /// It cannot be made.
    Failed(String),
}

/// The plan of a node, made after the one that was refused.
fn replanned<'a>(
    snapshot: &'a PromotionSnapshot,
    node: &Node,
    refused: &PlanRecord,
    now: Timestamp,
) -> Replanned<'a> {
    let again = || {
        Replanned::Next(Box::new(act(
            snapshot,
            node.clone(),
            Call::TfPlan(refused.call.clone()),
            now,
        )))
    };
    let Some(run) = snapshot.state.nodes.get(node) else { return again() };
    match advance(snapshot, node, run, now) {
        Advance::Move(next) => return Replanned::Next(next),
        Advance::Failed(message) => {
            return Replanned::Failed(format!(
                "the state was changed after the plan was made, and it cannot be planned anew: {message}"
            ));
        }
        Advance::Done => {}
    }
    match planned(&snapshot.state, node) {
        Some(plan) if plan.file_digest != refused.file_digest => Replanned::Plan(plan),
        Some(_) if run.done_before + 1 >= REPLANS_MAX => Replanned::Failed(format!(
            "the state was changed by others after each of {REPLANS_MAX} plans; find out who writes it, then \
             promote again"
        )),
        Some(_) => again(),
        None => Replanned::Failed("the plan that was made anew was not kept".to_owned()),
    }
}

/// Whether the gates saw what a step applies; a plan that was made only after the commit, they did not.
fn was_agreed_to(snapshot: &PromotionSnapshot, step: &Step) -> bool {
    let plan = step_of(snapshot, &Node::Replan(step.name.clone()));
    plan.is_some_and(|plan| snapshot.state.prepared.contains_key(&plan.name))
}

/// Back to the gates, as long as nothing was changed.
fn send_back(snapshot: &PromotionSnapshot, why: String) -> Advance {
    if has_touched(snapshot) {
        return Advance::Failed(format!("{why}; nobody agreed to that, so it is not applied"));
    }
    Advance::Move(Box::new(Move::append(Event::SentBack { why })))
}

/// Whether an effect was begun, however it ended: another attempt of it would be made from the beginning.
fn has_touched(snapshot: &PromotionSnapshot) -> bool {
    snapshot.state.nodes.iter().any(|(node, run)| is_step(node) && touches(run))
}

fn touches(run: &NodeRun) -> bool {
    match &run.call {
        Call::TfApply(apply) => apply.plan.summary.has_changes && refused(run).is_none(),
        // Its answer may be another one, but asking changes nothing.
        Call::Http(http) => !matches!(http.method.as_str(), "GET" | "HEAD"),
        Call::Run(run) => run.effect.is_some(),
        Call::Oci(OciCall::Pull(_) | OciCall::Look(_)) => false,
        Call::GitPush(_)
        | Call::GitRevert(_)
        | Call::GitTag(_)
        | Call::GitUntag(_)
        | Call::Oci(
            OciCall::Push(_) | OciCall::PutBack(_) | OciCall::Attach(_) | OciCall::Detach(_),
        )
        | Call::PullRequest(_)
        | Call::Keep(_) => true,
        Call::GitClone(_)
        | Call::YamlUpdate(_)
        | Call::GitCommit(_)
        | Call::TfPlan(_)
        | Call::TfOutput(_)
        | Call::TfImport(_)
        | Call::File(_)
        | Call::Download(_)
        | Call::Render(_)
        | Call::Chart(_)
        | Call::Parse(_)
        | Call::Compose { .. }
        | Call::Fail { .. }
        | Call::Ask(_)
        | Call::Wait(_) => false,
    }
}

fn otherwise(before: &PlanRecord, after: &PlanRecord) -> String {
    let told = difference(&before.summary, &after.summary);
    let told = if told.is_empty() {
        "values differ that are not shown".to_owned()
    } else {
        format!("it {}", told.join(", "))
    };
    let dir = &after.call.dir;
    format!(
        "the state of {dir} was changed after its plan was made, and planned anew it would do something else: \
         {told}"
    )
}

fn act(snapshot: &PromotionSnapshot, node: Node, call: Call, now: Timestamp) -> Move {
    Move::act(Act::Run(vec![Run {
        rebuild: rebuild_for(snapshot, &node),
        deadline: step_of(snapshot, &node).and_then(|step| deadline(step, now)),
        call: Box::new(call),
        resumed: false,
        too_early: false,
        node,
    }]))
}
