//! Schemas, and values of them, of every shape.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::schema::{
    Attribute, AttributeType, Block, BlockNesting, Mode, Nested, NestedBlock, Nesting, Schema,
};

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A configuration while planning: some of it is unknown.
    Config,
    /// A configuration while applying.
    KnownConfig,
    /// A state.
    State,
}

/// Values of a schema.
pub fn values(schema: &Schema, kind: Kind) -> impl Strategy<Value = Value> + use<> {
    let ty = schema.ty();
    of_block(&schema.block, kind).prop_map(move |value| conform(value, &ty).expect("of the type"))
}

/// Values of a type, from few enough that they repeat.
pub fn of_type(ty: &Type, kind: Kind) -> BoxedStrategy<Value> {
    let known = match ty {
        Type::String => "[a-cA-C]{0,2}".prop_map(Value::from).boxed(),
        Type::Number => (0..3_i64).prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Set(element) => {
            vec(of_type(element, Kind::State), 0..3).prop_map(Value::List).boxed()
        }
        Type::List(element) => vec(of_type(element, kind), 0..3).prop_map(Value::List).boxed(),
        Type::Map(element) => {
            btree_map("[ab]", of_type(element, kind), 0..3).prop_map(Value::Map).boxed()
        }
        Type::Tuple(elements) => {
            let elements: Vec<_> = elements.iter().map(|ty| of_type(ty, kind)).collect();
            elements.prop_map(Value::List).boxed()
        }
        Type::Object(attributes) => {
            let (names, values): (Vec<String>, Vec<_>) =
                attributes.iter().map(|(name, ty)| (name.clone(), of_type(ty, kind))).unzip();
            values.prop_map(move |values| Value::object(names.iter().cloned().zip(values))).boxed()
        }
        Type::Dynamic => prop_oneof![
            "[ab]{0,2}".prop_map(Value::from),
            vec(any::<bool>(), 0..2).prop_map(Value::from),
        ]
        .boxed(),
    };
    match kind {
        Kind::Config => prop_oneof![6 => known, 1 => Just(Value::unknown())].boxed(),
        Kind::KnownConfig | Kind::State => known,
    }
}

fn of_attribute(attribute: &Attribute, kind: Kind) -> BoxedStrategy<Value> {
    let null = Just(Value::Null).boxed();
    if kind == Kind::State && attribute.write_only {
        return null;
    }
    let value = match &attribute.ty {
        AttributeType::Value(ty) => of_type(ty, kind),
        AttributeType::Nested(nested) => of_nested(nested, kind),
    };
    match (attribute.mode, kind) {
        (Mode::Computed, Kind::Config | Kind::KnownConfig) => null,
        (Mode::Required, _) => value,
        _ => prop_oneof![null, value].boxed(),
    }
}

fn of_nested(nested: &Nested, kind: Kind) -> BoxedStrategy<Value> {
    let object = of_fields(nested.attributes.iter(), std::iter::empty(), kind);
    match nested.nesting {
        Nesting::Single => object,
        Nesting::List | Nesting::Set => vec(object, 0..3).prop_map(Value::List).boxed(),
        Nesting::Map => btree_map("[ab]", object, 0..3).prop_map(Value::Map).boxed(),
    }
}

fn of_blocks(nested: &NestedBlock, kind: Kind) -> BoxedStrategy<Value> {
    let block = of_block(&nested.block, kind);
    match nested.nesting {
        BlockNesting::Single => prop_oneof![Just(Value::Null), block].boxed(),
        BlockNesting::Group => block,
        BlockNesting::List | BlockNesting::Set => vec(block, 0..3).prop_map(Value::List).boxed(),
        BlockNesting::Map => btree_map("[ab]", block, 0..3).prop_map(Value::Map).boxed(),
    }
}

fn of_block(block: &Block, kind: Kind) -> BoxedStrategy<Value> {
    of_fields(block.attributes.iter(), block.blocks.iter(), kind)
}

fn of_fields<'s>(
    attributes: impl Iterator<Item = (&'s String, &'s Attribute)>,
    blocks: impl Iterator<Item = (&'s String, &'s NestedBlock)>,
    kind: Kind,
) -> BoxedStrategy<Value> {
    let attributes =
        attributes.map(|(name, attribute)| (name.clone(), of_attribute(attribute, kind)));
    let blocks = blocks.map(|(name, block)| (name.clone(), of_blocks(block, kind)));
    let (names, values): (Vec<String>, Vec<BoxedStrategy<Value>>) =
        attributes.chain(blocks).unzip();
    values.prop_map(move |values| Value::object(names.iter().cloned().zip(values))).boxed()
}

/// A value with something known of its type for whatever is unknown: what an apply could make of
/// a plan.
#[must_use]
pub fn made_known(planned: &Value, ty: &Type) -> Value {
    match (planned, ty) {
        (Value::Unknown(_), Type::String) => Value::from("made"),
        (Value::Unknown(_), Type::Number) => Value::from(7),
        (Value::Unknown(_), _) => Value::Null,
        (Value::List(values), Type::List(ty) | Type::Set(ty)) => {
            Value::List(values.iter().map(|value| made_known(value, ty)).collect())
        }
        (Value::List(values), Type::Tuple(types)) => {
            let values = values.iter().zip(types);
            Value::List(values.map(|(value, ty)| made_known(value, ty)).collect())
        }
        (Value::Map(values), Type::Map(ty)) => {
            Value::object(values.iter().map(|(name, value)| (name, made_known(value, ty))))
        }
        (Value::Map(values), Type::Object(types)) => Value::object(
            values.iter().map(|(name, value)| (name, made_known(value, &types[name]))),
        ),
        (known, _) => known.clone(),
    }
}

/// Schemas that a client takes, whose root has besides everything else a computed `id` that
/// stays.
pub fn schemas() -> impl Strategy<Value = Schema> {
    blocks(2).prop_map(|block| {
        let id = Attribute::string().computed().stable();
        Schema::new(block.attribute("id", id))
    })
}

fn blocks(depth: u32) -> BoxedStrategy<Block> {
    let attributes = vec(("[a-d]", attributes(depth)), 1..4);
    let inner = if depth == 0 {
        Just(Vec::new()).boxed()
    } else {
        vec(("[w-z]", nested_blocks(depth - 1)), 0..3).boxed()
    };
    (attributes, inner)
        .prop_map(|(attributes, blocks)| {
            let block = attributes
                .into_iter()
                .fold(Block::new(), |block, (name, attribute)| block.attribute(name, attribute));
            blocks.into_iter().fold(block, |block, (name, nested)| block.block(name, nested))
        })
        .boxed()
}

fn nested_blocks(depth: u32) -> BoxedStrategy<NestedBlock> {
    prop_oneof![
        blocks(depth).prop_map(NestedBlock::list),
        blocks(depth).prop_map(NestedBlock::single),
        blocks(depth).prop_map(NestedBlock::group),
        blocks(depth).prop_map(NestedBlock::map),
        Just(NestedBlock::set(element())),
    ]
    .boxed()
}

/// An element of a set. What may be configured is never computed too: elements that differ only
/// in such an attribute cannot be told apart, not by a client either.
#[must_use]
pub fn element() -> Block {
    Block::new()
        .attribute("name", Attribute::string().required())
        .attribute("note", Attribute::string())
        .attribute("stamp", Attribute::string().computed())
}

fn attributes(depth: u32) -> BoxedStrategy<Attribute> {
    let plain = (types(), any::<[bool; 3]>(), 0..6_u8).prop_map(|(ty, flags, mode)| {
        let [sensitive, stable, force_new] = flags;
        let attribute = match mode {
            0 => Attribute::typed(ty).required(),
            1 => Attribute::typed(ty),
            2 => Attribute::typed(ty).computed(),
            3 => Attribute::typed(ty).optional_computed(),
            4 => Attribute::typed(ty).write_only(),
            _ => Attribute::string().default("preset"),
        };
        let is_computed = attribute.mode.is_computed() && attribute.default.is_none();
        let attribute = if stable && is_computed { attribute.stable() } else { attribute };
        // What is computed and neither stays nor is known would be replaced for ever.
        let replaces = force_new && !attribute.write_only && (!is_computed || stable);
        let attribute = if replaces { attribute.force_new() } else { attribute };
        if sensitive { attribute.sensitive() } else { attribute }
    });
    if depth == 0 {
        return plain.boxed();
    }
    let objects = vec(("[a-d]", attributes(depth - 1)), 1..3);
    let nested = (objects, 0..4_u8, any::<bool>()).prop_map(|(attributes, nesting, optional)| {
        let attribute = match nesting {
            0 => Attribute::nested(Nesting::Single, attributes),
            1 => Attribute::nested(Nesting::List, attributes),
            2 => Attribute::nested(Nesting::Map, attributes),
            _ => Attribute::nested(Nesting::Set, element().attributes),
        };
        if optional { attribute } else { attribute.required() }
    });
    prop_oneof![3 => plain, 1 => nested].boxed()
}

fn types() -> BoxedStrategy<Type> {
    prop_oneof![
        4 => Just(Type::String),
        2 => Just(Type::Number),
        1 => Just(Type::Bool),
        1 => Just(Type::list(Type::String)),
        1 => Just(Type::set(Type::String)),
        1 => Just(Type::map(Type::Number)),
        1 => Just(Type::object([("a", Type::String), ("b", Type::list(Type::Bool))])),
    ]
    .boxed()
}
