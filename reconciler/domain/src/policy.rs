//! Promotion policies: whether and when freight may be promoted, and how several policies that
//! select one stage join into one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::expression::Expression;
use crate::glob::matches_name;
use crate::id::{PolicyName, StageName};
use crate::infra::{InfraRules, OnDrift};
use crate::inquiry::{Attestation, Ticket};
use crate::soak::Soak;
use crate::window::Window;

/// Whether and when freight may be promoted to the stages it selects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Unique in the project.
    pub name: PolicyName,
    /// Who starts promotions.
    pub mode: Mode,
    /// Globs over stage names.
    pub stages: Vec<String>,
    /// Time that freight must have been in its upstream stages since it was verified there.
    pub soak: Option<Duration>,
    /// Time for which that is otherwise, by upstream stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub soak_in: BTreeMap<StageName, Duration>,
    /// Quiet time after a change of definitions before automation acts.
    pub settle: Option<Duration>,
    /// The oldest that freight may be, counted from when it was made.
    #[serde(default)]
    pub max_age: Option<Duration>,
    /// The longest that a promotion may wait before it commits, counted from when it was asked for, or from
    /// when it went back to its gates. It then ends as expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
    /// The longest that an undo may wait for a window or a freeze, counted from when it was decided. The
    /// promotion is then stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_undo_wait: Option<Duration>,
    /// What must hold of freight, stage and upstream state.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// When it may happen, and when it must not.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// How often it may happen.
    #[serde(default)]
    pub rates: Vec<Rate>,
    /// What has to be approved elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tickets: Vec<Ticket>,
    /// What programs have to have said of what is promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<Attestation>,
    /// Who must agree.
    pub approvals: Vec<Approvals>,
    /// What infra plans may do.
    pub infra: Option<InfraRules>,
    /// When a promotion is undone.
    pub rollback: BTreeSet<RollbackOn>,
    /// Who may skip which gates, with a reason.
    pub bypass: Vec<Bypass>,
}

/// Who starts promotions. Later is stricter; the strictest of several policies counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Automation, as soon as freight is available. Has no gates.
    Automatic,
    /// Automation, once every gate passes.
    Gated,
    /// A person; the gates still hold.
    Manual,
}

/// A number of distinct people of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// The group.
    pub group: String,
    /// How many of them; at least one.
    pub count: u32,
    /// Who does not count.
    pub exclude: BTreeSet<Excluded>,
}

/// Something that must hold of what is promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Unique in the policy.
    pub name: String,
    /// What must hold; see [`crate::scope::condition_names`] for what it sees.
    pub when: Expression,
}

/// How often promotions may commit. Each limit that is there holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Unique in the policy.
    pub name: String,
    /// The most commits in a sliding length of time.
    pub most: Option<Most>,
    /// Quiet time after a commit.
    pub cooldown: Option<Duration>,
    /// The most promotions under way at once.
    pub concurrent: Option<u32>,
    /// What is counted together.
    pub across: Across,
}

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Most {
    /// How many; at least one, at most [`RATE_MAX`].
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// The largest number that a rate can count to.
pub const RATE_MAX: u32 = 1_000;

/// What a rate counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Across {
    /// Promotions to one stage.
    Stage,
    /// Promotions to every stage that the policy selects.
    Policy,
}

/// People whose approval does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excluded {
    /// Who asked for the promotion.
    Requester,
    /// Who wrote a commit of the freight.
    CommitAuthor,
    /// Who changed the policy last.
    PolicyAuthor,
}

/// What sets off an undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackOn {
    /// A step failed.
    PromotionFailed,
    /// Verification failed.
    VerificationFailed,
}

/// A right to skip gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// Unique in the policy.
    pub name: String,
    /// Members of any of these groups have it.
    pub groups: BTreeSet<String>,
    /// The gates that may be skipped.
    pub gates: BTreeSet<GateKind>,
    /// When the right ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A kind of gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The freight is available: verified upstream, direct, or approved past it.
    Upstream,
    /// It has been upstream for long enough.
    Soak,
    /// It is not too old.
    Age,
    /// What the policies ask of it holds.
    Condition,
    /// It is the time for it.
    Window,
    /// Not too many happen.
    Rate,
    /// Somebody elsewhere approved it.
    Ticket,
    /// What had to be said of what is promoted was said.
    Attestation,
    /// Enough people agree to the change set.
    Approvals,
    /// The infra plans keep to the rules.
    Infra,
    /// Nothing has drifted that the infra plans touch.
    Drift,
    /// The policy lets automation act.
    Mode,
    /// Nothing holds the stage.
    Hold,
    /// The project is not frozen.
    Freeze,
}

impl GateKind {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Soak => "soak",
            Self::Age => "age",
            Self::Condition => "condition",
            Self::Window => "window",
            Self::Rate => "rate",
            Self::Ticket => "ticket",
            Self::Attestation => "attestation",
            Self::Approvals => "approvals",
            Self::Infra => "infra",
            Self::Drift => "drift",
            Self::Mode => "mode",
            Self::Hold => "hold",
            Self::Freeze => "freeze",
        }
    }

    /// The gate with this name, if it is one that a bypass may name.
    #[must_use]
    pub fn bypassable(name: &str) -> Option<Self> {
        let gates = [
            Self::Upstream,
            Self::Soak,
            Self::Age,
            Self::Condition,
            Self::Window,
            Self::Rate,
            Self::Ticket,
            Self::Attestation,
            Self::Approvals,
            Self::Infra,
            Self::Drift,
        ];
        gates.into_iter().find(|gate| gate.name() == name)
    }
}

/// Quiet time after a change where no policy names one.
pub const SETTLE_DEFAULT: Duration = Duration::from_secs(30);
/// How long a promotion, and an undo, may wait where no policy says: thirty days.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Policy {
    /// A policy without gates.
    #[must_use]
    pub fn new(name: PolicyName, mode: Mode, stages: Vec<String>) -> Self {
        Self {
            name,
            mode,
            stages,
            soak: None,
            soak_in: BTreeMap::new(),
            settle: None,
            max_age: None,
            max_wait: None,
            max_undo_wait: None,
            conditions: Vec::new(),
            windows: Vec::new(),
            rates: Vec::new(),
            tickets: Vec::new(),
            attestations: Vec::new(),
            approvals: Vec::new(),
            infra: None,
            rollback: BTreeSet::new(),
            bypass: Vec::new(),
        }
    }

    /// Whether the policy selects the stage. A malformed glob selects nothing; definitions are
    /// checked before they are stored.
    #[must_use]
    pub fn selects(&self, stage: &StageName) -> bool {
        self.stages.iter().any(|pattern| matches_name(pattern, stage.as_str()))
    }

    /// Whether the policy asks for this gate. Upstream, hold and freeze are no policy's.
    #[must_use]
    pub fn asks(&self, gate: GateKind) -> bool {
        match gate {
            GateKind::Soak => self.soak.is_some() || !self.soak_in.is_empty(),
            GateKind::Age => self.max_age.is_some(),
            GateKind::Condition => !self.conditions.is_empty(),
            GateKind::Window => !self.windows.is_empty(),
            GateKind::Rate => !self.rates.is_empty(),
            GateKind::Ticket => !self.tickets.is_empty(),
            GateKind::Attestation => !self.attestations.is_empty(),
            GateKind::Approvals => !self.approvals.is_empty(),
            GateKind::Infra => self.infra.is_some(),
            GateKind::Drift => self.on_drift().is_some_and(|on| on != OnDrift::Ignore),
            GateKind::Mode => self.mode == Mode::Manual,
            GateKind::Upstream | GateKind::Hold | GateKind::Freeze => false,
        }
    }

    /// The shortest soak that it asks for in any upstream stage; absent: it may ask for none.
    #[must_use]
    pub fn least_soak(&self) -> Option<Duration> {
        self.soak.map(|soak| self.soak_in.values().copied().fold(soak, Duration::min))
    }

    /// Whether the policy has a gate; one of mode automatic must not.
    #[must_use]
    pub fn has_gates(&self) -> bool {
        let more = [
            GateKind::Age,
            GateKind::Condition,
            GateKind::Window,
            GateKind::Rate,
            GateKind::Ticket,
            GateKind::Attestation,
        ];
        self.asks(GateKind::Soak)
            || more.into_iter().any(|gate| self.asks(gate))
            || !self.approvals.is_empty()
            || self.infra.as_ref().is_some_and(|rules| !rules.allow_everything())
    }

    /// Which drift holds promotions back, if the policy says so.
    #[must_use]
    pub fn on_drift(&self) -> Option<OnDrift> {
        self.infra.as_ref()?.on_drift
    }
}

/// Several policies as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined<'a> {
    /// The policies that select the stage, by name.
    pub policies: Vec<&'a Policy>,
    /// The strictest mode; without a policy a stage is manual.
    pub mode: Mode,
    /// The longest soak, in each upstream stage.
    pub soak: Soak,
    /// The smallest maximum age.
    pub max_age: Option<Duration>,
    /// The shortest wait before the commit.
    pub max_wait: Duration,
    /// The shortest wait before an undo.
    pub max_undo_wait: Duration,
    /// The longest settle.
    pub settle: Duration,
    /// Per group: the larger count, all exclusions.
    pub approvals: BTreeMap<String, Approvals>,
    /// All rules.
    pub infra: InfraRules,
    /// All triggers.
    pub rollback: BTreeSet<RollbackOn>,
}

impl<'a> Joined<'a> {
    /// Joins the policies that select the stage.
    #[must_use]
    pub fn of(policies: &'a [Policy], stage: &StageName) -> Self {
        let mut selecting: Vec<&Policy> =
            policies.iter().filter(|policy| policy.selects(stage)).collect();
        selecting.sort_by(|a, b| a.name.cmp(&b.name));
        let mut approvals: BTreeMap<String, Approvals> = BTreeMap::new();
        for asked in selecting.iter().flat_map(|policy| &policy.approvals) {
            let joined = approvals.entry(asked.group.clone()).or_insert_with(|| asked.clone());
            joined.count = joined.count.max(asked.count);
            joined.exclude.extend(&asked.exclude);
        }
        let longest = |of: fn(&Policy) -> Option<Duration>| {
            selecting.iter().filter_map(|policy| of(policy)).max()
        };
        let shortest = |of: fn(&Policy) -> Option<Duration>| {
            selecting.iter().filter_map(|policy| of(policy)).min()
        };
        Self {
            mode: selecting.iter().map(|policy| policy.mode).max().unwrap_or(Mode::Manual),
            soak: joined_soak(&selecting),
            max_age: shortest(|policy| policy.max_age),
            max_wait: shortest(|policy| policy.max_wait).unwrap_or(WAIT_DEFAULT),
            max_undo_wait: shortest(|policy| policy.max_undo_wait).unwrap_or(WAIT_DEFAULT),
            settle: longest(|policy| policy.settle).unwrap_or(SETTLE_DEFAULT),
            infra: selecting
                .iter()
                .filter_map(|policy| policy.infra.as_ref())
                .fold(InfraRules::default(), |joined, rules| joined.join(rules)),
            rollback: selecting.iter().flat_map(|policy| policy.rollback.iter().copied()).collect(),
            approvals,
            policies: selecting,
        }
    }

    /// The policies that ask for this gate, by name.
    #[must_use]
    pub fn asking(&self, gate: GateKind) -> BTreeSet<&'a PolicyName> {
        let asking = self.policies.iter().filter(|policy| policy.asks(gate));
        asking.map(|policy| &policy.name).collect()
    }

    /// Whether every one of these policies lets a member of the groups skip the gate at this instant.
    ///
    /// `failing` are the names of the policies whose gate does not pass; the upstream gate belongs
    /// to the stage and needs the right from each policy.
    #[must_use]
    pub fn may_bypass(
        &self,
        gate: GateKind,
        failing: &BTreeSet<&PolicyName>,
        groups: &BTreeSet<String>,
        now: Timestamp,
    ) -> bool {
        let grants = |policy: &&&Policy| {
            policy.bypass.iter().any(|right| {
                right.gates.contains(&gate)
                    && !right.groups.is_disjoint(groups)
                    && right.expires.is_none_or(|end| end > now)
            })
        };
        let concerned = |policy: &&&Policy| failing.is_empty() || failing.contains(&policy.name);
        let mut concerned = self.policies.iter().filter(concerned).peekable();
        concerned.peek().is_some() && concerned.all(|policy| grants(&policy))
    }
}

/// In each upstream stage the longest that a policy asks for there.
fn joined_soak(policies: &[&Policy]) -> Soak {
    let longest = |of: &dyn Fn(&Policy) -> Option<Duration>| {
        policies.iter().filter_map(|policy| of(policy)).max().unwrap_or(Duration::ZERO)
    };
    let named = policies.iter().flat_map(|policy| policy.soak_in.keys());
    let in_stages = named.map(|stage| {
        let asked = |policy: &Policy| policy.soak_in.get(stage).copied().or(policy.soak);
        (stage.clone(), longest(&asked))
    });
    Soak { everywhere: longest(&|policy| policy.soak), in_stages: in_stages.collect() }
}
