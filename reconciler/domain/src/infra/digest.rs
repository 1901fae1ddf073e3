//! The semantic digest: equal for two plans that would do the same.
//!
//! It covers what an approver judged: every change with its values before and after, moves,
//! imports, output changes, deferred changes and provider actions. It does not cover what stays
//! as it is, drift that is only reported, versions, times and the order of anything. Unknown
//! values are a mark, so a plan that is made again has the same digest; sensitive values enter as
//! a keyed hash (HMAC-SHA-256), so a digest that leaks does not tell a secret that can be guessed.

use std::{borrow::Cow, fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    mask::{self, Parts},
    plan::{Change, Plan, ResourceChange},
};

/// Changes whenever the encoding below does.
const ENCODING: &str = "lockstep plan digest 1";

/// A SHA-256 over what a plan would do, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct PlanDigest([u8; 32]);

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a plan digest: expected `sha256:` and 64 hexadecimal digits")]
pub struct PlanDigestError {
    /// The text.
    pub text: String,
}

impl Plan {
    /// The digest of what this plan would do; `key` keeps sensitive values from being guessed and
    /// must be the same for digests that are compared.
    #[must_use]
    pub fn semantic_digest(&self, key: &[u8]) -> PlanDigest {
        let mut changes: Vec<&ResourceChange> =
            self.0.resource_changes.iter().filter(|change| !change.is_idle()).collect();
        changes.sort_by_key(|change| (&change.address, &change.deposed));
        let mut encoder = Encoder { key, bytes: Vec::new() };
        encoder.text(ENCODING);
        for change in changes {
            encoder.resource(change);
        }
        for (name, change) in &self.0.output_changes {
            if change.action() != super::Action::NoOp {
                encoder.bytes.push(b'o');
                encoder.text(name);
                encoder.change(change);
            }
        }
        // These parts have no marks of their own for what is sensitive in them.
        for part in [&self.0.deferred_changes, &self.0.action_invocations] {
            encoder.sealed(part);
        }
        PlanDigest(Sha256::digest(&encoder.bytes).into())
    }
}

/// Writes values so that different ones never have the same bytes: each is a tag, and texts carry
/// their length.
struct Encoder<'k> {
    key: &'k [u8],
    bytes: Vec<u8>,
}

impl Encoder<'_> {
    fn resource(&mut self, resource: &ResourceChange) {
        self.bytes.push(b'r');
        self.text(&resource.address);
        for part in [
            resource.moved_from().as_ref().map(super::Address::as_str),
            Some(resource.provider_name.as_str()),
            resource.deposed.as_deref(),
            resource.action_reason.as_deref(),
        ] {
            self.optional(part);
        }
        self.change(&resource.change);
    }

    fn change(&mut self, change: &Change) {
        for action in &change.actions {
            self.text(action);
        }
        let nothing = &Value::Null;
        self.value(&change.before, &change.before_sensitive, nothing);
        self.value(&change.after, &change.after_sensitive, &change.after_unknown);
        self.value(&change.replace_paths, nothing, nothing);
        self.value(change.importing.as_ref().unwrap_or(nothing), nothing, nothing);
        self.sealed(&change.generated_config);
    }

    fn value(&mut self, value: &Value, sensitive: &Value, unknown: &Value) {
        match mask::parts(value, sensitive, unknown) {
            Parts::Unknown => self.bytes.push(b'?'),
            Parts::Sensitive => self.sealed(value),
            Parts::Scalar(scalar) => self.scalar(scalar),
            Parts::Fields(fields) => {
                self.bytes.push(b'{');
                for (name, value) in fields {
                    self.text(name);
                    let (sensitive, unknown) =
                        (mask::field(sensitive, name), mask::field(unknown, name));
                    self.value(value, sensitive, unknown);
                }
                self.bytes.push(b'}');
            }
            Parts::Elements(items) => {
                self.bytes.push(b'[');
                for (index, value) in items.into_iter().enumerate() {
                    let (sensitive, unknown) =
                        (mask::element(sensitive, index), mask::element(unknown, index));
                    self.value(value, sensitive, unknown);
                }
                self.bytes.push(b']');
            }
        }
    }

    fn scalar(&mut self, scalar: &Value) {
        match scalar {
            Value::Bool(true) => self.bytes.push(b't'),
            Value::Bool(false) => self.bytes.push(b'f'),
            Value::Number(number) => {
                self.bytes.push(b'#');
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.bytes.push(b's');
                self.text(text);
            }
            Value::Null | Value::Array(_) | Value::Object(_) => self.bytes.push(b'n'),
        }
    }

    /// A keyed hash in place of a value.
    fn sealed(&mut self, value: &Value) {
        let mut inner = Encoder { key: self.key, bytes: Vec::new() };
        inner.value(value, &Value::Null, &Value::Null);
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key).expect("an HMAC takes a key of any length");
        mac.update(&inner.bytes);
        self.bytes.push(b'*');
        self.bytes.extend_from_slice(&mac.finalize().into_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.bytes.push(b's');
                self.text(text);
            }
            None => self.bytes.push(b'n'),
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

impl PlanDigest {
    /// The digest of a plan that does nothing; `key` as in [`Plan::semantic_digest`].
    #[must_use]
    pub fn of_nothing(key: &[u8]) -> Self {
        let mut encoder = Encoder { key, bytes: Vec::new() };
        encoder.text(ENCODING);
        encoder.sealed(&Value::Null);
        encoder.sealed(&Value::Null);
        Self(Sha256::digest(&encoder.bytes).into())
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanDigest({self})")
    }
}

impl FromStr for PlanDigest {
    type Err = PlanDigestError;

    fn from_str(text: &str) -> Result<Self, PlanDigestError> {
        let error = || PlanDigestError { text: text.to_owned() };
        let digits = text.strip_prefix("sha256:").ok_or_else(error)?;
        let valid = digits.len() == 64
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !valid {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = &digits[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<Cow<'_, str>> for PlanDigest {
    type Error = PlanDigestError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, PlanDigestError> {
        text.parse()
    }
}

impl From<PlanDigest> for String {
    fn from(digest: PlanDigest) -> Self {
        digest.to_string()
    }
}

impl JsonSchema for PlanDigest {
    fn schema_name() -> Cow<'static, str> {
        "PlanDigest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}
