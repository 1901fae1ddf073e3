//! Reading values with their paths.

use std::collections::{BTreeMap, HashSet};

use crate::cty::{Number, Path, Value};
use crate::diagnostic::Diagnostics;

/// A field as a configuration has it: absent, not known yet, or there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<T> {
    /// Not set.
    Null,
    /// Known only after apply.
    Unknown,
    /// Set.
    Known(T),
}

impl<T> Field<T> {
    /// The value, when it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// Whether it is not set.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it will be known only after apply.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// A known value made another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Null => Field::Null,
            Self::Unknown => Field::Unknown,
            Self::Known(value) => Field::Known(f(value)),
        }
    }

    /// The value, or `default` when it is not set or not known.
    pub fn unwrap_or(self, default: T) -> T {
        self.known().unwrap_or(default)
    }

    /// The value, or the empty one when it is not set or not known.
    pub fn unwrap_or_default(self) -> T
    where
        T: Default,
    {
        self.known().unwrap_or_default()
    }
}

/// A place in a value: an object or a block, and how it was reached.
///
/// Values come here by their schema, so a field that is not in the schema, or is read as
/// another type than it has, is a bug of the caller: such a read panics, and the panic reaches
/// the user as a diagnostic.
#[derive(Clone, Debug)]
pub struct Reader<'v> {
    value: &'v Value,
    path: Path,
}

impl<'v> Reader<'v> {
    /// The whole of a configuration, plan or state.
    #[must_use]
    pub fn root(value: &'v Value) -> Self {
        Self { value, path: Path::root() }
    }

    /// A value that is at `path` of something larger.
    #[must_use]
    pub fn at(value: &'v Value, path: Path) -> Self {
        Self { value: value.undynamic(), path }
    }

    /// The value here.
    #[must_use]
    pub fn value(&self) -> &'v Value {
        self.value
    }

    /// Where this is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the field is: the place for a diagnostic about it.
    #[must_use]
    pub fn path_of(&self, name: &str) -> Path {
        self.path.field(name)
    }

    /// The field as it is. Of a null or an unknown object, null or unknown.
    ///
    /// # Panics
    ///
    /// When an object has no such field.
    #[must_use]
    pub fn get(&self, name: &str) -> &'v Value {
        match self.value.undynamic() {
            Value::Map(fields) => {
                let Some(field) = fields.get(name) else {
                    panic!("no field {name:?} at {:?}", self.path.to_string());
                };
                field.undynamic()
            }
            other => other,
        }
    }

    /// Whether the field, or anything inside it, is unknown.
    #[must_use]
    pub fn has_unknown(&self, name: &str) -> bool {
        !self.get(name).is_wholly_known()
    }

    fn field<T>(
        &self,
        name: &str,
        what: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Field<T> {
        let value = self.get(name);
        match value {
            Value::Null => Field::Null,
            Value::Unknown(_) => Field::Unknown,
            value => match read(value) {
                Some(read) => Field::Known(read),
                None => panic!("{} is not {what}", self.path_of(name)),
            },
        }
    }

    /// A text.
    #[must_use]
    pub fn string(&self, name: &str) -> Field<&'v str> {
        self.field(name, "a string", Value::as_str)
    }

    /// A truth value.
    #[must_use]
    pub fn bool(&self, name: &str) -> Field<bool> {
        self.field(name, "a boolean", Value::as_bool)
    }

    /// A number.
    #[must_use]
    pub fn number(&self, name: &str) -> Field<&'v Number> {
        self.field(name, "a number", Value::as_number)
    }

    /// A whole number of 64 bits; an error diagnostic and null for any other number.
    pub fn integer(&self, name: &str, diags: &mut Diagnostics) -> Field<i64> {
        match self.number(name) {
            Field::Null => Field::Null,
            Field::Unknown => Field::Unknown,
            Field::Known(number) => number.as_i64().map_or_else(
                || {
                    let detail = format!("{number} is not a whole number of 64 bits.");
                    diags.error_at(self.path_of(name), "Not a whole number", detail);
                    Field::Null
                },
                Field::Known,
            ),
        }
    }

    /// The texts of a list or set. Unknown when one of them is; null ones are left out.
    #[must_use]
    pub fn strings(&self, name: &str) -> Field<Vec<&'v str>> {
        let elements = self.field(name, "a list", Value::as_list);
        match elements {
            Field::Known(elements) if elements.iter().any(Value::is_unknown) => Field::Unknown,
            elements => {
                elements.map(|elements| elements.iter().filter_map(Value::as_str).collect())
            }
        }
    }

    /// The texts of a map. Unknown when one of them is; null ones are left out.
    #[must_use]
    pub fn string_map(&self, name: &str) -> Field<BTreeMap<&'v str, &'v str>> {
        let elements = self.field(name, "a map", Value::as_map);
        match elements {
            Field::Known(elements) if elements.values().any(Value::is_unknown) => Field::Unknown,
            elements => elements.map(|elements| {
                let elements = elements.iter();
                elements.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
            }),
        }
    }

    /// A text read as something more: an error diagnostic at the field, with `summary` and the
    /// error's text, and null when that fails.
    pub fn parse<T, E: std::fmt::Display>(
        &self,
        name: &str,
        summary: &str,
        diags: &mut Diagnostics,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Field<T> {
        match self.string(name).map(parse) {
            Field::Null => Field::Null,
            Field::Unknown => Field::Unknown,
            Field::Known(result) => match diags.take(self.path_of(name), summary, result) {
                Some(value) => Field::Known(value),
                None => Field::Null,
            },
        }
    }

    /// The elements of a list of blocks or objects. Empty when it is null or unknown as a whole
    /// (a `dynamic` block over something unknown): ask [`has_unknown`](Self::has_unknown).
    #[must_use]
    pub fn blocks(&self, name: &str) -> Vec<Self> {
        let path = self.path_of(name);
        let elements = self.get(name).as_list().unwrap_or_default().iter().enumerate();
        elements.map(|(index, value)| Self { value, path: path.index(index) }).collect()
    }

    /// The first of a list of blocks, or the block or object itself; none when there is none.
    #[must_use]
    pub fn block(&self, name: &str) -> Option<Self> {
        match self.get(name) {
            Value::List(elements) => {
                let value = elements.first()?;
                Some(Self { value, path: self.path_of(name).index(0) })
            }
            value @ Value::Map(_) => Some(Self { value, path: self.path_of(name) }),
            Value::Null
            | Value::Unknown(_)
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Dynamic(_) => None,
        }
    }

    /// The elements of a map of objects.
    #[must_use]
    pub fn entries(&self, name: &str) -> Vec<(&'v str, Self)> {
        let path = self.path_of(name);
        let Some(elements) = self.get(name).as_map() else { return Vec::new() };
        let elements = elements.iter();
        elements.map(|(key, value)| (key.as_str(), Self { value, path: path.key(key) })).collect()
    }
}

/// An error at each block whose `key` field a block before it has already.
pub fn duplicates(blocks: &[Reader<'_>], key: &str, diags: &mut Diagnostics) {
    let mut seen = HashSet::new();
    for block in blocks {
        let Field::Known(name) = block.string(key) else { continue };
        if !seen.insert(name) {
            diags.error_at(
                block.path_of(key),
                format!("Duplicate {key}"),
                format!("Another block here has the {key} {name:?}. Each needs its own."),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Value {
        let git =
            |name: &str| Value::object([("name", name)].map(|(key, text)| (key, text.into())));
        Value::object([
            ("name", Value::from("shop")),
            ("size", Value::Number("1.5".parse().expect("a number"))),
            ("later", Value::unknown()),
            ("none", Value::Null),
            ("tags", Value::List(vec!["a".into(), Value::unknown()])),
            ("git", Value::List(vec![git("infra"), git("api"), git("infra")])),
        ])
    }

    #[test]
    fn fields_are_null_unknown_or_known() {
        let config = config();
        let reader = Reader::root(&config);
        assert_eq!(reader.string("name"), Field::Known("shop"));
        assert_eq!(reader.string("later"), Field::Unknown);
        assert_eq!(reader.bool("none"), Field::Null);
        assert_eq!(reader.strings("tags"), Field::Unknown);
        assert!(reader.has_unknown("tags"));
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_place() {
        let config = config();
        let reader = Reader::root(&config);
        let mut diags = Diagnostics::new();
        assert_eq!(reader.integer("size", &mut diags), Field::Null);
        let read = reader.parse("name", "Invalid name", &mut diags, str::parse::<u8>);
        assert_eq!(read, Field::Null);
        duplicates(&reader.blocks("git"), "name", &mut diags);
        let told: Vec<String> =
            diags.iter().map(|diag| format!("{}: {}", diag.path, diag.summary)).collect();
        assert_eq!(
            told,
            ["size: Not a whole number", "name: Invalid name", "git[2].name: Duplicate name"]
        );
    }

    #[test]
    #[should_panic(expected = "no field \"nmae\"")]
    fn a_field_that_is_not_in_the_schema_is_a_bug() {
        assert!(Reader::root(&config()).string("nmae").is_null());
    }
}
