//! From the steps that people write to those that a promotion carries out.
//!
//! Expansion happens when a promotion is prepared, before any step runs; from then on the steps are
//! fixed. It is pure: the same steps with the same elements give the same steps.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Control, Step, StepKind};
use crate::id::{NameError, StepName};

/// Most elements of one `for_each`.
const ELEMENTS_MAX: usize = 200;
/// Most steps of one promotion.
const STEPS_MAX: usize = 1_000;
/// Longest key of an element.
const KEY_MAX: usize = 63;

/// What a step was expanded from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "layer")]
pub enum Layer {
    /// One element of `for_each`; `each` in expressions.
    Each {
        /// Its key; of a list its position, from 0.
        key: String,
        /// Its value.
        value: Value,
    },
}

/// One step to carry out, and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Expanded {
    /// The step.
    pub step: Step,
    /// Its position among the steps that were expanded.
    pub origin: usize,
}

/// Why steps cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: {message}")]
pub struct ExpandError {
    /// The step as written.
    pub step: StepName,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Gives the value of a template of a step that stands in these layers.
pub(super) type Resolve<'a> = &'a dyn Fn(Wanted, &Value, &[Layer]) -> Result<Value, String>;

/// What a template is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The elements of a `for_each`.
    Elements,
    /// The name of a step.
    StepName,
}

/// Expands steps.
///
/// # Errors
/// The first step that cannot be expanded.
pub fn expand(steps: &[Step], resolve: Resolve<'_>) -> Result<Vec<Expanded>, ExpandError> {
    let mut expanded = Vec::new();
    for (origin, step) in steps.iter().enumerate() {
        let fail = |message: String| ExpandError { step: step.name.clone(), message };
        expand_step(step, resolve, &mut |step| expanded.push(Expanded { step, origin }))
            .map_err(fail)?;
        if expanded.len() > STEPS_MAX {
            return Err(fail(format!("a promotion has at most {STEPS_MAX} steps")));
        }
    }
    Ok(expanded)
}

fn expand_step(
    step: &Step,
    resolve: Resolve<'_>,
    give: &mut dyn FnMut(Step),
) -> Result<(), String> {
    let Some(for_each) = &step.control.for_each else {
        give(step.clone());
        return Ok(());
    };
    let named = |error: String| format!("for_each: {error}");
    let value = resolve(Wanted::Elements, for_each, &step.within).map_err(named)?;
    for (key, value) in elements(&value).map_err(named)? {
        let mut each = step.clone();
        each.name = step.name.part(&key).map_err(|error: NameError| error.to_string())?;
        each.control = Control { for_each: None, ..step.control.clone() };
        each.within.push(Layer::Each { key, value });
        name_plan(&mut each, resolve)?;
        give(each);
    }
    Ok(())
}

/// `tf_apply` names a step; which one, its element decides.
fn name_plan(step: &mut Step, resolve: Resolve<'_>) -> Result<(), String> {
    if step.uses == StepKind::TfApply
        && let Some(plan) = step.config.get("plan").cloned()
    {
        step.config["plan"] = resolve(Wanted::StepName, &plan, &step.within)
            .map_err(|error| format!("plan: {error}"))?;
    }
    Ok(())
}

/// Keys and values of what `for_each` holds.
///
/// # Errors
/// It is neither a list nor a map, too long, or a key cannot be part of a name.
pub fn elements(value: &Value) -> Result<Vec<(String, Value)>, String> {
    let found: Vec<(String, Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| (at.to_string(), item.clone())).collect()
        }
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(format!("expected a list or a map, found {value}"));
        }
    };
    if found.len() > ELEMENTS_MAX {
        return Err(format!("has {} elements, at most {ELEMENTS_MAX} are possible", found.len()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let misnamed = |key: &String| key.is_empty() || key.len() > KEY_MAX || !key.chars().all(plain);
    match found.iter().find(|(key, _)| misnamed(key)) {
        Some((key, _)) => Err(format!(
            "key {key:?} cannot be part of a step's name: use letters, digits, `_` and `-`, at most \
             {KEY_MAX} of them"
        )),
        None => Ok(found),
    }
}
