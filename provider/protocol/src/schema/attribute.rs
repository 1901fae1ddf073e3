//! Attributes.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use indexmap::IndexMap;
use regex::Regex;

use super::{Bounds, Check, Rule};
use crate::cty::{Path, Type, Value};
use crate::plan::Violation;

/// Whether two known values mean the same: the text of one JSON document in two layouts.
pub type Equal = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;

/// Whether a change from the value before to the planned one replaces the resource.
pub type Replaces = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;

/// Which changes of an attribute replace the resource.
#[derive(Clone)]
pub enum ForceNew {
    /// Every one.
    Always,
    /// Those that this says of, by the value before and the planned one, which may be unknown.
    If(Replaces),
}

impl ForceNew {
    pub(crate) fn applies(&self, before: Option<&Value>, planned: Option<&Value>) -> bool {
        match self {
            Self::Always => true,
            Self::If(says) => says(before.unwrap_or(&Value::Null), planned.unwrap_or(&Value::Null)),
        }
    }
}

/// Who gives the attribute its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The user must.
    Required,
    /// The user may; else it is null.
    Optional,
    /// The provider does.
    Computed,
    /// The user may; else the provider does.
    OptionalComputed,
}

impl Mode {
    /// Whether the provider may choose the value where the configuration has none.
    #[must_use]
    pub fn is_computed(self) -> bool {
        matches!(self, Self::Computed | Self::OptionalComputed)
    }

    /// Whether the configuration may leave the value out or give it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Optional | Self::OptionalComputed)
    }
}

/// How the objects of a nested attribute are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// One object, or null.
    Single,
    /// In order.
    List,
    /// Distinct, without order.
    Set,
    /// By name.
    Map,
}

/// The type of an attribute.
#[derive(Clone, Debug)]
pub enum AttributeType {
    /// A value of this type.
    Value(Type),
    /// Objects whose attributes have a schema of their own.
    Nested(Nested),
}

/// A nested attribute.
#[derive(Clone, Debug)]
pub struct Nested {
    /// How its objects are held.
    pub nesting: Nesting,
    /// The attributes of each object.
    pub attributes: IndexMap<String, Attribute>,
    /// Which of them go together.
    pub rules: Vec<Rule>,
}

impl Nested {
    /// The type of one object.
    #[must_use]
    pub fn element_ty(&self) -> Type {
        Type::object(self.attributes.iter().map(|(name, attribute)| (name, attribute.ty())))
    }

    fn ty(&self) -> Type {
        let element = self.element_ty();
        match self.nesting {
            Nesting::Single => element,
            Nesting::List => Type::list(element),
            Nesting::Set => Type::set(element),
            Nesting::Map => Type::map(element),
        }
    }
}

/// An attribute. Optional, until one of the builders says otherwise.
#[derive(Clone)]
pub struct Attribute {
    /// What values it has.
    pub ty: AttributeType,
    /// Who gives it its value.
    pub mode: Mode,
    /// Whether its value is hidden in output.
    pub sensitive: bool,
    /// Whether its value is only ever sent to the provider, never kept.
    pub write_only: bool,
    /// Which changes of its value replace the resource; none if no change does.
    pub force_new: Option<ForceNew>,
    /// Whether an update leaves a value alone that the provider chose.
    pub stable: bool,
    /// The value where the configuration has none.
    pub default: Option<Value>,
    /// What a configured value must be.
    pub checks: Vec<Check>,
    /// Semantic equality, where it is wider than equality.
    pub equal: Option<Equal>,
    /// Why not to use it any more, and what to use.
    pub deprecated: Option<String>,
    /// What it is, in Markdown.
    pub description: String,
}

impl Attribute {
    fn of(ty: AttributeType) -> Self {
        Self {
            ty,
            mode: Mode::Optional,
            sensitive: false,
            write_only: false,
            force_new: None,
            stable: false,
            default: None,
            checks: Vec::new(),
            equal: None,
            deprecated: None,
            description: String::new(),
        }
    }

    /// An attribute of any type.
    #[must_use]
    pub fn typed(ty: Type) -> Self {
        Self::of(AttributeType::Value(ty))
    }

    /// Text.
    #[must_use]
    pub fn string() -> Self {
        Self::typed(Type::String)
    }

    /// A number.
    #[must_use]
    pub fn number() -> Self {
        Self::typed(Type::Number)
    }

    /// True or false.
    #[must_use]
    pub fn bool() -> Self {
        Self::typed(Type::Bool)
    }

    /// A list.
    #[must_use]
    pub fn list(element: Type) -> Self {
        Self::typed(Type::list(element))
    }

    /// A set. Only for a few scalars: the client compares sets element by element.
    #[must_use]
    pub fn set(element: Type) -> Self {
        Self::typed(Type::set(element))
    }

    /// A map.
    #[must_use]
    pub fn map(element: Type) -> Self {
        Self::typed(Type::map(element))
    }

    /// An object whose attributes are all set together. Names that its type does not have are
    /// dropped by the client without a word; where that hurts, use a block.
    #[must_use]
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Type)>) -> Self {
        Self::typed(Type::object(attributes))
    }

    /// Objects whose attributes have a schema of their own.
    #[must_use]
    pub fn nested<K: Into<String>>(
        nesting: Nesting,
        attributes: impl IntoIterator<Item = (K, Self)>,
    ) -> Self {
        let attributes =
            attributes.into_iter().map(|(name, attribute)| (name.into(), attribute)).collect();
        Self::of(AttributeType::Nested(Nested { nesting, attributes, rules: Vec::new() }))
    }

    /// The user must give it.
    #[must_use]
    pub fn required(self) -> Self {
        Self { mode: Mode::Required, ..self }
    }

    /// The user may give it.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { mode: Mode::Optional, ..self }
    }

    /// The provider gives it.
    #[must_use]
    pub fn computed(self) -> Self {
        Self { mode: Mode::Computed, ..self }
    }

    /// The user may give it; else the provider does.
    #[must_use]
    pub fn optional_computed(self) -> Self {
        Self { mode: Mode::OptionalComputed, ..self }
    }

    /// Optional, with this value where the configuration has none.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Self {
        Self { default: Some(value.into()), ..self.optional_computed() }
    }

    /// Hidden in output.
    #[must_use]
    pub fn sensitive(self) -> Self {
        Self { sensitive: true, ..self }
    }

    /// Sent to the provider at plan and apply, and kept nowhere.
    #[must_use]
    pub fn write_only(self) -> Self {
        Self { write_only: true, ..self }
    }

    /// A change of the value replaces the resource.
    #[must_use]
    pub fn force_new(self) -> Self {
        Self { force_new: Some(ForceNew::Always), ..self }
    }

    /// A change of the value replaces the resource if this says so, by the value before and the
    /// planned one, which may be unknown.
    #[must_use]
    pub fn force_new_if(
        self,
        says: impl Fn(&Value, &Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { force_new: Some(ForceNew::If(Arc::new(says))), ..self }
    }

    /// Once computed, the value stays through updates. Without this every update shows it as
    /// known after apply.
    #[must_use]
    pub fn stable(self) -> Self {
        Self { stable: true, ..self }
    }

    /// Checks a configured value that is known and not null.
    #[must_use]
    pub fn validate(
        self,
        validate: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check(Check::Code(Arc::new(validate)))
    }

    /// A configured value must pass this, and all the other checks.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// The text has so many characters.
    #[must_use]
    pub fn length(self, range: impl RangeBounds<i64>) -> Self {
        self.check(Check::Length(Bounds::of(&range)))
    }

    /// The text is matched by a regular expression, which `words` put so that people understand
    /// it, as in "must be WORDS". Anchor it: it matches anywhere.
    ///
    /// # Panics
    ///
    /// When it is not a regular expression.
    #[must_use]
    pub fn matches(self, pattern: &str, words: &str) -> Self {
        let pattern = Regex::new(pattern).expect("the schema's author gives a valid expression");
        self.check(Check::Pattern(pattern, words.to_owned()))
    }

    /// The value is one of these.
    #[must_use]
    pub fn one_of<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Self {
        self.check(Check::OneOf(values.into_iter().map(Into::into).collect()))
    }

    /// The number is in this range.
    #[must_use]
    pub fn range(self, range: impl RangeBounds<i64>) -> Self {
        self.check(Check::Range(Bounds::of(&range)))
    }

    /// The number has no fraction.
    #[must_use]
    pub fn whole(self) -> Self {
        self.check(Check::Whole)
    }

    /// The collection has so many elements.
    #[must_use]
    pub fn size(self, range: impl RangeBounds<i64>) -> Self {
        self.check(Check::Size(Bounds::of(&range)))
    }

    /// The list has no element twice.
    #[must_use]
    pub fn unique(self) -> Self {
        self.check(Check::Unique)
    }

    /// Each element of the collection passes a check, and is not null.
    #[must_use]
    pub fn each(self, check: Check) -> Self {
        self.check(Check::Each(Box::new(check)))
    }

    /// Which attributes of each object of a nested attribute go together.
    ///
    /// # Panics
    ///
    /// When the attribute is not a nested one.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        let AttributeType::Nested(nested) = &mut self.ty else {
            panic!("{} is a rule of nested attributes", rule.words());
        };
        nested.rules.push(rule);
        self
    }

    /// Values that are equal by this are no change: the form in the state is kept.
    #[must_use]
    pub fn equal(self, equal: impl Fn(&Value, &Value) -> bool + Send + Sync + 'static) -> Self {
        Self { equal: Some(Arc::new(equal)), ..self }
    }

    /// Not to be used any more; `message` says what to use.
    #[must_use]
    pub fn deprecated(self, message: impl Into<String>) -> Self {
        Self { deprecated: Some(message.into()), ..self }
    }

    /// What it is, in Markdown.
    #[must_use]
    pub fn describe(self, markdown: impl Into<String>) -> Self {
        Self { description: markdown.into(), ..self }
    }

    /// The type of its values.
    #[must_use]
    pub fn ty(&self) -> Type {
        match &self.ty {
            AttributeType::Value(ty) => ty.clone(),
            AttributeType::Nested(nested) => nested.ty(),
        }
    }

    /// The nested schema, if it has one.
    #[must_use]
    pub fn as_nested(&self) -> Option<&Nested> {
        match &self.ty {
            AttributeType::Value(_) => None,
            AttributeType::Nested(nested) => Some(nested),
        }
    }

    /// What a configured value breaks, at `path` or inside it. Null breaks nothing.
    #[must_use]
    pub fn problems(&self, value: &Value, path: &Path) -> Vec<Violation> {
        let mut found = Vec::new();
        if !value.is_null() {
            self.checks.iter().for_each(|check| check.test(value, path, &mut found));
        }
        found
    }

    /// Whether two values are equal, or mean the same.
    #[must_use]
    pub fn same(&self, left: &Value, right: &Value) -> bool {
        left == right
            || self.equal.as_ref().is_some_and(|equal| {
                !left.is_null()
                    && !right.is_null()
                    && left.is_wholly_known()
                    && right.is_wholly_known()
                    && equal(left, right)
            })
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attribute")
            .field("ty", &self.ty)
            .field("mode", &self.mode)
            .field("sensitive", &self.sensitive)
            .field("write_only", &self.write_only)
            .field("force_new", &self.force_new.is_some())
            .field("stable", &self.stable)
            .field("default", &self.default)
            .field("checks", &self.checks)
            .field("equal", &self.equal.is_some())
            .finish_non_exhaustive()
    }
}
