//! Schemas: what a resource, data source or provider is configured with, and how its plan behaves.
//!
//! A schema is a tree of plain data. The part the client sees goes over the wire; the rest
//! (defaults, validation, semantic equality, what forces a replacement) leads the plan engine.

mod attribute;
mod block;
pub mod check;
pub mod docs;
mod generate;
mod identity;
mod rule;
mod wire;

pub use attribute::{Attribute, AttributeType, Equal, ForceNew, Mode, Nested, Nesting, Replaces};
pub use block::{Block, BlockNesting, NestedBlock};
pub use identity::{Identity, IdentityAttribute};
pub use rule::{Bounds, Check, Rule, Validate};

use crate::cty::{Path, Step, Type};

/// The schema of a resource, a data source or the provider.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Version of the state's form. Raise it together with an upgrade of older states.
    pub version: i64,
    /// Attributes and blocks.
    pub block: Block,
}

impl Schema {
    /// Version 0 of a schema.
    #[must_use]
    pub fn new(block: Block) -> Self {
        Self { version: 0, block }
    }

    /// Sets the version of the state's form.
    #[must_use]
    pub fn version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// The type of a value of this schema.
    #[must_use]
    pub fn ty(&self) -> Type {
        self.block.ty()
    }

    /// What is wrong with the schema by the client's own rules; empty when nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        check::block(&self.block)
    }

    /// The attribute at `path`, whichever elements it goes through.
    #[must_use]
    pub fn attribute_at(&self, path: &Path) -> Option<&Attribute> {
        let names: Vec<&str> = path
            .steps()
            .iter()
            .filter_map(|step| match step {
                Step::Attribute(name) => Some(name.as_str()),
                Step::Key(_) | Step::Index(_) | Step::Element => None,
            })
            .collect();
        self.block.attribute_named(&names)
    }
}
