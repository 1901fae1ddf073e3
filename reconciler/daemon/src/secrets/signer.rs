//! The key that signs what people agree to, and the file that holds it.
//!
//! One key a line: its id, `private` or `public`, and 32 bytes in base64. One is private, the last; those that
//! signed before are kept by their public halves, so that what they signed can still be checked.

use std::path::Path;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler_domain::promotion::{PublicKey, Signed, Statement};

use super::keyring::{KeyringError, read_key_file};
use crate::service::write_private;

/// The key that signs, and those that did.
pub(crate) struct Signer {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    /// Oldest first.
    former: Vec<PublicKey>,
}

impl Signer {
    /// Reads the keys; where there is no file yet, makes one with a new key.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, KeyringError> {
        let Some(text) = read_key_file(path)? else {
            let made = Self::made(Vec::new())?;
            made.save(path)?;
            return Ok(made);
        };
        Self::parse(&text).map_err(|line| KeyringError::Damaged { path: path.to_owned(), line })
    }

    /// Puts a new key into the file; the one that signed until now is kept by its public half. The new key's id.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn rotate(path: &Path) -> Result<String, KeyringError> {
        let present = Self::open(path)?;
        let mut former = present.former.clone();
        former.push(present.public());
        let made = Self::made(former)?;
        made.save(path)?;
        Ok(made.public().id())
    }

    /// Signs a statement.
    pub(crate) fn sign(&self, statement: &Statement) -> Signed {
        statement.signed(|bytes| (self.public().id(), self.pair.sign(bytes).as_ref().to_vec()))
    }

    /// The keys under which statements hold: the one that signs now, then those that did, newest first.
    pub(crate) fn public_keys(&self) -> Vec<PublicKey> {
        std::iter::once(self.public()).chain(self.former.iter().rev().copied()).collect()
    }

    fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref();
        PublicKey(bytes.try_into().expect("an Ed25519 key has 32 bytes"))
    }

    fn made(former: Vec<PublicKey>) -> Result<Self, KeyringError> {
        let mut seed = [0_u8; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyringError::Random)?;
        Self::of(seed, former).ok_or(KeyringError::Random)
    }

    fn of(seed: [u8; 32], former: Vec<PublicKey>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some(Self { seed, pair, former })
    }

    /// The keys of a file, or the line that is none.
    fn parse(text: &str) -> Result<Self, usize> {
        let (mut former, mut private) = (Vec::new(), None);
        for (line, text) in (1..).zip(text.lines()) {
            let mut words = text.split(' ');
            let (Some(id), Some(kind), Some(bytes), None, None) =
                (words.next(), words.next(), words.next(), words.next(), private)
            else {
                return Err(line);
            };
            let bytes = STANDARD.decode(bytes).ok().and_then(|bytes| bytes.try_into().ok());
            let bytes: [u8; 32] = bytes.ok_or(line)?;
            let key = match kind {
                "private" => {
                    private = Some(bytes);
                    Self::of(bytes, Vec::new()).ok_or(line)?.public()
                }
                "public" => PublicKey(bytes),
                _ => return Err(line),
            };
            if key.id() != id {
                return Err(line);
            }
            if kind == "public" {
                former.push(key);
            }
        }
        let lines = text.lines().count();
        private.and_then(|seed| Self::of(seed, former)).ok_or(lines + 1)
    }

    /// Writes the file, whole or not at all.
    fn save(&self, path: &Path) -> Result<(), KeyringError> {
        let line = |key: &PublicKey, kind: &str, bytes: &[u8; 32]| {
            format!("{} {kind} {}\n", key.id(), STANDARD.encode(bytes))
        };
        let former = self.former.iter().map(|key| line(key, "public", &key.0));
        let text: String = former.chain([line(&self.public(), "private", &self.seed)]).collect();
        write_private(path, text.as_bytes())
            .map_err(|source| KeyringError::File { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use reconciler_domain::promotion::Stated;

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn statement() -> Statement {
        Statement {
            project: "shop".parse().unwrap(),
            promotion: "prod.7".parse().unwrap(),
            stage: "prod".parse().unwrap(),
            freight: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            along: Vec::new(),
            said: Stated::Approved { change_set: "sha256:00".to_owned() },
            by: "ann".to_owned(),
            groups: ["sre".to_owned()].into(),
            comment: None,
            at: "2026-11-22T12:00:00Z".parse().unwrap(),
        }
    }

    fn holds(key: &PublicKey, bytes: &[u8], sig: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, key.0).verify(bytes, sig).is_ok()
    }

    #[test]
    fn what_was_signed_holds_under_the_key_alone_and_after_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        let first = Signer::open(&path).unwrap();
        let signed = first.sign(&statement());
        assert_eq!(signed.statement().unwrap(), statement());
        let id = Signer::rotate(&path).unwrap();
        let second = Signer::open(&path).unwrap();
        assert_eq!(second.public_keys(), [second.public(), first.public()]);
        assert_eq!(second.public().id(), id);
        let signer = |keys: &[PublicKey]| signed.signer(keys, holds).unwrap();
        assert_eq!(signer(&second.public_keys()), Some(first.public().id()));
        assert_eq!(signer(&[second.public()]), None, "another key signed it");
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(kept.matches(" private ").count(), 1, "what no longer signs is not kept");
    }

    #[test]
    fn a_changed_statement_does_not_hold() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(&dir.path().join("signing.key")).unwrap();
        let signed = signer.sign(&statement());
        let other = Statement { by: "eve".to_owned(), ..statement() };
        let forged = Signed { payload: signer.sign(&other).payload, ..signed.clone() };
        assert_eq!(forged.signer(&signer.public_keys(), holds).unwrap(), None);
        let renamed = Signed { payload_type: "text/plain".to_owned(), ..signed };
        assert_eq!(renamed.signer(&signer.public_keys(), holds).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        Signer::open(&path).unwrap();
        Signer::rotate(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let check = |text: &str, line: usize| {
            write_private(&path, text.as_bytes()).unwrap();
            let error = Signer::open(&path).err().unwrap().to_string();
            assert!(error.contains(&format!("line {line};")), "{error}");
        };
        check("", 1);
        check(&good.replace("public", "private"), 1);
        check(&good.replace("private", "public"), 2);
        check(good.lines().next().unwrap(), 2);
        check(&format!("{good}{good}"), 3);
        check(&good.replacen(|c: char| c.is_ascii_hexdigit(), "z", 1), 1);
        write_private(&path, good.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Signer::open(&path), Err(KeyringError::Open { .. })));
    }
}
