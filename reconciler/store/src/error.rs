//! What can go wrong in any operation, whatever it is about.

/// A stored row that cannot be read any more.
///
/// It concerns the named object alone: whoever reads several objects gets the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored {what} cannot be read: {reason}; write it anew or restore a backup")]
pub struct Unreadable {
    /// Which object: `stage shop/prod`.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Unreadable {
    pub(crate) fn new(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { what: what.into(), reason: reason.to_string() }
    }
}

/// Why an operation failed that was in order itself.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row that the operation needs cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The database refused or failed; nothing of the operation was written.
    #[error("the database failed: {source}; check free space and the health of its disk")]
    Database {
        /// What the database said.
        #[from]
        source: rusqlite::Error,
    },
    /// The transaction of this operation and its neighbours was not committed; nothing was written.
    #[error("nothing was written because the transaction failed: {reason}; try again")]
    NotCommitted {
        /// What the database said.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The operation was cut off; whether it wrote is unknown until it is looked up.
    #[error("the operation was cut off inside the store; look before trying again")]
    Interrupted,
}
