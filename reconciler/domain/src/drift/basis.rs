//! Which infra states a stage has, and how the last apply of each was planned.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::id::{PromotionId, StepName};
use crate::infra::{Action, Address, PlanSummary};
use crate::plan::files_of_apply;
use crate::promotion::{Node, NodeRun, Promotion, State};
use crate::step::{Call, PlanCall, PlanGoal, PlanRecord, Record, StateKey, StepOutcome};

/// The most promotions that are looked through for the applies of a stage.
pub const HISTORY_MAX: u32 = 20;

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
    /// The resource instances that it left in the state; none if that is not known.
    pub left: BTreeSet<Address>,
}

/// The states of a stage, from its promotions that committed: newest first, down to the last one that stands. What
/// was destroyed as a whole is none any more.
#[must_use]
pub fn bases<'a>(history: impl IntoIterator<Item = (&'a Promotion, &'a State)>) -> Vec<Basis> {
    let mut found = Vec::new();
    let mut later: Vec<Later> = Vec::new();
    for (promotion, state) in history {
        for (node, run) in applies(state) {
            note(promotion, state, node, run, &mut found, &mut later);
        }
    }
    found
}

/// What came after the apply that is looked for.
struct Later {
    state: StateKey,
    what: Since,
}

/// What happened to a state.
enum Since {
    /// It is one of those found, or is gone.
    Settled,
    /// An apply of it did not come to its end: nobody knows what is in it.
    Unsure,
    /// These were destroyed.
    Destroyed(BTreeSet<Address>),
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
                left: left(&plan.summary, &before),
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
    later.push(Later { state: key, what });
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
fn left(summary: &PlanSummary, since: &[&Since]) -> BTreeSet<Address> {
    let stays = [Action::Create, Action::Update, Action::Replace, Action::NoOp];
    let mut left = addresses(summary, &stays);
    for since in since {
        match since {
            Since::Unsure => return BTreeSet::new(),
            Since::Destroyed(gone) => left.retain(|address| !gone.contains(address)),
            Since::Settled => {}
        }
    }
    left
}

fn addresses(summary: &PlanSummary, actions: &[Action]) -> BTreeSet<Address> {
    let of = |action| summary.addresses.get(action).into_iter().flatten();
    actions.iter().flat_map(of).cloned().collect()
}
