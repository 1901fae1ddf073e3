//! Previews: what a change of a definition would do to live freight.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HoldSpec, Kind, PolicySpec, StageSpec, WarehouseSpec, WorldToken};
use crate::problem::FieldProblem;

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
    pub problems: Vec<FieldProblem>,
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
