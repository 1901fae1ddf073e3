//! Drift: what differs in the infra of stages from what their promotions left there.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That the infra of a stage is looked at by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriftWatch {
    /// Time from the end of a look, or of a promotion, to the next look, such as `6h`.
    pub every: String,
}

wire_enum! {
    /// Which drift of a stage holds promotions to it back.
    OnDrift {
        /// None.
        Ignore = "ignore",
        /// That which the promotion's plans touch.
        Intersecting = "intersecting",
        /// Any, in any state of the stage.
        Any = "any",
    }
}

wire_enum! {
    /// What is known of drift.
    DriftStanding {
        /// Everything is as the last promotions left it.
        Clean = "clean",
        /// Something is not.
        Drifted = "drifted",
        /// Of something it could not be told.
        Unknown = "unknown",
        /// Nobody looked yet, or no promotion applied anything.
        Unseen = "unseen",
    }
}

wire_enum! {
    /// What happened to a resource outside of promotions.
    DriftAction {
        /// It was changed.
        Changed = "changed",
        /// It was deleted.
        Deleted = "deleted",
        /// It is no longer in the state.
        Lost = "lost",
    }
}

/// What is known of a stage's drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageDrift {
    /// The stage.
    pub stage: String,
    /// How often it is looked at by itself; null: it is not.
    pub every: Option<String>,
    /// What is known, over all its states.
    pub standing: DriftStanding,
    /// The same in one sentence.
    pub message: String,
    /// When the last look ended.
    pub looked_at: Option<Timestamp>,
    /// When it is looked at next, by what is known.
    pub next_look_at: Option<Timestamp>,
    /// Whether a look that somebody asked for is still to come.
    pub asked: bool,
    /// The promotion that a look waits for.
    pub waits_for: Option<String>,
    /// Its infra states.
    pub states: Vec<StateDrift>,
}

/// What is known of the drift of one infra state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateDrift {
    /// Its name inside the stage.
    pub state: String,
    /// Its workspace.
    pub workspace: String,
    /// The module's directory.
    pub dir: String,
    /// The promotion that applied it last.
    pub promotion: String,
    /// The step that did.
    pub step: String,
    /// What is known.
    pub standing: DriftStanding,
    /// Why it is not known; else null.
    pub why: Option<String>,
    /// What differs, by address.
    pub resources: Vec<DriftedResource>,
    /// Outputs that are other ones with it.
    pub outputs: Vec<String>,
}

/// A resource instance that is not as the last promotion left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftedResource {
    /// Where.
    pub address: String,
    /// What happened.
    pub action: DriftAction,
    /// The attributes that are other ones.
    pub attributes: Vec<DriftedAttribute>,
    /// Whether the configuration says anything of what differs; else only the provider does.
    pub configured: bool,
}

/// An attribute that is another one; values are JSON, shortened, and masked where they are sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftedAttribute {
    /// Its name.
    pub name: String,
    /// Its value in the state.
    pub before: String,
    /// Its value outside.
    pub after: String,
}

/// What the last look at a stage found, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftOutline {
    /// What is known.
    pub standing: DriftStanding,
    /// The same in one sentence.
    pub message: String,
    /// When the last look ended.
    pub looked_at: Option<Timestamp>,
}
