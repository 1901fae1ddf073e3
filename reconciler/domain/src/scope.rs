//! What expressions of a stage may name ([`step_names`]) and what they see ([`scope`]); inside what a step
//! was expanded from, `layers` narrows both.

mod layers;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::expression::{Function, Names, Scope, Shape};
use crate::freight::{Freight, FreightFacts};
use crate::id::{StageName, WarehouseName};
use crate::metadata::Metadata;
use crate::promotion::{Frozen, Promotion, State};
use crate::secret;
use crate::snapshot::PromotionSnapshot;
use crate::stage::Stage;
use crate::step::Step;
use crate::task::{Task, Tasks, task_of};
use crate::warehouse::{Source, Warehouse};

pub use layers::{conditions, layered, outermost};

/// How deep tasks are looked into for the names of their outputs.
const SHAPES_DEPTH: usize = 1;

/// Fields of `freight` for the subscriptions of one warehouse.
#[must_use]
pub fn freight_shape(warehouse: &Warehouse) -> Shape {
    let fields = warehouse.subscriptions.iter().map(|(name, source)| {
        let texts: &[&str] = match source {
            Source::Git(_) => &["repo", "branch", "commit", "subject", "author", "committed_at"],
            Source::Image(_) => &["repo", "tag", "digest", "ref", "pinned", "created_at"],
        };
        let mut shape: BTreeMap<String, Shape> =
            texts.iter().map(|text| ((*text).to_owned(), Shape::Scalar)).collect();
        shape.insert("version".to_owned(), Shape::version());
        (name.to_string(), Shape::Object(shape))
    });
    Shape::Object(fields.collect())
}

/// Names that a warehouse's `require` may use.
#[must_use]
pub fn warehouse_names(warehouse: &Warehouse) -> Names {
    Names::new().name("freight", freight_shape(warehouse))
}

/// Names that the step at `position` of a stage may use: outputs of the steps before it only.
#[must_use]
pub fn step_names(
    stage: &Stage,
    position: usize,
    warehouses: &BTreeMap<&WarehouseName, &Warehouse>,
    tasks: &Tasks<'_>,
) -> Names {
    let names = base_names(stage, warehouses);
    with_steps(names, &stage.steps, position, tasks)
}

/// Names that the step at `position` of a task may use: its inputs, and outputs of the steps before it.
///
/// `outer` are the names of a step that uses it; absent: what freight there is, is not known.
#[must_use]
pub fn task_names(task: &Task, position: usize, outer: Option<&Names>, tasks: &Tasks<'_>) -> Names {
    with_steps(task_elements_names(task, outer), &task.steps, position, tasks)
}

/// Names that the `for_each` of a task's steps may use.
#[must_use]
pub fn task_elements_names(task: &Task, outer: Option<&Names>) -> Names {
    let names = match outer {
        Some(names) => names.clone().without("vars").without("each").without("steps"),
        None => of_promotion(Names::new())
            .name("freight", Shape::Any)
            .function("freight_from", Function::new(1..=1, Shape::Any)),
    };
    let inputs = task.inputs.keys().map(|name| (name.to_string(), Shape::Any));
    names.name("inputs", Shape::object(inputs))
}

/// Adds what the step at `position` sees of those before it, and of its element.
fn with_steps(names: Names, steps: &[Step], position: usize, tasks: &Tasks<'_>) -> Names {
    let names = names.name("steps", steps_shape(&steps[..position], tasks));
    match steps.get(position) {
        Some(step) if step.control.for_each.is_some() => names.name("each", each_shape()),
        Some(_) | None => names,
    }
}

/// Names that the `for_each` of a stage's steps may use: it is expanded before any of them runs.
#[must_use]
pub fn elements_names(stage: &Stage, warehouses: &BTreeMap<&WarehouseName, &Warehouse>) -> Names {
    base_names(stage, warehouses)
}

/// What `each` is in a step with `for_each`.
#[must_use]
pub fn each_shape() -> Shape {
    Shape::object([("key", Shape::Scalar), ("value", Shape::Any)])
}

/// Names that verification templates may use when this stage uses them.
#[must_use]
pub fn verification_names(
    stage: &Stage,
    arguments: Shape,
    warehouses: &BTreeMap<&WarehouseName, &Warehouse>,
    tasks: &Tasks<'_>,
) -> Names {
    base_names(stage, warehouses)
        .name("steps", steps_shape(&stage.steps, tasks))
        .name("args", arguments)
}

/// What `steps` holds once these have run.
fn steps_shape(steps: &[Step], tasks: &Tasks<'_>) -> Shape {
    shape_within(steps, tasks, 0)
}

/// The shape of steps that stand so deep inside tasks. What stands deeper is not looked at: shapes would
/// grow with every way through the tasks.
fn shape_within(steps: &[Step], tasks: &Tasks<'_>, depth: usize) -> Shape {
    let shape = |step: &Step| {
        if step.control.for_each.is_some() {
            // Which elements there are is known when a promotion is prepared.
            return Shape::Any;
        }
        let Some(name) = task_of(step) else { return step.output_shape() };
        match tasks.get(name).filter(|_| depth < SHAPES_DEPTH) {
            Some(task) => shape_within(&task.steps, tasks, depth + 1),
            None => Shape::Any,
        }
    };
    Shape::object(steps.iter().map(|step| (step.name.to_string(), shape(step))))
}

/// Names that the tickets and attestations of policies may use for this stage, in templates and, beside the answer,
/// in conditions.
#[must_use]
pub fn inquiry_names(stage: &Stage, warehouses: &BTreeMap<&WarehouseName, &Warehouse>) -> Names {
    base_names(stage, warehouses)
}

fn base_names(stage: &Stage, warehouses: &BTreeMap<&WarehouseName, &Warehouse>) -> Names {
    let vars = stage.vars.keys().map(|name| (name.clone(), Shape::Scalar)).collect();
    of_promotion(freight_names(stage, warehouses)).name("vars", Shape::Object(vars))
}

/// Adds what every promotion knows.
fn of_promotion(names: Names) -> Names {
    names
        .name(
            "stage",
            Shape::object([("name", Shape::Scalar), ("metadata", Shape::open::<String>([]))]),
        )
        .name("freight_metadata", Shape::open::<String>([]))
        .name("project", Shape::object([("name", Shape::Scalar)]))
        .name(
            "promotion",
            Shape::object([
                ("id", Shape::Scalar),
                ("requester", Shape::Scalar),
                ("created_at", Shape::Scalar),
            ]),
        )
}

/// `freight` (where one warehouse is requested) and `freight_from`.
fn freight_names(stage: &Stage, warehouses: &BTreeMap<&WarehouseName, &Warehouse>) -> Names {
    let shapes: BTreeMap<String, Shape> = stage
        .requests
        .iter()
        .filter_map(|request| {
            let warehouse = warehouses.get(&request.warehouse)?;
            Some((request.warehouse.to_string(), freight_shape(warehouse)))
        })
        .collect();
    let mut names = Names::new();
    if let [request] = stage.requests.as_slice() {
        let shape = shapes.get(request.warehouse.as_str()).cloned().unwrap_or(Shape::Any);
        names = names.name("freight", shape);
    }
    names.function("freight_from", Function::by_name(shapes))
}

/// What expressions of a promotion see, with the outputs of the steps that are done.
#[must_use]
pub fn scope(promotion: &Promotion, frozen: &Frozen, state: &State) -> Scope {
    let mut scope = collection_scope(&frozen.collection, frozen.collection.len() == 1);
    let vars: Map<String, Value> = frozen
        .stage
        .vars
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(value.clone())))
        .collect();
    scope.set("vars", Value::Object(vars));
    set_metadata(&mut scope, &frozen.stage.name, &frozen.metadata);
    scope.set("project", json!({ "name": frozen.project }));
    scope.set(
        "promotion",
        json!({
            "id": promotion.id,
            "requester": promotion.requester.to_string(),
            "created_at": promotion.created_at.to_string(),
        }),
    );
    scope.set("steps", state.outputs());
    secret::define(&mut scope);
    scope
}

/// What the condition of a step that waits may name beside what its templates may.
#[must_use]
pub fn look_names<'s>(names: &Names, stages: impl IntoIterator<Item = &'s StageName>) -> Names {
    let stands = STANDS.map(|field| (field, Shape::Scalar));
    let stages = stages.into_iter().map(|name| (name.to_string(), Shape::object(stands.clone())));
    names
        .clone()
        .name("now", Shape::Scalar)
        .function("in_stage", Function::by_name(stages.collect()))
}

/// What the condition of a step that waits sees: of the promotion as it is, and of the world as it is now.
#[must_use]
pub fn look_scope(snapshot: &PromotionSnapshot, frozen: &Frozen, now: Timestamp) -> Scope {
    let mut scope = scope(&snapshot.promotion, frozen, &snapshot.state);
    scope.set("now", Value::String(now.to_string()));
    set_metadata(&mut scope, &frozen.stage.name, &snapshot.metadata());
    let facts = snapshot.facts.clone();
    scope.define("in_stage", move |arguments| match arguments {
        [Value::String(name)] => {
            let name = name.parse().map_err(|_| format!("{name:?} is no name of a stage"))?;
            Ok(upstream_state(&name, &facts))
        }
        _ => Err("in_stage takes the name of one stage".to_owned()),
    });
    scope
}

fn set_metadata(scope: &mut Scope, stage: &StageName, metadata: &Metadata) {
    scope.set("stage", json!({ "name": stage, "metadata": metadata.stage }));
    scope.set("freight_metadata", json!(metadata.freight));
}

/// What is known of how freight stands in a stage.
const STANDS: [&str; 4] = ["verified", "verified_at", "there", "entered_at"];

/// Names that the conditions of policies may use for this stage.
///
/// `freight` (where it requests one warehouse), `freight_from("WAREHOUSE")`, `stage.name`,
/// `stage.vars`, and `upstream["STAGE"]` with `verified`, `verified_at`, `there` and `entered_at`.
#[must_use]
pub fn condition_names(stage: &Stage, warehouses: &BTreeMap<&WarehouseName, &Warehouse>) -> Names {
    let vars: BTreeMap<String, Shape> =
        stage.vars.keys().map(|name| (name.clone(), Shape::Scalar)).collect();
    let upstreams = stage
        .upstreams()
        .into_iter()
        .map(|name| (name.to_string(), Shape::object(STANDS.map(|field| (field, Shape::Scalar)))));
    freight_names(stage, warehouses)
        .name("stage", Shape::object([("name", Shape::Scalar), ("vars", Shape::Object(vars))]))
        .name("upstream", Shape::Object(upstreams.collect()))
}

/// What the conditions of policies see: `stage.vars` as they are in a promotion that sets `set`.
#[must_use]
pub fn condition_scope(
    stage: &Stage,
    facts: &FreightFacts,
    companions: &BTreeMap<WarehouseName, Freight>,
    set: &BTreeMap<String, String>,
) -> Scope {
    let requested = stage.requests.iter().filter_map(|request| {
        let promoted = request.warehouse == facts.freight.warehouse;
        let freight =
            if promoted { Some(&facts.freight) } else { companions.get(&request.warehouse) };
        Some((request.warehouse.clone(), freight?.clone()))
    });
    let mut scope = collection_scope(&requested.collect(), stage.requests.len() == 1);
    let vars: BTreeMap<_, _> = stage.vars.iter().chain(set).collect();
    scope.set("stage", json!({ "name": stage.name, "vars": vars }));
    let upstreams: Map<String, Value> = stage
        .upstreams()
        .into_iter()
        .map(|name| (name.to_string(), upstream_state(name, facts)))
        .collect();
    scope.set("upstream", Value::Object(upstreams));
    scope
}

fn upstream_state(name: &StageName, facts: &FreightFacts) -> Value {
    let verified_at = facts.verified_in.get(name);
    let entered_at =
        facts.stays.get(name).and_then(|stays| stays.last()).map(|stay| stay.entered_at);
    json!({
        "verified": verified_at.is_some(),
        "verified_at": verified_at.map(ToString::to_string),
        "there": facts.is_in(name),
        "entered_at": entered_at.map(|at| at.to_string()),
    })
}

/// `freight` (where one warehouse is requested) and `freight_from`.
fn collection_scope(collection: &IndexMap<WarehouseName, Freight>, is_one: bool) -> Scope {
    let mut scope = Scope::new();
    if let Some(freight) = collection.values().next().filter(|_| is_one) {
        scope.set("freight", freight.scope());
    }
    let by_warehouse: BTreeMap<String, Value> = collection
        .iter()
        .map(|(warehouse, freight)| (warehouse.to_string(), freight.scope()))
        .collect();
    scope.define("freight_from", move |arguments| match arguments {
        [Value::String(name)] => by_warehouse
            .get(name)
            .cloned()
            .ok_or_else(|| format!("no freight of warehouse {name:?} goes with this promotion")),
        _ => Err("freight_from takes the name of one warehouse".to_owned()),
    });
    scope
}
