//! What may be written as a step, as JSON Schema (draft 2020-12), for editors and for checks without us.
//!
//! It comes from the tables that the daemon checks steps by, and accepts whatever that check accepts. It
//! refuses names that no table has, what is missing, and values of other types; how templates and CEL are
//! written, and what arguments say of each other, only the daemon and the provider tell.

use serde_json::{Map, Value, json};

use super::control::CONTROL;
use super::fields::{Field, FieldType, fields};
use super::{Output, OutputType, StepKind};
use crate::id::NAME_LENGTH_MAX;

/// Which version of JSON Schema it is written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Text with `{{ }}`, which may stand for any scalar.
const TEMPLATE: &str = "templated";

/// The schema of one step of a stage or a task, `{ name, uses, config, control }`.
///
/// Each kind's arguments stand by themselves as `$defs.<kind>`; what later steps may read of it as their
/// `x-outputs`, by name.
#[must_use]
pub fn schema() -> Value {
    let mut defs = Map::new();
    let template = json!({
        "type": "string",
        "pattern": "\\{\\{",
        "description": "Text with `{{ CEL }}`, which gives the value when the promotion is carried out.",
    });
    defs.insert(TEMPLATE.to_owned(), template);
    defs.insert("control".to_owned(), object(CONTROL));
    for kind in StepKind::ALL {
        defs.insert(kind.name().to_owned(), arguments(kind));
    }
    let by_kind = StepKind::ALL.map(|kind| {
        json!({
            "if": { "properties": { "uses": { "const": kind.name() } }, "required": ["uses"] },
            "then": { "properties": { "config": reference(kind.name()) } },
        })
    });
    json!({
        "$schema": DIALECT,
        "title": "A step of a Lockstep stage or task",
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]*$",
                "maxLength": NAME_LENGTH_MAX,
                "description": "How later steps address its outputs: `steps.<name>.<output>`.",
            },
            "uses": {
                "enum": StepKind::ALL.map(StepKind::name).as_slice(),
                "description": "Which kind of step.",
            },
            "config": { "type": "object", "description": "The arguments of the kind." },
            "control": or_null(reference("control")),
        },
        "required": ["name", "uses", "config"],
        "additionalProperties": false,
        "allOf": by_kind.as_slice(),
        "$defs": defs,
    })
}

fn arguments(kind: StepKind) -> Value {
    let mut schema = object(fields(kind));
    schema["title"] = kind.name().into();
    schema["description"] = kind.summary().into();
    if let Some(outputs) = kind.outputs() {
        let outputs = outputs.iter().map(|output| (output.name.to_owned(), gives(output)));
        schema["x-outputs"] = Value::Object(outputs.collect());
    }
    schema
}

fn object(table: &[Field]) -> Value {
    let properties = table.iter().map(|field| (field.name.to_owned(), argument(field)));
    let required: Vec<&str> =
        table.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    })
}

/// What need not be given may be null, which HCL makes of what is left out.
fn argument(field: &Field) -> Value {
    let mut schema = holds(&field.holds);
    if !field.required {
        schema = or_null(schema);
    } else if matches!(field.holds, FieldType::Any) {
        schema["not"] = json!({ "type": "null" });
    }
    schema["description"] = field.doc.into();
    schema
}

fn holds(field: &FieldType) -> Value {
    match field {
        FieldType::Text | FieldType::Condition | FieldType::Duration => json!({ "type": "string" }),
        FieldType::Bool => or_template(&json!({ "type": "boolean" })),
        FieldType::Integer => or_template(&json!({ "type": "integer" })),
        FieldType::OneOf(words) => or_template(&json!({ "enum": words })),
        FieldType::Any => json!({}),
        FieldType::List(inner) => json!({ "type": "array", "items": holds(inner) }),
        FieldType::Map(inner) => json!({ "type": "object", "additionalProperties": holds(inner) }),
        FieldType::Object(table) => object(table),
    }
}

fn gives(output: &Output) -> Value {
    let mut schema = match output.holds {
        OutputType::Text => json!({ "type": "string" }),
        OutputType::Bool => json!({ "type": "boolean" }),
        OutputType::Integer => json!({ "type": "integer" }),
        OutputType::Texts => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
    };
    schema["description"] = output.doc.into();
    schema
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn or_template(schema: &Value) -> Value {
    json!({ "anyOf": [schema, reference(TEMPLATE)] })
}

fn or_null(schema: Value) -> Value {
    if schema == json!({}) {
        return schema;
    }
    json!({ "anyOf": [schema, { "type": "null" }] })
}

#[cfg(test)]
mod tests;
