//! What the gates of a policy ask of somebody else: tickets and attestations.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something elsewhere that has to be approved, such as a change ticket. The server is asked again and again while a
/// promotion waits, and once more right before it commits.
///
/// What is no answer is unknown, and never passes: no connection, a redirect, any status but 2xx, 404 and 410, an
/// expression that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketRule {
    /// Its name within the policy.
    pub name: String,
    /// Where the request goes; a template over `freight`, `vars`, `stage`, `project`, `promotion` and `secret()`.
    pub url: String,
    /// The method.
    #[serde(default = "TicketRule::method_default")]
    pub method: String,
    /// Headers of the request; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body of the request; a template.
    #[serde(default)]
    pub body: Option<String>,
    /// How long one request may take, a duration of at most 20 s.
    #[serde(default = "TicketRule::timeout_default")]
    pub timeout: String,
    /// When it is approved, in CEL over `response` and what the templates see.
    pub success: String,
    /// When it is refused; what neither accepts is unknown. Null: whatever `success` does not accept.
    #[serde(default)]
    pub failure: Option<String>,
    /// How often it is asked, a duration from 10 s to 24 h.
    #[serde(default = "TicketRule::every_default")]
    pub every: String,
}

impl TicketRule {
    /// The method when the rule says nothing.
    pub const METHOD_DEFAULT: &str = "GET";
    /// The time for one request when the rule says nothing.
    pub const TIMEOUT_DEFAULT: &str = "10s";
    /// How often it is asked when the rule says nothing.
    pub const EVERY_DEFAULT: &str = "1m";

    fn method_default() -> String {
        Self::METHOD_DEFAULT.to_owned()
    }

    fn timeout_default() -> String {
        Self::TIMEOUT_DEFAULT.to_owned()
    }

    fn every_default() -> String {
        Self::EVERY_DEFAULT.to_owned()
    }
}

/// What a program has to have said of what is promoted, such as the result of a scan: JSON, attached to an image
/// (`artifact`, `type`, and `key` where it has to be signed) or on a server (`url`).
///
/// Everything of the type that is attached has to hold. What is not there, or not signed with the key, is unknown,
/// and never passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestationRule {
    /// Its name within the policy.
    pub name: String,
    /// The subscription of the image that it is attached to; null: `url` says where it is.
    #[serde(default)]
    pub artifact: Option<String>,
    /// Of one that is attached: its artifact type, or the type of its predicate.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Of one that is attached: the public key (PEM; Ed25519 or ECDSA P-256) that it is signed with, in a DSSE envelope.
    #[serde(default)]
    pub key: Option<String>,
    /// Where it is; a template as that of a ticket. Null: it is attached to an image.
    #[serde(default)]
    pub url: Option<String>,
    /// Headers of the request to `url`; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How long all requests together may take, a duration of at most 20 s.
    #[serde(default = "TicketRule::timeout_default")]
    pub timeout: String,
    /// What it has to say, in CEL over `payload` and what the templates of a ticket see.
    pub success: String,
    /// How often it is looked for, a duration from 10 s to 24 h.
    #[serde(default = "TicketRule::every_default")]
    pub every: String,
}
