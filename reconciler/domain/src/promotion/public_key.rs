//! The public halves of the keys that sign statements, as files that every tool reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::freight::hex;

/// What stands before the 32 bytes of an Ed25519 key in its DER form (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Hexadecimal digits of a key's id.
const ID_DIGITS: usize = 16;

/// The public half of an Ed25519 key (RFC 8032).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// Why a text holds no public keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// There is none in it.
    #[error("there is no public key in it: expected `{BEGIN}`")]
    None,
    /// One of them has no end, is not base64, or is of another kind.
    #[error("public key {number} in it is no Ed25519 key in PEM (RFC 8410)")]
    Malformed {
        /// Which, from 1.
        number: usize,
    },
}

impl PublicKey {
    /// Its id in signatures: the first 16 hexadecimal digits of the SHA-256 of its DER form.
    #[must_use]
    pub fn id(&self) -> String {
        let mut id = hex(&Sha256::digest(self.der()));
        id.truncate(ID_DIGITS);
        id
    }

    /// As a PEM file, with a line break at its end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(self.der()))
    }

    /// The keys of a PEM file; what stands between them is passed over.
    ///
    /// # Errors
    /// There is none, or one is of another kind.
    pub fn all_in_pem(text: &str) -> Result<Vec<Self>, PublicKeyError> {
        let mut keys = Vec::new();
        for (number, part) in text.split(BEGIN).enumerate().skip(1) {
            let malformed = PublicKeyError::Malformed { number };
            let body = part.split_once(END).ok_or(malformed.clone())?.0;
            let body: String = body.split_whitespace().collect();
            let der = STANDARD.decode(body).map_err(|_| malformed.clone())?;
            let key = der.strip_prefix(&SPKI_PREFIX).ok_or(malformed.clone())?;
            keys.push(Self(key.try_into().map_err(|_| malformed)?));
        }
        if keys.is_empty() { Err(PublicKeyError::None) } else { Ok(keys) }
    }

    fn der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The example of RFC 8410, section 10.1.
    const EXAMPLE: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_read_as_they_are_written() {
        let keys = PublicKey::all_in_pem(&format!("# ours\n{EXAMPLE}{EXAMPLE}")).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].to_pem(), EXAMPLE);
        assert_eq!(keys[0].id().len(), ID_DIGITS);
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        let check = |text: &str, expected| assert_eq!(PublicKey::all_in_pem(text), Err(expected));
        check("", PublicKeyError::None);
        check("ssh-ed25519 AAAA jo", PublicKeyError::None);
        check(&EXAMPLE.replace(END, ""), PublicKeyError::Malformed { number: 1 });
        check(&EXAMPLE.replace("MCow", "MCox"), PublicKeyError::Malformed { number: 1 });
        check(&EXAMPLE.replace("ZuE=", "ZuE"), PublicKeyError::Malformed { number: 1 });
        let second = format!("{EXAMPLE}{}", EXAMPLE.replace("GERT", "").replace("Gb9E", ""));
        check(&second, PublicKeyError::Malformed { number: 2 });
    }
}
