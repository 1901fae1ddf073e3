//! Preparing: what is known before anything is changed, what has to wait, and what is done again.

use insta::assert_snapshot;

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play, run};
use serde_json::{Value, json};

/// Plays freight 1.0.0 into a stage `dev` with these steps.
fn story(steps: &Value, before: &str) -> String {
    let mut world = World::new();
    let script = "
        push gitops a.yaml#b=c
        push infra module#cache=1
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
    ";
    play(&mut world, script).expect("nothing crashes");
    let mut stage = world.stage("dev").clone();
    stage.steps = steps_of(steps);
    set_stage(&mut world, stage);
    play(&mut world, &format!("{before}\nfound shop api 1.0.0\noutside")).expect("nothing crashes");
    world.story.join("\n")
}

fn gitops() -> Value {
    json!(["clone", "git_clone", {
        "repo": "https://git.example/gitops", "checkout": { "gitops": { "branch": "main" } },
    }])
}

#[test]
fn an_output_that_the_plan_knows_defers_nothing() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        push infra module#cache=1
        warehouse shop api
        stage dev shop: linked
        policy auto dev automatic
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs out
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.0.0 dev.yaml#url=https://v1.0.0.example
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn what_needs_an_unknown_output_waits_for_the_apply() {
    assert_snapshot!(run("
        unknown url
        push gitops a.yaml#b=c
        push infra module#cache=1
        warehouse shop api
        stage dev shop: linked
        policy auto dev automatic
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   set waits for steps.out.url
    dev.1   commit waits for file gitops/dev.yaml
    dev.1 commits
    dev.1 runs apply
    dev.1 runs out
    dev.1 runs set
    dev.1 runs commit
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.0.0 dev.yaml#url=https://v1.0.0.example
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn what_needs_the_answer_of_a_request_waits_for_it() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: ticket
        policy auto dev automatic
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   set waits for steps.call.ticket
    dev.1   commit waits for file gitops/dev.yaml
    dev.1 commits
    dev.1 runs call
    dev.1 runs set
    dev.1 runs commit
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#ticket=the ticket
      | request shop/dev.1/call
    ");
}

#[test]
fn a_place_cannot_wait() {
    let steps = json!([
        ["call", "http", { "url": "https://hook.example", "outputs": { "file": "response.body" } }],
        gitops(),
        ["set", "yaml_update", { "path": "gitops/{{ steps.call.file }}", "updates": { "a": "b" } }],
    ]);
    assert_snapshot!(story(&steps, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: path decides where the step acts, so it cannot wait for steps.call.file, which exists only after a later effect
    dev.1 failed: step set failed before anything was changed: path decides where the step acts, so it cannot wait for steps.call.file, which exists only after a later effect
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
    ");
}

#[test]
fn a_place_of_a_computed_step_cannot_wait_either() {
    let steps = json!([
        ["call", "http", { "url": "https://hook.example", "outputs": { "file": "response.body" } }],
        gitops(),
        ["set", "yaml_update", {
            "path": "gitops/{{ steps[stage.name == 'dev' ? 'call' : 'none'].file }}",
            "updates": { "a": "b" },
        }],
    ]);
    assert_snapshot!(story(&steps, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: path decides where the step acts, so it cannot wait for steps, which exists only after a later effect
    dev.1 failed: step set failed before anything was changed: path decides where the step acts, so it cannot wait for steps, which exists only after a later effect
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
    ");
}

#[test]
fn a_path_that_is_a_template_is_waited_for_by_what_reads_it() {
    let steps = json!([
        ["call", "http", { "url": "https://hook.example", "outputs": { "id": "response.body" } }],
        gitops(),
        ["set", "yaml_update", {
            "path": "{{ 'gitops' }}/{{ stage.name }}.yaml", "updates": { "id": "{{ steps.call.id }}" },
        }],
        ["commit", "git_commit", { "dir": "gitops", "message": "m" }],
        ["push", "git_push", { "dir": "gitops" }],
    ]);
    assert_snapshot!(story(&steps, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   set waits for steps.call.id
    dev.1   commit waits for file gitops/dev.yaml
    dev.1 commits
    dev.1 runs call
    dev.1 runs set
    dev.1 runs commit
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#id=the id
      | https://git.example/infra: module#cache=1
      | request shop/dev.1/call
    ");
}

#[test]
fn a_plan_of_a_state_that_is_applied_before_waits_for_the_apply() {
    let steps = json!([
        ["src", "git_clone", {
            "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } },
        }],
        ["first", "tf_plan", { "dir": "infra", "vars": { "version": "{{ freight.api.tag }}" } }],
        ["apply_first", "tf_apply", { "plan": "first" }],
        ["second", "tf_plan", {
            "dir": "infra", "vars": { "version": "{{ freight.api.tag }}", "extra": "1" },
        }],
        ["apply_second", "tf_apply", { "plan": "second" }],
    ]);
    assert_snapshot!(story(&steps, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   second waits for steps.apply_first
    dev.1 commits
    dev.1 runs apply_first
    dev.1 runs second
    dev.1 runs apply_second
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
      | state infra: x.cache=1 x.extra=1 x.version=1.0.0
    ");
    // Rules cannot judge it before, and do before it is applied.
    assert_snapshot!(story(&steps, "policy auto dev gated forbid=create"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   second waits for steps.apply_first
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
    ");
}

#[test]
fn a_workspace_is_a_state_of_its_own() {
    let steps = json!([
        ["src", "git_clone", {
            "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } },
        }],
        ["blue", "tf_plan", { "dir": "infra", "workspace": "blue", "vars": { "version": "blue" } }],
        ["apply_blue", "tf_apply", { "plan": "blue" }],
        ["green", "tf_plan", { "dir": "infra", "workspace": "green", "vars": { "version": "green" } }],
        ["apply_green", "tf_apply", { "plan": "green" }],
        ["outputs", "tf_output", { "dir": "infra", "plan": "blue" }],
        ["tell", "http", { "url": "https://hook.example/{{ steps.outputs.url }}", "method": "PUT" }],
    ]);
    assert_snapshot!(story(&steps, ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply_blue
    dev.1 runs apply_green
    dev.1 runs outputs
    dev.1 runs tell
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
      | state infra in blue: x.cache=1 x.version=blue
      | state infra in green: x.cache=1 x.version=green
      | request shop/dev.1/tell
    ");
    // What is named is a plan of the module.
    let mut other = steps.clone();
    other[5][2]["dir"] = json!("infra/live");
    assert_snapshot!(story(&other, ""), @r#"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: plan: step "blue" plans "infra", and `dir` is "infra/live"
    dev.1 failed: step outputs failed before anything was changed: plan: step "blue" plans "infra", and `dir` is "infra/live"
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
    "#);
}

#[test]
fn a_plan_made_after_the_commit_is_judged_before_it_is_applied() {
    let steps = json!([
        ["src", "git_clone", {
            "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } },
        }],
        ["call", "http", { "url": "https://hook.example", "outputs": { "size": "response.body" } }],
        ["size", "yaml_update", { "path": "infra/module", "updates": { "disk": "{{ steps.call.size }}" } }],
        ["plan", "tf_plan", { "dir": "infra" }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]);
    let story = |rest: &str| {
        let mut world = World::new();
        let script = "
            push infra module#cache=1
            warehouse shop api
            stage dev shop: app
            policy gate dev manual bypass=oncall:infra forbid=create
        ";
        play(&mut world, script).expect("nothing crashes");
        let mut stage = world.stage("dev").clone();
        stage.steps = steps_of(&steps);
        set_stage(&mut world, stage);
        play(&mut world, &format!("found shop api 1.0.0\n{rest}")).expect("nothing crashes");
        world.story.join("\n")
    };
    assert_snapshot!(story("
        promote dev f1 by ann
        gates dev.1
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   size waits for steps.call.size
    dev.1   plan waits for file infra/module
      # upstream Pass: the freight is available: straight from its warehouse
      # infra Unknown: step plan can be planned only after an earlier effect; no rule can be judged before: give it an `envelope`
    ");
    // The rules come back while it commits.
    assert_snapshot!(story("
        policy gate dev manual
        fail call 1 retry
        promote dev f1 by ann
        policy gate dev manual forbid=create rule=changes.all(c,c.address!='x.disk')
        +5s
        outside
    "), @r#"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   size waits for steps.call.size
    dev.1   plan waits for file infra/module
    dev.1 commits
    dev.1 runs call: failed: call was told to fail
    -- +5s
    dev.1 runs call (attempt 2)
    dev.1 runs size
    dev.1 runs plan
    dev.1 failed: step apply cannot run: the plan of step plan breaks the infra rules: `x.cache` would be created, and creating is forbidden; `x.disk` would be created, and creating is forbidden; rule "r1": `changes.all(c,c.address!='x.disk')` does not hold: x.disk (create)
    dev.1   remains: step call: GET https://hook.example was sent
      | https://git.example/infra: module#cache=1
      | request shop/dev.1/call
    "#);
    // Whoever may skip the rules skips them to the end.
    assert_snapshot!(story("
        promote dev f1 by ann bypass infra as oncall
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1   size waits for steps.call.size
    dev.1   plan waits for file infra/module
    dev.1 commits past infra
    dev.1 runs call
    dev.1 runs size
    dev.1 runs plan
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/infra: module#cache=1
      | state infra: x.cache=1 x.disk=the size
      | request shop/dev.1/call
    ");
}

#[test]
fn a_base_that_moved_is_prepared_again_and_equal_work_keeps_its_approvals() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre:2
        found shop api 1.0.0
        approve dev.1 by ann in sre
        push gitops other.yaml#a=1
        +1h
        approve dev.1 by bob in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    -- +1h
    dev.1 is approved by bob
    dev.1 branch main of https://git.example/gitops moved from c1 to c3
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.0.0 other.yaml#a=1
    ");
}

#[test]
fn a_base_that_moved_under_the_same_file_asks_again() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        push gitops dev.yaml#replicas=3
        approve dev.1 by ann in sre
        why dev
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 branch main of https://git.example/gitops moved from c1 to c3
    dev.1 is prepared again
    dev.1 is prepared
      ? promotion dev.1: ApprovalsMissing: needs 1 approval of group sre, has 0
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#replicas=3 dev.yaml#tag=1.0.0
    ");
}

#[test]
fn a_state_that_moved_is_planned_again() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated approve=sre
        found shop api 1.0.0
        state dev x.cache=1
        approve dev.1 by ann in sre
        gates dev.1
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 state dev moved
    dev.1 is prepared again
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # approvals Fail: needs 1 approval of group sre, has 0
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn an_edit_of_the_stage_before_the_commit_is_prepared_anew() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        stage dev shop: app hook
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.0.0
      | request shop/dev.1/call
    ");
}

#[test]
fn an_edit_of_the_stage_after_the_commit_changes_nothing() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail push 1 retry
        found shop api 1.0.0
        stage dev shop: hook
        +5s
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    -- +5s
    dev.1 runs push (attempt 2)
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.0.0
    ");
}

#[test]
fn an_edit_of_a_verification_template_is_prepared_anew() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        verification errors count=1
        warehouse shop api
        stage dev shop: app verify=errors
        policy gate dev gated approve=sre
        found shop api 1.0.0
        verification errors count=2
        approve dev.1 by ann in sre
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_failure_that_may_pass_is_tried_again_at_growing_distances() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail set 3 retry
        found shop api 1.0.0
        why dev
        +5s
        why dev
        +10s
        why dev
        +20s
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared, may pass: set was told to fail
      ? promotion dev.1: PrepareFailed: step set failed and is tried again at 2026-01-01T00:00:05Z: set was told to fail [2026-01-01T00:00:05Z]
    -- +5s
    dev.1 is prepared again
    dev.1 could not be prepared, may pass: set was told to fail
      ? promotion dev.1: PrepareFailed: step set failed and is tried again at 2026-01-01T00:00:15Z: set was told to fail [2026-01-01T00:00:15Z]
    -- +10s
    dev.1 is prepared again
    dev.1 could not be prepared, may pass: set was told to fail
      ? promotion dev.1: PrepareFailed: step set failed and is tried again at 2026-01-01T00:00:35Z: set was told to fail [2026-01-01T00:00:35Z]
    -- +20s
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn preparation_gives_up_in_the_end() {
    let story = run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail set 100 retry
        found shop api 1.0.0
        +1d
    ");
    let last = story.lines().last().unwrap_or_default();
    assert_snapshot!(last, @"dev.1 failed: step set failed before anything was changed: set was told to fail");
}

#[test]
fn a_failure_for_good_changes_nothing() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail set 1
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: set was told to fail
    dev.1 failed: step set failed before anything was changed: set was told to fail
      | https://git.example/gitops: a.yaml#b=c
    ");
}
