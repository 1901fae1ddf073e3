//! The public keys that the signatures of attestations are checked with: those that `cosign` and `openssl` make.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What stands before the 32 bytes of an Ed25519 key in its DER form (RFC 8410, section 4).
const ED25519_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 65 bytes of an uncompressed point of P-256 in its DER form (RFC 5480, section 2).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_LENGTH: usize = 65;
/// What an uncompressed point begins with.
const UNCOMPRESSED: u8 = 4;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// The public half of a key that signs attestations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum VerifyingKey {
    /// Of Ed25519 (RFC 8032).
    Ed25519([u8; 32]),
    /// Of ECDSA over P-256 with SHA-256: the uncompressed point.
    P256(Vec<u8>),
}

/// A text that is no such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no public key in PEM (`{BEGIN}`) of Ed25519 or ECDSA P-256; `cosign public-key` prints one"
)]
pub struct VerifyingKeyError;

impl FromStr for VerifyingKey {
    type Err = VerifyingKeyError;

    fn from_str(text: &str) -> Result<Self, VerifyingKeyError> {
        let (_, rest) = text.split_once(BEGIN).ok_or(VerifyingKeyError)?;
        let (body, rest) = rest.split_once(END).ok_or(VerifyingKeyError)?;
        if rest.contains(BEGIN) {
            return Err(VerifyingKeyError);
        }
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| VerifyingKeyError)?;
        if let Some(key) = der.strip_prefix(&ED25519_PREFIX) {
            return key.try_into().map(Self::Ed25519).map_err(|_| VerifyingKeyError);
        }
        let point = der.strip_prefix(&P256_PREFIX).ok_or(VerifyingKeyError)?;
        let is_point = point.len() == P256_LENGTH && point[0] == UNCOMPRESSED;
        if is_point { Ok(Self::P256(point.to_vec())) } else { Err(VerifyingKeyError) }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let der = match self {
            Self::Ed25519(key) => [ED25519_PREFIX.as_slice(), key].concat(),
            Self::P256(point) => [P256_PREFIX.as_slice(), point].concat(),
        };
        let text = STANDARD.encode(der);
        writeln!(f, "{BEGIN}")?;
        for line in text.as_bytes().chunks(64) {
            writeln!(f, "{}", String::from_utf8_lossy(line))?;
        }
        writeln!(f, "{END}")
    }
}

impl TryFrom<String> for VerifyingKey {
    type Error = VerifyingKeyError;

    fn try_from(text: String) -> Result<Self, VerifyingKeyError> {
        text.parse()
    }
}

impl From<VerifyingKey> for String {
    fn from(key: VerifyingKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8410, section 10.1.
    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    /// As `openssl ec -pubout` writes one.
    const P256: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6JZU8TO1m7iYiYvRez4pcLWfXCaM\n\
        uXh904ndR2EWEubKjWktYCAt/y5Vn06dDHC8EML/CGDBtJoWREvWarcsHQ==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_written_as_they_are_read() {
        for text in [ED25519, P256] {
            let key: VerifyingKey = text.parse().expect("a key");
            assert_eq!(key.to_string(), text);
            assert_eq!(format!("# ours\n{text}\n").parse(), Ok(key));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let check = |text: &str| assert_eq!(text.parse::<VerifyingKey>(), Err(VerifyingKeyError));
        check("");
        check(&ED25519.replace(END, ""));
        check(&ED25519.replace("MCow", "MCox"));
        check(&ED25519.replace("PUBLIC", "PRIVATE"));
        check(&P256.replace("csHQ==", "cg=="));
        check(&P256.replace("QgAE6J", "QgAF6J"));
        check(&P256.replace("KoZIzj0D", "KoZIzj0E"));
        check(&format!("{ED25519}{P256}"));
    }
}
