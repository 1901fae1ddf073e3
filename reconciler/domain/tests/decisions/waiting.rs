//! Steps that wait for what happens elsewhere: looks, deadlines, and what is checked before.

use insta::assert_snapshot;
use reconciler_domain::check::{Surroundings, check_stage};
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// Two stages straight from one warehouse; `prod` is promoted by hand and has these steps.
fn world(steps: &Value) -> World {
    let mut world = World::new();
    let script = "
        push gitops a.yaml#b=c
        warehouse shop api
        stage canary shop: app
        stage prod shop: enough=2
        policy hand prod manual rollback
        policy other canary manual
    ";
    play(&mut world, script).expect("nothing crashes");
    let mut stage = world.stage("prod").clone();
    stage.steps = steps_of(steps);
    set_stage(&mut world, stage);
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    world.story.clear();
    world
}

fn told(steps: &Value, script: &str) -> String {
    let mut world = world(steps);
    let problems = check_stage(world.stage("prod"), &Surroundings::of(&world.definitions));
    assert_eq!(problems, [], "the stage is well formed");
    play(&mut world, script).expect("nothing crashes");
    world.story.join("\n")
}

fn canary(more: &Value) -> Value {
    let mut config = json!({
        "condition": "in_stage('canary').verified && vars.enough == '2'",
        "timeout": "1h", "interval": "10m",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    json!([["quiet", "wait", config], ["call", "http", {
        "url": "https://hook.example/x", "method": "PUT",
        "control": { "when": "steps.quiet.held" },
    }]])
}

#[test]
fn a_condition_is_looked_at_until_it_holds() {
    assert_snapshot!(told(&canary(&json!({})), "
        promote prod f1 by ann
        why prod
        +5m
        promote canary f1 by ann
        +5m
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
      ? stage prod: Manual: the stage is manual; a person starts its promotions
      ? promotion prod.1: Waiting: step quiet waits until 2026-01-01T01:00:00Z at most: `in_stage('canary').verified && vars.enough == '2'` does not hold [2026-01-01T00:10:00Z]
    -- +5m
    canary.1 starts: f1, by ann
    canary.1 is prepared
    canary.1 commits
    canary.1 runs push
    canary.1 succeeded: every step is done and every check passed
    prod.1 runs quiet
    prod.1 runs call
    prod.1 succeeded: every step is done and every check passed
    -- +5m
    ");
}

#[test]
fn what_does_not_come_in_its_time_fails_or_is_told() {
    assert_snapshot!(told(&canary(&json!({})), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs quiet: failed: it was not so in its time: `in_stage('canary').verified && vars.enough == '2'` does not hold
    prod.1 unwinds: step quiet failed: it was not so in its time: `in_stage('canary').verified && vars.enough == '2'` does not hold
    prod.1 rolled_back: undone: step quiet failed: it was not so in its time: `in_stage('canary').verified && vars.enough == '2'` does not hold
    ");
    assert_snapshot!(told(&canary(&json!({ "at_timeout": "continue" })), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs quiet
    prod.1 passes call over: `steps.quiet.held` does not hold
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_wait_for_a_condition_is_broken_off_by_an_abort() {
    assert_snapshot!(told(&canary(&json!({})), "
        promote prod f1 by ann
        abort prod.1 by bob
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 is to stop, says bob
    prod.1 runs quiet: aborted
    prod.1 aborted: aborted by bob during step quiet: not now
    ");
}

#[test]
fn what_has_no_value_yet_does_not_hold_yet() {
    let steps = json!([
        ["call", "http", { "url": "https://hook.example/x", "method": "PUT",
            "outputs": { "ticket": "response.json.id" } }],
        ["quiet", "wait", { "condition": "steps.call.ticket.state == 'done'", "timeout": "1m" }],
    ]);
    assert_snapshot!(told(&steps, "
        promote prod f1 by ann
        why prod
        +1m
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 runs call
      ? stage prod: Manual: the stage is manual; a person starts its promotions
      ? promotion prod.1: Waiting: step quiet waits until 2026-01-01T00:01:00Z at most: `steps.call.ticket.state == 'done'`: `.` does not take string and string [2026-01-01T00:00:30Z]
    -- +1m
    prod.1 runs quiet: failed: it was not so in its time: `steps.call.ticket.state == 'done'`: `.` does not take string and string
    prod.1 unwinds: step quiet failed: it was not so in its time: `steps.call.ticket.state == 'done'`: `.` does not take string and string
    prod.1 rolled_back: undone: step quiet failed: it was not so in its time: `steps.call.ticket.state == 'done'`: `.` does not take string and string
    prod.1   remains: step call: its request was sent and has no undo
    ");
}

#[test]
fn names_are_checked_when_the_stage_is_defined() {
    let check = |condition: &str, expect: &[&str]| {
        let steps = json!([["quiet", "wait", { "condition": condition, "timeout": "1h" }]]);
        let world = world(&steps);
        let problems = check_stage(world.stage("prod"), &Surroundings::of(&world.definitions));
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "for {condition}");
    };
    check("in_stage('canary').there && freight.api.version.major >= 1", &[]);
    check("timestamp(now) > timestamp(promotion.created_at) + duration('1h')", &[]);
    check(
        "in_stage('cannary').there",
        &[
            "steps[0].config.condition: `in_stage` knows no \"cannary\", did you mean `canary`? (offset 0)",
        ],
    );
    check(
        "in_stage('canary').verifed || vars.enouhg == ''",
        &[
            "steps[0].config.condition: `in_stage(…)` has no field `verifed`, did you mean `verified`? (offset 19)",
            "steps[0].config.condition: `vars` has no field `enouhg`, did you mean `enough`? (offset 35)",
        ],
    );
    check(
        "steps.later.ok",
        &["steps[0].config.condition: `steps` has no field `later` (offset 6)"],
    );
}
