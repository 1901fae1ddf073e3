//! Secrets of projects: sealed in the store, opened at the moment of their use.
//!
//! ```text
//! keyring    the keys, in a file of their own; seals, opens, makes new ones
//! sources    secrets that are read from files and variables which the configuration allows
//! safe       both together, and what the effects ask
//! rotate     `lockstepd rotate-key`
//! signer     the key that signs what people agree to
//! ```
//!
//! What is sealed is bound to its project, name, kind, address and user name: a row that was moved to
//! another credential, or repointed to another server, does not open.

mod keyring;
mod rotate;
mod safe;
mod signer;
mod sources;

pub(crate) use keyring::Keyring;
pub use keyring::KeyringError;
pub(crate) use rotate::rotate;
pub use rotate::{RotateError, Rotated};
pub(crate) use safe::{LENGTH_MAX, LENGTH_MIN, Safe};
pub(crate) use signer::Signer;
pub use sources::AllowedSources;
