//! The plan of Terraform or `OpenTofu` as changes of definitions.
//!
//! A resource has the fields of its definition, most of them under the same names; blocks of which
//! there are several are named in the singular. The daemon's types read the rest strictly: a field
//! that they do not know, of another version of the provider, is an error and never left out.

use std::collections::BTreeMap;

use reconciler_api::v1::{Definition, PreviewChange};
use reconciler_domain::step::split_control;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The changes of one project.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// By address in the configuration.
    pub(super) changes: Vec<(String, PreviewChange)>,
    /// What cannot be judged before the apply, and why.
    pub(super) left_out: Vec<String>,
}

#[derive(Deserialize)]
struct Plan {
    format_version: String,
    /// Whether planning broke off: then it is not all that would change.
    #[serde(default)]
    errored: bool,
    #[serde(default)]
    resource_changes: Vec<ResourceChange>,
}

#[derive(Deserialize)]
struct ResourceChange {
    address: String,
    #[serde(rename = "type")]
    kind: String,
    change: ChangeOf,
}

#[derive(Deserialize)]
struct ChangeOf {
    actions: Vec<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    after_unknown: Value,
}

/// How a type of resource is a definition.
struct Form {
    resource: &'static str,
    kind: &'static str,
    /// Blocks and attributes that are called otherwise.
    renamed: &'static [(&'static str, &'static str)],
    /// Blocks of which there is one.
    single: &'static [&'static str],
}

/// The kind of what is in no project and concerns each.
const EVERYWHERE: &str = "instance_freeze";

const FORMS: [Form; 8] = [
    Form {
        resource: "lockstep_promotion_policy",
        kind: "policy",
        renamed: &[
            ("approval", "approvals"),
            ("condition", "conditions"),
            ("rate", "rates"),
            ("ticket", "tickets"),
            ("attestation", "attestations"),
            ("window", "windows"),
        ],
        single: &["stages", "infra", "rollback"],
    },
    Form {
        resource: "lockstep_stage",
        kind: "stage",
        renamed: &[("request", "requests"), ("verification", "verifications")],
        single: &["drift"],
    },
    Form { resource: "lockstep_warehouse", kind: "warehouse", renamed: &[], single: &["freight"] },
    Form {
        resource: "lockstep_verification",
        kind: "verification",
        renamed: &[("measurements", "count")],
        single: &[],
    },
    Form {
        resource: "lockstep_promotion_task",
        kind: "task",
        renamed: &[("input", "inputs")],
        single: &[],
    },
    Form { resource: "lockstep_hold", kind: "hold", renamed: &[], single: &["artifacts"] },
    Form {
        resource: "lockstep_freeze",
        kind: "freeze",
        renamed: &[],
        single: &["window", "except"],
    },
    Form {
        resource: "lockstep_instance_freeze",
        kind: EVERYWHERE,
        renamed: &[],
        single: &["window", "except"],
    },
];

/// What only the resource has.
const NOT_OF_THE_SPEC: [&str; 6] =
    ["id", "name", "project", "impact", "adopt_existing", "timeouts"];

/// The changes of a plan, by project; none: that of the command line. What is in no project is with each
/// of the plan's, and where that has none, with that of the command line.
///
/// Fails with what is wrong with the plan.
pub(super) fn changes_of_plan(plan: &Value) -> Result<BTreeMap<Option<String>, Planned>, String> {
    let plan = Plan::deserialize(plan).map_err(|error| {
        format!("it is no plan in JSON, as `terraform show -json PLAN` writes it: {error}")
    })?;
    if !plan.format_version.starts_with("1.") {
        return Err(format!("format {} of plans is not known", plan.format_version));
    }
    if plan.errored {
        return Err(
            "planning broke off with an error, so it says only a part of what would change"
                .to_owned(),
        );
    }
    let mut planned: BTreeMap<Option<String>, Planned> = BTreeMap::new();
    let mut everywhere = Planned::default();
    for resource in &plan.resource_changes {
        let Some(form) = FORMS.iter().find(|form| form.resource == resource.kind) else { continue };
        let ChangeOf { actions, before, after, after_unknown } = &resource.change;
        let does = |action: &str| actions.iter().any(|it| it == action);
        if does("create") || does("update") {
            let there = match form.kind {
                EVERYWHERE => &mut everywhere,
                _ => planned.entry(project(after)).or_default(),
            };
            match written(form, &resource.address, after, after_unknown)? {
                Ok(change) => there.changes.push((resource.address.clone(), change)),
                Err(why) => there.left_out.push(why),
            }
        }
        let renamed = does("update") && name(before) != name(after);
        let moved = does("create") && does("delete") && identity(before) != identity(after);
        let removed = does("delete") && !does("create");
        if removed || renamed || moved {
            let change = removal(form, &resource.address, before)?;
            let there = match form.kind {
                EVERYWHERE => &mut everywhere,
                _ => planned.entry(project(before)).or_default(),
            };
            there.changes.push((resource.address.clone(), change));
        }
    }
    if !everywhere.changes.is_empty() || !everywhere.left_out.is_empty() {
        if planned.is_empty() {
            planned.entry(None).or_default();
        }
        for of_project in planned.values_mut() {
            of_project.changes.extend_from_slice(&everywhere.changes);
            of_project.left_out.extend_from_slice(&everywhere.left_out);
        }
    }
    Ok(planned)
}

fn project(resource: &Value) -> Option<String> {
    resource.get("project")?.as_str().map(str::to_owned)
}

fn name(resource: &Value) -> Option<&str> {
    resource.get("name")?.as_str()
}

fn identity(resource: &Value) -> (Option<String>, Option<&str>) {
    (project(resource), name(resource))
}

/// A change that writes the object, or why it cannot be judged before the apply.
fn written(
    form: &Form,
    address: &str,
    after: &Value,
    unknown: &Value,
) -> Result<Result<PreviewChange, String>, String> {
    let unknown = unknown.as_object().into_iter().flatten();
    let ours = unknown.filter(|(field, _)| {
        let of_resource = NOT_OF_THE_SPEC.contains(&field.as_str());
        !of_resource || matches!(field.as_str(), "name" | "project")
    });
    if let Some((field, _)) = ours.into_iter().find(|(_, value)| is_unknown(value)) {
        return Ok(Err(format!("{address}: `{field}` is known only at the apply")));
    }
    let Some(named) = name(after) else {
        return Err(format!("{address} has no name"));
    };
    let definition = definition(form, address, after)?;
    Ok(Ok(PreviewChange { name: named.to_owned(), definition, remove: false }))
}

fn removal(form: &Form, address: &str, before: &Value) -> Result<PreviewChange, String> {
    let Some(named) = name(before) else {
        return Err(format!("{address} has no name"));
    };
    let definition = definition(form, address, before)?;
    Ok(PreviewChange { name: named.to_owned(), definition, remove: true })
}

/// Whether something inside is unknown.
fn is_unknown(value: &Value) -> bool {
    match value {
        Value::Bool(unknown) => *unknown,
        Value::Array(items) => items.iter().any(is_unknown),
        Value::Object(fields) => fields.values().any(is_unknown),
        Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

fn definition(form: &Form, address: &str, resource: &Value) -> Result<Definition, String> {
    let mut spec = Map::new();
    for (field, value) in resource.as_object().into_iter().flatten() {
        let value = without_nulls(value);
        if NOT_OF_THE_SPEC.contains(&field.as_str()) || value.is_null() {
            continue;
        }
        let renamed = form.renamed.iter().find(|(block, _)| block == field);
        let called = renamed.map_or(field.as_str(), |(_, called)| called);
        if !form.single.contains(&field.as_str()) {
            spec.insert(called.to_owned(), value);
            continue;
        }
        let one = match value {
            Value::Array(blocks) => blocks.into_iter().next(),
            block => Some(block),
        };
        match (form.kind, one) {
            // The resource has the condition in a block, which the definition does not.
            ("warehouse", Some(Value::Object(block))) => spec.extend(block),
            ("policy", Some(Value::Object(mut block))) => {
                let rules = block.remove("rule");
                block.extend(rules.map(|rules| ("rules".to_owned(), rules)));
                spec.insert(called.to_owned(), Value::Object(block));
            }
            (_, one) => spec.extend(one.map(|one| (called.to_owned(), one))),
        }
    }
    if let Some(Value::Array(steps)) = spec.get_mut("steps") {
        for step in steps {
            open_config(step).map_err(|why| format!("{address}: a step: {why}"))?;
        }
    }
    if let Some(Value::Array(inputs)) = spec.get_mut("inputs") {
        for input in inputs {
            open_default(input).map_err(|why| format!("{address}: an input: {why}"))?;
        }
    }
    let definition = json!({ "kind": form.kind, "spec": spec });
    serde_json::from_value(definition).map_err(|error| {
        format!("{address} cannot be read: {error}; use the lockstep of the provider's version")
    })
}

/// A step has its arguments as a JSON text, its control among them.
fn open_config(step: &mut Value) -> Result<(), serde_json::Error> {
    let Some(fields) = step.as_object_mut() else { return Ok(()) };
    let Some(Value::String(text)) = fields.get("config") else { return Ok(()) };
    let (config, control) = split_control(&serde_json::from_str(text)?);
    fields.insert("config".to_owned(), config);
    fields.extend(control.map(|control| ("control".to_owned(), control)));
    Ok(())
}

/// An input that is no text has its default as JSON.
fn open_default(input: &mut Value) -> Result<(), serde_json::Error> {
    let Some(fields) = input.as_object_mut() else { return Ok(()) };
    let is_text = fields.get("type").is_none_or(|kind| kind == "string");
    if let Some(Value::String(text)) = fields.get("default").filter(|_| !is_text) {
        let value: Value = serde_json::from_str(text)?;
        fields.insert("default".to_owned(), value);
    }
    Ok(())
}

/// What is null is as good as not there.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(name, it)| (name.clone(), without_nulls(it))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            other.clone()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn plan(resources: &Value) -> Value {
        json!({ "format_version": "1.2", "resource_changes": resources })
    }

    fn resource(kind: &str, actions: &[&str], before: &Value, after: &Value) -> Value {
        json!({
            "address": format!("{kind}.it"), "mode": "managed", "type": kind, "name": "it",
            "change": {
                "actions": actions, "before": before, "after": after,
                "after_unknown": { "id": true, "impact": true },
            },
        })
    }

    /// The blocks of a resource as its page has them, which is made of its schema: by name, and whether there is
    /// at most one.
    fn blocks(resource: &str) -> Vec<(String, bool)> {
        let page = resource.strip_prefix("lockstep_").unwrap();
        let page = format!("{}/../../docs/resources/{page}.md", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&page).unwrap();
        let own = text.split("<a id=").next().unwrap();
        let block = |line: &str| {
            let (name, rest) = line.strip_prefix("- `")?.split_once("` (Block List")?;
            Some((name.to_owned(), rest.split_once(')')?.0.ends_with("Max: 1")))
        };
        own.lines().filter_map(block).collect()
    }

    #[test]
    fn every_block_of_a_resource_is_read_as_its_schema_has_it() {
        for form in &FORMS {
            for (block, is_single) in blocks(form.resource) {
                let of = format!("block {block} of {}", form.resource);
                assert_eq!(form.single.contains(&block.as_str()), is_single, "{of}");
                let renamed = form.renamed.iter().find(|(name, _)| *name == block);
                let called = renamed.map_or(block.as_str(), |(_, called)| called);
                // The condition of a warehouse's freight is no block of its definition.
                if (form.kind, called) == ("warehouse", "freight") {
                    continue;
                }
                let value = if is_single { json!({}) } else { json!([]) };
                let definition = json!({ "kind": form.kind, "spec": { called: value } });
                let read = serde_json::from_value::<Definition>(definition);
                let wrong = read.err().map(|error| error.to_string()).unwrap_or_default();
                assert!(!wrong.contains("unknown field"), "{of}: {wrong}");
            }
            let there: Vec<String> =
                blocks(form.resource).into_iter().map(|(name, _)| name).collect();
            for single in form.single {
                assert!(
                    there.iter().any(|name| name == single),
                    "{} has no {single}",
                    form.resource
                );
            }
        }
    }

    /// The changes, one a line.
    fn read(plan: &Value) -> String {
        let planned = match changes_of_plan(plan) {
            Ok(planned) => planned,
            Err(why) => return format!("error: {why}"),
        };
        let mut lines = Vec::new();
        for (project, planned) in planned {
            let project = project.unwrap_or_else(|| "-".to_owned());
            for (address, PreviewChange { name, definition, remove }) in planned.changes {
                let verb = if remove { "removes" } else { "writes" };
                let definition = serde_json::to_string(&definition).unwrap_or_default();
                lines.push(format!("{project} {address} {verb} {name}: {definition}"));
            }
            lines.extend(planned.left_out.iter().map(|why| format!("{project} left out {why}")));
        }
        lines.join("\n")
    }

    fn hold(name: &str) -> Value {
        json!({ "id": "x", "project": "shop", "name": name, "reason": "it leaks", "stage": "prod",
            "freight": null, "expires": null, "artifacts": [], "adopt_existing": false })
    }

    #[test]
    fn a_part_of_a_plan_is_refused() {
        let part = json!({ "format_version": "1.2", "errored": true, "resource_changes": [] });
        assert!(read(&part).starts_with("error: planning broke off"), "{}", read(&part));
    }

    #[test]
    fn what_is_written_and_removed_is_read() {
        let resources = json!([
            resource("lockstep_hold", &["create"], &Value::Null, &hold("a")),
            resource("lockstep_hold", &["no-op"], &hold("b"), &hold("b")),
            resource("lockstep_hold", &["delete"], &hold("c"), &Value::Null),
            resource("lockstep_hold", &["delete", "create"], &hold("d"), &hold("e")),
            resource("lockstep_hold", &["delete", "create"], &hold("f"), &hold("f")),
            resource("lockstep_hold", &["update"], &hold("g"), &hold("h")),
            resource("lockstep_hold", &["forget"], &hold("i"), &Value::Null),
            resource("terraform_data", &["create"], &Value::Null, &json!({})),
        ]);
        let told = read(&plan(&resources));
        let told: Vec<&str> = told.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(
            told,
            [
                "shop lockstep_hold.it writes a",
                "shop lockstep_hold.it removes c",
                "shop lockstep_hold.it writes e",
                "shop lockstep_hold.it removes d",
                "shop lockstep_hold.it writes f",
                "shop lockstep_hold.it writes h",
                "shop lockstep_hold.it removes g",
            ]
        );
    }

    #[test]
    fn what_is_in_no_project_is_judged_with_each_of_the_plan() {
        let freeze = json!({ "id": "audit", "name": "audit", "reason": "books close",
            "actions": ["promote"], "window": [], "except": [{ "projects": ["lab"],
                "stages": null, "principals": null, "groups": null }] });
        let create = |kind: &str, after: &Value| resource(kind, &["create"], &Value::Null, after);
        let alone = json!([create("lockstep_instance_freeze", &freeze)]);
        let told = read(&plan(&alone));
        assert!(told.contains("lockstep_instance_freeze.it writes audit"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let mut other = hold("b");
        other["project"] = json!("blog");
        let beside = json!([
            create("lockstep_hold", &hold("a")),
            create("lockstep_instance_freeze", &freeze),
            create("lockstep_hold", &other),
        ]);
        let told = read(&plan(&beside));
        let told: Vec<&str> = told.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(
            told,
            [
                "blog lockstep_hold.it writes b",
                "blog lockstep_instance_freeze.it writes audit",
                "shop lockstep_hold.it writes a",
                "shop lockstep_instance_freeze.it writes audit",
            ]
        );
    }

    #[test]
    fn every_type_is_read_as_its_definition() {
        let policy = json!({
            "id": "shop/prod", "project": "shop", "name": "prod", "mode": "gated", "soak": null,
            "stages": [{ "names": ["prod"] }], "approval": [{ "group": "sre", "count": 2,
                "exclude": null }], "window": [], "infra": [{ "forbid": ["delete"],
                "protect": null, "max_changes": null, "max_deletes": 1, "rule": [
                    { "name": "few", "when": "summary.total < 9", "message": null }] }],
        });
        let stage = json!({
            "name": "prod", "project": null, "choose": "latest", "labels": null, "vars": null,
            "request": [{ "warehouse": "shop", "from": ["dev"], "match": "any" }],
            "steps": [{ "name": "call", "uses": "http",
                "config": r#"{"url":"http://x","control":{"timeout":"5s"}}"# }],
            "verification": [], "deletion_protection": false, "timeouts": null,
            "drift": [{ "every": "6h" }],
        });
        let warehouse = json!({
            "name": "shop", "project": "shop", "interval": "1m", "image": [], "git": [],
            "freight": [{ "require": "true" }], "deletion_protection": false,
        });
        let verification = json!({
            "name": "errors", "project": "shop", "measurements": 3, "interval": "5s",
            "initial_delay": "0s", "failure_limit": 0, "deadline": "1m", "description": null,
            "http": [], "prometheus": [],
        });
        let task = json!({
            "name": "land", "project": "shop", "description": null,
            "steps": [{ "name": "call", "uses": "http", "config": r#"{"url":"{{ inputs.url }}"}"# }],
            "input": [{ "name": "url", "type": "string", "default": "http://x",
                "description": null }],
        });
        let create = |kind: &str, after: Value| resource(kind, &["create"], &Value::Null, &after);
        let plan = plan(&json!([
            create("lockstep_promotion_policy", policy),
            create("lockstep_stage", stage),
            create("lockstep_warehouse", warehouse),
            create("lockstep_verification", verification),
            create("lockstep_promotion_task", task),
        ]));
        insta::assert_snapshot!(read(&plan), @r#"
        - lockstep_stage.it writes prod: {"kind":"stage","spec":{"vars":{},"requests":[{"warehouse":"shop","from":["dev"],"match":"any"}],"steps":[{"name":"call","uses":"http","config":{"url":"http://x"},"control":{"timeout":"5s"}}],"verifications":[],"choose":"latest","labels":{},"deletion_protection":false,"drift":{"every":"6h"}}}
        shop lockstep_promotion_policy.it writes prod: {"kind":"policy","spec":{"mode":"gated","stages":{"names":["prod"]},"soak":null,"settle":null,"max_age":null,"max_wait":null,"max_undo_wait":null,"conditions":[],"windows":[],"rates":[],"approvals":[{"group":"sre","count":2,"exclude":[]}],"infra":{"forbid":["delete"],"protect":[],"max_changes":null,"max_deletes":1,"rules":[{"name":"few","when":"summary.total < 9","message":null}]},"rollback":null,"bypass":[]}}
        shop lockstep_warehouse.it writes shop: {"kind":"warehouse","spec":{"interval":"1m","git":[],"image":[],"require":"true","deletion_protection":false}}
        shop lockstep_verification.it writes errors: {"kind":"verification","spec":{"description":"","initial_delay":"0s","interval":"5s","count":3,"failure_limit":0,"deadline":"1m","http":[],"prometheus":[]}}
        shop lockstep_promotion_task.it writes land: {"kind":"task","spec":{"description":"","inputs":[{"name":"url","type":"string","default":"http://x","description":""}],"steps":[{"name":"call","uses":"http","config":{"url":"{{ inputs.url }}"}}]}}
        "#);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let check = |plan: &Value, expected: &str| {
            let told = read(plan);
            assert!(told.contains(expected), "{told}");
        };
        check(&json!({ "planned_values": {} }), "it is no plan in JSON");
        check(&json!({ "format_version": "2.0" }), "format 2.0 of plans is not known");
        let mut odd = hold("a");
        odd["because"] = json!("newer");
        let odd = resource("lockstep_hold", &["create"], &Value::Null, &odd);
        check(&plan(&json!([odd])), "use the lockstep of the provider's version");
        let mut unknown = resource("lockstep_hold", &["create"], &Value::Null, &hold("a"));
        unknown["change"]["after_unknown"]["artifacts"] = json!([{ "digest": true }]);
        check(&plan(&json!([unknown])), "`artifacts` is known only at the apply");
    }
}
