//! Plans that no gate saw, held to the bounds that people agreed to.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// A stage whose second plan can be made only after its first apply, with this envelope; then what the script says.
pub(crate) fn promoted(policy: &str, envelope: &Value, after: &str) -> World {
    let mut world = World::new();
    let defined = format!(
        "push infra module#cache=1\nwarehouse shop api\npolicy p dev manual {policy}\nstage dev shop:"
    );
    play(&mut world, &defined).expect("nothing crashes");
    let mut stage = world.definitions.stages["dev"].spec.clone();
    let mut again =
        json!({ "dir": "infra", "state": "dev", "vars": { "version": "9", "more": "1" } });
    if !envelope.is_null() {
        again["envelope"] = envelope.clone();
    }
    stage.steps = steps_of(&json!([
        ["src", "git_clone", { "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } }],
        ["plan", "tf_plan", { "dir": "infra", "state": "dev", "vars": { "version": "{{ freight.api.tag }}" } }],
        ["apply", "tf_apply", { "plan": "plan" }],
        ["again", "tf_plan", again],
        ["last", "tf_apply", { "plan": "again" }],
    ]));
    set_stage(&mut world, stage);
    let script = format!("found shop api 1.0.0\npromote dev f1 by ann\n{after}");
    play(&mut world, &script).expect("nothing crashes");
    world
}

/// What happened from the commit on.
fn story(policy: &str, envelope: &Value, after: &str) -> String {
    let story = promoted(policy, envelope, after).story.join("\n");
    story.split_once("dev.1 commits\n").map_or(story.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn inside_its_envelope_a_plan_goes_on() {
    let wide = json!({ "actions": ["create", "update"], "addresses": ["x.*"], "max_changes": 2 });
    let goes_on = story("", &Value::Null, "");
    assert_eq!(story("", &wide, ""), goes_on);
    assert_snapshot!(goes_on, @r"
    dev.1 runs apply
    dev.1 runs again
    dev.1 runs last
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn outside_of_it_those_are_asked_whose_approval_the_policies_want() {
    let narrow = json!({ "actions": ["create"], "max_changes": 1 });
    let policy = "approve=sre:1:requester";
    let asked = "approve dev.1 by bob in sre";
    let yes = format!(
        "{asked}\nanswer dev.1 last by ann in sre yes\nanswer dev.1 last by bob in sre yes"
    );
    assert_snapshot!(story(policy, &narrow, &yes), @r"
    dev.1 runs apply
    dev.1 runs again
    refused: ann may not approve step last: they asked for the promotion
    dev.1 is answered by bob
    dev.1 asks about the plan of last
    dev.1 runs last
    dev.1 succeeded: every step is done and every check passed
    ");
    let no = format!(
        "{asked}\nanswer dev.1 last by eve in other yes\nanswer dev.1 last by bob in sre no"
    );
    assert_snapshot!(story(policy, &narrow, &no), @r"
    dev.1 runs apply
    dev.1 runs again
    refused: step last is for people of sre
    dev.1 is answered by bob
    dev.1 asks about the plan of last: failed: bob refused it
    dev.1 failed: step last cannot run: the plan of step again is outside its envelope: it would update `x.version`, would change 2 resources, at most 1 were agreed to: bob refused it
    dev.1   remains: step apply: created x.cache, x.version
    ");
    let nobody = format!("{asked}\nwhy dev\n+24h\n+1s");
    assert_snapshot!(story(policy, &narrow, &nobody), @r"
    dev.1 runs apply
    dev.1 runs again
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.1: Waiting: the question about the plan that step last applies waits for 1 approval of sre, until 2026-01-02T00:00:00Z: the plan of step again is outside its envelope: it would update `x.version`, would change 2 resources, at most 1 were agreed to. Approve plan sha256:6da646e586c02965d4ec87de686bcf4d243154374f3fb4919f12c8fb651ceac4 as it is, within 1d, or refuse it, and the step fails [2026-01-02T00:00:00Z]
    -- +24h
    dev.1 asks about the plan of last: failed: 1 approval of sre did not come in its time
    dev.1 failed: step last cannot run: the plan of step again is outside its envelope: it would update `x.version`, would change 2 resources, at most 1 were agreed to: 1 approval of sre did not come in its time
    dev.1   remains: step apply: created x.cache, x.version
    -- +1s
    ");
    let stopped = format!("{asked}\nabort dev.1 by ann");
    assert_snapshot!(story(policy, &narrow, &stopped), @r"
    dev.1 runs apply
    dev.1 runs again
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann before step last: not now
    dev.1   remains: step apply: created x.cache, x.version
    ");
}

#[test]
fn what_is_not_agreed_to_is_undone_where_the_policies_say_so() {
    let narrow = json!({ "actions": ["update"], "addresses": ["x.version"], "timeout": "1h" });
    assert_snapshot!(story("rollback=promotion_failed", &narrow, "+1h\n+1s"), @r"
    dev.1 runs apply
    dev.1 runs again
    -- +1h
    dev.1 asks about the plan of last: failed: an approval did not come in its time
    dev.1 unwinds: step last cannot run: the plan of step again is outside its envelope: it would create `x.more`: an approval did not come in its time
    dev.1 plans the undo of apply
    dev.1 undoes apply
    dev.1 rolled_back: undone: step last cannot run: the plan of step again is outside its envelope: it would create `x.more`: an approval did not come in its time
    -- +1s
    ");
}

#[test]
fn a_yes_is_good_for_the_plan_that_was_shown() {
    let narrow = json!({ "actions": ["update"] });
    let after = "meddle dev x.size=2\nanswer dev.1 last by bob in sre yes";
    assert_snapshot!(story("", &narrow, after), @r"
    dev.1 runs apply
    dev.1 runs again
    dev.1 is answered by bob
    dev.1 asks about the plan of last
    dev.1 runs last: failed: the state was changed after the plan was made
    dev.1 plans anew for last
    dev.1 failed: step last failed: the plan of step again was made anew and is outside its envelope: it would create `x.more`, would delete `x.size`
    dev.1   remains: step apply: created x.cache, x.version
    ");
    let world = promoted("", &narrow, "");
    let saga = &world.sagas[0];
    let digest =
        saga.state.plan_of(&"again".parse().expect("a name")).expect("a plan").semantic_digest;
    let (ask, _) = saga.state.question(&"last".parse().expect("a name")).expect("a question");
    assert!(ask.message().contains(&digest.to_string()), "{}", ask.message());
}

#[test]
fn the_envelope_is_part_of_what_is_approved() {
    let digest = |envelope: Value| {
        let world = promoted("approve=sre", &envelope, "");
        world.sagas[0].state.change_set.as_ref().expect("a change set").digest.clone()
    };
    let one = digest(json!({ "actions": ["create"], "max_changes": 1 }));
    assert_eq!(one, digest(json!({ "max_changes": 1, "actions": ["create"] })));
    assert_ne!(one, digest(json!({ "actions": ["create"], "max_changes": 2 })));
    assert_ne!(one, digest(Value::Null));
}

#[test]
fn an_envelope_lets_the_rules_be_judged_before_there_is_a_plan() {
    let gates = |policy: &str, envelope: Value, after: &str| {
        let world = promoted(policy, &envelope, after);
        let told = world
            .story
            .iter()
            .filter(|line| !line.contains("upstream") && !line.contains("f1 is made"));
        told.cloned().collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(gates("forbid=delete", Value::Null, "gates dev.1"), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   again waits for steps.apply
      # infra Unknown: step again can be planned only after an earlier effect; no rule can be judged before: give it an `envelope`
    ");
    let grows = json!({ "actions": ["create", "update"] });
    assert_snapshot!(gates("approve=sre forbid=delete", grows.clone(), "gates dev.1"), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   again waits for steps.apply
      # approvals Fail: needs 1 approval of group sre, has 0
      # infra Pass: 2 infra changes keep to the rules; 1 to be planned later, held to an envelope and to the rules before it is applied
    ");
    assert_snapshot!(gates("forbid=delete", json!({ "actions": ["replace"] }), "gates dev.1"), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   again waits for steps.apply
      # infra Fail: the envelope of step again allows to replace, which is forbidden
    ");
    // The rules count all the same.
    let rule = "forbid=delete rule=changes.all(c,c.address!='x.more')";
    let told = gates(rule, grows, "");
    assert!(told.contains("the plan of step again breaks the infra rules"), "{told}");
}
