//! Metadata: values by key that steps note about a stage and about freight, and that expressions read as
//! `stage.metadata.KEY` and `freight_metadata.KEY`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most bytes of one value, as JSON.
pub const VALUE_MAX: usize = 8 * 1024;
/// Most bytes of all that is noted about one stage or one freight, as JSON.
pub const TOTAL_MAX: usize = 64 * 1024;
/// Most characters of a key.
const KEY_MAX: usize = 63;

/// What is noted about a stage and about the freight that is promoted to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Of the stage.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub stage: Map<String, Value>,
    /// Of the freight.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub freight: Map<String, Value>,
}

impl Metadata {
    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stage.is_empty() && self.freight.is_empty()
    }
}

/// Checks a key: expressions address it as a field.
///
/// # Errors
/// What is wrong with it.
pub fn check_key(key: &str) -> Result<(), String> {
    let well_formed = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if well_formed && key.len() <= KEY_MAX {
        return Ok(());
    }
    Err(format!(
        "{key:?} is no key: expressions address it as a field, so use letters, digits and `_`, at most \
         {KEY_MAX} of them"
    ))
}
