//! Gates: what each says, who may approve, who may skip.

use insta::assert_snapshot;

use crate::kit::script::{line_of, promotion_id};
use crate::kit::{World, play, run};

#[test]
fn soak_counts_from_the_verification_on() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        verification errors count=3
        warehouse shop api
        stage dev shop: app verify=errors
        stage prod shop<dev: app
        policy auto dev automatic
        policy gate prod gated soak=1h
        found shop api 1.0.0
        why prod
        +2m
        why prod
        +59m
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
      ? freight f1: NotVerifiedUpstream: not verified upstream in dev
    -- +2m
    dev.1 measures errors/rate: pass
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:02:00Z [2026-01-01T01:02:00Z]
    -- +59m
    -- +1m
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn several_people_of_a_group_approve() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre:2:requester
        policy more dev gated approve=sre:1:policy_author approve=qa
        found shop api 1.0.0
        promote dev f1 by ann
        promote dev f1 by ann bypass soak as sre
        abort dev.1 by ann
        promote dev f1 by ann
        approve dev.2 by ann in sre,qa
        approve dev.2 by bob in nobody
        approve dev.2 by bob in sre
        approve dev.2 by bob in sre
        approve dev.2 by admin in sre
        gates dev.2
        approve dev.2 by eve in sre sha256:other
        approve dev.2 by eve in sre
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    refused: promotion dev.1 is bringing freight f1 to this stage already
    refused: no policy gives ann the right to skip the gate soak of stage dev
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann: not now
    dev.2 starts: f1, by ann
    dev.2 is prepared
    dev.2 is approved by ann
    dev.2 is approved by bob
    dev.2 is approved by bob
    refused: bob has approved this change set of promotion dev.2 already
    dev.2 is approved by admin
      # upstream Pass: the freight is available: straight from its warehouse
      # approvals Pass: approved by ann
      # approvals Fail: needs 2 approvals of group sre, has 1; admin, ann may not approve this promotion
    refused: promotion dev.2 would now do something else than what you saw (sha256:other): look at its change set sha256:ef198bf81a3bc79ade495a71e91cc61dd914750f945601bbe013db3eeeb4b010 and approve that
    dev.2 is approved by eve
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_requester_may_approve_where_nobody_is_excluded() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev manual approve=sre
        found shop api 1.0.0
        promote dev f1 by ann
        approve dev.1 by ann in sre
        approve dev.1 by bob in sre
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    refused: promotion dev.1 is succeeded; only a promotion that waits at its gates can be approved
    ");
}

#[test]
fn a_person_with_the_right_skips_gates() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop<dev: app
        policy gate prod gated soak=1d approve=sre bypass=oncall:soak+approvals+upstream
        found shop api 1.0.0
        promote prod f1 by ann bypass upstream as sre
        promote prod f1 by ann
        promote prod f1 by ann bypass upstream,soak as oncall
        gates prod.1
        approve prod.1 by bob in sre
    "), @r"
    f1 is made: api 1.0.0
    refused: no policy gives ann the right to skip the gate upstream of stage prod
    refused: freight f1 is not available to stage prod: it is not verified in dev; wait for that, or open the stage for it with `lockstep freight approve f1 --stage prod --reason …`
    prod.1 starts: f1, by ann
    prod.1 is prepared
      # upstream Fail (skipped): not verified upstream in dev
      # soak Unknown (skipped): has to soak for 1d once it is verified upstream
      # approvals Fail: needs 1 approval of group sre, has 0
    prod.1 is approved by bob
    prod.1 commits past upstream, soak
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn the_right_to_skip_ends_with_its_time() {
    // The right, and what was asked for by it: each has an end of its own.
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev manual approve=sre max_age=1h bypass=oncall:approvals+age@2026-01-01T02:00:00Z
        policy other dev manual when=stage.name=='prod'
        found shop api 1.0.0
        promote dev f1 by ann bypass approvals as oncall until 2026-01-01T01:00:00Z
        gates dev.1
        +1h
        gates dev.1
        abort dev.1 by ann
        promote dev f1 by ann bypass approvals,age as oncall
        gates dev.2
        +1h
        gates dev.2
        promote dev f1 by bob bypass approvals as oncall
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # age Pass: not older than 1h until 2026-01-01T01:00:00Z
      # condition Fail: condition does not hold: stage.name=='prod'
      # approvals Fail (skipped): needs 1 approval of group sre, has 0
    -- +1h
      # upstream Pass: the freight is available: straight from its warehouse
      # age Fail: older than 1h since 2026-01-01T01:00:00Z; newer freight is needed
      # condition Fail: condition does not hold: stage.name=='prod'
      # approvals Fail: needs 1 approval of group sre, has 0; not skipped any more since 2026-01-01T01:00:00Z
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann: not now
    dev.2 starts: f1, by ann
    dev.2 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # age Fail (skipped): older than 1h since 2026-01-01T01:00:00Z; newer freight is needed
      # condition Fail: condition does not hold: stage.name=='prod'
      # approvals Fail (skipped): needs 1 approval of group sre, has 0
    -- +1h
      # upstream Pass: the freight is available: straight from its warehouse
      # age Fail: older than 1h since 2026-01-01T01:00:00Z; newer freight is needed; the right to skip it has ended
      # condition Fail: condition does not hold: stage.name=='prod'
      # approvals Fail: needs 1 approval of group sre, has 0; the right to skip it has ended
    refused: no policy gives bob the right to skip the gate approvals of stage dev
    ");
}

#[test]
fn a_bypass_overtakes_the_promotion_that_waits() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre bypass=oncall:approvals
        policy other dev gated
        found shop api 1.0.0
        promote dev f1 by ann
        promote dev f1 by ann bypass approvals as oncall
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    refused: promotion dev.1 is bringing freight f1 to this stage already
    dev.2 starts: f1, by ann
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits past approvals
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn every_policy_that_asks_has_to_grant_the_bypass() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre bypass=oncall:approvals
        policy audit dev gated approve=audit
        found shop api 1.0.0
        promote dev f1 by ann bypass approvals as oncall
        drop policy audit
        promote dev f1 by ann bypass approvals as oncall
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    refused: no policy gives ann the right to skip the gate approvals of stage dev
    dev.2 starts: f1, by ann
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits past approvals
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_lost_right_closes_the_gate_again() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev manual approve=sre:2 approve=audit bypass=oncall:approvals
        found shop api 1.0.0
        fail set 1 retry
        promote dev f1 by ann bypass approvals as oncall
        policy gate dev manual approve=sre:2 approve=audit
        +5s
        gates dev.1
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 could not be prepared, may pass: set was told to fail
    -- +5s
    dev.1 is prepared again
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # approvals Fail: needs 1 approval of group audit, has 0
      # approvals Fail: needs 2 approvals of group sre, has 0
    ");
}

#[test]
fn infra_rules_judge_the_plans() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated max=1
        policy more dev gated forbid=delete+replace protect=x.cache
        found shop api 1.0.0
        gates dev.1
        policy gate dev gated max=2
        push infra module#disk=1
        found shop api 1.1.0
        gates dev.2
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # infra Fail: infra: the plan makes 2 changes, at most 1 are allowed
    dev.1 commits
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_promotion_of_automation_stops_at_a_policy_that_turned_manual() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        policy gate dev manual approve=sre
        approve dev.1 by ann in sre
        gates dev.1
        drop policy gate
        gates dev.1
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
      # upstream Pass: the freight is available: straight from its warehouse
      # mode Fail: the stage is manual: a person must start the promotion
      # approvals Pass: approved by ann
      # upstream Pass: the freight is available: straight from its warehouse
      # mode Fail: no policy selects the stage, so a person must start the promotion
    ");
}

#[test]
fn a_hold_stops_what_automation_had_begun() {
    let mut world = World::new();
    let script = "
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app once
        policy auto dev automatic
        fail push 1 retry
        found shop api 1.0.0
        found shop api 1.1.0
        why dev
    ";
    play(&mut world, script).expect("nothing crashes");
    // The process dies while the request is being sent.
    let sends = |world: &World| {
        let nodes = &world.sagas[&promotion_id("dev.1")].state.nodes;
        nodes.keys().any(|node| node.step().as_str() == "call")
    };
    for _ in 0..100 {
        world.fuel = Some(2);
        let _ = line_of(&mut world, "+1s");
        if sends(&world) {
            break;
        }
    }
    assert!(sends(&world), "the request is being sent");
    world.fuel = None;
    play(&mut world, "+1m\nwhy dev").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
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
    -- +1s
    -- +1s
    -- +1s
    -- +1s
    -- +1s
    -- +1s
    dev.1 runs push (attempt 2)
    -- +1s
    -- +1m
    dev.1 runs call: uncertain: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    dev.1 stuck: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev.1   remains: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    dev is held by automation: promotion dev.1 is stuck: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
      ? stage dev: Held: held by automation: promotion dev.1 is stuck: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
      ? promotion dev.2: Held: held by automation since 2026-01-01T00:00:05Z: promotion dev.1 is stuck: step call: the daemon stopped while POST https://hook.example/dev was being sent; it is not known whether the receiver saw it, and the step is marked to be sent at most once
    ");
}
