//! Gates and their verdicts, and why something waits.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

wire_enum! {
    /// What a gate says.
    Verdict {
        /// The freight may pass.
        Pass = "pass",
        /// The freight may not pass.
        Fail = "fail",
        /// Something needed is missing; it never promotes.
        Unknown = "unknown",
    }
}

wire_enum! {
    /// The kinds of gates.
    GateKind {
        /// The freight is verified upstream, direct, or approved for the stage.
        Upstream = "upstream",
        /// The freight was verified upstream long enough ago.
        Soak = "soak",
        /// The freight is not too old.
        Age = "age",
        /// What the policies ask of the freight holds.
        Condition = "condition",
        /// It is the time for it.
        Window = "window",
        /// Not too many promotions happen.
        Rate = "rate",
        /// It is approved elsewhere.
        Ticket = "ticket",
        /// What has to be said of what is promoted was said.
        Attestation = "attestation",
        /// Enough people approved.
        Approvals = "approvals",
        /// The infra plans keep the policy's rules.
        Infra = "infra",
        /// Nothing has drifted that the infra plans touch.
        Drift = "drift",
        /// The policies let automation start promotions.
        Mode = "mode",
        /// Nothing holds the stage or the freight.
        Hold = "hold",
        /// The project is not frozen.
        Freeze = "freeze",
    }
}

wire_enum! {
    /// The gates that a bypass may skip.
    BypassGate {
        /// The soak time.
        Soak = "soak",
        /// The maximum age.
        Age = "age",
        /// The conditions.
        Condition = "condition",
        /// The windows.
        Window = "window",
        /// The rates.
        Rate = "rate",
        /// The tickets.
        Ticket = "ticket",
        /// The attestations.
        Attestation = "attestation",
        /// The approvals.
        Approvals = "approvals",
        /// The infra rules.
        Infra = "infra",
        /// Drift.
        Drift = "drift",
        /// The verification upstream.
        Upstream = "upstream",
    }
}

/// One gate's verdict on one freight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Which gate.
    pub gate: GateKind,
    /// The policy that holds it; null for gates that need no policy.
    pub policy: Option<String>,
    /// What it says.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub message: String,
    /// When the verdict changes by time alone, if it does.
    pub until: Option<Timestamp>,
    /// Whether the promotion skips it.
    #[serde(default)]
    pub bypassed: bool,
}

/// Why something does not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// What waits, such as `stage/prod` or `promotion/prod.12`.
    pub subject: String,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, in one sentence.
    pub message: String,
    /// Until when at the latest, if time alone ends it.
    pub until: Option<Timestamp>,
}
