//! Building values from what Rust has.

use std::collections::BTreeMap;

use super::{Dynamic, Number, Type, Value};

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::String(text.clone())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

macro_rules! from_integer {
    ($($integer:ty),+) => {$(
        impl From<$integer> for Value {
            fn from(integer: $integer) -> Self {
                Self::Number(Number::from(integer))
            }
        }
    )+};
}

from_integer!(i32, i64, u32, u64, usize);

/// None is null.
impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<V: Into<Self>> From<Vec<V>> for Value {
    fn from(elements: Vec<V>) -> Self {
        Self::list(elements)
    }
}

impl<V: Into<Self>> From<BTreeMap<String, V>> for Value {
    fn from(elements: BTreeMap<String, V>) -> Self {
        Self::object(elements.into_iter().map(|(name, value)| (name, value.into())))
    }
}

/// Arrays are tuples and objects are objects. A number keeps its digits where JSON has them.
impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(*truth),
            serde_json::Value::Number(number) => {
                number.to_string().parse().map_or(Self::Null, Self::Number)
            }
            serde_json::Value::String(text) => Self::from(text),
            serde_json::Value::Array(elements) => Self::list(elements),
            serde_json::Value::Object(attributes) => {
                Self::object(attributes.iter().map(|(name, value)| (name, Self::from(value))))
            }
        }
    }
}

impl Value {
    /// The value at a dynamic place, with the type that its own shape has: tuples and objects.
    #[must_use]
    pub fn into_dynamic(self) -> Self {
        match self {
            Self::Dynamic(_) | Self::Null | Self::Unknown(None) => self,
            // A promise cannot be made where even the type is open.
            Self::Unknown(Some(_)) => Self::Unknown(None),
            Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::List(_) | Self::Map(_) => {
                let ty = infer_type(&self);
                Self::Dynamic(Box::new(Dynamic { ty, value: self }))
            }
        }
    }
}

/// The type of a value by its shape: tuples and objects, dynamic where it is null or unknown.
#[must_use]
pub fn infer_type(value: &Value) -> Type {
    match value {
        Value::Null | Value::Unknown(_) => Type::Dynamic,
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::String,
        Value::List(elements) => Type::Tuple(elements.iter().map(infer_type).collect()),
        Value::Map(elements) => {
            Type::object(elements.iter().map(|(name, value)| (name, infer_type(value))))
        }
        Value::Dynamic(dynamic) => dynamic.ty.clone(),
    }
}
