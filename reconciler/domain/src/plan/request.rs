//! What people may ask of a promotion: start one, approve one, stop one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::availability::{Availability, availability};
use crate::freight::FreightFacts;
use crate::hold;
use crate::id::{FreightId, Principal, PromotionId, WarehouseName};
use crate::policy::{GateKind, Joined, Mode};
use crate::promotion::{Approval, BypassRequest, Ending, Event, Phase, Promotion, State};
use crate::snapshot::{RunningPromotion, StageSnapshot};
use crate::soak::Soak;
use crate::stage::Choose;

/// Most bytes of a variable that is set for one promotion: it is in the log for ever.
const VALUE_MAX: usize = 4096;

pub(super) const NOT_REQUESTED: &str = "the stage does not request freight of its warehouse";

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
    /// It is never committed.
    #[error(
        "promotion {promotion} is a rehearsal: there is nothing to agree to; promote the freight first"
    )]
    Rehearsal {
        /// The promotion.
        promotion: PromotionId,
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
    if promotion.rehearsal {
        return Err(ApproveError::Rehearsal { promotion: id() });
    }
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
    // The same person in more groups says more: a token with fewer of them may have approved before.
    let given = |other: &Approval| {
        other.by == approval.by
            && other.digest == approval.digest
            && approval.groups.is_subset(&other.groups)
    };
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
    /// Freight of other warehouses that is wanted with it, as one unit.
    pub along: &'a [FreightId],
    /// Who wants it.
    pub requester: &'a str,
    /// Variables of the stage that get another value.
    pub vars: &'a BTreeMap<String, String>,
    /// Gates to skip, with a reason.
    pub bypass: Option<&'a BypassRequest>,
}

impl RequestFacts<'_> {
    /// All that is wanted.
    fn wanted(&self) -> impl Iterator<Item = &FreightId> {
        std::iter::once(self.freight).chain(self.along)
    }

    fn wanted_in_short(&self) -> String {
        self.wanted().map(FreightId::short).collect::<Vec<_>>().join(" and ")
    }

    /// Whether a promotion brings exactly what is wanted.
    fn is_brought_by(&self, promotion: &Promotion) -> bool {
        promotion.promoted().count() == self.wanted().count()
            && self.wanted().all(|freight| promotion.brings(freight))
    }
}

/// What a granted request brings with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Holds keep it from going there.
    #[error("freight {freight} is kept from stage {stage}: {why}")]
    Held {
        /// The freight, short.
        freight: String,
        /// The stage.
        stage: String,
        /// The holds, each with its reason.
        why: String,
    },
    /// A variable that promotions may not set.
    #[error(
        "variable {name:?} of stage {stage} cannot be set for one promotion; {}",
        settable(may)
    )]
    NotSettable {
        /// The stage.
        stage: String,
        /// The variable.
        name: String,
        /// Those that can be set.
        may: Vec<String>,
    },
    /// A variable's value is too long.
    #[error("the value of variable {name:?} is longer than {max} bytes")]
    LongValue {
        /// The variable.
        name: String,
        /// The limit, in bytes.
        max: usize,
    },
    /// None can go there.
    #[error("no freight is available to stage {stage}; `lockstep explain {stage}` says why")]
    NoneAvailable {
        /// The stage.
        stage: String,
    },
    /// Nothing was there before to which the stage can go back.
    #[error(
        "stage {stage} has no earlier freight that it vouches for and that may go there; name one \
         with `lockstep promote {stage} --freight …`"
    )]
    NoPrevious {
        /// The stage.
        stage: String,
    },
    /// What is to come together is of one warehouse.
    #[error(
        "freight {freight} and {other} are both of warehouse {warehouse}: a promotion brings one freight of each"
    )]
    SameWarehouse {
        /// The one, short.
        freight: String,
        /// The other, short.
        other: String,
        /// The warehouse.
        warehouse: WarehouseName,
    },
    /// It is on its way already.
    #[error("promotion {promotion} is bringing freight {freight} to this stage already")]
    Running {
        /// The promotion.
        promotion: PromotionId,
        /// The freight, short.
        freight: String,
    },
    /// Others are being rehearsed.
    #[error(
        "stage {stage} has {max} rehearsals that are not over; abort one, or wait: each ends by itself after \
         15 minutes"
    )]
    Rehearsals {
        /// The stage.
        stage: String,
        /// The limit.
        max: usize,
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
    check_bypass(facts, &joined, now)?;
    check_vars(facts)?;
    let mut wanted = Vec::with_capacity(1 + facts.along.len());
    for freight in facts.wanted() {
        let known = check_available(facts, freight, now)?;
        check_held(facts.stage, known, now)?;
        wanted.push(known);
    }
    check_warehouses(&wanted)?;
    check_running(facts)?;
    let in_its_place = |running: &&RunningPromotion| {
        let of_one = |it: &&FreightFacts| running.promotion.brings_of(&it.freight.warehouse);
        wanted.iter().any(of_one) && !running.phase.holds_slot()
    };
    let supersedes = facts.stage.running.iter().filter(in_its_place);
    let newer = wanted.iter().flat_map(|wanted| newer(facts.stage, &joined, wanted, now));
    let newer: Vec<&FreightFacts> = newer.collect();
    let conflicts = |newer: &&FreightFacts| !gave_up(facts.stage, newer);
    let hold = (joined.mode != Mode::Manual && newer.iter().any(conflicts)).then(|| {
        format!(
            "{} promoted freight {} instead of what automation would choose; \
             promote the newest freight to let automation go on",
            facts.requester,
            facts.wanted_in_short(),
        )
    });
    Ok(Requested {
        supersedes: supersedes.map(|running| running.promotion.id.clone()).collect(),
        hold,
        release_hold: newer.is_empty(),
    })
}

/// Why no promotion needs to start for freight to be in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// It is there, and the stage vouches for it.
    There,
    /// This promotion is bringing it.
    Running(PromotionId),
}

/// Whether the freight is in the stage already, or on its way; absent: a promotion has to be
/// requested.
#[must_use]
pub fn ensured(facts: &RequestFacts<'_>) -> Option<Ensured> {
    let snapshot = facts.stage;
    let is_there = |freight: &FreightId| {
        let known = snapshot.freight.iter().find(|known| known.freight.id == *freight);
        known.is_some_and(|k| k.verified_in.contains_key(&snapshot.stage.spec.name))
            && snapshot.current.values().any(|there| there == freight)
    };
    if facts.wanted().all(is_there) {
        return Some(Ensured::There);
    }
    let brings_all = |promotion: &Promotion| facts.wanted().all(|it| promotion.brings(it));
    let running = snapshot
        .running
        .iter()
        .find(|run| brings_all(&run.promotion) && run.promotion.vars == *facts.vars);
    running.map(|running| Ensured::Running(running.promotion.id.clone()))
}

/// The freight that a person means by the newest: the newest that is available to the stage and that
/// no hold keeps from it. It may be there already.
///
/// # Errors
/// There is none.
pub fn newest(stage: &StageSnapshot, now: Timestamp) -> Result<&FreightFacts, RequestError> {
    let joined = Joined::of(&stage.policies, &stage.stage.spec.name);
    let mut newest_first = stage.freight.iter().rev().map(Arc::as_ref);
    let newest = newest_first.find(|facts| is_open(stage, &joined, facts, now));
    newest.ok_or_else(|| RequestError::NoneAvailable { stage: stage.stage.spec.name.to_string() })
}

/// The freight to which a stage goes back: older than what is there now, vouched for by the stage,
/// and of all such the one that left last, with what of other warehouses left in the same moment: what came as
/// one unit goes back as one. Going back once more goes further back, never forth.
///
/// # Errors
/// There is none.
pub fn previous(stage: &StageSnapshot, now: Timestamp) -> Result<Vec<&FreightFacts>, RequestError> {
    let name = &stage.stage.spec.name;
    let joined = Joined::of(&stage.policies, name);
    let there = stage.companions();
    let left = |facts: &FreightFacts| {
        let stays = facts.stays.get(name)?;
        // What is there now has a stay without an end.
        stays.iter().map(|stay| stay.left_at).collect::<Option<Vec<_>>>()?.into_iter().max()
    };
    let older = |facts: &&FreightFacts| {
        let now = there.get(&facts.freight.warehouse);
        now.is_some_and(|now| facts.freight.sequence < now.sequence)
            && facts.verified_in.contains_key(name)
    };
    let known = stage.freight.iter().map(Arc::as_ref).filter(older);
    // Of each warehouse the newest that may go: one freight of it was there when they left.
    let mut moments: BTreeMap<Timestamp, BTreeMap<_, Option<&FreightFacts>>> = BTreeMap::new();
    for facts in known {
        let Some(left) = left(facts) else { continue };
        let goes = moments.entry(left).or_default().entry(&facts.freight.warehouse).or_default();
        if is_open(stage, &joined, facts, now) {
            *goes = Some(facts);
        }
    }
    // Half of what was there together may never have run beside what is there now.
    let whole = |unit: BTreeMap<_, Option<_>>| {
        unit.into_iter().map(|(of, facts)| Some((of, facts?))).collect::<Option<BTreeMap<_, _>>>()
    };
    let by_warehouse = moments.into_values().rev().find_map(whole).unwrap_or_default();
    let requested = stage.stage.spec.requests.iter().map(|request| &request.warehouse);
    let back: Vec<_> = requested.filter_map(|of| by_warehouse.get(of).copied()).collect();
    if back.is_empty() {
        return Err(RequestError::NoPrevious { stage: name.to_string() });
    }
    Ok(back)
}

fn is_open(
    stage: &StageSnapshot,
    joined: &Joined<'_>,
    facts: &FreightFacts,
    now: Timestamp,
) -> bool {
    let spec = &stage.stage.spec;
    availability(&spec.name, &spec.requests, facts, &joined.soak, now).is_available()
        && hold::stopping(&stage.holds, &spec.name, &facts.freight, now).next().is_none()
}

/// Freight of the same warehouse that is newer than the wanted one, available and not held.
fn newer<'a>(
    stage: &'a StageSnapshot,
    joined: &Joined<'_>,
    wanted: &FreightFacts,
    now: Timestamp,
) -> Vec<&'a FreightFacts> {
    let newer = stage.freight.iter().map(Arc::as_ref).filter(|other| {
        other.freight.warehouse == wanted.freight.warehouse
            && other.freight.sequence > wanted.freight.sequence
            && is_open(stage, joined, other, now)
    });
    newer.collect()
}

/// Whether freight is not in the stage and automation will not bring it there again, because its
/// last promotion did not succeed.
fn gave_up(stage: &StageSnapshot, facts: &FreightFacts) -> bool {
    let freight = &facts.freight;
    let there = stage.current.get(&freight.warehouse) == Some(&freight.id);
    let failed = stage.ended.get(&freight.id).is_some_and(|ended| match ended.ending {
        Ending::Failed
        | Ending::RolledBack
        | Ending::Stuck
        | Ending::Aborted
        | Ending::Expired
        // What failed as a unit goes again once a part of it is replaced: a person's other choice is to hold.
        | Ending::Inconclusive => {
            ended.beside.is_empty() || stage.stage.spec.choose == Choose::Queue
        }
        Ending::Succeeded | Ending::Superseded | Ending::Rehearsed => false,
    });
    failed && !there
}

/// Freight that is on its way needs no second promotion, unless this one skips gates at which the
/// other waits, or sets other variables.
fn check_running(facts: &RequestFacts<'_>) -> Result<(), RequestError> {
    let is_same = |running: &RunningPromotion| {
        facts.bypass.is_none()
            && running.promotion.vars == *facts.vars
            && facts.is_brought_by(&running.promotion)
    };
    let brought = |running: &RunningPromotion| {
        let mut wanted = facts.wanted();
        let brought = wanted.find(|freight| running.promotion.brings(freight))?;
        (is_same(running) || running.phase.holds_slot()).then(|| RequestError::Running {
            promotion: running.promotion.id.clone(),
            freight: brought.short().to_owned(),
        })
    };
    facts.stage.running.iter().find_map(brought).map_or(Ok(()), Err)
}

/// A promotion brings one freight of each warehouse at most.
pub(super) fn check_warehouses(wanted: &[&FreightFacts]) -> Result<(), RequestError> {
    let mut seen: BTreeMap<&WarehouseName, &FreightId> = BTreeMap::new();
    for freight in wanted.iter().map(|facts| &facts.freight) {
        if let Some(other) = seen.insert(&freight.warehouse, &freight.id) {
            return Err(RequestError::SameWarehouse {
                freight: other.short().to_owned(),
                other: freight.id.short().to_owned(),
                warehouse: freight.warehouse.clone(),
            });
        }
    }
    Ok(())
}

/// A hold stops people, too: whoever wants to go on lifts it.
fn check_held(
    stage: &StageSnapshot,
    wanted: &FreightFacts,
    now: Timestamp,
) -> Result<(), RequestError> {
    let name = &stage.stage.spec.name;
    let holds = hold::stopping(&stage.holds, name, &wanted.freight, now);
    let why: Vec<String> = holds.map(hold::describe).collect();
    if why.is_empty() {
        return Ok(());
    }
    Err(RequestError::Held {
        freight: wanted.freight.id.short().to_owned(),
        stage: name.to_string(),
        why: why.join("; "),
    })
}

pub(super) fn check_vars(facts: &RequestFacts<'_>) -> Result<(), RequestError> {
    let stage = &facts.stage.stage.spec;
    if let Some((name, _)) = facts.vars.iter().find(|(_, value)| value.len() > VALUE_MAX) {
        return Err(RequestError::LongValue { name: name.clone(), max: VALUE_MAX });
    }
    let refused = |name: &str| RequestError::NotSettable {
        stage: stage.name.to_string(),
        name: name.to_owned(),
        may: stage.settable_vars.clone(),
    };
    stage.vars_with(facts.vars).map(drop).map_err(refused)
}

fn settable(may: &[String]) -> String {
    match may {
        [] => "name it in the stage's `settable_vars` to allow that".to_owned(),
        may => format!("`settable_vars` of the stage allows {}", may.join(", ")),
    }
}

pub(super) fn check_bypass(
    facts: &RequestFacts<'_>,
    joined: &Joined<'_>,
    now: Timestamp,
) -> Result<(), RequestError> {
    let Some(request) = facts.bypass else { return Ok(()) };
    for gate in &request.gates {
        // Where no policy asks for the gate, or it is the stage's own, each policy has to agree.
        let asking = joined.asking(*gate);
        if !joined.may_bypass(*gate, &asking, &request.groups, now) {
            return Err(RequestError::NoBypass {
                who: facts.requester.to_owned(),
                gate: gate.name(),
                stage: facts.stage.stage.spec.name.to_string(),
            });
        }
    }
    Ok(())
}

fn check_available<'a>(
    facts: &RequestFacts<'a>,
    freight: &FreightId,
    now: Timestamp,
) -> Result<&'a FreightFacts, RequestError> {
    let stage = &facts.stage.stage.spec;
    let refuse = |why: String| RequestError::NotAvailable {
        freight: freight.short().to_owned(),
        stage: stage.name.to_string(),
        why,
    };
    let known = facts.stage.freight.iter().find(|known| known.freight.id == *freight);
    let Some(known) = known else {
        return Err(refuse(NOT_REQUESTED.to_owned()));
    };
    match availability(&stage.name, &stage.requests, known, &Soak::default(), now) {
        Availability::Available { .. } | Availability::NotSoaked { .. } => Ok(known),
        Availability::NotRequested => Err(refuse(NOT_REQUESTED.to_owned())),
        Availability::NotVerified { missing } => {
            let skipped = |request: &&BypassRequest| request.gates.contains(&GateKind::Upstream);
            if facts.bypass.as_ref().is_some_and(skipped) {
                return Ok(known);
            }
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            Err(refuse(format!(
                "it is not verified in {}; wait for that, or open the stage for it with \
                 `lockstep freight approve {} --stage {} --reason …`",
                names.join(", "),
                freight.short(),
                stage.name,
            )))
        }
    }
}
