//! Sets existing scalars in TOML text and leaves every other byte alone.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml_edit::{Document, Item, Table, TableLike};

use super::yaml::KeyPath;
use super::{EditError, check_size, splice};

const LANGUAGE: &str = "TOML";

/// Sets scalars.
///
/// # Errors
/// [`EditError`]; TOML has no null.
pub fn update(text: &str, updates: &[(KeyPath, Value)]) -> Result<String, EditError> {
    let document = parse(text)?;
    let pieces =
        updates.iter().map(|(key, value)| Ok((locate(&document, key)?, literal(key, value)?)));
    let edited = splice(text, pieces.collect::<Result<_, EditError>>()?);
    parse(&edited)?;
    Ok(edited)
}

/// The text as data; dates and times are texts.
///
/// # Errors
/// [`EditError::Syntax`].
pub fn read(text: &str) -> Result<Value, EditError> {
    Ok(table(parse(text)?.as_table()))
}

fn parse(text: &str) -> Result<Document<&str>, EditError> {
    check_size(LANGUAGE, text)?;
    Document::parse(text).map_err(|error| EditError::syntax(LANGUAGE, error.message()))
}

/// A place in a document.
#[derive(Clone, Copy)]
enum Place<'d> {
    Item(&'d Item),
    Table(&'d Table),
    Value(&'d toml_edit::Value),
}

impl<'d> Place<'d> {
    fn below(self, part: &str) -> Option<Self> {
        match self {
            Self::Item(Item::None) => None,
            Self::Item(Item::Value(value)) | Self::Value(value) => below_value(value, part),
            Self::Item(Item::Table(table)) | Self::Table(table) => table.get(part).map(Self::Item),
            Self::Item(Item::ArrayOfTables(tables)) => {
                part.parse().ok().and_then(|index| tables.get(index)).map(Self::Table)
            }
        }
    }
}

fn below_value<'d>(value: &'d toml_edit::Value, part: &str) -> Option<Place<'d>> {
    if let Some(array) = value.as_array() {
        return part.parse().ok().and_then(|index| array.get(index)).map(Place::Value);
    }
    let inline: &dyn TableLike = value.as_inline_table()?;
    inline.get(part).map(Place::Item)
}

fn locate(document: &Document<&str>, key: &KeyPath) -> Result<Range<usize>, EditError> {
    let mut place = Place::Table(document.as_table());
    for part in key.parts() {
        place = place.below(part).ok_or_else(|| EditError::not_found(key))?;
    }
    match place {
        Place::Item(Item::Value(value)) | Place::Value(value) => match value {
            toml_edit::Value::Array(_) => Err(EditError::not_scalar(key, "a list")),
            toml_edit::Value::InlineTable(_) => Err(EditError::not_scalar(key, "a table")),
            scalar => scalar.span().ok_or_else(|| EditError::not_found(key)),
        },
        Place::Item(Item::ArrayOfTables(_)) => Err(EditError::not_scalar(key, "a list")),
        Place::Item(Item::Table(_)) | Place::Table(_) => Err(EditError::not_scalar(key, "a table")),
        Place::Item(Item::None) => Err(EditError::not_found(key)),
    }
}

fn literal(key: &KeyPath, value: &Value) -> Result<String, EditError> {
    let written: toml_edit::Value = match value {
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            (None, _) => return Err(unrepresentable(key, value)),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(unrepresentable(key, value));
        }
    };
    Ok(written.to_string().trim().to_owned())
}

fn unrepresentable(key: &KeyPath, value: &Value) -> EditError {
    let (key, value) = (key.clone(), value.to_string());
    EditError::Unrepresentable { key, language: LANGUAGE, value }
}

fn table(table: &dyn TableLike) -> Value {
    let entries = table.iter().map(|(name, item)| (name.to_owned(), item_data(item)));
    Value::Object(entries.collect::<Map<String, Value>>())
}

fn item_data(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => data(value),
        Item::Table(inner) => table(inner),
        Item::ArrayOfTables(tables) => tables.iter().map(|inner| table(inner)).collect(),
    }
}

fn data(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => {
            Number::from_f64(*number.value()).map_or(Value::Null, Value::Number)
        }
        toml_edit::Value::Boolean(value) => (*value.value()).into(),
        toml_edit::Value::Datetime(time) => time.value().to_string().into(),
        toml_edit::Value::Array(items) => items.iter().map(data).collect(),
        toml_edit::Value::InlineTable(inner) => table(inner),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    const TEXT: &str = "# top\ntitle = 'x' # why\n[image]  # of the app\ntag = \"1.0\"\nn = [1, 2,\n  3]\n\
                        [[env]]\nname = \"a\"\n[[env]]\nname = \"b\"\npoint = { x = 1.5, y = true }\n";

    fn set(key: &str, value: Value) -> String {
        match update(TEXT, &[(key.parse().unwrap(), value)]) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_value_changes() {
        assert_eq!(set("title", json!("y")), TEXT.replace("'x'", "\"y\""));
        assert_eq!(set("image.tag", json!("2.0")), TEXT.replace("1.0", "2.0"));
        assert_eq!(set("image.n.2", json!(7)), TEXT.replace("  3]", "  7]"));
        assert_eq!(set("env.1.name", json!("c")), TEXT.replace("\"b\"", "\"c\""));
        assert_eq!(set("env.1.point.x", json!(2)), TEXT.replace("1.5", "2"));
        insta::assert_snapshot!(set("image", json!(1)), @"key `image` holds a table, not a scalar that can be set in place");
        insta::assert_snapshot!(set("image.n.3", json!(1)), @"key `image.n.3` is not there; only existing values are set");
        insta::assert_snapshot!(set("title", json!(null)), @"key `title`: TOML cannot hold null");
    }

    #[test]
    fn a_text_reads_as_data() {
        assert_eq!(
            read("a = 1\nwhen = 2026-01-02\n[b.c]\nd = [true]\n").unwrap(),
            json!({ "a": 1, "when": "2026-01-02", "b": { "c": { "d": [true] } } }),
        );
        assert!(read("a = ").is_err());
    }
}
