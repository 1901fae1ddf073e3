//! References between objects: of one run, of the live world, and to nothing.

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

fn stage(name: &str, warehouse: &str, from: &str) -> String {
    format!(
        "resource \"lockstep_stage\" \"{name}\" {{\n  name = \"{name}\"\n  request {{\n    \
         warehouse = {warehouse}\n    from      = [{from}]\n  }}\n}}\n"
    )
}

const WAREHOUSE: &str = r#"
    resource "lockstep_warehouse" "shop" {
      name = "shop"
      git {
        name   = "infra"
        repo   = "https://git.example.com/infra.git"
        branch = "main"
      }
    }
"#;

const REFERENCE: &str = "lockstep_warehouse.shop.name";

/// A daemon with a project, a warehouse, and the stages dev and staging behind each other.
fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Warehouse, "live", json!({ "git": [] }));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "live" }] }));
    let request = json!({ "warehouse": "live", "from": ["dev"] });
    daemon.put(Kind::Stage, "staging", json!({ "requests": [request] }));
    daemon
}

#[test]
fn a_reference_to_nothing_is_an_error_at_its_attribute() {
    let daemon = daemon();
    let config = stage("prod", "\"live\"", "\"stagin\"");
    let plan = Terraform::at(&daemon.endpoint, &config).plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    for part in [
        "Error: Unknown stage",
        "from = [\"stagin\"]",
        "There is no stage \"stagin\" in project \"shop\". Did you mean \"staging\"? There are: \
         dev, prod, staging.",
    ] {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
}

#[test]
fn what_this_run_creates_first_is_there() {
    let daemon = daemon();
    // The daemon alone would refuse what refers to a warehouse that is not there yet.
    let unknown = FieldProblem::new(
        "requests[0].warehouse",
        FieldCode::UnknownWarehouse,
        "there is no warehouse \"shop\"",
    );
    daemon.world().problems.insert("test".to_owned(), vec![unknown]);
    let config = format!("{WAREHOUSE}{}", stage("test", REFERENCE, ""));
    let terraform = Terraform::at(&daemon.endpoint, &config);
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 2, "{}", plan.text);
    terraform.apply();
    let more = stage("late", REFERENCE, "lockstep_stage.test.name");
    terraform.write(&format!("{config}{more}"));
    terraform.apply();
    terraform.plan_is_empty();
}

#[test]
fn a_circle_is_spelled_out() {
    let daemon = daemon();
    let config = stage("dev", "\"live\"", "\"staging\"");
    let import = "import {\n  to = lockstep_stage.dev\n  id = \"shop/dev\"\n}\n";
    let plan = Terraform::at(&daemon.endpoint, &format!("{import}{config}")).plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    let circle = "The stages would wait for each other in a circle: dev -> staging -> dev.";
    assert!(plan.text.contains(circle), "{}", plan.text);
}

#[test]
fn problems_of_the_daemon_are_told_at_their_attribute() {
    let daemon = daemon();
    let problem = FieldProblem::new(
        "requests[0].from[0]",
        FieldCode::Invalid,
        "stage staging does not request warehouse live, so its freight never gets there",
    )
    .with_hint("request it there first");
    daemon.world().problems.insert("prod".to_owned(), vec![problem]);
    let config = stage("prod", "\"live\"", "\"staging\"");
    let plan = Terraform::at(&daemon.endpoint, &config).plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    for part in ["Error: Invalid stage", "from = [\"staging\"]", "Request it there first."] {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
}

#[test]
fn a_project_that_is_not_there_is_told() {
    let daemon = Daemon::start();
    let plan = Terraform::at(&daemon.endpoint, WAREHOUSE).plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    assert!(plan.text.contains("There is no project \"shop\""), "{}", plan.text);
    let mut terraform = Terraform::at(&daemon.endpoint, WAREHOUSE);
    terraform.set("LOCKSTEP_PROJECT", "");
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Error: Missing project"), "{}", plan.text);
}

#[test]
fn typing_errors_are_found_in_a_project_that_this_run_creates() {
    let daemon = Daemon::start();
    let project = "resource \"lockstep_project\" \"shop\" {\n  name = \"shop\"\n}\n";
    let warehouse = WAREHOUSE
        .replace("name = \"shop\"", "name = \"shop\"\n project = lockstep_project.shop.name");
    let good = stage("dev", REFERENCE, "")
        .replace("  request", "  project = lockstep_project.shop.name\n  request");
    let bad = stage("prod", REFERENCE, "\"deb\"")
        .replace("  request", "  project = lockstep_stage.dev.project\n  request");
    let terraform = Terraform::at(&daemon.endpoint, &format!("{project}{warehouse}{good}{bad}"));
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    assert!(plan.text.contains("There is no stage \"deb\""), "{}", plan.text);
    assert!(plan.text.contains("Did you mean \"dev\"?"), "{}", plan.text);
    assert_eq!(plan.text.matches("Error:").count(), 1, "{}", plan.text);
}
