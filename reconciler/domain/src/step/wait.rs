//! Waiting: for a time, or until something holds.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::expression::Expression;

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitCall {
    /// So long from the beginning.
    Duration(Duration),
    /// Until then.
    Until(Timestamp),
    /// Until it holds.
    Condition(ConditionCall),
}

/// A condition to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionCall {
    /// What has to hold; [`crate::scope::look_scope`] says what it sees.
    pub condition: Expression,
    /// Longest pause between two looks.
    pub interval: Duration,
    /// Until when it may take.
    pub until: Timestamp,
    /// What happens then.
    pub at_timeout: AtTimeout,
}

/// What happens where what is waited for has not come in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtTimeout {
    /// The step failed for good.
    Fail,
    /// The step is done, and says so in its outputs.
    Continue,
}

impl AtTimeout {
    /// The words for it, in the order of the documentation.
    pub const WORDS: &'static [&'static str] = &["fail", "continue"];

    /// The one with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "fail" => Some(Self::Fail),
            "continue" => Some(Self::Continue),
            _ => None,
        }
    }
}
