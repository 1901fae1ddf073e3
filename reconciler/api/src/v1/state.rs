//! Embedded states: of modules without a backend of their own. What is in one is read and written as the tool
//! writes it; everything here is about it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An embedded state that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmbeddedState {
    /// Its stage.
    pub stage: String,
    /// Its name: what the steps give as `state`, by default the module's directory.
    pub name: String,
    /// The workspace.
    pub workspace: String,
    /// Higher with each write; null while a run writes it, or if it is damaged.
    pub serial: Option<u64>,
    /// Given at the state's birth.
    pub lineage: Option<String>,
    /// Managed objects in it.
    pub resources: Option<u64>,
    /// Its size in bytes.
    pub size: u64,
    /// Which version it is; null until it is kept as one.
    pub version: Option<u64>,
    /// When that version was kept.
    pub updated_at: Option<Timestamp>,
    /// Who may write it now; null: whoever locks it first.
    pub lock: Option<StateLock>,
    /// The version that a run could not write, and that does not carry on what is there: for a person to restore,
    /// or to leave.
    pub unwritten: Option<u64>,
}

/// The lock of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateLock {
    /// Names this lock among all.
    pub id: String,
    /// What it is for, as the tools say it, such as `OperationTypeApply`.
    pub operation: String,
    /// Who has it, in the holder's own words.
    pub who: String,
    /// Whose token took it; null: a run of a promotion.
    pub principal: Option<String>,
    /// The promotion whose run has it; null: a client.
    pub promotion: Option<String>,
    /// The step of that promotion.
    pub step: Option<String>,
    /// When it was taken.
    pub since: Timestamp,
}

wire_enum! {
    /// What made a version of a state.
    VersionMaker {
        /// An apply of a promotion.
        Apply = "apply",
        /// An apply that could not write it: it never was the state.
        Unwritten = "unwritten",
        /// It was found to be there.
        Found = "found",
        /// A client, over HTTP.
        Client = "client",
        /// Somebody restored an older version.
        Restore = "restore",
        /// A maker that this client does not know. Never sent.
        #[serde(other)]
        #[schemars(skip)]
        Unknown = "unknown",
    }
}

/// A version of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateVersion {
    /// Counts the versions of one state.
    pub version: u64,
    /// As the state says.
    pub serial: u64,
    /// As the state says.
    pub lineage: String,
    /// Managed objects in it.
    pub resources: u64,
    /// When it was kept.
    pub at: Timestamp,
    /// SHA-256 of the state, in hexadecimal.
    pub sha256: String,
    /// Size of the state in bytes.
    pub size: u64,
    /// What made it.
    pub by: VersionMaker,
    /// The promotion that made it, if one did.
    pub promotion: Option<String>,
    /// Its step.
    pub step: Option<String>,
    /// Who made it, if a client did.
    pub principal: Option<String>,
    /// The version that was restored.
    pub restored: Option<u64>,
    /// Why it was restored.
    pub reason: Option<String>,
}

/// Which workspace of a state is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateQuery {
    /// The workspace; left out: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// The same for a write, with the lock of the writer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateWriteQuery {
    /// The workspace; left out: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The id of the writer's lock; left out: the state is not locked.
    #[serde(default, rename = "ID", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Makes an older version the state that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreState {
    /// Which.
    pub version: u64,
    /// Why; it is recorded.
    pub reason: String,
}

/// Takes away the lock of a client that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnlockState {
    /// The lock, so that no other is taken away.
    pub id: String,
    /// Why; it is recorded.
    pub reason: String,
}
