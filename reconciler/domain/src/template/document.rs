//! Templates in every text of a JSON value: a step's configuration, a request's body.
//!
//! Only values are templates, never the keys of objects.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Template, TemplateError};
use crate::expression::{Expression, ExpressionError, Names, Reference, Scope};

/// The key of the object that stands for a text that waits, in [`Partial::value`].
pub const DEFERRED: &str = "$deferred";

/// A mistake in one text of a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {path}: {error}")]
pub struct LocatedError {
    /// JSON pointer (RFC 6901) to the text.
    pub path: String,
    /// What is wrong there.
    pub error: ExpressionError,
}

/// A value of which some texts wait for values that do not exist yet.
///
/// It is for showing and for digests. It is never rendered again: that would read known values as
/// templates. When the missing values exist, the original is rendered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Partial {
    /// The value; a text that waits is `{"$deferred": preview}`.
    pub value: Value,
    /// The texts that wait, in the order of the value.
    pub deferred: Vec<Deferred>,
}

/// One text that waits for values that do not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deferred {
    /// JSON pointer (RFC 6901) to the text.
    pub path: String,
    /// The template as written.
    pub template: String,
    /// The template with every known value filled in.
    pub preview: String,
    /// What it waits for.
    pub references: Vec<Reference>,
}

/// Parses and checks every text inside a value against the known names.
///
/// # Errors
///
/// All mistakes, each with the pointer to its text.
pub fn check_json(value: &Value, names: &Names) -> Result<(), Vec<LocatedError>> {
    let mut errors = Vec::new();
    each_text(value, &mut String::new(), &mut |path, text| {
        let mistakes = match Template::parse(text) {
            Ok(template) => template.check(names).err().unwrap_or_default(),
            Err(TemplateError::Malformed(error)) => vec![error],
            // Parsing has no other errors.
            Err(_) => Vec::new(),
        };
        let located = |error| LocatedError { path: path.to_owned(), error };
        errors.extend(mistakes.into_iter().map(located));
    });
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What the templates inside a value read, sorted, each once.
///
/// # Errors
///
/// The first text that is not a template, with its pointer.
pub fn references_json(value: &Value) -> Result<Vec<Reference>, TemplateError> {
    let mut all = BTreeSet::new();
    let mut first_error = None;
    each_text(value, &mut String::new(), &mut |path, text| match Template::parse(text) {
        Ok(template) => all.extend(template.references()),
        Err(error) => {
            first_error.get_or_insert(at(path, error));
        }
    });
    first_error.map_or_else(|| Ok(all.into_iter().collect()), Err)
}

/// Renders every text inside a value.
///
/// # Errors
///
/// The first text that cannot be read or rendered, with its pointer.
pub fn render_json(value: &Value, scope: &Scope) -> Result<Value, TemplateError> {
    map_texts(value, &mut String::new(), &mut |path, text| {
        let rendered = Template::parse(text).and_then(|template| template.render(scope));
        rendered.map_err(|error| at(path, error))
    })
}

/// Renders every text inside a value except those that read something `deferred` says is not
/// known yet.
///
/// # Errors
///
/// The first text that cannot be read or rendered, with its pointer.
pub fn render_partial(
    value: &Value,
    scope: &Scope,
    deferred: &dyn Fn(&Reference) -> bool,
) -> Result<Partial, TemplateError> {
    let mut waiting = Vec::new();
    let value = map_texts(value, &mut String::new(), &mut |path, text| {
        render_text(text, scope, deferred, path, &mut waiting).map_err(|error| at(path, error))
    })?;
    Ok(Partial { value, deferred: waiting })
}

fn render_text(
    text: &str,
    scope: &Scope,
    deferred: &dyn Fn(&Reference) -> bool,
    path: &str,
    waiting: &mut Vec<Deferred>,
) -> Result<Value, TemplateError> {
    let template = Template::parse(text)?;
    let references: Vec<Reference> = template.references().into_iter().filter(deferred).collect();
    if references.is_empty() {
        return template.render(scope);
    }
    let waits = |expression: &Expression| expression.references().iter().any(deferred);
    let preview = template.concatenate(scope, &waits)?;
    let value = json!({ DEFERRED: preview });
    let template = text.to_owned();
    waiting.push(Deferred { path: path.to_owned(), template, preview, references });
    Ok(value)
}

fn at(path: &str, error: TemplateError) -> TemplateError {
    let path = if path.is_empty() { "the value" } else { path };
    TemplateError::At { path: path.to_owned(), error: Box::new(error) }
}

/// Visits every text with its JSON pointer.
fn each_text(value: &Value, path: &mut String, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                below(path, &index.to_string(), |path| each_text(item, path, visit));
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                below(path, &segment(name), |path| each_text(field, path, visit));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A copy of a value in which every text is replaced by what the function makes of it.
fn map_texts<E>(
    value: &Value,
    path: &mut String,
    replace: &mut dyn FnMut(&str, &str) -> Result<Value, E>,
) -> Result<Value, E> {
    match value {
        Value::String(text) => replace(path, text),
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| {
                below(path, &index.to_string(), |path| map_texts(item, path, replace))
            });
            items.collect::<Result<Vec<Value>, E>>().map(Value::Array)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| {
                let field = below(path, &segment(name), |path| map_texts(field, path, replace))?;
                Ok((name.clone(), field))
            });
            fields.collect::<Result<Map<String, Value>, E>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

/// The name of a field as a pointer has it.
fn segment(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) {
        return name.replace('~', "~0").replace('/', "~1").into();
    }
    name.into()
}

fn below<T>(path: &mut String, segment: &str, visit: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push('/');
    path.push_str(segment);
    let result = visit(path);
    path.truncate(length);
    result
}
