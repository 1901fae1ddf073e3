//! Drift: what it holds back, and what lets it go.

use insta::assert_snapshot;
use serde_json::json;

use crate::kit::script::{line_of, set_stage, steps_of};
use crate::kit::{World, play, run};

/// A stage that was promoted to once, and a second promotion that updates `x.version` and leaves `x.cache` alone.
fn second(stage: &str, policy: &str, between: &str, after: &str) -> String {
    let past = if policy.contains("bypass") { "bypass drift as sre" } else { "" };
    run(&format!(
        "push infra module#cache=1
        warehouse shop api
        stage dev shop: infra {stage}
        policy p dev manual {policy}
        found shop api 1.0.0
        promote dev f1 by ann
        {between}
        found shop api 1.1.0
        promote dev f2 by ann {past}
        {after}"
    ))
    .split_once("dev.1 succeeded: every step is done and every check passed\n")
    .expect("the first one succeeds")
    .1
    .to_owned()
}

#[test]
fn what_a_plan_touches_is_held_until_a_look_finds_nothing() {
    let after = "gates dev.2\ndrift dev unknown\n+1m\ndrift dev clean";
    assert_snapshot!(second("watched", "", "drift dev deleted x.version", after), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # drift Fail: infra: `x.version` was deleted outside, and the plan would update it; `lockstep drift dev` shows it: mend it outside and look again with `--look`, or have somebody who may skip the gate
    -- +1m
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(second("watched", "", "drift dev lost x.version", "abort dev.2 by ann"), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 is to stop, says ann
    dev.2 aborted: aborted by ann: not now
    ");
}

#[test]
fn what_no_plan_touches_is_in_the_way_only_where_a_policy_says_so() {
    let other = "drift dev deleted x.cache";
    assert_snapshot!(second("watched", "", other, ""), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(second("watched", "drift=any", other, "gates dev.2"), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # infra Pass: 1 infra change keeps to the rules
      # drift Fail: infra: `x.cache` was deleted outside; `lockstep drift dev` shows it: mend it outside and look again with `--look`, or have somebody who may skip the gate
    ");
    assert_snapshot!(second("watched", "drift=any", "drift dev clean", ""), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_the_plan_found_is_mended_only_for_a_look_that_began_after_it() {
    let after = "+1m\ndrift dev slowly clean\ngates dev.2\n+1m\ndrift dev clean";
    assert_snapshot!(second("watched", "drift=any", "changed dev x.version", after), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    -- +1m
      # upstream Pass: the freight is available: straight from its warehouse
      # infra Pass: 1 infra change keeps to the rules
      # drift Fail: infra: `x.version` was changed outside; `lockstep drift dev` shows it: mend it outside and look again with `--look`, or have somebody who may skip the gate
    -- +1m
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn of_what_was_not_kept_nobody_knows_whether_a_plan_touches_it() {
    let held = |what: &str| {
        let many: Vec<String> = (0..201).map(|number| format!("x.n{number}")).collect();
        let between = format!("drift dev {what} {}", many.join(","));
        second("watched", "", &between, "gates dev.2")
    };
    let story = held("deleted");
    assert!(story.contains("drift Unknown: infra: so much has drifted that 1 are not"), "{story}");
    let story = held("computed");
    assert!(story.contains("dev.2 commits"), "{story}");
}

#[test]
fn without_looks_and_without_a_word_nothing_is_held() {
    let touched = "drift dev deleted x.version";
    assert_snapshot!(second("", "", touched, ""), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(second("watched", "drift=ignore", touched, ""), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(second("", "drift=intersecting", touched, "gates dev.2"), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # infra Pass: 1 infra change keeps to the rules
      # drift Fail: infra: `x.version` was deleted outside, and the plan would update it; `lockstep drift dev` shows it: mend it outside and look again with `--look`, or have somebody who may skip the gate
    ");
}

#[test]
fn a_person_with_the_right_promotes_all_the_same() {
    assert_snapshot!(second("watched", "bypass=sre:drift", "drift dev deleted x.version", ""), @r"
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 commits past drift
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
}

/// A stage whose second plan can be made only after its first apply, promoted to once more after a look found this.
fn deferred(policy: &str, found: &str) -> (World, String) {
    let mut world = World::new();
    let stages =
        format!("warehouse shop api\npolicy p dev manual {policy}\nstage dev shop: watched");
    play(&mut world, &stages).expect("nothing crashes");
    let mut stage = world.definitions.stages["dev"].spec.clone();
    stage.steps = steps_of(&json!([
        ["src", "git_clone", { "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } }],
        ["plan", "tf_plan", { "dir": "infra", "state": "dev", "vars": { "version": "{{ freight.api.tag }}" } }],
        ["apply", "tf_apply", { "plan": "plan" }],
        ["again", "tf_plan", { "dir": "infra", "state": "dev", "vars": { "version": "9" } }],
        ["last", "tf_apply", { "plan": "again" }],
    ]));
    set_stage(&mut world, stage);
    let lines = format!(
        "push infra module#cache=1
        found shop api 1.0.0
        promote dev f1 by ann
        drift dev {found}
        found shop api 1.1.0
        promote dev f2 by ann"
    );
    play(&mut world, &lines).expect("nothing crashes");
    line_of(&mut world, "gates dev.2").expect("nothing crashes");
    let story = world.story.join("\n");
    (world, story)
}

#[test]
fn what_only_a_provider_computes_holds_no_plan_that_is_made_after_the_commit() {
    let (_, story) = deferred("", "computed x.cache");
    assert!(story.contains("dev.2 commits"), "{story}");
    let (_, story) = deferred("drift=any", "computed x.cache");
    assert!(!story.contains("dev.2 commits"), "{story}");
    assert!(story.contains("drift Fail: infra: `x.cache` was changed outside"), "{story}");
}

#[test]
fn a_plan_that_is_made_after_the_commit_is_held_before_it_or_not_at_all() {
    let (mut world, _) = deferred("", "deleted x.cache");
    line_of(&mut world, "drift dev clean").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   again waits for steps.apply
    dev.1 commits
    dev.1 runs apply
    dev.1 runs again
    dev.1 runs last
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2   again waits for steps.apply
      # upstream Pass: the freight is available: straight from its warehouse
      # drift Unknown: step again can be planned only after an earlier effect, and its state has drifted: `x.cache` was deleted outside; look again with `lockstep drift dev --look`
    dev.2 commits
    dev.2 runs apply
    dev.2 runs again
    dev.2 runs last
    dev.2 succeeded: every step is done and every check passed
    ");
}
