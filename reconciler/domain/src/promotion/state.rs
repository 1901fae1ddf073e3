//! What a promotion's log amounts to.
//!
//! [`State::fold`] is the only reader of events. An event that cannot happen in the present phase
//! is refused as [`IllegalEvent`]: a log that does not fold is a bug or a damaged store, and is
//! reported as such instead of being acted upon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    Approval, ChangeSet, Ending, Entry, Event, Finish, Frozen, Node, NodeRun, Previous,
    StepPrepared,
};
use crate::id::{Alias, FreightId, Principal, StepName};
use crate::step::{
    Answer, AskCall, Call, KeepCall, PlanRecord, Record, Step, StepOutcome, seen_by,
};
use crate::verification::{FrozenCheck, Measurement};

/// Where a promotion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Finding out what it will do.
    Preparing,
    /// The change set is known; gates decide.
    Waiting,
    /// Its effects are being carried out.
    Committing,
    /// Every step is done; measurements decide.
    Verifying,
    /// It is being undone.
    Unwinding,
    /// It is over.
    Ended(Ending),
}

/// A promotion's log, folded.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What the present preparation is made from.
    pub frozen: Option<Frozen>,
    /// Steps that ran in the present preparation, in order.
    pub prepared: Prepared,
    /// Steps that are passed over, in order.
    pub passed_over: IndexMap<StepName, PassedOver>,
    /// The last failure of the present preparation.
    pub prepare_failure: Option<PrepareFailure>,
    /// Failures of preparation in a row.
    pub prepare_failures: u32,
    /// What it will do, once known.
    pub change_set: Option<ChangeSet>,
    /// When that was found out.
    pub prepared_at: Option<Timestamp>,
    /// Who agreed to what, over all preparations.
    pub approvals: Vec<Approval>,
    /// The last look at what the change set was made against.
    pub probe: Option<Probe>,
    /// When it last gave its slot back and went to its gates again.
    pub sent_back_at: Option<Timestamp>,
    /// When the slot was taken.
    pub committed_at: Option<Timestamp>,
    /// Nodes that started, in order.
    pub nodes: IndexMap<Node, NodeRun>,
    /// What people answered to the questions of steps, oldest first.
    pub answers: Vec<Answer>,
    /// When verification began, and its checks.
    pub verifying: Option<(Timestamp, Vec<FrozenCheck>)>,
    /// The freight that was in the stage until verification began.
    pub replaced: Option<Vec<FreightId>>,
    /// Why there is nothing to verify by.
    pub unusable: Option<String>,
    /// How it had ended before it was verified anew, while it is.
    pub reverifying: Option<Finish>,
    /// Measurements of the present verification, oldest first.
    pub measurements: Vec<Measurement>,
    /// Why it is being undone.
    pub unwinding: Option<String>,
    /// When that was decided.
    pub unwinding_at: Option<Timestamp>,
    /// Who asked to stop, and why.
    pub abort: Option<(Principal, String)>,
    /// When somebody first asked to stop.
    pub aborted_at: Option<Timestamp>,
    /// How it ended, and when.
    pub finish: Option<(Timestamp, Finish)>,
}

/// The local steps that ran in one preparation.
pub type Prepared = IndexMap<StepName, StepPrepared>;

/// Why a step is not carried out, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Whether it failed; else its condition does not hold.
    pub failed: bool,
    /// What happened.
    pub message: String,
}

/// A failed preparation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareFailure {
    /// The step; absent: the promotion as a whole.
    pub step: Option<StepName>,
    /// What happened.
    pub message: String,
    /// Whether trying again may help.
    pub retry: bool,
    /// How long the other side asks to be left alone.
    pub retry_after: Option<Duration>,
    /// When.
    pub at: Timestamp,
}

/// A look at what the change set was made against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When.
    pub at: Timestamp,
    /// What moved.
    pub moved: Vec<String>,
}

/// A log entry that cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} ({event}) cannot happen while the promotion is {phase}")]
pub struct IllegalEvent {
    /// The entry.
    pub seq: u64,
    /// Its event.
    pub event: &'static str,
    /// The phase that the entries before it led to.
    pub phase: &'static str,
}

impl State {
    /// Folds a log.
    ///
    /// # Errors
    /// An entry that cannot follow those before it.
    pub fn fold<'a>(log: impl IntoIterator<Item = &'a Entry>) -> Result<Self, IllegalEvent> {
        let mut state = Self::default();
        for entry in log {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Where the promotion is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if let Some((_, finish)) = &self.finish {
            return Phase::Ended(finish.ending);
        }
        if self.unwinding.is_some() {
            return Phase::Unwinding;
        }
        if self.verifying.is_some() {
            return Phase::Verifying;
        }
        if self.committed_at.is_some() {
            return Phase::Committing;
        }
        if self.change_set.is_some() { Phase::Waiting } else { Phase::Preparing }
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// The entry cannot follow those before it.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), IllegalEvent> {
        if !self.may_follow(&entry.event) {
            let (event, phase) = (entry.event.label(), self.phase().label());
            return Err(IllegalEvent { seq: entry.seq, event, phase });
        }
        let at = entry.at;
        match entry.event.clone() {
            Event::PrepareStarted(frozen) => self.start_prepare(*frozen),
            Event::StepPrepared(done) => {
                self.prepared.insert(done.step.clone(), *done);
            }
            Event::PassedOver { step, failed, message } => {
                self.prepare_failure = None;
                self.passed_over.insert(step, PassedOver { failed, message });
            }
            Event::PrepareFailed { step, message, retry, retry_after } => {
                self.prepare_failures += 1;
                self.prepare_failure =
                    Some(PrepareFailure { step, message, retry, retry_after, at });
            }
            Event::Prepared(change_set) => {
                self.prepare_failures = 0;
                self.change_set = Some(*change_set);
                self.prepared_at = Some(at);
            }
            Event::Approved(approval) => self.approvals.push(approval),
            Event::Probed { moved } => self.probe = Some(Probe { at, moved }),
            Event::Committed { .. } => self.committed_at = Some(at),
            Event::SentBack { why } => {
                self.sent_back_at = Some(at);
                self.committed_at = None;
                self.nodes.clear();
                self.probe = Some(Probe { at, moved: vec![why] });
            }
            Event::Intent { node, call, epoch: _ } => self.intent(node, *call, at),
            Event::Outcome { node, outcome } => {
                if let Some(run) = self.nodes.get_mut(&node) {
                    run.end(at, *outcome);
                }
            }
            Event::Answered(answer) => self.answers.push(*answer),
            Event::Verifying { checks, replaced, unusable } => {
                self.verifying = Some((at, checks));
                self.replaced = replaced;
                self.unusable = unusable;
            }
            Event::Reverifying { checks, .. } => self.verify_anew(at, checks),
            Event::Measured(measurement) => self.measurements.push(measurement),
            Event::Unwinding { cause } => {
                self.unwinding = Some(cause);
                self.unwinding_at = Some(at);
            }
            Event::AbortRequested { by, reason } => {
                self.abort = Some((by, reason));
                self.aborted_at.get_or_insert(at);
            }
            Event::Finished(finish) => {
                self.reverifying = None;
                self.finish = Some((at, finish));
            }
        }
        Ok(())
    }

    /// Whether an event can happen now.
    fn may_follow(&self, event: &Event) -> bool {
        let phase = self.phase();
        match event {
            Event::PrepareStarted(_) => matches!(phase, Phase::Preparing | Phase::Waiting),
            Event::StepPrepared(_) | Event::PrepareFailed { .. } | Event::Prepared(_) => {
                phase == Phase::Preparing && self.frozen.is_some()
            }
            Event::PassedOver { step, .. } => {
                let open = !self.passed_over.contains_key(step) && !self.is_running(step);
                match phase {
                    Phase::Preparing => open && self.frozen.is_some(),
                    Phase::Committing => open,
                    Phase::Waiting | Phase::Verifying | Phase::Unwinding | Phase::Ended(_) => false,
                }
            }
            Event::Approved(_) | Event::Probed { .. } | Event::Committed { .. } => {
                phase == Phase::Waiting
            }
            Event::SentBack { .. } => {
                let runs = self.nodes.values().any(|run| run.outcome.is_none());
                phase == Phase::Committing && !runs
            }
            // A node never starts while it runs, and nothing ends that did not start.
            Event::Intent { node, .. } => phase == phase_of(node) && !self.runs(node),
            Event::Outcome { node, .. } => phase == phase_of(node) && self.runs(node),
            Event::Answered(answer) => self.question(&answer.step).is_some(),
            Event::Verifying { .. } => phase == Phase::Committing,
            Event::Reverifying { .. } => self.may_be_verified_anew(),
            Event::Measured(_) => phase == Phase::Verifying,
            Event::Unwinding { .. } => matches!(phase, Phase::Committing | Phase::Verifying),
            Event::AbortRequested { .. } | Event::Finished(_) => !matches!(phase, Phase::Ended(_)),
        }
    }

    /// Whether it succeeded, be it that this is being verified anew.
    #[must_use]
    pub fn stands(&self) -> bool {
        match self.phase() {
            Phase::Ended(ending) => ending == Ending::Succeeded,
            Phase::Verifying => {
                self.reverifying.as_ref().is_some_and(|before| before.ending == Ending::Succeeded)
            }
            Phase::Preparing | Phase::Waiting | Phase::Committing | Phase::Unwinding => false,
        }
    }

    /// Whether it is over, every step was done, and nothing was undone since: what it brought can be
    /// verified once more, however the last verification ended.
    #[must_use]
    pub fn may_be_verified_anew(&self) -> bool {
        match self.phase() {
            Phase::Ended(Ending::Succeeded | Ending::Inconclusive) => true,
            Phase::Ended(Ending::Failed | Ending::Aborted) => {
                self.verifying.is_some() && self.unwinding.is_none()
            }
            Phase::Ended(
                Ending::RolledBack
                | Ending::Stuck
                | Ending::Superseded
                | Ending::Expired
                | Ending::Rehearsed,
            )
            | Phase::Preparing
            | Phase::Waiting
            | Phase::Committing
            | Phase::Verifying
            | Phase::Unwinding => false,
        }
    }

    fn verify_anew(&mut self, at: Timestamp, checks: Vec<FrozenCheck>) {
        self.reverifying = self.finish.take().map(|(_, finish)| finish);
        self.verifying = Some((at, checks));
        self.unusable = None;
        self.measurements.clear();
        self.abort = None;
        self.aborted_at = None;
    }

    /// What a step asks people at this moment, with the digest that names it.
    #[must_use]
    pub fn question(&self, step: &StepName) -> Option<(&AskCall, String)> {
        if self.phase() != Phase::Committing {
            return None;
        }
        let nodes = [Node::Step(step.clone()), Node::Excess(step.clone())];
        let open = nodes.iter().filter_map(|node| self.nodes.get(node));
        let mut asks = open.filter(|run| run.outcome.is_none()).filter_map(|run| run.call.as_ask());
        let ask = asks.next()?;
        let change_set = self.change_set.as_ref().map_or("", |set| set.digest.as_str());
        Some((ask, ask.digest(change_set, step)))
    }

    /// The aliases that calls of this promotion name.
    #[must_use]
    pub fn aliases(&self) -> BTreeSet<Alias> {
        let calls = self.nodes.values().filter_map(|run| run.call.as_keep());
        calls.flat_map(KeepCall::aliases).cloned().collect()
    }

    /// What people answered to this question.
    #[must_use]
    pub fn answers_to(&self, question: &str) -> Vec<Answer> {
        let answers = self.answers.iter().filter(|answer| answer.question == question);
        answers.cloned().collect()
    }

    /// Whether a node started and its end is not known.
    fn runs(&self, node: &Node) -> bool {
        self.nodes.get(node).is_some_and(|run| run.outcome.is_none())
    }

    fn is_running(&self, step: &StepName) -> bool {
        self.runs(&Node::Step(step.clone()))
    }

    fn start_prepare(&mut self, frozen: Frozen) {
        let edited = |before: &Frozen| {
            before.generation != frozen.generation
                || before.tasks != frozen.tasks
                || before.templates != frozen.templates
        };
        if self.frozen.as_ref().is_some_and(edited) {
            // What an edit may have mended starts to count anew.
            self.prepare_failures = 0;
        }
        self.frozen = Some(frozen);
        self.prepared.clear();
        self.passed_over.clear();
        self.prepare_failure = None;
        self.change_set = None;
        self.prepared_at = None;
        self.probe = None;
    }

    fn intent(&mut self, node: Node, call: Call, at: Timestamp) {
        let before = self.nodes.get(&node);
        let ended = before.and_then(|run| Some(&run.outcome.as_ref()?.1));
        let was_done = matches!(ended, Some(StepOutcome::Done { .. }));
        let anew =
            was_done || matches!(ended, Some(StepOutcome::Failed { record: Record::Stale, .. }));
        let attempts = before.filter(|_| !anew).map_or(0, |run| run.attempts) + 1;
        let done_before = before.map_or(0, |run| run.done_before) + u32::from(was_done);
        let unseen = before.and_then(|run| match &run.outcome {
            Some((at, StepOutcome::Interrupted { .. })) => Some(*at),
            Some(_) | None => run.unseen,
        });
        let own_end = before.and_then(|run| run.own_end.clone());
        let left = before.filter(|_| !anew).and_then(NodeRun::changed).cloned();
        let looks = before.filter(|_| call.only_asks()).map_or(0, |run| run.looks + 1);
        self.nodes.insert(
            node,
            NodeRun {
                attempts,
                looks,
                done_before,
                started_at: at,
                call,
                unseen,
                left,
                outcome: None,
                own_end,
            },
        );
    }

    /// Records of steps, in the order of the stage: a commit-time run replaces a prepared one.
    #[must_use]
    pub fn records(&self) -> IndexMap<StepName, Record> {
        let mut records = IndexMap::new();
        for step in self.steps() {
            if let Some((_, record)) = self.done(&step.name) {
                records.insert(step.name.clone(), record.clone());
            }
        }
        records
    }

    /// Records of the steps before this one, as far as it sees them. What a later step made in the
    /// same directory is not what this one works on.
    #[must_use]
    pub fn records_before(&self, step: &StepName) -> IndexMap<StepName, Record> {
        let before = seen_by(self.steps(), step).take_while(|other| other.name != *step);
        let done = before
            .filter_map(|other| Some((other.name.clone(), self.done(&other.name)?.1.clone())));
        done.collect()
    }

    /// The value that expressions see as `steps`.
    #[must_use]
    pub fn outputs(&self) -> Value {
        let mut steps = Map::new();
        for step in self.steps() {
            if let Some((outputs, _)) = self.done(&step.name) {
                nest(&mut steps, step.name.as_str(), outputs);
            }
        }
        Value::Object(steps)
    }

    /// Outputs and record of a step that is done.
    #[must_use]
    pub fn done(&self, step: &StepName) -> Option<(&Map<String, Value>, &Record)> {
        let run = self.nodes.get(&Node::Step(step.clone()));
        if let Some((_, StepOutcome::Done { outputs, record })) =
            run.and_then(|run| run.outcome.as_ref())
        {
            return Some((outputs, record));
        }
        // What was foreseen of an effect did not come to be.
        if self.passed_over.contains_key(step) {
            return None;
        }
        self.prepared.get(step).map(|prepared| (&prepared.outputs, &prepared.record))
    }

    pub(super) fn steps(&self) -> &[Step] {
        self.frozen.as_ref().map_or(&[], |frozen| &frozen.stage.steps)
    }

    /// Outputs that exist only after a later effect, by step.
    #[must_use]
    pub fn unknown_outputs(&self) -> BTreeMap<&StepName, &BTreeSet<String>> {
        self.prepared.iter().map(|(name, prepared)| (name, &prepared.unknown)).collect()
    }

    /// What each plan that was made in a lane worked on.
    fn plans_in_lanes(&self) -> BTreeMap<StepName, BTreeSet<StepName>> {
        let in_lane = self.steps().iter().filter(|step| step.lane.is_some());
        let planned = in_lane.filter(|step| {
            self.done(&step.name).is_some_and(|(_, record)| record.as_plan().is_some())
        });
        let seen = |step: &Step| {
            seen_by(self.steps(), &step.name).map(|other| other.name.clone()).collect()
        };
        planned.map(|step| (step.name.clone(), seen(step))).collect()
    }

    /// The plan that a step made, newest first what was made after the commit; of an apply, the plan of its undo,
    /// where one was made.
    #[must_use]
    pub fn plan_of(&self, step: &StepName) -> Option<&PlanRecord> {
        let made = |node: &Node| match &self.nodes.get(node)?.outcome.as_ref()?.1 {
            StepOutcome::Done { record, .. } => record.as_plan(),
            StepOutcome::Failed { .. }
            | StepOutcome::Uncertain { .. }
            | StepOutcome::Interrupted { .. } => None,
        };
        made(&Node::Replan(step.clone()))
            .or_else(|| made(&Node::Step(step.clone())))
            .or_else(|| made(&Node::UndoPlan(step.clone())))
            .or_else(|| self.prepared.get(step)?.record.as_plan())
    }

    /// How the infra of this promotion is made again, if it succeeded and had any.
    #[must_use]
    pub fn as_previous(&self, promotion: &super::Promotion) -> Option<Previous> {
        let frozen = self.frozen.as_ref()?;
        let mut calls = self.rebuild_of(self.steps().iter());
        for step in &frozen.stage.steps {
            if let Some(plan) = self.done(&step.name).and_then(|(_, record)| record.as_plan()) {
                calls.push((step.name.clone(), Call::TfPlan(plan.call.clone())));
            }
        }
        Some(Previous {
            promotion: promotion.id.clone(),
            collection: frozen
                .collection
                .iter()
                .map(|(warehouse, freight)| (warehouse.clone(), freight.id.clone()))
                .collect(),
            calls,
            seen: self.plans_in_lanes(),
        })
    }
}

/// The phase in which a node runs.
fn phase_of(node: &Node) -> Phase {
    match node {
        Node::Step(_) | Node::Replan(_) | Node::Excess(_) => Phase::Committing,
        Node::UndoPlan(_) | Node::Undo(_) => Phase::Unwinding,
    }
}

/// Puts the outputs of a step where its qualified name says: those of `deploy.eu` below `deploy`.
fn nest(steps: &mut Map<String, Value>, name: &str, outputs: &Map<String, Value>) {
    let Some((first, rest)) = name.split_once('.') else {
        steps.insert(name.to_owned(), Value::Object(outputs.clone()));
        return;
    };
    let inner = steps.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        nest(inner, rest, outputs);
    }
}
