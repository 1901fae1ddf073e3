//! Templates: text with `{{ expression }}` in it.
//!
//! A text that is exactly one `{{ … }}` keeps the type of its value; anything else is a text.
//! `}}` alone, `$` and backslashes mean nothing, and a literal `{{` is written `{{ '{{' }}`.
//! Braces and quotes inside an expression are read as the expression reads them, so a map literal
//! or a text with braces needs no escape.
//!
//! `document` applies templates to every text of a JSON value, whole or in part.

mod document;

use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr};

pub use document::{
    DEFERRED, Deferred, LocatedError, Partial, check_json, references_json, render_json,
    render_partial,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{EvaluationError, Expression, ExpressionError, Names, Reference, Scope};

/// The longest template, in bytes.
pub const MAX_TEMPLATE: usize = 256 * 1024;

/// A parsed template. Two are equal if their text is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Expression { offset: usize, expression: Expression },
}

/// A template cannot be read or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is refused.
    #[error("{0}")]
    Malformed(#[from] ExpressionError),
    /// An expression has no value.
    #[error("{0}")]
    Evaluation(#[from] EvaluationError),
    /// A value stands inside a text and has no text form.
    #[error("`{expression}` is null and cannot stand inside a text: give it a default")]
    NoText {
        /// The expression.
        expression: String,
    },
    /// The error of a text inside a JSON value.
    #[error("at {path}: {error}")]
    At {
        /// JSON pointer (RFC 6901) to the text.
        path: String,
        /// What is wrong there.
        error: Box<Self>,
    },
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Malformed`]: an expression that is not closed or not an expression, with
    /// its byte offset in the text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            let message = format!("the text is longer than {MAX_TEMPLATE} bytes");
            return Err(ExpressionError { message, offset: MAX_TEMPLATE }.into());
        }
        let mut parts = Vec::new();
        let mut position = 0;
        while let Some(found) = text[position..].find("{{") {
            let open = position + found;
            if open > position {
                parts.push(Part::Text(text[position..open].to_owned()));
            }
            let offset = open + 2;
            let end = closing(text, offset).ok_or_else(|| ExpressionError {
                message: "`{{` is not closed by `}}`".to_owned(),
                offset: open,
            })?;
            let expression = Expression::parse(&text[offset..end])
                .map_err(|error| ExpressionError { offset: offset + error.offset, ..error })?;
            parts.push(Part::Expression { offset, expression });
            position = end + 2;
        }
        if position < text.len() {
            parts.push(Part::Text(text[position..].to_owned()));
        }
        Ok(Self { source: text.to_owned(), parts })
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it has no expression.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// Whether it is one expression and nothing else, and so gives a value of any type.
    #[must_use]
    pub fn is_one_expression(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Expression { .. }])
    }

    /// Its expressions in order.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression { expression, .. } => Some(expression),
            Part::Text(_) => None,
        })
    }

    /// What its expressions read, sorted, each once.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        let all: BTreeSet<&Reference> =
            self.expressions().flat_map(Expression::references).collect();
        all.into_iter().cloned().collect()
    }

    /// Checks its expressions against the known names.
    ///
    /// # Errors
    ///
    /// All mistakes, with their offsets in the text of the template.
    pub fn check(&self, names: &Names) -> Result<(), Vec<ExpressionError>> {
        let mut errors = Vec::new();
        for part in &self.parts {
            let Part::Expression { offset, expression } = part else { continue };
            for error in expression.check(names).err().unwrap_or_default() {
                errors.push(ExpressionError { offset: offset + error.offset, ..error });
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Renders it. Lists and objects inside a text are written as JSON.
    ///
    /// # Errors
    ///
    /// An expression without a value, or `null` inside a text.
    pub fn render(&self, scope: &Scope) -> Result<Value, TemplateError> {
        if let [Part::Expression { expression, .. }] = self.parts.as_slice() {
            return Ok(expression.evaluate(scope)?);
        }
        self.concatenate(scope, &|_| false).map(Value::String)
    }

    /// The text with every expression replaced by its value, except those to be kept as written.
    fn concatenate(
        &self,
        scope: &Scope,
        kept: &dyn Fn(&Expression) -> bool,
    ) -> Result<String, TemplateError> {
        let mut text = String::with_capacity(self.source.len());
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Expression { expression, .. } if kept(expression) => {
                    text.push_str(&format!("{{{{ {} }}}}", expression.source().trim()));
                }
                Part::Expression { expression, .. } => {
                    let value = expression.evaluate(scope)?;
                    text.push_str(&as_text(&value).ok_or_else(|| TemplateError::NoText {
                        expression: expression.source().trim().to_owned(),
                    })?);
                }
            }
        }
        Ok(text)
    }
}

fn as_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        // A double with a whole value prints without a point, as the language's string() does.
        Value::Number(number) if number.is_f64() => number.as_f64()?.to_string(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    })
}

/// Where the `}}` stands that closes the expression starting at this offset, reading braces and
/// texts as the expression does.
fn closing(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut depth = 0_usize;
    while at < bytes.len() {
        match bytes[at] {
            b'}' if depth == 0 && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            b'}' => depth = depth.saturating_sub(1),
            b'{' => depth += 1,
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n')?;
            }
            quote @ (b'\'' | b'"') => {
                at = after_string(bytes, at, quote, is_raw(bytes, start, at))?;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether the quote at this place opens a raw text: `r'…'`, also `br` and `rb`.
fn is_raw(bytes: &[u8], start: usize, quote: usize) -> bool {
    let prefix: Vec<u8> = bytes[start..quote]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .map(u8::to_ascii_lowercase)
        .collect();
    matches!(prefix.as_slice(), b"r" | b"rb" | b"br")
}

/// The place after a text that opens here, with one or three quotes.
fn after_string(bytes: &[u8], open: usize, quote: u8, raw: bool) -> Option<usize> {
    let triple = bytes[open..].starts_with(&[quote; 3]);
    let width = if triple { 3 } else { 1 };
    let mut at = open + width;
    while at < bytes.len() {
        if bytes[at] == b'\\' && !raw {
            at += 2;
        } else if bytes[at..].starts_with(&[quote; 3][..width]) {
            return Some(at + width);
        } else {
            at += 1;
        }
    }
    None
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

impl TryFrom<Cow<'_, str>> for Template {
    type Error = TemplateError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, TemplateError> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text with {{ expression }} in it.",
            "examples": ["registry.example.com/shop:{{ freight.api.tag }}"],
        })
    }
}

#[cfg(test)]
mod tests;
