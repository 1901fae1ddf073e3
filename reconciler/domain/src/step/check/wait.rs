//! What a step that waits is asked beside its table.

use std::time::Duration;

use serde_json::Value;

use super::StepProblem;
use crate::check::ProblemKind;
use crate::duration;

/// One thing is waited for, and what is waited for until it holds has an end.
pub(super) fn check(config: &Value) -> Vec<StepProblem> {
    let given = |name: &&str| config.get(*name).is_some_and(|value| !value.is_null());
    let mut problems = Vec::new();
    let mut problem = |path: &str, kind, message: &str| {
        let (path, message) = (path.to_owned(), message.to_owned());
        problems.push(StepProblem { path, kind, message });
    };
    if ["duration", "until", "condition"].iter().filter(|name| given(name)).count() != 1 {
        problem("", ProblemKind::Conflict, "give one of duration, until and condition");
    }
    if given(&"condition") {
        if !given(&"timeout") {
            problem("timeout", ProblemKind::Missing, "is required: a condition may never hold");
        }
    } else {
        for name in ["interval", "timeout", "at_timeout"].iter().filter(|name| given(name)) {
            problem(name, ProblemKind::Conflict, "is for a condition, and there is none");
        }
    }
    problems.extend(interval(config));
    problems
}

/// A pause between two looks is not shorter than a second.
pub(super) fn interval(config: &Value) -> Option<StepProblem> {
    let text = config.get("interval").and_then(Value::as_str)?;
    let interval = duration::parse(text).ok()?;
    (interval < Duration::from_secs(1)).then(|| StepProblem {
        path: "interval".to_owned(),
        kind: ProblemKind::Invalid,
        message: "expected at least 1s".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_thing_is_waited_for_and_not_for_ever() {
        let check = |config: Value, expect: &[&str]| {
            let found: Vec<String> = check(&config).iter().map(ToString::to_string).collect();
            assert_eq!(found, expect, "for {config}");
        };
        check(json!({ "duration": "1h" }), &[]);
        check(json!({ "condition": "true", "timeout": "1h", "interval": "1s" }), &[]);
        check(json!({}), &[": give one of duration, until and condition"]);
        check(
            json!({ "duration": "1h", "until": "2026-11-21T16:00:00Z", "at_timeout": "fail" }),
            &[
                ": give one of duration, until and condition",
                "at_timeout: is for a condition, and there is none",
            ],
        );
        check(
            json!({ "condition": "true", "interval": "10ms" }),
            &["timeout: is required: a condition may never hold", "interval: expected at least 1s"],
        );
    }
}
