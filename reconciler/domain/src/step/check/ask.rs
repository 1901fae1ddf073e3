//! What a step that asks people is asked beside its table.

use serde_json::{Map, Value};

use super::{StepProblem, join};
use crate::check::ProblemKind;
use crate::step::Form;

/// Of each group that is named somebody has to approve.
pub(super) fn check_groups(config: &Value) -> Vec<StepProblem> {
    let groups = config.get("groups").and_then(Value::as_object).into_iter().flatten();
    let none = groups.filter(|(_, count)| count.as_u64() == Some(0) || count.as_i64() < Some(0));
    none.filter(|(_, count)| count.is_number())
        .map(|(group, _)| StepProblem {
            path: format!("groups.{group}"),
            kind: ProblemKind::Invalid,
            message: "expected at least one person".to_owned(),
        })
        .collect()
}

/// The form is one, and can be done without where nobody answers.
pub(super) fn check_form(config: &Value) -> Vec<StepProblem> {
    let problem = |path: String, message: String| StepProblem {
        path: join("schema", &path),
        kind: ProblemKind::Invalid,
        message,
    };
    let schema = config.get("schema").unwrap_or(&Value::Null);
    let form = match Form::parse(schema) {
        Ok(form) => form,
        Err(misfits) => {
            return misfits.into_iter().map(|found| problem(found.path, found.message)).collect();
        }
    };
    let goes_on = config.get("at_timeout").and_then(Value::as_str) == Some("continue");
    let missing = form.fill(&Map::new()).err().filter(|_| goes_on).unwrap_or_default();
    let told = missing.into_iter().map(|misfit| {
        let message = "needs a default: without an answer, the promotion is to go on with it";
        problem(format!("properties.{}.default", misfit.path), message.to_owned())
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::step::{StepKind, check_config};

    fn check(kind: StepKind, config: &Value, expect: &[&str]) {
        let found: Vec<String> =
            check_config(kind, config).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "for {config}");
    }

    #[test]
    fn an_approval_is_somebody_s() {
        let config = |groups: Value, exclude: Value| json!({ "message": "on?", "timeout": "1h", "groups": groups, "exclude": exclude });
        check(StepKind::WaitForApproval, &config(json!({ "sre": 2 }), json!(["requester"])), &[]);
        check(
            StepKind::WaitForApproval,
            &config(json!({ "sre": 0, "dev": -1 }), json!(["me"])),
            &["exclude[0]: \"me\" is not allowed; known: requester, commit_author"],
        );
        check(
            StepKind::WaitForApproval,
            &config(json!({ "sre": 0, "dev": -1 }), json!([])),
            &[
                "groups.sre: expected at least one person",
                "groups.dev: expected at least one person",
            ],
        );
    }

    #[test]
    fn a_form_that_may_stay_empty_has_defaults() {
        let config = |property: Value, at_timeout: &str| {
            json!({ "message": "how many?", "timeout": "1h", "at_timeout": at_timeout,
                "schema": { "properties": { "n": property }, "required": ["n"] } })
        };
        check(StepKind::GetInput, &config(json!({ "type": "integer" }), "fail"), &[]);
        check(
            StepKind::GetInput,
            &config(json!({ "type": "integer", "default": 3 }), "continue"),
            &[],
        );
        check(
            StepKind::GetInput,
            &config(json!({ "type": "integer" }), "continue"),
            &[
                "schema.properties.n.default: needs a default: without an answer, the promotion is to go on \
               with it",
            ],
        );
        check(
            StepKind::GetInput,
            &config(json!({ "type": "integer", "minimun": 1 }), "fail"),
            &["schema.properties.n.minimun: is no keyword that is checked here"],
        );
    }
}
