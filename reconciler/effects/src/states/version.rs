//! One version of a state, and its file: two lines that can be read, and what is sealed.
//!
//! ```text
//! {"number":12,"serial":7,…}       what it is, without anything of what is in it
//! 4f0c11aa                         the key that opens the rest
//! (sealed, bound to the first line and to the state's name)
//! ```

use jiff::Timestamp;
use reconciler_domain::id::{Principal, PromotionId, StepName};
use serde::{Deserialize, Serialize};

use super::seal::{SealedState, Sealing};
use super::{Kept, StateError, StateName};

/// Bytes that the two lines of a version's file may have.
pub(super) const HEADER_MAX: u64 = 64 << 10;
/// Bytes that sealing adds at most.
const SEAL_MAX: u64 = 1 << 10;

/// A version of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts the versions of one state, from 1.
    pub number: u64,
    /// As the state says.
    pub serial: u64,
    /// As the state says.
    pub lineage: String,
    /// Managed objects in it.
    pub resources: u64,
    /// When it was kept.
    pub at: Timestamp,
    /// Of the state, in hexadecimal.
    pub sha256: String,
    /// Of the state, in bytes.
    pub size: u64,
    /// What made it.
    pub by: Maker,
}

/// What made a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Maker {
    /// An apply of a promotion.
    Run {
        /// The promotion.
        promotion: PromotionId,
        /// Its step.
        step: StepName,
    },
    /// An apply that could not write it: it is no state that was ever there.
    Unwritten {
        /// The promotion.
        promotion: PromotionId,
        /// Its step.
        step: StepName,
    },
    /// It was found to be there.
    Found,
    /// A client, over HTTP.
    Client {
        /// Who.
        who: Principal,
    },
    /// It was restored.
    Restored {
        /// Who did it.
        who: Principal,
        /// The version that it was.
        from: u64,
        /// Why.
        reason: String,
    },
}

/// The file of a version.
pub(super) fn seal(
    sealing: &dyn Sealing,
    name: &StateName,
    version: &Version,
    state: &[u8],
) -> Result<Vec<u8>, StateError> {
    let header = serde_json::to_vec(version).expect("names, numbers and texts are JSON");
    let sealed = sealing.seal(&bound(name, &header), state);
    let SealedState { key, bytes } =
        sealed.map_err(|reason| StateError::Unsealed { name: name.to_string(), reason })?;
    Ok([header.as_slice(), b"\n", key.as_bytes(), b"\n", &bytes].concat())
}

/// What is in the file of a version.
pub(super) fn open(
    sealing: &dyn Sealing,
    name: &StateName,
    number: u64,
    file: &[u8],
) -> Result<Vec<u8>, StateError> {
    let closed = |reason| StateError::Closed { name: name.to_string(), number, reason };
    let (header, sealed) = parts(file).ok_or_else(|| closed("its file is damaged".to_owned()))?;
    sealing.open(&bound(name, header), &sealed).map_err(closed)
}

/// The same file under the key that seals now.
pub(super) fn reseal(
    sealing: &dyn Sealing,
    name: &StateName,
    number: u64,
    file: &[u8],
) -> Result<Vec<u8>, StateError> {
    let state = open(sealing, name, number, file)?;
    let version =
        header(file).ok_or_else(|| StateError::NoVersion { name: name.to_string(), number })?;
    seal(sealing, name, &version, &state)
}

/// What the beginning of a version's file says of it.
pub(super) fn header(head: &[u8]) -> Option<Version> {
    serde_json::from_slice(head.split(|byte| *byte == b'\n').next()?).ok()
}

/// Bytes that the file of a version may have.
pub(super) fn file_limit(kept: Kept) -> u64 {
    kept.state_bytes.saturating_add(HEADER_MAX + SEAL_MAX)
}

fn parts(file: &[u8]) -> Option<(&[u8], SealedState)> {
    let mut parts = file.splitn(3, |byte| *byte == b'\n');
    let (header, key, sealed) = (parts.next()?, parts.next()?, parts.next()?);
    let key = String::from_utf8(key.to_vec()).ok()?;
    Some((header, SealedState { key, bytes: sealed.to_vec() }))
}

/// What is sealed, so that a file that was moved or whose first line was changed does not open.
fn bound(name: &StateName, header: &[u8]) -> Vec<u8> {
    let StateName { project, stage, .. } = name;
    let parts = ("lockstep state version 1", project, stage, name.name(), name.workspace());
    let mut bound = serde_json::to_vec(&parts).expect("names and texts are JSON");
    bound.extend_from_slice(header);
    bound
}
