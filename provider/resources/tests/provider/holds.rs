//! Holds: what is wrong with one before it is sent, and its life.

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

const HOLDS: &str = r#"
resource "lockstep_project" "shop" {
  name = "shop"
}

resource "lockstep_hold" "cve" {
  project = lockstep_project.shop.name
  name    = "cve"
  reason  = "it leaks"
  expires = "2030-01-01T01:00:00+01:00"

  artifacts {
    subscription   = "api"
    version        = ">= 1.4.0, < 1.4.3"
    committed_from = "2026-01-01T00:00:00Z"
  }
}

resource "lockstep_hold" "freight" {
  project = lockstep_project.shop.name
  name    = "freight"
  reason  = "broken"
  freight = "3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d"
}
"#;

#[test]
fn a_hold_lives_and_is_lifted() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, HOLDS);
    terraform.apply();
    let sent = daemon.spec(Kind::Hold, "cve").unwrap();
    assert_eq!(sent["expires"], "2030-01-01T00:00:00Z");
    // The daemon says the same in its own words.
    daemon.edit(Kind::Hold, "cve", |spec| {
        spec["artifacts"]["version"] = json!(">=1.4.0,<1.4.3");
    });
    terraform.plan_is_empty();
    terraform.write(&HOLDS.replace("it leaks", "it leaks a lot"));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    assert_eq!(daemon.spec(Kind::Hold, "cve").unwrap()["reason"], "it leaks a lot");
    let run = terraform.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert_eq!(daemon.spec(Kind::Hold, "cve"), None);
}

#[test]
fn a_hold_is_imported_as_it_is() {
    let daemon = Daemon::start();
    Terraform::at(&daemon.endpoint, HOLDS).apply();
    let import =
        |name: &str| format!("import {{\n to = lockstep_hold.{name}\n id = \"shop/{name}\"\n}}\n");
    let project = "import {\n to = lockstep_project.shop\n id = \"shop\"\n}\n";
    let config = format!("{project}{}{}{HOLDS}", import("cve"), import("freight"));
    let terraform = Terraform::at(&daemon.endpoint, &config);
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("3 to import, 0 to add, 0 to change"), "{}", plan.text);
    terraform.apply();
    terraform.plan_is_empty();
}

#[test]
fn what_a_hold_cannot_be_is_told_at_its_place() {
    let hold = |rest: &str| {
        format!(
            "resource \"lockstep_hold\" \"x\" {{\n  name = \"x\"\n  reason = \"y\"\n{rest}\n}}\n"
        )
    };
    let check = |rest: &str, expected: &[&str]| {
        let mut told = Terraform::new(&hold(rest)).validate();
        told.sort();
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told} is not {expected}");
        }
    };
    check("", &["Nothing to hold"]);
    check(
        "  stage = \"prod\"\n  artifacts {\n    version = \"1.x\"\n  }",
        &["A hold stops one thing"],
    );
    check("  artifacts {\n    verison = \"1.x\"\n  }", &["Unsupported argument"]);
    check("  artifacts {\n  }", &["No artifacts are named"]);
    check(
        "  freight = \"3f2a\"\n  expires = \"tomorrow\"",
        &[
            "error at `expires = \"tomorrow\"`: Invalid value: \"tomorrow\" is not an instant",
            "error at `freight = \"3f2a\"`: Invalid value: \"3f2a\" is not a freight id",
        ],
    );
    check(
        "  artifacts {\n    committed_from = \"2026-01-02T00:00:00Z\"\n    committed_until = \
         \"2026-01-01T00:00:00Z\"\n    commit = \"xyz\"\n  }",
        &["\"xyz\" is not a commit", "It is before `committed_from`"],
    );
}

#[test]
fn a_stage_that_nothing_has_is_told_at_plan() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({ "description": "", "labels": {} }));
    let config = "resource \"lockstep_hold\" \"x\" {\n  name = \"x\"\n  reason = \"y\"\n  stage = \"prdo\"\n}\n";
    let terraform = Terraform::at(&daemon.endpoint, config);
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    assert!(plan.text.contains("There is no stage \"prdo\" in project \"shop\""), "{}", plan.text);
}
