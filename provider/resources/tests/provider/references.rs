//! References between objects: of one run, of the live world, and to nothing.

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{Kind, PreviewWarning};
use serde_json::{Value as Json, json};

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

#[test]
fn a_pattern_that_selects_nothing_is_warned_of() {
    let daemon = daemon();
    let config = r#"
        resource "lockstep_promotion_policy" "prod" {
          name = "prod"
          mode = "manual"
          stages { names = ["de*", "stagin"] }
        }
        resource "lockstep_freeze" "year_end" {
          name   = "year-end"
          reason = "a test"
          except { stages = ["staging", "prod-*"] }
        }
    "#;
    let terraform = Terraform::at(&daemon.endpoint, config);
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 2, "{}", plan.text);
    assert!(plan.text.contains("Warning: Selects no stage"), "{}", plan.text);
    let told: Vec<String> = warned(&terraform);
    assert_eq!(told.len(), 2, "{told:?}");
    for part in [
        "stages { names = [\"de*\", \"stagin\"] }: No stage of project \"shop\" matches \"stagin\". Did you mean \
         \"staging\"?",
        "except { stages = [\"staging\", \"prod-*\"] }: No stage of project \"shop\" matches \"prod-*\". There are: \
         dev, staging.",
    ] {
        assert!(told.iter().any(|told| told.contains(part)), "{part}: {told:?}");
    }
    // What this run plans first counts.
    let prod = stage("prod", "\"live\"", "\"dev\"");
    let policy = config.replace("\"stagin\"", "lockstep_stage.prod.name");
    let freeze = "reason = \"a test\"";
    let policy = policy.replace(freeze, &format!("{freeze}\n depends_on = [lockstep_stage.prod]"));
    terraform.write(&format!("{prod}{}", policy.replace("prod-*", "pro*")));
    assert_eq!(warned(&terraform), [""; 0]);
}

#[test]
fn wildcards_in_a_project_without_stages_are_no_mistake() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let config = r#"
        resource "lockstep_promotion_policy" "all" {
          name = "all"
          mode = "manual"
          stages { names = ["*", "prod-?", "prod"] }
        }
    "#;
    let told = warned(&Terraform::at(&daemon.endpoint, config));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("No stage of project \"shop\" matches \"prod\"."), "{told:?}");
}

/// The warnings of a plan: the code that they are at, and what they say.
fn warned(terraform: &Terraform) -> Vec<String> {
    let run = terraform.run(&["plan", "-json"]);
    let lines = run.text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let told = lines.filter_map(|line| line.get("diagnostic").cloned());
    let warnings = told.filter(|it| it["severity"] == "warning");
    let ours =
        warnings.filter(|it| it["summary"] != "Provider development overrides are in effect");
    ours.map(|it| {
        let code = it["snippet"]["code"].as_str().unwrap_or_default().trim().to_owned();
        format!("{code}: {}", it["detail"].as_str().unwrap_or_default())
    })
    .collect()
}

#[test]
fn a_promotion_to_no_stage_is_told_in_the_plan() {
    let daemon = daemon();
    let promotion = |stage: &str| {
        format!(
            "resource \"lockstep_promotion\" \"it\" {{\n  stage  = {stage}\n  newest = true\n}}\n"
        )
    };
    let terraform = Terraform::at(&daemon.endpoint, &promotion("\"stagin\""));
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    for part in ["Error: Unknown stage", "stage = \"stagin\"", "Did you mean \"staging\"?"] {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
    let new = stage("new", "\"live\"", "");
    terraform.write(&format!("{new}{}", promotion("lockstep_stage.new.name")));
    assert_eq!(terraform.plan(&[]).code, 2);
}

/// A stage and its policy, both new.
fn pair() -> String {
    let stage = stage("qa", "\"live\"", "\"dev\"");
    let policy = r#"
        resource "lockstep_promotion_policy" "qa" {
          name = "qa"
          mode = "automatic"
          stages { names = [lockstep_stage.qa.name] }
        }
    "#;
    format!("{stage}{policy}")
}

fn warning(path: &str, summary: &str, detail: &str) -> PreviewWarning {
    PreviewWarning { path: path.to_owned(), summary: summary.to_owned(), detail: detail.to_owned() }
}

#[test]
fn what_changes_do_together_is_told_once() {
    let daemon = daemon();
    {
        let mut world = daemon.world();
        world.warnings = vec![warning("", "said of each", "by itself")];
        let together = [
            warning("changes[0].requests", "promotes freight", "freight f1 to stage qa"),
            warning("changes[1].mode", "of the policy", "with its stage"),
            warning("changes[1]", "said of each", "by itself"),
        ];
        world.together.0 = together.to_vec();
    }
    let terraform = Terraform::at(&daemon.endpoint, &pair());
    let mut told = warned(&terraform);
    told.sort();
    let expected = [
        "mode = \"automatic\": With its stage.",
        "resource \"lockstep_promotion_policy\" \"qa\" {: By itself.",
        "resource \"lockstep_promotion_policy\" \"qa\" {: Freight f1 to stage qa.\n\nSo it is \
         together with stage shop/qa, which this run changes.",
        "resource \"lockstep_stage\" \"qa\" {: By itself.",
    ];
    assert_eq!(told, expected);
    assert_eq!(daemon.world().sets, [["stage qa", "policy qa"]]);
    terraform.apply();
    terraform.plan_is_empty();
}

#[test]
fn what_is_told_of_a_renamed_policy_is_told_once() {
    let daemon = daemon();
    let own = |name: &str| {
        pair()
            .replace("name = \"qa\"\n          mode", &format!("name = \"{name}\"\n          mode"))
    };
    let terraform = Terraform::at(&daemon.endpoint, &own("qa"));
    terraform.apply();
    daemon.world().warnings = vec![warning("mode", "waits", "from 2026-01-02T03:04:05Z on")];
    let later = "from 2026-01-02T03:04:06Z on";
    daemon.world().together.0 = vec![warning("changes[1].mode", "waits", later)];
    let stage = "warehouse = \"live\"";
    let config = own("gates").replace(stage, "warehouse = \"other\"");
    terraform.write(&config.replace("\"automatic\"", "\"gated\""));
    daemon.put(Kind::Warehouse, "other", json!({ "git": [] }));
    let told = warned(&terraform);
    let of_policy: Vec<&String> = told.iter().filter(|it| it.starts_with("mode")).collect();
    assert_eq!(of_policy.len(), 1, "{told:?}");
    assert_eq!(daemon.world().sets.last().unwrap(), &["stage qa", "policy qa"]);
}

#[test]
fn problems_beside_what_this_run_creates_are_told() {
    let daemon = daemon();
    let alone = FieldProblem::new("requests[0]", FieldCode::Invalid, "alone it cannot stand");
    daemon.world().problems.insert("test".to_owned(), vec![alone]);
    let config = format!("{WAREHOUSE}{}", stage("test", REFERENCE, "\"dev\""));
    let terraform = Terraform::at(&daemon.endpoint, &config);
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 2, "what is not so together is no problem: {}", plan.text);
    assert_eq!(daemon.world().sets, [["warehouse shop", "stage test"]]);
    let place = "changes[1].requests[0].from[0]";
    let never = FieldProblem::new(place, FieldCode::Invalid, "its freight never gets there");
    daemon.world().together.1 = vec![never];
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    for part in ["Error: Invalid stage", "from = [\"dev\"]", "Its freight never gets there."] {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
}
