//! YAML as data, and data as YAML.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::document::{Document, Item};
use super::scalar::{Scalar, plain_or_quoted, plain_or_quoted_in_flow};
use super::{YamlEditError, limited};

/// Nodes that one text may stand for once its aliases are followed.
const NODES_MAX: usize = 1_000_000;

/// The first document of a text as data, aliases followed. Keys are texts; infinities and NaN, which
/// JSON lacks, are texts as well.
///
/// # Errors
/// [`YamlEditError::InvalidYaml`], also of aliases that stand for too much, or for themselves.
pub fn read(text: &str) -> Result<Value, YamlEditError> {
    let document = Document::parse(limited(text)?)?;
    let mut budget = NODES_MAX;
    match document.root() {
        Some(root) => data(&document, root, &mut budget, 0),
        None => Ok(Value::Null),
    }
}

/// Where the first document has its first tag: keys and positions joined by dots, empty for the whole of it;
/// absent: it has none. As data a tag is lost.
///
/// # Errors
/// [`YamlEditError::InvalidYaml`].
pub fn first_tag(text: &str) -> Result<Option<String>, YamlEditError> {
    let document = Document::parse(limited(text)?)?;
    let mut path = Vec::new();
    let found = document.root().is_some_and(|root| leads_to_tag(&document, root, &mut path));
    Ok(found.then(|| path.join(".")))
}

/// Whether the node or what is in it has a tag; the path then leads to the first.
fn leads_to_tag(document: &Document<'_>, node: usize, path: &mut Vec<String>) -> bool {
    if !document.holds_tag(node) {
        return false;
    }
    let Item::Start(collection) = document.item_of(node) else { return true };
    let step = if collection.is_mapping() { 2 } else { 1 };
    for (at, child) in document.children(node).chunks_exact(step).enumerate() {
        let (key, value) = (child[0], child[step - 1]);
        let name = match document.item_of(key) {
            Item::Scalar(token) if step == 2 => token.text.clone(),
            _ => at.to_string(),
        };
        path.push(name);
        if (step == 2 && document.holds_tag(key)) || leads_to_tag(document, value, path) {
            return true;
        }
        path.pop();
    }
    // It is the collection's own.
    true
}

/// Data as YAML in block style.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(entries) if !entries.is_empty() => write_map(entries, 0, &mut text),
        Value::Array(items) if !items.is_empty() => write_list(items, 0, &mut text),
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
    text
}

/// Maps merge deeply, key by key; anything else of `over` takes the place of what was there, and
/// null removes it.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.shift_remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = without_nulls(over),
    }
}

/// What a map brings newly must not bring removals along.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let kept = entries.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

/// What a node holds, aliases followed.
pub(super) fn data_of(document: &Document<'_>, node: usize) -> Result<Value, YamlEditError> {
    let mut budget = NODES_MAX;
    data(document, node, &mut budget, 0)
}

fn data(
    document: &Document<'_>,
    node: usize,
    budget: &mut usize,
    depth: usize,
) -> Result<Value, YamlEditError> {
    let too_much = || YamlEditError::InvalidYaml {
        line: 1,
        column: 1,
        reason: "its aliases stand for too much".to_owned(),
    };
    *budget = budget.checked_sub(1).ok_or_else(too_much)?;
    if depth > super::document::DEPTH_MAX {
        return Err(too_much());
    }
    let node = document.follow_node(node);
    let mut each = |child: usize| data(document, child, budget, depth + 1);
    match document.item_of(node) {
        Item::Scalar(token) => Ok(Scalar::read(token).data()),
        Item::Start(collection) if collection.is_mapping() => {
            let mut entries = Map::new();
            for pair in document.children(node).chunks_exact(2) {
                let key = name_of(each(pair[0])?);
                let value = each(pair[1])?;
                if entries.contains_key(&key) {
                    return Err(twice(document, pair[0], &key));
                }
                entries.insert(key, value);
            }
            Ok(Value::Object(entries))
        }
        Item::Start(_) => document.children(node).iter().map(|child| each(*child)).collect(),
        Item::Alias(_) | Item::End | Item::DocumentStart | Item::DocumentEnd => Err(too_much()),
    }
}

/// The entries of a mapping by the names that their keys have as data, `1.10` and `1.1` the same.
pub(super) fn names(
    document: &Document<'_>,
    node: usize,
) -> Result<HashMap<String, usize>, YamlEditError> {
    let pairs = document.children(node).chunks_exact(2).enumerate();
    pairs.map(|(index, pair)| Ok((name_of(data_of(document, pair[0])?), index))).collect()
}

fn name_of(key: Value) -> String {
    match key {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Keys that are one as data, however each is written: one of the values would be lost.
fn twice(document: &Document<'_>, key: usize, name: &str) -> YamlEditError {
    let at = document.token_of(key).map_or(0, |span| span.start);
    let (line, column) = document.line_and_column(at);
    let reason = format!("key `{name}` is there twice, written in two ways");
    YamlEditError::InvalidYaml { line, column, reason }
}

impl Scalar {
    /// The scalar as data; what JSON lacks is text.
    pub(super) fn data(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::String(text) => text.clone().into(),
            Self::Int(value) => {
                Number::from_i128(*value).map_or_else(|| value.to_string().into(), Value::Number)
            }
            Self::Float(value) => {
                Number::from_f64(*value).map_or_else(|| value.to_string().into(), Value::Number)
            }
        }
    }
}

fn write_map(entries: &Map<String, Value>, indent: usize, text: &mut String) {
    for (key, value) in entries {
        text.push_str(&" ".repeat(indent));
        text.push_str(&plain_or_quoted(key));
        text.push(':');
        write_below(value, indent, text);
    }
}

fn write_list(items: &[Value], indent: usize, text: &mut String) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        text.push('-');
        match item {
            // The first key stands beside the dash.
            Value::Object(entries) if !entries.is_empty() => {
                let mut inner = String::new();
                write_map(entries, indent + 2, &mut inner);
                text.push(' ');
                text.push_str(inner.trim_start_matches(' '));
            }
            other => write_below(other, indent, text),
        }
    }
}

fn write_below(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            text.push('\n');
            write_map(entries, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write_list(items, indent + 2, text);
        }
        scalar => {
            text.push(' ');
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
}

/// Data on one line, as it stands inside a flow collection.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| flow_entry(key, value));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => plain_or_quoted_in_flow(text),
        scalar => scalar.to_string(),
    }
}

/// An entry of a flow mapping.
pub(super) fn flow_entry(key: &str, value: &Value) -> String {
    format!("{}: {}", plain_or_quoted_in_flow(key), flow(value))
}

/// A scalar, or an empty list or map.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => plain_or_quoted(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_reads_as_data() {
        let text = "a: &x {n: 1, t: yes}\nb: *x\nc: [~, 1.5, '2', 0x10]\n1: one\n---\nother: 1\n";
        assert_eq!(
            read(text).unwrap(),
            json!({
                "a": { "n": 1, "t": "yes" },
                "b": { "n": 1, "t": "yes" },
                "c": [null, 1.5, "2", 16],
                "1": "one",
            }),
        );
        assert_eq!(read("").unwrap(), Value::Null);
    }

    #[test]
    fn keys_that_are_one_as_data_are_refused() {
        for text in ["1.10: a\n1.1: b\n", "1: a\n'1': b\n", "{x: {0x10: a, 16: b}}\n"] {
            assert!(read(text).unwrap_err().to_string().contains("twice"), "{text}");
        }
    }

    #[test]
    fn aliases_cannot_stand_for_too_much() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(read(&text).unwrap_err().to_string().contains("too much"));
    }

    #[test]
    fn later_files_win_key_by_key() {
        let mut base = json!({ "a": { "x": 1, "y": 2 }, "l": [1, 2], "gone": 1 });
        merge(&mut base, json!({ "a": { "y": 3, "z": { "n": null } }, "l": [9], "gone": null }));
        assert_eq!(base, json!({ "a": { "x": 1, "y": 3, "z": {} }, "l": [9] }));
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\\n]{0,8}".prop_map(Value::from),
            prop_oneof![Just("yes"), Just("1.0"), Just("- a"), Just("2026-01-02"), Just("a: b")]
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-c:# ]{1,3}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in documents()) {
            let text = write(&value);
            prop_assert_eq!(read(&text).unwrap(), value, "{}", text);
        }
    }
}
