//! The plan engine against the client's rules, for configurations and states of every shape.

use proptest::prelude::*;
use provider_kit::arbitrary::{Kind, element, made_known, values};
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::plan::{
    apply_violations, plan, plan_violations, proposed_new, replace_paths,
};
use provider_protocol::schema::{Attribute, Block, NestedBlock, Nesting, Schema};

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

fn prior() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => values(&schema(), Kind::State)]
}

#[test]
fn the_schema_is_a_good_one() {
    assert_eq!(schema().check(), Vec::<String>::new());
}

/// Most of all one that is the configured secret.
#[test]
fn a_plan_with_a_write_only_value_is_invalid() {
    let part =
        |secret: Value| schema().block.empty_value().with("name", "a").with("secret", secret);
    let config = part("s3cret".into());
    for (planned, valid) in [(Value::Null, true), ("s3cret".into(), false), ("other".into(), false)]
    {
        let planned = part(planned);
        let found = plan_violations(&schema().block, &Value::Null, &config, &planned);
        let told: Vec<String> = found.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(told.contains(&"secret".to_owned()), !valid, "{told:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_plan_is_valid(prior in prior(), config in values(&schema(), Kind::Config)) {
        let schema = schema();
        let proposed = proposed_new(&schema.block, &prior, &config);
        let planned = plan(&schema, &prior, proposed, &config).expect("defaults of their types");
        let found = plan_violations(&schema.block, &prior, &config, &planned.value);
        prop_assert_eq!(found, vec![]);
        let renamed = !prior.is_null() && prior.get("name") != planned.value.get("name");
        prop_assert_eq!(!planned.requires_replace.is_empty(), renamed);
    }

    #[test]
    fn after_an_apply_the_plan_is_empty(prior in prior(), config in values(&schema(), Kind::KnownConfig)) {
        let schema = schema();
        let proposed = proposed_new(&schema.block, &prior, &config);
        let planned = plan(&schema, &prior, proposed, &config).expect("defaults of their types");
        let state = conform(made_known(&planned.value, &schema.ty()), &schema.ty()).expect("its type");
        prop_assert_eq!(apply_violations(&schema.block, &planned.value, &state), vec![]);
        let proposed = proposed_new(&schema.block, &state, &config);
        let again = plan(&schema, &state, proposed, &config).expect("defaults of their types");
        prop_assert_eq!(&again.value, &state);
        prop_assert_eq!(replace_paths(&schema.block, &again.value, &state), vec![]);
    }
}
