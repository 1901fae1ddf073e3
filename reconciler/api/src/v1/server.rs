//! What the daemon says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerVersion {
    /// Its version, such as `0.1.0`.
    pub version: String,
    /// The versions of the API that it speaks, such as `v1`.
    pub api: Vec<String>,
}

/// Whether the daemon can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
}

wire_enum! {
    /// Whether the daemon can serve.
    HealthStatus {
        /// It can.
        Ok = "ok",
    }
}
