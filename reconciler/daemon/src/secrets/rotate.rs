//! `lockstepd rotate-key`: a new key for all stored secrets all versions of states and all stored plans, while no daemon runs.
//!
//! The file holds both keys while the secrets are sealed anew, so that a run that is cut off at any
//! point leaves nothing that does not open; the next one ends what it began.

use std::path::Path;
use std::sync::Arc;

use reconciler_effects::reseal_plans;
use reconciler_effects::states::{Kept, StateError, States};
use reconciler_effects::workdir::WorkdirError;
use reconciler_store::{SealedCredential, Store};

use super::keyring::{Keyring, KeyringError, make_key};

/// Why the key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The database cannot be opened; a running daemon has it.
    #[error(transparent)]
    Store(#[from] reconciler_store::OpenError),
    /// The database failed.
    #[error(transparent)]
    StoreOperation(#[from] reconciler_store::StoreError),
    /// The key file cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The versions of states cannot be used.
    #[error("{0}; the old keys are kept")]
    Files(#[from] WorkdirError),
    /// The version of a state cannot be sealed anew.
    #[error("{0}; the old keys are kept")]
    State(#[from] StateError),
    /// A stored plan cannot be sealed anew.
    #[error("{0}; the old keys are kept")]
    Plans(#[source] std::io::Error),
    /// One secret does not open.
    #[error("credential {credential}: {source}; the old keys are kept")]
    Unopened {
        /// Project and name.
        credential: String,
        /// Why.
        source: KeyringError,
    },
}

/// What was sealed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Credentials.
    pub credentials: usize,
    /// Versions of states.
    pub versions: usize,
    /// Stored plans.
    pub plans: usize,
}

/// Seals every stored secret, version of a state and stored plan under a new key and forgets the old ones.
///
/// # Errors
/// A daemon runs, or something does not open; the old keys stay then.
pub(crate) async fn rotate(
    database: &Path,
    data_dir: &Path,
    key_file: &Path,
) -> Result<Rotated, RotateError> {
    let store = Store::open(database).await?;
    let keyring = Arc::new(Keyring::open(key_file)?.with(make_key()?));
    keyring.save(key_file)?;
    let resealed = reseal(&store, &keyring).await;
    // The store is held meanwhile, so that no daemon begins.
    let versions = reseal_states(data_dir, &keyring);
    let plans = reseal_plans(data_dir, keyring.as_ref()).map_err(RotateError::Plans);
    store.close().await;
    let rotated = Rotated { credentials: resealed?, versions: versions?, plans: plans? };
    keyring.newest_alone().save(key_file)?;
    Ok(rotated)
}

fn reseal_states(data_dir: &Path, keyring: &Arc<Keyring>) -> Result<usize, RotateError> {
    let limits = Kept { state_bytes: u64::MAX >> 1, ..Kept::default() };
    Ok(States::open(data_dir, keyring.clone(), limits)?.reseal()?)
}

async fn reseal(store: &Store, keyring: &Keyring) -> Result<usize, RotateError> {
    let mut resealed = Vec::new();
    for SealedCredential { project, credential, sealed } in store.all_sealed_credentials().await? {
        let Some(sealed) = sealed else { continue };
        let unopened = |source| RotateError::Unopened {
            credential: format!("{project}/{}", credential.name),
            source,
        };
        let values = keyring.open_sealed(&project, &credential, &sealed).map_err(unopened)?;
        let sealed = keyring.seal(&project, &credential, &values)?;
        resealed.push((project, credential.name, sealed));
    }
    let count = resealed.len();
    store.reseal(resealed).await?;
    Ok(count)
}
