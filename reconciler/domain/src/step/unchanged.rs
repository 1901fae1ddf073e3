//! Whether a plan may be left out where nothing that it is made of is another than at the last apply.

use serde::{Deserialize, Serialize};

/// When a plan is not run because what it is made of, and its state, are those of the last apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipUnchanged {
    /// Never.
    Never,
    /// Where drift is looked for, and the last look at the state found none. In a call: not this time.
    #[default]
    Watched,
    /// Also where nobody looks for drift. In a call: this time it may be.
    Always,
}

impl SkipUnchanged {
    /// The words for them in a step.
    pub const WORDS: &'static [&'static str] = &["never", "watched", "always"];

    /// The one of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "never" => Some(Self::Never),
            "watched" => Some(Self::Watched),
            "always" => Some(Self::Always),
            _ => None,
        }
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
