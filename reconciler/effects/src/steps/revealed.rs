//! Secrets in the place of the words that stand for them, at the moment at which they are sent.

use std::collections::BTreeMap;

use reconciler_domain::secret::SecretRef;
use serde_json::Value;
use url::Url;

use super::Halt;
use crate::git::Secret;
use crate::scoped::Scoped;

/// The secrets of one request, by the words for them.
pub(crate) struct Revealed(Vec<(String, Secret)>);

impl Revealed {
    /// Opens the secrets that a request to this address holds.
    pub(super) fn open(effects: &Scoped, secrets: &[SecretRef], url: &Url) -> Result<Self, Halt> {
        Self::opened(effects, secrets, url).map_err(Halt::never)
    }

    /// The same, or why they cannot be had.
    pub(crate) fn opened(
        effects: &Scoped,
        secrets: &[SecretRef],
        url: &Url,
    ) -> Result<Self, String> {
        let opened =
            secrets.iter().map(|wanted| Ok((wanted.words(), effects.secret_for(wanted, url)?)));
        opened.collect::<Result<_, String>>().map(Self)
    }

    /// Opens secrets of the project for what runs here.
    pub(super) fn open_own(effects: &Scoped, secrets: &[SecretRef]) -> Result<Self, Halt> {
        let opened = secrets.iter().map(|wanted| {
            let SecretRef { credential, key } = wanted;
            let secret = effects.secret(&format!("{credential}/{key}")).map_err(Halt::never)?;
            Ok((wanted.words(), secret))
        });
        opened.collect::<Result<_, Halt>>().map(Self)
    }

    /// Whether there is one.
    pub(super) fn is_some(&self) -> bool {
        !self.0.is_empty()
    }

    /// The text with its secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (words, secret)| {
            if text.contains(words) { text.replace(words, secret.expose()) } else { text }
        })
    }

    /// The headers with their secrets.
    pub(crate) fn headers(&self, headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        headers.iter().map(|(name, value)| (name.clone(), self.text(value))).collect()
    }

    /// The value with its secrets.
    pub(super) fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), self.json(field))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}
