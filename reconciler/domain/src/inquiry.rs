//! Inquiries: what gates ask of somebody else, who is asked again and again while a promotion waits.
//!
//! A policy names a *ticket*, which has to be approved where changes are managed, or an *attestation*, which a
//! scanner or a build wrote about an artifact. Once a promotion is prepared, each becomes an [`Inquiry`]: the
//! question as it is sent, known by its digest. What came of it is a [`Reply`]. Gates read replies, and nothing else:
//! one that is missing, too old, of another question, or says nothing is unknown, and is asked for anew.
//!
//! - `pose`: from policies to questions, and which of them are due
//! - `judge`: from an answer to a verdict
//! - `key`: the public keys that signatures are checked with

mod judge;
mod key;
mod pose;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::expression::Expression;
use crate::freight::hex;
use crate::id::{PolicyName, SubscriptionName};
use crate::policy::{GateKind, Policy};
use crate::secret::SecretRef;
use crate::verification::Measured;

pub use judge::stated;
pub use key::{VerifyingKey, VerifyingKeyError};
pub(crate) use pose::{due, pose, said, stale_for_commit};

/// Something elsewhere that has to agree to a promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Unique among the tickets of the policy.
    pub name: String,
    /// What is asked; its texts are templates.
    pub request: WebRequest,
    /// When it agrees: CEL over `response` and what the promotion is.
    pub success: Expression,
    /// When it refuses; what neither accepts is unknown. Absent: whatever `success` does not accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Expression>,
    /// How often it is asked.
    pub every: Duration,
}

/// What a program has to have said about what is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attestation {
    /// Unique among the attestations of the policy.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// What it has to say: CEL over `payload` and what the promotion is.
    pub success: Expression,
    /// How often it is looked for.
    pub every: Duration,
}

/// Where attestations are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// A server has it, as JSON; the texts of the request are templates.
    Web(WebRequest),
    /// It is attached to an image, in its registry.
    Referrer {
        /// The subscription of the image.
        artifact: SubscriptionName,
        /// Its artifact type, or the type of its predicate.
        kind: String,
        /// Who has to have signed it; absent: anybody may have written it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<VerifyingKey>,
        /// Time for the whole exchange.
        timeout: Duration,
    },
}

/// A request, before or after its templates are rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebRequest {
    /// Where it goes.
    pub url: String,
    /// How.
    pub method: String,
    /// Its headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Time for the whole exchange.
    pub timeout: Duration,
}

/// How often it is asked where a policy does not say.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(60);
/// Seldom enough for whoever is asked.
pub const EVERY_LEAST: Duration = Duration::from_secs(10);
/// Often enough to call it an answer.
pub const EVERY_MOST: Duration = Duration::from_secs(24 * 3600);
/// Time for an exchange where a policy does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Shorter than a reply is good for at a commit, so that there is a moment at which all of them are.
pub const TIMEOUT_MOST: Duration = Duration::from_secs(20);
/// Inquiries of one kind in one policy.
pub const INQUIRIES_MAX: usize = 10;
/// How much longer than it is due a reply is good for: it takes a while to ask. Also how far clocks may differ.
const SLACK: SignedDuration = SignedDuration::from_secs(60);
/// How old a reply may be that a promotion commits by.
const COMMIT_VALID: SignedDuration = SignedDuration::from_secs(30);

/// Which gate of which policy asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asker {
    /// The policy.
    pub policy: PolicyName,
    /// [`GateKind::Ticket`] or [`GateKind::Attestation`].
    pub gate: GateKind,
    /// The name of the ticket or the attestation.
    pub name: String,
}

impl Asker {
    /// As people call it: `ticket change`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} {}", self.gate.name(), self.name)
    }
}

/// A question as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inquiry {
    /// Who is asked, and what.
    pub source: Source,
    /// What conditions see beside the answer.
    pub context: Context,
    /// What a good answer is.
    pub success: Expression,
    /// What a refusal is.
    pub failure: Option<Expression>,
}

/// Who is asked, and what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    /// A server, whose answer is judged.
    Response {
        /// The request, with words in the place of secrets.
        request: WebRequest,
        /// The secrets whose words are in it.
        secrets: Vec<SecretRef>,
    },
    /// A server, whose answer is JSON that is judged.
    Document {
        /// The request, with words in the place of secrets.
        request: WebRequest,
        /// The secrets whose words are in it.
        secrets: Vec<SecretRef>,
    },
    /// A registry: what is attached to an image.
    Referrer {
        /// The repository of the image.
        repo: String,
        /// The digest of the image.
        digest: String,
        /// Its artifact type, or the type of its predicate.
        artifact_type: String,
        /// Who has to have signed it.
        key: Option<VerifyingKey>,
        /// Time for the whole exchange.
        timeout: Duration,
    },
}

/// What the conditions of an inquiry see of its promotion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// By name: `freight`, `vars`, `stage`, `freight_metadata`, `project`, `promotion`.
    pub values: BTreeMap<String, Value>,
    /// What `freight_from` gives, by warehouse.
    pub freight: BTreeMap<String, Value>,
}

impl Inquiry {
    /// What tells it from any other question.
    #[must_use]
    pub fn digest(&self) -> String {
        let said = serde_json::to_vec(self).expect("plain data is JSON");
        format!("sha256:{}", hex(&Sha256::digest(said)))
    }
}

/// A question to be asked now.
#[derive(Debug, Clone, PartialEq)]
pub struct Asking {
    /// Who asks.
    pub asker: Asker,
    /// What.
    pub inquiry: Inquiry,
}

/// What came of a question. Only what was judged passes or fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The digest of the question.
    pub inquiry: String,
    /// When the answer came, or was given up.
    pub at: Timestamp,
    /// How it was judged.
    pub measured: Measured,
    /// What was said, in words, without secrets.
    pub detail: String,
}

impl Reply {
    /// Whether gates read it as they read the other: it was judged alike, of the same question.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        self.inquiry == other.inquiry && self.measured == other.measured
    }

    /// Whether it came in these last moments. One from the future came by a clock that is wrong.
    fn came_within(&self, age: SignedDuration, now: Timestamp) -> bool {
        let since = now.duration_since(self.at);
        since < age && since > -SLACK
    }
}

/// What every asker is known to have heard.
pub type Replies = BTreeMap<Asker, Reply>;

/// What a gate knows of its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which gate.
    pub asker: Asker,
    /// What it knows.
    pub standing: Standing,
}

/// What is known of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It cannot be asked: why.
    Unposable(String),
    /// Nobody was asked yet.
    Unasked,
    /// What was heard is too old.
    Stale(Reply),
    /// What was heard, and when it is asked again.
    Fresh {
        /// What was heard.
        reply: Reply,
        /// When it is asked again; absent: never, for it is stated.
        again: Option<Timestamp>,
    },
}

/// The gates of a policy that ask somebody else, in the order in which they are shown.
pub fn askers(policy: &Policy) -> impl Iterator<Item = Asker> + '_ {
    let asker = |gate, name: &str| Asker { policy: policy.name.clone(), gate, name: name.into() };
    let tickets = policy.tickets.iter().map(move |it| asker(GateKind::Ticket, &it.name));
    let attestations =
        policy.attestations.iter().map(move |it| asker(GateKind::Attestation, &it.name));
    tickets.chain(attestations)
}

/// Names that stand twice, with the place of the second.
#[must_use]
pub fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    let mut seen = BTreeSet::new();
    names.enumerate().filter(|(_, name)| !seen.insert(*name)).collect()
}
