//! What a state is the result of: what the last plan that it agrees with was made of.

use jiff::Timestamp;
use reconciler_domain::id::{PromotionId, StepName};
use serde::{Deserialize, Serialize};

use super::{StateError, StateName, States, sha256, version};
use crate::workdir::WorkdirError;

/// What was known of a state when a plan of it was applied, or had nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Names all that the plan was made of.
    pub(crate) inputs: String,
    /// SHA-256 of the state as that left it.
    pub(crate) sha256: String,
    /// The promotion.
    pub(crate) promotion: PromotionId,
    /// The step.
    pub(crate) step: StepName,
    /// When.
    pub(crate) at: Timestamp,
}

/// Who made a state what it is.
pub(crate) struct By<'a> {
    /// Names all that its plan was made of.
    pub(crate) inputs: &'a str,
    pub(crate) promotion: &'a PromotionId,
    pub(crate) step: &'a StepName,
    pub(crate) at: Timestamp,
}

impl States {
    /// Notes what the state that is there is the result of. Whoever has its lock, by this id, says so.
    ///
    /// # Errors
    /// It cannot be read or written, or somebody else has the lock.
    pub(crate) fn note(&self, own: &str, name: &StateName, by: &By<'_>) -> Result<(), StateError> {
        let _turn = self.turn();
        if let Some(held) = self.holder(name)?.filter(|held| held.id != own) {
            return Err(super::lock::locked(name, held));
        }
        let Some(state) = self.read(name)? else { return Ok(()) };
        let known = Known {
            inputs: by.inputs.to_owned(),
            sha256: sha256(&state),
            promotion: by.promotion.clone(),
            step: by.step.clone(),
            at: by.at,
        };
        let known = serde_json::to_vec(&known).expect("it is plain data");
        Ok(self.inner.versions.write(&name.known(), &known)?)
    }

    /// Forgets what the state is the result of, before something changes it. Whoever has its lock, by this id, says so.
    ///
    /// # Errors
    /// It cannot be removed, or somebody else has the lock.
    pub(crate) fn forget(&self, own: &str, name: &StateName) -> Result<(), StateError> {
        let _turn = self.turn();
        if let Some(held) = self.holder(name)?.filter(|held| held.id != own) {
            return Err(super::lock::locked(name, held));
        }
        Ok(self.inner.versions.remove(&name.known())?)
    }

    /// What a state is the result of, and the state itself; none: nobody knows, or it was written since.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn known(&self, name: &StateName) -> Result<Option<(Known, Vec<u8>)>, StateError> {
        let _turn = self.turn();
        let known = match self.inner.versions.read(&name.known(), version::HEADER_MAX) {
            Err(WorkdirError::NotFound { .. }) => return Ok(None),
            read => read?,
        };
        let Ok(known) = serde_json::from_slice::<Known>(&known) else { return Ok(None) };
        let state = self.read(name)?.filter(|state| sha256(state) == known.sha256);
        Ok(state.map(|state| (known, state)))
    }
}
