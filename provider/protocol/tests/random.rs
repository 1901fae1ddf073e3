//! Resources of random schemas, driven through their lives as a client does it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use provider_kit::arbitrary::{Kind, made_known, schemas, values};
use provider_kit::client::{Client, Object};
use provider_kit::core::{self, Action};
use provider_protocol::Diagnostics;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::{
    Change, Configure, Context, Destroy, Provider, Resource, State, check,
};
use provider_protocol::schema::{Block, Identity, Schema};

/// A provider of one resource, which keeps what it is given.
struct Random(Arc<Keep>);

struct Keep {
    schema: Schema,
    objects: Mutex<HashMap<String, Value>>,
}

#[async_trait]
impl Provider for Random {
    type Client = ();

    fn address(&self) -> &'static str {
        "acme/random"
    }

    fn schema(&self) -> Schema {
        Schema::new(Block::new())
    }

    async fn configure(&self, _: Configure<'_>, _: &mut Diagnostics) -> Option<Arc<()>> {
        Some(Arc::new(()))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource<()>>> {
        vec![Arc::clone(&self.0) as Arc<dyn Resource<()>>]
    }
}

impl Keep {
    fn keep(&self, planned: &Value, id: &str) -> State {
        let made = made_known(&planned.clone().with("id", id), &self.schema.ty());
        let made = conform(made, &self.schema.ty()).expect("of the type");
        self.objects.lock().expect("whole").insert(id.to_owned(), made.clone());
        State::new(made).private(format!("kept {id}"))
    }

    fn find(&self, id: &str) -> Option<State> {
        let found = self.objects.lock().expect("whole").get(id).cloned()?;
        Some(State::new(found).private(format!("kept {id}")))
    }
}

fn id(value: &Value) -> &str {
    value.get("id").and_then(Value::as_str).expect("an id")
}

#[async_trait]
impl Resource<()> for Keep {
    fn type_name(&self) -> &'static str {
        "random_thing"
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity::new().required("id", Type::String, "Its id."))
    }

    async fn create(
        &self,
        _: &Context<()>,
        change: Change<'_>,
        _: &mut Diagnostics,
    ) -> Option<State> {
        let id = format!("thing-{}", self.objects.lock().expect("whole").len());
        Some(self.keep(change.planned, &id))
    }

    async fn read(&self, _: &Context<()>, state: &State, _: &mut Diagnostics) -> Option<State> {
        self.find(id(&state.value))
    }

    async fn update(
        &self,
        _: &Context<()>,
        change: Change<'_>,
        _: &mut Diagnostics,
    ) -> Option<State> {
        Some(self.keep(change.planned, id(change.planned)))
    }

    async fn delete(&self, _: &Context<()>, destroy: Destroy<'_>, _: &mut Diagnostics) {
        self.objects.lock().expect("whole").remove(id(destroy.state));
    }

    async fn import(&self, _: &Context<()>, id: &str, _: &mut Diagnostics) -> Option<State> {
        Some(State::new(Value::object([("id", Value::from(id))])))
    }
}

/// A schema, two configurations of it, and the first as it is while something is not known.
fn lives() -> impl Strategy<Value = (Schema, Value, Value, Value)> {
    schemas().prop_flat_map(|schema| {
        let known = values(&schema, Kind::KnownConfig);
        let next = values(&schema, Kind::KnownConfig);
        let unknown = values(&schema, Kind::Config);
        (Just(schema), known, next, unknown)
    })
}

async fn life(schema: Schema, configs: [&Value; 2], unknown: &Value) -> Result<(), String> {
    let keep = Arc::new(Keep { schema, objects: Mutex::default() });
    let mut client = Client::in_process(Random(Arc::clone(&keep))).await;
    let mut thing = client.resource("random_thing");
    // While something is not known, only the plan is right or wrong.
    core::plan(&mut thing, &Object::default(), unknown).await?;
    let mut object = Object::default();
    for config in configs {
        let plan = core::plan(&mut thing, &object, config).await?;
        object = core::apply(&mut thing, &object, &plan, config).await?;
        core::stays(&mut thing, &object, config).await?;
    }
    core::plan(&mut thing, &object, unknown).await?;

    let imported = core::import(&mut thing, id(&object.value)).await?;
    assert_eq!(imported, object);
    let partial = thing.import_identity(&object.identity).await.ok();
    assert_eq!(thing.read(&partial).await.ok(), object);
    let generated = thing.generate(&object.value).await.ok();
    let plan = core::plan(&mut thing, &object, &generated).await?;
    if plan.action != Action::Nothing {
        return Err(format!("the generated configuration changes the object: {generated:#?}"));
    }
    core::destroy(&mut thing, &object).await?;
    assert!(keep.objects.lock().expect("whole").is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_life_is_one_that_a_client_accepts((schema, first, next, unknown) in lives()) {
        let keep = Keep { schema: schema.clone(), objects: Mutex::default() };
        prop_assert_eq!(check(&Random(Arc::new(keep))), [""; 0]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let lived = runtime.expect("a runtime").block_on(life(schema, [&first, &next], &unknown));
        prop_assert_eq!(lived, Ok(()));
    }
}
