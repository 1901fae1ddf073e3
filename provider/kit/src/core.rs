//! What a client does with an object between the calls, and the rules that it holds the provider
//! to: a run of it finds in milliseconds what a real client finds in seconds.

use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Path, Value, json};
use provider_protocol::plan::{
    Violation, apply_violations, plan_violations, proposed_new, strip_write_only,
};
use provider_protocol::schema::Schema;
use provider_protocol::wire::tfplugin6::AttributePath;
use provider_protocol::wire::tfplugin6::attribute_path::step::Selector;

use crate::client::{Object, Planned, Resource, texts};

/// What a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing changes.
    Nothing,
    /// The object is made.
    Create,
    /// It is changed.
    Update,
    /// It is destroyed, and another made.
    Replace,
}

/// What a provider did that no client lets pass, or what it refused with an error.
pub type Broken = String;

/// A plan that the client accepted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it does.
    pub action: Action,
    /// What it is for.
    pub planned: Object,
}

/// Plans a create or an update, as a client does.
///
/// # Errors
///
/// With the rule that the provider broke, or the error that it gave.
pub async fn plan(
    resource: &mut Resource<'_>,
    prior: &Object,
    config: &Value,
) -> Result<Plan, Broken> {
    planned(resource, prior, config, &[]).await
}

async fn planned(
    resource: &mut Resource<'_>,
    prior: &Object,
    config: &Value,
    earlier: &[u8],
) -> Result<Plan, Broken> {
    let first = plan_once(resource, prior, config, earlier).await?;
    if prior.value.is_null() {
        return Ok(Plan { action: Action::Create, planned: first.object });
    }
    let replaces = replaces(&resource.schema, &first, &prior.value)?;
    if replaces {
        let absent = Object { value: Value::Null, ..first.object };
        let second = plan_once(resource, &absent, config, earlier).await?;
        return Ok(Plan { action: Action::Replace, planned: second.object });
    }
    if !first.object.identity.is_wholly_known() {
        return Err("the identity of an update is not known".to_owned());
    }
    let action = if first.object.value == prior.value { Action::Nothing } else { Action::Update };
    Ok(Plan { action, planned: first.object })
}

async fn plan_once(
    resource: &mut Resource<'_>,
    prior: &Object,
    config: &Value,
    earlier: &[u8],
) -> Result<Planned, Broken> {
    let block = &resource.schema.block;
    let proposed = proposed_new(block, &prior.value, config);
    let proposed = conform(proposed, &resource.ty).map_err(|error| error.to_string())?;
    let told = resource.plan(prior, &proposed, config, earlier).await;
    if told.has_errors() {
        return Err(texts(&told.diags).join("\n"));
    }
    let block = &resource.schema.block;
    let value = &told.answer.object.value;
    broken("invalid plan", &plan_violations(block, &prior.value, config, value))?;
    Ok(told.answer)
}

/// Whether anything that forces a replacement really changes. A path to nothing is an error.
fn replaces(schema: &Schema, planned: &Planned, prior: &Value) -> Result<bool, Broken> {
    let mut replaces = false;
    for wire in &planned.requires_replace {
        let path = path(wire);
        let (before, after) = (prior.at(&path), planned.object.value.at(&path));
        if before.is_none() && after.is_none() {
            return Err(format!("{path} forces a replacement, and is nowhere"));
        }
        let write_only = schema.attribute_at(&path).is_some_and(|attribute| attribute.write_only);
        replaces |= write_only || before != after || after.is_some_and(Value::is_unknown);
    }
    Ok(replaces)
}

fn path(wire: &AttributePath) -> Path {
    wire.steps.iter().fold(Path::root(), |path, step| match step.selector.as_ref() {
        Some(Selector::AttributeName(name)) => path.field(name),
        Some(Selector::ElementKeyString(key)) => path.key(key),
        Some(Selector::ElementKeyInt(index)) => {
            path.index(usize::try_from(*index).expect("an index"))
        }
        None => panic!("a step without selector"),
    })
}

/// Carries out a plan with what is known by now: plans once more, and does it.
///
/// # Errors
///
/// With the rule that the provider broke, or the error that it gave.
pub async fn apply(
    resource: &mut Resource<'_>,
    prior: &Object,
    plan: &Plan,
    config: &Value,
) -> Result<Object, Broken> {
    if plan.action == Action::Nothing {
        return Ok(prior.clone());
    }
    let prior = if plan.action == Action::Replace {
        destroy(resource, prior).await?;
        &Object::default()
    } else {
        prior
    };
    let again = planned(resource, prior, config, &plan.planned.private).await?;
    let block = &resource.schema.block;
    let changed = apply_violations(block, &plan.planned.value, &again.planned.value);
    broken("inconsistent final plan", &changed)?;
    if again.action == Action::Nothing {
        return Ok(prior.clone());
    }
    let told = resource.apply(prior, &again.planned, config).await;
    if told.has_errors() {
        return Err(texts(&told.diags).join("\n"));
    }
    let object = told.answer;
    let block = &resource.schema.block;
    broken("inconsistent result", &apply_violations(block, &again.planned.value, &object.value))?;
    is_kept(&resource.schema, &object)?;
    Ok(object)
}

/// Destroys an object.
///
/// # Errors
///
/// With what is left of it, or the error that the provider gave.
pub async fn destroy(resource: &mut Resource<'_>, object: &Object) -> Result<(), Broken> {
    let planned = resource.plan(object, &Value::Null, &Value::Null, &[]).await;
    if planned.has_errors() {
        return Err(texts(&planned.diags).join("\n"));
    }
    let planned = planned.answer.object;
    if !planned.value.is_null() {
        return Err("a destroy is planned as something else".to_owned());
    }
    let told = resource.apply(object, &planned, &Value::Null).await;
    match (told.has_errors(), told.answer.value.is_null()) {
        (false, true) => Ok(()),
        (false, false) => Err("something is left of what was destroyed".to_owned()),
        (true, _) => Err(texts(&told.diags).join("\n")),
    }
}

/// Takes an object through everything that a client does with one that it has: brings its state
/// up to date, reads it, plans it again with and without. Nothing of it may change anything.
///
/// # Errors
///
/// With what changed.
pub async fn stays(
    resource: &mut Resource<'_>,
    object: &Object,
    config: &Value,
) -> Result<(), Broken> {
    is_kept(&resource.schema, object)?;
    let kept = json::to_state(&object.value).to_string();
    let upgraded = resource.upgrade(resource.schema.version, kept.as_bytes()).await;
    same("bringing the state up to date", &upgraded.ok(), &object.value)?;
    let plan = planned(resource, object, config, &[]).await?;
    same("the plan after the apply", &plan.planned.value, &object.value)?;
    let told = resource.read(object).await;
    if told.has_errors() {
        return Err(texts(&told.diags).join("\n"));
    }
    let read = told.answer;
    same("reading", &read.value, &object.value)?;
    same("reading the identity", &read.identity, &object.identity)?;
    if read.private != object.private {
        return Err("reading changed what is kept beside the state".to_owned());
    }
    let plan = planned(resource, &read, config, &[]).await?;
    same("the plan after reading", &plan.planned.value, &object.value)
}

/// Imports an object by its id and reads it, as a client does.
///
/// # Errors
///
/// With the rule that the provider broke, or the error that it gave.
pub async fn import(resource: &mut Resource<'_>, id: &str) -> Result<Object, Broken> {
    let told = resource.import(id).await;
    if told.has_errors() {
        return Err(texts(&told.diags).join("\n"));
    }
    is_kept(&resource.schema, &told.answer)?;
    let told = resource.read(&told.answer).await;
    if told.has_errors() {
        return Err(texts(&told.diags).join("\n"));
    }
    is_kept(&resource.schema, &told.answer)?;
    Ok(told.answer)
}

/// What a state must be: wholly known, and without anything that is write-only.
fn is_kept(schema: &Schema, object: &Object) -> Result<(), Broken> {
    if let Some(path) = object.value.first_unknown().or_else(|| object.identity.first_unknown()) {
        return Err(format!("{path} is unknown in a state"));
    }
    let mut stripped = object.value.clone();
    strip_write_only(&schema.block, &mut stripped);
    if stripped == object.value {
        return Ok(());
    }
    Err("a write-only value is in a state".to_owned())
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), Broken> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} changed the object:\n{found:#?}\nwas\n{expected:#?}"))
}

fn broken(what: &str, found: &[Violation]) -> Result<(), Broken> {
    let texts: Vec<String> =
        found.iter().map(|it| format!("{what}: {}: {}", it.path, it.problem)).collect();
    if texts.is_empty() { Ok(()) } else { Err(texts.join("\n")) }
}
