//! Types, and the JSON in which they travel.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

/// How deep a type or a value may nest before a decoder refuses it.
pub(crate) const MAX_DEPTH: usize = 128;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Unicode text, in normalization form C.
    String,
    /// A decimal number of any size.
    Number,
    /// True or false.
    Bool,
    /// Any type: a value at such a place carries its own.
    Dynamic,
    /// Elements of one type, in order.
    List(Box<Self>),
    /// Distinct elements of one type, without order.
    Set(Box<Self>),
    /// Elements of one type by name.
    Map(Box<Self>),
    /// Elements each of its own type, in order.
    Tuple(Vec<Self>),
    /// Attributes each of its own type, by name; a value has every one of them.
    Object(BTreeMap<String, Self>),
}

impl Type {
    /// A list of `element`.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of `element`.
    #[must_use]
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map of `element`.
    #[must_use]
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object of these attributes.
    #[must_use]
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// Whether a dynamic type is anywhere inside.
    #[must_use]
    pub fn has_dynamic(&self) -> bool {
        match self {
            Self::Dynamic => true,
            Self::String | Self::Number | Self::Bool => false,
            Self::List(element) | Self::Set(element) | Self::Map(element) => element.has_dynamic(),
            Self::Tuple(elements) => elements.iter().any(Self::has_dynamic),
            Self::Object(attributes) => attributes.values().any(Self::has_dynamic),
        }
    }

    /// The type in its wire form: `"string"`, `["list", T]`, `["object", {…}]`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::String => Json::from("string"),
            Self::Number => Json::from("number"),
            Self::Bool => Json::from("bool"),
            Self::Dynamic => Json::from("dynamic"),
            Self::List(element) => Json::from(vec![Json::from("list"), element.to_json()]),
            Self::Set(element) => Json::from(vec![Json::from("set"), element.to_json()]),
            Self::Map(element) => Json::from(vec![Json::from("map"), element.to_json()]),
            Self::Tuple(elements) => {
                let elements: Vec<Json> = elements.iter().map(Self::to_json).collect();
                Json::from(vec![Json::from("tuple"), Json::from(elements)])
            }
            Self::Object(attributes) => {
                let attributes =
                    attributes.iter().map(|(name, ty)| (name.clone(), ty.to_json())).collect();
                Json::from(vec![Json::from("object"), Json::Object(attributes)])
            }
        }
    }

    /// The bytes of [`to_json`](Self::to_json).
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        self.to_json().to_string().into_bytes()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, not a type, or nests deeper than 128.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, TypeError> {
        let json = serde_json::from_slice(bytes).map_err(TypeError::Json)?;
        Self::from_json(&json)
    }

    /// Reads a type from JSON that has been parsed.
    ///
    /// # Errors
    ///
    /// When the JSON is not a type, or nests deeper than 128.
    pub fn from_json(json: &Json) -> Result<Self, TypeError> {
        parse(json, 0)
    }
}

fn parse(json: &Json, depth: usize) -> Result<Type, TypeError> {
    if depth > MAX_DEPTH {
        return Err(TypeError::Deep);
    }
    match json {
        Json::String(name) => primitive(name),
        Json::Array(parts) => compound(parts, depth),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(TypeError::Unknown(json.to_string()))
        }
    }
}

fn primitive(name: &str) -> Result<Type, TypeError> {
    match name {
        "string" => Ok(Type::String),
        "number" => Ok(Type::Number),
        "bool" => Ok(Type::Bool),
        "dynamic" => Ok(Type::Dynamic),
        _ => Err(TypeError::Unknown(name.to_owned())),
    }
}

// The third part of an object names the attributes that a type constraint makes optional. A
// value has them all the same, so it changes nothing here.
fn compound(parts: &[Json], depth: usize) -> Result<Type, TypeError> {
    let inner = |json| parse(json, depth + 1);
    match parts {
        [Json::String(kind), element] if kind == "list" => inner(element).map(Type::list),
        [Json::String(kind), element] if kind == "set" => inner(element).map(Type::set),
        [Json::String(kind), element] if kind == "map" => inner(element).map(Type::map),
        [Json::String(kind), Json::Array(elements)] if kind == "tuple" => {
            elements.iter().map(inner).collect::<Result<_, _>>().map(Type::Tuple)
        }
        [Json::String(kind), Json::Object(attributes)]
        | [Json::String(kind), Json::Object(attributes), Json::Array(_)]
            if kind == "object" =>
        {
            let attributes = attributes.iter().map(|(name, json)| Ok((name.clone(), inner(json)?)));
            attributes.collect::<Result<_, _>>().map(Type::Object)
        }
        _ => Err(TypeError::Unknown(Json::from(parts.to_vec()).to_string())),
    }
}

/// As a user writes it: `list(object({name = string}))`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::Dynamic => f.write_str("dynamic"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Set(element) => write!(f, "set({element})"),
            Self::Map(element) => write!(f, "map({element})"),
            Self::Tuple(elements) => {
                let elements: Vec<String> = elements.iter().map(Self::to_string).collect();
                write!(f, "tuple([{}])", elements.join(", "))
            }
            Self::Object(attributes) => {
                let attributes: Vec<String> =
                    attributes.iter().map(|(name, ty)| format!("{name} = {ty}")).collect();
                write!(f, "object({{{}}})", attributes.join(", "))
            }
        }
    }
}

/// Why a text is not a type.
#[derive(Debug, thiserror::Error)]
pub enum TypeError {
    /// The text is not JSON.
    #[error("type is not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// The JSON is not a type.
    #[error("not a type: {0}")]
    Unknown(String),
    /// The type nests too deep.
    #[error("type nests deeper than {MAX_DEPTH}")]
    Deep,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn check(wire: &str, shown: &str) {
        let ty = Type::from_wire(wire.as_bytes()).unwrap();
        assert_eq!(ty.to_string(), shown);
        assert_eq!(String::from_utf8(ty.to_wire()).unwrap(), wire);
    }

    #[test]
    fn types_go_through_their_wire_form() {
        check(r#""string""#, "string");
        check(r#"["list","number"]"#, "list(number)");
        check(r#"["tuple",["bool",["set","string"]]]"#, "tuple([bool, set(string)])");
        check(
            r#"["object",{"a":"string","b":["map","dynamic"]}]"#,
            "object({a = string, b = map(dynamic)})",
        );
    }

    #[test]
    fn optional_attributes_of_a_constraint_are_attributes() {
        let ty = Type::from_wire(br#"["object",{"a":"string"},["a"]]"#).unwrap();
        assert_eq!(ty, Type::object([("a", Type::String)]));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for wire in ["", "7", r#""text""#, r#"["list"]"#, r#"["tuple","string"]"#, r#"{"a":1}"#] {
            assert!(Type::from_wire(wire.as_bytes()).is_err(), "{wire}");
        }
        let deep = format!("{}\"string\"{}", "[\"list\",".repeat(120), "]".repeat(120));
        assert!(Type::from_wire(deep.as_bytes()).is_ok());
        let deeper = format!("{}\"string\"{}", "[\"list\",".repeat(200), "]".repeat(200));
        assert!(Type::from_wire(deeper.as_bytes()).is_err());
    }
}
