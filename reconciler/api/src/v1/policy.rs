//! Promotion policies: whether and when stages are promoted to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttestationRule, BypassGate, Kind, Meta, Object, OnDrift, TicketRule, WindowRule};

/// What a client says of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Who starts a promotion.
    pub mode: Mode,
    /// Which stages it speaks about.
    pub stages: StageSelector,
    /// How long freight must have been verified upstream, a duration.
    #[serde(default)]
    pub soak: Option<String>,
    /// How long instead in these upstream stages: durations by stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub soak_in: BTreeMap<String, String>,
    /// How long no definition around a stage may have changed before automation acts, a duration;
    /// null means 30 s.
    #[serde(default)]
    pub settle: Option<String>,
    /// The oldest that freight may be, a duration from when it was made.
    #[serde(default)]
    pub max_age: Option<String>,
    /// The longest that a promotion may wait before it commits, a duration from when it was asked for or went
    /// back to its gates; it then ends as expired. Null means 30 days.
    #[serde(default)]
    pub max_wait: Option<String>,
    /// The longest that an undo may wait for a window or a freeze, a duration from when it was decided; the
    /// promotion is then stuck. Null means 30 days.
    #[serde(default)]
    pub max_undo_wait: Option<String>,
    /// What must hold of freight, stage and upstream state.
    #[serde(default)]
    pub conditions: Vec<ConditionRule>,
    /// When it may happen, and when it must not.
    #[serde(default)]
    pub windows: Vec<WindowRule>,
    /// How often it may happen.
    #[serde(default)]
    pub rates: Vec<RateRule>,
    /// What has to be approved elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tickets: Vec<TicketRule>,
    /// What programs have to have said of what is promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<AttestationRule>,
    /// Who must approve, one entry per group.
    #[serde(default)]
    pub approvals: Vec<ApprovalRule>,
    /// What a promotion may do to infrastructure.
    #[serde(default)]
    pub infra: Option<InfraRules>,
    /// When a failed promotion is undone.
    #[serde(default)]
    pub rollback: Option<RollbackRule>,
    /// Who may skip which gates.
    #[serde(default)]
    pub bypass: Vec<BypassRule>,
}

wire_enum! {
    /// Who starts a promotion.
    Mode {
        /// Automation, as soon as freight is available.
        Automatic = "automatic",
        /// Automation, once every gate passes.
        Gated = "gated",
        /// A person; the gates still hold.
        Manual = "manual",
    }
}

/// Which stages a policy speaks about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSelector {
    /// Globs over the names of stages; one match is enough.
    pub names: Vec<String>,
}

/// Something that must hold of what is promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionRule {
    /// Its name within the policy.
    pub name: String,
    /// A CEL expression over `freight`, `freight_from("WAREHOUSE")`, `stage` and `upstream`.
    pub when: String,
}

/// How often promotions may commit; each limit that is set holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// Its name within the policy.
    pub name: String,
    /// The most commits within `per`.
    #[serde(default)]
    pub max: Option<u32>,
    /// The sliding length of time that `max` is counted in, a duration.
    #[serde(default)]
    pub per: Option<String>,
    /// Quiet time after a commit, a duration.
    #[serde(default)]
    pub cooldown: Option<String>,
    /// The most promotions under way at once: committed and not over.
    #[serde(default)]
    pub concurrent: Option<u32>,
    /// What is counted together.
    #[serde(default = "RateRule::across_default")]
    pub across: RateScope,
}

impl RateRule {
    /// What is counted together where a rule says nothing.
    pub const ACROSS_DEFAULT: RateScope = RateScope::Stage;

    const fn across_default() -> RateScope {
        Self::ACROSS_DEFAULT
    }
}

wire_enum! {
    /// What a rate counts together.
    RateScope {
        /// Promotions to one stage.
        Stage = "stage",
        /// Promotions to every stage that the policy selects.
        Policy = "policy",
    }
}

/// How many people of a group must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// Whose approval counts.
    pub group: String,
    /// How many distinct people.
    #[serde(default = "ApprovalRule::count_default")]
    pub count: u32,
    /// Whose approval does not count, though they are in the group.
    #[serde(default)]
    pub exclude: Vec<Exclusion>,
}

impl ApprovalRule {
    /// How many people where a rule says nothing.
    pub const COUNT_DEFAULT: u32 = 1;

    const fn count_default() -> u32 {
        Self::COUNT_DEFAULT
    }
}

wire_enum! {
    /// A person whose approval does not count.
    Exclusion {
        /// Who asked for the promotion.
        Requester = "requester",
        /// Who wrote a commit of the freight.
        CommitAuthor = "commit_author",
        /// Who last changed the policy.
        PolicyAuthor = "policy_author",
    }
}

/// What a promotion may do to infrastructure, judged on its plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfraRules {
    /// Actions that no resource may see.
    #[serde(default)]
    pub forbid: Vec<InfraAction>,
    /// Globs over resource addresses that may be neither deleted nor replaced.
    #[serde(default)]
    pub protect: Vec<String>,
    /// How many resources one plan may change at most.
    #[serde(default)]
    pub max_changes: Option<u32>,
    /// How many resources one plan may delete at most, those that it replaces included.
    #[serde(default)]
    pub max_deletes: Option<u32>,
    /// What that which one plan leaves may cost in a month at most, in the currency of the estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_monthly_cost: Option<u32>,
    /// By how much one plan may raise that at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_increase: Option<u32>,
    /// What must hold of each plan.
    #[serde(default)]
    pub rules: Vec<InfraRule>,
    /// Which drift holds promotions back; null: `intersecting` on stages that are looked at, else `ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_drift: Option<OnDrift>,
}

/// Something that must hold of an infra plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfraRule {
    /// Its name within the policy.
    pub name: String,
    /// A CEL expression over `summary`, `changes`, `outputs` and `drift` of the plan.
    pub when: String,
    /// What people are told where it does not hold.
    #[serde(default)]
    pub message: Option<String>,
}

wire_enum! {
    /// What a plan does to a resource.
    InfraAction {
        /// It is created.
        Create = "create",
        /// It is changed in place.
        Update = "update",
        /// It is destroyed and created, in either order.
        Replace = "replace",
        /// It is destroyed.
        Delete = "delete",
    }
}

/// When a failed promotion is undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRule {
    /// What sets it off.
    pub on: Vec<RollbackTrigger>,
}

wire_enum! {
    /// What sets off an undo.
    RollbackTrigger {
        /// A step failed.
        PromotionFailed = "promotion_failed",
        /// The verification failed.
        VerificationFailed = "verification_failed",
    }
}

/// The right of some groups to skip some gates, with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BypassRule {
    /// Its name within the policy.
    pub name: String,
    /// Who has it.
    pub groups: Vec<String>,
    /// Which gates it skips.
    pub gates: Vec<BypassGate>,
    /// When the right ends; null for never.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// A set of gates over a set of stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: PolicySpec,
}

impl Object for Policy {
    type Spec = PolicySpec;

    const KIND: Kind = Kind::Policy;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// A new name for a policy. Nothing else of it changes, and no gate opens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenamePolicy {
    /// The new name.
    pub to: String,
}
