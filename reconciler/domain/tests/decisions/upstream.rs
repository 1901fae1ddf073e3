//! Where freight comes from: upstream stages, control-flow stages and their soak, several warehouses.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn freight_has_to_be_verified_upstream_or_opened() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage qa shop: app
        stage prod shop<dev&qa: app
        policy auto dev,prod automatic
        found shop api 1.0.0
        why prod
        promote prod f1 by ann
        open prod f1
        found shop api 1.1.0
        promote qa f2 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      ? freight f1: NotVerifiedUpstream: not verified upstream in qa
    refused: freight f1 is not available to stage prod: it is not verified in qa; wait for that, or open the stage for it with `lockstep freight approve f1 --stage prod --reason …`
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    qa.1 starts: f2, by ann
    qa.1 is prepared
    qa.1 commits
    qa.1 runs push
    qa.1 succeeded: every step is done and every check passed
    prod.2 starts: f2, by automation
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn control_flow_stages_pass_freight_on() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage qa shop: app
        stage both shop<dev&qa
        stage prod shop<both: app
        policy auto dev,prod automatic
        found shop api 1.0.0
        promote both f1 by ann
        promote qa f1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    refused: stage both has no steps: freight passes through it by itself
    qa.1 starts: f1, by ann
    qa.1 is prepared
    qa.1 commits
    qa.1 runs push
    qa.1 succeeded: every step is done and every check passed
    f1 passes both
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn soak_passes_through_control_flow_stages() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage tested shop<dev
        stage passed shop<tested
        stage prod shop<passed: app
        policy auto dev automatic
        policy gate prod gated soak=1h
        found shop api 1.0.0
        +30m
        why prod
        +30m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f1 passes tested
    f1 passes passed
    -- +30m
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:00:00Z [2026-01-01T01:00:00Z]
    -- +30m
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn through_a_stage_that_asks_for_all_the_shortest_soak_counts() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage qa shop: app
        stage both shop<dev&qa
        stage prod shop<both: app
        policy auto dev automatic
        policy gate prod gated soak=1h
        found shop api 1.0.0
        +40m
        promote qa f1 by ann
        +40m
        why prod
        +20m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    -- +40m
    qa.1 starts: f1, by ann
    qa.1 is prepared
    qa.1 commits
    qa.1 runs push
    qa.1 succeeded: every step is done and every check passed
    f1 passes both
    -- +40m
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:40:00Z [2026-01-01T01:40:00Z]
    -- +20m
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn soak_that_cannot_be_reached_says_so() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage tested shop<dev
        stage prod shop<tested: app
        policy auto dev automatic
        policy gate prod gated soak=1h
        found shop api 1.0.0
        +30m
        found shop api 1.1.0
        why prod
        +2h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f1 passes tested
    -- +30m
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    f2 passes tested
      ? freight f2: Soaking: soaks upstream until 2026-01-01T01:30:00Z [2026-01-01T01:30:00Z]
      ? freight f1: Soaking: did not soak upstream for long enough and is no longer there
    -- +2h
    prod.1 starts: f2, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn freight_straight_from_the_warehouse_soaks_in_a_control_flow_stage() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage intake shop
        stage prod shop<intake: app
        policy gate prod gated soak=1h
        found shop api 1.0.0
        why prod
        +1h
    "), @r"
    f1 is made: api 1.0.0
    f1 passes intake
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:00:00Z [2026-01-01T01:00:00Z]
    -- +1h
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn the_first_promotions_of_several_warehouses_bring_each_others_freight() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev automatic
        found shop api 1.0.0
        why dev
        found data db 5.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
      ? promotion dev.1: CollectionIncomplete: the stage also requests freight of data, and none has been promoted to it yet: promote some first
    f2 is made: db 5.0.0
    dev.2 starts: f1 and f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.0.0 dev.yaml#db=5.0.0
    ");
}

#[test]
fn freight_goes_with_what_is_in_the_stage_from_the_other_warehouse() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev manual approve=sre
        found shop api 1.0.0
        found data db 5.0.0
        promote dev f1 by bob
        promote dev f2 by bob
        approve dev.1 by ann in sre
        approve dev.2 by ann in sre
        found shop api 1.1.0
        found data db 5.1.0
        promote dev f3 by bob
        promote dev f4 by bob
        approve dev.4 by ann in sre
        outside
        why dev
        approve dev.3 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    f2 is made: db 5.0.0
    dev.1 starts: f1, by bob
    dev.2 starts: f2, by bob
    dev.1 is prepared
    dev.2 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    dev.2 superseded: its freight is in the stage already: promotion dev.1 brought it
    refused: promotion dev.2 is superseded; only a promotion that waits at its gates can be approved
    f3 is made: api 1.1.0
    f4 is made: db 5.1.0
    dev.3 starts: f3, by bob
    dev.3 is prepared
    dev.4 starts: f4, by bob
    dev.4 is prepared
    dev.4 is approved by ann
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
    dev.3 is prepared again
    dev.3 is prepared
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.0.0 dev.yaml#db=5.1.0
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.3: ApprovalsMissing: needs 1 approval of group sre, has 0
    dev.3 is approved by ann
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=5.1.0
    ");
}

const THREE: &str = "
    push gitops a.yaml#b=c
    warehouse shop api
    stage dev shop: app
    stage qa shop: app
    stage eu shop: app
    stage prod shop<2/dev|qa|eu: app
";

#[test]
fn a_quorum_of_the_upstream_stages_has_to_vouch() {
    assert_snapshot!(run(&format!("{THREE}
        policy auto dev,prod automatic
        found shop api 1.0.0
        why prod
        promote eu f1 by ann
    ")), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      ? freight f1: NotVerifiedUpstream: not verified upstream in eu, qa
    eu.1 starts: f1, by ann
    eu.1 is prepared
    eu.1 commits
    eu.1 runs push
    eu.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn soak_can_be_another_in_some_upstream_stages() {
    assert_snapshot!(run(&format!("{THREE}
        policy auto dev,qa,eu automatic
        policy slow prod gated soak=1h soak_in=qa:2h
        policy more prod gated soak_in=eu:30m
        found shop api 1.0.0
        why prod
        +1h
        gates prod.1
    ")), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    eu.1 starts: f1, by automation
    qa.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    eu.1 is prepared
    eu.1 commits
    eu.1 runs push
    eu.1 succeeded: every step is done and every check passed
    qa.1 is prepared
    qa.1 commits
    qa.1 runs push
    qa.1 succeeded: every step is done and every check passed
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:00:00Z [2026-01-01T01:00:00Z]
    -- +1h
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(run(&format!("{THREE}
        policy auto dev,qa,eu automatic
        policy slow prod gated soak=3h soak_in=qa:1h soak_in=eu:2h
        found shop api 1.0.0
        why prod
        +1h
        +1h
    ")), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    eu.1 starts: f1, by automation
    qa.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    eu.1 is prepared
    eu.1 commits
    eu.1 runs push
    eu.1 succeeded: every step is done and every check passed
    qa.1 is prepared
    qa.1 commits
    qa.1 runs push
    qa.1 succeeded: every step is done and every check passed
      ? freight f1: Soaking: soaks upstream until 2026-01-01T02:00:00Z [2026-01-01T02:00:00Z]
    -- +1h
    -- +1h
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}
