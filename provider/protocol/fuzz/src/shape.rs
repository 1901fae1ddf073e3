//! The types and the schema that the inputs are read by.

use provider_protocol::cty::{Type, Value};
use provider_protocol::schema::{Attribute, Block, NestedBlock, Nesting, Schema};

/// Types of every kind, and one that has them all.
pub(crate) fn types() -> Vec<Type> {
    let pair = || Type::object([("a", Type::String), ("b", Type::Number)]);
    vec![
        Type::String,
        Type::Number,
        Type::Bool,
        Type::Dynamic,
        Type::list(Type::Dynamic),
        Type::set(Type::String),
        Type::set(pair()),
        Type::map(Type::Number),
        Type::Tuple(vec![Type::String, Type::list(Type::Bool)]),
        pair(),
        Type::list(Type::set(Type::list(Type::Number))),
        schema().ty(),
    ]
}

fn same_folded(left: &Value, right: &Value) -> bool {
    left.as_str().map(str::to_lowercase) == right.as_str().map(str::to_lowercase)
}

/// A schema with everything that a schema can have.
pub(crate) fn schema() -> Schema {
    let nested = |nesting| {
        Attribute::nested(
            nesting,
            [
                ("n", Attribute::string().required()),
                ("s", Attribute::string().optional_computed().stable()),
            ],
        )
    };
    let inner = || {
        Block::new()
            .attribute("c", Attribute::string().default("gray").one_of(["gray", "red"]))
            .attribute("k", Attribute::number().computed())
            .block("l", NestedBlock::list(Block::new().attribute("x", Attribute::bool())))
    };
    Schema::new(
        Block::new()
            .attribute("a", Attribute::string().force_new().length(1..5))
            .attribute("d", Attribute::typed(Type::Dynamic))
            .attribute("e", Attribute::string().equal(same_folded))
            .attribute("i", Attribute::string().computed().stable())
            .attribute("l", nested(Nesting::List))
            .attribute("m", nested(Nesting::Map).optional_computed())
            .attribute("o", nested(Nesting::Single))
            .attribute("s", nested(Nesting::Set))
            .attribute("t", Attribute::list(Type::String).unique().size(..3))
            .attribute("w", Attribute::string().write_only().sensitive())
            .conflicting(["a", "e"])
            .block("bg", NestedBlock::group(inner()))
            .block("bl", NestedBlock::list(inner()))
            .block("bm", NestedBlock::map(inner()))
            .block("bo", NestedBlock::single(inner()))
            .block("bs", NestedBlock::set(inner())),
    )
}
