//! When a plan may be left out because nothing that it is made of has changed.

use reconciler_domain::step::{Call, SkipUnchanged};
use serde_json::json;

use crate::kit::script::{line_of, set_stage, steps_of};
use crate::kit::{World, play};

/// What the plan of a second promotion may do, where its step and a stage say this, after a look that found that.
fn check(stage: &str, policy: &str, plan: (&str, &str), between: &str, expect: bool) {
    let mut world = World::new();
    let (skip, more) = plan;
    let defined =
        format!("warehouse shop api\npolicy p dev manual {policy}\nstage dev shop: {stage}");
    play(&mut world, &defined).expect("nothing crashes");
    let mut stage = world.definitions.stages["dev"].spec.clone();
    let mut plan = json!({ "dir": "infra", "state": "dev", "skip_unchanged": skip });
    if !more.is_empty() {
        plan["replace"] = json!([more]);
    }
    stage.steps = steps_of(&json!([
        ["src", "git_clone", { "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } }],
        ["plan", "tf_plan", plan],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]));
    set_stage(&mut world, stage);
    let script = format!(
        "push infra module#cache=1
        found shop api 1.0.0
        promote dev f1 by ann
        {between}
        found shop api 1.1.0
        promote dev f2 by ann"
    );
    play(&mut world, &script).expect("nothing crashes");
    let second = world.sagas.last().expect("a promotion").1;
    let prepared = &second.state.prepared["plan"];
    let Some(Call::TfPlan(call)) = &prepared.call else { panic!("{prepared:?}") };
    let may_be = call.options.skip_unchanged == SkipUnchanged::Always;
    assert_eq!(may_be, expect, "{:?} {policy:?} {skip:?} {between:?}", world.definitions.stages);
}

#[test]
fn a_plan_is_left_out_only_where_somebody_else_has_looked() {
    let watched = ("watched", "");
    let always = ("always", "");
    check("", "", watched, "", false);
    check("", "", always, "", true);
    check("", "", ("always", "x.cache"), "", false);
    check("", "", ("never", ""), "", false);
    check("watched", "", watched, "", false);
    check("watched", "", watched, "drift dev clean", true);
    check("watched", "", ("never", ""), "drift dev clean", false);
    check("watched", "", watched, "drift dev unknown", false);
    check("watched", "", watched, "drift dev computed x.cache", false);
    check("watched", "", always, "", false);
    check("watched", "", always, "drift dev clean", true);
    // A policy that asks about drift is not passed by.
    check("", "drift=any", always, "", false);
    check("", "drift=intersecting", always, "", false);
    check("watched", "drift=ignore", always, "", true);
    check("watched", "drift=ignore", watched, "", false);
}

#[test]
fn a_look_that_is_old_says_nothing_any_more() {
    let watched = ("watched", "");
    check("watched", "", watched, "drift dev clean\n+2h", true);
    check("watched", "", watched, "drift dev clean\n+2h\n+1s", false);
}

#[test]
fn what_was_left_out_for_long_is_planned_again_while_its_apply_is_known() {
    let left_out = |times: usize| "promote dev f1 by ann\n".repeat(times) + "drift dev clean";
    check("watched", "", ("watched", ""), &left_out(14), true);
    check("watched", "", ("watched", ""), &left_out(15), false);
    check("watched", "drift=ignore", ("always", ""), &left_out(15), false);
}

#[test]
fn what_was_left_out_leaves_drift_to_be_looked_for_as_before() {
    let mut world = World::new();
    let script = "push infra module#cache=1
        warehouse shop api
        policy p dev manual
        stage dev shop: infra watched
        found shop api 1.0.0
        promote dev f1 by ann
        drift dev clean
        promote dev f1 by ann";
    play(&mut world, script).expect("nothing crashes");
    line_of(&mut world, "gates dev.2").expect("nothing crashes");
    let mut search = reconciler_domain::drift::Search::default();
    let newest_first = world.sagas.values().rev();
    let goes_on: Vec<bool> =
        newest_first.map(|saga| search.take(&saga.promotion, &saga.state)).collect();
    assert_eq!(goes_on, [true, false]);
    let bases = search.bases();
    let by: Vec<String> = bases.iter().map(|basis| basis.promotion.to_string()).collect();
    assert_eq!(by, ["dev.1"]);
}
