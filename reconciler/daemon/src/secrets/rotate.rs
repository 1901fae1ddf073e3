//! `lockstepd rotate-key`: a new key for all stored secrets, while no daemon runs.
//!
//! The file holds both keys while the secrets are sealed anew, so that a run that is cut off at any
//! point leaves nothing that does not open; the next one ends what it began.

use std::path::Path;

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
    /// One secret does not open.
    #[error("credential {credential}: {source}; the old keys are kept")]
    Unopened {
        /// Project and name.
        credential: String,
        /// Why.
        source: KeyringError,
    },
}

/// Seals every stored secret under a new key and forgets the old ones. The number of credentials.
///
/// # Errors
/// A daemon runs, or a secret does not open; the old keys stay then.
pub(crate) async fn rotate(database: &Path, key_file: &Path) -> Result<usize, RotateError> {
    let store = Store::open(database).await?;
    let keyring = Keyring::open(key_file)?.with(make_key()?);
    keyring.save(key_file)?;
    let resealed = reseal(&store, &keyring).await;
    store.close().await;
    let count = resealed?;
    keyring.newest_alone().save(key_file)?;
    Ok(count)
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
