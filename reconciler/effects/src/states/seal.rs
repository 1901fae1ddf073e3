//! How versions are sealed: by whoever has the keys.

/// A sealed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedState {
    /// Which key opens it.
    pub key: String,
    /// The sealed bytes.
    pub bytes: Vec<u8>,
}

/// Seals versions and opens them. What is sealed opens with the same `bound` only: it says what is sealed.
pub trait Sealing: Send + Sync {
    /// Seals.
    ///
    /// # Errors
    /// Why not, without a secret.
    fn seal(&self, bound: &[u8], open: &[u8]) -> Result<SealedState, String>;

    /// Opens.
    ///
    /// # Errors
    /// Why not, without a secret.
    fn open(&self, bound: &[u8], sealed: &SealedState) -> Result<Vec<u8>, String>;
}

/// Nobody has a key, so nothing is kept.
#[derive(Debug, Clone, Copy)]
pub struct NoKey;

impl Sealing for NoKey {
    fn seal(&self, _: &[u8], _: &[u8]) -> Result<SealedState, String> {
        Err("there is no key".to_owned())
    }

    fn open(&self, _: &[u8], _: &SealedState) -> Result<Vec<u8>, String> {
        Err("there is no key".to_owned())
    }
}
