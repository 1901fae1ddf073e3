//! Why a definition was not written, deleted or renamed.

use jiff::Timestamp;
use reconciler_domain::id::Principal;

use crate::counter::DefinitionsRevision;
use crate::error::StoreError;

/// Why a definition was not written.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Its project does not exist.
    #[error("there is no project {project}; make it first")]
    NoProject {
        /// The project.
        project: String,
    },
    /// A certain generation was to be replaced, but there is none.
    #[error("there is no {what} {name} to change; it was deleted meanwhile")]
    NotFound {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// It was to be made, but is there.
    #[error("{what} {name} exists already")]
    AlreadyExists {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Someone changed it meanwhile.
    #[error("{what} {name} was changed by {changed_by} at {changed_at} (generation {generation})")]
    Conflict {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
        /// The generation that is there.
        generation: u64,
        /// Who changed it.
        changed_by: Principal,
        /// When.
        changed_at: Timestamp,
    },
    /// The project changed since the definition was checked.
    #[error("the project changed meanwhile (revision {revision}); check again")]
    Moved {
        /// The present revision of the definitions.
        revision: DefinitionsRevision,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a definition was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// It is not there.
    #[error("there is no {what} {name}")]
    NotFound {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Someone changed it meanwhile.
    #[error("{what} {name} was changed by {changed_by} at {changed_at} (generation {generation})")]
    Conflict {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
        /// The generation that is there.
        generation: u64,
        /// Who changed it.
        changed_by: Principal,
        /// When.
        changed_at: Timestamp,
    },
    /// It is protected from that.
    #[error("{what} {name} is protected from deletion, as {changed_by} defined it at {changed_at}")]
    Protected {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
        /// Who defined it last.
        changed_by: Principal,
        /// When.
        changed_at: Timestamp,
    },
    /// Others need it.
    #[error("{what} {name} is in use by {}; remove or change that first", by.join(", "))]
    InUse {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
        /// Who needs it: `stage dev`, `promotion prod.3`.
        by: Vec<String>,
    },
    /// The project changed since the deletion was checked.
    #[error("the project changed meanwhile (revision {revision}); check again")]
    Moved {
        /// The present revision of the definitions.
        revision: DefinitionsRevision,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not renamed.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// It is not there.
    #[error("there is no {what} {name}")]
    NotFound {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The new name is taken.
    #[error("{what} {name} exists already")]
    AlreadyExists {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Someone changed it meanwhile.
    #[error("{what} {name} was changed by {changed_by} at {changed_at} (generation {generation})")]
    Conflict {
        /// The kind.
        what: &'static str,
        /// The name.
        name: String,
        /// The generation that is there.
        generation: u64,
        /// Who changed it.
        changed_by: Principal,
        /// When.
        changed_at: Timestamp,
    },
    /// The project changed since the change was checked.
    #[error("the project changed meanwhile (revision {revision}); check again")]
    Moved {
        /// The present revision of the definitions.
        revision: DefinitionsRevision,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A precondition that does not hold, whatever was to be done.
pub(crate) enum Refused {
    NotFound,
    Conflict { generation: u64, changed_by: Principal, changed_at: Timestamp },
    Moved { revision: DefinitionsRevision },
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refused {
    pub(crate) fn put(self, what: &'static str, name: String) -> PutError {
        match self {
            Self::NotFound => PutError::NotFound { what, name },
            Self::Conflict { generation, changed_by, changed_at } => {
                PutError::Conflict { what, name, generation, changed_by, changed_at }
            }
            Self::Moved { revision } => PutError::Moved { revision },
            Self::Store(error) => PutError::Store(error),
        }
    }

    pub(crate) fn delete(self, what: &'static str, name: String) -> DeleteError {
        match self {
            Self::NotFound => DeleteError::NotFound { what, name },
            Self::Conflict { generation, changed_by, changed_at } => {
                DeleteError::Conflict { what, name, generation, changed_by, changed_at }
            }
            Self::Moved { revision } => DeleteError::Moved { revision },
            Self::Store(error) => DeleteError::Store(error),
        }
    }

    pub(crate) fn rename(self, what: &'static str, name: String) -> RenameError {
        match self {
            Self::NotFound => RenameError::NotFound { what, name },
            Self::Conflict { generation, changed_by, changed_at } => {
                RenameError::Conflict { what, name, generation, changed_by, changed_at }
            }
            Self::Moved { revision } => RenameError::Moved { revision },
            Self::Store(error) => RenameError::Store(error),
        }
    }
}
