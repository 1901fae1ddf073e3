//! Tasks.

use indexmap::map::Entry;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{TaskInput, TaskInputType, TaskSpec};
use reconciler_domain::id::{InputName, TaskName};
use reconciler_domain::task::{Input, InputType, Task};

use super::Fields;
use super::stage::{parse_step, wire_step};

/// Reads a task.
pub(crate) fn parse_task(name: TaskName, spec: &TaskSpec) -> Result<Task, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let mut inputs = indexmap::IndexMap::new();
    for (at, input) in spec.inputs.iter().enumerate() {
        let path = format!("inputs[{at}].name");
        let Some(name) = fields.name::<InputName>(&path, &input.name) else { continue };
        match inputs.entry(name) {
            Entry::Vacant(place) => {
                place.insert(parse_input(input));
            }
            Entry::Occupied(there) => {
                let message = format!("two inputs are named {}", there.key());
                fields.add(&path, FieldCode::Duplicate, message);
            }
        }
    }
    let mut steps = Vec::new();
    for (at, step) in spec.steps.iter().enumerate() {
        steps.extend(parse_step(&mut fields, &format!("steps[{at}]"), step));
    }
    fields.finish(Some(Task { name, description: spec.description.clone(), inputs, steps }))
}

fn parse_input(input: &TaskInput) -> Input {
    Input {
        holds: match input.holds {
            TaskInputType::String => InputType::String,
            TaskInputType::Number => InputType::Number,
            TaskInputType::Bool => InputType::Bool,
            TaskInputType::List => InputType::List,
            TaskInputType::Map => InputType::Map,
            TaskInputType::Any => InputType::Any,
        },
        default: input.default.clone().filter(|default| !default.is_null()),
        description: input.description.clone(),
    }
}

/// Says a task on the wire.
pub(crate) fn task_spec(task: &Task) -> TaskSpec {
    let inputs = task.inputs.iter().map(|(name, input)| TaskInput {
        name: name.to_string(),
        holds: match input.holds {
            InputType::String => TaskInputType::String,
            InputType::Number => TaskInputType::Number,
            InputType::Bool => TaskInputType::Bool,
            InputType::List => TaskInputType::List,
            InputType::Map => TaskInputType::Map,
            InputType::Any => TaskInputType::Any,
        },
        default: input.default.clone(),
        description: input.description.clone(),
    });
    TaskSpec {
        description: task.description.clone(),
        inputs: inputs.collect(),
        steps: task.steps.iter().map(wire_step).collect(),
    }
}
