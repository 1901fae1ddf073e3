//! Deletion protection, its default, and taking over what exists.

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

/// A stage and the provider, each with these settings.
fn stage(provider: &str, name: &str, settings: &str) -> String {
    format!(
        r#"
        provider "lockstep" {{ {provider} }}
        resource "lockstep_stage" "prod" {{
          name = "{name}"
          {settings}
          request {{ warehouse = "shop" }}
        }}
        "#
    )
}

/// A daemon that has the project and the warehouse.
fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Warehouse, "shop", json!({}));
    daemon
}

fn is_protected(daemon: &Daemon) -> bool {
    daemon.spec(Kind::Stage, "prod").unwrap()["deletion_protection"] == true
}

const PROTECTED: &str = "deletion_protection = true";
const UNPROTECTED: &str = "deletion_protection = false";

#[test]
fn what_is_protected_is_neither_destroyed_nor_replaced() {
    let daemon = daemon();
    let terraform = Terraform::at(&daemon.endpoint, &stage("", "prod", PROTECTED));
    terraform.apply();
    terraform.plan_is_empty();
    let refused = |arguments: &[&str], parts: &[&str]| {
        let plan = terraform.plan(arguments);
        assert_eq!(plan.code, 1, "{}", plan.text);
        assert_eq!(plan.text.matches("Error:").count(), 1, "{}", plan.text);
        for part in parts.iter().chain(&["Stage is protected from deletion"]) {
            assert!(plan.text.contains(part), "{part}: {}", plan.text);
        }
    };
    refused(&["-destroy"], &["would destroy stage shop/prod", "`deletion_protection = false`"]);
    terraform.write(&stage("", "live", PROTECTED));
    refused(&[], &["Another `name` would replace stage shop/prod", "name = \"live\""]);
    // Lifting it and using that in the same run would leave nobody a chance to object.
    terraform.write(&stage("", "live", UNPROTECTED));
    refused(&[], &["apply that by itself"]);
    terraform.write("");
    refused(&[], &["would destroy stage shop/prod"]);
    // What the client does not tell the provider, the daemon refuses.
    terraform.write(&stage("", "prod", PROTECTED));
    let run =
        terraform.run(&["apply", "-auto-approve", "-no-color", "-replace=lockstep_stage.prod"]);
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.text.contains("is protected from deletion"), "{}", run.text);
    assert!(is_protected(&daemon));

    terraform.write(&stage("", "prod", UNPROTECTED));
    terraform.apply();
    let run = terraform.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert_eq!(daemon.spec(Kind::Stage, "prod"), None);
}

#[test]
fn the_provider_has_a_default_that_an_object_overrules() {
    let daemon = daemon();
    let terraform = Terraform::at(&daemon.endpoint, &stage("", "prod", ""));
    let planned = |code: i32| {
        let plan = terraform.plan(&[]);
        assert_eq!(plan.code, code, "{}", plan.text);
        let change = &terraform.show_plan()["resource_changes"][0]["change"];
        change["after"]["deletion_protection"].clone()
    };
    assert_eq!(planned(2), json!(false), "known at plan");
    terraform.apply();
    terraform.write(&stage(PROTECTED, "prod", ""));
    assert_eq!(planned(2), json!(true), "the default is for what is there, too");
    terraform.apply();
    terraform.plan_is_empty();
    assert!(is_protected(&daemon));
    // Without a default it stays as it is: leaving a line out lifts no protection.
    terraform.write(&stage("", "prod", ""));
    terraform.plan_is_empty();
    terraform.write(&stage(PROTECTED, "prod", UNPROTECTED));
    terraform.apply();
    terraform.plan_is_empty();
    assert!(!is_protected(&daemon));
}

#[test]
fn an_import_of_something_protected_leaves_nothing_to_do() {
    let daemon = daemon();
    let spec = json!({ "requests": [{ "warehouse": "shop" }], "deletion_protection": true });
    daemon.put(Kind::Stage, "prod", spec);
    let import = "import {\n  to = lockstep_stage.prod\n  id = \"shop/prod\"\n}\n";
    let config = stage("", "prod", "");
    let terraform = Terraform::at(&daemon.endpoint, &format!("{import}{config}"));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("1 to import, 0 to add, 0 to change"), "{}", plan.text);
    terraform.apply();
    terraform.plan_is_empty();
    assert_eq!(terraform.attributes("lockstep_stage", "prod")["deletion_protection"], true);
}

#[test]
fn what_exists_is_taken_over_only_if_asked_and_said() {
    let daemon = daemon();
    let theirs = json!({ "requests": [{ "warehouse": "shop" }], "labels": { "tier": "1" } });
    daemon.put(Kind::Stage, "prod", theirs.clone());
    let terraform = Terraform::at(&daemon.endpoint, &stage("", "prod", ""));
    let text = terraform.apply_fails();
    for part in [
        "Stage exists already",
        "import { to = lockstep_stage.prod id = \"shop/prod\" }",
        "`adopt_existing`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(daemon.spec(Kind::Stage, "prod"), Some(theirs));

    let mut terraform = Terraform::at(&daemon.endpoint, &stage("", "prod", ""));
    terraform.set("LOCKSTEP_ADOPT_EXISTING", "true");
    let run = terraform.apply();
    let text = run.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        text.matches("Warning: Stage shop/prod existed and is adopted").count(),
        1,
        "{text}"
    );
    for part in ["bob defined it last at 2026-01-02T03:04:05Z", "Changed for that: `labels`."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    terraform.plan_is_empty();
    assert_eq!(daemon.spec(Kind::Stage, "prod").unwrap()["labels"], json!({}));
    // What it makes itself it does not talk about.
    daemon.remove(Kind::Stage, "prod");
    assert!(!terraform.apply().text.contains("adopted"));
}

#[test]
fn what_is_protected_is_taken_over_only_with_a_word_about_that() {
    let daemon = daemon();
    let theirs = json!({ "requests": [{ "warehouse": "shop" }], "deletion_protection": true });
    daemon.put(Kind::Stage, "prod", theirs.clone());
    let adopt = "adopt_existing = true";
    let terraform = Terraform::at(&daemon.endpoint, &stage(adopt, "prod", ""));
    let text = terraform.apply_fails();
    for part in ["Stage is protected from deletion", "Write `deletion_protection = true` down"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(daemon.spec(Kind::Stage, "prod"), Some(theirs.clone()));
    for (provider, settings, protected) in [
        (adopt.to_owned(), PROTECTED, true),
        (format!("\n{adopt}\n{PROTECTED}\n"), "", true),
        (adopt.to_owned(), UNPROTECTED, false),
    ] {
        daemon.put(Kind::Stage, "prod", theirs.clone());
        let terraform = Terraform::at(&daemon.endpoint, &stage(&provider, "prod", settings));
        assert!(terraform.apply().text.contains("existed and is adopted"));
        assert_eq!(is_protected(&daemon), protected, "{provider} {settings}");
    }
}
