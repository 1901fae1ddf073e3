//! Tasks: steps that several stages share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Meta, Object, Step};

/// What a client says of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What a step that uses it hands over.
    #[serde(default)]
    pub inputs: Vec<TaskInput>,
    /// Its steps, in order. Their texts may hold `{{ CEL }}` over `inputs`, `freight`, `stage`,
    /// `project`, `promotion`, and the earlier steps of the task as `steps`.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// One thing that a step hands over to a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskInput {
    /// Its name, unique in the task; expressions read `inputs.<name>`.
    pub name: String,
    /// What it may hold.
    #[serde(rename = "type", default)]
    pub holds: TaskInputType,
    /// Its value where none is handed over; absent: one must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it means.
    #[serde(default)]
    pub description: String,
}

wire_enum! {
    /// What an input of a task may hold.
    #[derive(Default)]
    TaskInputType {
        /// Text.
        #[default]
        String = "string",
        /// A number.
        Number = "number",
        /// `true` or `false`.
        Bool = "bool",
        /// A list of anything.
        List = "list",
        /// A map of anything.
        Map = "map",
        /// Anything but null.
        Any = "any",
    }
}

/// Steps that several stages share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: TaskSpec,
}

impl Object for Task {
    type Spec = TaskSpec;

    const KIND: Kind = Kind::Task;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
