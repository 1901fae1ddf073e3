//! Questions in the middle of a promotion: an approval, or values. People answer; nobody carries a
//! question out.
//!
//! A question is known by its digest: of the change set, the step, and everything that the question says.
//! An answer names it, so that nobody agrees to what they did not see.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::AtTimeout;
use crate::freight::hex;
use crate::id::StepName;
use crate::policy::Excluded;
use crate::promotion::Signed;

/// Something that people are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum AskCall {
    /// `wait_for_approval`.
    Approval(ApprovalCall),
    /// `get_input`.
    Input(InputCall),
}

/// An approval to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalCall {
    /// What is to be approved, in words.
    pub message: String,
    /// How many distinct people of each group; empty: anybody, once.
    pub groups: BTreeMap<String, u32>,
    /// Whose approval does not count.
    pub exclude: BTreeSet<Excluded>,
    /// Until when it may take.
    pub until: Timestamp,
    /// What happens then.
    pub at_timeout: AtTimeout,
}

/// Values to wait for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputCall {
    /// What is asked for, in words.
    pub message: String,
    /// What may be given: a [`Form`](super::Form).
    pub schema: Value,
    /// Who may give it; empty: anybody.
    pub groups: BTreeSet<String>,
    /// Until when it may take.
    pub until: Timestamp,
    /// What happens then; to continue is to take the defaults.
    pub at_timeout: AtTimeout,
}

/// A person's answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The step that asks.
    pub step: StepName,
    /// The question's digest.
    pub question: String,
    /// Who.
    pub by: String,
    /// Their groups at that time.
    pub groups: BTreeSet<String>,
    /// What they said.
    pub said: Said,
    /// What else they had to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The same as a signed statement; absent: it was given before statements were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// What a person answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Yes.
    Approved,
    /// No.
    Refused,
    /// These values.
    Given(Map<String, Value>),
}

impl AskCall {
    /// What is asked, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Approval(call) => &call.message,
            Self::Input(call) => &call.message,
        }
    }

    /// Until when it may take.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        match self {
            Self::Approval(call) => call.until,
            Self::Input(call) => call.until,
        }
    }

    /// The groups whose people may answer; empty: anybody.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<&str> {
        match self {
            Self::Approval(call) => call.groups.keys().map(String::as_str).collect(),
            Self::Input(call) => call.groups.iter().map(String::as_str).collect(),
        }
    }

    /// Whether people of these groups may answer.
    #[must_use]
    pub fn may_answer(&self, groups: &BTreeSet<String>) -> bool {
        let asked = self.groups();
        asked.is_empty() || groups.iter().any(|group| asked.contains(group.as_str()))
    }

    /// Names the question that this step of a promotion with this change set asks.
    #[must_use]
    pub fn digest(&self, change_set: &str, step: &StepName) -> String {
        let text = json!([change_set, step, self]).to_string();
        format!("sha256:{}", hex(&Sha256::digest(text)))
    }
}

impl ApprovalCall {
    /// Who approved and who is missing, of these answers: the missing by group.
    #[must_use]
    pub fn missing(&self, answers: &[Answer]) -> BTreeMap<&str, u32> {
        let people = |group: Option<&str>| {
            let of_group = |answer: &&Answer| group.is_none_or(|g| answer.groups.contains(g));
            let yes = answers.iter().filter(|answer| answer.said == Said::Approved);
            let people: BTreeSet<&str> =
                yes.filter(of_group).map(|answer| answer.by.as_str()).collect();
            u32::try_from(people.len()).unwrap_or(u32::MAX)
        };
        if self.groups.is_empty() {
            return if people(None) == 0 { BTreeMap::from([("", 1)]) } else { BTreeMap::new() };
        }
        let missing = self
            .groups
            .iter()
            .map(|(group, count)| (group.as_str(), count.saturating_sub(people(Some(group)))));
        missing.filter(|(_, count)| *count > 0).collect()
    }
}
