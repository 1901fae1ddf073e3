//! What a step that writes into the daemon's own store is asked beside its table.

use serde_json::Value;

use super::StepProblem;
use crate::check::ProblemKind;
use crate::id::Alias;
use crate::metadata::check_key;

/// Something is set, under keys that expressions can read.
pub(super) fn check_metadata(config: &Value) -> Vec<StepProblem> {
    let mut problems = Vec::new();
    let mut keys = 0;
    for of in ["stage", "freight"] {
        for (key, _) in config.get(of).and_then(Value::as_object).into_iter().flatten() {
            keys += 1;
            if let Err(message) = check_key(key) {
                let (path, kind) = (format!("{of}.{key}"), ProblemKind::Invalid);
                problems.push(StepProblem { path, kind, message });
            }
        }
    }
    if keys == 0 {
        let message = "give values of the stage, the freight, or both".to_owned();
        problems.push(StepProblem { path: String::new(), kind: ProblemKind::Missing, message });
    }
    problems
}

/// An alias that is no template is one.
pub(super) fn check_alias(config: &Value) -> Option<StepProblem> {
    let literal = config["alias"].as_str().filter(|text| !text.contains("{{"))?;
    let message = literal.parse::<Alias>().err()?.to_string();
    Some(StepProblem { path: "alias".to_owned(), kind: ProblemKind::Invalid, message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::step::{StepKind, check_config};

    #[test]
    fn what_is_kept_can_be_read_again() {
        let check = |kind, config: serde_json::Value, expect: &[&str]| {
            let found: Vec<String> =
                check_config(kind, &config).iter().map(ToString::to_string).collect();
            assert_eq!(found, expect, "for {config}");
        };
        check(StepKind::SetMetadata, json!({ "stage": { "url": "{{ vars.x }}", "n": null } }), &[]);
        check(
            StepKind::SetMetadata,
            json!({ "freight": { "a-b": 1 } }),
            &[
                "freight.a-b: \"a-b\" is no key: expressions address it as a field, so use letters, digits \
               and `_`, at most 63 of them",
            ],
        );
        check(
            StepKind::SetMetadata,
            json!({ "stage": {} }),
            &[": give values of the stage, the freight, or both"],
        );
        check(StepKind::SetAlias, json!({ "alias": "stable" }), &[]);
        check(StepKind::SetAlias, json!({ "alias": "{{ vars.x }}" }), &[]);
        for (wrong, rule) in [
            ("cafe", "a name with a character that no id of freight has"),
            ("newest", "another one, because this word means freight already"),
        ] {
            let told = format!("alias: {wrong:?} is not a alias: use {rule}");
            check(StepKind::SetAlias, json!({ "alias": wrong }), &[&told]);
        }
    }
}
