//! Plans that are refused because somebody wrote the state after they were made.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::controlling::promoted;
use crate::kit::run;

/// A module that is planned and applied, with these steps before the apply.
fn before_apply(between: &[Value]) -> Value {
    let clone = json!({ "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } });
    let plan = json!({ "dir": "infra", "state": "dev", "vars": { "version": "1" } });
    let mut steps = vec![json!(["src", "git_clone", clone]), json!(["plan", "tf_plan", plan])];
    steps.extend_from_slice(between);
    steps.push(json!(["apply", "tf_apply", { "plan": "plan" }]));
    Value::Array(steps)
}

const MEDDLED: &str = "push infra module#cache=1\nmeddle dev x.size=2";

#[test]
fn what_may_have_been_done_already_is_not_done_again() {
    let hook = |control: Value, method: &str| {
        json!(["call", "http", { "url": "https://hook.example/x", "method": method,
            "delivery": "at_most_once", "control": control }])
    };
    let goes_on = json!({ "continue_on_error": true });
    let failed = before_apply(&[hook(goes_on, "POST")]);
    assert_snapshot!(promoted(&failed, &format!("{MEDDLED}\nfail call 1"), ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: failed: call was told to fail
    dev.1 passes call over: call was told to fail
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 unwinds: step apply failed: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`; nobody agreed to that, so it is not applied
    dev.1 rolled_back: undone: step apply failed: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`; nobody agreed to that, so it is not applied
    ");
    let asked = before_apply(&[hook(json!({}), "GET")]);
    assert_snapshot!(promoted(&asked, MEDDLED, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 goes back to its gates: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
    ");
    let told = before_apply(&[json!(["tell", "audit_event", { "message": "on its way" }])]);
    assert_snapshot!(promoted(&told, MEDDLED, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs tell
    ledger: on its way {}
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 unwinds: step apply failed: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`; nobody agreed to that, so it is not applied
    dev.1 rolled_back: undone: step apply failed: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`; nobody agreed to that, so it is not applied
    ");
}

#[test]
fn what_waits_beside_a_stale_plan_goes_back_with_it() {
    let clone = json!({ "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } });
    let plan = json!({ "dir": "infra", "state": "dev", "vars": { "version": "1" } });
    let beside = json!({ "parallel": "all" });
    let steps = json!([
        ["src", "git_clone", clone],
        ["plan", "tf_plan", plan],
        ["apply", "tf_apply", { "plan": "plan", "control": beside }],
        ["quiet", "wait", { "duration": "1m", "control": beside }],
    ]);
    assert_snapshot!(promoted(&steps, MEDDLED, "+2m"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs quiet: broken off for one beside it
    dev.1 goes back to its gates: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    -- +2m
    dev.1 runs quiet
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_plan_is_made_anew_on_the_files_that_the_first_one_saw() {
    let clone = json!({ "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } });
    let plan = json!({ "dir": "infra", "state": "dev", "vars": { "version": "1" } });
    let steps = json!([
        ["src", "git_clone", clone],
        ["plan", "tf_plan", plan],
        ["later", "yaml_update", { "path": "infra/module", "updates": { "cache": "2" } }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]);
    assert_snapshot!(promoted(&steps, "push infra module#cache=1\nmeddle dev", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=0
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1
    ");
}

#[test]
fn the_same_plan_made_anew_takes_its_place() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated approve=sre
        found shop api 1.0.0
        meddle dev
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn another_plan_goes_back_to_the_gates() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated approve=sre
        found shop api 1.0.0
        meddle dev x.size=2
        approve dev.1 by ann in sre
        why dev
        outside
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 goes back to its gates: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`
    dev.1 is prepared again
    dev.1 is prepared
      ? promotion dev.1: ApprovalsMissing: needs 1 approval of group sre, has 0
      | https://git.example/infra: module#cache=1
      | state dev: x.size=2
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn after_an_effect_another_plan_is_not_applied() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: hook infra
        policy auto dev automatic
        meddle dev x.size=2
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 failed: step apply failed: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`; nobody agreed to that, so it is not applied
    dev.1   remains: step call: POST https://hook.example/dev was sent
      | https://git.example/infra: module#cache=1
      | state dev: x.size=2
      | request shop/dev.1/call
    ");
}

#[test]
fn a_state_that_never_rests_is_given_up() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy auto dev automatic
        meddle dev
        meddle dev
        meddle dev
        meddle dev
        meddle dev
        meddle dev
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 failed: step apply failed: the state was changed by others after each of 5 plans; find out who writes it, then promote again
      | https://git.example/infra: module#cache=1
      | state dev:
    ");
}

#[test]
fn the_plan_of_an_undo_is_made_anew_too() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev automatic rollback
        found shop api 1.0.0
        fail call 9
        meddle not
        meddle dev
        found shop api 1.1.0
        meddle not
        meddle dev x.cache=3
        found shop api 1.2.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 plans the undo of apply
    dev.2 undoes apply: failed: the state was changed after the plan was made
    dev.2 plans the undo of apply
    dev.2 undoes apply
    dev.2 rolled_back: undone: step call failed: call was told to fail
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs apply
    dev.3 runs call: failed: call was told to fail
    dev.3 unwinds: step call failed: call was told to fail
    dev.3 plans the undo of apply
    dev.3 undoes apply: failed: the state was changed after the plan was made
    dev.3 plans the undo of apply
    dev.3 undoes apply
    dev.3 rolled_back: undone: step call failed: call was told to fail
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
      | request shop/dev.1/call
    ");
}

#[test]
fn an_abort_while_it_is_planned_anew_changes_nothing() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy auto dev automatic
        meddle dev
        hang replan-apply until ann
        found shop api 1.0.0
        +1m
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 is to stop, says ann
    dev.1 plans anew for apply: aborted
    dev.1 aborted: aborted by ann during the plan that is made anew for step apply: not now
    -- +1m
      | https://git.example/infra: module#cache=1
      | state dev:
    ");
}
