//! The conformance data of what this crate decides: every case of every category, named when it fails.

use std::path::PathBuf;

use reconciler_effects::edit::yaml;
use reconciler_effects::oci::{Platform, TaggedImage, newest_builds};
use regex::Regex;
use serde_json::{Value, json};

fn cases(category: &str) -> Vec<Value> {
    let dir = std::env::var_os("LOCKSTEP_CONFORMANCE_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(dir.join(format!("{category}.json"))).unwrap();
    let mut data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["category"], category);
    let cases: Vec<Value> = serde_json::from_value(data["cases"].take()).unwrap();
    assert!(!cases.is_empty());
    cases
}

fn check(category: &str, passes: impl Fn(&Value, &Value) -> Result<(), Value>) {
    let failed: Vec<String> = cases(category)
        .iter()
        .filter_map(|case| {
            let got = passes(&case["input"], &case["expect"]).err()?;
            Some(format!("{category}/{}: {got}, not {}", case["name"], case["expect"]))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn yaml_update() {
    check("yaml_update", |input, expect| {
        let updates = input["updates"].as_array().unwrap().iter().map(|update| {
            let key: yaml::KeyPath = update["key"].as_str().unwrap().parse()?;
            Ok((key, yaml::Scalar::try_from(&update["value"]).unwrap()))
        });
        let result = updates
            .collect::<Result<Vec<_>, _>>()
            .and_then(|updates| yaml::update(input["text"].as_str().unwrap(), &updates));
        let got = match result {
            Ok(text) => json!({ "text": text }),
            Err(error) => json!({ "error_kind": error.kind() }),
        };
        let accepted =
            expect["accept"].as_array().is_some_and(|texts| texts.contains(&got["text"]));
        let same = got["text"] == expect["text"] && got["error_kind"] == expect["error_kind"];
        if same || accepted { Ok(()) } else { Err(got) }
    });
}

#[test]
fn newest_build_select() {
    check("newest_build_select", |input, expect| {
        let patterns = |member: &str| -> Vec<Regex> {
            let list = input[member].as_array().unwrap();
            list.iter().map(|text| Regex::new(text.as_str().unwrap()).unwrap()).collect()
        };
        let (allow, ignore) = (patterns("allow"), patterns("ignore"));
        let any = |patterns: &[Regex], tag: &str| patterns.iter().any(|regex| regex.is_match(tag));
        let passes = |tag: &str| !any(&ignore, tag) && (allow.is_empty() || any(&allow, tag));
        let text = |image: &Value, member: &str| image[member].as_str().unwrap().to_owned();
        let images = input["images"].as_array().unwrap().iter().map(|image| TaggedImage {
            tag: text(image, "tag"),
            digest: text(image, "digest").parse().unwrap(),
            created: text(image, "created").parse().unwrap(),
        });
        let images: Vec<_> = images.collect();
        let limit = usize::try_from(input["limit"].as_u64().unwrap()).unwrap();
        let newest = newest_builds(&images, passes, limit);
        let selected: Vec<_> = newest.iter().map(|image| &image.tag).collect();
        let got = json!({ "selected": selected });
        if got == *expect { Ok(()) } else { Err(got) }
    });
}

#[test]
fn platform_match() {
    check("platform_match", |input, expect| {
        let got = match input["constraint"].as_str().unwrap().parse::<Platform>() {
            Err(_) => json!({ "ok": false }),
            Ok(constraint) => {
                let text = |member: &str| input["platform"][member].as_str().map(str::to_owned);
                let (os, arch) = (text("os").unwrap(), text("arch").unwrap());
                let image = Platform { os, arch, variant: text("variant") };
                json!({ "ok": true, "matches": constraint.matches(&image) })
            }
        };
        if got == *expect { Ok(()) } else { Err(got) }
    });
}
