//! The plan engine against the client's rules, for configurations and states of every shape.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::plan::{
    apply_violations, plan, plan_violations, proposed_new, replace_paths,
};
use provider_protocol::schema::{
    Attribute, AttributeType, Block, BlockNesting, Mode, Nested, NestedBlock, Nesting, Schema,
};

fn nested(nesting: Nesting) -> Attribute {
    Attribute::nested(
        nesting,
        [
            ("name", Attribute::string().required()),
            ("note", Attribute::string()),
            ("level", Attribute::number().default(1)),
            ("stamp", Attribute::string().computed()),
            ("key", Attribute::string().optional_computed().stable()),
        ],
    )
}

fn inner() -> Block {
    Block::new()
        .attribute("name", Attribute::string().required())
        .attribute("color", Attribute::string().default("gray"))
        .attribute("slot", Attribute::number().computed())
        .attribute("fixed", Attribute::string().computed().stable())
        .block("leaf", NestedBlock::list(Block::new().attribute("x", Attribute::bool())))
}

/// An element of a set. What may be configured is never computed too: elements that differ only
/// in such an attribute cannot be told apart, not by the client either.
fn element() -> Block {
    Block::new()
        .attribute("name", Attribute::string().required())
        .attribute("note", Attribute::string())
        .attribute("stamp", Attribute::string().computed())
}

fn schema() -> Schema {
    Schema::new(
        Block::new()
            .attribute("name", Attribute::string().required().force_new())
            .attribute("note", Attribute::string())
            .attribute("mode", Attribute::string().default("auto"))
            .attribute("id", Attribute::string().computed().stable())
            .attribute("seen", Attribute::number().computed())
            .attribute("maybe", Attribute::string().optional_computed())
            .attribute("secret", Attribute::string().write_only())
            .attribute("folded", Attribute::string().equal(same_folded))
            .attribute("tags", Attribute::map(Type::String))
            .attribute("zones", Attribute::set(Type::String))
            .attribute("one", nested(Nesting::Single))
            .attribute("many", nested(Nesting::List))
            .attribute("keyed", nested(Nesting::Map).optional_computed())
            .attribute("distinct", Attribute::nested(Nesting::Set, element().attributes))
            .block("rule", NestedBlock::list(inner()))
            .block("only", NestedBlock::single(inner()))
            .block("group", NestedBlock::group(inner()))
            .block("choice", NestedBlock::set(element()))
            .block("by_name", NestedBlock::map(inner())),
    )
}

fn same_folded(left: &Value, right: &Value) -> bool {
    left.as_str().map(str::to_lowercase) == right.as_str().map(str::to_lowercase)
}

/// What values a strategy makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A configuration while planning: some of it is unknown.
    Config,
    /// A configuration while applying.
    KnownConfig,
    /// A state.
    State,
}

fn of_type(ty: &Type, kind: Kind) -> BoxedStrategy<Value> {
    let known = match ty {
        Type::String => "[a-cA-C]{0,2}".prop_map(Value::from).boxed(),
        Type::Number => (0..3_i64).prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Set(element) => {
            vec(of_type(element, Kind::State), 0..3).prop_map(Value::List).boxed()
        }
        Type::Map(element) => {
            btree_map("[ab]", of_type(element, kind), 0..3).prop_map(Value::Map).boxed()
        }
        Type::List(_) | Type::Tuple(_) | Type::Object(_) | Type::Dynamic => {
            Just(Value::Null).boxed()
        }
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

fn values(kind: Kind) -> impl Strategy<Value = Value> {
    let ty = schema().ty();
    of_block(&schema().block, kind).prop_map(move |value| conform(value, &ty).expect("of the type"))
}

fn prior() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => values(Kind::State)]
}

/// What an apply makes of a plan: something known for whatever was not.
fn applied(planned: &Value, ty: &Type) -> Value {
    match (planned, ty) {
        (Value::Unknown(_), Type::String) => Value::from("made"),
        (Value::Unknown(_), Type::Number) => Value::from(7),
        (Value::Unknown(_), _) => Value::Null,
        (Value::List(values), Type::List(ty) | Type::Set(ty)) => {
            Value::List(values.iter().map(|value| applied(value, ty)).collect())
        }
        (Value::Map(values), Type::Map(ty)) => {
            Value::object(values.iter().map(|(name, value)| (name, applied(value, ty))))
        }
        (Value::Map(values), Type::Object(types)) => {
            Value::object(values.iter().map(|(name, value)| (name, applied(value, &types[name]))))
        }
        (known, _) => known.clone(),
    }
}

#[test]
fn the_schema_is_a_good_one() {
    assert_eq!(schema().check(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_plan_is_valid(prior in prior(), config in values(Kind::Config)) {
        let schema = schema();
        let proposed = proposed_new(&schema.block, &prior, &config);
        let planned = plan(&schema, &prior, proposed, &config).expect("defaults of their types");
        let found = plan_violations(&schema.block, &prior, &config, &planned.value);
        prop_assert_eq!(found, vec![]);
        let renamed = !prior.is_null() && prior.get("name") != planned.value.get("name");
        prop_assert_eq!(!planned.requires_replace.is_empty(), renamed);
    }

    #[test]
    fn after_an_apply_the_plan_is_empty(prior in prior(), config in values(Kind::KnownConfig)) {
        let schema = schema();
        let proposed = proposed_new(&schema.block, &prior, &config);
        let planned = plan(&schema, &prior, proposed, &config).expect("defaults of their types");
        let state = conform(applied(&planned.value, &schema.ty()), &schema.ty()).expect("its type");
        prop_assert_eq!(apply_violations(&schema.block, &planned.value, &state), vec![]);
        let proposed = proposed_new(&schema.block, &state, &config);
        let again = plan(&schema, &state, proposed, &config).expect("defaults of their types");
        prop_assert_eq!(&again.value, &state);
        prop_assert_eq!(replace_paths(&schema.block, &again.value, &state), vec![]);
    }
}
