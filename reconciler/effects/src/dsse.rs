//! What attestations are wrapped in: envelopes of DSSE (<https://github.com/secure-systems-lab/dsse>, version 1.0) as
//! `cosign` and `in-toto` make them, also inside a bundle of Sigstore. The payload of one is a statement of in-toto,
//! which names what it is about.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use reconciler_domain::inquiry::VerifyingKey;
use serde::Deserialize;
use serde_json::Value;

/// What the types of statements begin with.
const STATEMENT: &str = "https://in-toto.io/Statement/";
/// Signatures of one envelope that are tried.
const SIGNATURES_MAX: usize = 20;

/// A signed envelope.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// What a document says of an image.
///
/// With a key it is an envelope that was signed with it, around a statement that names the image. Without, it is any
/// JSON; an envelope is opened, and a statement has to name the image nevertheless.
///
/// # Errors
/// It says nothing of the image, or not by whoever has the key: why.
pub(crate) fn said(bytes: &[u8], key: Option<&VerifyingKey>, image: &str) -> Result<Value, String> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
    let wrapped = document.get("dsseEnvelope").unwrap_or(&document);
    let is_envelope = wrapped.get("payloadType").is_some() && wrapped.get("payload").is_some();
    if !is_envelope {
        if key.is_some() {
            return Err("it is not signed: it is no DSSE envelope".to_owned());
        }
        return about(document, image, false);
    }
    let envelope: Envelope = Envelope::deserialize(wrapped)
        .map_err(|error| format!("it is no DSSE envelope: {error}"))?;
    let payload = base64(&envelope.payload).ok_or("its payload is no base64")?;
    if let Some(key) = key
        && !is_signed(&envelope, &payload, key)
    {
        return Err("it is not signed with the key".to_owned());
    }
    let payload: Value = serde_json::from_slice(&payload)
        .map_err(|error| format!("its payload is no JSON: {error}"))?;
    about(payload, image, key.is_some())
}

/// The statement, if it names the image. What was signed could else be of another.
fn about(document: Value, image: &str, must_name: bool) -> Result<Value, String> {
    let is_statement = document["_type"].as_str().is_some_and(|kind| kind.starts_with(STATEMENT));
    if !is_statement {
        if must_name {
            return Err("it is no in-toto statement, and does not name what it is about".to_owned());
        }
        return Ok(document);
    }
    let wanted = image.strip_prefix("sha256:").unwrap_or(image);
    let mut subjects = document["subject"].as_array().into_iter().flatten();
    if subjects.any(|subject| subject["digest"]["sha256"].as_str() == Some(wanted)) {
        Ok(document)
    } else {
        Err("it is a statement about something else".to_owned())
    }
}

fn is_signed(envelope: &Envelope, payload: &[u8], key: &VerifyingKey) -> bool {
    let message = authenticated(&envelope.payload_type, payload);
    let (algorithm, key): (&dyn VerificationAlgorithm, &[u8]) = match key {
        VerifyingKey::Ed25519(key) => (&ED25519, key),
        VerifyingKey::P256(point) => (&ECDSA_P256_SHA256_ASN1, point),
    };
    let key = UnparsedPublicKey::new(algorithm, key);
    let signatures = envelope.signatures.iter().take(SIGNATURES_MAX);
    signatures.filter_map(|it| base64(&it.sig)).any(|it| key.verify(&message, &it).is_ok())
}

/// What is signed: the type and the payload, each with its length ("pre-authentication encoding").
fn authenticated(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// Either alphabet, as the specification asks of whoever reads.
fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}
