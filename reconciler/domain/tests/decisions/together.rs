//! Candidates of several warehouses: one promotion, as long as none of them committed.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn what_is_found_in_one_moment_goes_as_one_unit_all_the_way() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        stage prod shop<dev data<dev: pair
        policy auto dev,prod automatic
        found shop api 1.0.0 and data db 5.0.0
        outside
        found shop api 1.1.0 and data db 5.1.0
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f2 and f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.0.0 dev.yaml#db=5.0.0 prod.yaml#api=1.0.0 prod.yaml#db=5.0.0
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    prod.2 starts: f4 and f3, by automation
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=5.1.0 prod.yaml#api=1.1.0 prod.yaml#db=5.1.0
    ");
}

#[test]
fn what_waits_takes_along_what_comes_later() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated approve=sre
        found shop api 1.0.0 and data db 5.0.0
        approve dev.1 by ann in sre
        found shop api 1.1.0
        found data db 5.1.0
        found data db 5.2.0
        gates dev.4
        approve dev.4 by ann in sre
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: api 1.1.0
    dev.2 starts: f3, by automation
    dev.2 is prepared
    f4 is made: db 5.1.0
    dev.3 starts: f3 and f4, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
    f5 is made: db 5.2.0
    dev.4 starts: f3 and f5, by automation
    dev.3 superseded: promotion dev.4 takes its place
    dev.4 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # approvals Fail: needs 1 approval of group sre, has 0
    dev.4 is approved by ann
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=5.2.0
    ");
}

#[test]
fn what_committed_is_not_joined() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair asked
        policy gate dev automatic
        found shop api 1.0.0 and data db 5.0.0
        found data db 5.1.0
        found shop api 1.1.0
        why dev
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    f3 is made: db 5.1.0
    dev.2 starts: f3, by automation
    dev.2 is prepared
    f4 is made: api 1.1.0
    dev.3 starts: f4 and f3, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
      ? promotion dev.1: Waiting: step pause waits until 2026-01-01T00:00:30Z [2026-01-01T00:00:30Z]
      ? promotion dev.3: SlotTaken: waits for promotion dev.1 to end
    ");
}

#[test]
fn what_may_not_go_keeps_nothing_else() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated approve=sre
        found shop api 1.0.0 and data db 5.0.0
        approve dev.1 by ann in sre
        found shop api 1.1.0 and data db 5.1.0
        hold bad freight f3
        gates dev.3
        lift bad
        gates dev.4
        hold bad freight f4
        hold worse freight f3
        gates dev.5
        lift worse
        why dev
        lift bad
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.3 starts: f4, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # approvals Fail: needs 1 approval of group sre, has 0
    dev.4 starts: f4 and f3, by automation
    dev.3 superseded: promotion dev.4 takes its place
    dev.4 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # approvals Fail: needs 1 approval of group sre, has 0
    dev.5 starts: f3, by automation
    dev.4 superseded: promotion dev.5 takes its place
    dev.5 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # hold Fail: hold worse of admin: it leaks
      # approvals Fail: needs 1 approval of group sre, has 0
      ? freight f4: Held: hold bad of admin: it leaks
      ? promotion dev.5: ApprovalsMissing: needs 1 approval of group sre, has 0
    dev.6 starts: f4 and f3, by automation
    dev.5 superseded: promotion dev.6 takes its place
    dev.6 is prepared
    ");
}

#[test]
fn a_hold_that_ends_by_time_brings_them_together_again() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated approve=sre
        hold bad db >=5.0.0 until 10m
        found shop api 1.0.0 and data db 5.0.0
        why dev
        +11m
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2, by automation
      ? freight f1: Held: hold bad of admin: it leaks [2026-01-01T00:10:00Z]
      ? promotion dev.1: CollectionIncomplete: the stage also requests freight of data, and none has been promoted to it yet: promote some first
    -- +11m
    dev.2 starts: f2 and f1, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    ");
}

#[test]
fn each_soaks_for_itself_and_joins_what_waits() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        stage prod shop<dev data<dev: pair
        policy auto dev automatic
        policy gate prod gated soak=10m approve=sre
        found shop api 1.0.0 and data db 5.0.0
        +11m
        approve prod.1 by ann in sre
        found shop api 1.1.0
        +5m
        found data db 5.1.0
        +6m
        +5m
        gates prod.3
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    -- +11m
    prod.1 starts: f2 and f1, by automation
    prod.1 is prepared
    prod.1 is approved by ann
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    f3 is made: api 1.1.0
    dev.2 starts: f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    -- +5m
    f4 is made: db 5.1.0
    dev.3 starts: f4, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    -- +6m
    prod.2 starts: f3, by automation
    prod.2 is prepared
    -- +5m
    prod.3 starts: f3 and f4, by automation
    prod.2 superseded: promotion prod.3 takes its place
    prod.3 is prepared
      # upstream Pass: the freight is available: verified upstream
      # soak Pass: soaked for 10m
      # approvals Fail: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn the_soak_of_one_may_become_too_short() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        stage prod shop<dev data<dev: pair
        policy auto dev automatic
        policy gate prod gated soak=2m approve=sre
        found shop api 1.0.0
        found data db 5.0.0
        +5m
        found shop api 1.1.0
        +3m
        found data db 5.1.0
        +3m
        policy gate prod gated soak=5m approve=sre
        +5m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    f2 is made: db 5.0.0
    dev.2 starts: f1 and f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    -- +5m
    prod.1 starts: f1 and f2, by automation
    prod.1 is prepared
    f3 is made: api 1.1.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    -- +3m
    prod.2 starts: f3 and f2, by automation
    prod.1 superseded: promotion prod.2 takes its place
    prod.2 is prepared
    f4 is made: db 5.1.0
    dev.4 starts: f4, by automation
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
    -- +3m
    prod.3 starts: f3 and f4, by automation
    prod.2 superseded: promotion prod.3 takes its place
    prod.3 is prepared
    prod.4 starts: f3, by automation
    prod.3 superseded: promotion prod.4 takes its place
    prod.5 starts: f3 and f2, by automation
    prod.4 superseded: promotion prod.5 takes its place
    prod.5 is prepared
    -- +5m
    prod.6 starts: f3 and f4, by automation
    prod.5 superseded: promotion prod.6 takes its place
    prod.6 is prepared
    ");
}

#[test]
fn what_failed_together_goes_again_with_what_takes_the_place_of_one() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev automatic rollback
        found shop api 1.0.0 and data db 5.0.0
        fail push 1
        found shop api 1.1.0 and data db 5.1.0
        why dev
        +1h
        found shop api 1.2.0
        why dev
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push: failed: push was told to fail
    dev.2 unwinds: step push failed: push was told to fail
    dev.2 rolled_back: undone: step push failed: push was told to fail
      ? freight f4: PassedOver: its last promotion here, with freight f3 of data, did not succeed; it goes again with newer freight in place of that, or when a person promotes it
      ? freight f3: PassedOver: its last promotion here, with freight f4 of shop, did not succeed; it goes again with newer freight in place of that, or when a person promotes it
    -- +1h
    f5 is made: api 1.2.0
    dev.3 starts: f5 and f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.2.0 dev.yaml#db=5.1.0
    ");
}

#[test]
fn what_failed_alone_is_not_tried_with_others() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev automatic rollback
        found shop api 1.0.0 and data db 5.0.0
        fail push 1
        found shop api 1.1.0
        found data db 5.1.0
        why dev
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: api 1.1.0
    dev.2 starts: f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push: failed: push was told to fail
    dev.2 unwinds: step push failed: push was told to fail
    dev.2 rolled_back: undone: step push failed: push was told to fail
    f4 is made: db 5.1.0
    dev.3 starts: f4, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
      ? freight f3: PassedOver: its last promotion here did not succeed; a person can promote it
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.0.0 dev.yaml#db=5.1.0
    ");
}

#[test]
fn what_failed_together_waits_for_newer_freight_that_is_held() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev automatic rollback
        found shop api 1.0.0 and data db 5.0.0
        fail push 1
        found shop api 1.1.0 and data db 5.1.0
        hold bad api >=1.2.0
        found shop api 1.2.0
        why dev
        lift bad
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push: failed: push was told to fail
    dev.2 unwinds: step push failed: push was told to fail
    dev.2 rolled_back: undone: step push failed: push was told to fail
    f5 is made: api 1.2.0
      ? freight f5: Held: hold bad of admin: it leaks
      ? freight f4: PassedOver: its last promotion here, with freight f3 of data, did not succeed; it goes again with newer freight in place of that, or when a person promotes it
      ? freight f3: PassedOver: its last promotion here, with freight f4 of shop, did not succeed; it goes again with newer freight in place of that, or when a person promotes it
    dev.3 starts: f5 and f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.2.0 dev.yaml#db=5.1.0
    ");
}

#[test]
fn a_unit_is_undone_as_one() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        verification errors count=1
        stage dev shop data: pair verify=errors
        policy gate dev automatic rollback
        found shop api 1.0.0 and data db 5.0.0
        measure errors/rate fail
        found shop api 1.1.0 and data db 5.1.0
        why dev
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 verifies
    dev.2 measures errors/rate: fail
    dev.2 unwinds: verification errors/rate failed: too many errors
    dev.2 undoes push
    dev.2 rolled_back: undone: verification errors/rate failed: too many errors
      ? freight f4: PassedOver: its last promotion here, with freight f3 of data, did not succeed; it goes again with newer freight in place of that, or when a person promotes it
      ? freight f3: PassedOver: its last promotion here, with freight f4 of shop, did not succeed; it goes again with newer freight in place of that, or when a person promotes it
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.0.0 dev.yaml#db=5.0.0
    ");
}

#[test]
fn conditions_hold_of_all_or_of_one_alone() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev automatic
        found shop api 1.0.0 and data db 5.0.0
        policy auto dev gated when=freight_from('data').db.version.minor<2
        found shop api 1.1.0 and data db 5.2.0
        why dev
        outside
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.2.0
    f4 is made: api 1.1.0
    dev.2 starts: f4, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f3, by automation
    dev.3 is prepared
      ? promotion dev.3: ConditionFails: condition does not hold: freight_from('data').db.version.minor<2
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=5.0.0
    ");
}

#[test]
fn conditions_may_hold_of_all_and_of_none_alone() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev gated when=freight_from('data').db.tag==freight_from('shop').api.tag
        found shop api 1.0.0 and data db 1.0.0
        found shop api 1.1.0
        why dev
        found data db 1.1.0
        outside
    "), @r"
    f1 is made: db 1.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: api 1.1.0
    dev.2 starts: f3, by automation
    dev.2 is prepared
      ? promotion dev.2: ConditionFails: condition does not hold: freight_from('data').db.tag==freight_from('shop').api.tag
    f4 is made: db 1.1.0
    dev.3 starts: f3 and f4, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=1.1.0
    ");
}

#[test]
fn conditions_may_hold_of_each_alone_and_not_of_both() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev automatic
        found shop api 1.0.0 and data db 1.0.0
        policy auto dev gated when=freight_from('data').db.version.minor+freight_from('shop').api.version.minor<2
        found shop api 1.1.0 and data db 1.1.0
        why dev
        outside
    "), @r"
    f1 is made: db 1.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 1.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f3, by automation
    dev.3 is prepared
      ? promotion dev.3: ConditionFails: condition does not hold: freight_from('data').db.version.minor+freight_from('shop').api.version.minor<2
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=1.0.0
    ");
}

#[test]
fn people_promote_several_as_one_unit() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        stage qa shop: app
        policy gate dev manual approve=sre
        found shop api 1.0.0 and data db 5.0.0
        found shop api 1.1.0
        promote dev f2+f3 by ann
        promote qa f2+f1 by ann
        promote dev f2+f1 by ann
        promote dev f1+f2 by bob
        ensured dev f2+f1
        ensured dev f1
        ensured dev f3+f1
        approve dev.1 by eve in sre
        ensured dev f2+f1
        promote dev f3+f1 by bob
        promote dev f1 by bob
        promote dev f3 by bob
    "), @r#"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    f3 is made: api 1.1.0
    refused: freight f2 and f3 are both of warehouse shop: a promotion brings one freight of each
    refused: freight f1 is not available to stage qa: the stage does not request freight of its warehouse
    dev.1 starts: f2 and f1, by ann
    dev.1 is prepared
    refused: promotion dev.1 is bringing freight f1 to this stage already
      = Some(Running(PromotionId("dev.1")))
      = Some(Running(PromotionId("dev.1")))
      = None
    dev.1 is approved by eve
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
      = Some(There)
    dev.2 starts: f3 and f1, by bob
    dev.2 is prepared
    dev.3 starts: f1, by bob
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
    dev.4 starts: f3, by bob
    dev.4 is prepared
    "#);
}

#[test]
fn a_persons_other_choice_holds_automation() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated approve=sre
        found shop api 1.0.0 and data db 5.0.0
        approve dev.1 by ann in sre
        found shop api 1.1.0 and data db 5.1.0
        promote dev f2+f3 by ann
        why dev
        approve dev.3 by eve in sre
        promote dev f4+f3 by ann
        why dev
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.3 starts: f2 and f3, by ann
    dev.2 superseded: promotion dev.3 takes its place
    dev is held by ann: ann promoted freight f2 and f3 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
      ? stage dev: Held: held by ann: ann promoted freight f2 and f3 instead of what automation would choose; promote the newest freight to let automation go on
      ? promotion dev.3: ApprovalsMissing: needs 1 approval of group sre, has 0
    dev.3 is approved by eve
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    dev.4 starts: f4 and f3, by ann
    dev is held no longer
    dev.4 is prepared
      ? promotion dev.4: ApprovalsMissing: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn what_a_person_started_is_not_joined() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated approve=sre
        found shop api 1.0.0 and data db 5.0.0
        promote dev f1 by ann
        found data db 5.1.0
        why dev
        found shop api 1.1.0
        why dev
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.2 starts: f1, by ann
    dev.1 superseded: promotion dev.2 takes its place
    dev.3 starts: f2, by automation
    dev.2 is prepared
    dev.3 is prepared
    f3 is made: db 5.1.0
      ? freight f3: PromotionRunning: waits for promotion dev.2 to end
      ? promotion dev.2: ApprovalsMissing: needs 1 approval of group sre, has 0
      ? promotion dev.3: ApprovalsMissing: needs 1 approval of group sre, has 0
    f4 is made: api 1.1.0
    dev.4 starts: f4, by automation
    dev.3 superseded: promotion dev.4 takes its place
    dev.2 is prepared again
    dev.2 is prepared
    dev.4 is prepared
      ? freight f3: PromotionRunning: waits for promotion dev.2 to end
      ? promotion dev.2: ApprovalsMissing: needs 1 approval of group sre, has 0
      ? promotion dev.4: ApprovalsMissing: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn a_unit_goes_back_as_one() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev automatic
        found shop api 1.0.0 and data db 5.0.0
        +1m
        found shop api 1.1.0 and data db 5.1.0
        +1m
        found shop api 1.2.0
        outside
        rollback dev by ann
        outside
        rollback dev by ann
        outside
        rollback dev by ann
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    -- +1m
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    dev.2 starts: f4 and f3, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    -- +1m
    f5 is made: api 1.2.0
    dev.3 starts: f5, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.2.0 dev.yaml#db=5.1.0
    dev.4 starts: f4, by ann
    dev is held by ann: ann promoted freight f4 instead of what automation would choose; promote the newest freight to let automation go on
    dev.4 is prepared
    dev.4 commits
    dev.4 runs push
    dev.4 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.1.0 dev.yaml#db=5.1.0
    dev.5 starts: f2 and f1, by ann
    dev is held by ann: ann promoted freight f2 and f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.5 is prepared
    dev.5 commits
    dev.5 runs push
    dev.5 succeeded: every step is done and every check passed
      | https://git.example/gitops: a.yaml#b=c dev.yaml#api=1.0.0 dev.yaml#db=5.0.0
    refused: stage dev has no earlier freight that it vouches for and that may go there; name one with `lockstep promote dev --freight …`
    ");
}

#[test]
fn a_unit_is_rehearsed() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev automatic
        found shop api 1.0.0 and data db 5.0.0
        hold bad db >=5.1.0
        hold worse api >=1.1.0
        found shop api 1.1.0 and data db 5.1.0
        rehearse dev f3+f1 by ann
        rehearse dev f4+f3 by ann
        gates dev.2
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    f4 is made: api 1.1.0
    refused: freight f3 and f1 are both of warehouse data: a promotion brings one freight of each
    dev.2 is rehearsed: f4 and f3, by ann
    dev.2 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # hold Fail: hold worse of admin: it leaks
      # hold Fail: hold bad of admin: it leaks; it stops freight f3 of data, which comes with it
    ");
}

#[test]
fn queues_go_in_step() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair queue asked
        policy auto dev automatic
        found shop api 1.0.0
        found shop api 1.1.0 and data db 5.0.0
        found data db 5.1.0
        why dev
        abort dev.2 by ann
        why dev
        abort dev.3 by ann
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    f2 is made: db 5.0.0
    f3 is made: api 1.1.0
    dev.2 starts: f1 and f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    f4 is made: db 5.1.0
      ? freight f3: PromotionRunning: waits for promotion dev.2 to end
      ? freight f4: PromotionRunning: waits for promotion dev.2 to end
      ? promotion dev.2: Waiting: step pause waits until 2026-01-01T00:00:30Z [2026-01-01T00:00:30Z]
    dev.2 is to stop, says ann
    dev.2 runs pause: aborted
    dev.2 aborted: aborted by ann during step pause: not now
    dev.2   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev.3 starts: f3 and f4, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
      ? promotion dev.3: Waiting: step pause waits until 2026-01-01T00:00:30Z [2026-01-01T00:00:30Z]
    dev.3 is to stop, says ann
    dev.3 runs pause: aborted
    dev.3 aborted: aborted by ann during step pause: not now
    dev.3   remains: step push: commit c3 is on branch main of https://git.example/gitops
      ? freight f3: PassedOver: its last promotion here, with freight f4 of data, did not succeed; a person can promote it
      ? freight f1: PassedOver: its last promotion here, with freight f2 of data, did not succeed; a person can promote it
      ? freight f4: PassedOver: its last promotion here, with freight f3 of shop, did not succeed; a person can promote it
      ? freight f2: PassedOver: its last promotion here, with freight f1 of shop, did not succeed; a person can promote it
    ");
}

#[test]
fn what_is_too_old_is_left_behind() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated approve=sre max_age=30m
        found shop api 1.0.0 and data db 5.0.0
        approve dev.1 by ann in sre
        found data db 5.1.0
        +20m
        found shop api 1.1.0
        gates dev.3
        +15m
        why dev
        gates dev.4
    "), @r"
    f1 is made: db 5.0.0
    f2 is made: api 1.0.0
    dev.1 starts: f2 and f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    f3 is made: db 5.1.0
    dev.2 starts: f3, by automation
    dev.2 is prepared
    -- +20m
    f4 is made: api 1.1.0
    dev.3 starts: f4 and f3, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # age Pass: freight f4 of shop: not older than 30m until 2026-01-01T00:50:00Z
      # age Pass: freight f3 of data: not older than 30m until 2026-01-01T00:30:00Z
      # approvals Fail: needs 1 approval of group sre, has 0
    -- +15m
    dev.4 starts: f4, by automation
    dev.3 superseded: promotion dev.4 takes its place
    dev.4 is prepared
      ? freight f3: PassedOver: it is older than 30m since 2026-01-01T00:30:00Z
      ? promotion dev.4: ApprovalsMissing: needs 1 approval of group sre, has 0
      # upstream Pass: the freight is available: straight from its warehouse
      # age Pass: not older than 30m until 2026-01-01T00:50:00Z
      # approvals Fail: needs 1 approval of group sre, has 0
    ");
}
