//! What automation promotes, what people promote, and what stands in the way.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn automation_takes_new_freight_along_the_pipeline() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0 prod.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        stage prod shop<dev: app
        policy auto dev,prod automatic
        found shop api 1.0.0
        outside
        found shop api 1.1.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.0.0 prod.yaml#tag=1.0.0
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    prod.2 starts: f2, by automation
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.1.0 prod.yaml#tag=1.1.0
    ");
}

#[test]
fn a_stage_without_a_policy_is_manual() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        found shop api 1.0.0
        why dev
        promote dev f1 by ann
        promote dev f1 by ann
    "), @r"
    f1 is made: api 1.0.0
      ? stage dev: Manual: no policy selects the stage; a person starts its promotions
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    dev.2 starts: f1, by ann
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn manual_wins_over_gated_over_automatic() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy a dev automatic
        policy b d* manual
        found shop api 1.0.0
        why dev
        drop policy b
        why dev
    "), @r"
    f1 is made: api 1.0.0
      ? stage dev: Manual: the stage is manual; a person starts its promotions
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn automation_waits_until_definitions_rest() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic settle=30s
        found shop api 1.0.0
        why dev
        +29s
        policy auto dev automatic settle=30s
        +29s
        why dev
        +1s
    "), @r"
    f1 is made: api 1.0.0
      ? stage dev: Settling: definitions changed at 2026-01-01T00:00:00Z; automation waits 30s for the rest of them [2026-01-01T00:00:30Z]
    -- +29s
    -- +29s
      ? stage dev: Settling: definitions changed at 2026-01-01T00:00:29Z; automation waits 30s for the rest of them [2026-01-01T00:00:59Z]
    -- +1s
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn an_edit_holds_back_a_commit_of_automation() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre settle=30s
        found shop api 1.0.0
        +30s
        policy gate dev gated settle=30s
        why dev
        +30s
    "), @r"
    f1 is made: api 1.0.0
    -- +30s
    dev.1 starts: f1, by automation
    dev.1 is prepared
      ? stage dev: Settling: definitions changed at 2026-01-01T00:00:30Z; automation waits 30s for the rest of them [2026-01-01T00:01:00Z]
      ? promotion dev.1: Settling: definitions changed at 2026-01-01T00:00:30Z; automation waits 30s for the rest of them [2026-01-01T00:01:00Z]
    -- +30s
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn newer_freight_supersedes_what_has_not_committed() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        found shop api 1.1.0
        why dev
        approve dev.1 by ann in sre
        approve dev.2 by ann in sre
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
      ? promotion dev.2: ApprovalsMissing: needs 1 approval of group sre, has 0
    refused: promotion dev.1 is superseded; only a promotion that waits at its gates can be approved
    dev.2 is approved by ann
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn superseded_freight_goes_when_the_newer_one_failed() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        found shop api 1.1.0
        fail push 1
        approve dev.2 by ann in sre
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 is approved by ann
    dev.2 commits
    dev.2 runs push: failed: push was told to fail
    dev.2 failed: step push failed: push was told to fail
    dev.3 starts: f1, by automation
    dev.3 is prepared
      ? freight f2: PassedOver: its last promotion here did not succeed; a person can promote it
      ? promotion dev.3: ApprovalsMissing: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn a_queue_takes_every_freight_in_order() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app queue
        policy gate dev gated approve=sre
        found shop api 1.0.0
        found shop api 1.1.0
        found shop api 1.2.0
        why dev
        approve dev.1 by ann in sre
        approve dev.2 by ann in sre
        approve dev.3 by ann in sre
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    f2 is made: api 1.1.0
    f3 is made: api 1.2.0
      ? freight f2: PromotionRunning: waits for promotion dev.1 to end
      ? promotion dev.1: ApprovalsMissing: needs 1 approval of group sre, has 0
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 is approved by ann
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 is approved by ann
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    ");
}

#[test]
fn in_a_queue_newer_freight_waits_for_older_that_soaks() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop<dev: app queue
        policy gate prod gated soak=1h
        found shop api 1.0.0
        promote dev f1 by ann
        found shop api 1.1.0
        open prod f2
        why prod
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:00:00Z [2026-01-01T01:00:00Z]
    -- +1h
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    prod.2 starts: f2, by automation
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn match_upstream_takes_only_what_is_upstream_now() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop<dev: app match_upstream
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0
        promote dev f1 by ann
        policy more prod automatic
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#tag=1.0.0 prod.yaml#tag=1.0.0
    ");
}

#[test]
fn match_upstream_looks_through_control_flow_stages() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage tested shop<dev
        stage prod shop<tested: app match_upstream
        policy auto dev,prod automatic
        found shop api 1.0.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f1 passes tested
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_persons_older_choice_holds_the_stage_until_the_newest_is_promoted() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0
        promote dev f1 by ann
        found shop api 1.2.0
        why dev
        promote dev f3 by ann
        found shop api 1.3.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    f3 is made: api 1.2.0
      ? stage dev: Held: held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.4 starts: f3, by ann
    dev is held no longer
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
    f4 is made: api 1.3.0
    dev.5 starts: f4, by automation
    dev.5 is prepared
    dev.5 commits
    dev.5 runs push
    dev.5 succeeded: every step is done and every check passed
    ");
}

#[test]
fn going_back_from_freight_that_failed_holds_nothing() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        fail push 1
        found shop api 1.1.0
        promote dev f1 by ann
        found shop api 1.2.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push: failed: push was told to fail
    dev.2 failed: step push failed: push was told to fail
    dev.3 starts: f1, by ann
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    f3 is made: api 1.2.0
    dev.4 starts: f3, by automation
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_failed_promotion_is_not_retried_and_the_next_freight_is_free() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        fail push 1
        found shop api 1.0.0
        +1d
        found shop api 1.1.0
        promote dev f1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    dev.1 failed: step push failed: push was told to fail
    -- +1d
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_a_person_started_is_not_superseded_by_automation() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev gated approve=sre
        found shop api 1.0.0
        promote dev f1 by ann bypass approvals as sre
        abort dev.1 by ann
        promote dev f1 by ann
        found shop api 1.1.0
        why dev
        approve dev.2 by bob in sre
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    refused: no policy gives ann the right to skip the gate approvals of stage dev
    dev.1 is to stop, says ann
    dev.1 aborted: aborted by ann: not now
    dev.2 starts: f1, by ann
    dev.2 is prepared
    f2 is made: api 1.1.0
      ? freight f2: PromotionRunning: waits for promotion dev.2 to end
      ? promotion dev.2: ApprovalsMissing: needs 1 approval of group sre, has 0
    dev.2 is approved by bob
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f2, by automation
    dev.3 is prepared
    ");
}

#[test]
fn freight_that_is_there_or_coming_needs_no_other_promotion() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev manual approve=sre
        found shop api 1.0.0
        ensured dev f1
        promote dev f1 by ann
        ensured dev f1
        approve dev.1 by bob in sre
        ensured dev f1
        found shop api 1.1.0
        promote dev f2 by ann
        approve dev.2 by bob in sre
        ensured dev f1
    "), @r#"
    f1 is made: api 1.0.0
      = None
    dev.1 starts: f1, by ann
    dev.1 is prepared
      = Some(Running(PromotionId("dev.1")))
    dev.1 is approved by bob
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      = Some(There)
    f2 is made: api 1.1.0
    dev.2 starts: f2, by ann
    dev.2 is prepared
    dev.2 is approved by bob
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
      = None
    "#);
}

#[test]
fn a_stage_goes_back_and_further_back_but_never_forth() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0
        found shop api 1.2.0
        rollback dev by ann
        outside
        why dev
        rollback dev by ann
        outside
        rollback dev by ann
        promote dev f3 by ann
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    dev.4 starts: f2, by ann
    dev is held by ann: ann promoted freight f2 instead of what automation would choose; promote the newest freight to let automation go on
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.1.0
      ? stage dev: Held: held by ann: ann promoted freight f2 instead of what automation would choose; promote the newest freight to let automation go on
    dev.5 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.5 is prepared
    dev.5 commits
    dev.5 runs push
    dev.5 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.0.0
    refused: stage dev has no earlier freight that it vouches for and that may go there; name one with `lockstep promote dev --freight …`
    dev.6 starts: f3, by ann
    dev is held no longer
    dev.6 is prepared
    dev.6 commits
    dev.6 runs push
    dev.6 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.2.0
    ");
}

#[test]
fn a_rollback_waits_for_its_own_windows_and_for_no_held_freight() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0
        found shop api 1.2.0
        hold cve freight f2
        policy auto dev gated deny=FREQ=DAILY/24h
        rollback dev by ann
        promote dev f3 by ann
        why dev
        gates dev.5
        policy auto dev gated deny=FREQ=DAILY/24h/rollback
        lift cve
        promote dev f3 by ann
        rollback dev by ann
        gates dev.7
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    dev.4 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
    dev.5 starts: f3, by ann
    dev is held no longer
    dev.5 is prepared
      ? promotion dev.5: WindowClosed: denied by window shut; does not open before 2302-07-14T00:00:00Z [2302-07-14T00:00:00Z]
      # upstream Pass: the freight is available: straight from its warehouse
      # window Fail: denied by window shut; does not open before 2302-07-14T00:00:00Z
    dev.5 commits
    dev.5 runs push
    dev.5 succeeded: every step is done and every check passed
    dev.6 starts: f3, by ann
    dev.6 is prepared
    dev.6 commits
    dev.6 runs push
    dev.6 succeeded: every step is done and every check passed
    dev.7 starts: f2, by ann
    dev is held by ann: ann promoted freight f2 instead of what automation would choose; promote the newest freight to let automation go on
    dev.7 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # window Fail: denied by window shut; does not open before 2302-07-14T00:00:00Z
    ");
}

#[test]
fn a_person_sets_variables_for_one_promotion_as_far_as_the_stage_lets_them() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        push gitops dev.yaml#size=1
        warehouse shop api
        stage dev shop: sized size=1 region=eu settable=size
        policy guard dev manual
        found shop api 1.0.0
        promote dev f1 by ann set region=us
        promote dev f1 by ann set siz=2
        promote dev f1 by ann set size=2
        outside
        policy guard dev manual when=stage.vars.size!='3'
        promote dev f1 by ann set size=3
        why dev
        stage dev shop: sized size=1 region=eu
        outside
    "), @r#"
    f1 is made: api 1.0.0
    refused: variable "region" of stage dev cannot be set for one promotion; `settable_vars` of the stage allows size
    refused: variable "siz" of stage dev cannot be set for one promotion; `settable_vars` of the stage allows size
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#size=2 dev.yaml#tag=1.0.0
    dev.2 starts: f1, by ann
    dev.2 is prepared
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.2: ConditionFails: condition does not hold: stage.vars.size!='3'
    dev.2 failed: failed before anything was changed: it sets variable size, which stage dev does not let a promotion set any more
      | https://git.example/gitops: dev.yaml#size=2 dev.yaml#tag=1.0.0
    "#);
}
