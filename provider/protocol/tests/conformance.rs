//! The conformance vectors of values and plans, all of them.

mod vectors;

use std::path::PathBuf;

use serde_json::Value as Json;

fn directory() -> PathBuf {
    std::env::var_os("LOCKSTEP_CONFORMANCE_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance"),
        PathBuf::from,
    )
}

fn check(category: &str) {
    let path = directory().join(format!("{category}.json"));
    let text = std::fs::read_to_string(&path).expect("a file of vectors");
    let file: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(file["category"], category, "{}", path.display());
    let cases = file["cases"].as_array().expect("cases");
    assert!(!cases.is_empty(), "no cases in {}", path.display());
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let failed = vectors::run(category, &case["input"], &case["expect"]).err()?;
            Some(format!("{category}: {}: {failed}", case["name"]))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_category_is_run_here() {
    assert_eq!(vectors::CATEGORIES.len(), 4);
    let unknown = vectors::run("nonsense", &Json::Null, &Json::Null);
    assert_eq!(unknown, Err("unknown category nonsense".to_owned()));
}

#[test]
fn values_on_the_wire() {
    check("cty_msgpack");
}

#[test]
fn plans_that_are_accepted() {
    check("plan_valid");
}

#[test]
fn results_that_are_accepted() {
    check("apply_compatible");
}

#[test]
fn proposals() {
    check("proposed_new");
}
