//! The conformance vectors of what this crate decides, one check per category.
//!
//! A runner over all categories includes this file by its path and asks each such file in turn.

use reconciler_effects::edit::{EditError, hcl, yaml};
use reconciler_effects::oci::{Platform, TaggedImage, newest_builds};
use regex::Regex;
use serde_json::{Value, json};

/// The categories of this file.
pub(crate) const CATEGORIES: [&str; 4] =
    ["hcl_update", "newest_build_select", "platform_match", "yaml_update"];

/// Runs one case: `None` if the category is not one of this file's, otherwise what differs.
pub(crate) fn run(category: &str, input: &Value, expect: &Value) -> Option<Result<(), String>> {
    let got = match category {
        "hcl_update" => hcl_update(input),
        "newest_build_select" => newest_build_select(input),
        "platform_match" => platform_match(input),
        "yaml_update" => return Some(yaml_update(input, expect)),
        _ => return None,
    };
    Some(if got == *expect { Ok(()) } else { Err(format!("expected {expect}, got {got}")) })
}

fn text<'v>(input: &'v Value, name: &str) -> &'v str {
    input[name].as_str().unwrap_or_else(|| panic!("`{name}` is a text in {input}"))
}

fn list<'v>(input: &'v Value, name: &str) -> &'v [Value] {
    input[name].as_array().unwrap_or_else(|| panic!("`{name}` is a list in {input}"))
}

fn hcl_update(input: &Value) -> Value {
    let updates = list(input, "updates").iter().map(|update| {
        let key: yaml::KeyPath = text(update, "path").parse().expect("a path");
        (key, update["value"].clone())
    });
    let updates: Vec<_> = updates.collect();
    match hcl::update(text(input, "text"), &updates) {
        Ok(text) => json!({ "text": text }),
        Err(EditError::Syntax { .. }) => json!({ "error_kind": "invalid_hcl" }),
        Err(EditError::NotFound { .. }) => json!({ "error_kind": "path_not_found" }),
        Err(EditError::NotScalar { .. }) => json!({ "error_kind": "not_scalar" }),
        Err(error @ EditError::Unrepresentable { .. }) => panic!("{error}"),
    }
}

/// A case names one result, and may name others that are as good.
fn yaml_update(input: &Value, expect: &Value) -> Result<(), String> {
    let updates = list(input, "updates").iter().map(|update| {
        let key: yaml::KeyPath = text(update, "key").parse()?;
        Ok((key, yaml::Scalar::try_from(&update["value"]).expect("a scalar")))
    });
    let updated = updates
        .collect::<Result<Vec<_>, _>>()
        .and_then(|updates| yaml::update(text(input, "text"), &updates));
    let got = match updated {
        Ok(text) => json!({ "text": text }),
        Err(error) => json!({ "error_kind": error.kind() }),
    };
    let accepted = expect["accept"].as_array().is_some_and(|texts| texts.contains(&got["text"]));
    let same = got["text"] == expect["text"] && got["error_kind"] == expect["error_kind"];
    if same || accepted { Ok(()) } else { Err(format!("expected {expect}, got {got}")) }
}

fn newest_build_select(input: &Value) -> Value {
    let patterns = |name: &str| -> Vec<Regex> {
        let pattern = |text: &Value| Regex::new(text.as_str().expect("a text")).expect("a pattern");
        list(input, name).iter().map(pattern).collect()
    };
    let (allow, ignore) = (patterns("allow"), patterns("ignore"));
    let any = |patterns: &[Regex], tag: &str| patterns.iter().any(|regex| regex.is_match(tag));
    let passes = |tag: &str| !any(&ignore, tag) && (allow.is_empty() || any(&allow, tag));
    let images = list(input, "images").iter().map(|image| TaggedImage {
        tag: text(image, "tag").to_owned(),
        digest: text(image, "digest").parse().expect("a digest"),
        created: text(image, "created").parse().expect("an instant"),
    });
    let images: Vec<_> = images.collect();
    let limit = input["limit"].as_u64().expect("`limit` is a number");
    let limit = usize::try_from(limit).expect("a small limit");
    let newest = newest_builds(&images, passes, limit);
    let selected: Vec<_> = newest.iter().map(|image| &image.tag).collect();
    json!({ "selected": selected })
}

fn platform_match(input: &Value) -> Value {
    let Ok(constraint) = text(input, "constraint").parse::<Platform>() else {
        return json!({ "ok": false });
    };
    let platform = &input["platform"];
    let image = Platform {
        os: text(platform, "os").to_owned(),
        arch: text(platform, "arch").to_owned(),
        variant: platform["variant"].as_str().map(str::to_owned),
    };
    json!({ "ok": true, "matches": constraint.matches(&image) })
}
