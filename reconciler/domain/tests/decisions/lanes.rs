//! Steps that are carried out side by side.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::controlling::promoted;
use crate::definitions::with_steps;

fn call(name: &str, url: &str, control: &Value) -> Value {
    json!([name, "http", { "url": url, "method": "PUT", "control": control,
        "outputs": { "ticket": "response.json.id" } }])
}

/// A call beside others.
fn beside(name: &str, control: &Value) -> Value {
    let mut control = control.clone();
    control["parallel"] = json!("regions");
    call(name, "https://hook.example/x", &control)
}

#[test]
fn lanes_begin_together_and_the_rest_waits_for_all() {
    let steps = json!([
        call("before", "https://hook.example/x", &json!({})),
        beside("eu", &json!({})),
        beside("us", &json!({ "when": "steps.before.ticket != ''" })),
        beside("asia", &json!({ "when": "vars.loud == 'yes'" })),
        call("after", "https://hook.example/x", &json!({ "when": "steps.eu.ticket != ''" })),
    ]);
    assert_snapshot!(promoted(&steps, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 passes asia over: `vars.loud == 'yes'` does not hold
    dev.1 is prepared
    dev.1 commits
    dev.1 runs before
    dev.1 runs us
    dev.1 runs eu
    dev.1 runs after
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn each_element_is_a_lane_and_waits_for_itself_alone() {
    let steps = json!([
        beside(
            "call",
            &json!({ "for_each": "{{ vars.regions.split(',') }}",
            "retry": { "attempts": 3, "backoff": "1m" } })
        ),
        call("after", "https://hook.example/x", &json!({})),
    ]);
    assert_snapshot!(promoted(&steps, "fail call.1 1 retry", "+59s\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call.1: failed: call.1 was told to fail
    dev.1 runs call.0
    -- +59s
    -- +1s
    dev.1 runs call.1 (attempt 2)
    dev.1 runs after
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn once_one_failed_nothing_begins_and_what_waits_is_broken_off() {
    let wait = json!(["pause", "wait", { "duration": "1h", "control": { "parallel": "regions" } }]);
    let steps = json!([
        call("before", "https://hook.example/x", &json!({})),
        wait,
        beside("eu", &json!({})),
        beside("us", &json!({ "retry": { "attempts": 9, "backoff": "1m" } })),
    ]);
    let fails = "fail eu 1\nfail us 9 retry";
    assert_snapshot!(promoted(&steps, fails, "+2h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs before
    dev.1 runs us: failed: us was told to fail
    dev.1 runs eu: failed: eu was told to fail
    dev.1 runs pause: broken off for one beside it
    dev.1 unwinds: step eu failed: eu was told to fail
    dev.1 rolled_back: undone: step eu failed: eu was told to fail
    dev.1   remains: step before: its request was sent and has no undo
    -- +2h
    ");
}

#[test]
fn an_abort_ends_every_lane() {
    let steps = json!([
        ["pause", "wait", { "duration": "1h", "control": { "parallel": "regions" } }],
        beside("eu", &json!({ "retry": { "attempts": 9, "backoff": "10m" } })),
        beside("us", &json!({})),
    ]);
    assert_snapshot!(promoted(&steps, "fail eu 9 retry", "+1s\nabort dev.1 by ann\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs us
    dev.1 runs eu: failed: eu was told to fail
    -- +1s
    dev.1 is to stop, says ann
    dev.1 runs pause: aborted
    dev.1 aborted: aborted by ann during step pause: not now
    dev.1   remains: step us: PUT https://hook.example/x was sent
    -- +1s
    ");
}

#[test]
fn what_is_beside_is_not_seen() {
    let steps =
        |second: Value| json!([beside("eu", &json!({})), second, beside("end", &json!({}))]);
    let reads = beside("us", &json!({ "when": "steps.eu.ticket != ''" }));
    assert_snapshot!(with_steps(&steps(reads)), @r"
    steps[1].config: it reads steps.eu.ticket, but step eu is carried out beside it: put this step after the group
    ");
    let between = call("us", "https://hook.example/x", &json!({}));
    assert_snapshot!(with_steps(&steps(between)), @r#"
    steps[2]: other steps stand between it and those before that have `parallel` "regions", too: put them together, or use another word
    "#);
}

#[test]
fn an_abort_ends_a_lane_that_may_fail_and_waits_for_its_next_attempt() {
    let tries = json!({ "continue_on_error": true, "retry": { "attempts": 9, "backoff": "10m" } });
    let steps = json!([beside("eu", &tries), beside("us", &json!({}))]);
    assert_snapshot!(promoted(&steps, "fail eu 9 retry", "+1s\nabort dev.1 by ann\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs us
    dev.1 runs eu: failed: eu was told to fail
    -- +1s
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann during step eu: not now; it ended so: eu was told to fail
    dev.1   remains: step us: PUT https://hook.example/x was sent
    -- +1s
    ");
}

#[test]
fn what_is_sent_at_most_once_goes_on_beside_others() {
    let post = |name: &str| {
        json!([name, "http", { "url": "https://hook.example/x", "method": "POST",
            "delivery": "at_most_once", "control": { "parallel": "regions" } }])
    };
    let pause =
        json!(["pause", "wait", { "duration": "1h", "control": { "parallel": "regions" } }]);
    let steps = json!([post("eu"), pause, post("us")]);
    assert_snapshot!(promoted(&steps, "", "+2h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs us
    dev.1 runs eu
    -- +2h
    dev.1 runs pause
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_a_lane_made_is_not_there_after_the_group() {
    let steps = json!([
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } }, "control": { "parallel": "regions" } }],
        ["commit", "git_commit", { "dir": "gitops", "message": "m" }],
    ]);
    assert_snapshot!(with_steps(&steps), @r#"
    steps[1].config.dir: no git_clone step before this one checks out "gitops"
    "#);
}
