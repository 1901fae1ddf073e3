//! Keeps secrets out of everything that is told: messages, outputs, records, evidence.
//!
//! A secret is found as it is and in the forms in which programs repeat it: JSON, base64, percent
//! encoding, hexadecimal; one of several lines is found line by line. Texts shorter than
//! [`LENGTH_MIN`] are not looked for: they are in everything.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::git::Secret;

/// Bytes of the shortest secret that is looked for.
const LENGTH_MIN: usize = 8;
/// Bytes of the shortest line that is looked for by itself.
const LINE_MIN: usize = 16;

/// What must not be told, and what is told instead; the longest first.
#[derive(Default)]
pub(crate) struct Redactor(Vec<(Zeroizing<String>, String)>);

impl Redactor {
    /// Hides a secret behind these words.
    pub(crate) fn hide(&mut self, secret: &Secret, words: &str) {
        let text = secret.expose().trim();
        let lines = text.lines().map(str::trim).filter(|line| line.len() >= LINE_MIN);
        let parts: Vec<&str> = std::iter::once(text).chain(lines).collect();
        for part in parts.into_iter().filter(|part| part.len() >= LENGTH_MIN) {
            self.0.extend(forms(part).map(|form| (Zeroizing::new(form), words.to_owned())));
        }
        self.0.sort_by(|(left, _), (right, _)| {
            right.len().cmp(&left.len()).then_with(|| left.as_str().cmp(right))
        });
        self.0.dedup_by(|(left, _), (right, _)| left == right);
    }

    /// The text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (form, words)| {
            if text.contains(form.as_str()) { text.replace(form.as_str(), words) } else { text }
        })
    }

    /// The value without secrets, in keys and texts.
    pub(crate) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, field)| (self.text(&name), self.json(field)))
                .collect(),
            Value::Number(number) => {
                let text = number.to_string();
                let clean = self.text(&text);
                if clean == text { Value::Number(number) } else { Value::String(clean) }
            }
            Value::Null | Value::Bool(_) => value,
        }
    }

    /// Plain data without secrets; none if it has no form without them.
    pub(crate) fn data<T: Serialize + DeserializeOwned>(&self, data: T) -> Option<T> {
        if self.0.is_empty() {
            return Some(data);
        }
        serde_json::from_value(self.json(serde_json::to_value(data).ok()?)).ok()
    }
}

/// The forms in which a text is repeated.
fn forms(text: &str) -> impl Iterator<Item = String> {
    let json = Value::from(text).to_string();
    let percent: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    [
        text.to_owned(),
        json[1..json.len() - 1].to_owned(),
        STANDARD_NO_PAD.encode(text),
        URL_SAFE_NO_PAD.encode(text),
        percent.replace('+', "%20"),
        percent,
        text.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        let mut redactor = Redactor::default();
        for (secret, words) in secrets {
            redactor.hide(&Secret::new(*secret), words);
        }
        redactor
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let redactor = redactor(&[("p@ss \"word\"/1", "[secret a/b]")]);
        for form in [
            "p@ss \"word\"/1",
            r#"p@ss \"word\"/1"#,
            "cEBzcyAid29yZCIvMQ==",
            "p%40ss+%22word%22%2F1",
            "p%40ss%20%22word%22%2F1",
        ] {
            let told = redactor.text(&format!("x {form} y"));
            assert!(told.starts_with("x [secret a/b]"), "{form}: {told}");
        }
        assert_eq!(redactor.text("704073732022776f7264222f31"), "[secret a/b]");
    }

    #[test]
    fn the_longer_of_two_is_hidden_whole() {
        let redactor = redactor(&[("hunter22", "[short]"), ("hunter22-and-more", "[long]")]);
        assert_eq!(redactor.text("hunter22-and-more, hunter22"), "[long], [short]");
    }

    #[test]
    fn lines_of_a_key_are_found_alone_and_short_texts_are_left() {
        let redactor =
            redactor(&[("BEGIN\nMIIEvQIBADANBgkqhkiG9w0B\nEND", "[key]"), ("main", "[x]")]);
        assert_eq!(redactor.text("at MIIEvQIBADANBgkqhkiG9w0B: main"), "at [key]: main");
    }

    #[test]
    fn keys_texts_and_numbers_of_json_are_cleaned() {
        let redactor = redactor(&[("hunter22", "[a]"), ("12345678", "[b]")]);
        let clean = redactor.json(json!({ "hunter22": ["say hunter22", 12345678, 7, null, true] }));
        assert_eq!(clean, json!({ "[a]": ["say [a]", "[b]", 7, null, true] }));
    }
}
