//! Other people, wrong tokens, and a daemon that is not there.

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

fn policy(soak: &str) -> String {
    format!(
        r#"
        resource "lockstep_promotion_policy" "prod_gates" {{
          name = "prod-gates"
          mode = "gated"
          soak = "{soak}"
          stages {{ names = ["prod"] }}
        }}
        "#
    )
}

#[test]
fn an_object_of_somebody_else_is_not_taken_over() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let spec = json!({ "mode": "manual", "stages": { "names": ["prod"] } });
    daemon.put(Kind::Policy, "prod-gates", spec.clone());
    let terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    let text = terraform.apply_fails();
    let import = "import { to = lockstep_promotion_policy.prod_gates id = \"shop/prod-gates\" }";
    assert!(text.contains("Policy exists already") && text.contains(import), "{text}");
    assert_eq!(daemon.spec(Kind::Policy, "prod-gates"), Some(spec));
}

#[test]
fn a_change_of_somebody_else_is_not_overwritten() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    terraform.apply();
    terraform.write(&policy("2h"));
    assert_eq!(terraform.plan(&[]).code, 2);
    daemon.edit(Kind::Policy, "prod-gates", |spec| spec["soak"] = json!("9h"));
    let run = terraform.run(&["apply", "-no-color", "plan.out"]);
    assert_eq!(run.code, 1, "{}", run.text);
    for part in [
        "is at generation 2, not 1: bob",
        "What differs from the state: `soak` (\"1h\" -> \"9h\").",
        "Plan again",
    ] {
        assert!(run.text.contains(part), "{part}: {}", run.text);
    }
    assert_eq!(daemon.spec(Kind::Policy, "prod-gates").unwrap()["soak"], "9h");
    let destroy = ["destroy", "-auto-approve", "-refresh=false", "-no-color"];
    let run = terraform.run(&destroy);
    assert_eq!(run.code, 1, "{}", run.text);
    terraform.apply();
    assert_eq!(daemon.spec(Kind::Policy, "prod-gates").unwrap()["soak"], "2h");
}

#[test]
fn a_wrong_token_is_told_once_at_its_attribute() {
    let daemon = Daemon::start();
    let mut terraform = Terraform::at(
        &daemon.endpoint,
        &format!("provider \"lockstep\" {{\n  token = \"wrong\"\n}}\n{}", policy("1h")),
    );
    terraform.set("LOCKSTEP_TOKEN", "");
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1);
    assert_eq!(plan.text.matches("Error:").count(), 1, "{}", plan.text);
    for part in ["Token is not accepted", "token = \"wrong\"", "neither revoked nor expired"] {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
}

#[test]
fn a_plan_does_without_a_daemon() {
    let terraform = Terraform::at("http://127.0.0.1:1", &policy("1h"));
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 2, "{}", plan.text);
    assert_eq!(plan.text.matches("Warning: Lockstep is not reachable").count(), 1, "{}", plan.text);
    let text = terraform.apply_fails();
    assert!(text.contains("Cannot reach lockstepd at http://127.0.0.1:1"), "{text}");
}

#[test]
fn a_plan_does_without_the_providers_configuration() {
    let terraform = Terraform::new(&format!(
        r#"
        resource "terraform_data" "late" {{}}
        provider "lockstep" {{
          endpoint = terraform_data.late.id
          token    = "t"
          project  = "shop"
        }}
        {}
        "#,
        policy("1h")
    ));
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 2, "{}", plan.text);
    assert!(plan.text.contains("Provider configuration is not known yet"), "{}", plan.text);
}

#[test]
fn a_state_that_cannot_be_read_now_stays_as_it_was() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let mut terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    terraform.apply();
    let before = terraform.state();
    let endpoint = daemon.endpoint.clone();
    drop(daemon);
    terraform.set("LOCKSTEP_ENDPOINT", &endpoint);
    let run = terraform.apply();
    assert_eq!(run.text.matches("Warning: Lockstep is not reachable").count(), 1, "{}", run.text);
    assert_eq!(terraform.state(), before, "nothing is gone because nobody answers");
    terraform.write(&policy("2h"));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Plan: 0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
}
