//! Whatever a configuration holds, what is planned for it is a plan that the client accepts.

use proptest::prelude::*;
use provider_protocol::Diagnostics;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::plan::{plan, plan_violations, proposed_new};
use provider_protocol::provider::{Capabilities, Context, Plan, Provider as _, Resource};
use provider_protocol::schema::{Attribute, AttributeType, Block, BlockNesting, Mode, Schema};
use provider_resources::{Lockstep, Session};

/// Values of a type. Texts are often what some attribute takes.
fn of_type(ty: &Type) -> BoxedStrategy<Value> {
    match ty {
        Type::String => prop_oneof![
            Just(Value::unknown()),
            Just(Value::from("")),
            prop::sample::select(vec![
                "shop",
                "prod",
                "5m",
                "1h",
                "automatic",
                "gated",
                "^1.2",
                "soak",
                "delete",
                "tf_plan",
                "{}",
                r#"{"dir":"x"}"#,
                "http://127.0.0.1/x",
                "response.status == 200",
            ])
            .prop_map(Value::from),
        ]
        .boxed(),
        Type::Number => {
            prop_oneof![Just(Value::unknown()), (-1..50_i64).prop_map(Value::from),].boxed()
        }
        Type::Bool => {
            prop_oneof![Just(Value::unknown()), any::<bool>().prop_map(Value::from)].boxed()
        }
        Type::List(element) => {
            let elements = prop::collection::vec(of_type(element), 0..3).prop_map(Value::List);
            prop_oneof![1 => Just(Value::unknown()), 4 => elements].boxed()
        }
        Type::Map(element) => {
            let elements = prop::collection::btree_map("[a-z]{1,3}", of_type(element), 0..3);
            prop_oneof![1 => Just(Value::unknown()), 4 => elements.prop_map(Value::Map)].boxed()
        }
        Type::Object(attributes) => attributes
            .iter()
            .map(|(name, ty)| {
                let name = name.clone();
                of_type(ty).prop_map(move |value| (name.clone(), value))
            })
            .collect::<Vec<_>>()
            .prop_map(Value::object)
            .boxed(),
        Type::Set(_) | Type::Tuple(_) | Type::Dynamic => unreachable!("no schema has {ty}"),
    }
}

fn of_attribute(attribute: &Attribute) -> BoxedStrategy<Value> {
    let AttributeType::Value(ty) = &attribute.ty else { unreachable!("no resource has nested") };
    match attribute.mode {
        Mode::Computed => Just(Value::Null).boxed(),
        Mode::Required => of_type(ty),
        Mode::Optional | Mode::OptionalComputed => {
            prop_oneof![Just(Value::Null), of_type(ty)].boxed()
        }
    }
}

fn of_block(block: &Block) -> BoxedStrategy<Value> {
    let attributes = block.attributes.iter().map(|(name, attribute)| {
        let name = name.clone();
        of_attribute(attribute).prop_map(move |value| (name.clone(), value)).boxed()
    });
    let blocks = block.blocks.iter().map(|(name, nested)| {
        let name = name.clone();
        let inside = of_block(&nested.block);
        let held = match nested.nesting {
            BlockNesting::Single => prop_oneof![1 => Just(Value::Null), 4 => inside].boxed(),
            BlockNesting::List => {
                let most = nested.max.unwrap_or(2) as usize;
                prop::collection::vec(inside, 0..=most).prop_map(Value::List).boxed()
            }
            BlockNesting::Group | BlockNesting::Set | BlockNesting::Map => {
                unreachable!("no resource has such blocks")
            }
        };
        prop_oneof![1 => Just(Value::unknown()), 5 => held]
            .prop_map(move |value| (name.clone(), value))
            .boxed()
    });
    attributes.chain(blocks).collect::<Vec<_>>().prop_map(Value::object).boxed()
}

/// A resource by its place in the list, a configuration, and what it was changed from.
fn cases() -> impl Strategy<Value = (usize, Value, Option<Value>)> {
    let resources = Lockstep.resources();
    (0..resources.len()).prop_flat_map(move |at| {
        let block = resources[at].schema().block;
        (Just(at), of_block(&block), prop::option::of(of_block(&block)))
    })
}

/// A context without a client, as while the provider's configuration is not known.
fn unconfigured() -> Context<Session> {
    Context {
        client: None,
        cancel: Default::default(),
        request_id: "test".to_owned(),
        capabilities: Capabilities { write_only: true, ..Capabilities::default() },
    }
}

/// What the server does with a plan, with the resource's own part in it.
async fn planned(
    resource: &dyn Resource<Session>,
    schema: &Schema,
    prior: &Value,
    config: &Value,
) -> Value {
    let proposed = proposed_new(&schema.block, prior, config);
    let made = plan(schema, prior, proposed, config).unwrap();
    let mut plan = Plan {
        prior: Some(prior).filter(|prior| !prior.is_null()),
        config,
        planned: made.value,
        private: Vec::new(),
        kept: None,
        requires_replace: made.requires_replace,
    };
    resource.plan(&unconfigured(), &mut plan, &mut Diagnostics::new()).await;
    conform(plan.planned, &schema.ty()).unwrap()
}

/// A state that could be there: like the configuration, with everything known.
fn known(value: Value, name: &str) -> Value {
    match value {
        Value::Unknown(_) if name == "count" || name.ends_with("limit") => Value::from(1),
        Value::Unknown(_) => Value::Null,
        Value::Map(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = known(value, &name);
                (name, value)
            });
            Value::Map(fields.collect())
        }
        Value::List(elements) => {
            Value::List(elements.into_iter().map(|value| known(value, "")).collect())
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_client_accepts_every_plan((at, config, before) in cases()) {
        let resource = Lockstep.resources().remove(at);
        let schema = resource.schema();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = conform(config, &schema.ty()).unwrap();
        let prior = match before {
            None => Value::Null,
            Some(before) => {
                let mut before = known(before, "");
                for (name, nested) in &schema.block.blocks {
                    if before.get(name).is_none_or(Value::is_null) {
                        before.set(name, nested.empty_value());
                    }
                }
                conform(before, &schema.ty()).unwrap()
            }
        };
        let value = runtime.block_on(planned(resource.as_ref(), &schema, &prior, &config));
        prop_assert_eq!(plan_violations(&schema.block, &prior, &config, &value), Vec::new());
    }

    #[test]
    fn no_configuration_breaks_the_checks((at, config, _) in cases()) {
        let resource = Lockstep.resources().remove(at);
        let config = conform(config, &resource.schema().ty()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut diags = Diagnostics::new();
        runtime.block_on(resource.validate(&unconfigured(), &config, &mut diags));
        for diag in &diags {
            prop_assert!(!diag.detail.contains("Bug"), "{diag:?}");
        }
    }
}
