//! Values to and from what the API speaks.
//!
//! The API knows no difference between nothing and an empty list, and need not give texts back as
//! they were written. A state keeps the user's form wherever both mean the same ([`keep`]), so
//! that a plan after an apply is empty.

use std::collections::BTreeMap;

use jiff::Timestamp;
use provider_protocol::cty::{Number, Value};
use provider_protocol::provider::Reader;

/// Reads what is known and checked already: a planned value, or a state.
pub(crate) trait Read {
    /// A text, if it is set.
    fn text(&self, name: &str) -> Option<String>;
    /// A text that is set by the schema's own rule.
    fn required(&self, name: &str) -> String;
    /// A list of texts; empty if it is not set.
    fn texts(&self, name: &str) -> Vec<String>;
    /// A map of texts; empty if it is not set.
    fn text_map(&self, name: &str) -> BTreeMap<String, String>;
    /// A whole number, if it is set.
    fn count(&self, name: &str) -> Option<u32>;
    /// An instant, if it is set and is one.
    fn instant(&self, name: &str) -> Option<Timestamp>;
    /// Whether it is set to true.
    fn flag(&self, name: &str) -> bool;
    /// A list of words of an enumeration; what is no word is left out.
    fn words<T: std::str::FromStr>(&self, name: &str) -> Vec<T>;
}

impl Read for Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.string(name).known().map(str::to_owned)
    }

    fn required(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.strings(name).known().unwrap_or_default().into_iter().map(str::to_owned).collect()
    }

    fn text_map(&self, name: &str) -> BTreeMap<String, String> {
        let entries = self.string_map(name).known().unwrap_or_default().into_iter();
        entries.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    fn count(&self, name: &str) -> Option<u32> {
        let number = self.number(name).known().and_then(Number::as_i64);
        number.and_then(|number| number.try_into().ok())
    }

    fn instant(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }

    fn flag(&self, name: &str) -> bool {
        self.bool(name).known().unwrap_or_default()
    }

    fn words<T: std::str::FromStr>(&self, name: &str) -> Vec<T> {
        self.texts(name).iter().filter_map(|word| word.parse().ok()).collect()
    }
}

/// A list of texts; null if there are none.
pub(crate) fn texts<T: ToString>(texts: &[T]) -> Value {
    if texts.is_empty() {
        return Value::Null;
    }
    Value::list(texts.iter().map(T::to_string))
}

/// A map of texts; null if there are none.
pub(crate) fn text_map(texts: &BTreeMap<String, String>) -> Value {
    if texts.is_empty() { Value::Null } else { texts.clone().into() }
}

/// A text; null if it is empty.
pub(crate) fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// An instant as RFC 3339 has it.
pub(crate) fn instant(at: Option<Timestamp>) -> Value {
    at.map(|at| at.to_string()).into()
}

/// Lists of blocks in which each has a name of its own across all of them: the block types, and
/// the attribute that names them. Their order means nothing.
pub(crate) type Keyed = &'static [(&'static [&'static str], &'static str)];

/// What was read, in the form of the state before wherever both mean the same: absent or empty,
/// and the order of named blocks.
pub(crate) fn keep(read: Value, prior: &Value, keyed: Keyed) -> Value {
    let Value::Map(mut fields) = read else { return read };
    for (name, value) in &mut fields {
        let before = prior.get(name).unwrap_or(&Value::Null);
        let key = keyed.iter().find(|(blocks, _)| blocks.contains(&name.as_str()));
        let read = std::mem::take(value);
        *value = match (read, before.as_list(), key) {
            (Value::List(read), Some(before), Some((_, key))) => {
                Value::List(keep_blocks(read, before, key))
            }
            (Value::List(read), Some(before), None) => Value::List(keep_list(read, before)),
            (read, _, _) => keep_empty(read, before),
        };
    }
    Value::Map(fields)
}

fn keep_list(read: Vec<Value>, before: &[Value]) -> Vec<Value> {
    let before = before.iter().chain(std::iter::repeat(&Value::Null));
    read.into_iter().zip(before).map(|(read, before)| keep(read, before, &[])).collect()
}

fn keep_blocks(mut read: Vec<Value>, before: &[Value], key: &str) -> Vec<Value> {
    let mut kept = Vec::with_capacity(read.len());
    for before in before {
        let same = |read: &Value| read.get(key).is_some() && read.get(key) == before.get(key);
        if let Some(found) = read.iter().position(same) {
            kept.push(keep(read.remove(found), before, &[]));
        }
    }
    kept.append(&mut read);
    kept
}

fn keep_empty(read: Value, before: &Value) -> Value {
    if read.is_null() && is_empty(before) { before.clone() } else { read }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::List(elements) => elements.is_empty(),
        Value::Map(elements) => elements.is_empty(),
        Value::Null | Value::Unknown(_) | Value::Bool(_) | Value::Number(_) | Value::Dynamic(_) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(name: &str, paths: Value) -> Value {
        Value::object([("name", Value::from(name)), ("paths", paths)])
    }

    #[test]
    fn the_users_form_is_kept() {
        let empty = || Value::List(Vec::new());
        let prior = Value::object([
            ("description", Value::from("")),
            ("labels", Value::Map(BTreeMap::new())),
            ("git", Value::List(vec![git("b", empty()), git("a", Value::Null)])),
        ]);
        let read = Value::object([
            ("description", Value::Null),
            ("labels", Value::Null),
            (
                "git",
                Value::List(vec![
                    git("new", Value::Null),
                    git("a", Value::list(["x"])),
                    git("b", Value::Null),
                ]),
            ),
        ]);
        let keyed: Keyed = &[(&["git", "image"], "name")];
        let kept = keep(read, &prior, keyed);
        assert_eq!(kept.get("description"), prior.get("description"));
        assert_eq!(kept.get("labels"), prior.get("labels"));
        let expected =
            vec![git("b", empty()), git("a", Value::list(["x"])), git("new", Value::Null)];
        assert_eq!(kept.get("git"), Some(&Value::List(expected)));
    }

    #[test]
    fn what_differs_is_what_was_read() {
        let prior = Value::object([("soak", Value::from("1h")), ("labels", Value::Null)]);
        let read = Value::object([("soak", Value::Null), ("labels", Value::list(["x"]))]);
        assert_eq!(keep(read.clone(), &prior, &[]), read);
    }
}
