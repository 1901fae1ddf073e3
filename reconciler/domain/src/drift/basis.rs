//! Which infra states a stage has, and how the last apply of each was planned.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::id::{PromotionId, StepName};
use crate::infra::{Action, Address, PlanSummary};
use crate::plan::files_of_apply;
use crate::promotion::{Node, NodeRun, Promotion, State};
use crate::step::{
    ApplyCall, Call, PlanCall, PlanGoal, PlanRecord, Record, StateKey, StepKind, StepOutcome,
};

/// The most promotions that are looked through for the applies of a stage.
pub const HISTORY_MAX: u32 = 20;

/// The most promotions that may leave a state out one after the other. Few enough that its last apply is still
/// among those that are looked through, those that ended without an apply included.
pub const LEFT_OUT_MAX: u64 = 15;

/// An infra state of a stage, as the last apply of it was planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// The promotion that applied it.
    pub promotion: PromotionId,
    /// The step that did, or whose undo did.
    pub step: StepName,
    /// When that was done.
    pub applied_at: Timestamp,
    /// How it was planned.
    pub plan: PlanCall,
    /// The local calls that fill the working directory with what that plan saw.
    pub rebuild: Vec<(StepName, Call)>,
    /// What it left in the state.
    pub left: Left,
}

/// What an apply left in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Nobody knows.
    Unknown,
    /// These resource instances, and maybe others that its targets left out; none: it left nothing at all.
    Known(BTreeSet<Address>),
}

impl Left {
    /// The resource instances that are known to have been left.
    pub(super) fn known(&self) -> impl Iterator<Item = &Address> {
        match self {
            Self::Unknown => None,
            Self::Known(left) => Some(left),
        }
        .into_iter()
        .flatten()
    }
}

/// An apply of which nobody knows what it left, because it failed or its end is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsure {
    /// The promotion.
    pub promotion: PromotionId,
    /// The state.
    pub state: StateKey,
}

/// The states of a stage, put together from its promotions that committed: newest first, down to the last one that
/// stands, and further for what that one passed over. What was destroyed as a whole is none any more.
#[derive(Debug, Default)]
pub struct Search {
    found: Vec<Basis>,
    later: Vec<Later>,
    /// The steps that all promotions which stand passed over, of those taken; absent: none of these stands.
    passed_over: Option<BTreeSet<StepName>>,
}

impl Search {
    /// Takes the next promotion. Whether an older one may tell of something else.
    pub fn take(&mut self, promotion: &Promotion, state: &State) -> bool {
        for (node, run) in applies(state) {
            if self.passed_over.as_ref().is_none_or(|passed| passed.contains(node.step())) {
                note(promotion, state, node, run, &mut self.found, &mut self.later);
            }
        }
        if state.stands() {
            let mut passed = passed_over(state);
            if let Some(before) = &self.passed_over {
                passed.retain(|step| before.contains(step));
            }
            self.passed_over = Some(passed);
        }
        self.passed_over.as_ref().is_none_or(|passed| !passed.is_empty())
    }

    /// The applies that came to no good end, and that none came after which did.
    #[must_use]
    pub fn unsure(&self) -> Vec<Unsure> {
        let unsure = self.later.iter().filter(|later| matches!(later.what, Since::Unsure));
        let told = |later: &Later| Unsure {
            promotion: later.promotion.clone(),
            state: later.state.clone(),
        };
        unsure.map(told).collect()
    }

    /// The states that were found.
    #[must_use]
    pub fn bases(self) -> Vec<Basis> {
        self.found
    }
}

/// The steps of a promotion that would have applied something, and were passed over with or without their plans.
fn passed_over(state: &State) -> BTreeSet<StepName> {
    let steps = state.frozen.as_ref().map_or(&[][..], |frozen| &frozen.stage.steps);
    let passed = |name: &str| state.passed_over.keys().any(|passed| passed.as_str() == name);
    let applies = steps.iter().filter(|step| step.uses == StepKind::TfApply);
    let passed = applies.filter(|step| {
        let plan = step.config.get("plan").and_then(Value::as_str);
        let run = state.nodes.get(&Node::Step(step.name.clone()));
        let was_left_out = run.and_then(|run| run.call.as_apply()).is_some_and(left_out);
        passed(step.name.as_str()) || plan.is_some_and(passed) || was_left_out
    });
    passed.map(|step| step.name.clone()).collect()
}

/// What came after the apply that is looked for.
#[derive(Debug)]
struct Later {
    promotion: PromotionId,
    state: StateKey,
    what: Since,
}

/// What happened to a state.
#[derive(Debug)]
enum Since {
    /// It is one of those found, or is gone.
    Settled,
    /// An apply of it did not come to its end: nobody knows what is in it.
    Unsure,
    /// These were destroyed.
    Destroyed(BTreeSet<Address>),
}

/// Whether nothing was planned, so that nothing is said of what is there.
fn left_out(apply: &ApplyCall) -> bool {
    apply.plan.summary.unchanged.is_some()
}

/// The applies of a promotion, newest first.
fn applies(state: &State) -> Vec<(&Node, &NodeRun)> {
    let mut applies: Vec<(&Node, &NodeRun)> =
        state.nodes.iter().filter(|(_, run)| run.call.as_apply().is_some()).collect();
    applies.sort_by_key(|(_, run)| std::cmp::Reverse(run.started_at));
    applies
}

fn note(
    promotion: &Promotion,
    state: &State,
    node: &Node,
    run: &NodeRun,
    found: &mut Vec<Basis>,
    later: &mut Vec<Later>,
) {
    let Some(apply) = run.call.as_apply() else { return };
    if left_out(apply) {
        return;
    }
    let plan = &*apply.plan;
    let key = plan.call.state_key();
    let before: Vec<&Since> =
        later.iter().filter(|later| later.state == key).map(|later| &later.what).collect();
    if before.iter().any(|since| matches!(since, Since::Settled)) {
        return;
    }
    let what = match &run.outcome {
        Some((_, StepOutcome::Done { .. })) if is_gone(plan) => Since::Settled,
        Some((_, StepOutcome::Done { .. })) if destroys(&plan.call) => {
            Since::Destroyed(addresses(&plan.summary, &[Action::Delete]))
        }
        // Of a state that is not there yet, nothing was made.
        Some((_, StepOutcome::Done { .. }))
            if plan.state.is_none() && !plan.summary.has_changes =>
        {
            return;
        }
        Some((applied_at, StepOutcome::Done { .. })) => {
            found.push(Basis {
                promotion: promotion.id.clone(),
                step: node.step().clone(),
                applied_at: *applied_at,
                plan: plan.call.clone(),
                rebuild: files_of_apply(state, node),
                left: left(plan, &before),
            });
            Since::Settled
        }
        // The tool refused the plan, and did nothing.
        Some((_, StepOutcome::Failed { record: Record::Stale, .. })) => return,
        Some((
            _,
            StepOutcome::Failed { .. }
            | StepOutcome::Uncertain { .. }
            | StepOutcome::Interrupted { .. },
        ))
        | None => Since::Unsure,
    };
    later.push(Later { promotion: promotion.id.clone(), state: key, what });
}

/// Whether an apply left nothing of its state.
fn is_gone(plan: &PlanRecord) -> bool {
    let call = &plan.call;
    let whole = call.destroy.is_empty() && call.options.targets.is_empty();
    whole && call.options.goal == PlanGoal::Destruction
}

/// Whether an apply destroys a part of its state, and does nothing else.
fn destroys(call: &PlanCall) -> bool {
    !call.destroy.is_empty() || call.options.goal == PlanGoal::Destruction
}

/// What an apply left in the state, and nothing since took out of it.
fn left(plan: &PlanRecord, since: &[&Since]) -> Left {
    let stays = [Action::Create, Action::Update, Action::Replace, Action::NoOp];
    let mut left = addresses(&plan.summary, &stays);
    for since in since {
        match since {
            Since::Unsure => return Left::Unknown,
            Since::Destroyed(gone) => left.retain(|address| !gone.contains(address)),
            Since::Settled => {}
        }
    }
    // Of what its targets leave out, a plan says nothing.
    if left.is_empty() && !plan.call.options.targets.is_empty() {
        return Left::Unknown;
    }
    Left::Known(left)
}

fn addresses(summary: &PlanSummary, actions: &[Action]) -> BTreeSet<Address> {
    let of = |action| summary.addresses.get(action).into_iter().flatten();
    actions.iter().flat_map(of).cloned().collect()
}
