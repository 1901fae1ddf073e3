//! Previews that take long: the plan says less, and everything else goes on.

use provider_kit::client::{Client, texts};
use provider_kit::core;
use provider_protocol::cty::Value;
use provider_resources::Lockstep;
use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;
use crate::wire::{beside, client, configure, created, data, whole};

const POLICY: &str = r#"
    resource "lockstep_promotion_policy" "prod" {
      name = "prod"
      mode = "manual"
      stages { names = ["*"] }
    }
"#;

fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "prod", json!({ "requests": [{ "warehouse": "shop" }] }));
    daemon
}

#[test]
fn a_slow_preview_is_no_daemon_that_is_down() {
    beside(&daemon(), async |daemon| {
        let mut client = Client::in_process(Lockstep).await;
        let project = [("project", Value::from("shop"))];
        assert_eq!(configure(&mut client, &daemon.endpoint, &project).await, [""; 0]);
        daemon.world().busy = true;
        let mut policy = client.resource("lockstep_promotion_policy");
        let stages = Value::object([("names", Value::list(["*"]))]);
        let fields =
            [("name", "prod".into()), ("mode", "manual".into()), ("stages", Value::list([stages]))];
        let config = whole(&fields, &policy.ty);
        let planned = created(&mut policy, &config).await;
        let told = texts(&planned.diags);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("warning at : The effect is not known: "), "{told:?}");
        assert!(told[0].contains("took longer than 60 seconds"), "{told:?}");
        daemon.world().busy = false;
        let project = core::import(&mut client.resource("lockstep_project"), "shop").await;
        assert!(project.is_ok(), "it is read: {project:?}");
        let mut policy = client.resource("lockstep_promotion_policy");
        let made = policy.apply(&Default::default(), &planned.answer.object, &config).await;
        assert_eq!(texts(&made.diags), [""; 0]);
    });
}

#[test]
fn a_policy_is_made_and_changed_though_its_effect_is_not_known() {
    let daemon = daemon();
    daemon.world().busy = true;
    let terraform = Terraform::at(&daemon.endpoint, POLICY);
    let run = terraform.apply();
    assert!(run.text.contains("Warning: The effect is not known"), "{}", run.text);
    assert!(run.text.contains("took longer than 60 seconds"), "{}", run.text);
    assert!(!run.text.contains("not reachable"), "{}", run.text);
    let policy = terraform.attributes("lockstep_promotion_policy", "prod");
    assert_eq!(policy["impact"], json!(null));
    terraform.plan_is_empty();
    // So it is changed, as a plan without its effect promises.
    let changed = POLICY.replace("manual", "gated");
    terraform.write(&changed);
    assert_eq!(terraform.plan(&[]).code, 2);
    let run = terraform.run(&["apply", "-no-color", "plan.out"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("Warning: The effect is not known"), "{}", run.text);
    let policy = terraform.attributes("lockstep_promotion_policy", "prod");
    assert_eq!((&policy["mode"], &policy["impact"]), (&json!("gated"), &json!(null)));
    terraform.plan_is_empty();
    // Names are looked up all the same.
    terraform.write(&POLICY.replace("\"*\"", "\"prdo\""));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Did you mean \"prod\"?"), "{}", plan.text);
}

#[test]
fn a_slow_preview_of_a_policy_fails_alone() {
    beside(&daemon(), async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        daemon.world().busy = true;
        let policy = r#"{ "mode": "manual", "stages": { "names": ["prod"] } }"#;
        let fields = [("name", "prod".into()), ("policy", policy.into())];
        let (_, told) = data(&mut client, "lockstep_policy_preview", &fields).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("Cannot preview a policy of shop"), "{told:?}");
        let (_, told) = data(&mut client, "lockstep_pipeline", &[]).await;
        assert_eq!(told, [""; 0]);
    });
}
