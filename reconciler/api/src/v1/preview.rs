//! Previews: what a change of a definition would do to live freight.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{
    FreezeSpec, GateKind, HoldSpec, InstanceFreezeSpec, Kind, PolicySpec, StageSpec, TaskSpec,
    Verdict, VerificationSpec, WarehouseSpec, WorldToken,
};
use crate::problem::FieldProblem;

/// The longest that the daemon judges one question; a client waits a little longer.
pub const PREVIEW_TIME_MAX: Duration = Duration::from_secs(60);

/// Asks what a change of one definition would do. Nothing is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// The name of the object.
    pub name: String,
    /// The definition as it would be; with `remove`, as it is.
    pub definition: Definition,
    /// The state of the world as of which to answer; null for now. The same question as of the
    /// same token has the same answer, byte for byte, for 30 days.
    #[serde(default)]
    pub token: Option<WorldToken>,
    /// Whether the object would be removed instead of written.
    #[serde(default)]
    pub remove: bool,
}

/// Asks what several changes would do together, as of now. Nothing is changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewSet {
    /// The changes, at most 2,000, each of another object.
    pub changes: Vec<PreviewChange>,
    /// How many past promotions are judged by the policies as they would be, the newest of the
    /// stages that a changed policy selects: 200 when left out, never more than 1,000, none for 0.
    #[serde(default)]
    pub replay: Option<u32>,
}

/// One of several changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewChange {
    /// The name of the object.
    pub name: String,
    /// The definition as it would be; with `remove`, as it is.
    pub definition: Definition,
    /// Whether the object would be removed instead of written.
    #[serde(default)]
    pub remove: bool,
}

/// What is asked of a preview: one change as of a token, or several together as of now.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PreviewQuestion {
    /// Several; an object with `changes`.
    Set(PreviewSet),
    /// One.
    One(Box<PreviewRequest>),
}

impl<'de> Deserialize<'de> for PreviewQuestion {
    /// Which of both is meant is seen before it is read, so that what is wrong is told at its place.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let asked = Value::deserialize(deserializer)?;
        let read = if asked.get("changes").is_some() {
            PreviewSet::deserialize(asked).map(Self::Set)
        } else {
            PreviewRequest::deserialize(asked).map(|one| Self::One(Box::new(one)))
        };
        read.map_err(D::Error::custom)
    }
}

/// A definition of any kind that can be previewed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "spec", rename_all = "snake_case", deny_unknown_fields)]
pub enum Definition {
    /// A policy.
    Policy(PolicySpec),
    /// A stage.
    Stage(StageSpec),
    /// A warehouse.
    Warehouse(WarehouseSpec),
    /// A hold.
    Hold(HoldSpec),
    /// A freeze.
    Freeze(FreezeSpec),
    /// A freeze of every project, as far as it concerns the project that is asked about.
    InstanceFreeze(InstanceFreezeSpec),
    /// A verification; it does nothing to live freight, but stages that use it are judged with it.
    Verification(VerificationSpec),
    /// A task; promotions to stages that use it are prepared anew.
    Task(TaskSpec),
}

impl Definition {
    /// Of which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Policy(_) => Kind::Policy,
            Self::Stage(_) => Kind::Stage,
            Self::Warehouse(_) => Kind::Warehouse,
            Self::Hold(_) => Kind::Hold,
            Self::Freeze(_) => Kind::Freeze,
            Self::InstanceFreeze(_) => Kind::InstanceFreeze,
            Self::Verification(_) => Kind::Verification,
            Self::Task(_) => Kind::Task,
        }
    }
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The state of the world that was judged.
    pub as_of: WorldToken,
    /// Whether the effects are known; if not, `warnings` say what is missing.
    pub known: bool,
    /// What would happen, sorted by stage, freight and effect.
    pub effects: Vec<Effect>,
    /// What the author should know.
    pub warnings: Vec<PreviewWarning>,
    /// Why the definition cannot stand, empty if it can: the errors that its write would have.
    /// Of several changes, paths of problems and warnings begin with `changes[0]`.
    pub problems: Vec<FieldProblem>,
    /// What the policies as they would be say of the past. Only where several changes are asked
    /// about, and one of them is a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
}

/// What policies would have said of promotions that are over, each as of its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// How many promotions were judged.
    pub judged: u32,
    /// How many would have passed every gate.
    pub passed: u32,
    /// How many a gate would have stopped at that time.
    pub blocked: u32,
    /// How many cannot be judged, because something was not recorded.
    pub unknown: u32,
    /// Whether that is every promotion that ever committed; else the newest.
    pub complete: bool,
    /// Each gate that would not have let a promotion pass, newest promotion first.
    pub witnesses: Vec<Witness>,
}

/// A gate that would not have let a promotion pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Witness {
    /// The promotion.
    pub promotion: String,
    /// Its stage.
    pub stage: String,
    /// Its freight.
    pub freight: String,
    /// When it committed: as of then it is judged.
    pub at: Timestamp,
    /// Which gate; null if none could be judged.
    pub gate: Option<GateKind>,
    /// The policies that ask for it, sorted.
    pub policies: Vec<String>,
    /// What it says: `fail` or `unknown`.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: String,
}

/// One thing that would happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// The stage that it happens to.
    pub stage: String,
    /// The freight that it happens to, if one.
    pub freight: Option<String>,
    /// The promotion that it happens to, if one.
    pub promotion: Option<String>,
    /// What.
    pub effect: EffectKind,
    /// Why, in one sentence without relative times.
    pub reason: String,
    /// When it ends or begins by time alone, if it does.
    pub until: Option<Timestamp>,
}

wire_enum! {
    /// What a change does to live freight.
    EffectKind {
        /// A promotion would start by itself at apply.
        WouldPromote = "would_promote",
        /// Freight that could not be promoted could be.
        BecomesPromotable = "becomes_promotable",
        /// Freight that could be promoted could not be.
        BecomesBlocked = "becomes_blocked",
        /// A gate that did not pass would.
        GatePasses = "gate_passes",
        /// A gate that passed would not.
        GateBlocks = "gate_blocks",
        /// A waiting promotion would be superseded.
        Supersedes = "supersedes",
        /// No freight could ever reach the stage.
        Unreachable = "unreachable",
        /// Approvals that were given would have to be given again.
        NeedsApprovalAgain = "needs_approval_again",
        /// A waiting promotion would be over, because it waits for too long already.
        Expires = "expires",
    }
}

/// Something that the author of a change should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewWarning {
    /// The field of the spec that causes it, as in field problems; empty for the whole.
    pub path: String,
    /// What, in a few words.
    pub summary: String,
    /// What and why, in sentences.
    pub detail: String,
}
