//! Forecast: when freight can be in a stage at the earliest, and what decides that.
//!
//! Each stage on the way is looked at by the gates of the reconciler, at one instant after the other:
//! where a gate says until when it does not pass, the next look is then, until nothing but time is
//! missing. A stage that is reached counts as verified from then on, and the next one is looked at.
//!
//! What a forecast says is a lower bound. Not counted are the time that steps and checks take, the
//! quiet time after changes of definitions, newer freight, and what else is promoted meanwhile. What is
//! past its gates already is on its way; approvals that a promotion has so far are not looked at. What
//! people have to do, and what cannot be known, is named with the stage that waits for it, and taken
//! to happen at once; what can never happen makes the stage unreachable.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::check::in_order;
use crate::freight::{FreightFacts, Stay};
use crate::gate::{Facts, Gate, gates};
use crate::id::{FreightId, PolicyName, StageName};
use crate::plan::candidates;
use crate::policy::{GateKind, Joined, Mode, Policy};
use crate::promotion::Phase;
use crate::snapshot::{Defined, Definitions, StageSnapshot};
use crate::stage::Stage;

/// Looks at the gates of one stage. Those that still change then are named as they are.
const LOOKS_MAX: u32 = 50;

/// What a forecast is made from.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The freight, and what happened to it.
    pub freight: &'a FreightFacts,
    /// Where to.
    pub until: &'a StageName,
    /// That stage and every stage before it; see [`before`].
    pub stages: &'a [StageSnapshot],
    /// The project's policies with who changed them.
    pub policies: &'a [Defined<Policy>],
}

/// When freight can be somewhere at the earliest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The freight.
    pub freight: FreightId,
    /// The stages that decide when, the last one last; each waits for the one before.
    pub path: Vec<Arrival>,
}

/// When freight can be in one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The stage.
    pub stage: StageName,
    /// When.
    pub when: When,
    /// The upstream stage that decides when; absent: it is direct, a person let it in, or it is there.
    pub through: Option<StageName>,
    /// What takes time, in order.
    pub delays: Vec<Delay>,
    /// What else it takes.
    pub needs: Vec<Need>,
}

/// An instant, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The stage vouches for it, since then.
    Since(Timestamp),
    /// Not before then.
    Earliest(Timestamp),
    /// Not by what is known.
    Never,
}

/// Time that a gate takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    /// Which gate.
    pub gate: GateKind,
    /// The policies that ask for it; empty: the stage itself.
    pub policies: Vec<PolicyName>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What it says meanwhile.
    pub message: String,
}

/// Something besides time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The gate that waits for it; absent: automation leaves the freight out.
    pub gate: Option<GateKind>,
    /// Of what kind.
    pub kind: NeedKind,
    /// What, in one sentence.
    pub message: String,
}

/// A kind of need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeedKind {
    /// A person has to act.
    Person,
    /// Whether it will be so is not known.
    Unknown,
    /// It will not be so by what is known.
    Never,
}

/// A stage and every stage that freight may come through on its way there.
#[must_use]
pub fn before(definitions: &Definitions, until: &StageName) -> BTreeSet<StageName> {
    let mut found = BTreeSet::new();
    let mut open = vec![until.clone()];
    while let Some(name) = open.pop() {
        let Some(stage) = definitions.stages.get(&name) else { continue };
        if found.insert(name) {
            open.extend(stage.spec.upstreams().into_iter().cloned());
        }
    }
    found
}

/// Says when the freight can be in the stage at the earliest.
#[must_use]
pub fn forecast(question: &Question<'_>, now: Timestamp) -> Forecast {
    let snapshots: BTreeMap<&StageName, &StageSnapshot> =
        question.stages.iter().map(|snapshot| (&snapshot.stage.spec.name, snapshot)).collect();
    let specs: BTreeMap<&StageName, &Stage> =
        snapshots.iter().map(|(name, snapshot)| (*name, &snapshot.stage.spec)).collect();
    let mut foreseen = question.freight.clone();
    foreseen.passed_on = passed_on(&specs, question.freight);
    let mut arrivals: BTreeMap<&StageName, Arrival> = BTreeMap::new();
    for name in in_order(&specs) {
        let Some(snapshot) = snapshots.get(name) else { continue };
        let arrival = match question.freight.verified_in.get(name) {
            Some(at) => Arrival::new(name, When::Since(*at)),
            None => Look { question, snapshot, foreseen: &foreseen }.arrival(now),
        };
        if let When::Earliest(at) = arrival.when {
            foreseen.verified_in.insert(name.clone(), at);
            let stay = Stay { entered_at: at, left_at: None };
            foreseen.stays.entry(name.clone()).or_default().push(stay);
        }
        arrivals.insert(name, arrival);
    }
    let mut path = Vec::new();
    let mut next = Some(question.until.clone());
    while let Some(arrival) = next.as_ref().and_then(|name| arrivals.remove(name)) {
        next.clone_from(&arrival.through);
        path.push(arrival);
    }
    path.reverse();
    Forecast { freight: question.freight.freight.id.clone(), path }
}

/// The stages without steps that pass the freight on.
fn passed_on(
    stages: &BTreeMap<&StageName, &Stage>,
    freight: &FreightFacts,
) -> BTreeMap<StageName, crate::stage::Request> {
    let passing = stages.iter().filter(|(_, stage)| stage.is_control_flow());
    let passing = passing.filter_map(|(name, stage)| {
        Some(((*name).clone(), stage.request(&freight.freight.warehouse)?.clone()))
    });
    passing.collect()
}

impl Arrival {
    fn new(stage: &StageName, when: When) -> Self {
        let (delays, needs) = (Vec::new(), Vec::new());
        Self { stage: stage.clone(), when, through: None, delays, needs }
    }
}

/// What one stage is looked at with.
struct Look<'a> {
    question: &'a Question<'a>,
    snapshot: &'a StageSnapshot,
    /// What will have happened to the freight: stages verify it in the future.
    foreseen: &'a FreightFacts,
}

impl Look<'_> {
    fn arrival(&self, now: Timestamp) -> Arrival {
        let mut arrival = Arrival::new(&self.snapshot.stage.spec.name, When::Never);
        if self.is_on_its_way() {
            arrival.when = When::Earliest(now);
            return arrival;
        }
        // First until it may come from upstream: what decides that is the way it comes.
        let of_upstream = |kind| matches!(kind, GateKind::Upstream | GateKind::Soak);
        let (ready, missing) = self.wait(now, &of_upstream, &mut arrival.delays);
        arrival.through = self.through(ready, &missing);
        let (at, blocking) = self.wait(ready, &|_| true, &mut arrival.delays);
        arrival.needs.extend(blocking.iter().map(need));
        if arrival.needs.iter().all(|need| need.kind != NeedKind::Never) {
            arrival.needs.extend(self.left_out(at));
            arrival.when = When::Earliest(at);
        }
        arrival
    }

    /// Whether a promotion that no gate stops any more brings it.
    fn is_on_its_way(&self) -> bool {
        let id = &self.foreseen.freight.id;
        self.snapshot.running.iter().any(|running| {
            running.promotion.brings(id)
                && matches!(running.phase, Phase::Committing | Phase::Verifying)
        })
    }

    /// Looks until time alone changes nothing any more about gates of some kinds: when that is, and
    /// those that do not pass then.
    fn wait(
        &self,
        from: Timestamp,
        concerned: &dyn Fn(GateKind) -> bool,
        delays: &mut Vec<Delay>,
    ) -> (Timestamp, Vec<Gate>) {
        let mut at = from;
        for _ in 0..LOOKS_MAX {
            let mut blocking = self.blocking(at);
            blocking.retain(|gate| concerned(gate.kind));
            let changes = blocking.iter().filter_map(|gate| Some((self.changes(gate, at)?, gate)));
            let Some((until, gate)) = changes.max_by_key(|(until, _)| *until) else {
                return (at, blocking);
            };
            // What waits for another stage, that stage tells.
            if gate.until == Some(until) {
                delays.push(Delay {
                    gate: gate.kind,
                    policies: gate.policies.clone(),
                    from: at,
                    until,
                    message: gate.message.clone(),
                });
            }
            at = until;
        }
        (at, self.blocking(at))
    }

    /// The gates that do not pass at an instant, with what will have happened by then.
    fn blocking(&self, at: Timestamp) -> Vec<Gate> {
        let snapshot = self.snapshot;
        let stage = &snapshot.stage.spec;
        let mut freight = self.foreseen.clone();
        freight.verified_in.retain(|_, verified_at| *verified_at <= at);
        let id = &freight.freight.id;
        let promotions = snapshot.running.iter().map(|running| &running.promotion);
        let judged = Facts {
            stage,
            joined: &Joined::of(&snapshot.policies, &stage.name),
            policies: self.question.policies,
            freight: &freight,
            // Each freight has a forecast of its own.
            along: &[],
            promotion: promotions.clone().find(|promotion| promotion.brings(id)),
            change_set: None,
            approvals: &[],
            automatic_hold: snapshot.automatic_hold.as_ref(),
            holds: &snapshot.holds,
            freezes: &snapshot.freezes,
            brings: &[],
            companions: &snapshot.companions(),
            commits: &snapshot.commits,
            drift: None,
            said: &[],
            prepared_at: None,
        };
        let concerned = |gate: &Gate| {
            !stage.is_control_flow() || matches!(gate.kind, GateKind::Upstream | GateKind::Hold)
        };
        let all = gates(&judged, at).into_iter();
        all.filter(|gate| !gate.lets_pass() && concerned(gate)).collect()
    }

    /// The earliest later instant at which the gate can say something else.
    fn changes(&self, gate: &Gate, at: Timestamp) -> Option<Timestamp> {
        let verified = self.upstreams().filter_map(|stage| self.foreseen.verified_in.get(stage));
        let arrival = match gate.kind {
            GateKind::Upstream | GateKind::Soak => verified.copied().filter(|it| *it > at).min(),
            GateKind::Age
            | GateKind::Condition
            | GateKind::Window
            | GateKind::Rate
            | GateKind::Ticket
            | GateKind::Attestation
            | GateKind::Approvals
            | GateKind::Infra
            | GateKind::Drift
            | GateKind::Mode
            | GateKind::Hold
            | GateKind::Freeze => None,
        };
        gate.until.into_iter().chain(arrival).filter(|until| *until > at).min()
    }

    fn upstreams(&self) -> impl Iterator<Item = &StageName> {
        let request = self.snapshot.stage.spec.request(&self.foreseen.freight.warehouse);
        request.into_iter().flat_map(|request| &request.from)
    }

    /// The upstream stage that vouches last of those that are needed, or one that never will.
    fn through(&self, ready: Timestamp, missing: &[Gate]) -> Option<StageName> {
        let stage = &self.snapshot.stage.spec;
        let direct = stage.request(&self.foreseen.freight.warehouse).is_none_or(|it| it.direct);
        if direct || self.foreseen.approved_for.contains_key(&stage.name) {
            return None;
        }
        let verified_in = &self.foreseen.verified_in;
        if missing.iter().any(|gate| gate.kind == GateKind::Upstream) {
            return self.upstreams().find(|stage| !verified_in.contains_key(*stage)).cloned();
        }
        let soak = Joined::of(&self.snapshot.policies, &stage.name).soak;
        let soaked = |(at, stage): &(Timestamp, &StageName)| {
            at.checked_add(soak.in_stage(stage)).is_ok_and(|end| end <= ready)
        };
        let vouching = self.upstreams().filter_map(|stage| Some((*verified_in.get(stage)?, stage)));
        let vouching: Vec<_> = vouching.filter(|(at, _)| *at <= ready).collect();
        // Behind a stage without steps it soaked already.
        let last = vouching.iter().filter(|it| soaked(it)).max_by_key(|(at, _)| *at);
        let last = last.or_else(|| vouching.iter().max_by_key(|(at, _)| *at));
        last.map(|(_, stage)| (*stage).clone())
    }

    /// Freight that automation leaves out, a person can promote.
    fn left_out(&self, at: Timestamp) -> Option<Need> {
        let (snapshot, id) = (self.snapshot, &self.foreseen.freight.id);
        let joined = Joined::of(&snapshot.policies, &snapshot.stage.spec.name);
        let coming = snapshot.running.iter().any(|running| running.promotion.brings(id));
        if coming || joined.mode == Mode::Manual || snapshot.stage.spec.is_control_flow() {
            return None;
        }
        let found = candidates(snapshot, &joined, at);
        let message = found.into_iter().find(|found| found.freight == *id)?.passed_over?;
        Some(Need { gate: None, kind: NeedKind::Person, message })
    }
}

/// What a gate waits for that no time alone will bring.
fn need(gate: &Gate) -> Need {
    let kind = match gate.kind {
        // It was looked at too often to say when it ends.
        _ if gate.until.is_some() => NeedKind::Unknown,
        GateKind::Approvals | GateKind::Mode | GateKind::Hold | GateKind::Freeze => {
            NeedKind::Person
        }
        GateKind::Condition
        | GateKind::Rate
        | GateKind::Ticket
        | GateKind::Attestation
        | GateKind::Infra
        | GateKind::Drift => NeedKind::Unknown,
        GateKind::Upstream | GateKind::Soak | GateKind::Age | GateKind::Window => NeedKind::Never,
    };
    Need { gate: Some(gate.kind), kind, message: gate.message.clone() }
}
