//! The marks beside a value: which parts are unknown and which are sensitive.
//!
//! A mark is `true` for the whole value, an object or list of marks for its parts, or anything
//! else for no mark.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Whether any part is marked.
pub(super) fn any(mark: &Value) -> bool {
    match mark {
        Value::Bool(marked) => *marked,
        Value::Array(marks) => marks.iter().any(any),
        Value::Object(marks) => marks.values().any(any),
        Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether the whole is marked.
pub(super) fn whole(mark: &Value) -> bool {
    *mark == Value::Bool(true)
}

/// The mark of a field.
pub(super) fn field<'m>(mark: &'m Value, name: &str) -> &'m Value {
    mark.get(name).unwrap_or(&Value::Null)
}

/// The mark of a list's element.
pub(super) fn element(mark: &Value, index: usize) -> &Value {
    mark.get(index).unwrap_or(&Value::Null)
}

/// A value as its parts: an unknown part is missing in the value and only marked.
pub(super) enum Parts<'v> {
    Unknown,
    Sensitive,
    Fields(Vec<(&'v str, &'v Value)>),
    Elements(Vec<&'v Value>),
    Scalar(&'v Value),
}

/// Takes one level of a value apart, its fields in the order of their names.
pub(super) fn parts<'v>(value: &'v Value, sensitive: &Value, unknown: &'v Value) -> Parts<'v> {
    if whole(unknown) {
        return Parts::Unknown;
    }
    if whole(sensitive) {
        return Parts::Sensitive;
    }
    match (value, unknown) {
        (Value::Object(fields), _) => Parts::Fields(with_unknown(Some(fields), unknown)),
        (Value::Null, Value::Object(_)) if any(unknown) => {
            Parts::Fields(with_unknown(None, unknown))
        }
        (Value::Array(items), marks) => {
            let marked = marks.as_array().map_or(0, Vec::len);
            let element = |index| items.get(index).unwrap_or(&Value::Null);
            Parts::Elements((0..items.len().max(marked)).map(element).collect())
        }
        (scalar, _) => Parts::Scalar(scalar),
    }
}

/// The fields of a value and those that are only marked as unknown, in the order of their names.
fn with_unknown<'v>(
    fields: Option<&'v Map<String, Value>>,
    unknown: &'v Value,
) -> Vec<(&'v str, &'v Value)> {
    let known = fields.into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    let marked = unknown.as_object().into_iter().flatten().filter(|(_, mark)| any(mark));
    let marked = marked.map(|(name, _)| (name.as_str(), &Value::Null));
    // A later entry replaces an earlier one: what is known wins over what is only marked.
    marked.chain(known).collect::<BTreeMap<&str, &Value>>().into_iter().collect()
}

/// A copy for people: unknown and sensitive parts are replaced by words.
pub(super) fn masked(value: &Value, sensitive: &Value, unknown: &Value) -> Value {
    match parts(value, sensitive, unknown) {
        Parts::Unknown => Value::from("(known after apply)"),
        Parts::Sensitive => Value::from("(sensitive)"),
        Parts::Scalar(scalar) => scalar.clone(),
        Parts::Fields(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                (name.to_owned(), masked(value, field(sensitive, name), field(unknown, name)))
            })
            .collect(),
        Parts::Elements(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, value)| masked(value, element(sensitive, index), element(unknown, index)))
            .collect(),
    }
}
