//! What a person agreed to, as a document that stands alone: it is signed when they say it, and can be checked
//! years later by whoever has the public key, without a daemon.
//!
//! A signed statement is a DSSE envelope (<https://github.com/secure-systems-lab/dsse>, version 1). The signature
//! is over the statement and its type, so that it is good for nothing else.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Approval, Event, Promotion, PublicKey};
use crate::id::{FreightId, ProjectName, PromotionId, StageName, StepName};
use crate::step::{Answer, Said};

/// The type of what is signed.
const STATEMENT_TYPE: &str = "application/vnd.lockstep.statement.v1+json";

/// Somebody's agreement, or refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Where.
    pub project: ProjectName,
    /// The promotion.
    pub promotion: PromotionId,
    /// Where it goes.
    pub stage: StageName,
    /// The freight that it was started for.
    pub freight: FreightId,
    /// Freight of other warehouses that it brings along, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub along: Vec<FreightId>,
    /// What was said, and to what.
    pub said: Stated,
    /// Who said it.
    pub by: String,
    /// Their groups at that time.
    pub groups: BTreeSet<String>,
    /// What else they had to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Stated {
    /// The change set that it is about, by its digest.
    #[must_use]
    pub fn change_set(&self) -> &str {
        match self {
            Self::Approved { change_set } | Self::Answered { change_set, .. } => change_set,
        }
    }
}

/// What was said, and to what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stated {
    /// Yes to a change set.
    Approved {
        /// Digest of the change set.
        change_set: String,
    },
    /// An answer to the question of a step.
    Answered {
        /// Digest of the change set.
        change_set: String,
        /// The step.
        step: StepName,
        /// Digest of the question.
        question: String,
        /// The answer.
        answer: Said,
    },
}

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// `application/vnd.lockstep.statement.v1+json`.
    pub payload_type: String,
    /// The statement's JSON in base64.
    pub payload: String,
    /// By whom.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key's id: the first 16 hexadecimal digits of the SHA-256 of its public half, as SPKI in DER.
    pub keyid: String,
    /// An Ed25519 signature (RFC 8032) in base64.
    pub sig: String,
}

/// Why a signed statement cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is of another type.
    #[error("it is a {found:?}, not a {STATEMENT_TYPE:?}")]
    Type {
        /// Which.
        found: String,
    },
    /// It is not in base64.
    #[error("its payload is not in base64")]
    Base64,
    /// It is no statement.
    #[error("its payload is no statement: {why}")]
    Json {
        /// Where, and why.
        why: String,
    },
}

impl Statement {
    /// The statement as a document that is signed by what `sign` gives: an id of a key and an Ed25519 signature of
    /// the bytes.
    pub fn signed(&self, sign: impl FnOnce(&[u8]) -> (String, Vec<u8>)) -> Signed {
        let payload = serde_json::to_vec(self).expect("names and texts are JSON");
        let (keyid, sig) = sign(&signed_bytes(STATEMENT_TYPE, &payload));
        Signed {
            payload_type: STATEMENT_TYPE.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature { keyid, sig: STANDARD.encode(sig) }],
        }
    }
}

impl Signed {
    /// What is stated. Nobody has looked at the signatures yet.
    ///
    /// # Errors
    /// It is no statement.
    pub fn statement(&self) -> Result<Statement, StatementError> {
        if self.payload_type != STATEMENT_TYPE {
            return Err(StatementError::Type { found: self.payload_type.clone() });
        }
        serde_json::from_slice(&self.payload()?)
            .map_err(|error| StatementError::Json { why: error.to_string() })
    }

    /// Whether one of the signatures is of one of these keys: that key's id.
    ///
    /// `holds` says whether the second bytes are a signature of the first under the key.
    ///
    /// # Errors
    /// The payload is not in base64.
    pub fn signer(
        &self,
        keys: &[PublicKey],
        holds: impl Fn(&PublicKey, &[u8], &[u8]) -> bool,
    ) -> Result<Option<String>, StatementError> {
        let bytes = signed_bytes(&self.payload_type, &self.payload()?);
        let signer = self.signatures.iter().find_map(|signature| {
            let key = keys.iter().find(|key| key.id() == signature.keyid)?;
            let sig = STANDARD.decode(&signature.sig).ok()?;
            holds(key, &bytes, &sig).then(|| signature.keyid.clone())
        });
        Ok(signer)
    }

    fn payload(&self) -> Result<Vec<u8>, StatementError> {
        STANDARD.decode(&self.payload).map_err(|_| StatementError::Base64)
    }
}

/// What a signature is over, for a payload of a type: DSSE's pre-authentication encoding.
fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// What of an event is somebody's word.
enum Agreement<'a> {
    Approval(&'a Approval),
    Answer(&'a Answer),
}

impl Event {
    /// What a person states by this event at this moment, if one does: `change_set` is the digest of what the
    /// promotion does now.
    #[must_use]
    pub fn statement(
        &self,
        project: &ProjectName,
        promotion: &Promotion,
        change_set: &str,
        at: Timestamp,
    ) -> Option<Statement> {
        let (said, by, groups, comment) = match self.agreement()? {
            Agreement::Approval(approval) => {
                let said = Stated::Approved { change_set: approval.digest.clone() };
                (said, &approval.by, &approval.groups, &approval.comment)
            }
            Agreement::Answer(answer) => {
                let said = Stated::Answered {
                    change_set: change_set.to_owned(),
                    step: answer.step.clone(),
                    question: answer.question.clone(),
                    answer: answer.said.clone(),
                };
                (said, &answer.by, &answer.groups, &answer.comment)
            }
        };
        Some(Statement {
            project: project.clone(),
            promotion: promotion.id.clone(),
            stage: promotion.stage.clone(),
            freight: promotion.freight.clone(),
            along: promotion.along.values().cloned().collect(),
            said,
            by: by.clone(),
            groups: groups.clone(),
            comment: comment.clone(),
            at,
        })
    }

    /// The same event with its statement, signed; one in which nobody states anything stays as it is.
    #[must_use]
    pub fn with_signed(mut self, signed: Signed) -> Self {
        if let Self::Approved(approval) = &mut self {
            approval.signed = Some(signed);
        } else if let Self::Answered(answer) = &mut self {
            answer.signed = Some(signed);
        }
        self
    }

    /// The signed statement that it carries.
    #[must_use]
    pub fn signed(&self) -> Option<&Signed> {
        match self.agreement()? {
            Agreement::Approval(approval) => approval.signed.as_ref(),
            Agreement::Answer(answer) => answer.signed.as_ref(),
        }
    }

    fn agreement(&self) -> Option<Agreement<'_>> {
        match self {
            Self::Approved(approval) => Some(Agreement::Approval(approval)),
            Self::Answered(answer) => Some(Agreement::Answer(answer)),
            Self::PrepareStarted(_)
            | Self::StepPrepared(_)
            | Self::PassedOver { .. }
            | Self::PrepareFailed { .. }
            | Self::Prepared(_)
            | Self::Probed { .. }
            | Self::Committed { .. }
            | Self::SentBack { .. }
            | Self::Intent { .. }
            | Self::Outcome { .. }
            | Self::Verifying { .. }
            | Self::Measured(_)
            | Self::AbortRequested { .. }
            | Self::Reverifying { .. }
            | Self::Unwinding { .. }
            | Self::Finished(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_the_type() {
        // The example of DSSE's protocol document.
        let bytes = signed_bytes("http://example.com/HelloWorld", b"hello world");
        let expected = "DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }
}
