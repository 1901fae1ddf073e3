//! Rehearsals: promotions that only show what they would do.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn a_rehearsal_shows_its_gates_and_ends_by_itself() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop
        stage prod shop<dev: infra
        policy gate prod gated soak=1h approve=sre
        found shop api 1.0.0
        rehearse prod f1 by ann
        why prod
        approve prod.1 by bob in sre
        undo-plan prod.1
        +20m
        outside
    "), @r"
    f1 is made: api 1.0.0
    f1 passes dev
    prod.1 is rehearsed: f1, by ann
    prod.1 is prepared
      ? freight f1: Soaking: soaks upstream until 2026-01-01T01:00:00Z [2026-01-01T01:00:00Z]
      ? promotion prod.1: Soaking: has to soak for 1h upstream, until 2026-01-01T01:00:00Z [2026-01-01T01:00:00Z]
      ? promotion prod.1: ApprovalsMissing: needs 1 approval of group sre, has 0
      ? promotion prod.1: Rehearsal: is a rehearsal: it shows what it would do until 2026-01-01T00:15:00Z, and changes nothing [2026-01-01T00:15:00Z]
    refused: promotion prod.1 is a rehearsal: there is nothing to agree to; promote the freight first
      < apply: destroys what this promotion created, and nothing else
    -- +20m
    prod.1 rehearsed: it was a rehearsal: nothing was changed; it was kept until 2026-01-01T00:15:00Z
      | https://git.example/infra: module#cache=1
    ");
}

#[test]
fn a_rehearsal_is_in_nobodys_way() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
        rehearse dev f1 by ann
        found shop api 1.1.0
        rehearse dev f2 by ann
        promote dev f1 by bob
        rehearse dev f2 by ann
        abort dev.6 by ann
        +1h
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    dev.2 is rehearsed: f1, by ann
    dev.2 is prepared
    f2 is made: api 1.1.0
    dev.3 starts: f2, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    dev.2 rehearsed: it was a rehearsal: nothing was changed; what it was made from has changed since
    dev.4 is rehearsed: f2, by ann
    dev.4 is prepared
    dev.5 starts: f1, by bob
    dev is held by bob: bob promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.5 is prepared
    dev.5 commits
    dev.5 runs push
    dev.5 succeeded: every step is done and every check passed
    dev.4 rehearsed: it was a rehearsal: nothing was changed; what it was made from has changed since
    dev.6 is rehearsed: f2, by ann
    dev.6 is prepared
    dev.6 is to stop, says ann
    dev.6 rehearsed: it was a rehearsal: nothing was changed, and ann has seen it: not now
    -- +1h
      | https://git.example/gitops: dev.yaml#tag=1.0.0
    ");
}

#[test]
fn what_no_promotion_could_be_is_not_rehearsed() {
    assert_snapshot!(run("
        warehouse shop api
        warehouse data db
        stage dev shop: app
        stage passed shop
        found data db 5.0.0
        found shop api 1.0.0
        rehearse passed f2 by ann
        rehearse dev f1 by ann
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    f2 passes passed
    refused: stage passed has no steps: freight passes through it by itself
    refused: freight f1 is not available to stage dev: the stage does not request freight of its warehouse
    ");
}

#[test]
fn rehearsals_are_bounded() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy hand dev manual
        found shop api 1.0.0
        rehearse dev f1 by ann
        rehearse dev f1 by ann
        rehearse dev f1 by ann
        rehearse dev f1 by ann
        +16m
        rehearse dev f1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 is rehearsed: f1, by ann
    dev.1 is prepared
    dev.2 is rehearsed: f1, by ann
    dev.2 is prepared
    dev.3 is rehearsed: f1, by ann
    dev.3 is prepared
    refused: stage dev has 3 rehearsals that are not over; abort one, or wait: each ends by itself after 15 minutes
    -- +16m
    dev.1 rehearsed: it was a rehearsal: nothing was changed; it was kept until 2026-01-01T00:15:00Z
    dev.2 rehearsed: it was a rehearsal: nothing was changed; it was kept until 2026-01-01T00:15:00Z
    dev.3 rehearsed: it was a rehearsal: nothing was changed; it was kept until 2026-01-01T00:15:00Z
    dev.4 is rehearsed: f1, by ann
    dev.4 is prepared
    ");
}
