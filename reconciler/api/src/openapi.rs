//! The `OpenAPI` 3.1 document, generated from the table of operations and the wire types.
//!
//! It is committed as `docs/openapi.json`, so that a change of the contract is a change of a file
//! that people review.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::VERSION;
use crate::operation::{Auth, OPERATIONS, Operation, SchemaOf};
use crate::problem::{PROBLEM_MEDIA_TYPE, Problem};

const COMPONENTS: &str = "/components/schemas";

/// The document of this version of the contract.
#[must_use]
pub fn document() -> Value {
    let mut generator = generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_ascii_lowercase();
        item[method] = operation_object(operation, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lockstep",
            "version": VERSION,
            "description": "What lockstepd says and takes. Every refusal is a problem (RFC 9457).",
            "license": { "name": "MPL-2.0", "identifier": "MPL-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "The request was refused.",
                    "content": { PROBLEM_MEDIA_TYPE: { "schema": problem } },
                },
            },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = COMPONENTS.into();
            settings.meta_schema = None;
        })
        .into_generator()
}

fn operation_object(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut object = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": security(operation.auth),
        "x-lockstep-auth": operation.auth,
        "parameters": parameters(operation, generator),
        "responses": responses(operation, generator),
    });
    if let Some(request) = operation.request {
        object["requestBody"] = json!({ "required": true, "content": content(request, generator) });
    }
    object
}

fn security(auth: Auth) -> Value {
    match auth {
        Auth::Public => json!([]),
        Auth::Bearer | Auth::Admin => json!([{ "bearer": [] }]),
        Auth::States => json!([{ "bearer": [] }, { "basic": [] }]),
    }
}

fn parameters(operation: &Operation, generator: &mut SchemaGenerator) -> Vec<Value> {
    let path = operation.path_parameters().map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let mut parameters: Vec<Value> = path.collect();
    if operation.conditional {
        parameters.push(header("If-Match", "only if the object has this generation, in quotes"));
        if operation.method == crate::operation::Method::Put {
            parameters.push(header("If-None-Match", "`*`: only if there is no such object"));
        }
    }
    if let Some(query) = operation.query {
        parameters.extend(query_parameters(query, generator));
    }
    parameters
}

fn header(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "header",
        "required": false,
        "description": description,
        "schema": { "type": "string" },
    })
}

fn query_parameters(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let mut schema = query(generator).to_value();
    let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else {
        return Vec::new();
    };
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|object| object.remove("description"));
        json!({
            "name": name,
            "in": "query",
            "required": false,
            "description": description,
            "schema": without_null(schema),
        })
    };
    properties.into_iter().map(parameter).collect()
}

/// A query parameter is left out, never null.
fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    schema
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let good = match operation.response {
        Some(response) => json!({
            "description": operation.summary,
            "content": content(response, generator),
        }),
        None => json!({ "description": operation.summary }),
    };
    if operation.method == crate::operation::Method::Put {
        responses.insert("201".to_owned(), good.clone());
    }
    responses.insert(operation.status.to_string(), good);
    responses.sort_keys();
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    Value::Object(responses)
}

fn content(schema: SchemaOf, generator: &mut SchemaGenerator) -> Value {
    json!({ "application/json": { "schema": schema(generator) } })
}
