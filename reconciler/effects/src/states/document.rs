//! The little that is read of a state: who it is, and how much is in it.

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// What a state says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Higher with each write.
    pub serial: u64,
    /// Given at the state's birth.
    pub lineage: String,
    /// Managed objects in it; 0 where it is encrypted.
    pub resources: u64,
    /// OpenTofu encrypted it. What is outside has to be what is inside, so no byte of it may be changed.
    pub encrypted: bool,
}

impl Document {
    /// Whether nothing is lost with it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources == 0 && !self.encrypted
    }
}

#[derive(Deserialize)]
struct Read {
    serial: u64,
    lineage: String,
    #[serde(default)]
    resources: Vec<Resource>,
    encrypted_data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    mode: String,
    #[serde(default)]
    instances: Vec<IgnoredAny>,
}

impl Document {
    /// Reads it of the file that OpenTofu and Terraform write.
    ///
    /// # Errors
    /// It is no state. The message names the place, and no value.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Read { serial, lineage, resources, encrypted_data } = serde_json::from_slice(bytes)?;
        let managed = resources.iter().filter(|resource| resource.mode == "managed");
        let resources = managed.map(|resource| resource.instances.len() as u64).sum();
        Ok(Self { serial, lineage, resources, encrypted: encrypted_data.is_some() })
    }
}

/// The same state with another serial. Everything else stays as it is written: numbers, too, that no float holds.
///
/// # Errors
/// It is no state.
pub(super) fn with_serial(bytes: &[u8], serial: u64) -> Result<Vec<u8>, serde_json::Error> {
    let mut state: IndexMap<String, Box<RawValue>> = serde_json::from_slice(bytes)?;
    state.insert("serial".to_owned(), RawValue::from_string(serial.to_string())?);
    let mut text = serde_json::to_vec(&state)?;
    text.push(b'\n');
    Ok(text)
}
