//! Pull requests as steps: what they need, and what undoes them.

use insta::assert_snapshot;
use reconciler_domain::check::{Surroundings, check_stage};
use reconciler_domain::promotion::Node;
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

const REPO: &str = "https://git.example/gitops";

fn world(steps: &Value) -> World {
    let mut world = World::new();
    play(
        &mut world,
        "
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop:
        policy auto dev automatic rollback
    ",
    )
    .expect("nothing crashes");
    let mut stage = world.stage("dev").clone();
    stage.steps = steps_of(steps);
    set_stage(&mut world, stage);
    world.story.clear();
    world
}

/// A promotion through these steps, after some lines.
fn promoted(steps: &Value, before: &str) -> String {
    let mut world = world(steps);
    let problems = check_stage(world.stage("dev"), &Surroundings::of(&world.definitions));
    assert_eq!(problems, [], "the stage is well formed");
    play(&mut world, before).expect("nothing crashes");
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    play(&mut world, "undo-plan dev.1\noutside").expect("nothing crashes");
    world.story.join("\n")
}

fn opened() -> Vec<Value> {
    vec![
        json!(["gitops", "git_clone", { "repo": REPO, "checkout": { "gitops": { "branch": "main" } } }]),
        json!(["tag", "yaml_update",
            { "path": "gitops/dev.yaml", "updates": { "tag": "{{ freight.api.tag }}" } }]),
        json!(["commit", "git_commit", { "dir": "gitops", "message": "tag" }]),
        json!(["push", "git_push", { "dir": "gitops", "branch": "lockstep/{{ promotion.id }}" }]),
        json!(["pr", "git_open_pr", { "repo": REPO, "forge": "gitea",
            "source": "lockstep/{{ promotion.id }}", "target": "main",
            "title": "api {{ freight.api.tag }}", "description": "from {{ steps.push.branch }}" }]),
    ]
}

fn about(name: &str, uses: &str, more: &Value) -> Value {
    let mut config = json!({ "repo": REPO, "forge": "gitea", "number": "{{ steps.pr.number }}" });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    json!([name, uses, config])
}

fn steps(more: &[Value]) -> Value {
    [&opened(), more].concat().into()
}

fn teapot() -> Value {
    json!(["call", "http", { "url": "https://hook.example/x", "method": "PUT" }])
}

#[test]
fn what_was_merged_is_reverted_and_what_is_open_is_closed() {
    let merged = about("merged", "git_wait_for_pr", &json!({}));
    let said = about("said", "git_comment_pr", &json!({ "text": "on its way" }));
    assert_snapshot!(promoted(&steps(&[said, merged, teapot()]), "fail call"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs pr
    dev.1 runs said
    dev.1 runs merged
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes merged
    dev.1 undoes push
    dev.1 rolled_back: undone: step call failed: call was told to fail
    dev.1   remains: step said: pull request 1 of https://git.example/gitops was commented on, and that stays
      < call (not all): has no undo: what was sent stays sent
      < merged: reverts what was merged, if that is one commit; else stuck
      < said (not all): has no undo: what was said stays said
      < pr: closes it, if it is open and of this promotion
      < push: deletes the branch if the push made it and nobody pushed since, else reverts the commit; stuck if others changed the same lines
      | https://git.example/gitops: dev.yaml#tag=0
      | pull request 1: merged
    ");
    assert_snapshot!(promoted(&steps(&[teapot()]), "fail call"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs pr
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes pr
    dev.1 undoes push
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < pr: closes it, if it is open and of this promotion
      < push: deletes the branch if the push made it and nobody pushed since, else reverts the commit; stuck if others changed the same lines
      | https://git.example/gitops: dev.yaml#tag=0
      | pull request 1: closed
    ");
}

#[test]
fn what_was_not_merged_as_one_commit_is_left_to_a_person() {
    let merge = about("merge", "git_merge_pr", &json!({ "method": "rebase" }));
    assert_snapshot!(promoted(&steps(&[merge, teapot()]), "fail call"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs pr
    dev.1 runs merge
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push
    dev.1 stuck: undone only in part: step call failed: call was told to fail
    dev.1   remains: step merge: pull request 1 of https://git.example/gitops is merged into branch main, not as one commit: take it back by hand
    dev is held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < merge: reverts what was merged, if that is one commit; else stuck
      < pr: closes it, if it is open and of this promotion
      < push: deletes the branch if the push made it and nobody pushed since, else reverts the commit; stuck if others changed the same lines
      | https://git.example/gitops: dev.yaml#tag=0 merged#number=1
      | pull request 1: merged
    ");
}

#[test]
fn what_stays_closed_is_told() {
    let close = about("close", "git_close_pr", &json!({}));
    assert_snapshot!(promoted(&steps(&[close, teapot()]), "fail call"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs pr
    dev.1 runs close
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes pr
    dev.1 undoes push
    dev.1 rolled_back: undone: step call failed: call was told to fail
    dev.1   remains: step close: pull request 1 of https://git.example/gitops was closed, and stays so
      < call (not all): has no undo: what was sent stays sent
      < close (not all): has no undo: what was closed stays closed
      < pr: closes it, if it is open and of this promotion
      < push: deletes the branch if the push made it and nobody pushed since, else reverts the commit; stuck if others changed the same lines
      | https://git.example/gitops: dev.yaml#tag=0
      | pull request 1: closed
    ");
}

#[test]
fn nothing_to_push_is_nothing_to_merge() {
    let merge = about("merge", "git_merge_pr", &json!({}));
    let merged = about("merged", "git_wait_for_pr", &json!({}));
    let steps = steps(&[merge, merged]);
    assert_snapshot!(promoted(&steps, "push gitops dev.yaml#tag=1.0.0"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs pr
    dev.1 runs merge
    dev.1 runs merged
    dev.1 succeeded: every step is done and every check passed
      < merged: reverts what was merged, if that is one commit; else stuck
      < merge: reverts what was merged, if that is one commit; else stuck
      < pr: closes it, if it is open and of this promotion
      < push: deletes the branch if the push made it and nobody pushed since, else reverts the commit; stuck if others changed the same lines
      | https://git.example/gitops: dev.yaml#tag=1.0.0
    ");
}

#[test]
fn a_wait_is_told() {
    let steps = steps(&[about("merged", "git_wait_for_pr", &json!({ "timeout": "2d" }))]);
    let is_open = |world: &World| {
        let id = "dev.1".parse().expect("an id");
        world.sagas.get(&id).is_some_and(|_| {
            let state = world.promotion_snapshot(&id).state;
            let run = state.nodes.get(&Node::Step("merged".parse().expect("a name")));
            run.is_some_and(|run| run.outcome.is_none())
        })
    };
    // Killed once the intent is there and the outcome is not, as between two looks.
    let mut world = (0..100)
        .find_map(|fuel| {
            let mut world = world(&steps);
            world.fuel = Some(fuel);
            play(&mut world, "found shop api 1.0.0").err()?;
            is_open(&world).then_some(world)
        })
        .expect("there is such a moment");
    let id = "dev.1".parse().expect("an id");
    let next = reconciler_domain::plan::promotion(&world.promotion_snapshot(&id), world.now);
    assert_snapshot!(next.waiting[0].message, @"step merged waits for pull request 1 of https://git.example/gitops to be merged or closed, until 2026-01-03T00:00:00Z");
    world.fuel = None;
    play(&mut world, "why dev\noutside").expect("nothing crashes");
    assert!(world.story.iter().any(|line| line.contains("pull request 1: merged")));
}

#[test]
fn arguments_are_checked() {
    let check = |uses: &str, config: &Value| {
        let world = world(&json!([["x", uses, config]]));
        let problems = check_stage(world.stage("dev"), &Surroundings::of(&world.definitions));
        let lines = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message));
        lines.collect::<Vec<_>>().join("\n")
    };
    let open = json!({ "repo": REPO, "source": "x", "target": "main", "title": "t" });
    assert_snapshot!(check("git_open_pr", &open), @"steps[0].config.forge: the repository's host is not one that everybody knows: one of github, gitlab, gitea");
    let known =
        json!({ "repo": "git@github.com:a/b", "source": "x", "target": "main", "title": "t" });
    assert_snapshot!(check("git_open_pr", &known), @"");
    let rebase = json!({ "repo": "https://gitlab.com/a/b", "number": 7, "method": "rebase" });
    assert_snapshot!(check("git_merge_pr", &rebase), @"steps[0].config.method: GitLab rebases as its project's settings say: give merge or squash");
    let late = json!({ "repo": "{{ vars.repo }}", "forge": "bitbucket", "number": "seven" });
    assert_snapshot!(check("git_wait_for_pr", &late), @r#"
    steps[0].config.number: expected a whole number, found the text "seven"
    steps[0].config.forge: "bitbucket" is not allowed; known: github, gitlab, gitea
    "#);
}
