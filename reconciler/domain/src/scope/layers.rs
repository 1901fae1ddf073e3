//! What a step sees from inside the layers that it was expanded from: the element of its `for_each`, the
//! inputs and steps of its task.

use serde_json::{Map, Value, json};

use crate::expression::{Expression, Reference, Scope};
use crate::id::StepName;
use crate::step::{Layer, Step};
use crate::task::Inputs;
use crate::template::{references_json, render_json};

/// What the expressions of a step in these layers see; `base` is what its promotion's see.
///
/// # Errors
/// An input of a task is not of its type.
pub fn layered(base: &Scope, within: &[Layer]) -> Result<Scope, String> {
    let mut scope = base.clone();
    for layer in within {
        match layer {
            Layer::Each { key, value } => {
                scope.set("each", json!({ "key": key, "value": value }));
            }
            Layer::Task { step, inputs, .. } => {
                let inputs = rendered(inputs, step, &scope)?;
                scope.set("inputs", inputs);
                scope.set("steps", inside(base, step));
                scope.unset("vars").unset("each");
            }
        }
    }
    Ok(scope)
}

/// Inputs where the step stands that hands them over. What cannot be rendered yet is absent: what reads it
/// waits, or says that it is not there.
fn rendered(inputs: &Inputs, step: &StepName, scope: &Scope) -> Result<Value, String> {
    let mut known = Map::new();
    for (name, handed) in inputs {
        let Ok(value) = render_json(&handed.value, scope) else { continue };
        if !handed.holds.admits(&value) {
            return Err(format!(
                "input {name} of step {step} has to be {}, `{}` gives {value}",
                handed.holds.describe(),
                handed.value.as_str().unwrap_or_default(),
            ));
        }
        known.insert(name.to_string(), value);
    }
    Ok(Value::Object(known))
}

/// The outputs of the steps inside a step.
fn inside(base: &Scope, step: &StepName) -> Value {
    let mut parts = step.as_str().split('.');
    let outputs = parts.try_fold(base.get("steps"), |steps, part| Some(steps?.get(part)));
    outputs.flatten().cloned().unwrap_or_else(|| json!({}))
}

/// What a reference of a step in these layers reads, in terms of its promotion: steps by their qualified
/// names, and an input by what its value reads.
#[must_use]
pub fn outermost(reference: &Reference, within: &[Layer]) -> Vec<Reference> {
    let Some((layer, outer)) = within.split_last() else { return vec![reference.clone()] };
    match (layer, reference) {
        (Layer::Each { .. }, _) => outermost(reference, outer),
        (Layer::Task { step, inputs, .. }, Reference::Path(path)) => match path.as_slice() {
            [root, rest @ ..] if root == "steps" => {
                let parts = step.as_str().split('.').map(str::to_owned);
                let path = std::iter::once(root.clone()).chain(parts).chain(rest.iter().cloned());
                vec![Reference::Path(path.collect())]
            }
            [root, rest @ ..] if root == "inputs" => {
                let is_read = |name: &str| rest.first().is_none_or(|read| read == name);
                let read = inputs.iter().filter(|(name, _)| is_read(name.as_str()));
                let inside =
                    read.flat_map(|(_, handed)| references_json(&handed.value).unwrap_or_default());
                inside.flat_map(|reference| outermost(&reference, outer)).collect()
            }
            [..] => vec![reference.clone()],
        },
        (Layer::Task { .. }, Reference::Call { .. }) => vec![reference.clone()],
    }
}

/// Conditions of a step and of the tasks that it stands in, outermost first, each with the layers that it
/// sees.
pub fn conditions(step: &Step) -> impl Iterator<Item = (&Expression, &[Layer])> {
    let outer = step.within.iter().enumerate().filter_map(|(at, layer)| match layer {
        Layer::Task { when, .. } => Some((when.as_ref()?, &step.within[..at])),
        Layer::Each { .. } => None,
    });
    outer.chain(step.control.when.as_ref().map(|when| (when, step.within.as_slice())))
}
