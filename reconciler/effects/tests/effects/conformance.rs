//! The conformance data of what this crate decides: every case of every category, named when it fails.

use std::path::PathBuf;

use serde_json::Value;

#[path = "../vectors/mod.rs"]
mod vectors;

fn cases(category: &str) -> Vec<Value> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let text = std::fs::read_to_string(dir.join(format!("{category}.json"))).unwrap();
    let mut data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["category"], category);
    let cases: Vec<Value> = serde_json::from_value(data["cases"].take()).unwrap();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn every_case_of_every_category() {
    for category in vectors::CATEGORIES {
        let failed: Vec<String> = cases(category)
            .iter()
            .filter_map(|case| {
                let ran = vectors::run(category, &case["input"], &case["expect"]);
                let difference = ran.expect("one of its categories").err()?;
                Some(format!("{category}/{}: {difference}", case["name"]))
            })
            .collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}
