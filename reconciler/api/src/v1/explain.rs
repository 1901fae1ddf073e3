//! Why a stage does or does not get freight.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ActivePromotion, CurrentFreight, Gate, Mode, StageFreeze, StageHold, Verdict, Waiting,
};

/// Why a stage does or does not get freight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explain {
    /// The stage.
    pub stage: String,
    /// Every policy that selects it, sorted by name.
    pub policies: Vec<ExplainedPolicy>,
    /// The mode that comes out of them; `manual` without any.
    pub mode: Mode,
    /// The freight that it holds, by warehouse.
    pub current: BTreeMap<String, CurrentFreight>,
    /// What stops promotions here, whatever the freight: the automatic hold first, then the others
    /// by name.
    pub holds: Vec<StageHold>,
    /// The freezes that run and are about promotions to it, by name.
    #[serde(default)]
    pub freezes: Vec<StageFreeze>,
    /// The promotion that is on its way, if any.
    pub promotion: Option<ActivePromotion>,
    /// The freight that could come next, newest first.
    pub candidates: Vec<Candidate>,
    /// What does not move, why, and until when.
    pub waiting: Vec<Waiting>,
    /// When the daemon looks again by itself.
    pub next_wake: Option<Timestamp>,
}

/// What one policy says of a stage's first candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedPolicy {
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: Mode,
    /// What its gates say together; unknown if there is no candidate.
    pub verdict: Verdict,
}

/// A freight that could come next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Its id.
    pub freight: String,
    /// The warehouse that made it.
    pub warehouse: String,
    /// Whether it is available to the stage.
    pub available: bool,
    /// What each gate says of it.
    pub gates: Vec<Gate>,
    /// The promotion that brings it, if there is one.
    pub promotion: Option<String>,
    /// Until when that promotion waits at most, before it commits or before it is undone; null if it waits for
    /// neither.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
    /// Why automation does not take it although it is available; null if it would.
    pub passed_over: Option<String>,
}
