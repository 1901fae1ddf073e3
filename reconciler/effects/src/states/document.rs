//! The little that is read of a state: who it is, and how much is in it.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What a state says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Higher with each write.
    pub serial: u64,
    /// Given at the state's birth.
    pub lineage: String,
    /// Managed objects in it.
    pub resources: u64,
}

#[derive(Deserialize)]
struct Read {
    serial: u64,
    lineage: String,
    #[serde(default)]
    resources: Vec<Resource>,
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
        let Read { serial, lineage, resources } = serde_json::from_slice(bytes)?;
        let managed = resources.iter().filter(|resource| resource.mode == "managed");
        let resources = managed.map(|resource| resource.instances.len() as u64).sum();
        Ok(Self { serial, lineage, resources })
    }
}
