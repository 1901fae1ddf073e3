//! When freight can be in a stage at the earliest.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GateKind;

/// Which freight a forecast is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastQuery {
    /// Its id, or a unique beginning of it.
    pub freight: String,
}

/// When freight can be in a stage at the earliest. Not counted are the time that steps and checks
/// take, newer freight, and what else is promoted meanwhile; needs are taken to be met at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// The id of the freight.
    pub freight: String,
    /// The stage.
    pub stage: String,
    /// The earliest instant; null if the stage vouches for it already, or never will by what is
    /// known.
    pub earliest: Option<Timestamp>,
    /// The stages that decide when, the last one last; each waits for the one before.
    pub path: Vec<ForecastStage>,
}

/// When freight can be in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastStage {
    /// The stage.
    pub stage: String,
    /// Since when the stage vouches for it; null if it does not.
    pub since: Option<Timestamp>,
    /// The earliest instant; null if the stage vouches for it already, or never will by what is
    /// known.
    pub earliest: Option<Timestamp>,
    /// What takes time, in order.
    pub delays: Vec<ForecastDelay>,
    /// What else it takes.
    pub needs: Vec<ForecastNeed>,
}

/// Time that a gate takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastDelay {
    /// Which gate.
    pub gate: GateKind,
    /// The policies that ask for it.
    pub policies: Vec<String>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What it says meanwhile.
    pub message: String,
}

/// What besides time it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastNeed {
    /// The gate that waits for it; null if automation leaves the freight out.
    pub gate: Option<GateKind>,
    /// Of what kind it is.
    pub kind: NeedKind,
    /// What, in one sentence.
    pub message: String,
}

wire_enum! {
    /// A kind of need.
    NeedKind {
        /// A person has to act.
        Person = "person",
        /// Whether it will be so is not known.
        Unknown = "unknown",
        /// It will not be so by what is known.
        Never = "never",
    }
}
