//! Evidence: what people agreed to, signed, so that it can be checked without a daemon.

use super::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a promotion does, and what people said to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The project.
    pub project: String,
    /// The promotion.
    pub promotion: String,
    /// The stage.
    pub stage: String,
    /// The freight.
    pub freight: String,
    /// Where the promotion stands.
    pub phase: Phase,
    /// What it does, in the form whose digest people agree to; null: it is not prepared.
    pub change_set: Option<EvidencedChangeSet>,
    /// What people said to it, oldest first. What was said before the daemon signed is not among it.
    pub statements: Vec<SignedStatement>,
}

/// All that people agree to when they agree to a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidencedChangeSet {
    /// `sha256:` and the SHA-256 of the content.
    pub digest: String,
    /// JSON: the collection, the rendered steps, old and new object of each file, the digest of each infra plan.
    pub content: String,
}

/// A signed statement: a DSSE envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedStatement {
    /// The type of the payload, `application/vnd.lockstep.statement.v1+json`.
    pub payload_type: String,
    /// The statement's JSON, in base64.
    pub payload: String,
    /// Signatures of payload and type, as DSSE version 1 puts them together.
    pub signatures: Vec<StatementSignature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatementSignature {
    /// The id of the key.
    pub keyid: String,
    /// An Ed25519 signature, in base64.
    pub sig: String,
}

/// The keys under which signed statements hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeys {
    /// The one that signs now, then those that did, newest first.
    pub keys: Vec<SigningKey>,
}

/// The public half of a key that signs statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKey {
    /// Its id: the first 16 hexadecimal digits of the SHA-256 of its DER form.
    pub id: String,
    /// The key in PEM.
    pub pem: String,
}
