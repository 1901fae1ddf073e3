//! The part of a schema that the client sees.

use super::{Attribute, AttributeType, Block, BlockNesting, Mode, NestedBlock, Nesting, Schema};
use crate::wire::tfplugin6 as wire;

impl Schema {
    pub(crate) fn to_wire(&self) -> wire::Schema {
        let mut block = self.block.to_wire();
        block.version = self.version;
        wire::Schema { version: self.version, block: Some(block) }
    }

    /// Of something that has a configuration and nothing else: no provider gives it values, so a
    /// default is only ever ours to know.
    pub(crate) fn to_wire_config(&self) -> wire::Schema {
        let mut schema = self.to_wire();
        schema.block.iter_mut().for_each(not_computed);
        schema
    }
}

fn not_computed(block: &mut wire::schema::Block) {
    block.attributes.iter_mut().for_each(attribute_not_computed);
    block.block_types.iter_mut().filter_map(|nested| nested.block.as_mut()).for_each(not_computed);
}

fn attribute_not_computed(attribute: &mut wire::schema::Attribute) {
    attribute.computed &= !attribute.optional;
    let nested = attribute.nested_type.iter_mut().flat_map(|nested| &mut nested.attributes);
    nested.for_each(attribute_not_computed);
}

impl Block {
    fn to_wire(&self) -> wire::schema::Block {
        wire::schema::Block {
            version: 0,
            attributes: attributes(&self.attributes),
            block_types: self.blocks.iter().map(|(name, block)| block.to_wire(name)).collect(),
            description: self.description.clone(),
            description_kind: wire::StringKind::Markdown.into(),
            deprecated: self.deprecated.is_some(),
            deprecation_message: self.deprecated.clone().unwrap_or_default(),
            computed: false,
        }
    }
}

impl NestedBlock {
    fn to_wire(&self, name: &str) -> wire::schema::NestedBlock {
        use wire::schema::nested_block::NestingMode;
        let (nesting, max) = match self.nesting {
            // There once or not at all: both bounds say which, and must be the same.
            BlockNesting::Single => (NestingMode::Single, self.min),
            BlockNesting::Group => (NestingMode::Group, 0),
            BlockNesting::List => (NestingMode::List, self.max.unwrap_or(0)),
            BlockNesting::Set => (NestingMode::Set, self.max.unwrap_or(0)),
            BlockNesting::Map => (NestingMode::Map, 0),
        };
        wire::schema::NestedBlock {
            type_name: name.to_owned(),
            block: Some(self.block.to_wire()),
            nesting: nesting.into(),
            min_items: self.min.into(),
            max_items: max.into(),
        }
    }
}

fn attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a Attribute)>,
) -> Vec<wire::schema::Attribute> {
    attributes.into_iter().map(|(name, attribute)| attribute.to_wire(name)).collect()
}

impl Attribute {
    fn to_wire(&self, name: &str) -> wire::schema::Attribute {
        let (ty, nested_type) = match &self.ty {
            AttributeType::Value(ty) => (ty.to_wire(), None),
            AttributeType::Nested(nested) => {
                let object = wire::schema::Object {
                    attributes: attributes(&nested.attributes),
                    nesting: nesting(nested.nesting).into(),
                    ..wire::schema::Object::default()
                };
                (Vec::new(), Some(object))
            }
        };
        wire::schema::Attribute {
            name: name.to_owned(),
            r#type: ty,
            nested_type,
            description: self.description.clone(),
            required: self.mode == Mode::Required,
            optional: self.mode.is_optional(),
            computed: self.mode.is_computed(),
            sensitive: self.sensitive,
            description_kind: wire::StringKind::Markdown.into(),
            deprecated: self.deprecated.is_some(),
            write_only: self.write_only,
            deprecation_message: self.deprecated.clone().unwrap_or_default(),
        }
    }
}

fn nesting(nesting: Nesting) -> wire::schema::object::NestingMode {
    use wire::schema::object::NestingMode;
    match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    }
}
