//! Schemas as a client reads them.

use indexmap::IndexMap;
use provider_protocol::cty::Type;
use provider_protocol::schema::{
    Attribute, Block, BlockNesting, Mode, NestedBlock, Nesting, Schema,
};
use provider_protocol::wire::tfplugin6 as wire;
use provider_protocol::wire::tfplugin6::schema::nested_block::NestingMode as BlockMode;
use provider_protocol::wire::tfplugin6::schema::object::NestingMode;

/// The part of a schema that goes over the wire, and that the client's rules go by.
#[must_use]
pub fn read(schema: &wire::Schema) -> Schema {
    Schema::new(block(schema.block.as_ref().expect("a schema has a block"))).version(schema.version)
}

fn block(wire: &wire::schema::Block) -> Block {
    let mut block = Block::new().describe(&wire.description);
    block.attributes = attributes(&wire.attributes);
    block.blocks =
        wire.block_types.iter().map(|nested| (nested.type_name.clone(), blocks(nested))).collect();
    block.deprecated = wire.deprecated.then(|| wire.deprecation_message.clone());
    block
}

fn blocks(wire: &wire::schema::NestedBlock) -> NestedBlock {
    let nesting = match wire.nesting() {
        BlockMode::Single => BlockNesting::Single,
        BlockMode::Group => BlockNesting::Group,
        BlockMode::List => BlockNesting::List,
        BlockMode::Set => BlockNesting::Set,
        BlockMode::Map => BlockNesting::Map,
        BlockMode::Invalid => panic!("block {} has no nesting", wire.type_name),
    };
    let number = |items: i64| u32::try_from(items).expect("a number of blocks");
    NestedBlock {
        nesting,
        block: block(wire.block.as_ref().expect("a nested block has a block")),
        min: number(wire.min_items),
        max: Some(number(wire.max_items)).filter(|max| *max > 0),
    }
}

fn attributes(wire: &[wire::schema::Attribute]) -> IndexMap<String, Attribute> {
    wire.iter().map(|wire| (wire.name.clone(), attribute(wire))).collect()
}

fn attribute(wire: &wire::schema::Attribute) -> Attribute {
    let mut attribute = match &wire.nested_type {
        None => Attribute::typed(Type::from_wire(&wire.r#type).expect("an attribute has a type")),
        Some(object) => {
            let nesting = match object.nesting() {
                NestingMode::Single => Nesting::Single,
                NestingMode::List => Nesting::List,
                NestingMode::Set => Nesting::Set,
                NestingMode::Map => Nesting::Map,
                NestingMode::Invalid => panic!("attribute {} has no nesting", wire.name),
            };
            Attribute::nested(nesting, attributes(&object.attributes))
        }
    };
    attribute.mode = match (wire.required, wire.optional, wire.computed) {
        (true, false, false) => Mode::Required,
        (false, true, false) => Mode::Optional,
        (false, false, true) => Mode::Computed,
        (false, true, true) => Mode::OptionalComputed,
        other => panic!("attribute {} cannot be {other:?}", wire.name),
    };
    attribute.sensitive = wire.sensitive;
    attribute.write_only = wire.write_only;
    attribute.deprecated = wire.deprecated.then(|| wire.deprecation_message.clone());
    attribute.describe(&wire.description)
}
