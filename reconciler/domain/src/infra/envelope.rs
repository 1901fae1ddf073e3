//! What a plan may do that nobody can see before the commit.
//!
//! A plan that needs an outcome of an earlier effect is made too late for the gates. People approve its bounds instead,
//! as part of the change set; the plan is held to them before it is applied.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{
    Action, Address, AddressGlob, ForbiddenAction, InfraRules, PlanSummary, PlannedChange,
};
use crate::duration;

/// Ways out of an envelope that are told one by one; of more only the number is.
const TOLD_MAX: usize = 10;
/// How long people are asked about a plan that is outside, where the envelope says nothing else.
const TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The bounds of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it may do to resources. To make one anew has to be said itself.
    pub actions: BTreeSet<ForbiddenAction>,
    /// Where it may do that; empty: anywhere.
    pub addresses: Vec<AddressGlob>,
    /// The most changes.
    pub max_changes: Option<u32>,
    /// The most deletions, those included that make something anew.
    pub max_deletes: Option<u32>,
    /// How long people are asked about a plan that is outside.
    pub timeout: Duration,
}

impl Envelope {
    /// The words for actions.
    pub const ACTIONS: &'static [&'static str] = &["create", "update", "replace", "delete"];

    /// That of the arguments of a step, rendered; none: they name none.
    ///
    /// # Errors
    /// What is wrong, with the place below `envelope`.
    pub fn of_config(config: &Value) -> Result<Option<Self>, (String, String)> {
        let Some(written) = config.get("envelope").filter(|written| !written.is_null()) else {
            return Ok(None);
        };
        let mut actions = BTreeSet::new();
        for (at, word) in texts(written, "actions")? {
            let action = match word {
                "create" => ForbiddenAction::Create,
                "update" => ForbiddenAction::Update,
                "replace" => ForbiddenAction::Replace,
                "delete" => ForbiddenAction::Delete,
                other => {
                    let expected = Self::ACTIONS.join(", ");
                    return Err((at, format!("{other:?} is none of {expected}")));
                }
            };
            actions.insert(action);
        }
        // Whoever writes none means none; what is left out means anywhere.
        if written.get("addresses").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            let why = "an empty list allows no address: leave it out to allow any";
            return Err(("addresses".to_owned(), why.to_owned()));
        }
        let mut addresses = Vec::new();
        for (at, pattern) in texts(written, "addresses")? {
            addresses.push(pattern.parse().map_err(|error| (at, format!("{error}")))?);
        }
        let timeout = match written.get("timeout").and_then(Value::as_str) {
            None => TIMEOUT,
            Some(text) => duration::parse(text)
                .map_err(|_| ("timeout".to_owned(), format!("{text:?} is no duration")))?,
        };
        Ok(Some(Self {
            actions,
            addresses,
            max_changes: count(written, "max_changes")?,
            max_deletes: count(written, "max_deletes")?,
            timeout,
        }))
    }

    /// How a plan is outside of it, a clause for each way, such as "would delete `db.main`"; none: it is inside.
    #[must_use]
    pub fn exceeded(&self, plan: &PlanSummary) -> Vec<String> {
        let mut told: Vec<String> =
            plan.changes.iter().filter_map(|change| self.outside(change)).collect();
        let (total, deletes) = (plan.total(), plan.delete.saturating_add(plan.replace));
        let over = |count: u32, most: Option<u32>, what: &str| {
            let most = most.filter(|most| count > *most)?;
            Some(format!("would {what} {count} resources, at most {most} were agreed to"))
        };
        told.extend(over(total, self.max_changes, "change"));
        told.extend(over(deletes, self.max_deletes, "delete"));
        if plan.has_changes && plan.changes.is_empty() && plan.outputs.is_empty() {
            told.push("would change something that has no address".to_owned());
        }
        let more = told.len().saturating_sub(TOLD_MAX);
        if more > 0 {
            told.truncate(TOLD_MAX);
            told.push(format!("and {more} more"));
        }
        told
    }

    /// What it allows that rules forbid, in words. A replacement deletes, too.
    #[must_use]
    pub fn forbidden_by(&self, rules: &InfraRules) -> Vec<&'static str> {
        let forbids = |action| rules.forbid.contains(&action);
        let allowed = self.actions.iter().filter_map(|action| match action {
            ForbiddenAction::Create => forbids(ForbiddenAction::Create).then_some("create"),
            ForbiddenAction::Update => forbids(ForbiddenAction::Update).then_some("update"),
            ForbiddenAction::Replace => {
                let forbidden =
                    forbids(ForbiddenAction::Replace) || forbids(ForbiddenAction::Delete);
                forbidden.then_some("replace")
            }
            ForbiddenAction::Delete => forbids(ForbiddenAction::Delete).then_some("delete"),
        });
        allowed.collect()
    }

    fn outside(&self, change: &PlannedChange) -> Option<String> {
        let (needs, verb) = match change.action {
            Action::Create => (Some(ForbiddenAction::Create), "create"),
            Action::Update => (Some(ForbiddenAction::Update), "update"),
            Action::Replace => (Some(ForbiddenAction::Replace), "replace"),
            Action::Delete => (Some(ForbiddenAction::Delete), "delete"),
            Action::Forget => (None, "forget"),
            Action::Read => return None,
            Action::NoOp if change.importing => (Some(ForbiddenAction::Create), "import"),
            // Only its place in the state changes.
            Action::NoOp => return None,
        };
        let address = &change.address;
        if !needs.is_some_and(|needs| self.actions.contains(&needs)) {
            return Some(format!("would {verb} `{address}`"));
        }
        let covers = |at: &Address| self.addresses.iter().any(|pattern| pattern.matches(at));
        let before = change.previous_address.as_ref();
        let inside = self.addresses.is_empty() || (covers(address) && before.is_none_or(covers));
        (!inside)
            .then(|| format!("would {verb} `{address}`, which is no address that was agreed to"))
    }
}

fn texts<'a>(written: &'a Value, name: &str) -> Result<Vec<(String, &'a str)>, (String, String)> {
    let items = match written.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err((name.to_owned(), "expected a list".to_owned())),
    };
    let text = |(at, item): (usize, &'a Value)| {
        let at = format!("{name}[{at}]");
        match item.as_str() {
            Some(text) => Ok((at, text)),
            None => Err((at, "expected a text".to_owned())),
        }
    };
    items.iter().enumerate().map(text).collect()
}

fn count(written: &Value, name: &str) -> Result<Option<u32>, (String, String)> {
    let value = match written.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|count| u32::try_from(count).ok()),
    };
    value.map(Some).ok_or_else(|| (name.to_owned(), "expected a whole number".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::infra::Plan;

    fn plan(changes: &[(&str, &str)]) -> PlanSummary {
        let actions = |action: &str| match action {
            "replace" => json!(["delete", "create"]),
            "move" | "import" => json!(["no-op"]),
            other => json!([other]),
        };
        let changes = changes.iter().map(|(action, address)| {
            let mut change = json!({ "address": address, "mode": "managed", "change": {
                "actions": actions(action), "before": {}, "after": {} } });
            match *action {
                "move" => change["previous_address"] = json!("a.before"),
                "import" => change["change"]["importing"] = json!({ "id": "1" }),
                _ => {}
            }
            change
        });
        let changes: Vec<Value> = changes.collect();
        let document = json!({ "format_version": "1.2", "resource_changes": changes });
        Plan::from_value(&document).expect("a plan").summary()
    }

    fn check(envelope: &Value, changes: &[(&str, &str)], expect: &str) {
        let config = json!({ "envelope": envelope });
        let envelope = Envelope::of_config(&config).expect("it is right").expect("it is there");
        assert_eq!(envelope.exceeded(&plan(changes)).join("; "), expect);
    }

    #[test]
    fn a_plan_is_inside_or_what_is_outside_is_named() {
        let grows = json!({ "actions": ["create", "update"], "addresses": ["module.q", "a.*"] });
        check(&grows, &[("create", "module.q.b.c"), ("update", "a.x"), ("read", "data.z.y")], "");
        check(&grows, &[("move", "z.z"), ("import", "a.y")], "");
        check(&grows, &[("delete", "a.x")], "would delete `a.x`");
        check(
            &grows,
            &[("replace", "a.x"), ("forget", "a.y")],
            "would replace `a.x`; would forget `a.y`",
        );
        check(
            &grows,
            &[("create", "b.x")],
            "would create `b.x`, which is no address that was agreed to",
        );
        check(
            &grows,
            &[("import", "b.y")],
            "would import `b.y`, which is no address that was agreed to",
        );
        let few = json!({ "actions": ["create", "delete", "replace"], "max_changes": 1, "max_deletes": "0" });
        check(&few, &[("create", "b.x")], "");
        check(
            &few,
            &[("create", "b.x"), ("replace", "b.y")],
            "would change 2 resources, at most 1 were agreed to; would delete 1 resources, at most 0 were agreed to",
        );
        check(&json!({ "actions": [] }), &[("create", "b.x")], "would create `b.x`");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let place = |envelope: &Value| {
            let wrong = Envelope::of_config(&json!({ "envelope": envelope }));
            wrong.expect_err("it is wrong").0
        };
        assert_eq!(place(&json!({ "actions": ["create", "destroy"] })), "actions[1]");
        assert_eq!(place(&json!({ "actions": [], "addresses": ["a..b"] })), "addresses[0]");
        assert_eq!(place(&json!({ "actions": ["create"], "addresses": [] })), "addresses");
        assert_eq!(place(&json!({ "actions": [], "max_changes": "few" })), "max_changes");
        assert_eq!(place(&json!({ "actions": [], "timeout": "soon" })), "timeout");
        assert_eq!(Envelope::of_config(&json!({})), Ok(None));
    }
}
