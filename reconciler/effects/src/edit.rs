//! Edits of configuration text that change only what was asked for.
//!
//! `yaml`, `json`, `toml` and `hcl` set existing scalars in place and read a text as data. Each
//! edited text is parsed again before anybody sees it. Nothing but `kustomize` and `yaml::merge_into`
//! adds or removes keys. `chart` sets what belongs together in two files.

pub mod chart;
pub mod hcl;
pub mod json;
pub mod kustomize;
pub mod toml;
pub mod yaml;

use std::ops::Range;

use self::yaml::KeyPath;

/// Larger texts are refused: configuration that people keep in git is far smaller.
pub(crate) const TEXT_MAX_BYTES: usize = 8 << 20;

/// Why an edit of JSON, TOML or HCL was refused. On an error nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not of its language, or too large.
    #[error("the text is not usable {language}: {reason}")]
    Syntax {
        /// `JSON`, `TOML` or `HCL`.
        language: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// Nothing is at the path.
    #[error("key `{key}` is not there; only existing values are set")]
    NotFound {
        /// The path.
        key: KeyPath,
    },
    /// Something other than one plain value is at the path.
    #[error("key `{key}` holds {found}, not a scalar that can be set in place")]
    NotScalar {
        /// The path.
        key: KeyPath,
        /// What is there.
        found: &'static str,
    },
    /// The language has no way to write the value.
    #[error("key `{key}`: {language} cannot hold {value}")]
    Unrepresentable {
        /// The path.
        key: KeyPath,
        /// The language.
        language: &'static str,
        /// The value.
        value: String,
    },
}

impl EditError {
    fn syntax(language: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Syntax { language, reason: reason.to_string() }
    }

    fn not_found(key: &KeyPath) -> Self {
        Self::NotFound { key: key.clone() }
    }

    fn not_scalar(key: &KeyPath, found: &'static str) -> Self {
        Self::NotScalar { key: key.clone(), found }
    }
}

fn check_size(language: &'static str, text: &str) -> Result<(), EditError> {
    if text.len() <= TEXT_MAX_BYTES {
        return Ok(());
    }
    Err(EditError::syntax(language, format_args!("it is larger than {TEXT_MAX_BYTES} bytes")))
}

/// The text with pieces replaced. No two of them overlap.
fn splice(text: &str, mut pieces: Vec<(Range<usize>, String)>) -> String {
    pieces.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut edited = text.to_owned();
    for (range, replacement) in pieces {
        edited.replace_range(range, &replacement);
    }
    edited
}
