//! Committing: the slot, retries, aborts, and what cannot be known.

use insta::assert_snapshot;
use reconciler_domain::promotion::Ending;

use crate::kit::script::{line_of, promotion_id};
use crate::kit::{World, play, run};

#[test]
fn one_promotion_at_a_time_holds_the_slot() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail push 1 retry
        found shop api 1.0.0
        found shop api 1.1.0
        why dev
        +5s
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
      ? promotion dev.1: StepFailed: step push failed and runs again at 2026-01-01T00:00:05Z: push was told to fail [2026-01-01T00:00:05Z]
      ? promotion dev.2: SlotTaken: waits for promotion dev.1 to end
    -- +5s
    dev.1 runs push (attempt 2)
    dev.1 succeeded: every step is done and every check passed
    dev.2 is prepared again
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.1.0
    ");
}

#[test]
fn a_failed_step_runs_again_at_growing_distances_and_then_for_the_last_time() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail push 9 retry
        found shop api 1.0.0
        why dev
        +1h
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
      ? promotion dev.1: StepFailed: step push failed and runs again at 2026-01-01T00:00:05Z: push was told to fail [2026-01-01T00:00:05Z]
    -- +1h
    dev.1 runs push (attempt 2): failed: push was told to fail
    dev.1 runs push (attempt 3): failed: push was told to fail
    dev.1 runs push (attempt 4): failed: push was told to fail
    dev.1 failed: step push failed: push was told to fail
      | https://git.example/gitops: a.yaml#b=c
    ");
}

#[test]
fn what_others_pushed_meanwhile_stays() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail push 1 retry
        found shop api 1.0.0
        push gitops other.yaml#a=1
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
      | https://git.example/gitops: dev.yaml#tag=1.0.0 other.yaml#a=1
    ");
}

#[test]
fn without_rollback_a_failure_stays_as_it_is() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook app
        policy auto dev automatic
        fail push 1
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 runs push: failed: push was told to fail
    dev.1 failed: step push failed: push was told to fail
    dev.1   remains: step apply: created x.cache, x.version
    dev.1   remains: step call: POST https://hook.example/dev was sent
      | https://git.example/gitops: a.yaml#b=c
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
      | request shop/dev.1/call
    ");
}

#[test]
fn an_abort_at_the_gates_ends_the_promotion() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        abort dev.1 by ann
        abort dev.1 by ann
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann: not now
    refused: promotion dev.1 is over: it aborted
      ? freight f1: PassedOver: its last promotion here did not succeed; a person can promote it
    ");
}

#[test]
fn an_abort_while_preparing_ends_the_promotion() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail set 1 retry
        found shop api 1.0.0
        abort dev.1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared, may pass: set was told to fail
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann: not now
    ");
}

#[test]
fn an_abort_in_mid_commit_stops_before_the_next_step() {
    let mut world = World::new();
    let script = "
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app hook
        policy auto dev automatic
    ";
    play(&mut world, script).expect("nothing crashes");
    for _ in 0..1000 {
        world.fuel = Some(2);
        let line = if world.freight.is_empty() { "found shop api 1.0.0" } else { "+0s" };
        let _ = line_of(&mut world, line);
        let pushed =
            |saga: &crate::kit::world::Saga| saga.state.nodes.values().any(|n| n.outcome.is_some());
        if world.sagas.values().any(pushed) {
            break;
        }
    }
    world.fuel = None;
    world.story.retain(|line| !line.starts_with("--"));
    play(&mut world, "abort dev.1 by ann\noutside").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann before step call: not now
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.0.0
    ");
}

#[test]
fn an_abort_stops_retries() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic rollback
        fail push 9 retry
        found shop api 1.0.0
        abort dev.1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann during step push: not now; it ended so: push was told to fail
    ");
}

#[test]
fn an_abort_during_verification_leaves_the_freight_unverified() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        verification errors count=3
        warehouse shop api
        stage dev shop: app verify=errors
        stage prod shop<dev: app
        policy auto dev,prod automatic
        found shop api 1.0.0
        abort dev.1 by ann
        why prod
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann during verification: not now
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
      ? freight f1: NotVerifiedUpstream: not verified upstream in dev
    ");
}

#[test]
fn an_abort_during_the_undo_stops_its_retries() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app hook
        policy auto dev automatic rollback
        fail call 1
        fail undo-push 9 retry
        found shop api 1.0.0
        why dev
        abort dev.1 by ann
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push: failed: undo-push was told to fail
      ? promotion dev.1: StepFailed: the undo of step push failed and runs again at 2026-01-01T00:00:05Z: undo-push was told to fail [2026-01-01T00:00:05Z]
    dev.1 is to stop, says ann
    dev.1 stuck: the undo of step push failed: undo-push was told to fail
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev is held by automation: promotion dev.1 is stuck: the undo of step push failed: undo-push was told to fail
      ? stage dev: Held: held by automation: promotion dev.1 is stuck: the undo of step push failed: undo-push was told to fail
    ");
}

#[test]
fn a_stage_that_is_deleted_ends_its_waiting_promotion() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        drop stage dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 aborted: its stage was deleted
    ");
}

/// Plays until the process dies after so many boundaries, then goes on.
fn with_crash(steps: &str, fuel: u32) -> World {
    let mut world = World::new();
    let script = format!(
        "
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: {steps}
        policy auto dev automatic
        "
    );
    play(&mut world, &script).expect("nothing crashes");
    world.fuel = Some(fuel);
    let crashed = line_of(&mut world, "found shop api 1.0.0").is_err();
    world.fuel = None;
    if crashed {
        world.story.push("-- the process dies and starts again".to_owned());
    }
    world.settle().expect("nothing crashes");
    world
}

#[test]
fn a_request_that_may_have_been_sent_at_most_once_is_stuck() {
    let uncertain = (0..100).map(|fuel| with_crash("once", fuel)).find(|world| {
        let state = &world.sagas[&promotion_id("dev.1")].state;
        state.finish.as_ref().is_some_and(|(_, finish)| finish.message.contains("not known"))
    });
    assert_snapshot!(uncertain.expect("some crash is in mid-request").story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    -- the process dies and starts again
    dev.1 runs call: uncertain: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    dev.1 stuck: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    dev.1   remains: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    dev is held by automation: promotion dev.1 is stuck: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    ");
    // Wherever it dies, the request is sent once or not at all.
    for fuel in 0..40 {
        let world = with_crash("once", fuel);
        assert!(world.outside.effects.values().sum::<u32>() <= 1, "{:?}", world.outside.effects);
    }
}

#[test]
fn a_request_that_can_be_asked_about_is_no_riddle() {
    let mut asked = 0;
    for fuel in 0..60 {
        let world = with_crash("confirmed", fuel);
        let state = &world.sagas[&promotion_id("dev.1")].state;
        let ending = state.finish.as_ref().map(|(_, finish)| finish.ending);
        assert_eq!(ending, Some(Ending::Succeeded), "after {fuel}: {}", world.story.join("\n"));
        assert_eq!(world.outside.effects.values().sum::<u32>(), 1, "after {fuel}");
        asked += world.outside.asked_first;
    }
    assert!(asked > 0, "no crash is in mid-request");
}

#[test]
fn a_program_that_may_have_run_at_most_once_is_stuck() {
    let uncertain = (0..100).map(|fuel| with_crash("program-once", fuel)).find(|world| {
        let state = &world.sagas[&promotion_id("dev.1")].state;
        state.finish.as_ref().is_some_and(|(_, finish)| finish.message.contains("not known"))
    });
    let story = uncertain.expect("some crash is while the program runs").story.join("\n");
    let why = "the daemon stopped while `migrate` was running; it is not known what it had done, and the \
               step is marked to be run at most once";
    assert!(story.contains(&format!("dev.1 stuck: step program: {why}")), "{story}");
    for fuel in 0..40 {
        let world = with_crash("program-once", fuel);
        assert!(world.outside.effects.values().sum::<u32>() <= 1, "{:?}", world.outside.effects);
        // One that knows its key is run again, and does nothing twice.
        let world = with_crash("program", fuel);
        assert_eq!(world.outside.effects.values().sum::<u32>(), 1, "after {fuel}");
    }
}

#[test]
fn a_request_that_may_be_repeated_goes_on() {
    for fuel in 0..40 {
        let world = with_crash("hook", fuel);
        assert_eq!(world.outside.effects.values().sum::<u32>(), 1, "after {fuel}");
    }
}

#[test]
fn automation_does_not_bring_what_came_with_another_promotion() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        verification errors count=2
        stage dev shop data: pair verify=errors
        found shop api 1.0.0
        promote dev f1 by bob
        policy gate dev gated approve=sre
        found data db 1.0.0
        approve dev.1 by ann in sre
        approve dev.2 by ann in sre
        why dev
        abort dev.1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by bob
    f2 is made: db 1.0.0
    dev.2 starts: f2, by automation
    dev.1 is prepared
    dev.2 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    dev.2 is approved by ann
      ? promotion dev.1: Verifying: verification errors/rate measures again at 2026-01-01T00:01:00Z [2026-01-01T00:01:00Z]
      ? promotion dev.2: SlotTaken: waits for promotion dev.1 to end
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann during verification: not now
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev.2 superseded: its freight is in the stage already
    ");
}
