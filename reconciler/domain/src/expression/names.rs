//! The names an expression may use, and the shapes of what they hold.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::Value;

use crate::near;

/// What is known about a value before there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Anything; nothing below it is checked.
    Any,
    /// A text, number, truth value or null: it has no fields.
    Scalar,
    /// A list whose elements all have this shape.
    List(Box<Self>),
    /// Exactly these fields.
    Object(BTreeMap<String, Self>),
    /// At least these fields; others are not checked.
    Open(BTreeMap<String, Self>),
}

impl Shape {
    /// An object with exactly these fields.
    pub fn object<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(name, shape)| (name.into(), shape)).collect())
    }

    /// An object with at least these fields.
    pub fn open<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Open(fields.into_iter().map(|(name, shape)| (name.into(), shape)).collect())
    }

    /// A list of such values.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A version as [`Version::to_value`](crate::version::Version::to_value) makes it.
    #[must_use]
    pub fn version() -> Self {
        Self::object(
            ["major", "minor", "patch", "prerelease", "text"].map(|name| (name, Self::Scalar)),
        )
    }

    /// The shape of a value that is already there.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Object(fields) => {
                Self::object(fields.iter().map(|(name, value)| (name, Self::of(value))))
            }
            Value::Array(items) => {
                let mut shapes = items.iter().map(Self::of);
                let first = shapes.next().unwrap_or(Self::Any);
                let same = shapes.all(|shape| shape == first);
                Self::list(if same { first } else { Self::Any })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::Scalar,
        }
    }
}

/// A function that the caller provides with [`Scope::define`](super::Scope::define).
#[derive(Clone, Debug)]
pub struct Function {
    pub(super) arity: RangeInclusive<usize>,
    pub(super) returns: Shape,
    pub(super) by_name: Option<BTreeMap<String, Shape>>,
}

impl Function {
    /// A function of so many arguments that returns this shape.
    #[must_use]
    pub fn new(arity: RangeInclusive<usize>, returns: Shape) -> Self {
        Self { arity, returns, by_name: None }
    }

    /// A function of one literal argument, which must be a key of the map and decides the shape
    /// of the result: `freight_from("shop")`.
    #[must_use]
    pub fn by_name(results: BTreeMap<String, Shape>) -> Self {
        Self { arity: 1..=1, returns: Shape::Any, by_name: Some(results) }
    }
}

/// The names an expression may use at one place of a definition, besides the language's own.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub(super) roots: BTreeMap<String, Shape>,
    pub(super) functions: BTreeMap<String, Function>,
}

impl Names {
    /// No names at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable, or replaces the one of this name.
    #[must_use]
    pub fn name(mut self, name: &str, shape: Shape) -> Self {
        self.roots.insert(name.to_owned(), shape);
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.roots.remove(name);
        self
    }

    /// Adds all of these names, or replaces those of the same names.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        self.roots.extend(more.roots.iter().map(|(name, shape)| (name.clone(), shape.clone())));
        self.functions.extend(more.functions.iter().map(|(name, it)| (name.clone(), it.clone())));
        self
    }

    /// Adds a function, or replaces the one of this name.
    #[must_use]
    pub fn function(mut self, name: &str, function: Function) -> Self {
        self.functions.insert(name.to_owned(), function);
        self
    }
}

/// The known name nearest to a mistyped one, if it is near enough to be meant.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    let allowed = if length < 3 { 0 } else { (length / 3).max(1) };
    known
        .into_iter()
        .filter_map(|candidate| Some((near::distance(name, candidate, allowed)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}
