//! `lockstep_promotion_task`.

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::{Attribute, Block, NestedBlock};
use reconciler_api::v1::{self, TaskInput, TaskInputType, TaskSpec};
use reconciler_domain::expression::{Function, Names, Shape};
use reconciler_domain::id::{InputName, TaskName};
use serde_json::Value as Json;

use super::steps;
use crate::attribute::{parsed, word, words};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;

pub(crate) struct Task;

impl Definition for Task {
    type Object = v1::Task;
    type Name = TaskName;

    const TYPE_NAME: &'static str = "lockstep_promotion_task";
    const DESCRIPTION: &'static str = "Steps that several stages share. A step of a stage uses them \
        with `provider::lockstep::task(name, { task, inputs })`; when a promotion is prepared it is \
        replaced by the steps of the task. A promotion that waits is prepared anew when the task \
        changes; one that has begun its effects keeps the steps that it began with. The steps know \
        `inputs`, the freight, and each other; nothing of the stage that is not handed over, but the \
        working directory is the stage's. A task may use others.";
    const KEYED: Keyed = &[(&["input"], "name")];
    const MOVED: Moved = &[("inputs", "input")];

    fn fields() -> Vec<(&'static str, Item)> {
        vec![
            ("description", Attribute::string().describe("What it does, in a sentence.").into()),
            ("steps", steps::attribute("`inputs`").required().into()),
            ("input", NestedBlock::list(input()).into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        for input in config.blocks("input") {
            check_default(&input, diags);
        }
        steps::validate(config, given(config), diags);
    }

    fn spec(value: &Reader<'_>) -> TaskSpec {
        TaskSpec {
            description: value.text("description").unwrap_or_default(),
            inputs: value.blocks("input").iter().map(input_spec).collect(),
            steps: value.blocks("steps").iter().map(steps::spec).collect(),
        }
    }

    fn value(object: &v1::Task) -> Value {
        let TaskSpec { description, inputs, steps } = &object.spec;
        Value::object([
            ("description", form::text(description)),
            ("steps", steps::value(steps)),
            ("input", Value::list(inputs.iter().map(input_value))),
        ])
    }

    fn in_form_of(prior: &Value, read: Value) -> Value {
        let mut value = form::keep(read, prior, Self::KEYED);
        if let (Some(read), Some(before)) = (value.get("steps"), prior.get("steps")) {
            let kept = steps::keep_texts(read.clone(), before);
            value.set("steps", kept);
        }
        if let (Some(read), Some(before)) = (value.get("input"), prior.get("input")) {
            let kept = keep_defaults(read.clone(), before);
            value.set("input", kept);
        }
        value
    }

    fn definition(spec: TaskSpec) -> Option<v1::Definition> {
        Some(v1::Definition::Task(spec))
    }
}

fn input() -> Block {
    block(vec![
        (
            "name",
            parsed::<InputName>()
                .required()
                .describe("Its name in this task; texts read `inputs.<name>`.")
                .into(),
        ),
        (
            "type",
            word(words(TaskInputType::ALL, TaskInputType::as_str))
                .default(TaskInputType::default().as_str())
                .describe(
                    "What it may hold: `string`, `number`, `bool`, `list`, `map`, or `any` of them.",
                )
                .into(),
        ),
        (
            "default",
            Attribute::string()
                .equal(same_default)
                .describe(
                    "Its value where a step hands over none. A text as it is, anything else as \
                     JSON, such as `3` or `jsonencode([\"eu\", \"us\"])`. Without it one must be \
                     handed over.",
                )
                .into(),
        ),
        ("description", Attribute::string().describe("What it means.").into()),
    ])
    .describe("What a step that uses the task hands over.")
}

/// Whether two defaults mean the same: two texts of one list or map do.
fn same_default(left: &Value, right: &Value) -> bool {
    let structure = |value: &Value| {
        let json: Json = serde_json::from_str(value.as_str()?).ok()?;
        (json.is_array() || json.is_object()).then_some(json)
    };
    structure(left).is_some() && structure(left) == structure(right)
}

/// What a task gives its steps. What freight there is, the stage decides that uses it.
fn given(config: &Reader<'_>) -> Names {
    let inputs = match config.get("input") {
        Value::Unknown(_) => None,
        _ => {
            let blocks = config.blocks("input").into_iter();
            blocks.map(|input| input.string("name").known().map(str::to_owned)).collect()
        }
    };
    let inputs = match inputs {
        Some::<Vec<String>>(names) => {
            Shape::object(names.into_iter().map(|name| (name, Shape::Any)))
        }
        None => Shape::Any,
    };
    steps::given()
        .name("inputs", inputs)
        .name("freight", Shape::Any)
        .function("freight_from", Function::new(1..=1, Shape::Any))
}

/// A default that is no text is JSON of the type.
fn check_default(input: &Reader<'_>, diags: &mut Diagnostics) {
    let holds = match input.string("type") {
        Field::Known(word) => word.parse().ok(),
        Field::Null => Some(TaskInputType::default()),
        Field::Unknown => None,
    };
    let (Some(holds), Field::Known(default)) = (holds, input.string("default")) else { return };
    let Err(wrong) = read_default(holds, default) else { return };
    diags.error_at(input.path_of("default"), "Invalid default of an input", wrong);
}

fn read_default(holds: TaskInputType, text: &str) -> Result<Json, String> {
    let json = || {
        serde_json::from_str::<Json>(text)
            .map_err(|error| format!("{text:?} is not JSON: {error}. Write it with jsonencode(…)."))
    };
    let is = |fits: fn(&Json) -> bool, what: &str| {
        let read = json()?;
        if fits(&read) { Ok(read) } else { Err(format!("Expected {what}, found {text}.")) }
    };
    match holds {
        TaskInputType::String => Ok(Json::from(text)),
        TaskInputType::Number => is(Json::is_number, "a number"),
        TaskInputType::Bool => is(Json::is_boolean, "true or false"),
        TaskInputType::List => is(Json::is_array, "a list"),
        TaskInputType::Map => is(Json::is_object, "a map"),
        TaskInputType::Any => is(|value| !value.is_null(), "a value"),
    }
}

fn input_spec(input: &Reader<'_>) -> TaskInput {
    let holds = input.text("type").and_then(|word| word.parse().ok()).unwrap_or_default();
    TaskInput {
        name: input.required("name"),
        holds,
        default: input.text("default").and_then(|text| read_default(holds, &text).ok()),
        description: input.text("description").unwrap_or_default(),
    }
}

fn input_value(input: &TaskInput) -> Value {
    let TaskInput { name, holds, default, description } = input;
    let default = default.as_ref().map(|default| match (holds, default) {
        (TaskInputType::String, Json::String(text)) => text.clone(),
        (_, default) => default.to_string(),
    });
    Value::object([
        ("name", Value::from(name)),
        ("type", holds.as_str().into()),
        ("default", default.into()),
        ("description", form::text(description)),
    ])
}

/// The inputs that were read, each default in the text that stood there before, if that means the same.
fn keep_defaults(read: Value, before: &Value) -> Value {
    let Value::List(read) = read else { return read };
    let before = before.as_list().unwrap_or_default();
    let text = |input: &Value, name| input.get(name).and_then(Value::as_str).map(str::to_owned);
    Value::list(read.into_iter().map(|mut input| {
        let named = |before: &&Value| text(before, "name") == text(&input, "name");
        let kept = before.iter().find(named).and_then(|before| text(before, "default"));
        let holds = text(&input, "type").and_then(|word| word.parse().ok()).unwrap_or_default();
        let meant = |default: Option<String>| read_default(holds, &default?).ok();
        if meant(kept.clone()).is_some() && meant(kept.clone()) == meant(text(&input, "default")) {
            input.set("default", kept);
        }
        input
    }))
}
