//! Holds: durable stops.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object};

/// What a client says of a hold. Exactly one of `stage`, `freight` and `artifacts` says what it
/// stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldSpec {
    /// Why; whoever it stops reads it.
    pub reason: String,
    /// Stops every promotion to this stage.
    #[serde(default)]
    pub stage: Option<String>,
    /// Stops every promotion of this freight: its whole id.
    #[serde(default)]
    pub freight: Option<String>,
    /// Stops every promotion of freight with an artifact that matches.
    #[serde(default)]
    pub artifacts: Option<ArtifactSelector>,
    /// When it ends by itself; null if a person must lift it.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// Which artifacts: those that fulfil all of what is given. What an artifact does not have, it does
/// not fulfil: a commit has no digest, and not every tag is a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactSelector {
    /// Found by the subscription of this name, in any warehouse.
    #[serde(default)]
    pub subscription: Option<String>,
    /// Of this repository.
    #[serde(default)]
    pub repo: Option<String>,
    /// An image of this digest, such as `sha256:…`.
    #[serde(default)]
    pub digest: Option<String>,
    /// A version in this range, such as `>=1.4.0 <1.4.3`. A pre-release is in a range only if the
    /// range names one.
    #[serde(default)]
    pub version: Option<String>,
    /// A commit whose id begins so: 7 digits or more.
    #[serde(default)]
    pub commit: Option<String>,
    /// A commit made at this instant or later.
    #[serde(default)]
    pub committed_from: Option<Timestamp>,
    /// A commit made at this instant or earlier.
    #[serde(default)]
    pub committed_until: Option<Timestamp>,
}

/// A durable stop, for automation and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Who and what it is; `changed_by` put it.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: HoldSpec,
    /// What the daemon has seen.
    pub status: HoldStatus,
}

/// What a hold stops now, and what it came too late for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldStatus {
    /// Whether it has not ended by itself.
    pub active: bool,
    /// Where matching freight is already, sorted by stage; a hold does not take it away.
    pub running: Vec<HeldFreight>,
    /// The promotions that it stops from committing, oldest first.
    pub waiting: Vec<String>,
}

/// Freight in a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldFreight {
    /// The stage.
    pub stage: String,
    /// The id of the freight.
    pub freight: String,
}

/// A stop that concerns a stage as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageHold {
    /// The name of the hold; null for the automatic one, which stops automation and no person.
    pub name: Option<String>,
    /// Why.
    pub reason: String,
    /// Who put it.
    pub author: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; null if a person must lift it.
    pub until: Option<Timestamp>,
}

/// Lifts the automatic hold of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftHold {
    /// Why; it is recorded.
    pub reason: String,
}

impl Object for Hold {
    type Spec = HoldSpec;

    const KIND: Kind = Kind::Hold;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
