//! What identifies an object, apart from its attributes.

use indexmap::IndexMap;

use crate::cty::{Type, Value};
use crate::wire::tfplugin6 as wire;

/// The schema of an identity: a flat object that tells one object from every other, for as long
/// as it lives.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Version of the identity's form. Raise it together with an upgrade of older ones.
    pub version: i64,
    /// Attributes by name.
    pub attributes: IndexMap<String, IdentityAttribute>,
}

/// An attribute of an identity.
#[derive(Clone, Debug)]
pub struct IdentityAttribute {
    /// A primitive, or a list of one.
    pub ty: Type,
    /// Whether an import must give it; else the provider knows what it is.
    pub required: bool,
    /// What it is, in one line.
    pub description: String,
}

impl Identity {
    /// Version 0 of an identity with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the version of its form.
    #[must_use]
    pub fn version(self, version: i64) -> Self {
        Self { version, ..self }
    }

    /// Adds an attribute that an import must give.
    #[must_use]
    pub fn required(self, name: impl Into<String>, ty: Type, description: &str) -> Self {
        self.attribute(name, ty, true, description)
    }

    /// Adds an attribute that an import may leave out.
    #[must_use]
    pub fn optional(self, name: impl Into<String>, ty: Type, description: &str) -> Self {
        self.attribute(name, ty, false, description)
    }

    fn attribute(
        mut self,
        name: impl Into<String>,
        ty: Type,
        required: bool,
        description: &str,
    ) -> Self {
        let description = description.to_owned();
        self.attributes.insert(name.into(), IdentityAttribute { ty, required, description });
        self
    }

    /// The type of an identity.
    #[must_use]
    pub fn ty(&self) -> Type {
        Type::object(self.attributes.iter().map(|(name, attribute)| (name, attribute.ty.clone())))
    }

    /// The attributes of the same names in a state; null where it has none.
    #[must_use]
    pub fn in_state(&self, state: &Value) -> Value {
        let field = |name: &String| state.get(name).cloned().unwrap_or_default();
        Value::object(self.attributes.keys().map(|name| (name, field(name))))
    }

    /// Whether an identity has all that an import must give; an unknown counts as there.
    #[must_use]
    pub fn is_complete(&self, identity: &Value) -> bool {
        let given = |name| identity.get(name).is_some_and(|value| !value.is_null());
        self.attributes.iter().all(|(name, attribute)| !attribute.required || given(name))
    }

    pub(crate) fn to_wire(&self) -> wire::ResourceIdentitySchema {
        use wire::resource_identity_schema::IdentityAttribute as Wire;
        let attributes = self.attributes.iter().map(|(name, attribute)| Wire {
            name: name.clone(),
            r#type: attribute.ty.to_wire(),
            required_for_import: attribute.required,
            optional_for_import: !attribute.required,
            description: attribute.description.clone(),
        });
        wire::ResourceIdentitySchema {
            version: self.version,
            identity_attributes: attributes.collect(),
        }
    }
}
