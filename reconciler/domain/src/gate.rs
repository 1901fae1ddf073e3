//! Gates: what a promotion must pass before it commits, and what each says.
//!
//! [`gates`] judges all of them, for the reconciler, `explain`, previews and the provider's
//! `evaluate_policy` alike. What is not known is never taken to pass.

mod condition;
mod drift;
mod freeze;
mod inquiry;
mod rate;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::artifact::Artifact;
use crate::availability::{Availability, Because, availability};
use crate::drift::DriftRecord;
use crate::duration;
use crate::freeze::Freeze;
use crate::freight::{Freight, FreightFacts};
use crate::hold::{self, AutomaticHold, Hold};
use crate::id::{PolicyName, Principal, WarehouseName};
use crate::infra::{Cost, CostVerdict, Envelope, InfraRules, Rule, judge};
use crate::inquiry::Said;
use crate::plan::earlier;
use crate::policy::{Approvals, Excluded, GateKind, Joined, Mode, Policy};
use crate::promotion::{Approval, ChangeSet, PlannedStep, Promotion, StepPlan};
use crate::snapshot::{Committed, Defined};
use crate::soak::Soak;
use crate::stage::{Matching, Stage};
use crate::step::StepKind;
use crate::window::Action;

pub use freeze::Times;
pub use window::Closed;

/// What a gate says. Unknown never promotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The promotion may go on.
    Pass,
    /// It may not.
    Fail,
    /// What the gate needs to judge is missing.
    Unknown,
}

/// A gate and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Which.
    pub kind: GateKind,
    /// The policies that ask for it; empty: the stage itself.
    pub policies: Vec<PolicyName>,
    /// What it says.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub message: String,
    /// The earliest time at which it can say something else by itself.
    pub until: Option<Timestamp>,
    /// Whether the requester skips it by right.
    pub bypassed: bool,
}

impl Gate {
    /// Whether the promotion may go on as far as this gate is concerned.
    #[must_use]
    pub fn lets_pass(&self) -> bool {
        self.verdict == Verdict::Pass || self.bypassed
    }
}

/// What several gates say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overall {
    /// Fail if one fails that is not skipped, else unknown if one is, else pass.
    pub verdict: Verdict,
    /// The earliest instant at which it can be pass by time alone; absent: something else has to
    /// change first, or it is pass.
    pub earliest: Option<Timestamp>,
}

/// What the gates say together.
#[must_use]
pub fn overall(gates: &[Gate]) -> Overall {
    let blocking = || gates.iter().filter(|gate| !gate.lets_pass());
    let says = |verdict| blocking().any(|gate| gate.verdict == verdict);
    let verdict = if says(Verdict::Fail) {
        Verdict::Fail
    } else if says(Verdict::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Pass
    };
    // Each has to change, and the last of them decides.
    let ends: Option<Vec<Timestamp>> = blocking().map(|gate| gate.until).collect();
    Overall { verdict, earliest: ends.and_then(|ends| ends.into_iter().max()) }
}

/// What gates look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The stage.
    pub stage: &'a Stage,
    /// The policies that select it, joined.
    pub joined: &'a Joined<'a>,
    /// The project's policies with who changed them.
    pub policies: &'a [Defined<Policy>],
    /// The freight.
    pub freight: &'a FreightFacts,
    /// Freight of other warehouses that is promoted with it, as one unit.
    pub along: &'a [FreightFacts],
    /// The promotion; absent: none exists yet, and automation would start it.
    pub promotion: Option<&'a Promotion>,
    /// What it will do, once known.
    pub change_set: Option<&'a ChangeSet>,
    /// Who agreed to what.
    pub approvals: &'a [Approval],
    /// What stops automation on the stage.
    pub automatic_hold: Option<&'a AutomaticHold>,
    /// The holds of the project.
    pub holds: &'a [Defined<Hold>],
    /// The freezes of the project.
    pub freezes: &'a [Defined<Freeze>],
    /// Freight of other warehouses that comes to the stage with what is promoted and is not there yet.
    pub brings: &'a [Freight],
    /// Freight of other warehouses that goes with it.
    pub companions: &'a BTreeMap<WarehouseName, Freight>,
    /// Commits that rates count.
    pub commits: &'a [Committed],
    /// What the last look at the infra of the stage found.
    pub drift: Option<&'a DriftRecord>,
    /// What those said who are asked about the promotion.
    pub said: &'a [Said],
    /// When the change set was made.
    pub prepared_at: Option<Timestamp>,
}

impl<'a> Facts<'a> {
    /// The groups of whoever asked for the promotion.
    fn groups(&self) -> &'a BTreeSet<String> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        self.promotion.map_or(&NONE, |promotion| &promotion.groups)
    }
}

/// Judges every gate, in the order in which they are shown.
#[must_use]
pub fn gates(facts: &Facts<'_>, now: Timestamp) -> Vec<Gate> {
    let companions = together(facts);
    let each = each(facts, &companions);
    let mut gates = of_each(&each, |facts| Some(upstream(facts, now)));
    gates.extend(of_each(&each, |facts| soak(facts, now)));
    gates.extend(of_each(&each, |facts| age(facts, now)));
    gates.extend(of_each(&each, condition::gate));
    gates.extend(window::gate(facts, now));
    gates.extend(rate::gate(facts, now));
    gates.extend(mode(facts));
    gates.extend(automatic_hold(facts));
    gates.extend(holds(facts, &each, now));
    gates.extend(freeze::gates(facts, now));
    gates.extend(inquiry::gates(facts));
    for asked in facts.joined.approvals.values() {
        gates.push(approvals(facts, asked));
    }
    gates.extend(infra(facts));
    gates.extend(drift::gate(facts));
    apply_bypass(facts, now, &mut gates);
    gates
}

/// What is promoted sees the rest of it as what goes with it.
fn together(facts: &Facts<'_>) -> BTreeMap<WarehouseName, Freight> {
    let mut all = facts.companions.clone();
    let promoted = std::iter::once(facts.freight).chain(facts.along).map(|facts| &facts.freight);
    all.extend(promoted.map(|freight| (freight.warehouse.clone(), freight.clone())));
    all
}

/// The facts of each freight that is promoted.
fn each<'f>(facts: &Facts<'f>, companions: &'f BTreeMap<WarehouseName, Freight>) -> Vec<Facts<'f>> {
    let promoted = std::iter::once(facts.freight).chain(facts.along);
    promoted.map(|freight| Facts { freight, companions, ..*facts }).collect()
}

/// What a gate says of each freight that is promoted; once, where it says the same of all.
fn of_each(each: &[Facts<'_>], judge: impl Fn(&Facts<'_>) -> Option<Gate>) -> Vec<Gate> {
    let judged = each.iter().filter_map(|facts| Some((&facts.freight.freight, judge(facts)?)));
    let mut judged: Vec<(&Freight, Gate)> = judged.collect();
    if judged.windows(2).all(|two| two[0].1 == two[1].1) {
        judged.truncate(1);
        return judged.into_iter().map(|(_, gate)| gate).collect();
    }
    let named = |(freight, gate): (&Freight, Gate)| {
        let message = format!("{}: {}", name_of(freight), gate.message);
        Gate { message, ..gate }
    };
    judged.into_iter().map(named).collect()
}

fn name_of(freight: &Freight) -> String {
    format!("freight {} of {}", freight.id.short(), freight.warehouse)
}

fn upstream(facts: &Facts<'_>, now: Timestamp) -> Gate {
    let none = Soak::default();
    let found = availability(&facts.stage.name, &facts.stage.requests, facts.freight, &none, now);
    let (verdict, message) = match found {
        Availability::Available { because, .. } => {
            (Verdict::Pass, format!("the freight is available: {}", because.describe()))
        }
        Availability::NotRequested => (
            Verdict::Fail,
            format!(
                "the stage does not request freight of warehouse {}",
                facts.freight.freight.warehouse
            ),
        ),
        Availability::NotVerified { missing } => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let quorum = quorum(facts).unwrap_or_default();
            (Verdict::Fail, format!("not verified upstream in {}{quorum}", names.join(", ")))
        }
        Availability::NotSoaked { .. } => {
            (Verdict::Pass, "the freight is verified upstream".to_owned())
        }
    };
    gate(GateKind::Upstream, Vec::new(), verdict, message)
}

/// How many upstream stages are asked for, where that is neither one nor all.
fn quorum(facts: &Facts<'_>) -> Option<String> {
    let request = facts.stage.request(&facts.freight.freight.warehouse)?;
    let Matching::AtLeast(count) = request.matching else { return None };
    Some(format!("; {count} of {} have to vouch for it", request.from.len()))
}

fn soak(facts: &Facts<'_>, now: Timestamp) -> Option<Gate> {
    let soak = &facts.joined.soak;
    if soak.is_zero() {
        return None;
    }
    let request = facts.stage.request(&facts.freight.freight.warehouse);
    let asking = asking(facts, GateKind::Soak);
    let found = availability(&facts.stage.name, &facts.stage.requests, facts.freight, soak, now);
    let asked = soak.print(request.map_or(&[], |request| request.from.as_slice()));
    let gate = match found {
        Availability::Available { because, .. } => {
            let message = match because {
                Because::Verified => format!("soaked for {asked}"),
                Because::Approved | Because::Direct => {
                    format!("need not soak: {}", because.describe())
                }
            };
            gate(GateKind::Soak, asking, Verdict::Pass, message)
        }
        Availability::NotSoaked { until, .. } => {
            let message = match until {
                Some(at) => format!("has to soak for {asked} upstream, until {at}"),
                None => format!("has to soak for {asked} upstream, but is no longer there"),
            };
            Gate { until, ..gate(GateKind::Soak, asking, Verdict::Fail, message) }
        }
        Availability::NotRequested | Availability::NotVerified { .. } => {
            let message = format!("has to soak for {asked} once it is verified upstream");
            gate(GateKind::Soak, asking, Verdict::Unknown, message)
        }
    };
    Some(gate)
}

/// When freight becomes too old; absent: never.
#[must_use]
pub fn too_old_at(joined: &Joined<'_>, freight: &Freight) -> Option<Timestamp> {
    freight.created_at.checked_add(joined.max_age?).ok()
}

fn age(facts: &Facts<'_>, now: Timestamp) -> Option<Gate> {
    let most = duration::print(facts.joined.max_age?);
    let end = too_old_at(facts.joined, &facts.freight.freight).unwrap_or(Timestamp::MAX);
    let asking = asking(facts, GateKind::Age);
    if end <= now {
        let message = format!("older than {most} since {end}; newer freight is needed");
        return Some(gate(GateKind::Age, asking, Verdict::Fail, message));
    }
    let message = format!("not older than {most} until {end}");
    Some(Gate { until: Some(end), ..gate(GateKind::Age, asking, Verdict::Pass, message) })
}

/// A promotion that automation started waits when a policy turned manual meanwhile.
fn mode(facts: &Facts<'_>) -> Option<Gate> {
    let by_automation =
        facts.promotion.is_none_or(|promotion| promotion.requester == Principal::Automation);
    if !by_automation || facts.joined.mode != Mode::Manual {
        return None;
    }
    let asking = asking(facts, GateKind::Mode);
    let message = if facts.joined.policies.is_empty() {
        "no policy selects the stage, so a person must start the promotion".to_owned()
    } else {
        "the stage is manual: a person must start the promotion".to_owned()
    };
    Some(gate(GateKind::Mode, asking, Verdict::Fail, message))
}

/// An automatic hold stops automation, never a person.
fn automatic_hold(facts: &Facts<'_>) -> Option<Gate> {
    let by_automation =
        facts.promotion.is_none_or(|promotion| promotion.requester == Principal::Automation);
    let hold = facts.automatic_hold.filter(|_| by_automation)?;
    let message = format!("held by {} since {}: {}", hold.by, hold.at, hold.reason);
    Some(gate(GateKind::Hold, Vec::new(), Verdict::Fail, message))
}

/// A hold stops everybody: one gate for each that keeps the freight, or freight that comes with it,
/// from the stage.
fn holds(facts: &Facts<'_>, each: &[Facts<'_>], now: Timestamp) -> Vec<Gate> {
    let stage = &facts.stage.name;
    let stops = |message, hold: &Defined<Hold>| Gate {
        until: hold.spec.expires,
        ..gate(GateKind::Hold, Vec::new(), Verdict::Fail, message)
    };
    let own = hold::stopping(facts.holds, stage, &facts.freight.freight, now);
    let mut gates: Vec<Gate> = own.map(|hold| stops(hold::describe(hold), hold)).collect();
    let along = each.iter().skip(1).map(|facts| &facts.freight.freight);
    for other in along.chain(facts.brings) {
        let beside = hold::stopping(facts.holds, stage, other, now);
        gates.extend(beside.filter(|hold| !hold.spec.closes(stage)).map(|hold| {
            let what = name_of(other);
            stops(format!("{}; it stops {what}, which comes with it", hold::describe(hold)), hold)
        }));
    }
    gates
}

fn approvals(facts: &Facts<'_>, asked: &Approvals) -> Gate {
    let asks = |policy: &&&Policy| policy.approvals.iter().any(|a| a.group == asked.group);
    let asking: Vec<PolicyName> =
        facts.joined.policies.iter().filter(asks).map(|policy| policy.name.clone()).collect();
    let what = format!("{} of group {}", people(asked.count), asked.group);
    let Some(change_set) = facts.change_set else {
        let message = format!("needs {what}, once it is known what the promotion will do");
        return gate(GateKind::Approvals, asking, Verdict::Unknown, message);
    };
    let mut given = BTreeSet::new();
    let mut excluded = BTreeSet::new();
    for approval in facts.approvals {
        let counts = approval.digest == change_set.digest && approval.groups.contains(&asked.group);
        if !counts {
            continue;
        }
        if is_excluded(facts, asked, &approval.by, &asking) {
            excluded.insert(approval.by.as_str());
        } else {
            given.insert(approval.by.as_str());
        }
    }
    let enough = given.len() >= asked.count as usize;
    let mut message = if enough {
        format!("approved by {}", join(&given))
    } else {
        format!("needs {what}, has {}", given.len())
    };
    if !excluded.is_empty() {
        message = format!("{message}; {} may not approve this promotion", join(&excluded));
    }
    let verdict = if enough { Verdict::Pass } else { Verdict::Fail };
    gate(GateKind::Approvals, asking, verdict, message)
}

fn is_excluded(facts: &Facts<'_>, asked: &Approvals, who: &str, asking: &[PolicyName]) -> bool {
    asked.exclude.iter().any(|excluded| match excluded {
        Excluded::Requester => facts
            .promotion
            .is_some_and(|promotion| promotion.requester == Principal::Named(who.to_owned())),
        Excluded::CommitAuthor => std::iter::once(facts.freight)
            .chain(facts.along)
            .flat_map(|facts| facts.freight.artifacts.values())
            .filter_map(Artifact::author)
            .any(|author| is_author(who, author)),
        Excluded::PolicyAuthor => facts.policies.iter().any(|policy| {
            asking.contains(&policy.spec.name)
                && policy.changed_by == Principal::Named(who.to_owned())
        }),
    })
}

/// Whether a principal is the author `Name <mail>`: by name, by address, or by its local part.
pub(crate) fn is_author(who: &str, author: &str) -> bool {
    let (name, mail) = match author.split_once('<') {
        Some((name, mail)) => (name.trim(), mail.trim_end_matches('>').trim()),
        None => (author.trim(), ""),
    };
    let local = mail.split_once('@').map_or(mail, |(local, _)| local);
    [name, mail, local].iter().any(|known| !known.is_empty() && known.eq_ignore_ascii_case(who))
}

fn infra(facts: &Facts<'_>) -> Option<Gate> {
    let rules = &facts.joined.infra;
    let asking = asking(facts, GateKind::Infra);
    if asking.is_empty() {
        return None;
    }
    let Some(change_set) = facts.change_set else {
        let message = "judged once the infra plans are made".to_owned();
        return Some(gate(GateKind::Infra, asking, Verdict::Unknown, message));
    };
    let found = change_set.infra.iter().flat_map(|change| {
        let found = judge(&change.summary, rules);
        found
            .into_iter()
            .map(move |found| (found.rule, format!("{}: {}", change.dir, found.reason)))
    });
    let (unjudged, violations): (Vec<_>, Vec<_>) =
        found.partition(|(rule, _)| *rule == Rule::Unjudged);
    let reasons = |found: Vec<(Rule, String)>| {
        found.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().join("; ")
    };
    let planned: u32 = change_set.infra.iter().map(|change| change.summary.total()).sum();
    let (mut violations, mut unjudged) = (violations, unjudged);
    for (rule, reason) in costs(change_set, rules) {
        if rule == Rule::Unjudged { &mut unjudged } else { &mut violations }.push((rule, reason));
    }
    let (deferred, (bounded, forbidden)) = (unbounded(change_set), bounded(change_set, rules));
    if !forbidden.is_empty() {
        return Some(gate(GateKind::Infra, asking, Verdict::Fail, forbidden.join("; ")));
    }
    if !violations.is_empty() {
        return Some(gate(GateKind::Infra, asking, Verdict::Fail, reasons(violations)));
    }
    if !unjudged.is_empty() {
        return Some(gate(GateKind::Infra, asking, Verdict::Unknown, reasons(unjudged)));
    }
    if let Some(step) = deferred {
        let message = format!(
            "step {} can be planned only after an earlier effect; no rule can be judged before: give it an `envelope`",
            step.name
        );
        return Some(gate(GateKind::Infra, asking, Verdict::Unknown, message));
    }
    let message = match planned {
        1 => "1 infra change keeps to the rules".to_owned(),
        planned => format!("{planned} infra changes keep to the rules"),
    };
    let message = if bounded == 0 {
        message
    } else {
        format!(
            "{message}; {bounded} to be planned later, held to an envelope and to the rules before it is applied"
        )
    };
    Some(gate(GateKind::Infra, asking, Verdict::Pass, message))
}

/// What is too much, or nobody knows, of what the plans cost that change something.
fn costs(change_set: &ChangeSet, rules: &InfraRules) -> Vec<(Rule, String)> {
    let planned = change_set.infra.iter().filter(|change| change.summary.has_changes);
    let planned = planned.map(|change| (&change.step, change.dir.as_str()));
    let later = planned_later(change_set).map(|step| (&step.name, step.name.as_str()));
    let judged = planned.chain(later).flat_map(|(plan, place)| {
        let apply = change_set.steps.iter().find(|step| {
            let of = step.config.get("plan").and_then(serde_json::Value::as_str);
            step.uses == StepKind::TfApply && of == Some(plan.as_str())
        });
        let cost = apply.map_or_else(Cost::default, |apply| Cost::of_config(&apply.config));
        let CostVerdict { over, unknown } = cost.judge(rules);
        let over = over.into_iter().map(|what| (Rule::TooCostly, what));
        let all = over.chain(unknown.into_iter().map(|what| (Rule::Unjudged, what)));
        all.map(move |(rule, what)| (rule, format!("{place}: {what}"))).collect::<Vec<_>>()
    });
    judged.collect()
}

/// Steps that can be planned only after an earlier effect.
fn planned_later(change_set: &ChangeSet) -> impl Iterator<Item = &PlannedStep> {
    let steps = change_set.steps.iter();
    steps.filter(|step| step.uses.plans_infra() && matches!(step.plan, StepPlan::Deferred { .. }))
}

/// One of them of which nobody knows what it may do.
fn unbounded(change_set: &ChangeSet) -> Option<&PlannedStep> {
    planned_later(change_set).find(|step| !matches!(Envelope::of_config(&step.config), Ok(Some(_))))
}

/// How many of them have an envelope, and which envelopes allow what the rules forbid. Addresses and numbers are judged
/// when the plan is there: it is held to both before it is applied.
fn bounded(change_set: &ChangeSet, rules: &InfraRules) -> (usize, Vec<String>) {
    let envelopes = planned_later(change_set)
        .filter_map(|step| Some((step, Envelope::of_config(&step.config).ok().flatten()?)));
    let (mut count, mut forbidden) = (0, Vec::new());
    for (step, envelope) in envelopes {
        count += 1;
        let told = envelope.forbidden_by(rules).into_iter();
        forbidden.extend(told.map(|action| {
            format!("the envelope of step {} allows to {action}, which is forbidden", step.name)
        }));
    }
    (count, forbidden)
}

/// Marks the gates that the requester skips by right; the right is looked up again each time, and
/// whether it is the time to use it.
fn apply_bypass(facts: &Facts<'_>, now: Timestamp, gates: &mut [Gate]) {
    let Some(request) = facts.promotion.and_then(|promotion| promotion.bypass.as_ref()) else {
        return;
    };
    let Facts { joined, freezes, .. } = *facts;
    let times = Times { stage: &facts.stage.name, joined, freezes };
    let closed = times.closed(Action::Bypass, facts.asker(), now);
    for gate in gates.iter_mut().filter(|gate| request.gates.contains(&gate.kind)) {
        let failing: BTreeSet<&PolicyName> = gate.policies.iter().collect();
        let may_at = |at| facts.joined.may_bypass(gate.kind, &failing, &request.groups, at);
        let may = gate.verdict != Verdict::Pass && may_at(now);
        if let Some(end) = request.expires.filter(|end| *end <= now && may) {
            gate.message = format!("{}; not skipped any more since {end}", gate.message);
            continue;
        }
        if gate.verdict != Verdict::Pass && !may && may_at(Timestamp::MIN) {
            gate.message = format!("{}; the right to skip it has ended", gate.message);
        }
        match &closed {
            Some(closed) if may => {
                gate.message = format!("{}; not skipped: {}", gate.message, closed.message);
                gate.until = earlier(gate.until, closed.until);
            }
            Some(_) | None => gate.bypassed = may,
        }
    }
}

fn asking(facts: &Facts<'_>, gate: GateKind) -> Vec<PolicyName> {
    facts.joined.asking(gate).into_iter().cloned().collect()
}

fn gate(kind: GateKind, policies: Vec<PolicyName>, verdict: Verdict, message: String) -> Gate {
    Gate { kind, policies, verdict, message, until: None, bypassed: false }
}

fn people(count: u32) -> String {
    if count == 1 { "1 approval".to_owned() } else { format!("{count} approvals") }
}

fn join(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
