//! What must hold, whatever happens. Checked after every event, from what was told and not from what the store
//! says of itself.
//!
//! | | |
//! |---|---|
//! | I1 | an effect happens at most once, and only after its intent |
//! | I2 | a promotion ends, or says why it waits and until when; nothing waits past its time |
//! | I3 | nothing is written by whoever lost their lease |
//! | I4 | one promotion at a time holds a stage, and automation never goes back |
//! | I5 | what is done is what was judged: the digest that gates passed is of the change set that is applied |
//! | I6 | nobody approves what they asked for, where that is excluded, and nobody else than who is asked |
//! | I7 | what a promotion says at its end is true: what happened and stays is told, and what is said to be done is |
//! | I8 | the log, read again, gives the same state |
//! | I9 | queues are bounded |
//! | I10 | the work is bounded by what changed |

mod compare;
mod truth;
mod units;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reconciler_domain::gate::Gate;
use reconciler_domain::id::{Principal, ProjectName, PromotionId, StageName, StepName};
use reconciler_domain::plan::{Act, Move, StagePlan, WarehousePlan};
use reconciler_domain::policy::{Excluded, GateKind, Joined, Policy, SETTLE_DEFAULT};
use reconciler_domain::promotion::{Ending, Event, Node, Phase, Promotion, State};
use reconciler_domain::snapshot::{Defined, PromotionSnapshot, StageSnapshot, WarehouseSnapshot};
use reconciler_domain::step::{AskCall, Kept, KeptAt, KeptChange, StepOutcome};
use reconciler_store::{Lease, WakeKey};
use serde_json::Value;

use compare::{applied_otherwise, pushed_otherwise, replays};
use units::Combinations;

use crate::outside::{Effect, Happened};
use crate::store::Saga;

/// Something that must not happen, happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {message}")]
pub struct Violation {
    /// Which invariant, in a few words.
    pub invariant: &'static str,
    /// What happened.
    pub message: String,
}

/// Figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Looks at snapshots.
    pub decisions: u64,
    /// Things that decisions look at and that changed.
    pub changes: u64,
    /// Effects that happened outside.
    pub effects: u64,
    /// Promotions started.
    pub promotions: u64,
    /// How they ended.
    pub endings: BTreeMap<Ending, u64>,
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) violation: Option<Violation>,
    pub(crate) tally: Tally,
    replay_every: u64,
    epochs: BTreeMap<WakeKey, u64>,
    /// Effects of promotions that are not over.
    effects: BTreeMap<(ProjectName, PromotionId), HashSet<Node>>,
    /// Those of them that changed something.
    landed: BTreeMap<(ProjectName, PromotionId), HashSet<Node>>,
    slots: BTreeMap<(ProjectName, StageName), PromotionId>,
    /// Promotions that ended stuck.
    stuck: BTreeSet<(ProjectName, PromotionId)>,
    /// Who agreed to which digest, as the people themselves say.
    agreed: BTreeMap<(ProjectName, PromotionId), BTreeSet<(String, String)>>,
    /// Steps that somebody who may say so said yes to.
    answered: BTreeSet<(ProjectName, PromotionId, StepName)>,
    /// What steps keep, as their outcomes say.
    kept: BTreeMap<(ProjectName, String), Value>,
    combinations: Combinations,
}

/// The latest that something is done that was to be done by a time, once nothing fails any more.
const LATE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Until when a promotion may wait, told from the policies alone: for its commit, or for its undo to begin.
fn waits_until(
    promotion: &Promotion,
    state: &State,
    policies: &[Defined<Policy>],
) -> Option<Timestamp> {
    let selecting = || policies.iter().map(|p| &p.spec).filter(|p| p.selects(&promotion.stage));
    let undoes = state.nodes.keys().any(|node| matches!(node, Node::Undo(_) | Node::UndoPlan(_)));
    let (since, most) = match state.phase() {
        Phase::Preparing | Phase::Waiting => (
            state.sent_back_at.unwrap_or(promotion.created_at),
            selecting().filter_map(|policy| policy.max_wait).min(),
        ),
        Phase::Unwinding if !undoes => {
            (state.unwinding_at?, selecting().filter_map(|policy| policy.max_undo_wait).min())
        }
        Phase::Committing | Phase::Verifying | Phase::Unwinding | Phase::Ended(_) => return None,
    };
    since.checked_add(most.unwrap_or(Duration::from_secs(30 * 24 * 3600))).ok()
}

/// When the definitions of the promotion's stage have come to rest: nothing ends by their limits before.
fn settled_at(snapshot: &PromotionSnapshot) -> Timestamp {
    let selects = |p: &&Defined<Policy>| p.spec.selects(&snapshot.promotion.stage);
    let selecting = || snapshot.policies.iter().filter(selects);
    let stage = snapshot.stage.iter().map(|stage| stage.changed_at);
    let changes =
        selecting().map(|p| p.changed_at).chain(stage).chain(snapshot.policies_changed_at);
    let settle = selecting().filter_map(|p| p.spec.settle).max().unwrap_or(SETTLE_DEFAULT);
    changes.max().map_or(Timestamp::MIN, |at| at.checked_add(settle).unwrap_or(Timestamp::MAX))
}

/// How a promotion stands at the moment of its commit.
#[derive(Debug)]
pub(crate) struct Judgement {
    stage: StageName,
    requester: Principal,
    closed: Vec<Gate>,
    moves: bool,
    digest: String,
    /// Per rule that asks for approvals: how many, of whom, and whether the requester counts.
    asked: Vec<(u32, bool)>,
    goes_back: bool,
    /// What it is to bring and does not.
    left_out: Option<String>,
}

impl Watch {
    pub(crate) fn new(replay_every: u64) -> Self {
        Self {
            violation: None,
            tally: Tally::default(),
            replay_every,
            epochs: BTreeMap::new(),
            effects: BTreeMap::new(),
            landed: BTreeMap::new(),
            slots: BTreeMap::new(),
            stuck: BTreeSet::new(),
            agreed: BTreeMap::new(),
            answered: BTreeSet::new(),
            kept: BTreeMap::new(),
            combinations: Combinations::default(),
        }
    }

    /// Notes the first thing that went wrong.
    pub(crate) fn fail(&mut self, invariant: &'static str, message: String) {
        self.violation.get_or_insert(Violation { invariant, message });
    }

    pub(crate) fn changed(&mut self) {
        self.tally.changes += 1;
    }

    pub(crate) fn claimed(&mut self, lease: &Lease) {
        self.epochs.insert(lease.key.clone(), lease.epoch);
    }

    pub(crate) fn appended(
        &mut self,
        lease: Option<&Lease>,
        project: &ProjectName,
        id: &PromotionId,
        event: &Event,
    ) {
        self.changed();
        let last = lease.and_then(|lease| self.epochs.get(&lease.key));
        if let (Some(lease), Some(last)) = (lease, last)
            && lease.epoch != *last
        {
            let label = event.label();
            let message = format!("{project}/{id} took {label} of epoch {}", lease.epoch);
            self.fail("I3, no write of an old epoch", message);
        }
        if let Event::SentBack { .. } = event {
            self.sent_back(project, id);
        }
    }

    /// A promotion gives its slot back: only if it did nothing.
    fn sent_back(&mut self, project: &ProjectName, id: &PromotionId) {
        self.slots.retain(|(of, _), holder| of != project || holder != id);
        let done =
            self.effects.get(&(project.clone(), id.clone())).is_some_and(|done| !done.is_empty());
        if done {
            let message = format!("{project}/{id} goes back to its gates after an effect");
            self.fail("I5, what is done is what was judged", message);
        }
    }

    pub(crate) fn agreed(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        who: &str,
        digest: String,
    ) {
        let of_it = self.agreed.entry((project.clone(), id.clone())).or_default();
        of_it.insert((who.to_owned(), digest));
    }

    pub(crate) fn answered(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        step: &StepName,
        may: bool,
    ) {
        if may {
            self.answered.insert((project.clone(), id.clone(), step.clone()));
        }
    }

    /// What was written with an outcome: it began with what was there.
    pub(crate) fn kept(&mut self, project: &ProjectName, promotion: &Promotion, kept: &Kept) {
        for KeptChange { at, before, after } in &kept.changes {
            let key = match at {
                KeptAt::Stage(key) => format!("{} {key}", promotion.stage),
                KeptAt::Freight(key) => format!("{} {key}", promotion.freight),
                KeptAt::Alias(alias) => alias.to_string(),
            };
            let place = (project.clone(), key);
            let there = match after {
                Some(value) => self.kept.insert(place, value.clone()),
                None => self.kept.remove(&place),
            };
            if there != *before {
                let id = &promotion.id;
                let message = format!("{project}/{id} wrote {} over {there:?}", at.describe());
                self.fail("I5, what is done is what was judged", message);
            }
        }
    }

    /// Nothing went on past a question without somebody who may say so.
    fn all_asked(&mut self, project: &ProjectName, saga: &Saga) {
        for (node, run) in &saga.state.nodes {
            let (Node::Step(step) | Node::Excess(step)) = node else { continue };
            let is_approval = matches!(run.call.as_ask(), Some(AskCall::Approval(_)));
            let passed = matches!(&run.outcome, Some((_, StepOutcome::Done { .. })));
            let place = (project.clone(), saga.promotion.id.clone(), step.clone());
            if is_approval && passed && !self.answered.contains(&place) {
                let message = format!("{project}/{} passed {step} unasked", saga.promotion.id);
                self.fail("I6, no approval by outsiders", message);
            }
        }
    }

    pub(crate) fn created(
        &mut self,
        project: &ProjectName,
        promotion: &Promotion,
        all_known: bool,
    ) {
        self.changed();
        self.tally.promotions += 1;
        if !all_known {
            let message = format!("{project}/{} has no freight", promotion.id);
            self.fail("I4, order per stage", message);
        }
    }

    // Decisions.

    pub(crate) fn decided(&mut self, snapshot: &PromotionSnapshot, next: &Move, now: Timestamp) {
        self.tally.decisions += 1;
        let id = &snapshot.promotion.id;
        if next.act.is_some() {
            return;
        }
        let silent = next.waiting.iter().all(|waiting| waiting.message.is_empty());
        if next.waiting.is_empty() || silent {
            self.fail("I2, a wait says why", format!("promotion {id} does not move"));
        }
        if next.wake_at.is_some_and(|at| at <= now) {
            let message = format!("promotion {id} waits for a time that is over");
            self.fail("I2, a wait ends", message);
        }
        let Some(until) = waits_until(&snapshot.promotion, &snapshot.state, &snapshot.policies)
        else {
            return;
        };
        let until = until.max(settled_at(snapshot));
        if until <= now {
            let message = format!("promotion {id} waits at {now}, and may until {until} only");
            self.fail("I2, nothing waits past its time", message);
        }
        if next.wake_at.is_none_or(|at| at > until) {
            let message = format!("promotion {id} is not looked at again by {until}");
            self.fail("I2, nothing waits past its time", message);
        }
    }

    /// Whether somebody looked at a promotion in time, once nothing fails any more.
    pub(crate) fn in_time(&mut self, saga: &Saga, policies: &[Defined<Policy>], now: Timestamp) {
        let until = waits_until(&saga.promotion, &saga.state, policies);
        let late = until.filter(|until| now.duration_since(*until) > LATE_MAX);
        if let Some(until) = late {
            let message = format!("{} waits at {now}, and may until {until}", saga.promotion.id);
            self.fail("I2, nothing waits past its time", message);
        }
    }

    pub(crate) fn chosen(&mut self, snapshot: &StageSnapshot, plan: &StagePlan, now: Timestamp) {
        self.tally.decisions += 1;
        let name = &snapshot.stage.spec.name;
        if plan.acts.is_empty() && plan.wake_at.is_some_and(|at| at <= now) {
            let message = format!("stage {name} waits for a time that is over");
            self.fail("I2, a wait ends", message);
        }
        // One that holds the slot, and one of automation or a person that waits, for each warehouse; a person
        // who skips gates may start another for the same freight.
        let bound = 3 * snapshot.stage.spec.requests.len();
        if snapshot.running.len() > bound {
            let message = format!("{} promotions of stage {name} run", snapshot.running.len());
            self.fail("I9, queues are bounded", message);
        }
        if let Some(message) = units::goes_back(snapshot, plan) {
            self.fail("I4, order per stage", message);
        }
        if let Some(message) = units::apart(snapshot, plan, now) {
            self.fail("I4, what may go together goes together", message);
        }
        if let Some(message) = self.combinations.again(snapshot, plan) {
            self.fail("I4, the same combination is not tried again", message);
        }
    }

    pub(crate) fn gathered(
        &mut self,
        snapshot: &WarehouseSnapshot,
        plan: &WarehousePlan,
        now: Timestamp,
    ) {
        self.tally.decisions += 1;
        if plan.acts.is_empty() && plan.wake_at <= now {
            let name = &snapshot.warehouse.spec.name;
            let message = format!("warehouse {name} waits for a time that is over");
            self.fail("I2, a wait ends", message);
        }
    }

    // Commits.

    /// How a promotion stands now, at its commit.
    /// `steps` says how much newer each freight is than what it would replace.
    pub(crate) fn may_commit(
        &self,
        snapshot: &PromotionSnapshot,
        steps: &[i64],
        now: Timestamp,
    ) -> Judgement {
        let promotion = &snapshot.promotion;
        let next = reconciler_domain::plan::promotion(snapshot, now);
        let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
        let joined = Joined::of(&policies, &promotion.stage);
        let bypass = promotion.bypass.as_ref();
        let skips = bypass.is_some_and(|bypass| bypass.gates.contains(&GateKind::Approvals));
        let rules = joined.approvals.values().filter(|_| !skips);
        Judgement {
            stage: promotion.stage.clone(),
            requester: promotion.requester.clone(),
            closed: next.gates.iter().filter(|gate| !gate.lets_pass()).cloned().collect(),
            moves: matches!(next.act, Some(Act::Commit { .. } | Act::Probe { .. })),
            digest: snapshot.state.change_set.as_ref().map_or("", |set| &set.digest).to_owned(),
            asked: rules
                .map(|rule| (rule.count, rule.exclude.contains(&Excluded::Requester)))
                .collect(),
            goes_back: promotion.requester == Principal::Automation
                && (steps.iter().any(|step| *step < 0) || steps.iter().all(|step| *step <= 0)),
            left_out: units::left_out(snapshot),
        }
    }

    pub(crate) fn committed(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        judged: Option<Judgement>,
    ) {
        let Some(judged) = judged else {
            return self.fail("I4, order per stage", format!("{project}/{id} was over"));
        };
        let place = (project.clone(), judged.stage.clone());
        if let Some(holder) = self.slots.insert(place, id.clone()) {
            let message = format!("{project}/{id} commits while {holder} is under way");
            self.fail("I4, one promotion holds a stage", message);
        }
        if judged.goes_back {
            let message = format!("{project}/{id} brings older freight for automation");
            self.fail("I4, order per stage", message);
        }
        if let Some(left_out) = judged.left_out {
            let message = format!("{project}/{id} does not bring freight {left_out}");
            self.fail("I5, what is done is what was judged", message);
        }
        if !judged.moves || !judged.closed.is_empty() {
            let message = format!("{project}/{id} commits past {:?}", judged.closed);
            self.fail("I5, what is done is what was judged", message);
        }
        let agreed = self.agreed.get(&(project.clone(), id.clone()));
        for (count, exclusive) in &judged.asked {
            let counts = |(who, digest): &&(String, String)| {
                let own = judged.requester == Principal::Named(who.clone());
                *digest == judged.digest && !(own && *exclusive)
            };
            let given = agreed.into_iter().flatten().filter(counts).count();
            if given < *count as usize {
                let message = format!("{project}/{id} commits with {given} of {count} approvals");
                return self.fail("I6, no approval by the requester", message);
            }
        }
    }

    // Effects.

    pub(crate) fn happened(&mut self, happened: &Happened, saga: Option<&Saga>) {
        self.tally.effects += 1;
        let Happened { project, promotion, node, effect } = happened;
        let key = (project.clone(), promotion.clone());
        if truth::changes(effect) {
            self.landed.entry(key.clone()).or_default().insert(node.clone());
        }
        if !self.effects.entry(key).or_default().insert(node.clone()) {
            let message = format!("{node:?} of {project}/{promotion} happened twice");
            return self.fail("I1, no effect twice", message);
        }
        let Some(saga) = saga else {
            // One that is stuck because nobody could know says so.
            if self.stuck.contains(&(project.clone(), promotion.clone())) {
                return;
            }
            let message = format!("{node:?} of {project}/{promotion} happened after its end");
            return self.fail("I1, no effect after the end", message);
        };
        let Some(run) = saga.state.nodes.get(node) else {
            let message = format!("{node:?} of {project}/{promotion} happened without an intent");
            return self.fail("I1, no effect before its intent", message);
        };
        let difference = match effect {
            Effect::Pushed(changes) => pushed_otherwise(&saga.state, &run.call, changes),
            Effect::Applied { plan, changed } => {
                applied_otherwise(&saga.state, node, plan, changed)
            }
            Effect::Reverted | Effect::Received => None,
        };
        if let Some(difference) = difference {
            let message = format!("{node:?} of {project}/{promotion}: {difference}");
            self.fail("I5, what is done is what was judged", message);
        }
    }

    // Ends.

    pub(crate) fn over(&mut self, project: &ProjectName, saga: &Saga) {
        self.changed();
        self.all_asked(project, saga);
        let id = &saga.promotion.id;
        if let Some((_, finish)) = &saga.state.finish {
            *self.tally.endings.entry(finish.ending).or_default() += 1;
        }
        self.combinations.over(project, saga);
        let place = (project.clone(), saga.promotion.stage.clone());
        if self.slots.get(&place) == Some(id) {
            self.slots.remove(&place);
        }
        let key = (project.clone(), id.clone());
        self.agreed.remove(&key);
        self.effects.remove(&key);
        let landed = self.landed.remove(&key).unwrap_or_default();
        for message in truth::lies(saga, &landed) {
            self.fail("I7, what is said at the end is true", format!("{project}/{id}: {message}"));
        }
        if saga.state.finish.as_ref().is_some_and(|(_, end)| end.ending == Ending::Stuck) {
            self.stuck.insert(key);
        }
        if self.tally.promotions.is_multiple_of(self.replay_every)
            && let Err(message) = replays(saga)
        {
            self.fail("I8, the log gives the same state", format!("{project}/{id}: {message}"));
        }
    }

    /// Forgets what is known of leases of keys that are gone.
    pub(crate) fn prune(&mut self, is_there: impl Fn(&WakeKey) -> bool) {
        self.epochs.retain(|key, _| is_there(key));
    }
}
