//! What a step of a promotion asks people, and their answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

wire_enum! {
    /// What a step asks for.
    QuestionKind {
        /// Approvals.
        Approval = "approval",
        /// Values.
        Input = "input",
    }
}

/// What a step asks at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// What it asks for.
    pub kind: QuestionKind,
    /// Names the question; an answer names it too.
    pub digest: String,
    /// What is asked, in words.
    pub message: String,
    /// The groups that are asked and how many people of each have to answer; empty: anybody, once.
    pub groups: BTreeMap<String, u32>,
    /// Who answered by now.
    pub answered: Vec<String>,
    /// What may be given, as JSON Schema; null for an approval.
    pub schema: Option<Value>,
    /// Until when it may take.
    pub until: Timestamp,
}

/// Answers the question of a step: either `approve` or `values`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerStep {
    /// The digest of the question that was seen; refused if it is another by now.
    pub digest: String,
    /// Whether the answer is yes; no fails the step.
    #[serde(default)]
    pub approve: Option<bool>,
    /// The values, by name.
    #[serde(default)]
    pub values: Option<Map<String, Value>>,
    /// What else there is to say.
    #[serde(default)]
    pub comment: Option<String>,
}
