//! What a client does with embedded states.

use serde_json::value::RawValue;

use super::{Call, Client, ClientError};
use crate::v1::{EmbeddedState, RestoreState, StateLock, StateQuery, StateVersion, UnlockState};

/// The path of an embedded state, or of what belongs to it.
fn state_path<'a>(of: (&'a str, &'a str, &'a str), rest: &[&'a str]) -> Vec<&'a str> {
    let (project, stage, state) = of;
    let mut path = vec!["v1", "projects", project, "stages", stage, "states", state];
    path.extend(rest);
    path
}

/// Embedded states, each named by project, stage and name.
impl Client {
    /// Lists the states of a project.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such project.
    pub async fn states(&self, project: &str) -> Result<Vec<EmbeddedState>, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "states"])).await
    }

    /// Reads a state as it is, or a version of it.
    ///
    /// # Errors
    ///
    /// `not_found`, `forbidden`, `state_conflict` if it is gone.
    pub async fn state(
        &self,
        of: (&str, &str, &str),
        query: &StateQuery,
        version: Option<u64>,
    ) -> Result<Box<RawValue>, ClientError> {
        let number = version.map(|version| version.to_string());
        let path = match &number {
            Some(number) => state_path(of, &["versions", number]),
            None => state_path(of, &[]),
        };
        self.answer(Call::get(&path).query(query)).await
    }

    /// Where OpenTofu and Terraform find a state.
    ///
    /// # Errors
    ///
    /// A name that cannot be in an address.
    pub fn state_address(
        &self,
        of: (&str, &str, &str),
        query: &StateQuery,
    ) -> Result<String, ClientError> {
        self.url(&Call::get(&state_path(of, &[])).query(query)).map(String::from)
    }

    /// Lists the versions of a state, oldest first.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such stage.
    pub async fn state_versions(
        &self,
        of: (&str, &str, &str),
        query: &StateQuery,
    ) -> Result<Vec<StateVersion>, ClientError> {
        self.answer(Call::get(&state_path(of, &["versions"])).query(query)).await
    }

    /// Makes an older version the state.
    ///
    /// # Errors
    ///
    /// `state_locked`, `not_found`, `forbidden`, `invalid` without a reason.
    pub async fn restore_state(
        &self,
        of: (&str, &str, &str),
        query: &StateQuery,
        restore: &RestoreState,
    ) -> Result<StateVersion, ClientError> {
        self.answer(Call::post(&state_path(of, &["restore"])).query(query).body(restore)).await
    }

    /// Takes away the lock of a client that is gone.
    ///
    /// # Errors
    ///
    /// `state_locked` if it is another lock, or one of a run; `state_conflict` if there is none.
    pub async fn unlock_state(
        &self,
        of: (&str, &str, &str),
        query: &StateQuery,
        unlock: &UnlockState,
    ) -> Result<StateLock, ClientError> {
        self.answer(Call::post(&state_path(of, &["unlock"])).query(query).body(unlock)).await
    }
}
