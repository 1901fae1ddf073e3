//! Holds: what they stop, until when, and what goes on beside them.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn held_artifacts_are_passed_over_until_the_hold_ends() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        hold cve api >=1.1.0 <1.2.0 until 2h
        found shop api 1.0.0
        found shop api 1.1.0
        why dev
        promote dev f2 by ann
        +1h
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
      ? freight f2: Held: hold cve of admin: it leaks [2026-01-01T02:00:00Z]
    refused: freight f2 is kept from stage dev: hold cve of admin: it leaks
    -- +1h
    -- +1h
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn newer_freight_goes_past_what_is_held() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        hold cve api 1.1.0
        found shop api 1.1.0
        found shop api 1.2.0
        why dev
    "), @r"
    f1 is made: api 1.1.0
    f2 is made: api 1.2.0
    dev.1 starts: f2, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_waiting_promotion_waits_at_the_hold_too() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev manual approve=sre
        found shop api 1.0.0
        promote dev f1 by ann
        hold cve freight f1
        hold shut stage dev until 1h
        approve dev.1 by bob in sre
        gates dev.1
        why dev
        lift cve
        why dev
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 is approved by bob
      # upstream Pass: the freight is available: straight from its warehouse
      # hold Fail: hold cve of admin: it leaks
      # hold Fail: hold shut of admin: it leaks
      # approvals Pass: approved by bob
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.1: Held: hold cve of admin: it leaks
      ? promotion dev.1: Held: hold shut of admin: it leaks [2026-01-01T01:00:00Z]
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.1: Held: hold shut of admin: it leaks [2026-01-01T01:00:00Z]
    -- +1h
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_held_stage_takes_nothing_from_anybody() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        hold shut stage dev
        found shop api 1.0.0
        why dev
        promote dev f1 by ann
        lift shut
    "), @r"
    f1 is made: api 1.0.0
      ? stage dev: Held: hold shut of admin: it leaks
    refused: freight f1 is kept from stage dev: hold shut of admin: it leaks
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn held_freight_does_not_pass_a_stage_without_steps() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage gate shop:
        stage dev shop<gate: app
        policy auto dev automatic
        hold cve api 1.0.0 until 1h
        found shop api 1.0.0
        why gate
        +1h
    "), @r"
    f1 is made: api 1.0.0
      ? freight f1: Held: hold cve of admin: it leaks [2026-01-01T01:00:00Z]
    -- +1h
    f1 passes gate
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn an_older_choice_beside_held_freight_holds_nothing() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0
        hold cve api 1.1.0
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
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
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
fn freight_that_comes_along_is_held_too() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev manual approve=sre
        found shop api 1.0.0
        found data db 2.0.0
        promote dev f2 by ann
        promote dev f1 by ann
        hold cve db 2.0.0
        approve dev.2 by bob in sre
        why dev
        lift cve
        why dev
    "), @r"
    f1 is made: api 1.0.0
    f2 is made: db 2.0.0
    dev.1 starts: f2, by ann
    dev.2 starts: f1, by ann
    dev.1 is prepared
    dev.2 is prepared
    dev.2 is approved by bob
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.1: Held: hold cve of admin: it leaks
      ? promotion dev.1: ApprovalsMissing: needs 1 approval of group sre, has 0
      ? promotion dev.2: Held: hold cve of admin: it leaks; it stops freight f2 of data, which comes with it
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.1 superseded: its freight is in the stage already: promotion dev.2 brought it
      ? stage dev: Manual: the stage is manual; a person starts its promotions
    ");
}

#[test]
fn an_automatic_hold_can_be_lifted() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0
        promote dev f1 by ann
        found shop api 1.2.0
        lift stage dev
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
    dev.4 starts: f3, by automation
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
    ");
}
