//! Making a plan from what the schema says.
//!
//! In this order: the proposed value; defaults where nothing is configured; write-only values
//! out; the form before where it means the same. If that is the state before, the plan is a
//! no-op and nothing is touched. Else what the provider computes becomes unknown, except what
//! the schema calls stable.

use super::walk::{Visit, each, each_mut};
use crate::cty::conform::{ConformError, conform};
use crate::cty::{Path, Step, Value};
use crate::schema::{Block, Schema};

/// A plan, before the resource had a look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The planned state.
    pub value: Value,
    /// Attributes whose change replaces the object.
    pub requires_replace: Vec<Path>,
}

/// The plan of a create or an update. `prior` is null on create; `proposed` is what the client
/// [proposes](super::proposed_new).
///
/// # Errors
///
/// When a default is not of its attribute's type, which [`Schema::check`] tells too.
pub fn plan(
    schema: &Schema,
    prior: &Value,
    proposed: Value,
    config: &Value,
) -> Result<Planned, ConformError> {
    let block = &schema.block;
    let mut value = proposed;
    apply_defaults(block, &mut value, config);
    strip_write_only(block, &mut value);
    keep_equal_forms(block, &mut value, prior);
    let mut value = conform(value, &schema.ty())?;
    if value != *prior {
        mark_computed(block, &mut value, config, prior);
        value = conform(value, &schema.ty())?;
    }
    let requires_replace = replace_paths(block, &value, prior);
    Ok(Planned { value, requires_replace })
}

/// A configuration with its defaults, for what has no plan.
#[must_use]
pub fn with_defaults(schema: &Schema, config: &Value) -> Value {
    let mut value = config.clone();
    apply_defaults(&schema.block, &mut value, config);
    value
}

fn apply_defaults(block: &Block, value: &mut Value, config: &Value) {
    walk(block, value, config, &Value::Null, &mut |visit| {
        if let (Some(default), true) = (&visit.attribute.default, visit.config.is_null()) {
            *visit.value = default.clone();
        }
    });
}

fn mark_computed(block: &Block, value: &mut Value, config: &Value, prior: &Value) {
    walk(block, value, config, prior, &mut |visit| {
        let attribute = visit.attribute;
        let chosen = attribute.mode.is_computed() && visit.config.is_null();
        if !chosen || attribute.default.is_some() {
            return;
        }
        // Inside something that was not there before there is nothing to keep; a null inside
        // may be one that was only never read.
        let is_root = visit.path.steps().len() == 1;
        let kept = attribute.stable && visit.existed && (is_root || !visit.prior.is_null());
        *visit.value = if kept { visit.prior.clone() } else { Value::unknown() };
    });
}

/// Puts the form that `model` has wherever a value means the same by its attribute's own
/// equality.
pub fn keep_equal_forms(block: &Block, value: &mut Value, model: &Value) {
    walk(block, value, model, &Value::Null, &mut |visit| {
        if visit.attribute.equal.is_some() && visit.attribute.same(visit.config, visit.value) {
            *visit.value = visit.config.clone();
        }
    });
}

fn walk(
    block: &Block,
    value: &mut Value,
    config: &Value,
    prior: &Value,
    visit: &mut dyn FnMut(Visit<'_, '_>),
) {
    each_mut(block, (value, config, prior), &Path::root(), visit);
}

/// Makes write-only attributes null, at any depth: they are never kept.
pub fn strip_write_only(block: &Block, value: &mut Value) {
    let model = value.clone();
    walk(block, value, &model, &Value::Null, &mut |visit| {
        if visit.attribute.write_only {
            *visit.value = Value::Null;
        }
    });
}

/// The attributes that differ from the state before and force a replacement by that, as far as
/// the client can address them. None on create. Inside a block or object that was not there
/// before nothing has changed: it is new.
#[must_use]
pub fn replace_paths(block: &Block, planned: &Value, prior: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    if prior.is_null() {
        return paths;
    }
    each(block, planned, &Path::root(), &mut |attribute, value, path| {
        let Some(force_new) = &attribute.force_new else { return };
        let set = path.steps().iter().position(|step| *step == Step::Element);
        let (path, changed) = match set {
            Some(set) => {
                let path = path.steps()[..set]
                    .iter()
                    .cloned()
                    .fold(Path::root(), |path, step| path.step(step));
                let (before, after) = (prior.at(&path), planned.at(&path));
                let changed = before != after && force_new.applies(before, after);
                (path, changed)
            }
            None => {
                let before = prior.at(path);
                let changed = before.is_some_and(|before| before != value)
                    && force_new.applies(before, Some(value));
                (path.clone(), changed)
            }
        };
        if changed {
            paths.push(path);
        }
    });
    paths.sort();
    paths.dedup();
    paths
}
