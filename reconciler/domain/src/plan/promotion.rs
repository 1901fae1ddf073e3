//! The decision about one promotion: its next move.

use std::time::Duration;

use jiff::Timestamp;

use super::rehearsal::{self, REHEARSED};
use super::{Waiting, commit, earlier, expiry, prepare, undo, verify};
use crate::duration;
use crate::freight::Freight;
use crate::gate::{Facts, Gate, Verdict, gates};
use crate::id::{FreightId, Principal, PromotionId, StepName};
use crate::inquiry::{Asking, Said, due, pose, said, stale_for_commit};
use crate::policy::{GateKind, Joined};
use crate::promotion::{Ending, Event, Finish, Node, Phase, Skipped, State};
use crate::snapshot::PromotionSnapshot;
use crate::stage::Stage;
use crate::step::{
    Call, Interruption, OciRecord, PlanRecord, Record, Seen, StepOutcome, TagMove, Unseen, Workdir,
};
use crate::verification::FrozenCheck;

/// The next move of a promotion.
#[derive(Debug, Clone, Default)]
pub struct Move {
    /// What to do now; absent: wait.
    pub act: Option<Act>,
    /// Every gate, for those who look on. Empty once the promotion committed.
    pub gates: Vec<Gate>,
    /// Why it waits.
    pub waiting: Vec<Waiting>,
    /// When to look again; absent: when something else changes.
    pub wake_at: Option<Timestamp>,
    /// Until when it waits at most, before it commits or before it is undone; it is then over. Absent: it waits
    /// for neither, or for something that has an end of its own.
    pub waits_until: Option<Timestamp>,
}

/// One move of a promotion.
#[derive(Debug, Clone)]
pub enum Act {
    /// Append this and look again.
    Append(Box<Event>),
    /// Run a local step, then append that it is prepared or that preparation failed.
    Prepare {
        /// Which.
        step: StepName,
        /// What to run.
        call: Box<Call>,
        /// What fills the working directory if it is lost.
        rebuild: Vec<(StepName, Call)>,
        /// When it is broken off, and by what: because it took too long, or because the promotion waited too long,
        /// which ends that as an abort does.
        ends: Option<(Timestamp, Interruption)>,
    },
    /// Look at what the change set was made against, then append what moved.
    Probe {
        /// What to look at.
        bases: Vec<Base>,
        /// Whether there is time for no other look, should this one fail.
        last: bool,
    },
    /// Ask these questions, all at once, and keep what came of each.
    Ask(Vec<Asking>),
    /// Take the slot, if nothing that this decision looked at has changed.
    Commit {
        /// The gates that are skipped for it by right.
        skipped: Vec<Skipped>,
    },
    /// Run these side by side; one, unless they are of several lanes.
    Run(Vec<Run>),
    /// Take one measurement, then append it.
    Measure(Box<FrozenCheck>),
}

/// One node to run: append the intent unless it is there, run, append the outcome.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which.
    pub node: Node,
    /// What to run.
    pub call: Box<Call>,
    /// What fills the working directory if it is lost.
    pub rebuild: Vec<(StepName, Call)>,
    /// Whether the intent is in the log already: it runs, or whoever ran it is gone.
    pub resumed: bool,
    /// Whether it only looks for what may still be on its way: an absence says nothing yet.
    pub too_early: bool,
    /// When it is broken off.
    pub deadline: Option<Timestamp>,
}

/// Whether an entry that people append while something runs breaks that off. An undo is never
/// broken off: what is half undone is worse than either. Nor is a look for what may have happened: it changes
/// nothing, says what is left, and has an end of its own, if it was begun with the wish known (`known`).
#[must_use]
pub fn breaks_off(running: Option<(&Node, &Call)>, event: &Event, known: bool) -> bool {
    let may_be_broken = match running {
        None => true,
        Some((Node::Step(_) | Node::Replan(_) | Node::Excess(_), call)) => {
            !(known && call.only_asks())
        }
        Some((Node::UndoPlan(_) | Node::Undo(_), _)) => false,
    };
    may_be_broken && matches!(event, Event::AbortRequested { .. })
}

/// What is appended when a run has ended. One that goes on where another was cut off, and fails without a word on
/// whether that had happened, leaves it unknown: the log has no second intent that would say so. One that was not so
/// yet when it was last looked at (`rested`) had changed nothing by then.
#[must_use]
pub fn ended(run: &Run, rested: bool, outcome: StepOutcome) -> Event {
    let unknown =
        run.resumed && !rested && run.call.unseen() != Unseen::Nothing && !run.call.fails_undone();
    let outcome = match outcome {
        StepOutcome::Failed { message, retry, retry_after, record, seen: Seen::No }
            if run.too_early && !rested =>
        {
            StepOutcome::Failed { message, retry, retry_after, record, seen: Seen::Perhaps }
        }
        StepOutcome::Failed {
            message,
            retry,
            retry_after,
            record: Record::None,
            seen: Seen::Unsaid,
        } if unknown => {
            let (record, seen) = (Record::None, Seen::Perhaps);
            StepOutcome::Failed { message, retry, retry_after, record, seen }
        }
        outcome @ (StepOutcome::Done { .. }
        | StepOutcome::Failed { .. }
        | StepOutcome::Uncertain { .. }
        | StepOutcome::Interrupted { .. }) => outcome,
    };
    Event::Outcome { node: run.node.clone(), outcome: Box::new(outcome) }
}

/// What is appended after a look at what a change set was made against: what moved.
///
/// # Errors
/// It failed with this message, and there is time for another: nothing is appended.
pub fn probed(looked: Result<Vec<String>, String>, last: bool) -> Result<Event, String> {
    let said =
        |message| format!("what the change set was made against could not be looked at: {message}");
    match looked {
        Ok(moved) => Ok(Event::Probed { moved }),
        // What nobody can look at is not what was judged, as far as anybody knows.
        Err(message) if last => Ok(Event::Probed { moved: vec![said(message)] }),
        Err(message) => Err(said(message)),
    }
}

/// Something that a change set was made against.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// The tip of a branch.
    Branch {
        /// The repository.
        repo: String,
        /// The branch.
        branch: String,
        /// Its tip then.
        commit: String,
    },
    /// The state of an infra module.
    State {
        /// How it was planned.
        plan: Box<PlanRecord>,
        /// Where the module is.
        workdir: Workdir,
    },
    /// What a tag of a registry is at.
    Tag(TagMove),
}

/// How long a look at the bases is good for.
const PROBE_VALID: Duration = Duration::from_secs(30);

/// Decides the next move of a promotion.
#[must_use]
pub fn promotion(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let state = &snapshot.state;
    match state.phase() {
        Phase::Ended(_) => Move::default(),
        Phase::Preparing | Phase::Waiting => {
            if let Some(finish) =
                stopped_early(snapshot).or_else(|| rehearsal::seen_enough(snapshot, now))
            {
                return Move::append(Event::Finished(finish));
            }
            let next = if state.phase() == Phase::Preparing {
                prepare::next(snapshot, now)
            } else {
                wait_at_gates(snapshot, now)
            };
            if snapshot.promotion.rehearsal {
                rehearsal::not_for_ever(snapshot, next)
            } else {
                expiry::before_commit(snapshot, next, now)
            }
        }
        Phase::Committing => commit::next(snapshot, now),
        Phase::Verifying => verify::next(snapshot, now),
        Phase::Unwinding => undo::next(snapshot, now),
    }
}

/// Before the commit an abort, or the loss of the stage, simply ends it. So does the arrival of its
/// freight with another promotion; only a person may bring freight again that was there before.
fn stopped_early(snapshot: &PromotionSnapshot) -> Option<Finish> {
    let finish = |ending, message| Some(Finish::new(ending, message, Vec::new()));
    let promotion = &snapshot.promotion;
    if let Some((by, reason)) = &snapshot.state.abort {
        if promotion.rehearsal && snapshot.state.change_set.is_some() {
            return finish(
                Ending::Rehearsed,
                format!("{REHEARSED}, and {by} has seen it: {reason}"),
            );
        }
        return finish(Ending::Aborted, format!("aborted by {by}: {reason}"));
    }
    if snapshot.stage.is_none() {
        return finish(Ending::Aborted, "its stage was deleted".to_owned());
    }
    let is_there = |(warehouse, id): (_, &FreightId)| {
        snapshot.current.get(warehouse).is_some_and(|freight| freight.id == *id)
    };
    if promotion.promoted().all(is_there) {
        let last = snapshot.previous.as_ref().map(|previous| &previous.promotion);
        let seen =
            snapshot.state.frozen.as_ref().map(|f| f.previous.as_ref().map(|p| &p.promotion));
        let came_since = seen.is_some_and(|seen| seen != last);
        if promotion.requester == Principal::Automation || came_since {
            let by = last.map_or_else(String::new, |last| format!(": promotion {last} brought it"));
            let message = format!("its freight is in the stage already{by}");
            return finish(Ending::Superseded, message);
        }
    }
    // What came with another promotion is there too if that did not succeed, and nobody takes it away any more.
    let came =
        promotion.promoted().all(|(warehouse, id)| snapshot.there.get(warehouse) == Some(id));
    if promotion.requester == Principal::Automation && came && snapshot.slot.is_none() {
        return finish(Ending::Superseded, "its freight is in the stage already".to_owned());
    }
    None
}

fn wait_at_gates(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let (Some(frozen), Some(stage)) = (&snapshot.state.frozen, &snapshot.stage) else {
        return Move::default();
    };
    let moved = snapshot.state.probe.as_ref().is_some_and(|probe| !probe.moved.is_empty());
    if moved || prepare::is_outdated(snapshot, frozen) {
        return prepare::start(snapshot);
    }
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let joined = Joined::of(&policies, &stage.spec.name);
    let posed = pose(snapshot, &joined);
    let gates = gates_with(snapshot, &stage.spec, &joined, &said(&posed, now), now);
    let mut next = Move { gates, ..Move::default() };
    for gate in next.gates.iter().filter(|gate| !gate.lets_pass()) {
        next.waiting.push(gate_waiting(&snapshot.promotion.id, gate));
    }
    next.waiting.extend(settling(snapshot, &joined, now));
    next.wake_at = next.waiting.iter().fold(None, |at, waiting| earlier(at, waiting.until));
    let (due, again) = due(&posed, &next.gates, now);
    next.wake_at = earlier(next.wake_at, again);
    if !due.is_empty() {
        next.act = Some(Act::Ask(due));
        return next;
    }
    if next.waiting.is_empty() && !snapshot.promotion.rehearsal {
        match snapshot.slot.as_ref().filter(|holder| **holder != snapshot.promotion.id) {
            Some(holder) => next.waiting.push(slot_waiting(&snapshot.promotion.id, holder)),
            // What was said may be taken back: it is asked once more at the last moment.
            None => {
                let stale = stale_for_commit(&posed, &next.gates, now);
                next.act = Some(if stale.is_empty() {
                    probe_or_commit(snapshot, &next.gates, now)
                } else {
                    Act::Ask(stale)
                });
            }
        }
    }
    next
}

/// Every gate of a promotion as of now.
pub(crate) fn promotion_gates(
    snapshot: &PromotionSnapshot,
    stage: &Stage,
    joined: &Joined<'_>,
    now: Timestamp,
) -> Vec<Gate> {
    gates_with(snapshot, stage, joined, &said(&pose(snapshot, joined), now), now)
}

fn gates_with(
    snapshot: &PromotionSnapshot,
    stage: &Stage,
    joined: &Joined<'_>,
    said: &[Said],
    now: Timestamp,
) -> Vec<Gate> {
    let facts = Facts {
        stage,
        joined,
        policies: &snapshot.policies,
        freight: &snapshot.facts,
        along: &snapshot.along,
        promotion: Some(&snapshot.promotion),
        change_set: snapshot.state.change_set.as_ref(),
        approvals: &snapshot.state.approvals,
        automatic_hold: snapshot.automatic_hold.as_ref(),
        holds: &snapshot.holds,
        freezes: &snapshot.freezes,
        brings: &brings(snapshot),
        companions: &snapshot.current,
        commits: &snapshot.commits,
        drift: snapshot.drift.as_ref(),
        said,
        prepared_at: snapshot.state.prepared_at,
    };
    gates(&facts, now)
}

/// Freight that comes to the stage with what is promoted and is not there yet: of promotions that are not over.
fn brings(snapshot: &PromotionSnapshot) -> Vec<Freight> {
    let collection = snapshot.state.frozen.iter().flat_map(|frozen| frozen.collection.values());
    let is_there = |id| snapshot.there.values().any(|there| there == id);
    let others = collection.filter(|freight| !snapshot.promotion.brings(&freight.id));
    others.filter(|freight| !is_there(&freight.id)).cloned().collect()
}

/// Definitions change one after the other: until they rest, gates may stand open that are to close.
fn settling(snapshot: &PromotionSnapshot, joined: &Joined<'_>, now: Timestamp) -> Option<Waiting> {
    if snapshot.promotion.requester != Principal::Automation {
        return None;
    }
    let (changed_at, settled) = settled_at(snapshot, joined)?;
    (settled > now).then(|| Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "Settling",
        message: format!(
            "definitions changed at {changed_at}; automation waits {} for the rest of them",
            duration::print(joined.settle),
        ),
        until: Some(settled),
    })
}

/// When the stage or a policy that selects or selected it last changed, and when they have come to rest.
pub(super) fn settled_at(
    snapshot: &PromotionSnapshot,
    joined: &Joined<'_>,
) -> Option<(Timestamp, Timestamp)> {
    let policies =
        snapshot.policies.iter().filter(|policy| policy.spec.selects(&snapshot.promotion.stage));
    let stage = snapshot.stage.iter().map(|stage| stage.changed_at);
    let changes = policies.map(|policy| policy.changed_at).chain(stage);
    let changed_at = changes.chain(snapshot.policies_changed_at).max()?;
    Some((changed_at, changed_at.checked_add(joined.settle).unwrap_or(Timestamp::MAX)))
}

fn gate_waiting(promotion: &PromotionId, gate: &Gate) -> Waiting {
    let reason = match (gate.verdict, gate.kind) {
        (Verdict::Unknown, _) => "GateUnknown",
        (Verdict::Pass | Verdict::Fail, GateKind::Upstream) => "NotVerifiedUpstream",
        (Verdict::Pass | Verdict::Fail, GateKind::Soak) => "Soaking",
        (Verdict::Pass | Verdict::Fail, GateKind::Age) => "TooOld",
        (Verdict::Pass | Verdict::Fail, GateKind::Condition) => "ConditionFails",
        (Verdict::Pass | Verdict::Fail, GateKind::Window) => "WindowClosed",
        (Verdict::Pass | Verdict::Fail, GateKind::Rate) => "RateReached",
        (Verdict::Pass | Verdict::Fail, GateKind::Ticket) => "TicketRefused",
        (Verdict::Pass | Verdict::Fail, GateKind::Attestation) => "AttestationFails",
        (Verdict::Pass | Verdict::Fail, GateKind::Approvals) => "ApprovalsMissing",
        (Verdict::Pass | Verdict::Fail, GateKind::Infra) => "InfraRules",
        (Verdict::Pass | Verdict::Fail, GateKind::Drift) => "Drifted",
        (Verdict::Pass | Verdict::Fail, GateKind::Mode) => "Manual",
        (Verdict::Pass | Verdict::Fail, GateKind::Hold) => "Held",
        (Verdict::Pass | Verdict::Fail, GateKind::Freeze) => "Frozen",
    };
    Waiting {
        subject: format!("promotion {promotion}"),
        reason,
        message: gate.message.clone(),
        until: gate.until,
    }
}

fn slot_waiting(promotion: &PromotionId, holder: &PromotionId) -> Waiting {
    Waiting {
        subject: format!("promotion {promotion}"),
        reason: "SlotTaken",
        message: format!("waits for promotion {holder} to end"),
        until: None,
    }
}

fn probe_or_commit(snapshot: &PromotionSnapshot, gates: &[Gate], now: Timestamp) -> Act {
    let fresh = |at: Timestamp| at.checked_add(PROBE_VALID).is_ok_and(|end| end > now);
    match &snapshot.state.probe {
        Some(probe) if fresh(probe.at) => Act::Commit { skipped: skipped(gates) },
        Some(_) | None => Act::Probe { bases: bases(&snapshot.state), last: false },
    }
}

/// The gates that do not pass, and are skipped by right.
fn skipped(gates: &[Gate]) -> Vec<Skipped> {
    let skipped = gates.iter().filter(|gate| gate.bypassed);
    skipped.map(|gate| Skipped { gate: gate.kind, message: gate.message.clone() }).collect()
}

/// What the prepared steps were made against.
fn bases(state: &State) -> Vec<Base> {
    let mut bases = Vec::new();
    for (step, record) in state.records() {
        match record {
            Record::Clone(clone) => {
                for (dir, branch) in &clone.branches {
                    let Some(commit) = clone.commits.get(dir) else { continue };
                    bases.push(Base::Branch {
                        repo: clone.repo.clone(),
                        branch: branch.clone(),
                        commit: commit.clone(),
                    });
                }
            }
            Record::Plan(plan) => {
                bases.push(Base::State { plan, workdir: state.workdir(&step) });
            }
            Record::Oci(OciRecord::Looked(moved)) => bases.push(Base::Tag(moved)),
            Record::None
            | Record::Commit(_)
            | Record::Push(_)
            | Record::Tag(_)
            | Record::Oci(
                OciRecord::Pulled { .. }
                | OciRecord::Pushed(_)
                | OciRecord::Attached(_)
                | OciRecord::Left { .. },
            )
            | Record::Charts(_)
            | Record::PullRequest(_)
            | Record::Kept(_)
            | Record::Imports(_)
            | Record::Applied(_)
            | Record::Sent
            | Record::Stale
            | Record::Ran(_) => {}
        }
    }
    bases
}

impl Move {
    pub(super) fn append(event: Event) -> Self {
        Self { act: Some(Act::Append(Box::new(event))), ..Self::default() }
    }

    pub(super) fn act(act: Act) -> Self {
        Self { act: Some(act), ..Self::default() }
    }

    pub(super) fn wait(waiting: Waiting) -> Self {
        let wake_at = waiting.until;
        Self { waiting: vec![waiting], wake_at, ..Self::default() }
    }
}
