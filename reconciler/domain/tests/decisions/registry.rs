//! Steps on registries: what is known before the commit, and what an undo puts back.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::controlling::promoted;

const TAG: &str = "registry.example/prod/api:stable";

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

fn push(name: &str) -> Value {
    let from = format!("registry.example/api@{}", digest("1"));
    json!([name, "oci_push", { "from": from, "to": TAG }])
}

fn failing() -> Value {
    json!(["call", "http", { "url": "https://hook.example/x", "method": "PUT" }])
}

/// The story with digests short enough to be read.
fn told(steps: &Value, before: &str, after: &str) -> String {
    let story = promoted(steps, before, after);
    (1..=9).fold(story, |story, digit| {
        let digit = digit.to_string();
        story.replace(&digit.repeat(64), &format!("{digit}…"))
    })
}

#[test]
fn what_a_push_gives_is_known_before_the_commit() {
    let steps = json!([
        push("push"),
        ["src", "git_clone", { "repo": "https://git.example/gitops", "checkout": { "gitops": { "branch": "main" } } }],
        ["values", "yaml_update", { "path": "gitops/dev.yaml", "updates": { "tag": "{{ steps.push.pinned }}" } }],
        ["commit", "git_commit", { "dir": "gitops", "message": "{{ steps.push.tag }}" }],
        ["land", "git_push", { "dir": "gitops" }],
    ]);
    assert_snapshot!(told(&steps, "", "undo-plan dev.1\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs land
    dev.1 succeeded: every step is done and every check passed
      < land: reverts the commit; stuck if others changed the same lines
      < push: takes the tag away; stuck if the registry removes none, or others moved it
      | https://git.example/gitops: dev.yaml#tag=registry.example/prod/api@sha256:1…
      | image registry.example/prod/api:stable: sha256:1…
    ");
}

#[test]
fn a_tag_goes_back_to_where_it_was() {
    let steps = json!([push("push"), failing()]);
    let before = format!("image {TAG} {}\nfail call", digest("2"));
    assert_snapshot!(told(&steps, &before, "undo-plan dev.1\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < push: puts tag stable back at sha256:2…; stuck if others moved it
      | https://git.example/gitops: dev.yaml#tag=0
      | image registry.example/prod/api:stable: sha256:2…
    ");
    // It was there before, so there is nothing to undo.
    let before = format!("image {TAG} {}\nfail call", digest("1"));
    assert_snapshot!(told(&steps, &before, "undo-plan dev.1\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < push: leaves the tag, which is there already
      | https://git.example/gitops: dev.yaml#tag=0
      | image registry.example/prod/api:stable: sha256:1…
    ");
}

#[test]
fn a_new_tag_is_taken_away_or_said_to_be_left() {
    let steps = json!([push("push"), failing()]);
    assert_snapshot!(told(&steps, "fail call", "undo-plan dev.1\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < push: takes the tag away; stuck if the registry removes none, or others moved it
      | https://git.example/gitops: dev.yaml#tag=0
    ");
    assert_snapshot!(told(&steps, "keep images\nfail call", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push
    dev.1 stuck: undone only in part: step call failed: call was told to fail
    dev.1   remains: step push: tag stable of registry.example/prod/api stays
    dev is held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
      | https://git.example/gitops: dev.yaml#tag=0
      | image registry.example/prod/api:stable: sha256:1…
    ");
}

#[test]
fn a_tag_that_moves_before_the_commit_is_looked_at_again() {
    let steps = json!([push("push")]);
    let moved = format!("image {TAG} {}", digest("3"));
    let after = format!("{moved}\napprove dev.1 by ann in sre\nundo-plan dev.1\noutside");
    let gated = "policy auto dev gated approve=sre:1";
    assert_snapshot!(told(&steps, gated, &after), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 tag stable moved
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      < push: puts tag stable back at sha256:3…; stuck if others moved it
      | https://git.example/gitops: dev.yaml#tag=0
      | image registry.example/prod/api:stable: sha256:1…
    ");
}

#[test]
fn one_tag_is_pushed_once() {
    assert_snapshot!(told(&json!([push("one"), push("two")]), "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: tag stable of registry.example/prod/api is pushed by step one before: push it once
    dev.1 failed: step two failed before anything was changed: tag stable of registry.example/prod/api is pushed by step one before: push it once
    ");
}

#[test]
fn what_is_attached_is_taken_away() {
    let image = format!("registry.example/api@{}", digest("1"));
    let steps = json!([
        ["note", "write", { "path": "note.txt", "text": "ok" }],
        ["attach", "oci_attach", { "image": image, "path": "note.txt", "artifact_type": "text/note" }],
        failing(),
    ]);
    assert_snapshot!(told(&steps, "fail call", "undo-plan dev.1\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs attach
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes attach
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < attach: takes away what was attached; stuck if the registry removes nothing
      | https://git.example/gitops: dev.yaml#tag=0
    ");
}
