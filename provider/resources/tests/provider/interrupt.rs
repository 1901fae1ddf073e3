//! Ctrl-C: what waits stops at once, and the state says what is true.

use std::sync::mpsc::channel;
use std::time::Duration;

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

const OBJECTS: &str = r#"
resource "lockstep_project" "quick" { name = "quick" }
resource "lockstep_project" "slow" {
  name       = "slow"
  depends_on = [lockstep_project.quick]
}
"#;

/// How long a run may take to stop: far less than a request may take.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn an_interrupted_write_stops_and_what_was_done_is_kept() {
    let daemon = Daemon::start();
    let (arrived, arrivals) = channel();
    daemon.world().hang = Some(("PUT /v1/projects/slow".to_owned(), arrived));
    let mut terraform = Terraform::at(&daemon.endpoint, OBJECTS);
    terraform.set("LOCKSTEP_REQUEST_TIMEOUT", "10m");
    let running = terraform.start(&["apply", "-auto-approve", "-no-color"]);
    arrivals.recv().unwrap();
    let run = running.interrupt(STOPS_WITHIN);
    assert_eq!(run.code, 1, "{}", run.text);
    let text = run.text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["Interrupted: create project slow", "It may have been done nevertheless"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let state = terraform.state();
    let names: Vec<&str> = state["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert_eq!(names, ["quick"]);
    daemon.world().hang = None;
    terraform.apply();
    terraform.plan_is_empty();
}

#[test]
fn an_interrupted_refresh_stops_at_once() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "quick", json!({}));
    let mut terraform = Terraform::at(
        &daemon.endpoint,
        "resource \"lockstep_project\" \"quick\" { name = \"quick\" }\nimport {\n  to = \
         lockstep_project.quick\n  id = \"quick\"\n}",
    );
    let (arrived, arrivals) = channel();
    daemon.world().hang = Some(("GET /v1/projects/quick".to_owned(), arrived));
    terraform.set("LOCKSTEP_REQUEST_TIMEOUT", "10m");
    let running = terraform.start(&["plan", "-no-color"]);
    arrivals.recv().unwrap();
    let run = running.interrupt(STOPS_WITHIN);
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.text.contains("Interrupted: read project quick"), "{}", run.text);
}

#[test]
fn an_interrupted_apply_tells_what_it_could_not_foresee() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let policy = |stages: &str| {
        format!(
            "resource \"lockstep_promotion_policy\" \"prod\" {{\n  name = \"prod\"\n  mode = \
             \"manual\"\n  stages {{ names = [\"{stages}\"] }}\n}}\n"
        )
    };
    let mut terraform = Terraform::at(&daemon.endpoint, &policy("prod"));
    terraform.apply();
    terraform.write(&policy("prod*"));
    assert_eq!(terraform.plan(&[]).code, 2);
    let (arrived, arrivals) = channel();
    daemon.world().hang = Some(("POST /v1/projects/shop/preview".to_owned(), arrived));
    terraform.set("LOCKSTEP_REQUEST_TIMEOUT", "10m");
    let running = terraform.start(&["apply", "-no-color", "plan.out"]);
    arrivals.recv().unwrap();
    let run = running.interrupt(STOPS_WITHIN);
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.text.contains("Interrupted: preview policy shop/prod"), "{}", run.text);
    assert!(!run.text.contains("inconsistent"), "{}", run.text);
}

#[test]
fn a_rename_that_is_cut_off_keeps_the_new_name() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let policy = |name: &str, stages: &str| {
        format!(
            "resource \"lockstep_promotion_policy\" \"it\" {{\n  name = \"{name}\"\n  mode = \
             \"manual\"\n  stages {{ names = [\"{stages}\"] }}\n}}\n"
        )
    };
    let mut terraform = Terraform::at(&daemon.endpoint, &policy("prod", "prod"));
    terraform.apply();
    terraform.write(&policy("gates", "prod*"));
    let (arrived, arrivals) = channel();
    daemon.world().hang = Some(("PUT /v1/projects/shop/policies/gates".to_owned(), arrived));
    terraform.set("LOCKSTEP_REQUEST_TIMEOUT", "10m");
    let running = terraform.start(&["apply", "-auto-approve", "-no-color"]);
    arrivals.recv().unwrap();
    let run = running.interrupt(STOPS_WITHIN);
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.text.contains("Interrupted: update policy shop/gates"), "{}", run.text);
    daemon.world().hang = None;
    assert_eq!(terraform.attributes("lockstep_promotion_policy", "it")["id"], "shop/gates");
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Plan: 0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    terraform.plan_is_empty();
}
