//! What steps write into the daemon's own store: metadata, aliases of freight, events of the ledger.
//!
//! Nobody carries such a call out. What it changes is decided from the snapshot, and the outcome that says so
//! is written in one transaction with the change itself: it is there once, or not at all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::Alias;

/// Something to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "keep")]
pub enum KeepCall {
    /// `set_metadata`.
    Metadata(MetadataCall),
    /// `set_alias`, of the promoted freight.
    Alias {
        /// The alias.
        alias: Alias,
    },
    /// `audit_event`.
    Audit(AuditCall),
    /// The undo of the first two.
    PutBack {
        /// What they changed.
        changes: Vec<KeptChange>,
    },
}

/// Values by key; null takes one away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataCall {
    /// Of the stage.
    pub stage: Map<String, Value>,
    /// Of the promoted freight.
    pub freight: Map<String, Value>,
}

/// An event of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditCall {
    /// What happened, in words.
    pub message: String,
    /// What belongs to it.
    pub fields: Map<String, Value>,
}

/// What a call wrote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What is another than before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<KeptChange>,
    /// What is added to the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditCall>,
}

/// One thing that is another than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptChange {
    /// What.
    pub at: KeptAt,
    /// What was there; absent: nothing.
    pub before: Option<Value>,
    /// What is there now; absent: nothing.
    pub after: Option<Value>,
}

/// Something that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptAt {
    /// The metadata of the stage, by key.
    Stage(String),
    /// The metadata of the promoted freight, by key.
    Freight(String),
    /// The id of the freight that has this alias.
    Alias(Alias),
}

impl KeepCall {
    /// The aliases that it reads or writes.
    pub fn aliases(&self) -> impl Iterator<Item = &Alias> {
        let (own, changes) = match self {
            Self::Alias { alias } => (Some(alias), &[][..]),
            Self::PutBack { changes } => (None, changes.as_slice()),
            Self::Metadata(_) | Self::Audit(_) => (None, &[][..]),
        };
        own.into_iter().chain(changes.iter().filter_map(|change| match &change.at {
            KeptAt::Alias(alias) => Some(alias),
            KeptAt::Stage(_) | KeptAt::Freight(_) => None,
        }))
    }
}

impl Kept {
    /// What stays changed, in words; absent: nothing.
    #[must_use]
    pub fn remains(&self) -> Option<String> {
        let what: Vec<String> = self.changes.iter().map(|change| change.at.describe()).collect();
        (!what.is_empty()).then(|| format!("set {}", what.join(", ")))
    }
}

impl KeptAt {
    /// What it is, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Stage(key) => format!("stage.metadata.{key}"),
            Self::Freight(key) => format!("freight_metadata.{key}"),
            Self::Alias(alias) => format!("alias {alias}"),
        }
    }
}
