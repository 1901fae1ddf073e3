//! Promotions: runs of a stage's steps with freight of one warehouse, or of several as one unit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::Problem;

use super::{BypassGate, ChangeSet, Gate, Verdict, Waiting, WorldToken};

/// One run of a stage's steps with one freight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Promotion {
    /// Stage and number within it, such as `prod.12`.
    pub id: String,
    /// The project that owns it.
    pub project: String,
    /// Where it goes.
    pub stage: String,
    /// The id of the freight that it brings.
    pub freight: String,
    /// Freight of other warehouses that it brings along, as one unit with it: ids in the order of the names of
    /// their warehouses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub along: Vec<String>,
    /// Everything that the stage will hold: the freight for each warehouse.
    pub collection: BTreeMap<String, String>,
    /// How far it is.
    pub phase: Phase,
    /// Who asked for it; `automation` if nobody did.
    pub requester: String,
    /// Why, if that was said.
    pub reason: Option<String>,
    /// Variables of the stage that have another value in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Which gates it skips, and why.
    pub bypass: Option<Bypass>,
    /// Whether it goes back to what was in the stage before.
    #[serde(default)]
    pub rollback: bool,
    /// Whether it only shows what it would do: it is prepared and judged, and never commits.
    #[serde(default)]
    pub rehearsal: bool,
    /// What it will do; null until it is prepared.
    pub change_set: Option<ChangeSet>,
    /// What each gate says.
    pub gates: Vec<Gate>,
    /// Who approved.
    pub approvals: Vec<PromotionApproval>,
    /// Its steps, in order.
    pub steps: Vec<StepRun>,
    /// What the verification measured.
    pub measurements: Vec<Measurement>,
    /// Why it waits, if it does.
    pub waiting: Vec<Waiting>,
    /// Until when it waits at most: it then ends as expired, if it has not committed, and is stuck, if its undo
    /// has not begun. Null if it waits for neither.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
    /// What went wrong, if anything.
    pub error: Option<String>,
    /// The differences that an undo left behind, if it is stuck.
    pub remaining: Vec<String>,
    /// The state of the world as of which this answer was given.
    pub token: WorldToken,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it took the stage's slot and began its effects.
    pub committed_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

wire_enum! {
    /// How far a promotion is.
    Phase {
        /// Its change set is being made.
        Preparing = "preparing",
        /// It waits for gates or for the stage's slot.
        Waiting = "waiting",
        /// Its effects happen.
        Committing = "committing",
        /// Its effect is being measured.
        Verifying = "verifying",
        /// It is being undone.
        Unwinding = "unwinding",
        /// All of it happened and was verified.
        Succeeded = "succeeded",
        /// It failed, and nothing undoes it.
        Failed = "failed",
        /// It failed and was undone entirely.
        RolledBack = "rolled_back",
        /// Its undo was refused or failed: a person must act.
        Stuck = "stuck",
        /// A person ended it.
        Aborted = "aborted",
        /// Newer freight took its place before it began.
        Superseded = "superseded",
        /// It did not commit in the time that its policies give it; nothing was changed.
        Expired = "expired",
        /// It happened, but what was measured proves nothing.
        Inconclusive = "inconclusive",
        /// It was a rehearsal: what it would do is known, and nothing was done.
        Rehearsed = "rehearsed",
    }
}

impl Phase {
    /// Whether nothing more happens by itself. A stuck promotion counts: it waits for a person.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        match self {
            Self::Preparing
            | Self::Waiting
            | Self::Committing
            | Self::Verifying
            | Self::Unwinding => false,
            Self::Succeeded
            | Self::Failed
            | Self::RolledBack
            | Self::Stuck
            | Self::Aborted
            | Self::Superseded
            | Self::Expired
            | Self::Inconclusive
            | Self::Rehearsed => true,
        }
    }
}

/// Gates to skip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// Which.
    pub gates: Vec<BypassGate>,
    /// Why; it is recorded.
    pub reason: String,
    /// Until when they are skipped; null for as long as the promotion waits.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// One person's approval of one change set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionApproval {
    /// Who.
    pub by: String,
    /// The groups that they were in.
    pub groups: Vec<String>,
    /// The digest of the change set that they saw.
    pub digest: String,
    /// What they said.
    pub comment: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Whether it counts no longer, because the change set is another now.
    pub void: bool,
}

/// One step of a promotion, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepRun {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub uses: String,
    /// How far it is.
    pub state: StepState,
    /// When it last began.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// Its outputs by name, sensitive values masked.
    pub outputs: BTreeMap<String, Value>,
    /// What went wrong, if anything.
    pub error: Option<String>,
    /// What it asks people at this moment.
    #[serde(default)]
    pub question: Option<super::Question>,
}

wire_enum! {
    /// How far a step is.
    StepState {
        /// It has not begun.
        Pending = "pending",
        /// It ran in full while preparing, or its effect is planned.
        Prepared = "prepared",
        /// It waits for outputs of an earlier effect.
        Deferred = "deferred",
        /// It is passed over: its condition does not hold.
        Skipped = "skipped",
        /// It runs.
        Running = "running",
        /// It happened.
        Succeeded = "succeeded",
        /// It failed, without effect.
        Failed = "failed",
        /// It may have happened; a person must say.
        Uncertain = "uncertain",
        /// It happened and was undone.
        Undone = "undone",
        /// It happened, and its undo failed or was refused.
        UndoFailed = "undo_failed",
    }
}

/// One measurement of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// The verification's name within the stage.
    pub verification: String,
    /// The check's name within the verification.
    pub check: String,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub verdict: Verdict,
    /// What was measured, shortened.
    pub value: Option<String>,
    /// Why it says so.
    pub message: String,
}

/// Something that happened to a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionEvent {
    /// Its number; numbers grow and may have gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What kind of event, in `snake_case`, such as `step_finished`.
    pub kind: String,
    /// The step that it is about, if any.
    pub step: Option<String>,
    /// What happened, in one sentence.
    pub message: String,
    /// Of a step that begins: the epoch of the lease under which it does. Later holders have larger ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// Asks for a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePromotion {
    /// Where to.
    pub stage: String,
    /// With which freight.
    pub freight: FreightSelector,
    /// With which freight of other warehouses besides, as one unit: ids, or beginnings of them that are unique in
    /// the project. Only where `freight` is an id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub along: Vec<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Other values for variables of the stage, of those that it lets promotions set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Gates to skip.
    #[serde(default)]
    pub bypass: Option<Bypass>,
    /// Whether to answer the promotion that brought the freight, or is bringing it, where there is
    /// one, instead of starting another. Asking again is then the same as asking once.
    #[serde(default)]
    pub ensure: bool,
    /// Whether only to show what it would do: it is prepared and judged like any other, changes nothing,
    /// is in nobody's way, and ends by itself after a quarter of an hour.
    #[serde(default)]
    pub rehearsal: bool,
}

/// Names a freight: `newest` for the newest that is available to the stage; `previous` for what was
/// there before and is older, which makes the promotion a rollback, of what of other warehouses left in the same
/// moment too; or its id, or a beginning of it
/// that is unique in the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum FreightSelector {
    /// The newest that is available.
    Newest,
    /// The one to go back to.
    Previous,
    /// This one.
    Id(String),
}

const NEWEST: &str = "newest";
const PREVIOUS: &str = "previous";

impl From<String> for FreightSelector {
    fn from(text: String) -> Self {
        match text.as_str() {
            NEWEST => Self::Newest,
            PREVIOUS => Self::Previous,
            _ => Self::Id(text),
        }
    }
}

impl From<FreightSelector> for String {
    fn from(selector: FreightSelector) -> Self {
        match selector {
            FreightSelector::Newest => NEWEST.to_owned(),
            FreightSelector::Previous => PREVIOUS.to_owned(),
            FreightSelector::Id(id) => id,
        }
    }
}

/// Approves what a promotion will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovePromotion {
    /// The digest of the change set that the approver saw; refused if it is another by now.
    pub digest: String,
    /// What the approver says.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Starts a promotion once more that is over: the same freight, of all its warehouses, to the same stage, with the same variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rerun {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Gates to skip.
    #[serde(default)]
    pub bypass: Option<Bypass>,
}

/// Promotes what is in a stage to every stage that takes freight from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteDownstream {
    /// The freight: its id, or a beginning of it that is unique in the project. Left out: the one that is
    /// in the stage.
    #[serde(default)]
    pub freight: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What came of a promotion to one of several stages: it was started, or it was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartedDownstream {
    /// The stage.
    pub stage: String,
    /// The promotion, if one was started.
    pub promotion: Option<Promotion>,
    /// Why none was started.
    pub refused: Option<Problem>,
}

/// Ends a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortPromotion {
    /// Why; it is recorded.
    pub reason: String,
}

/// Has what is in a stage verified anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reverify {
    /// Why; it is recorded.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Which promotions to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromotionQuery {
    /// Only promotions of this stage.
    pub stage: Option<String>,
    /// Only promotions that have not ended (`true`) or have (`false`).
    pub active: Option<bool>,
    /// Only rehearsals (`true`), or none of them (`false`).
    pub rehearsal: Option<bool>,
    /// How many at most: 100 when left out, never more than 500.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub page: Option<String>,
}

/// Which events of a promotion to answer, and how long to wait for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only events with a greater number.
    pub after: Option<u64>,
    /// How many seconds to wait if there is none: 0 when left out, never more than 60.
    pub wait: Option<u32>,
}

impl EventsQuery {
    /// The longest wait, in seconds; a longer wish is cut to this.
    pub const WAIT_SECONDS_MAX: u32 = 60;
}
