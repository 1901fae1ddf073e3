//! The decision about one promotion, and what people may ask of one.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Waiting, commit, earlier, prepare, undo};
use crate::availability::{Availability, availability};
use crate::gate::{Facts, Gate, Verdict, gates};
use crate::id::{FreightId, Principal, PromotionId, StepName};
use crate::policy::{GateKind, Joined, Mode};
use crate::promotion::{
    Approval, BypassRequest, Ending, Event, Finish, Node, Phase, Promotion, State,
};
use crate::snapshot::{PromotionSnapshot, StageSnapshot};
use crate::step::{Call, PlanRecord, Record};
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
    },
    /// Look at what the change set was made against, then append what moved.
    Probe {
        /// What to look at.
        bases: Vec<Base>,
    },
    /// Take the slot, if nothing that this decision looked at has changed.
    Commit,
    /// Append the intent unless it is there, run, append the outcome.
    Run {
        /// Which.
        node: Node,
        /// What to run.
        call: Box<Call>,
        /// What fills the working directory if it is lost.
        rebuild: Vec<(StepName, Call)>,
        /// Whether the intent is in the log already: whoever ran it is gone.
        resumed: bool,
    },
    /// Take one measurement, then append it.
    Measure(Box<FrozenCheck>),
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
    State(Box<PlanRecord>),
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
            if let Some(finish) = stopped_early(snapshot) {
                return Move::append(Event::Finished(finish));
            }
            if state.phase() == Phase::Preparing {
                return prepare::next(snapshot, now);
            }
            wait_at_gates(snapshot, now)
        }
        Phase::Committing => commit::next(snapshot, now),
        Phase::Verifying => commit::verify(snapshot, now),
        Phase::Unwinding => undo::next(snapshot, now),
    }
}

/// Before the commit an abort, or the loss of the stage, simply ends it.
fn stopped_early(snapshot: &PromotionSnapshot) -> Option<Finish> {
    let message = match (&snapshot.state.abort, &snapshot.stage) {
        (Some((by, reason)), _) => format!("aborted by {by}: {reason}"),
        (None, None) => "its stage was deleted".to_owned(),
        (None, Some(_)) => return None,
    };
    Some(Finish { ending: Ending::Aborted, message, remaining: Vec::new() })
}

fn wait_at_gates(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let redefined = || {
        let now = snapshot.stage.as_ref().map(|stage| stage.generation);
        now != snapshot.state.frozen.as_ref().map(|frozen| frozen.generation)
    };
    if redefined() || snapshot.state.probe.as_ref().is_some_and(|probe| !probe.moved.is_empty()) {
        return prepare::start(snapshot);
    }
    let gates = promotion_gates(snapshot, now);
    let mut next = Move { gates, ..Move::default() };
    for gate in next.gates.iter().filter(|gate| !gate.lets_pass()) {
        next.wake_at = earlier(next.wake_at, gate.until);
        next.waiting.push(gate_waiting(&snapshot.promotion.id, gate));
    }
    if next.waiting.is_empty() {
        match snapshot.slot.as_ref().filter(|holder| **holder != snapshot.promotion.id) {
            Some(holder) => next.waiting.push(slot_waiting(&snapshot.promotion.id, holder)),
            None => next.act = Some(probe_or_commit(snapshot, now)),
        }
    }
    next
}

/// Every gate of a promotion as of now.
#[must_use]
fn promotion_gates(snapshot: &PromotionSnapshot, now: Timestamp) -> Vec<Gate> {
    let Some(stage) = &snapshot.stage else { return Vec::new() };
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let joined = Joined::of(&policies, &stage.spec.name);
    let facts = Facts {
        stage: &stage.spec,
        joined: &joined,
        policies: &snapshot.policies,
        freight: &snapshot.facts,
        promotion: Some(&snapshot.promotion),
        change_set: snapshot.state.change_set.as_ref(),
        approvals: &snapshot.state.approvals,
        hold: None,
    };
    gates(&facts, now)
}

fn gate_waiting(promotion: &PromotionId, gate: &Gate) -> Waiting {
    let reason = match (gate.kind, gate.verdict) {
        (_, Verdict::Unknown) => "GateUnknown",
        (GateKind::Upstream, _) => "NotVerifiedUpstream",
        (GateKind::Soak, _) => "Soaking",
        (GateKind::Approvals, _) => "ApprovalsMissing",
        (GateKind::Infra, _) => "InfraRules",
        (GateKind::Mode, _) => "Manual",
        (GateKind::Hold, _) => "Held",
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

fn probe_or_commit(snapshot: &PromotionSnapshot, now: Timestamp) -> Act {
    let fresh = |at: Timestamp| at.checked_add(PROBE_VALID).is_ok_and(|end| end > now);
    match &snapshot.state.probe {
        Some(probe) if fresh(probe.at) => Act::Commit,
        Some(_) | None => Act::Probe { bases: bases(&snapshot.state) },
    }
}

/// What the prepared steps were made against.
fn bases(state: &State) -> Vec<Base> {
    let mut bases = Vec::new();
    for record in state.records().into_values() {
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
            Record::Plan(plan) => bases.push(Base::State(plan)),
            Record::None | Record::Commit(_) | Record::Push(_) | Record::Applied(_) => {}
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

/// Why a person's wish cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    /// The promotion is past its gates or not there yet.
    #[error(
        "promotion {promotion} is {phase}; only a promotion that waits at its gates can be approved"
    )]
    NotWaiting {
        /// The promotion.
        promotion: PromotionId,
        /// Where it is.
        phase: &'static str,
    },
    /// The approval names another change set than the present one.
    #[error(
        "promotion {promotion} would now do something else than what you saw \
         ({seen}): look at its change set {present} and approve that"
    )]
    OtherDigest {
        /// The promotion.
        promotion: PromotionId,
        /// The digest given.
        seen: String,
        /// The digest now.
        present: String,
    },
    /// The same person approved the same change set before.
    #[error("{by} has approved this change set of promotion {promotion} already")]
    Again {
        /// The promotion.
        promotion: PromotionId,
        /// Who.
        by: String,
    },
    /// The promotion is over.
    #[error("promotion {promotion} is over: it {phase}")]
    Over {
        /// The promotion.
        promotion: PromotionId,
        /// How it ended.
        phase: &'static str,
    },
}

/// A person's approval of a change set.
///
/// # Errors
/// The promotion does not wait, does something else by now, or has this person's approval.
pub fn approve(
    promotion: &Promotion,
    state: &State,
    approval: Approval,
) -> Result<Event, ApproveError> {
    let id = || promotion.id.clone();
    let change_set = match (state.phase(), &state.change_set) {
        (Phase::Waiting, Some(change_set)) => change_set,
        (phase, _) => {
            return Err(ApproveError::NotWaiting { promotion: id(), phase: phase.label() });
        }
    };
    if change_set.digest != approval.digest {
        let (seen, present) = (approval.digest, change_set.digest.clone());
        return Err(ApproveError::OtherDigest { promotion: id(), seen, present });
    }
    let given = |other: &Approval| other.by == approval.by && other.digest == approval.digest;
    if state.approvals.iter().any(given) {
        return Err(ApproveError::Again { promotion: id(), by: approval.by });
    }
    Ok(Event::Approved(approval))
}

/// A person's wish to stop a promotion.
///
/// # Errors
/// It is over.
pub fn abort(
    promotion: &Promotion,
    state: &State,
    by: Principal,
    reason: String,
) -> Result<Event, ApproveError> {
    match state.phase() {
        Phase::Ended(ending) => {
            Err(ApproveError::Over { promotion: promotion.id.clone(), phase: ending.label() })
        }
        Phase::Preparing
        | Phase::Waiting
        | Phase::Committing
        | Phase::Verifying
        | Phase::Unwinding => Ok(Event::AbortRequested { by, reason }),
    }
}

/// What a request for a promotion is judged by.
#[derive(Debug, Clone)]
pub struct RequestFacts<'a> {
    /// The stage.
    pub stage: &'a StageSnapshot,
    /// The freight that is wanted.
    pub freight: &'a FreightId,
    /// Who wants it.
    pub requester: &'a str,
    /// Gates to skip, with a reason.
    pub bypass: Option<&'a BypassRequest>,
}

/// What a granted request brings with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// Promotions that have not committed and are now pointless.
    pub supersedes: Vec<PromotionId>,
    /// A hold to put on the stage, because automation would have chosen otherwise.
    pub hold: Option<String>,
    /// Whether a hold on the stage is lifted, because automation would choose the same.
    pub release_hold: bool,
}

/// Why a promotion cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The stage has no steps.
    #[error("stage {stage} has no steps: freight passes through it by itself")]
    ControlFlow {
        /// The stage.
        stage: String,
    },
    /// The freight may not go there.
    #[error("freight {freight} is not available to stage {stage}: {why}")]
    NotAvailable {
        /// The freight, short.
        freight: String,
        /// The stage.
        stage: String,
        /// Why, and what to do.
        why: String,
    },
    /// It is on its way already.
    #[error("promotion {promotion} is bringing freight {freight} to this stage already")]
    Running {
        /// The promotion.
        promotion: PromotionId,
        /// The freight, short.
        freight: String,
    },
    /// A bypass was asked for without the right.
    #[error("no policy gives {who} the right to skip the gate {gate} of stage {stage}")]
    NoBypass {
        /// Who asked.
        who: String,
        /// The gate.
        gate: &'static str,
        /// The stage.
        stage: String,
    },
}

/// A person's wish to promote freight to a stage.
///
/// # Errors
/// The freight cannot go there, is on its way, or a gate may not be skipped by them.
pub fn request(facts: &RequestFacts<'_>, now: Timestamp) -> Result<Requested, RequestError> {
    let stage = &facts.stage.stage.spec;
    if stage.is_control_flow() {
        return Err(RequestError::ControlFlow { stage: stage.name.to_string() });
    }
    let joined = Joined::of(&facts.stage.policies, &stage.name);
    check_bypass(facts, &joined)?;
    check_available(facts, now)?;
    let same =
        |running: &&crate::snapshot::RunningPromotion| running.promotion.freight == *facts.freight;
    if let Some(running) = facts.stage.running.iter().find(same) {
        return Err(RequestError::Running {
            promotion: running.promotion.id.clone(),
            freight: facts.freight.short().to_owned(),
        });
    }
    let wanted = facts.stage.freight.iter().find(|f| f.freight.id == *facts.freight);
    let warehouse = wanted.map(|facts| &facts.freight.warehouse);
    let newest = facts.stage.freight.iter().rev().find(|other| {
        Some(&other.freight.warehouse) == warehouse
            && availability(&stage.name, &stage.requests, other, joined.soak, now).is_available()
    });
    let as_automation = newest.is_none_or(|newest| newest.freight.id == *facts.freight);
    let automated = joined.mode != Mode::Manual;
    let hold = (automated && !as_automation).then(|| {
        format!(
            "{} promoted freight {} instead of what automation would choose; \
             promote the newest freight to let automation go on",
            facts.requester,
            facts.freight.short(),
        )
    });
    let supersedes = facts
        .stage
        .running
        .iter()
        .filter(|running| {
            Some(&running.promotion.warehouse) == warehouse && !running.phase.holds_slot()
        })
        .map(|running| running.promotion.id.clone())
        .collect();
    Ok(Requested { supersedes, release_hold: hold.is_none() && as_automation, hold })
}

fn check_bypass(facts: &RequestFacts<'_>, joined: &Joined<'_>) -> Result<(), RequestError> {
    let Some(request) = facts.bypass else { return Ok(()) };
    for gate in &request.gates {
        if !joined.may_bypass(*gate, &BTreeSet::new(), &request.groups) {
            return Err(RequestError::NoBypass {
                who: facts.requester.to_owned(),
                gate: gate.name(),
                stage: facts.stage.stage.spec.name.to_string(),
            });
        }
    }
    Ok(())
}

fn check_available(facts: &RequestFacts<'_>, now: Timestamp) -> Result<(), RequestError> {
    let stage = &facts.stage.stage.spec;
    let refuse = |why: String| RequestError::NotAvailable {
        freight: facts.freight.short().to_owned(),
        stage: stage.name.to_string(),
        why,
    };
    let known = facts.stage.freight.iter().find(|known| known.freight.id == *facts.freight);
    let Some(known) = known else {
        return Err(refuse("the stage does not request freight of its warehouse".to_owned()));
    };
    match availability(&stage.name, &stage.requests, known, Duration::ZERO, now) {
        Availability::Available { .. } | Availability::NotSoaked { .. } => Ok(()),
        Availability::NotRequested => {
            Err(refuse("the stage does not request freight of its warehouse".to_owned()))
        }
        Availability::NotVerified { missing } => {
            let skipped = |request: &&BypassRequest| request.gates.contains(&GateKind::Upstream);
            if facts.bypass.as_ref().is_some_and(skipped) {
                return Ok(());
            }
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            Err(refuse(format!(
                "it is not verified in {}; wait for that, or open the stage for it with \
                 `lockstep freight approve {} --stage {} --reason …`",
                names.join(", "),
                facts.freight.short(),
                stage.name,
            )))
        }
    }
}
