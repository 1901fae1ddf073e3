//! Create, read, update, delete and import of every type, and the plans in between.

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

const PIPELINE: &str = include_str!("pipeline.tf");

/// Every resource of the pipeline: its address and its id.
const OBJECTS: [(&str, &str); 7] = [
    ("lockstep_project.shop", "shop"),
    ("lockstep_warehouse.shop", "shop/shop"),
    ("lockstep_verification.errors", "shop/errors"),
    ("lockstep_stage.dev", "shop/dev"),
    ("lockstep_stage.prod", "shop/prod"),
    ("lockstep_promotion_policy.dev", "shop/dev"),
    ("lockstep_promotion_policy.prod", "shop/prod"),
];

#[test]
fn nothing_is_left_to_do_after_an_apply() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, PIPELINE);
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 2, "{}", plan.text);
    let unknown = plan.text.matches("(known after apply)").count();
    assert_eq!(unknown, 2, "only the impact of two policies is not known: {}", plan.text);
    terraform.apply();
    terraform.plan_is_empty();
    let warehouse = terraform.attributes("lockstep_warehouse", "shop");
    assert_eq!(warehouse["git"][0]["exclude_paths"], json!([]), "an empty list stays one");
    assert_eq!(warehouse["image"][0]["allow_tags"], json!(null), "nothing stays nothing");
    let stage = terraform.attributes("lockstep_stage", "dev");
    assert_eq!(stage["steps"][3]["config"], "{ \"dir\":   \"infra\" }", "the user's text stays");
    assert_eq!(stage["id"], "shop/dev");
    let policy = terraform.attributes("lockstep_promotion_policy", "prod");
    assert_eq!(policy["impact"], json!([]));
}

#[test]
fn nothing_is_left_to_do_after_an_import() {
    let daemon = Daemon::start();
    Terraform::at(&daemon.endpoint, PIPELINE).apply();
    let imports: String = OBJECTS
        .iter()
        .map(|(address, id)| format!("import {{\n  to = {address}\n  id = \"{id}\"\n}}\n"))
        .collect();
    let exclude = "    exclude_paths = []\n";
    let config = PIPELINE.replace(exclude, "").replace("  labels  = {}\n", "");
    let terraform = Terraform::at(&daemon.endpoint, &format!("{imports}{config}"));
    let plan = terraform.plan(&[]);
    assert!(
        plan.text.contains("7 to import, 0 to add, 0 to change, 0 to destroy"),
        "{}",
        plan.text
    );
    terraform.apply();
    terraform.write(&config);
    terraform.plan_is_empty();
    let policy = terraform.attributes("lockstep_promotion_policy", "prod");
    assert_eq!(policy["impact"], json!(null), "nothing was judged at import");
}

#[test]
fn a_bad_import_id_shows_the_form() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, PIPELINE);
    let run = terraform.run(&["import", "-no-color", "lockstep_stage.dev", "dev"]);
    assert_eq!(run.code, 1);
    let text = run.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("PROJECT/NAME, such as shop/prod"), "{text}");
}

#[test]
fn what_others_change_is_drift_and_put_back() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, PIPELINE);
    terraform.apply();
    daemon.edit(Kind::Policy, "prod", |spec| spec["soak"] = json!("1h"));
    daemon.edit(Kind::Stage, "dev", |spec| spec["steps"][3]["config"]["dir"] = json!("other"));
    // The same in other words is no change.
    daemon.edit(Kind::Policy, "dev", |spec| spec["settle"] = json!(null));
    daemon.edit(Kind::Warehouse, "shop", |spec| {
        spec["interval"] = json!("1m");
        spec["image"].as_array_mut().unwrap().reverse();
    });
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Plan: 0 to add, 2 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    terraform.plan_is_empty();
    assert_eq!(daemon.spec(Kind::Policy, "prod").unwrap()["soak"], "24h");
    assert_eq!(daemon.spec(Kind::Warehouse, "shop").unwrap()["interval"], "1m");
}

#[test]
fn what_is_gone_is_made_again_and_deleting_it_is_no_error() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, PIPELINE);
    terraform.apply();
    daemon.remove(Kind::Policy, "dev");
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Plan: 1 to add, 0 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    daemon.remove(Kind::Policy, "dev");
    let run = terraform.run(&["destroy", "-auto-approve", "-refresh=false", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(daemon.world().objects.is_empty());
}

#[test]
fn a_policy_is_renamed_in_place_and_others_are_replaced() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, PIPELINE);
    terraform.apply();
    let policy = "  name    = \"prod\"\n  mode    = \"gated\"\n  soak    = \"24h\"";
    assert!(PIPELINE.contains(policy));
    let renamed = "  name    = \"prod-gates\"\n  mode    = \"gated\"\n  soak    = \"48h\"";
    terraform.write(&PIPELINE.replace(policy, renamed));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Plan: 0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    terraform.plan_is_empty();
    assert_eq!(daemon.spec(Kind::Policy, "prod"), None);
    assert_eq!(daemon.spec(Kind::Policy, "prod-gates").unwrap()["soak"], "48h");
    let stage = "  name    = \"prod\"\n  labels  = {}";
    assert!(PIPELINE.contains(stage));
    terraform.write(&PIPELINE.replace(stage, "  name    = \"live\"\n  labels  = {}"));
    let plan = terraform.plan(&["-target=lockstep_stage.prod"]);
    assert!(plan.text.contains("forces replacement"), "{}", plan.text);
}

#[test]
fn another_default_project_is_another_object() {
    let daemon = Daemon::start();
    let policy = r#"
        resource "lockstep_promotion_policy" "dev" {
          name = "dev"
          mode = "manual"
          stages { names = ["dev"] }
        }
    "#;
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Project, "blog", json!({}));
    let mut terraform = Terraform::at(&daemon.endpoint, policy);
    terraform.apply();
    assert_eq!(terraform.attributes("lockstep_promotion_policy", "dev")["project"], "shop");
    terraform.set("LOCKSTEP_PROJECT", "blog");
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("forces replacement"), "{}", plan.text);
    assert!(plan.text.contains("\"shop/dev\" -> \"blog/dev\""), "{}", plan.text);
}

#[test]
fn what_was_seen_can_be_read() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "shop" }] }));
    let terraform = Terraform::at(
        &daemon.endpoint,
        r#"
        data "lockstep_stage" "dev" { name = "dev" }
        output "waiting" { value = data.lockstep_stage.dev.waiting[0].message }
        output "promotion" { value = data.lockstep_stage.dev.promotion == null }
        "#,
    );
    terraform.apply();
    assert_eq!(terraform.state()["outputs"]["waiting"]["value"], "no freight is available");
    terraform.write(r#"data "lockstep_freight" "new" { warehouse = "shop" }"#);
    let text = terraform.apply_fails();
    assert!(text.contains("Project shop has no freight of warehouse shop yet"), "{text}");
    terraform.write(r#"data "lockstep_stage" "gone" { name = "gone" }"#);
    let text = terraform.apply_fails();
    assert!(text.contains("There is no stage shop/gone"), "{text}");
}
