//! What infra may cost: judged where an estimate is, and never passed where none is.

use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// What the gate `infra` says of an apply with this estimate.
fn check(policy: &str, cost: &Value, expect: &str) {
    let mut world = World::new();
    let defined = format!(
        "push infra module#cache=1\nwarehouse shop api\npolicy p dev manual approve=sre {policy}\nstage dev shop:"
    );
    play(&mut world, &defined).expect("nothing crashes");
    let mut stage = world.definitions.stages["dev"].spec.clone();
    let mut apply = json!({ "plan": "plan" });
    if !cost.is_null() {
        apply["cost"] = cost.clone();
    }
    stage.steps = steps_of(&json!([
        ["src", "git_clone", { "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } }],
        ["plan", "tf_plan", { "dir": "infra", "state": "dev" }],
        ["apply", "tf_apply", apply],
    ]));
    set_stage(&mut world, stage);
    play(&mut world, "found shop api 1.0.0\npromote dev f1 by ann\ngates dev.1")
        .expect("nothing crashes");
    let gate = world.story.iter().find_map(|line| line.trim().strip_prefix("# infra "));
    assert_eq!(gate.unwrap_or("none"), expect, "{}", world.story.join("\n"));
}

#[test]
fn a_plan_may_cost_so_much() {
    check("", &json!({ "monthly": "600" }), "none");
    check("cost=500", &json!({ "monthly": "499.99" }), "Pass: 1 infra change keeps to the rules");
    check(
        "cost=500",
        &json!({ "monthly": "600" }),
        "Fail: infra: the monthly cost is 600.00, at most 500 is allowed",
    );
    check(
        "cost=500",
        &Value::Null,
        "Unknown: infra: nobody estimated the monthly cost, and at most 500 is allowed: give the `tf_apply` step its `cost`",
    );
    // What is no number is no estimate.
    check(
        "cost=500",
        &json!({ "monthly": "{{ freight.api.tag }}" }),
        "Unknown: infra: nobody estimated the monthly cost, and at most 500 is allowed: give the `tf_apply` step its `cost`",
    );
}
