//! Values: what configuration, plans and states are made of.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Number, Path, Refinement, Step, Type};

/// A value of some [`Type`], which the reader knows from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Absent.
    #[default]
    Null,
    /// Not known before apply; with what is promised about it, if anything is.
    Unknown(Option<Box<Refinement>>),
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// The elements of a list, a tuple or a set. Those of a set are in canonical order and
    /// distinct, once [conformed](super::conform).
    List(Vec<Self>),
    /// The elements of a map, or the attributes of an object.
    Map(BTreeMap<String, Self>),
    /// A value at a place of dynamic type, with its type.
    Dynamic(Box<Dynamic>),
}

/// A value that brings its own type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// The type of the value.
    pub ty: Type,
    /// The value; null has a type here.
    pub value: Value,
}

impl Value {
    /// A value of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self::Unknown(None)
    }

    /// A value of which only this is known.
    #[must_use]
    pub fn unknown_with(refinement: Refinement) -> Self {
        Self::Unknown((!refinement.is_empty()).then(|| Box::new(refinement)))
    }

    /// An object of these attributes. Attributes left out are null once conformed to a schema.
    #[must_use]
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// A list, tuple or set of these elements.
    #[must_use]
    pub fn list<V: Into<Self>>(elements: impl IntoIterator<Item = V>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }

    /// Whether the value is null; a typed null at a dynamic place is.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.undynamic(), Self::Null)
    }

    /// Whether the value itself is unknown; what is inside may be unknown all the same.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.undynamic(), Self::Unknown(_))
    }

    /// Whether nothing inside is unknown.
    #[must_use]
    pub fn is_wholly_known(&self) -> bool {
        self.first_unknown().is_none()
    }

    /// Where the first unknown inside is.
    #[must_use]
    pub fn first_unknown(&self) -> Option<Path> {
        match self {
            Self::Unknown(_) => Some(Path::root()),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
            Self::List(elements) => elements.iter().enumerate().find_map(|(index, element)| {
                element.first_unknown().map(|path| path.below(Step::Index(index)))
            }),
            Self::Map(elements) => elements.iter().find_map(|(name, element)| {
                element.first_unknown().map(|path| path.below(Step::Attribute(name.clone())))
            }),
            Self::Dynamic(dynamic) => dynamic.value.first_unknown(),
        }
    }

    /// The value without the type it carries at a dynamic place.
    #[must_use]
    pub fn undynamic(&self) -> &Self {
        match self {
            Self::Dynamic(dynamic) => dynamic.value.undynamic(),
            Self::Null
            | Self::Unknown(_)
            | Self::Bool(_)
            | Self::Number(_)
            | Self::String(_)
            | Self::List(_)
            | Self::Map(_) => self,
        }
    }

    /// The text, when this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self.undynamic() { Some(text) } else { None }
    }

    /// The truth value, when this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self.undynamic() { Some(*truth) } else { None }
    }

    /// The number, when this is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self.undynamic() { Some(number) } else { None }
    }

    /// The elements of a list, tuple or set.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(elements) = self.undynamic() { Some(elements) } else { None }
    }

    /// The elements of a map, or the attributes of an object.
    #[must_use]
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Map(elements) = self.undynamic() { Some(elements) } else { None }
    }

    /// The attribute or map element of this name; none when this is null, unknown or has none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_map().and_then(|elements| elements.get(name))
    }

    /// Sets an attribute of an object. A value that is not an object becomes one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Self>) {
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(BTreeMap::new());
        }
        if let Self::Map(elements) = self {
            elements.insert(name.into(), value.into());
        }
    }

    /// [`set`](Self::set), for building in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Self>) -> Self {
        self.set(name, value);
        self
    }

    /// What is at `path`; none when something on the way is null, unknown or absent.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Self> {
        path.steps().iter().try_fold(self, |value, step| value.step(step))
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Attribute(name) | Step::Key(name) => self.get(name),
            Step::Index(index) => self.as_list()?.get(*index),
            Step::Element => None,
        }
    }

    /// The value with every promise about an unknown dropped.
    #[must_use]
    pub fn unrefined(&self) -> Self {
        match self {
            Self::Unknown(_) => Self::Unknown(None),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => self.clone(),
            Self::List(elements) => Self::List(elements.iter().map(Self::unrefined).collect()),
            Self::Map(elements) => Self::Map(
                elements.iter().map(|(name, value)| (name.clone(), value.unrefined())).collect(),
            ),
            Self::Dynamic(dynamic) => Self::Dynamic(Box::new(Dynamic {
                ty: dynamic.ty.clone(),
                value: dynamic.value.unrefined(),
            })),
        }
    }

    /// Equality that sees no difference between unknowns of different promises.
    #[must_use]
    pub fn equals_unrefined(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown(_), Self::Unknown(_)) => true,
            (Self::List(left), Self::List(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(left, right)| left.equals_unrefined(right))
            }
            (Self::Map(left), Self::Map(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|((left_name, left), (right_name, right))| {
                        left_name == right_name && left.equals_unrefined(right)
                    })
            }
            (Self::Dynamic(left), Self::Dynamic(right)) => {
                left.ty == right.ty && left.value.equals_unrefined(&right.value)
            }
            _ => self == other,
        }
    }

    /// A total order over values, for sets: numbers by value, text by code point.
    #[must_use]
    pub fn canonical_cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.cmp(right),
            (Self::String(left), Self::String(right)) => left.cmp(right),
            (Self::List(left), Self::List(right)) => {
                compare_all(left.iter().zip(right), left.len().cmp(&right.len()))
            }
            (Self::Map(left), Self::Map(right)) => left
                .keys()
                .cmp(right.keys())
                .then_with(|| compare_all(left.values().zip(right.values()), Ordering::Equal)),
            (Self::Dynamic(left), Self::Dynamic(right)) => left.value.canonical_cmp(&right.value),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::String(_) => 3,
            Self::List(_) => 4,
            Self::Map(_) => 5,
            Self::Dynamic(_) => 6,
            Self::Unknown(_) => 7,
        }
    }
}

fn compare_all<'v>(
    mut pairs: impl Iterator<Item = (&'v Value, &'v Value)>,
    at_end: Ordering,
) -> Ordering {
    pairs
        .find_map(|(left, right)| match left.canonical_cmp(right) {
            Ordering::Equal => None,
            unequal @ (Ordering::Less | Ordering::Greater) => Some(unequal),
        })
        .unwrap_or(at_end)
}
