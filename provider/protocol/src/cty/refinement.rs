//! What is known of a value that is not known yet.

use super::{Number, Type, Value};

/// The longest prefix that is sent; the client keeps no more.
const MAX_PREFIX: usize = 256;

/// One end of a range of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The number at the end.
    pub value: Number,
    /// Whether the number itself is inside the range.
    pub inclusive: bool,
}

/// A promise about a value that will be known after apply.
///
/// A value delivered later must keep it, or the client rejects the apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refinement {
    /// The value will not be null.
    pub not_null: bool,
    /// The string will begin with this.
    pub prefix: Option<String>,
    /// The number will not be below this.
    pub min: Option<Bound>,
    /// The number will not be above this.
    pub max: Option<Bound>,
    /// The collection will have at least so many elements.
    pub min_length: Option<u64>,
    /// The collection will have at most so many elements.
    pub max_length: Option<u64>,
}

impl Refinement {
    /// A value that will not be null.
    #[must_use]
    pub fn not_null() -> Self {
        Self { not_null: true, ..Self::default() }
    }

    /// A string that will not be null and begins with `prefix` (its first 256 bytes).
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        let mut prefix = prefix.into();
        while prefix.len() > MAX_PREFIX {
            prefix.pop();
        }
        Self { not_null: true, prefix: Some(prefix), ..Self::default() }
    }

    /// Whether nothing is promised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `value` keeps the promise, as far as can be told when it is not known itself.
    #[must_use]
    pub fn admits(&self, value: &Value) -> bool {
        match value {
            // A promise about the value is one about a value: null breaks only `not_null`.
            Value::Null => !self.not_null,
            Value::Unknown(_) | Value::Bool(_) => true,
            Value::String(text) => {
                self.prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix))
            }
            Value::Number(number) => self.admits_number(number),
            Value::List(elements) => self.admits_length(elements.len()),
            Value::Map(elements) => self.admits_length(elements.len()),
            Value::Dynamic(dynamic) => self.admits(&dynamic.value),
        }
    }

    fn admits_number(&self, number: &Number) -> bool {
        let above = |min: &Bound| *number > min.value || (min.inclusive && *number == min.value);
        let below = |max: &Bound| *number < max.value || (max.inclusive && *number == max.value);
        self.min.as_ref().is_none_or(above) && self.max.as_ref().is_none_or(below)
    }

    fn admits_length(&self, length: usize) -> bool {
        let length = length as u64;
        self.min_length.is_none_or(|min| length >= min)
            && self.max_length.is_none_or(|max| length <= max)
    }

    /// The part of the promise that can be made about a value of `ty`.
    #[must_use]
    pub(crate) fn for_type(&self, ty: &Type) -> Self {
        let mut kept = self.clone();
        if !matches!(ty, Type::String) {
            kept.prefix = None;
        }
        if !matches!(ty, Type::Number) {
            (kept.min, kept.max) = (None, None);
        }
        if !matches!(ty, Type::List(_) | Type::Set(_) | Type::Map(_)) {
            (kept.min_length, kept.max_length) = (None, None);
        }
        if matches!(ty, Type::Dynamic) { Self::default() } else { kept }
    }
}
