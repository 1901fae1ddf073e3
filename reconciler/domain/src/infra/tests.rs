#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn plan(value: &Value) -> Plan {
    Plan::from_value(value).unwrap()
}

fn resource(address: &str, actions: &[&str], before: &Value, after: &Value) -> Value {
    json!({
        "address": address,
        "mode": "managed",
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "change": {"actions": actions, "before": before, "after": after},
    })
}

fn document(resources: &[Value]) -> Value {
    json!({"format_version": "1.2", "resource_changes": resources, "errored": false})
}

/// A plan with something of everything; `password` is sensitive.
fn rich() -> Value {
    let mut database = resource(
        "aws_db_instance.main",
        &["delete", "create"],
        &json!({"id": "db-1", "size": 10, "password": "hunter2", "tags": {"a": "1"}}),
        &json!({"size": 20, "password": "hunter3", "tags": {"a": "1"}}),
    );
    database["action_reason"] = json!("replace_because_cannot_update");
    database["change"]["after_unknown"] = json!({"id": true, "tags": {}});
    database["change"]["before_sensitive"] = json!({"password": true});
    database["change"]["after_sensitive"] = json!({"password": true});
    let mut moved = resource("aws_x.new", &["no-op"], &json!({"id": 1}), &json!({"id": 1}));
    moved["previous_address"] = json!("aws_x.old");
    let mut document = document(&[
        moved,
        database,
        resource("aws_s3_bucket.logs", &["create"], &Value::Null, &json!({"name": "logs"})),
        resource("aws_idle.x", &["no-op"], &json!({"id": 1}), &json!({"id": 1})),
        resource("aws_gone.x[0]", &["delete"], &json!({"id": 1}), &Value::Null),
    ]);
    document["output_changes"] = json!({
        "url": {"actions": ["update"], "before": "a", "after_unknown": true},
        "token": {"actions": ["create"], "after": "s3cret", "after_unknown": false, "after_sensitive": true},
        "same": {"actions": ["no-op"], "before": 1, "after": 1, "after_unknown": false},
    });
    document["planned_values"] = json!({"outputs": {
        "url": {"sensitive": false},
        "token": {"sensitive": true, "value": "s3cret"},
        "same": {"sensitive": false, "value": 1},
    }});
    document["resource_drift"] =
        json!([resource("aws_drift.x", &["update"], &json!({"a": 1}), &json!({"a": 2})),]);
    document
}

#[test]
fn lines_are_masked() {
    let summary = plan(&rich()).summary();
    assert_snapshot!(summary.lines().join("\n"), @r#"
    -/+ aws_db_instance.main (replace because cannot update)
        id: "db-1" -> (known after apply)
        password: (sensitive) -> (sensitive)
        size: 10 -> 20
    - aws_gone.x[0]
    + aws_s3_bucket.logs
    > aws_x.new (moved from aws_x.old)
    + output.token (sensitive)
    ~ output.url (known after apply)
    "#);
    let stored = serde_json::to_string(&summary).unwrap();
    assert!(!stored.contains("hunter") && !stored.contains("s3cret"), "{stored}");
    assert_eq!(serde_json::from_str::<PlanSummary>(&stored).unwrap(), summary);
    assert_eq!(summary.total(), 3);
    assert_eq!(summary.drift[0].address.as_str(), "aws_drift.x");
}

#[test]
fn outputs_are_known_or_not() {
    let outputs = plan(&rich()).outputs();
    assert_eq!(outputs["url"], PlannedOutput { value: None, sensitive: false });
    assert_eq!(outputs["token"], PlannedOutput { value: Some(json!("s3cret")), sensitive: true });
    let printed = format!("{outputs:?} {:?}", plan(&rich()));
    assert!(!printed.contains("s3cret") && !printed.contains("hunter"), "{printed}");
    assert_eq!(outputs["same"], PlannedOutput { value: Some(json!(1)), sensitive: false });
}

#[test]
fn plans_that_are_not_understood_are_refused() {
    let refused = |value: &Value| Plan::from_value(value).unwrap_err().to_string();
    assert_snapshot!(refused(&json!({"format_version": "2.0"})), @"the plan has format version `2.0`, versions 1.x are understood");
    assert_snapshot!(refused(&json!({"format_version": "1.0", "errored": true})), @"the plan is marked as errored and cannot be applied: see the plan's own log");
    assert_snapshot!(refused(&document(&[resource("a.b", &["dance"], &Value::Null, &Value::Null)])), @r#"`a.b` has the actions ["dance"], which are not understood"#);
    assert_snapshot!(Plan::parse(b"{\"format_version\": 1}").unwrap_err(), @"the plan is not valid JSON of a plan (line 1, column 20)");
}

fn digest(value: &Value) -> PlanDigest {
    plan(value).semantic_digest(b"key")
}

/// Whether the digest changes when this part of the rich plan does.
fn matters(pointer: &str, new: Value, expected: bool) {
    let mut changed = rich();
    *changed.pointer_mut(pointer).unwrap() = new;
    assert_eq!(digest(&changed) != digest(&rich()), expected, "{pointer}");
}

#[test]
fn the_digest_covers_what_would_be_done() {
    matters("/resource_changes/1/change/after/size", json!(21), true);
    matters("/resource_changes/1/change/before/size", json!(11), true);
    matters("/resource_changes/1/change/after/password", json!("other"), true);
    matters("/resource_changes/1/change/actions", json!(["create", "delete"]), true);
    matters("/resource_changes/0/previous_address", json!("aws_x.older"), true);
    matters("/resource_changes/1/change/after_unknown", json!({}), true);
    matters("/output_changes/token/after", json!("other"), true);
    matters("/output_changes/url/actions", json!(["create"]), true);
    matters("/resource_changes/3/change/after/id", json!(2), false);
    matters("/resource_drift/0/change/after/a", json!(3), false);
    matters("/output_changes/same/after", json!(2), false);
    matters("/format_version", json!("1.3"), false);
    let mut unknown = rich();
    unknown["resource_changes"][1]["change"]["after"]["id"] = json!("guess");
    assert_eq!(digest(&unknown), digest(&rich()), "a value under an unknown mark does not count");
    assert_ne!(plan(&rich()).semantic_digest(b"other"), digest(&rich()));
}

#[test]
fn the_digest_is_stable() {
    assert_snapshot!(digest(&rich()), @"sha256:86c96931a6f7c62c3e026c6738729e156eec96cb809df87211976b243f913b08");
    let text = digest(&rich()).to_string();
    assert_eq!(text.parse(), Ok(digest(&rich())));
    assert!("sha256:AB".parse::<PlanDigest>().is_err());
    let mut reordered = rich();
    reordered["resource_changes"].as_array_mut().unwrap().reverse();
    assert_eq!(digest(&reordered), digest(&rich()));
}

fn glob(pattern: &str, address: &str, expected: bool) {
    let parsed: AddressGlob = pattern.parse().unwrap();
    assert_eq!(parsed.matches(&Address::new(address)), expected, "{pattern} on {address}");
}

#[test]
fn address_patterns() {
    glob("aws_db_instance.*", "aws_db_instance.main", true);
    glob("aws_db_instance.*", "aws_db_instance.main[0]", true);
    glob("aws_db_instance.*", "module.m.aws_db_instance.main", false);
    glob("**.aws_db_instance.*", "module.m[\"a.b\"].aws_db_instance.main", true);
    glob("**.aws_db_instance.*", "aws_db_instance.main", true);
    glob("aws_db_instance.main", "aws_db_instance.main[\"x.y\"]", true);
    glob("aws_db_instance.main[0]", "aws_db_instance.main[0]", true);
    glob("aws_db_instance.main[0]", "aws_db_instance.main[1]", false);
    glob("aws_db_instance.main[*]", "aws_db_instance.main[1]", true);
    glob("module.x.**", "module.x.aws_a.b", true);
    glob("module.x.**", "module.x[0].module.y.aws_a.b", true);
    glob("module.x.**", "module.xy.aws_a.b", false);
    glob("module.x", "module.x[\"eu\"].aws_a.b", true);
    glob("module.x[\"us\"]", "module.x[\"eu\"].aws_a.b", false);
    glob("module.*", "module.x.aws_a.b", true);
    glob("aws_*.pro*d", "aws_a.prod", true);
    glob("aws_*.pro*d", "aws_a.product", false);
    glob("aws_a", "aws_a.b", false);
    glob("**", "module.x.aws_a.b", true);
    glob("data.aws_a.*", "data.aws_a.b", true);
    glob("**.a.**.b.**.c.**", "x.a.y.z.b.c.d", true);
    let deep = "**.".repeat(20_000) + "a";
    for pattern in ["", "a..b", "a.**b", "a.b[0", "a .b", "**.**.**.**.**", &deep] {
        assert!(pattern.parse::<AddressGlob>().is_err(), "{pattern}");
    }
}

fn reasons(rules: &InfraRules, created: &[&str]) -> String {
    let created: BTreeSet<Address> = created.iter().map(|&at| Address::new(at)).collect();
    let violations = judge_undo(&plan(&rich()).summary(), rules, &created);
    violations.into_iter().map(|violation| violation.reason).collect::<Vec<_>>().join("\n")
}

fn rules(value: &Value) -> InfraRules {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn rules_judge() {
    assert_eq!(reasons(&InfraRules::default(), &[]), "");
    assert_snapshot!(reasons(&rules(&json!({"forbid": ["delete"]})), &[]), @r#"
    `aws_db_instance.main` would be replaced, which deletes it, and deleting is forbidden
    `aws_gone.x[0]` would be deleted, and deleting is forbidden
    "#);
    assert_snapshot!(reasons(&rules(&json!({"forbid": ["create", "update", "replace"]})), &[]), @r#"
    `aws_db_instance.main` would be replaced, and replacing is forbidden
    `aws_s3_bucket.logs` would be created, and creating is forbidden
    "#);
    assert_snapshot!(reasons(&rules(&json!({"protect": ["aws_gone.*", "aws_s3_bucket.*"]})), &[]), @"`aws_gone.x[0]` would be deleted, and `aws_gone.*` protects it");
    assert_snapshot!(reasons(&rules(&json!({"max_changes": 2})), &[]), @"the plan makes 3 changes, at most 2 are allowed");
    assert_eq!(reasons(&rules(&json!({"max_changes": 3})), &[]), "");
}

#[test]
fn an_undo_may_delete_what_the_promotion_created() {
    let created = ["aws_gone.x[0]"];
    assert_snapshot!(reasons(&rules(&json!({"forbid": ["delete"]})), &created), @"`aws_db_instance.main` would be replaced, which deletes it, and deleting is forbidden");
    assert_snapshot!(reasons(&rules(&json!({"protect": ["aws_gone.*"]})), &created), @"`aws_gone.x[0]` would be deleted, and `aws_gone.*` protects it");
    assert_eq!(reasons(&rules(&json!({"max_changes": 2})), &created), "");
}

#[test]
fn a_move_does_not_escape_protection() {
    let mut moved = resource("aws_x.new", &["delete", "create"], &json!({}), &json!({}));
    moved["previous_address"] = json!("aws_x.old");
    let rules = rules(&json!({"protect": ["aws_x.old"]}));
    assert_eq!(judge(&plan(&document(&[moved])).summary(), &rules)[0].rule, Rule::Protected);
}

#[test]
fn rules_join() {
    let (one, other) =
        (json!({"name": "a", "when": "true"}), json!({"name": "a", "when": "false"}));
    let left = rules(&json!({"forbid": ["delete"], "protect": ["a.b"], "max_changes": 5,
        "max_deletes": 1, "rules": [one]}));
    let right = rules(&json!({"forbid": ["create"], "protect": ["a.b", "a.c"], "max_changes": 3,
        "rules": [one, other]}));
    let both = json!({"forbid": ["create", "delete"], "protect": ["a.b", "a.c"], "max_changes": 3,
        "max_deletes": 1, "rules": [one, other]});
    assert_eq!(left.join(&right), rules(&both));
    assert_eq!(left.join(&InfraRules::default()), left);
}

/// The rich plan under one condition.
fn under(when: &str) -> String {
    let rule = json!({ "name": "it", "when": when });
    reasons(&rules(&json!({ "rules": [rule] })), &[])
}

#[test]
fn conditions_see_the_whole_plan() {
    for kept in [
        "summary.delete == 1 && summary.replace == 1 && summary.total == 3 && summary.has_changes",
        "changes.exists(c, c.address == 'aws_s3_bucket.logs' && c.type == 'aws_s3_bucket')",
        "changes.filter(c, c.reason == 'replace_because_cannot_update').size() == 1",
        "changes.exists(c, c.previous_address == 'aws_x.old' && c.action == 'no_op')",
        "changes.exists(c, c.attributes.exists(a, a.name == 'size' && a.after == '20'))",
        "outputs.token.sensitive && outputs.url.unknown && drift[0].address == 'aws_drift.x'",
        "changes.all(c, c.module == '' && !c.importing && !c.create_first)",
    ] {
        assert_eq!(under(kept), "", "{kept}");
    }
    assert_snapshot!(under("summary.create < 1"), @r#"rule "it": `summary.create < 1` does not hold"#);
    assert_snapshot!(under("changes.all(c, c.action != 'delete' && c.type != 'aws_db_instance')"), @r#"rule "it": `changes.all(c, c.action != 'delete' && c.type != 'aws_db_instance')` does not hold: aws_db_instance.main (replace), aws_gone.x[0] (delete)"#);
    // What is about all of them at once has no single culprit.
    assert_snapshot!(under("changes.all(c, c.action != ')') && changes.size() < 2"), @r#"rule "it": `changes.all(c, c.action != ')') && changes.size() < 2` does not hold"#);
    let told = json!({ "name": "it", "when": "summary.delete == 0", "message": "nothing goes" });
    assert_snapshot!(reasons(&rules(&json!({ "rules": [told] })), &[]), @r#"rule "it": nothing goes"#);
}

#[test]
fn a_condition_that_cannot_be_judged_is_neither_kept_nor_broken() {
    let rule = json!({ "rules": [{ "name": "it", "when": "changes[9].action == 'create'" }] });
    let found = judge(&plan(&rich()).summary(), &rules(&rule));
    assert_eq!(found.iter().map(|found| found.rule).collect::<Vec<_>>(), [Rule::Unjudged]);
    assert!(found[0].reason.starts_with("rule \"it\": cannot be judged: "), "{}", found[0].reason);
}

#[test]
fn conditions_see_no_secret() {
    let holds = |text: &str| {
        under(&format!(
            "changes.all(c, c.attributes.all(a, !a.before.contains('{text}') && !a.after.contains('{text}')))"
        ))
    };
    assert_eq!((holds("hunter").as_str(), holds("s3cret").as_str()), ("", ""));
    assert_ne!(holds("sensitive"), "", "the attribute is there, masked");
}

#[test]
fn an_undo_may_take_back_what_conditions_would_keep() {
    let rule = json!({ "max_deletes": 1, "rules": [
        { "name": "it", "when": "changes.all(c, c.action != 'delete') && summary.delete == 0" },
    ] });
    assert_snapshot!(reasons(&rules(&rule), &[]), @r#"
    the plan deletes 2 resources, those that it replaces included; at most 1 are allowed
    rule "it": `changes.all(c, c.action != 'delete') && summary.delete == 0` does not hold
    "#);
    assert_eq!(reasons(&rules(&rule), &["aws_gone.x[0]"]), "");
}

#[test]
fn addresses_have_a_module_and_a_type() {
    let check = |address: &str, module: &str, kind: &str| {
        let address = Address::new(address);
        assert_eq!((address.module(), address.resource_type()), (module, kind), "{address}");
    };
    check("aws_a.b", "", "aws_a");
    check("data.aws_a.b[0]", "", "aws_a");
    check(r#"module.m["x.y"].module.n.aws_a.b"#, r#"module.m["x.y"].module.n"#, "aws_a");
    check("module.m.data.aws_a.b", "module.m", "aws_a");
    check("module.m", "module.m", "");
    check("", "", "");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let fields = prop::collection::vec(("[a-d]{1}", inner), 0..4);
        prop_oneof![list, fields.prop_map(|f| Value::Object(f.into_iter().collect()))]
    })
}

/// The same value with the keys of every object in the opposite order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(k, v)| (k.clone(), reversed(v))).collect();
            Value::Object(fields.into_iter().rev().collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn key_order_does_not_matter(before in any_json(), after in any_json(), unknown in any_json(), sensitive in any_json()) {
        let mut change = resource("a.b", &["update"], &before, &after);
        change["change"]["after_unknown"] = unknown;
        change["change"]["after_sensitive"] = sensitive;
        let document = document(&[change]);
        prop_assert_eq!(digest(&document), digest(&reversed(&document)));
        drop(plan(&document).summary().lines());
    }

    #[test]
    fn different_values_differ(before in any_json(), after in any_json()) {
        let one = document(&[resource("a.b", &["update"], &json!([before, after]), &Value::Null)]);
        let other = document(&[resource("a.b", &["update"], &json!([after, before]), &Value::Null)]);
        prop_assert_eq!(digest(&one) == digest(&other), before == after);
    }

    #[test]
    fn no_pattern_panics(pattern in "[a-c.*\\[\\]\"0m ]{0,12}", address in "[a-c.\\[\\]\"0]{0,12}") {
        if let Ok(glob) = pattern.parse::<AddressGlob>() {
            let _matches: bool = glob.matches(&Address::new(address));
        }
    }
}
