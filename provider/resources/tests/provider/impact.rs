//! The effect on live freight: in the plan, and the same when the plan is applied.

use reconciler_api::v1::{Effect, EffectKind, Kind, PreviewWarning};
use serde_json::{Value as Json, json};

use crate::daemon::Daemon;
use crate::terraform::Terraform;

fn policy(soak: &str) -> String {
    format!(
        r#"
        resource "lockstep_promotion_policy" "prod" {{
          name = "prod"
          mode = "gated"
          soak = "{soak}"
          stages {{ names = ["prod"] }}
        }}
        "#
    )
}

fn effect(freight: &str) -> Effect {
    Effect {
        stage: "prod".to_owned(),
        freight: Some(freight.to_owned()),
        promotion: None,
        effect: EffectKind::BecomesBlocked,
        reason: "the soak of 24h has not passed".to_owned(),
        until: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    }
}

fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon
}

fn planned_impact(terraform: &Terraform) -> Json {
    let plan = terraform.show_plan();
    plan["resource_changes"][0]["change"]["after"]["impact"].clone()
}

fn freights(impact: &Json) -> Vec<&str> {
    let effects = impact.as_array().map_or(&[][..], Vec::as_slice);
    effects.iter().map(|effect| effect["freight"].as_str().unwrap()).collect()
}

#[test]
fn an_update_shows_its_impact_and_applies_it_though_the_world_moves() {
    let daemon = daemon();
    daemon.world().effects.insert(1, vec![effect("f1")]);
    let terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    terraform.apply();
    let state = terraform.attributes("lockstep_promotion_policy", "prod");
    assert_eq!(freights(&state["impact"]), ["f1"], "asked just before it was created");

    terraform.write(&policy("24h"));
    assert_eq!(terraform.plan(&[]).code, 2);
    let planned = planned_impact(&terraform);
    assert_eq!(
        planned,
        json!([{
            "effect": "becomes_blocked", "stage": "prod", "freight": "f1", "promotion": null,
            "reason": "the soak of 24h has not passed", "until": "2026-01-02T03:04:05Z",
        }])
    );

    // More freight comes in before the saved plan is applied. The daemon would now answer
    // otherwise, except as of the token that the plan was made with.
    let token = daemon.event();
    daemon.world().effects.insert(token, vec![effect("f1"), effect("f2")]);
    let run = terraform.run(&["apply", "-no-color", "plan.out"]);
    assert_eq!(run.code, 0, "{}", run.text);
    let state = terraform.attributes("lockstep_promotion_policy", "prod");
    assert_eq!(state["impact"], planned, "what was applied is what was planned");

    // The world alone makes no difference; the next change is judged against what is there now.
    terraform.plan_is_empty();
    terraform.write(&policy("48h"));
    assert_eq!(terraform.plan(&[]).code, 2);
    assert_eq!(freights(&planned_impact(&terraform)), ["f1", "f2"]);
}

#[test]
fn a_token_that_moves_alone_is_no_change() {
    let daemon = daemon();
    let terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    terraform.apply();
    terraform.plan_is_empty();
    let before = terraform.instance("lockstep_promotion_policy", "prod");
    daemon.event();
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 0, "{}", plan.text);
    assert!(plan.text.contains("No changes."), "{}", plan.text);
    let plan = terraform.plan(&["-refresh-only"]);
    assert!(plan.text.contains("No changes."), "{}", plan.text);
    // An apply without changes still keeps the newer token.
    terraform.apply();
    let after = terraform.instance("lockstep_promotion_policy", "prod");
    assert_eq!(before["attributes"], after["attributes"]);
    assert_ne!(before["private"], after["private"]);
}

#[test]
fn a_create_warns_of_what_is_known() {
    let daemon = daemon();
    daemon.world().effects.insert(1, vec![effect("f1")]);
    daemon.world().warnings = vec![PreviewWarning {
        path: "stages.names[0]".to_owned(),
        summary: "starts a promotion".to_owned(),
        detail: "freight f1 would be promoted to prod at apply".to_owned(),
    }];
    let terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    let plan = terraform.plan(&[]);
    for part in [
        "Warning: Starts a promotion",
        "stages { names = [\"prod\"] }",
        "Freight f1 would be promoted to prod at apply.",
        "+ impact = (known after apply)",
    ] {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
}

#[test]
fn nothing_is_asked_when_nothing_changes() {
    let daemon = daemon();
    let terraform = Terraform::at(&daemon.endpoint, &policy("1h"));
    terraform.apply();
    daemon.world().asked.clear();
    terraform.plan_is_empty();
    assert_eq!(daemon.world().asked, []);
    terraform.write(&policy("2h"));
    terraform.plan(&[]);
    assert_eq!(daemon.world().asked, [("prod".to_owned(), Some(1))]);
}
