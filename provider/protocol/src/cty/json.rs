//! The JSON form of values, led by their type: what states and some older messages hold.
//!
//! Numbers are read from their text, so that none loses digits.

use std::collections::BTreeMap;

use serde_json::error::Category;
use serde_json::value::RawValue;

use super::conform::{canonical_set, normalized};
use super::types::MAX_DEPTH;
use super::{Dynamic, NumberError, Path, Step, Type, TypeError, Value};

/// Why a JSON text is not a value of the type.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    Syntax(serde_json::Error),
    /// Something else is where the type demands a value of its own. What it is stays unsaid: it
    /// may be a secret.
    #[error("at {path}: {found} where {expected} belongs")]
    Mismatch {
        /// Where in the value.
        path: Path,
        /// What belongs there.
        expected: Type,
        /// What kind of JSON is there.
        found: &'static str,
    },
    /// A tuple has another number of elements than its type.
    #[error("at {path}: {found} elements in a tuple of {expected}")]
    Tuple {
        /// Where in the value.
        path: Path,
        /// How many there are.
        found: usize,
        /// How many belong there.
        expected: usize,
    },
    /// An object has an attribute that its type has not.
    #[error("at {0}: no such attribute")]
    Extra(Path),
    /// A number cannot be read.
    #[error("at {path}: {source}")]
    Number {
        /// Where in the value.
        path: Path,
        /// What is wrong with it.
        source: NumberError,
    },
    /// The type beside a value at a dynamic place cannot be read.
    #[error("at {path}: {source}")]
    Type {
        /// Where in the value.
        path: Path,
        /// What is wrong with it.
        source: TypeError,
    },
    /// The value nests too deep.
    #[error("value nests deeper than {MAX_DEPTH}")]
    Deep,
}

/// What to do with an attribute that the type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// The value is refused.
    Refuse,
    /// The attribute is dropped: a state written by a schema that had it.
    Drop,
}

/// Reads a value of `ty`. An attribute that is missing is null.
///
/// # Errors
///
/// When the text is not JSON, or not a value of `ty`.
pub fn decode(json: &str, ty: &Type, extra: Extra) -> Result<Value, JsonError> {
    let raw: &RawValue = parse(json, ty, &Path::root())?;
    read(raw, ty, extra, &Path::root())
}

/// Reads JSON of no known type, as [`to_plain`] writes it: a number that needs more than 64 bits is
/// text, which a number reads as well.
///
/// # Errors
///
/// When the text is not JSON, nests too deep, or has a number out of range.
pub fn read_plain(json: &str) -> Result<serde_json::Value, JsonError> {
    let raw: &RawValue = parse(json, &Type::Dynamic, &Path::root())?;
    plain(raw, &Path::root())
}

fn plain(raw: &RawValue, path: &Path) -> Result<serde_json::Value, JsonError> {
    if path.steps().len() > MAX_DEPTH {
        return Err(JsonError::Deep);
    }
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'{') => {
            let values: BTreeMap<String, &RawValue> = parse(json, &Type::Dynamic, path)?;
            let values = values.into_iter().map(|(name, raw)| {
                let value = plain(raw, &path.field(&name))?;
                Ok((name, value))
            });
            values.collect::<Result<_, _>>().map(serde_json::Value::Object)
        }
        Some(b'[') => {
            let values = elements(json, &Type::Dynamic, path)?.into_iter().enumerate();
            let values = values.map(|(index, raw)| plain(raw, &path.index(index)));
            values.collect::<Result<_, _>>().map(serde_json::Value::Array)
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = number(json, &Type::Number, path)?;
            Ok(to_plain(&number))
        }
        Some(_) | None => parse(json, &Type::Dynamic, path),
    }
}

fn parse<'j, T: serde::Deserialize<'j>>(
    json: &'j str,
    ty: &Type,
    path: &Path,
) -> Result<T, JsonError> {
    serde_json::from_str(json).map_err(|error| match error.classify() {
        Category::Data => {
            JsonError::Mismatch { path: path.clone(), expected: ty.clone(), found: kind(json) }
        }
        Category::Syntax | Category::Eof | Category::Io => JsonError::Syntax(error),
    })
}

fn kind(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object of another form",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn read(raw: &RawValue, ty: &Type, extra: Extra, path: &Path) -> Result<Value, JsonError> {
    if path.steps().len() > MAX_DEPTH {
        return Err(JsonError::Deep);
    }
    let json = raw.get();
    if json == "null" {
        return Ok(Value::Null);
    }
    match ty {
        Type::String => parse(json, ty, path).map(|text| Value::String(normalized(text))),
        Type::Bool => parse(json, ty, path).map(Value::Bool),
        Type::Number => number(json, ty, path),
        Type::Dynamic => dynamic(json, extra, path),
        Type::List(element) => {
            let values = elements(json, ty, path)?.into_iter().enumerate();
            let values = values.map(|(index, raw)| read(raw, element, extra, &path.index(index)));
            values.collect::<Result<_, _>>().map(Value::List)
        }
        Type::Set(element) => {
            let path = &path.step(Step::Element);
            let values = elements(json, ty, path)?.into_iter();
            let values = values.map(|raw| read(raw, element, extra, path));
            Ok(Value::List(canonical_set(values.collect::<Result<_, _>>()?)))
        }
        Type::Tuple(types) => tuple(json, types, extra, path),
        Type::Map(element) => {
            let values: BTreeMap<String, &RawValue> = parse(json, ty, path)?;
            let values = values.into_iter().map(|(key, raw)| {
                let value = read(raw, element, extra, &path.key(&key))?;
                Ok((normalized(key), value))
            });
            values.collect::<Result<_, _>>().map(Value::Map)
        }
        Type::Object(attributes) => object(json, attributes, extra, path),
    }
}

fn elements<'j>(json: &'j str, ty: &Type, path: &Path) -> Result<Vec<&'j RawValue>, JsonError> {
    parse(json, ty, path)
}

fn number(json: &str, ty: &Type, path: &Path) -> Result<Value, JsonError> {
    // Old states hold numbers as text at times.
    let text: String = if json.starts_with('"') { parse(json, ty, path)? } else { json.to_owned() };
    let number = text.parse();
    number.map(Value::Number).map_err(|source| JsonError::Number { path: path.clone(), source })
}

fn tuple(json: &str, types: &[Type], extra: Extra, path: &Path) -> Result<Value, JsonError> {
    let values = elements(json, &Type::Tuple(types.to_vec()), path)?;
    if values.len() != types.len() {
        let (found, expected) = (values.len(), types.len());
        return Err(JsonError::Tuple { path: path.clone(), found, expected });
    }
    let values = values.into_iter().zip(types).enumerate();
    let values = values.map(|(index, (raw, ty))| read(raw, ty, extra, &path.index(index)));
    values.collect::<Result<_, _>>().map(Value::List)
}

fn object(
    json: &str,
    attributes: &BTreeMap<String, Type>,
    extra: Extra,
    path: &Path,
) -> Result<Value, JsonError> {
    let ty = || Type::Object(attributes.clone());
    let mut values: BTreeMap<String, &RawValue> = parse(json, &ty(), path)?;
    let conformed = attributes.iter().map(|(name, ty)| {
        let path = path.field(name);
        let value = match values.remove(name) {
            Some(raw) => read(raw, ty, extra, &path)?,
            None => Value::Null,
        };
        Ok((name.clone(), value))
    });
    let conformed = conformed.collect::<Result<_, _>>()?;
    match values.keys().next() {
        Some(name) if extra == Extra::Refuse => Err(JsonError::Extra(path.field(name))),
        _ => Ok(Value::Map(conformed)),
    }
}

fn dynamic(json: &str, extra: Extra, path: &Path) -> Result<Value, JsonError> {
    #[derive(serde::Deserialize)]
    struct Typed<'j> {
        #[serde(borrow, rename = "type")]
        ty: &'j RawValue,
        #[serde(borrow)]
        value: &'j RawValue,
    }
    let typed: Typed<'_> = parse(json, &Type::Dynamic, path)?;
    let ty = Type::from_wire(typed.ty.get().as_bytes())
        .map_err(|source| JsonError::Type { path: path.clone(), source })?;
    if ty == Type::Dynamic && typed.value.get() != "null" {
        let source = TypeError::Unknown("dynamic, beside a value".to_owned());
        return Err(JsonError::Type { path: path.clone(), source });
    }
    let value = read(typed.value, &ty, extra, path)?;
    Ok(match ty {
        Type::Dynamic => value,
        ty => Value::Dynamic(Box::new(Dynamic { ty, value })),
    })
}

/// The JSON of a value as a state holds it, which [`decode`] reads: as the plain one, with its
/// type beside each value at a dynamic place. An unknown, which no state has, is null.
#[must_use]
pub fn to_state(value: &Value) -> serde_json::Value {
    match value {
        Value::List(elements) => elements.iter().map(to_state).collect(),
        Value::Map(elements) => {
            let elements = elements.iter().map(|(name, value)| (name.clone(), to_state(value)));
            serde_json::Value::Object(elements.collect())
        }
        Value::Dynamic(dynamic) => {
            serde_json::json!({ "type": dynamic.ty.to_json(), "value": to_state(&dynamic.value) })
        }
        Value::Null | Value::Unknown(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            to_plain(value)
        }
    }
}

/// The plain JSON of a value: what a template or a log can use. An unknown is null.
#[must_use]
pub fn to_plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Unknown(_) => serde_json::Value::Null,
        Value::Bool(truth) => serde_json::Value::Bool(*truth),
        Value::Number(number) => plain_number(number),
        Value::String(text) => serde_json::Value::String(text.clone()),
        Value::List(elements) => elements.iter().map(to_plain).collect(),
        Value::Map(elements) => {
            let elements = elements.iter().map(|(name, value)| (name.clone(), to_plain(value)));
            serde_json::Value::Object(elements.collect())
        }
        Value::Dynamic(dynamic) => to_plain(&dynamic.value),
    }
}

/// JSON numbers here have 64 bits; one that needs more goes as text rather than lose digits.
fn plain_number(number: &super::Number) -> serde_json::Value {
    if let Some(int) = number.as_i64() {
        return int.into();
    }
    if let Ok(natural) = number.to_string().parse::<u64>() {
        return natural.into();
    }
    let float = number.to_f64();
    match serde_json::Number::from_f64(float) {
        Some(json) if json.to_string().parse() == Ok(number.clone()) => json.into(),
        _ => number.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn ty() -> Type {
        Type::object([
            ("id", Type::Number),
            ("name", Type::String),
            ("tags", Type::map(Type::String)),
            ("free", Type::Dynamic),
        ])
    }

    #[test]
    fn numbers_keep_every_digit_and_missing_is_null() {
        let value = decode(r#"{"id":12345678901234567890.5,"name":"a"}"#, &ty(), Extra::Refuse);
        let value = value.unwrap();
        assert_eq!(
            value.get("id").unwrap().as_number().unwrap().to_string(),
            "12345678901234567890.5"
        );
        assert_eq!(value.get("tags"), Some(&Value::Null));
    }

    #[test]
    fn dynamic_values_bring_their_type() {
        let json = r#"{"free":{"type":["tuple",["bool"]],"value":[true]}}"#;
        let value = decode(json, &ty(), Extra::Refuse).unwrap();
        assert_eq!(value.get("free").unwrap().undynamic(), &Value::list([true]));
    }

    #[test]
    fn extra_attributes_are_refused_or_dropped() {
        let json = r#"{"gone":1}"#;
        let error = decode(json, &ty(), Extra::Refuse).unwrap_err();
        assert_eq!(error.to_string(), "at gone: no such attribute");
        assert!(decode(json, &ty(), Extra::Drop).is_ok());
    }

    #[test]
    fn wrong_types_are_refused_where_they_are() {
        let error = decode(r#"{"tags":{"a":1}}"#, &ty(), Extra::Refuse).unwrap_err().to_string();
        assert_eq!(error, "at tags[\"a\"]: a number where string belongs");
        assert!(decode("{", &ty(), Extra::Refuse).is_err());
    }

    #[test]
    fn json_of_no_known_type_loses_no_digit() {
        let read = |json: &str| read_plain(json).unwrap().to_string();
        let same = r#"{"a":{"n":18446744073709551615},"b":[1,-2.5,true,null,"x\"y"]}"#;
        assert_eq!(read(same), same);
        let long = r#"{"n":[12345678901234567890.5,0.10000000000000000000000001]}"#;
        let kept = r#"{"n":["12345678901234567890.5","0.10000000000000000000000001"]}"#;
        assert_eq!(read(long), kept);
        let ty = Type::object([("n", Type::list(Type::Number))]);
        let decoded = |json: &str| decode(json, &ty, Extra::Refuse).unwrap();
        assert_eq!(decoded(&read(long)), decoded(long));
        for bad in ["", "{", "1 2", "[1e999999999]", &"[".repeat(1_000)] {
            assert!(read_plain(bad).is_err(), "{bad}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(matches!(read_plain(&deep), Err(JsonError::Deep)));
    }

    #[test]
    fn plain_json_keeps_what_it_can() {
        let value = Value::object([
            ("a", Value::from(1)),
            ("b", Value::Number("0.1".parse().unwrap())),
            ("c", Value::Number("123456789012345678901".parse().unwrap())),
            ("d", Value::unknown()),
        ]);
        assert_eq!(
            to_plain(&value).to_string(),
            r#"{"a":1,"b":0.1,"c":"123456789012345678901","d":null}"#
        );
    }
}
