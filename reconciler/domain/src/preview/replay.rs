//! Replay: what changed policies would have said of promotions that are over, each at the instant
//! when it committed.
//!
//! What was so then is taken from what was recorded: the log of the promotion has its stage, its
//! change set and its approvals, the freight has its stays and verifications with their instants. A
//! fact that was not recorded makes the gate unknown, and the gate says so. What holds and freezes
//! stopped then did not commit, so they are no part of this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Change, Changes};
use crate::freight::{Freight, FreightFacts, Stay};
use crate::gate::{Facts, Gate, Verdict, gates, overall};
use crate::id::{FreightId, PolicyName, PromotionId, StageName, WarehouseName};
use crate::policy::{Across, GateKind, Joined, Policy, Rate};
use crate::promotion::{Promotion, State};
use crate::snapshot::{Committed, Definitions};
use crate::stage::{Request, Stage};

/// Promotions that are judged anew where nothing is said.
pub const REPLAY_DEFAULT: u32 = 200;

/// The most promotions that are judged anew.
pub const REPLAY_MAX: u32 = 1_000;

/// What a replay needs of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Promotions to these stages.
    pub stages: BTreeSet<StageName>,
    /// So many of them, the newest.
    pub limit: u32,
    /// The commits that rates count; absent: there is no rate.
    pub counted: Option<Counted>,
}

/// Commits that rates count.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// To these stages.
    pub stages: BTreeSet<StageName>,
    /// So long before the oldest promotion that is judged.
    pub before: Duration,
}

/// What was recorded.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Promotions that committed, newest first.
    pub past: Vec<Past>,
    /// Those whose record cannot be read, and why.
    pub unreadable: Vec<Unjudged>,
    /// Whether there is none that is older.
    pub is_whole: bool,
    /// Commits that rates count.
    pub commits: Vec<PastCommit>,
    /// Since when every commit is among them; absent: all of them are.
    pub commits_since: Option<Timestamp>,
}

/// A promotion that committed.
#[derive(Debug, Clone)]
pub struct Past {
    /// The promotion.
    pub promotion: Promotion,
    /// Its log up to the commit, folded: what it was made from, what it would do, who agreed.
    pub state: State,
    /// Its freight, with everything that happened to it until now.
    pub facts: Arc<FreightFacts>,
    /// The same of the freight that it brought along.
    pub along: Vec<Arc<FreightFacts>>,
}

/// A promotion that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    /// Which.
    pub promotion: PromotionId,
    /// Its stage.
    pub stage: StageName,
    /// Its freight.
    pub freight: FreightId,
    /// When it committed.
    pub committed_at: Timestamp,
    /// Why.
    pub why: String,
}

/// A commit, as rates count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastCommit {
    /// The promotion.
    pub promotion: PromotionId,
    /// Where to.
    pub stage: StageName,
    /// When it took the slot.
    pub at: Timestamp,
    /// When it ended; absent: it has not.
    pub ended_at: Option<Timestamp>,
}

/// What changed policies would have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Promotions whose gates would all have let them pass.
    pub passed: u32,
    /// Promotions that a gate would have stopped then.
    pub blocked: u32,
    /// Promotions of which that is not known.
    pub unknown: u32,
    /// Whether every promotion that ever committed was judged; else the newest.
    pub is_whole: bool,
    /// Each gate that would not have let a promotion pass, newest promotion first.
    pub witnesses: Vec<Witness>,
}

/// A gate that would not have let a promotion pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The promotion.
    pub promotion: PromotionId,
    /// Its stage.
    pub stage: StageName,
    /// Its freight.
    pub freight: FreightId,
    /// When it committed: the instant as of which it is judged.
    pub at: Timestamp,
    /// Which gate; absent: none could be judged.
    pub gate: Option<GateKind>,
    /// The policies that ask for it.
    pub policies: Vec<PolicyName>,
    /// What it says: fail or unknown.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// What a replay of the changes needs of the past; absent: no policy changes.
#[must_use]
pub fn wanted(
    before: &Definitions,
    changes: &Changes,
    limit: u32,
    now: Timestamp,
) -> Option<Wanted> {
    let after = changes.apply(before, now);
    let changed: Vec<&Policy> = changes
        .all
        .iter()
        .filter_map(|change| match change {
            Change::Policy(name, new) => Some((name, new)),
            Change::Stage(..)
            | Change::Warehouse(..)
            | Change::Verification(..)
            | Change::Task(..)
            | Change::Hold(..)
            | Change::Freeze(..) => None,
        })
        .flat_map(|(name, new)| {
            let old = before.policies.iter().map(|policy| &policy.spec);
            old.filter(move |old| old.name == *name).chain(new)
        })
        .collect();
    let limit = limit.min(REPLAY_MAX);
    if changed.is_empty() || limit == 0 {
        return None;
    }
    let names: BTreeSet<&StageName> = before.stages.keys().chain(after.stages.keys()).collect();
    let selected = |stage: &StageName| changed.iter().any(|policy| policy.selects(stage));
    let stages: BTreeSet<StageName> =
        names.iter().filter(|stage| selected(stage)).map(|stage| (*stage).clone()).collect();
    Some(Wanted { counted: counted(&after, &stages, &names), stages, limit })
}

fn counted(
    after: &Definitions,
    judged: &BTreeSet<StageName>,
    names: &BTreeSet<&StageName>,
) -> Option<Counted> {
    let mut stages = BTreeSet::new();
    let mut before = Duration::ZERO;
    for policy in after.policies.iter().map(|policy| &policy.spec) {
        if !judged.iter().any(|stage| policy.selects(stage)) {
            continue;
        }
        for rate in &policy.rates {
            before = before.max(reaches_back(rate));
            match rate.across {
                Across::Stage => stages.extend(judged.iter().cloned()),
                Across::Policy => {
                    let selected = names.iter().filter(|stage| policy.selects(stage));
                    stages.extend(selected.map(|stage| (*stage).clone()));
                }
            }
        }
    }
    (!stages.is_empty()).then_some(Counted { stages, before })
}

/// How long ago what a rate counts may be. What is under way is counted whenever it began.
fn reaches_back(rate: &Rate) -> Duration {
    let most = rate.most.map(|most| most.per).unwrap_or_default();
    most.max(rate.cooldown.unwrap_or_default())
}

/// Judges each past promotion by the policies as they would be.
#[must_use]
pub fn replay(history: &History, after: &Definitions) -> Replay {
    let policies = after.policy_specs();
    let mut joined: BTreeMap<&StageName, Joined<'_>> = BTreeMap::new();
    let mut replay = Replay { is_whole: history.is_whole, ..Replay::default() };
    for past in &history.past {
        let stage = &past.promotion.stage;
        let joined = joined.entry(stage).or_insert_with(|| Joined::of(&policies, stage));
        let Some(then) = Then::of(history, after, past) else {
            let why = "its log does not say what it was made from";
            replay.cannot_judge(&Unjudged::of(&past.promotion, why));
            continue;
        };
        replay.count(past, then.at, &then.gates(joined, after));
    }
    for unreadable in &history.unreadable {
        replay.cannot_judge(unreadable);
    }
    replay.witnesses.sort_by(|a, b| (b.at, &b.promotion).cmp(&(a.at, &a.promotion)));
    replay
}

impl Replay {
    /// How many promotions were judged.
    #[must_use]
    pub fn judged(&self) -> u32 {
        self.passed + self.blocked + self.unknown
    }

    fn count(&mut self, past: &Past, at: Timestamp, gates: &[Gate]) {
        match overall(gates).verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail => self.blocked += 1,
            Verdict::Unknown => self.unknown += 1,
        }
        let Promotion { id, stage, freight, .. } = &past.promotion;
        let stopping = gates.iter().filter(|gate| !gate.lets_pass());
        self.witnesses.extend(stopping.map(|gate| Witness {
            promotion: id.clone(),
            stage: stage.clone(),
            freight: freight.clone(),
            at,
            gate: Some(gate.kind),
            policies: gate.policies.clone(),
            verdict: gate.verdict,
            reason: gate.message.clone(),
        }));
    }

    fn cannot_judge(&mut self, unjudged: &Unjudged) {
        self.unknown += 1;
        self.witnesses.push(Witness {
            promotion: unjudged.promotion.clone(),
            stage: unjudged.stage.clone(),
            freight: unjudged.freight.clone(),
            at: unjudged.committed_at,
            gate: None,
            policies: Vec::new(),
            verdict: Verdict::Unknown,
            reason: unjudged.why.clone(),
        });
    }
}

impl Unjudged {
    fn of(promotion: &Promotion, why: &str) -> Self {
        Self {
            promotion: promotion.id.clone(),
            stage: promotion.stage.clone(),
            freight: promotion.freight.clone(),
            committed_at: promotion.created_at,
            why: why.to_owned(),
        }
    }
}

/// What was so when a promotion committed.
struct Then<'a> {
    at: Timestamp,
    past: &'a Past,
    stage: &'a Stage,
    facts: FreightFacts,
    along: Vec<FreightFacts>,
    companions: BTreeMap<WarehouseName, Freight>,
    commits: Vec<Committed>,
    /// Since when the commits are known; absent: all of them are.
    commits_since: Option<Timestamp>,
    /// An upstream stage of which is not known what it was then.
    doubtful: Option<&'a StageName>,
}

impl<'a> Then<'a> {
    fn of(history: &'a History, definitions: &'a Definitions, past: &'a Past) -> Option<Self> {
        let at = past.state.committed_at?;
        let frozen = past.state.frozen.as_ref()?;
        past.state.change_set.as_ref()?;
        let others = frozen.collection.iter();
        let others = others.filter(|(warehouse, _)| !past.promotion.brings_of(warehouse));
        let (facts, mut doubtful) = facts_then(&frozen.stage, &past.facts, definitions, at);
        let mut along = Vec::with_capacity(past.along.len());
        for beside in &past.along {
            let (facts, beside_doubtful) = facts_then(&frozen.stage, beside, definitions, at);
            along.push(facts);
            doubtful = doubtful.or(beside_doubtful);
        }
        Some(Self {
            at,
            past,
            stage: &frozen.stage,
            facts,
            along,
            companions: others.map(|(name, freight)| (name.clone(), freight.clone())).collect(),
            commits: commits_then(&history.commits, at),
            commits_since: history.commits_since,
            doubtful,
        })
    }

    /// Every gate as of then.
    fn gates(&self, joined: &Joined<'_>, definitions: &Definitions) -> Vec<Gate> {
        let facts = Facts {
            stage: self.stage,
            joined,
            policies: &definitions.policies,
            freight: &self.facts,
            along: &self.along,
            promotion: Some(&self.past.promotion),
            change_set: self.past.state.change_set.as_ref(),
            approvals: &self.past.state.approvals,
            automatic_hold: None,
            holds: &[],
            freezes: &[],
            brings: &[],
            companions: &self.companions,
            commits: &self.commits,
            drift: None,
            said: &[],
            prepared_at: self.past.state.prepared_at,
        };
        let mut gates = gates(&facts, self.at);
        // It committed, so it was available then: what says otherwise was written later.
        let lost = gates.iter().any(|gate| gate.kind == GateKind::Upstream && !gate.lets_pass());
        for gate in gates.iter_mut().filter(|gate| !gate.bypassed) {
            if let Some(why) = self.unrecorded(gate, joined, lost) {
                gate.verdict = Verdict::Unknown;
                gate.message = why;
                gate.until = None;
            }
        }
        gates
    }

    /// Why what a gate says of then cannot be relied on.
    fn unrecorded(&self, gate: &Gate, joined: &Joined<'_>, lost: bool) -> Option<String> {
        let withdrawn = || "that it was verified upstream then is no longer recorded".to_owned();
        match gate.kind {
            GateKind::Upstream => (gate.verdict != Verdict::Pass).then(withdrawn),
            GateKind::Soak if lost => Some(withdrawn()),
            // The doubtful stage counted as one that gives no soak.
            GateKind::Soak => {
                self.doubtful.filter(|_| gate.verdict != Verdict::Pass).map(|stage| {
                    format!("stage {stage} was changed since; what it was then is not recorded")
                })
            }
            GateKind::Condition => {
                let conditions = joined.policies.iter().flat_map(|policy| &policy.conditions);
                let mut looks = conditions.filter(|c| c.when.source().contains("upstream"));
                (lost && looks.next().is_some()).then(withdrawn)
            }
            // More commits than are known can only stop more.
            GateKind::Rate => {
                let known_since = self.commits_since.filter(|_| gate.verdict == Verdict::Pass)?;
                let rates = joined.policies.iter().flat_map(|policy| &policy.rates);
                let looks_back = rates.map(reaches_back).max().unwrap_or_default();
                let looks_to = self.at.checked_sub(looks_back).unwrap_or(Timestamp::MIN);
                (looks_to < known_since)
                    .then(|| format!("only the commits since {known_since} were looked at"))
            }
            GateKind::Ticket | GateKind::Attestation => {
                Some("what was said elsewhere then is not recorded".to_owned())
            }
            GateKind::Age
            | GateKind::Window
            | GateKind::Approvals
            // What the plans themselves found is in the log; what looks had found is not.
            | GateKind::Infra
            | GateKind::Drift
            | GateKind::Mode
            | GateKind::Hold
            | GateKind::Freeze => None,
        }
    }
}

/// What had happened to freight by then, and an upstream stage of which is not known what it was.
fn facts_then<'a>(
    stage: &'a Stage,
    now: &FreightFacts,
    definitions: &'a Definitions,
    at: Timestamp,
) -> (FreightFacts, Option<&'a StageName>) {
    let mut facts = FreightFacts::new(now.freight.clone());
    let by_then = |instants: &BTreeMap<StageName, Timestamp>| {
        let kept = instants.iter().filter(|(_, instant)| **instant <= at);
        kept.map(|(stage, instant)| (stage.clone(), *instant)).collect()
    };
    facts.approved_for = by_then(&now.approved_for);
    facts.verified_in = by_then(&now.verified_in);
    for (stage, stays) in &now.stays {
        let begun = stays.iter().filter(|stay| stay.entered_at <= at);
        let stays: Vec<Stay> = begun
            .map(|stay| Stay { left_at: stay.left_at.filter(|left| *left <= at), ..*stay })
            .collect();
        if !stays.is_empty() {
            facts.stays.insert(stage.clone(), stays);
        }
    }
    let doubtful = pass_on(stage, &mut facts, definitions, at);
    (facts, doubtful)
}

/// Notes through which control-flow stages the freight came. A stage in which it stayed was none.
fn pass_on<'a>(
    stage: &'a Stage,
    facts: &mut FreightFacts,
    definitions: &'a Definitions,
    at: Timestamp,
) -> Option<&'a StageName> {
    let warehouse = &facts.freight.warehouse;
    let mut passed_on: BTreeMap<StageName, Request> = BTreeMap::new();
    let mut doubtful = None;
    let mut names: Vec<&StageName> = stage.request(warehouse)?.from.iter().collect();
    while let Some(name) = names.pop() {
        if passed_on.contains_key(name) || facts.stays.contains_key(name) {
            continue;
        }
        match definitions.stages.get(name) {
            Some(found) if found.changed_at <= at => {
                let request = found.spec.request(warehouse);
                if let Some(request) = request.filter(|_| found.spec.is_control_flow()) {
                    passed_on.insert(name.clone(), request.clone());
                    names.extend(&request.from);
                }
            }
            Some(_) | None => doubtful = Some(name),
        }
    }
    facts.passed_on = passed_on;
    doubtful
}

fn commits_then(commits: &[PastCommit], at: Timestamp) -> Vec<Committed> {
    let begun = commits.iter().filter(|commit| commit.at <= at);
    begun
        .map(|commit| Committed {
            promotion: commit.promotion.clone(),
            stage: commit.stage.clone(),
            at: commit.at,
            over: commit.ended_at.is_some_and(|ended| ended <= at),
        })
        .collect()
}
