//! Runs the conformance vectors of this crate's categories.

#![expect(clippy::disallowed_methods, reason = "the vectors are files, their place a variable")]

mod vectors;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

fn directory() -> PathBuf {
    env::var_os("LOCKSTEP_CONFORMANCE_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance")),
        PathBuf::from,
    )
}

/// What fails in one category, by the name of the case.
fn failures(category: &str) -> Vec<String> {
    let path = directory().join(format!("{category}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: Value = serde_json::from_str(&text).expect("a vector file is JSON");
    assert_eq!(file["category"], category, "{}", path.display());
    let cases = file["cases"].as_array().expect("a vector file has cases");
    assert!(!cases.is_empty(), "{} has no cases", path.display());
    let run = |case: &Value| {
        let outcome = vectors::run(category, &case["input"], &case["expect"]);
        let error = outcome.expect("the category is one of this crate's").err()?;
        Some(format!("{category}: {}: {error}", case["name"]))
    };
    cases.iter().filter_map(run).collect()
}

#[test]
fn every_vector_passes() {
    let failures: Vec<String> = vectors::CATEGORIES.into_iter().flat_map(failures).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
