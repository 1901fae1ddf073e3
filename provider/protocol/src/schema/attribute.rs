//! Attributes.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::cty::{Type, Value};

/// Checks a known value that is not null; the error is shown at the attribute.
pub type Validate = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// Whether two known values mean the same: the text of one JSON document in two layouts.
pub type Equal = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;

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
    /// Whether a change of its value replaces the resource.
    pub force_new: bool,
    /// Whether an update leaves a value alone that the provider chose.
    pub stable: bool,
    /// The value where the configuration has none.
    pub default: Option<Value>,
    /// A check of the configured value.
    pub validate: Option<Validate>,
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
            force_new: false,
            stable: false,
            default: None,
            validate: None,
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
        Self::of(AttributeType::Nested(Nested { nesting, attributes }))
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
        Self { force_new: true, ..self }
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
        Self { validate: Some(Arc::new(validate)), ..self }
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
            .field("force_new", &self.force_new)
            .field("stable", &self.stable)
            .field("default", &self.default)
            .field("validate", &self.validate.is_some())
            .field("equal", &self.equal.is_some())
            .finish_non_exhaustive()
    }
}
