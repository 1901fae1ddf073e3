//! Rendered arguments, read as the types that a call has.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::CallError;
use crate::duration;
use crate::step::{FieldType, StepKind, fields};

/// Typed reading of rendered arguments.
pub(super) struct Arguments<'a>(pub(super) &'a Value);

impl<'a> Arguments<'a> {
    pub(super) fn given(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, CallError> {
        self.given(name).map(|value| scalar_text(value, name)).transpose()
    }

    pub(super) fn text(&self, name: &str) -> Result<String, CallError> {
        scalar_text(self.0.get(name).unwrap_or(&Value::Null), name)
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, CallError> {
        let Some(value) = self.given(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| CallError::Type {
            path: name.to_owned(),
            expected: "a list",
            found: value.to_string(),
        })?;
        items
            .iter()
            .enumerate()
            .map(|(at, item)| scalar_text(item, &format!("{name}[{at}]")))
            .collect()
    }

    /// One of the words that the table of the kind allows for this argument.
    pub(super) fn word(&self, kind: StepKind, name: &str) -> Result<Option<String>, CallError> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        let allowed = fields(kind).iter().any(|field| match field.holds {
            FieldType::OneOf(words) => field.name == name && words.contains(&text.as_str()),
            FieldType::Text
            | FieldType::Bool
            | FieldType::Integer
            | FieldType::Duration
            | FieldType::Condition
            | FieldType::Any
            | FieldType::List(_)
            | FieldType::Map(_)
            | FieldType::Object(_) => false,
        });
        if allowed {
            return Ok(Some(text));
        }
        let (path, expected) = (name.to_owned(), "one of the allowed words");
        Err(CallError::Type { path, expected, found: text })
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, CallError> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        let parsed = duration::parse(&text);
        parsed.map(Some).map_err(|_| CallError::Type {
            path: name.to_owned(),
            expected: "a duration such as \"30s\"",
            found: text,
        })
    }

    /// True or false; false if it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, CallError> {
        match self.given(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(CallError::Type {
                path: name.to_owned(),
                expected: "true or false",
                found: other.to_string(),
            }),
        }
    }

    pub(super) fn author_name(&self) -> Result<String, CallError> {
        Ok(self.optional_text("author_name")?.unwrap_or_else(|| "Lockstep".to_owned()))
    }

    pub(super) fn author_email(&self) -> Result<String, CallError> {
        let given = self.optional_text("author_email")?;
        Ok(given.unwrap_or_else(|| "lockstep@localhost".to_owned()))
    }

    /// A whole number from 0 to `max`.
    pub(super) fn count(&self, name: &str, max: u64) -> Result<Option<u64>, CallError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        // A template around other text gives text.
        let count = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        match count.filter(|count| *count <= max) {
            Some(count) => Ok(Some(count)),
            None => Err(CallError::Range { path: name.to_owned(), max, found: value.to_string() }),
        }
    }

    /// The headers of a request.
    pub(super) fn headers(&self) -> Result<BTreeMap<String, String>, CallError> {
        let text = |(name, value): (&String, &Value)| {
            Ok((name.clone(), scalar_text(value, &format!("headers.{name}"))?))
        };
        self.map("headers")?.map(text).collect()
    }

    /// A map of values of any type.
    pub(super) fn values(&self, name: &str) -> Result<Map<String, Value>, CallError> {
        Ok(self.map(name)?.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// A map of expressions.
    pub(super) fn expressions(&self, name: &str) -> Result<BTreeMap<String, String>, CallError> {
        let entries = self.map(name)?;
        entries
            .map(|(key, value)| Ok((key.clone(), scalar_text(value, &format!("{name}.{key}"))?)))
            .collect()
    }

    /// The entries of a map; none if it is not given.
    pub(super) fn map(
        &self,
        name: &str,
    ) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>, CallError> {
        let entries = match self.given(name) {
            None => None,
            Some(Value::Object(entries)) => Some(entries),
            Some(other) => {
                return Err(CallError::Type {
                    path: name.to_owned(),
                    expected: "a map",
                    found: other.to_string(),
                });
            }
        };
        Ok(entries.into_iter().flatten())
    }
}

pub(super) fn scalar_text(value: &Value, path: &str) -> Result<String, CallError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(CallError::Type {
            path: path.to_owned(),
            expected: "text",
            found: value.to_string(),
        }),
    }
}
