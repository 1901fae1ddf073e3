//! The keys that seal secrets, and the file that holds them.
//!
//! One key a line, its id and 32 bytes in base64; the last one seals, all of them open.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler_domain::credential::Credential;
use reconciler_domain::id::ProjectName;
use reconciler_effects::states::{SealedState, Sealing};
use reconciler_store::Sealed;

use crate::service::write_private;

/// What is sealed: secrets by key.
pub(crate) type Values = BTreeMap<String, String>;

/// Why secrets cannot be sealed or opened, or the keys not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be used.
    #[error("the key file {path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("the key file {path} can be read by others: chmod 600 it")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A line of the file is no key.
    #[error("the key file {path} is damaged at line {line}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The secrets were sealed under a key that is not in the file.
    #[error(
        "it was sealed under key {id}, which is not in the key file; restore that file, or give the secret again"
    )]
    UnknownKey {
        /// The key.
        id: String,
    },
    /// They do not open.
    #[error(
        "what is stored does not open: it was changed, or belongs to another credential; give the secret again"
    )]
    Closed,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// One key.
#[derive(Clone)]
pub(crate) struct Key {
    id: String,
    bytes: [u8; 32],
}

/// The keys, the newest last.
pub(crate) struct Keyring {
    keys: Vec<Key>,
}

/// A new key.
///
/// # Errors
/// The system gives no random numbers.
pub(crate) fn make_key() -> Result<Key, KeyringError> {
    let (mut id, mut bytes) = ([0_u8; 4], [0_u8; 32]);
    let random = SystemRandom::new();
    random
        .fill(&mut id)
        .and_then(|()| random.fill(&mut bytes))
        .map_err(|_| KeyringError::Random)?;
    Ok(Key { id: id.iter().map(|byte| format!("{byte:02x}")).collect(), bytes })
}

/// The text of a file that holds keys, one a line; `None`: there is no file.
///
/// # Errors
/// It cannot be read, or others can read it, too.
pub(super) fn read_key_file(path: &Path) -> Result<Option<String>, KeyringError> {
    let file = |source| KeyringError::File { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            Err(KeyringError::Open { path: path.to_owned() })
        }
        Ok(_) => fs::read_to_string(path).map(Some).map_err(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(error)),
    }
}

impl Keyring {
    /// Reads the keys; where there is no file yet, makes one with a new key.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, KeyringError> {
        let Some(text) = read_key_file(path)? else {
            let made = Self { keys: vec![make_key()?] };
            made.save(path)?;
            return Ok(made);
        };
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let damaged = || KeyringError::Damaged { path: path.to_owned(), line };
            keys.push(Key::parse(text).ok_or_else(damaged)?);
        }
        if keys.is_empty() {
            return Err(KeyringError::Damaged { path: path.to_owned(), line: 1 });
        }
        Ok(Self { keys })
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> Result<(), KeyringError> {
        let lines =
            self.keys.iter().map(|key| format!("{} {}\n", key.id, STANDARD.encode(key.bytes)));
        let text: String = lines.collect();
        write_private(path, text.as_bytes())
            .map_err(|source| KeyringError::File { path: path.to_owned(), source })
    }

    /// The same keys and a new one that seals from now on.
    pub(crate) fn with(&self, key: Key) -> Self {
        let mut keys = self.keys.clone();
        keys.push(key);
        Self { keys }
    }

    /// The newest key alone.
    pub(crate) fn newest_alone(&self) -> Self {
        Self { keys: self.keys.last().cloned().into_iter().collect() }
    }

    /// Seals the secrets of a credential.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn seal(
        &self,
        project: &ProjectName,
        credential: &Credential,
        values: &Values,
    ) -> Result<Sealed, KeyringError> {
        let bytes = serde_json::to_vec(values).map_err(|_| KeyringError::Random)?;
        let (key_id, bytes) = self.seal_bytes(&binding(project, credential), bytes)?;
        Ok(Sealed { key_id, bytes })
    }

    /// Opens the secrets of a credential.
    ///
    /// # Errors
    /// The key is gone, or they are not what was sealed for this credential.
    pub(crate) fn open_sealed(
        &self,
        project: &ProjectName,
        credential: &Credential,
        sealed: &Sealed,
    ) -> Result<Values, KeyringError> {
        let bound = binding(project, credential);
        let opened = self.open_bytes(&bound, &sealed.key_id, &sealed.bytes)?;
        serde_json::from_slice(&opened).map_err(|_| KeyringError::Closed)
    }

    /// Seals under the newest key; which that is, and the nonce with what is sealed.
    fn seal_bytes(
        &self,
        bound: &[u8],
        mut bytes: Vec<u8>,
    ) -> Result<(String, Vec<u8>), KeyringError> {
        let key = self.keys.last().ok_or(KeyringError::Random)?;
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, &key.bytes);
        let sealing = sealing.map_err(|_| KeyringError::Random)?;
        let nonce = sealing.seal_in_place_append_tag(Aad::from(bound), &mut bytes);
        let nonce = nonce.map_err(|_| KeyringError::Random)?;
        Ok((key.id.clone(), [nonce.as_ref().as_slice(), &bytes].concat()))
    }

    fn open_bytes(
        &self,
        bound: &[u8],
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let unknown = || KeyringError::UnknownKey { id: key_id.to_owned() };
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or_else(unknown)?;
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(KeyringError::Closed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyringError::Closed)?;
        let opening = RandomizedNonceKey::new(&AES_256_GCM, &key.bytes);
        let opening = opening.map_err(|_| KeyringError::Closed)?;
        let mut rest = rest.to_vec();
        let opened = opening.open_in_place(nonce, Aad::from(bound), &mut rest);
        opened.map(|opened| opened.to_vec()).map_err(|_| KeyringError::Closed)
    }
}

impl Sealing for Keyring {
    fn seal(&self, bound: &[u8], open: &[u8]) -> Result<SealedState, String> {
        let sealed = self.seal_bytes(bound, open.to_vec());
        let (key, bytes) = sealed.map_err(|error| error.to_string())?;
        Ok(SealedState { key, bytes })
    }

    fn open(&self, bound: &[u8], sealed: &SealedState) -> Result<Vec<u8>, String> {
        self.open_bytes(bound, &sealed.key, &sealed.bytes).map_err(|error| match error {
            KeyringError::UnknownKey { id } => {
                format!(
                    "it was sealed under key {id}, which is not in the key file; restore that file"
                )
            }
            KeyringError::Closed => {
                "it was changed, or belongs to another state; restore it from a backup".to_owned()
            }
            KeyringError::File { .. }
            | KeyringError::Open { .. }
            | KeyringError::Damaged { .. }
            | KeyringError::Random => error.to_string(),
        })
    }
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let (id, bytes) = line.split_once(' ')?;
        let bytes = STANDARD.decode(bytes.trim()).ok()?.try_into().ok()?;
        (!id.is_empty()).then(|| Self { id: id.to_owned(), bytes })
    }
}

/// What the secrets of a credential are for; no two credentials have the same.
fn binding(project: &ProjectName, credential: &Credential) -> Vec<u8> {
    let Credential { name, kind, address, username, .. } = credential;
    let parts = ("lockstep credential 1", project, name, kind, address, username);
    serde_json::to_vec(&parts).expect("names and texts are JSON")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use reconciler_domain::credential::CredentialKind;

    use super::*;

    fn credential() -> Credential {
        Credential {
            name: "git".parse().unwrap(),
            description: String::new(),
            kind: CredentialKind::Git,
            address: Some("https://git.example.com/team".parse().unwrap()),
            username: Some("ci".to_owned()),
            version: None,
            secrets: BTreeMap::new(),
        }
    }

    fn values() -> Values {
        [("password".to_owned(), "hunter2-hunter2".to_owned())].into()
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_credential_only() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(&dir.path().join("secret.key")).unwrap();
        let (shop, other): (ProjectName, ProjectName) =
            ("shop".parse().unwrap(), "other".parse().unwrap());
        let sealed = keyring.seal(&shop, &credential(), &values()).unwrap();
        assert!(!String::from_utf8_lossy(&sealed.bytes).contains("hunter2"));
        assert_eq!(keyring.open_sealed(&shop, &credential(), &sealed).unwrap(), values());
        let closed = |project: &ProjectName, credential: &Credential, sealed: &Sealed| {
            let error = keyring.open_sealed(project, credential, sealed).unwrap_err();
            assert!(matches!(error, KeyringError::Closed), "{error}");
        };
        closed(&other, &credential(), &sealed);
        closed(&shop, &Credential { name: "git2".parse().unwrap(), ..credential() }, &sealed);
        let elsewhere = Some("https://evil.example.com".parse().unwrap());
        closed(&shop, &Credential { address: elsewhere, ..credential() }, &sealed);
        for at in [0, NONCE_LEN, sealed.bytes.len() - 1] {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            closed(&shop, &credential(), &changed);
        }
        closed(&shop, &credential(), &Sealed { bytes: vec![1], ..sealed.clone() });
        let mut state = Sealing::seal(&keyring, b"a", b"{}").unwrap();
        assert_eq!(Sealing::open(&keyring, b"a", &state).unwrap(), b"{}");
        assert!(Sealing::open(&keyring, b"b", &state).unwrap_err().contains("another state"));
        state.key = "0".to_owned();
        assert!(Sealing::open(&keyring, b"a", &state).unwrap_err().contains("key 0"));
        let again = keyring.seal(&shop, &credential(), &values()).unwrap();
        assert_ne!(again.bytes, sealed.bytes, "each time under another nonce");
    }

    #[test]
    fn the_file_is_made_once_and_read_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.key");
        let project = "shop".parse().unwrap();
        let sealed =
            Keyring::open(&path).unwrap().seal(&project, &credential(), &values()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Keyring::open(&path).unwrap();
        assert_eq!(again.open_sealed(&project, &credential(), &sealed).unwrap(), values());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keyring::open(&path), Err(KeyringError::Open { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "abc def\n").unwrap();
        assert!(matches!(Keyring::open(&path), Err(KeyringError::Damaged { line: 1, .. })));
    }

    #[test]
    fn an_old_key_opens_and_a_new_one_seals() {
        let dir = tempfile::tempdir().unwrap();
        let old = Keyring::open(&dir.path().join("secret.key")).unwrap();
        let project = "shop".parse().unwrap();
        let sealed = old.seal(&project, &credential(), &values()).unwrap();
        let both = old.with(make_key().unwrap());
        assert_eq!(both.open_sealed(&project, &credential(), &sealed).unwrap(), values());
        let anew = both.seal(&project, &credential(), &values()).unwrap();
        assert_ne!(anew.key_id, sealed.key_id);
        let alone = both.newest_alone();
        assert_eq!(alone.open_sealed(&project, &credential(), &anew).unwrap(), values());
        let error = alone.open_sealed(&project, &credential(), &sealed).unwrap_err();
        assert!(matches!(error, KeyringError::UnknownKey { .. }), "{error}");
    }
}
