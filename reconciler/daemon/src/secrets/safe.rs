//! Opening what projects hold, for the effects that ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use reconciler_domain::credential::{Credential, Origin};
use reconciler_domain::id::{CredentialName, ProjectName};
use reconciler_effects::git::Secret;
use reconciler_effects::{Held, Holdings};
use reconciler_store::{Sealed, SealedCredential, Store};

use super::keyring::{Keyring, KeyringError, Values};
use super::sources::AllowedSources;

/// Bytes of the shortest secret: shorter ones cannot be told from other text, and so not be hidden.
pub(crate) const LENGTH_MIN: usize = 8;
/// Bytes of the longest secret.
pub(crate) const LENGTH_MAX: usize = 64 * 1024;
/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 8;

/// The secrets of all projects.
pub(crate) struct Safe {
    store: Store,
    keyring: Arc<Keyring>,
    allowed: AllowedSources,
    fingerprints: hmac::Key,
}

impl Safe {
    pub(crate) fn new(
        store: Store,
        keyring: Arc<Keyring>,
        allowed: AllowedSources,
        hash_key: &[u8],
    ) -> Self {
        let fingerprints = hmac::Key::new(hmac::HMAC_SHA256, hash_key);
        Self { store, keyring, allowed, fingerprints }
    }

    /// Where secrets may be read from.
    pub(crate) fn allowed(&self) -> &AllowedSources {
        &self.allowed
    }

    /// What tells one secret from another and says nothing else about it.
    pub(crate) fn fingerprint(
        &self,
        project: &ProjectName,
        credential: &CredentialName,
        key: &str,
        secret: &str,
    ) -> String {
        let text = serde_json::to_vec(&("lockstep secret 1", project, credential, key, secret))
            .expect("names and texts are JSON");
        let tag = hmac::sign(&self.fingerprints, &text);
        let bytes = &tag.as_ref()[..FINGERPRINT_BYTES];
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals secrets for the store.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn seal(
        &self,
        project: &ProjectName,
        credential: &Credential,
        values: &Values,
    ) -> Result<Sealed, KeyringError> {
        self.keyring.seal(project, credential, values)
    }

    fn open(&self, found: SealedCredential) -> Held {
        let SealedCredential { project, credential, sealed } = found;
        let missing = || Err("its secret is not stored; give it again".to_owned());
        let stored = sealed.map_or_else(missing, |sealed| {
            let opened = self.keyring.open_sealed(&project, &credential, &sealed);
            opened.map_err(|error| error.to_string())
        });
        let secrets = credential.secrets.iter().map(|(key, origin)| {
            let secret = match (origin, &stored) {
                (Origin::Stored(_), Ok(values)) => values.get(key).cloned().ok_or_else(|| {
                    format!("there is no secret {key:?} in what is stored; give it again")
                }),
                (Origin::Stored(_), Err(why)) => Err(why.clone()),
                (Origin::Env(_) | Origin::File(_), _) => self.allowed.read(origin),
            };
            (key.clone(), secret.map(Secret::new))
        });
        let secrets: BTreeMap<_, _> = secrets.collect();
        let Credential { name, kind, address, username, .. } = credential;
        Held { name, kind, address, username, secrets }
    }
}

#[async_trait]
impl Holdings for Safe {
    async fn of(&self, project: &ProjectName) -> Result<Vec<Held>, String> {
        let found = self.store.sealed_credentials(project).await;
        let found = found.map_err(|error| format!("credentials cannot be read: {error}"))?;
        for unreadable in &found.unreadable {
            tracing::error!(%unreadable, "a credential is left out");
        }
        Ok(found.items.into_iter().map(|item| self.open(item)).collect())
    }
}
