//! How steps are carried out: conditions, attempts, time, elements.

use insta::assert_snapshot;
use reconciler_domain::check::{Surroundings, check_stage};
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// A stage `dev` with these steps after a clone, promoted once; the lines are played before there is
/// freight.
pub(crate) fn promoted(steps: &Value, before: &str, after: &str) -> String {
    let mut world = World::new();
    play(
        &mut world,
        "
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: regions=eu,us loud=no
        policy auto dev automatic rollback
    ",
    )
    .expect("nothing crashes");
    let mut stage = world.stage("dev").clone();
    stage.steps = steps_of(steps);
    let problems = check_stage(&stage, &Surroundings::of(&world.definitions));
    assert_eq!(problems, [], "the stage is well formed");
    set_stage(&mut world, stage);
    world.story.clear();
    play(&mut world, before).expect("nothing crashes");
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    play(&mut world, after).expect("nothing crashes");
    world.story.join("\n")
}

fn call(name: &str, control: &Value) -> Value {
    json!([name, "http", { "url": "https://hook.example/x", "method": "PUT", "control": control,
        "outputs": { "ticket": "response.json.id" } }])
}

#[test]
fn what_need_not_run_is_passed_over() {
    let steps = json!([
        call("quiet", &json!({ "when": "vars.loud == 'yes'" })),
        call("loud", &json!({ "when": "vars.loud == 'no'" })),
        call("after", &json!({ "when": "steps.loud.ticket == 'nothing'" })),
        call("again", &json!({ "when": "!has(steps.after)" })),
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 passes quiet over: `vars.loud == 'yes'` does not hold
    dev.1 is prepared
    dev.1 commits
    dev.1 runs loud
    dev.1 passes after over: `steps.loud.ticket == 'nothing'` does not hold
    dev.1 runs again
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_waits_for_a_condition_is_shown_with_it() {
    let steps = json!([
        call("first", &json!({})),
        call("second", &json!({ "when": "steps.first.ticket != ''" })),
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } },
            "control": { "when": "steps.second.ticket != ''" } }],
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   clone waits for steps.second.ticket
    dev.1 commits
    dev.1 runs first
    dev.1 runs second
    dev.1 runs clone
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn attempts_and_pauses_are_the_step_s_own() {
    let retry = json!({ "retry": { "attempts": 3, "backoff": "1m", "max": "90s" } });
    let steps = json!([call("call", &retry)]);
    assert_snapshot!(promoted(&steps, "fail call 2 retry", "+59s\n+1s\n+89s\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: failed: call was told to fail
    -- +59s
    -- +1s
    dev.1 runs call (attempt 2): failed: call was told to fail
    -- +89s
    -- +1s
    dev.1 runs call (attempt 3)
    dev.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(promoted(&steps, "fail call 3 retry", "+1h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: failed: call was told to fail
    -- +1h
    dev.1 runs call (attempt 2): failed: call was told to fail
    dev.1 runs call (attempt 3): failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 rolled_back: undone: step call failed: call was told to fail
    ");
}

#[test]
fn a_failure_that_may_be_is_passed_over() {
    let steps = json!([
        call("try", &json!({ "continue_on_error": true })),
        call("fallback", &json!({ "when": "!has(steps.try)" })),
    ]);
    assert_snapshot!(promoted(&steps, "fail try 1", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs try: failed: try was told to fail
    dev.1 passes try over: try was told to fail
    dev.1 runs fallback
    dev.1 succeeded: every step is done and every check passed
    ");
    let steps = json!([
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } },
            "control": { "continue_on_error": true, "retry": { "attempts": 2, "backoff": "10s" } } }],
        call("call", &json!({})),
    ]);
    assert_snapshot!(promoted(&steps, "fail clone 2 retry", "+1m"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared, may pass: clone was told to fail
    -- +1m
    dev.1 is prepared again
    dev.1 could not be prepared, may pass: clone was told to fail
    dev.1 passes clone over: clone was told to fail
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_takes_too_long_is_broken_off() {
    let control = json!({ "timeout": "30s", "retry": { "attempts": 2, "backoff": "10s" } });
    let steps = json!([call("call", &control)]);
    assert_snapshot!(promoted(&steps, "hang call 1", "+1m"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: out of time
    -- +1m
    dev.1 runs call (attempt 2)
    dev.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(promoted(&steps, "hang call 2", "+1m"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: out of time
    -- +1m
    dev.1 runs call (attempt 2): out of time
    dev.1 unwinds: step call failed: it was broken off: it took longer than its 30s
    dev.1 rolled_back: undone: step call failed: it was broken off: it took longer than its 30s
    dev.1   remains: step call: nobody saw how it ended, and it is not known whether it happened
    ");
    let steps = json!([
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } } }],
        ["set", "yaml_update", { "path": "gitops/dev.yaml", "updates": { "tag": "1" } }],
        ["commit", "git_commit", { "dir": "gitops", "message": "x" }],
        ["push", "git_push", { "dir": "gitops", "control": control }],
    ]);
    assert_snapshot!(promoted(&steps, "hang push 2", "+1m"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: out of time
    -- +1m
    dev.1 runs push (attempt 2): out of time
    ");
}

/// A program that a step runs, with or without what takes it back.
fn program(undo: bool, control: &Value) -> Value {
    let mut config =
        json!({ "command": ["migrate"], "delivery": "at_least_once", "control": control });
    if undo {
        config["undo"] = json!(["migrate", "back"]);
    }
    json!(["migrate", "run_effect", config])
}

#[test]
fn what_an_attempt_did_is_undone_or_told_however_the_last_one_ended() {
    let retry = json!({ "timeout": "30s", "retry": { "attempts": 2, "backoff": "10s" } });
    // It fails after it ran, and the last attempt does not get that far.
    let told = |steps: &Value, before: &str| promoted(steps, before, "+1m");
    assert_snapshot!(told(&json!([program(true, &retry)]), "late migrate 1 retry\nhang migrate 9"), @"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs migrate: failed: migrate answered otherwise
    -- +1m
    dev.1 runs migrate (attempt 2): out of time
    dev.1 unwinds: step migrate failed: it was broken off: it took longer than its 30s
    dev.1 undoes migrate
    dev.1 rolled_back: undone: step migrate failed: it was broken off: it took longer than its 30s
    ");
    assert_snapshot!(told(&json!([program(true, &retry)]), "hang migrate 9"), @"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs migrate: out of time
    -- +1m
    dev.1 runs migrate (attempt 2): out of time
    dev.1 unwinds: step migrate failed: it was broken off: it took longer than its 30s
    dev.1 undoes migrate
    dev.1 rolled_back: undone: step migrate failed: it was broken off: it took longer than its 30s
    ");
    assert_snapshot!(told(&json!([program(false, &retry)]), "hang migrate 9"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs migrate: out of time
    -- +1m
    dev.1 runs migrate (attempt 2): out of time
    dev.1 unwinds: step migrate failed: it was broken off: it took longer than its 30s
    dev.1 rolled_back: undone: step migrate failed: it was broken off: it took longer than its 30s
    dev.1   remains: step migrate: nobody saw how it ended, and it is not known whether it happened
    ");
    assert_snapshot!(told(&json!([call("call", &retry)]), "late call 1 retry\nfail call 9 retry"), @"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: failed: call answered otherwise
    -- +1m
    dev.1 runs call (attempt 2): failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 rolled_back: undone: step call failed: call was told to fail
    dev.1   remains: step call: PUT https://hook.example/x was sent, and may have been acted on although the answer was not as wanted
    ");
    assert_snapshot!(told(&json!([call("call", &retry)]), "late call 9"), @"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call: failed: call answered otherwise
    dev.1 unwinds: step call failed: call answered otherwise
    dev.1 rolled_back: undone: step call failed: call answered otherwise
    dev.1   remains: step call: PUT https://hook.example/x was sent, and may have been acted on although the answer was not as wanted
    -- +1m
    ");
}

#[test]
fn an_abort_between_attempts_ends_the_promotion_as_aborted() {
    let retry = json!({ "retry": { "attempts": 5, "backoff": "10s" } });
    let steps = json!([call("before", &json!({})), call("call", &retry)]);
    assert_snapshot!(promoted(&steps, "late call 9 retry", "abort dev.1 by ann"), @"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs before
    dev.1 runs call: failed: call answered otherwise
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann during step call: not now; it ended so: call answered otherwise
    dev.1   remains: step before: PUT https://hook.example/x was sent
    dev.1   remains: step call: PUT https://hook.example/x was sent, and may have been acted on although the answer was not as wanted
    ");
}

#[test]
fn an_undo_is_tried_for_as_long_as_a_server_takes_to_come_back() {
    let push = json!([
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } } }],
        ["set", "yaml_update", { "path": "gitops/dev.yaml", "updates": { "tag": "1" } }],
        ["commit", "git_commit", { "dir": "gitops", "message": "x" }],
        ["push", "git_push", { "dir": "gitops" }],
        call("call", &json!({})),
    ]);
    assert_snapshot!(promoted(&push, "fail call 1\nfail undo-push 8 retry", "+20m"), @"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push: failed: undo-push was told to fail
    -- +20m
    dev.1 undoes push (attempt 2): failed: undo-push was told to fail
    dev.1 undoes push (attempt 3): failed: undo-push was told to fail
    dev.1 undoes push (attempt 4): failed: undo-push was told to fail
    dev.1 undoes push (attempt 5): failed: undo-push was told to fail
    dev.1 undoes push (attempt 6): failed: undo-push was told to fail
    dev.1 undoes push (attempt 7): failed: undo-push was told to fail
    dev.1 undoes push (attempt 8): failed: undo-push was told to fail
    dev.1 undoes push (attempt 9)
    dev.1 rolled_back: undone: step call failed: call was told to fail
    ");
}

#[test]
fn an_abort_breaks_off_what_runs() {
    let steps = json!([call("before", &json!({})), call("call", &json!({}))]);
    assert_snapshot!(promoted(&steps, "hang call until ann", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs before
    dev.1 is to stop, says ann
    dev.1 runs call: aborted
    dev.1 aborted: aborted by ann during step call: not now
    dev.1   remains: step before: PUT https://hook.example/x was sent
    dev.1   remains: step call: nobody saw how it ended, and it is not known whether it happened
    ");
}

#[test]
fn a_step_is_carried_out_for_each_element() {
    let steps = json!([
        call("call", &json!({ "for_each": "{{ vars.regions.split(',') }}" })),
        ["tell", "http", { "url": "https://hook.example/{{ each.key }}/{{ each.value.name }}",
            "method": "PUT",
            "body": "{{ steps.call['0'].ticket }}",
            "control": { "for_each": { "a": { "name": "x" }, "b": { "name": "y" } },
                "when": "each.key != 'b'" } }],
    ]);
    assert_snapshot!(promoted(&steps, "", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 passes tell.b over: `each.key != 'b'` does not hold
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call.0
    dev.1 runs call.1
    dev.1 runs tell.a
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=0
      | request shop/dev.1/call.0
      | request shop/dev.1/call.1
      | request shop/dev.1/tell.a
    ");
}

#[test]
fn elements_are_known_before_any_step_runs() {
    let mut world = World::new();
    play(&mut world, "warehouse shop api\nstage dev shop: regions=eu,us").expect("nothing crashes");
    let checked = |steps: &Value| {
        let mut stage = world.stage("dev").clone();
        stage.steps = steps_of(steps);
        let problems = check_stage(&stage, &Surroundings::of(&world.definitions));
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    let one = |control: Value| json!([call("call", &control)]);
    assert_snapshot!(checked(&one(json!({ "for_each": "{{ vars.regions }}" }))), @r#"steps[0]: for_each: expected a list or a map, found "eu,us""#);
    assert_snapshot!(checked(&one(json!({ "for_each": "{{ vars.region.split(',') }}" }))), @"steps[0].control.for_each: `vars` has no field `region`, did you mean `regions`? (offset 8)");
    assert_snapshot!(checked(&one(json!({ "when": "each.key == 'eu'" }))), @"steps[0].control.when: unknown name `each`, there are: freight, freight_metadata, project, promotion, stage, steps, vars (offset 0)");
    assert_snapshot!(checked(&one(json!({ "when": "vars.regions", "for_each": ["a"] }))), @"");
}

#[test]
fn plans_and_applies_go_together_for_each_element() {
    let each = json!({ "for_each": ["eu", "us"] });
    let steps = json!([
        ["src", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "infra": { "branch": "main" } } }],
        ["plan", "tf_plan", { "dir": "infra", "state": "{{ each.value }}",
            "vars": { "version": "{{ freight.api.tag }}" }, "control": each }],
        ["apply", "tf_apply", { "plan": "plan.{{ each.key }}", "control": each }],
    ]);
    assert_snapshot!(promoted(&steps, "", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply.0
    dev.1 runs apply.1
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=0
      | state eu: x.version=1.0.0
      | state us: x.version=1.0.0
    ");
}

#[test]
fn a_step_that_fails_guards_what_comes_after_it() {
    let steps = json!([
        ["guard", "fail", { "message": "no {{ vars.loud }} releases",
            "control": { "when": "vars.loud == 'no'" } }],
        call("call", &json!({})),
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: no no releases
    dev.1 failed: step guard failed before anything was changed: no no releases
    ");
    let steps = json!([
        call("call", &json!({})),
        ["guard", "fail", { "message": "ticket {{ steps.call.ticket }}",
            "control": { "when": "steps.call.ticket != ''" } }],
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   guard waits for steps.call.ticket
    dev.1 commits
    dev.1 runs call
    dev.1 runs guard: failed: ticket the ticket
    dev.1 unwinds: step guard failed: ticket the ticket
    dev.1 rolled_back: undone: step guard failed: ticket the ticket
    dev.1   remains: step call: its request was sent and has no undo
    ");
}

#[test]
fn a_tag_is_taken_away_only_if_it_was_made_here() {
    let commit = "0123456789012345678901234567890123456789";
    let tag = |name: &str, tag: &str, message: &str| {
        let message = Some(message).filter(|message| !message.is_empty());
        json!([name, "git_tag", { "repo": "https://git.example/gitops", "tag": tag, "commit": commit,
            "message": message }])
    };
    let steps = json!([
        tag("noted", "noted-{{ freight.api.tag }}", "{{ freight.api.tag }}"),
        tag("plain", "plain", ""),
        tag("again", "plain", ""),
        call("call", &json!({})),
    ]);
    assert_snapshot!(promoted(&steps, "", "undo-plan dev.1\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs noted
    dev.1 runs plain
    dev.1 runs again
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
      < call (not all): has no undo: what was sent stays sent
      < again: takes the tag away, unless it was there when it was to be made
      < plain: takes the tag away, unless it was there when it was to be made
      < noted: takes the tag away
      | https://git.example/gitops: dev.yaml#tag=0
      | tag https://git.example/gitops noted-1.0.0: annotation dev.1/noted
      | tag https://git.example/gitops plain: 0123456789012345678901234567890123456789
      | request shop/dev.1/call
    ");
    // Found in reverse: `again` was there when it was to be made, and `plain` goes.
    assert_snapshot!(promoted(&steps, "fail call", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs noted
    dev.1 runs plain
    dev.1 runs again
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes plain
    dev.1 undoes noted
    dev.1 rolled_back: undone: step call failed: call was told to fail
    dev.1   remains: step again: tag plain of https://git.example/gitops was there when it was to be made, and stays
      | https://git.example/gitops: dev.yaml#tag=0
    ");
    let steps = json!([tag("taken", "x", ""), tag("other", "x", "says more")]);
    assert_snapshot!(promoted(&steps, "", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs taken
    dev.1 runs other: failed: tag x is at 0123456789012345678901234567890123456789
    dev.1 unwinds: step other failed: tag x is at 0123456789012345678901234567890123456789
    dev.1 undoes taken
    dev.1 rolled_back: undone: step other failed: tag x is at 0123456789012345678901234567890123456789
      | https://git.example/gitops: dev.yaml#tag=0
    ");
    let steps = json!([
        ["none", "git_tag", { "repo": "https://git.example/gitops", "tag": "x", "commit": "" }],
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 unwinds: step none cannot run: commit: expected the 40 digits of a commit (a push with nothing to push gives none), but the templates gave 
    dev.1 rolled_back: undone: step none cannot run: commit: expected the 40 digits of a commit (a push with nothing to push gives none), but the templates gave
    ");
}

#[test]
fn a_wait_holds_nobody_up_but_its_promotion() {
    let steps = json!([
        ["rest", "wait", { "duration": "10m" }],
        call("call", &json!({})),
        ["until", "wait", { "until": "2026-01-01T01:00:00Z" }],
        ["late", "wait", { "until": "2025-01-01T00:00:00Z" }],
    ]);
    assert_snapshot!(promoted(&steps, "", "+9m\n+1m\n+1h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    -- +9m
    -- +1m
    dev.1 runs rest
    dev.1 runs call
    -- +1h
    dev.1 runs until
    dev.1 runs late
    dev.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(promoted(&steps, "", "+1m\nabort dev.1 by ann"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    -- +1m
    dev.1 is to stop, says ann
    dev.1 runs rest: aborted
    dev.1 aborted: aborted by ann during step rest: not now
    ");
    let steps = json!([
        ["rest", "wait", { "duration": "10m", "control": { "timeout": "1m", "retry": { "attempts": 1 } } }],
    ]);
    assert_snapshot!(promoted(&steps, "", "+1m"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    -- +1m
    dev.1 runs rest: out of time
    dev.1 unwinds: step rest failed: it was broken off: it took longer than its 1m
    dev.1 rolled_back: undone: step rest failed: it was broken off: it took longer than its 1m
    ");
}

#[test]
fn values_are_read_and_given_on() {
    let steps = json!([
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } } }],
        ["made", "write", { "path": "out/a.json", "text": "{}" }],
        ["read", "json_parse", { "path": "out/a.json", "outputs": { "id": "document.id" } }],
        call("call", &json!({ "when": "steps.read.id == 'read'" })),
        ["all", "compose_output", { "outputs": { "id": "{{ steps.read.id }}", "t": "{{ steps.call.ticket }}" } }],
        ["late", "write", { "path": "gitops/late.txt", "text": "{{ steps.all.t }}" }],
        ["after", "copy", { "from": "gitops/late.txt", "to": "out/late.txt" }],
        ["before", "copy", { "from": "out/a.json", "to": "out/b.json" }],
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   all waits for steps.call.ticket
    dev.1   late waits for steps.all.t
    dev.1   after waits for file gitops/late.txt
    dev.1 commits
    dev.1 runs call
    dev.1 runs all
    dev.1 runs late
    dev.1 runs after
    dev.1 succeeded: every step is done and every check passed
    ");
}
