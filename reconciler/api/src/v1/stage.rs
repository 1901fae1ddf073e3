//! Stages: places where freight is promoted to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DriftOutline, DriftWatch, Kind, Meta, Object, Phase, StageHold, Waiting};

/// What a client says of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// Values that steps use as `vars.<name>`.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Names of `vars` to which a person may give another value for one promotion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settable_vars: Vec<String>,
    /// Which freight it requests, one entry per warehouse.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// What a promotion does, in order. A stage without steps only passes freight on.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What is measured after a promotion.
    #[serde(default)]
    pub verifications: Vec<VerificationUse>,
    /// Which of several candidates goes first.
    #[serde(default)]
    pub choose: Choose,
    /// Free names and values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it is refused to be removed.
    #[serde(default)]
    pub deletion_protection: bool,
    /// How its infra is looked at by itself; null: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftWatch>,
}

/// A wish for the freight of one warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Whose freight.
    pub warehouse: String,
    /// The stages that must have verified it. Empty means straight from the warehouse.
    #[serde(default)]
    pub from: Vec<String>,
    /// How many of them.
    #[serde(default, rename = "match")]
    pub matching: RequestMatch,
    /// At least so many of them; null if `match` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
}

wire_enum! {
    /// How many of a request's upstream stages must have verified a freight.
    #[derive(Default)]
    RequestMatch {
        /// One of them.
        #[default]
        Any = "any",
        /// Each of them.
        All = "all",
    }
}

/// One step of a promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How later steps address its outputs: `steps.<name>.<output>`.
    pub name: String,
    /// Which kind of step, such as `git_clone`.
    pub uses: String,
    /// What the kind takes; its texts may hold `{{ CEL }}`.
    #[serde(default)]
    pub config: Value,
    /// How it is carried out; null: like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<StepControl>,
}

/// How a step is carried out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepControl {
    /// CEL: the step is passed over where it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What happens after a failure that may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<StepRetry>,
    /// Time for one attempt, such as `30s`, after which it is broken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Whether the promotion goes on when the step failed for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
    /// A list, a map, or `{{ CEL }}` that gives one: the step is carried out for each element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Value>,
    /// A word: steps that follow one another with the same one are carried out side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<String>,
}

/// What happens after a failure of a step that may pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRetry {
    /// Attempts in all, the first one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Wait after the first failure, such as `5s`; doubled after each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<String>,
    /// Longest wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

/// A verification template put to use, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationUse {
    /// Its name within the stage.
    pub name: String,
    /// The name of the verification.
    pub template: String,
    /// Values that the template uses as `args.<name>`.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
}

wire_enum! {
    /// Which of several candidates goes first.
    #[derive(Default)]
    Choose {
        /// The newest; a newer one supersedes one that has not started.
        #[default]
        Latest = "latest",
        /// Each in its order.
        Queue = "queue",
        /// What the upstream stage holds now.
        MatchUpstream = "match_upstream",
    }
}

/// A place where freight is promoted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: StageSpec,
    /// What the daemon has seen.
    pub status: StageStatus,
}

/// What the daemon has seen of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageStatus {
    /// The freight that it holds, by warehouse.
    pub current: BTreeMap<String, CurrentFreight>,
    /// The promotion that is on its way, if any.
    pub promotion: Option<ActivePromotion>,
    /// What stops promotions here, whatever the freight: the automatic hold first, then the others
    /// by name.
    pub holds: Vec<StageHold>,
    /// What does not move, why, and until when.
    pub waiting: Vec<Waiting>,
    /// The stages that take freight from this one, sorted.
    pub downstream: Vec<String>,
    /// What steps noted about it, by key.
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
    /// What the last look at its infra found; null: nobody looked, or it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftOutline>,
}

/// The freight that a stage holds of one warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentFreight {
    /// Its id.
    pub freight: String,
    /// The promotion that brought it; null in a stage without steps.
    pub promotion: Option<String>,
    /// Since when it is here.
    pub entered_at: Timestamp,
    /// When this stage verified it; null while it has not.
    pub verified_at: Option<Timestamp>,
}

/// A promotion that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivePromotion {
    /// Its id, such as `prod.12`.
    pub id: String,
    /// The freight that it brings.
    pub freight: String,
    /// Freight of other warehouses that it brings along, as one unit with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub along: Vec<String>,
    /// How far it is.
    pub phase: Phase,
}

impl Object for Stage {
    type Spec = StageSpec;

    const KIND: Kind = Kind::Stage;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
