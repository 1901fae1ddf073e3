//! Conditions over a whole plan: named expressions that must hold of it.
//!
//! They see what a [`PlanSummary`] has, so no sensitive value. One that cannot be evaluated is neither kept nor
//! broken: the plan is not judged, and does not pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, PlanSummary, PlannedChange, Rule, Violation};
use crate::expression::{EvaluationError, Expression, Names, Scope, Shape};

/// The most changes that are named as breaking a condition.
const WITNESSES_MAX: usize = 5;
/// What is known of a plan as a whole.
const SUMMARY: [&str; 7] =
    ["create", "update", "replace", "delete", "no_op", "total", "has_changes"];
/// What is known of a change, beside its attributes.
const CHANGE: [&str; 9] = [
    "address",
    "action",
    "type",
    "module",
    "reason",
    "previous_address",
    "importing",
    "deposed",
    "create_first",
];

/// Something that must hold of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRule {
    /// Unique in the policy.
    pub name: String,
    /// What must hold; see [`plan_names`] for what it sees.
    pub when: Expression,
    /// What people are told where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What conditions over a plan may name.
#[must_use]
pub fn plan_names() -> Names {
    let scalars = |names: &[&'static str]| -> Vec<(&'static str, Shape)> {
        names.iter().map(|name| (*name, Shape::Scalar)).collect()
    };
    let mut change = scalars(&CHANGE);
    change.push(("attributes", Shape::list(Shape::object(scalars(&["name", "before", "after"])))));
    Names::new()
        .name("summary", Shape::object(scalars(&SUMMARY)))
        .name("changes", Shape::list(Shape::object(change)))
        .name("outputs", Shape::Any)
        .name("drift", Shape::list(Shape::object(scalars(&["address", "action"]))))
}

impl PlanRule {
    /// How the plan breaks it; absent: it does not.
    pub(super) fn judge(&self, summary: &PlanSummary) -> Option<Violation> {
        let named = |rule, what: &str| {
            let reason = format!("rule {:?}: {what}", self.name);
            Some(Violation { rule, address: None, action: None, reason })
        };
        match self.holds(summary, &summary.changes) {
            Ok(true) => None,
            Ok(false) => {
                let told = self.message.clone();
                let mut what = told.unwrap_or_else(|| format!("`{}` does not hold", self.when));
                let witnesses = self.witnesses(summary);
                if !witnesses.is_empty() {
                    what = format!("{what}: {}", witnesses.join(", "));
                }
                named(Rule::Condition, &what)
            }
            Err(error) => named(Rule::Unjudged, &format!("cannot be judged: {error}")),
        }
    }

    fn holds(
        &self,
        summary: &PlanSummary,
        changes: &[PlannedChange],
    ) -> Result<bool, EvaluationError> {
        self.when.holds(&scope(summary, changes))
    }

    /// The changes that break a condition on each of them.
    fn witnesses(&self, summary: &PlanSummary) -> Vec<String> {
        if !is_about_each(self.when.source()) {
            return Vec::new();
        }
        let alone = |change: &&PlannedChange| {
            let holds = self.holds(summary, std::slice::from_ref(change));
            matches!(holds, Ok(false))
        };
        let mut broken = summary.changes.iter().filter(alone);
        let shown =
            |change: &PlannedChange| format!("{} ({})", change.address, word(change.action));
        let mut shown: Vec<String> = broken.by_ref().take(WITNESSES_MAX).map(shown).collect();
        if broken.next().is_some() {
            shown.push("and more".to_owned());
        }
        shown
    }
}

/// What a condition sees.
fn scope(summary: &PlanSummary, changes: &[PlannedChange]) -> Scope {
    let PlanSummary { create, update, replace, delete, no_op, .. } = summary;
    let mut scope = Scope::new();
    scope.set(
        "summary",
        json!({
            "create": create, "update": update, "replace": replace, "delete": delete, "no_op": no_op,
            "total": summary.total(), "has_changes": summary.has_changes,
        }),
    );
    scope.set("changes", changes.iter().map(shown).collect());
    scope.set("outputs", json!(summary.outputs));
    scope.set("drift", json!(summary.drift));
    scope
}

fn shown(change: &PlannedChange) -> Value {
    json!({
        "address": change.address,
        "action": change.action,
        "type": change.address.resource_type(),
        "module": change.address.module(),
        "reason": change.reason,
        "previous_address": change.previous_address,
        "importing": change.importing,
        "deposed": change.deposed,
        "create_first": change.create_first,
        "attributes": change.attributes,
    })
}

fn word(action: Action) -> String {
    match json!(action) {
        Value::String(word) => word,
        other => other.to_string(),
    }
}

/// Whether the text is `changes.all(…)` and nothing else, so that each change keeps or breaks it alone.
fn is_about_each(source: &str) -> bool {
    let Some(rest) = source.trim().strip_prefix("changes.all(") else { return false };
    let (mut depth, mut quote, mut escaped) = (1, None, false);
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            return at + 1 == rest.len();
        }
    }
    false
}
