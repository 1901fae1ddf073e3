//! The committed document is the generated one, and holds together.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use reconciler_api::openapi;
use reconciler_api::operation::{Auth, OPERATIONS};
use serde_json::Value;

/// `UPDATE=1 cargo test -p reconciler-api` writes the file anew.
#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&openapi::document()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi.json is not what the types say: run UPDATE=1 cargo test -p reconciler-api"
    );
}

#[test]
fn every_reference_resolves() {
    let document = openapi::document();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 30, "the document refers to its components");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} does not resolve");
    }
}

fn collect_references(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                references.insert(reference.clone());
            }
            object.values().for_each(|it| collect_references(it, references));
        }
        Value::Array(array) => array.iter().for_each(|it| collect_references(it, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn operations_are_distinct() {
    let ids: BTreeSet<_> = OPERATIONS.iter().map(|it| it.id).collect();
    let routes: BTreeSet<_> = OPERATIONS.iter().map(|it| (it.path, it.method)).collect();
    assert_eq!(ids.len(), OPERATIONS.len());
    assert_eq!(routes.len(), OPERATIONS.len());
}

#[test]
fn only_these_operations_need_no_token() {
    let public = OPERATIONS.iter().filter(|it| it.auth == Auth::Public).map(|it| it.path);
    assert_eq!(
        public.collect::<Vec<_>>(),
        ["/healthz", "/v1/version", "/v1/keys", "/v1/openapi.json", "/v1/step.schema.json"]
    );
}

#[test]
fn requests_refuse_unknown_fields() {
    let document = openapi::document();
    for path in document["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            refuses_unknown_fields(&document, schema);
        }
    }
}

/// What is one of several is any of them.
fn refuses_unknown_fields(document: &Value, schema: &Value) {
    let Some(reference) = schema["$ref"].as_str() else { return };
    let component = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
    match component["anyOf"].as_array() {
        Some(variants) => variants.iter().for_each(|it| refuses_unknown_fields(document, it)),
        None => assert_eq!(component["additionalProperties"], false, "{reference}"),
    }
}
