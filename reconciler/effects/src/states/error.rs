//! Why something about a state cannot be done.

use super::StateLock;
use crate::workdir::WorkdirError;

/// Why something about a state cannot be done. No message says anything of what is in one.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file cannot be used.
    #[error("the files of the states cannot be used: {0}")]
    Files(#[from] WorkdirError),
    /// It is no state.
    #[error(
        "what is there of {name} is no state of OpenTofu or Terraform ({source}): restore an older version"
    )]
    NoState {
        /// Which.
        name: String,
        /// Where it is not.
        source: serde_json::Error,
    },
    /// It is larger than a state may be.
    #[error(
        "the state of {name} is larger than {limit_bytes} bytes: raise `state_limit_mib` in [states], or split it"
    )]
    TooLarge {
        /// Which.
        name: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// It was there, and is not.
    #[error(
        "the state of {name} is gone: its file is missing or empty, and version {number} (serial {serial}) of it \
         is kept. Whoever plans without it makes everything anew: restore that version"
    )]
    Gone {
        /// Which.
        name: String,
        /// The newest version.
        number: u64,
        /// Its serial.
        serial: u64,
    },
    /// A run has emptied it, and writes it.
    #[error("the state of {name} is empty, because a run is writing it: read it again")]
    Unsettled {
        /// Which.
        name: String,
    },
    /// Somebody else has the lock.
    #[error(
        "the state of {name} is locked by {} ({}), since {}: {advice}",
        held.who, held.operation, held.since.strftime("%Y-%m-%dT%H:%M:%SZ")
    )]
    Locked {
        /// Which.
        name: String,
        /// What to do.
        advice: String,
        /// By whom.
        held: Box<StateLock>,
    },
    /// Nobody has it.
    #[error("the state of {name} is not locked")]
    NotLocked {
        /// Which.
        name: String,
    },
    /// The lock that a writer had is not there any more.
    #[error(
        "the lock of the state of {name} was taken away, so nothing is written: look who wrote since, and plan again"
    )]
    LockLost {
        /// Which.
        name: String,
    },
    /// What is to be written does not carry on what is there.
    #[error(
        "the state of {name} is at serial {serial} of lineage {lineage}, and {what}: nothing is written; {advice}"
    )]
    NoSuccessor {
        /// Which.
        name: String,
        /// Of what is there.
        serial: u64,
        /// Of what is there.
        lineage: String,
        /// What was sent.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Its lock cannot be read.
    #[error(
        "the lock of the state of {name} is damaged ({source}): remove its file `lock` in the tree of versions"
    )]
    Damaged {
        /// Which.
        name: String,
        /// Where.
        source: serde_json::Error,
    },
    /// There is no such version.
    #[error("the state of {name} has no version {number}")]
    NoVersion {
        /// Which.
        name: String,
        /// The version.
        number: u64,
    },
    /// A version does not open.
    #[error("version {number} of the state of {name} does not open: {reason}")]
    Closed {
        /// Which.
        name: String,
        /// The version.
        number: u64,
        /// Why.
        reason: String,
    },
    /// A version cannot be sealed.
    #[error("the state of {name} cannot be sealed, so no version of it is kept: {reason}")]
    Unsealed {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
}
