//! How long promotions and undos wait, and what becomes of them then.

use insta::assert_snapshot;

use crate::kit::run;

/// One stage, one image; what `policy` says of it.
fn dev(policy: &str, rest: &str) -> String {
    run(&format!(
        "push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        policy gate dev {policy}
        {rest}"
    ))
}

#[test]
fn what_does_not_pass_its_gates_in_time_is_over() {
    assert_snapshot!(dev("gated max_wait=3d approve=sre:2 deny=FREQ=MONTHLY;BYMONTHDAY=1/240h", "
        found shop api 1.0.0
        approve dev.1 by ann in sre
        until dev.1
        +71h
        +1h
        why dev
        +100d
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
      ! waits until 2026-01-04T00:00:00Z, looked at again 2026-01-04T00:00:00Z
    -- +71h
    -- +1h
    dev.1 expired: did not commit within 3d (policy gate), until 2026-01-04T00:00:00Z: gate window: denied by window shut; opens at 2026-01-11T00:00:00Z; gate approvals: needs 2 approvals of group sre, has 1
      ? freight f1: PassedOver: its last promotion here did not succeed; a person can promote it
    -- +100d
    ");
}

#[test]
fn what_passes_goes_on_however_late_it_is_looked_at() {
    assert_snapshot!(dev("gated max_wait=9h allow=FREQ=DAILY;BYHOUR=9/2h", "
        found shop api 1.0.0
        +9h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +9h
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(dev("gated max_wait=539m allow=FREQ=DAILY;BYHOUR=9/2h", "
        found shop api 1.0.0
        +9h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +9h
    dev.1 expired: did not commit within 8h59m (policy gate), until 2026-01-01T08:59:00Z: gate window: outside of window open; opens at 2026-01-01T09:00:00Z
    ");
}

#[test]
fn the_shortest_of_several_policies_counts_and_without_one_it_is_a_month() {
    assert_snapshot!(dev("gated max_wait=3d approve=sre", "
        policy other dev gated max_wait=1d
        policy third d* gated max_wait=1d
        found shop api 1.0.0
        +3d
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +3d
    dev.1 expired: did not commit within 1d (policies other, third), until 2026-01-02T00:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
    assert_snapshot!(dev("manual approve=sre", "
        found shop api 1.0.0
        promote dev f1 by ann
        until dev.1
        +719h
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
      ! waits until 2026-01-31T00:00:00Z, looked at again 2026-01-31T00:00:00Z
    -- +719h
    -- +1h
    dev.1 expired: did not commit within 30d (no policy says otherwise), until 2026-01-31T00:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn policies_count_as_they_are_not_as_they_were() {
    assert_snapshot!(dev("gated max_wait=1d approve=sre", "
        found shop api 1.0.0
        +12h
        policy gate dev gated max_wait=10d approve=sre
        +2d
        policy gate dev gated max_wait=1d approve=sre
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +12h
    -- +2d
    dev.1 expired: did not commit within 1d (policy gate), until 2026-01-02T00:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn the_queue_goes_on_after_what_expired() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app queue
        policy gate dev gated max_wait=1h when=freight.api.version.major>=2
        found shop api 1.0.0
        found shop api 2.0.0
        why dev
        +1h
        why dev
        promote dev f1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    f2 is made: api 2.0.0
      ? freight f2: PromotionRunning: waits for promotion dev.1 to end
      ? promotion dev.1: ConditionFails: condition does not hold: freight.api.version.major>=2
    -- +1h
    dev.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate condition: condition does not hold: freight.api.version.major>=2
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    dev.3 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
    ");
}

#[test]
fn the_slot_is_not_waited_for_forever() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair asked
        found shop api 1.0.0
        promote dev f1 by bob
        policy gate dev gated max_wait=10m
        found data db 1.0.0
        +5m
        found shop api 1.1.0
        why dev
        +10m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by bob
    f2 is made: db 1.0.0
    dev.2 starts: f2, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.2 is prepared
    -- +5m
    dev.1 runs pause
    f3 is made: api 1.1.0
    dev.3 starts: f3 and f2, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
      ? promotion dev.1: Waiting: step ok waits for 1 approval of sre, until 2026-01-01T01:00:30Z: go on? [2026-01-01T01:00:30Z]
      ? promotion dev.3: SlotTaken: waits for promotion dev.1 to end
    -- +10m
    dev.3 expired: did not commit within 10m (policy gate), until 2026-01-01T00:15:00Z: waits for promotion dev.1 to end
    ");
}

#[test]
fn what_cannot_be_prepared_in_time_is_over() {
    // The other warehouse has no freight.
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated max_wait=1h
        found shop api 1.0.0
        until dev.1
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
      ! waits until 2026-01-01T01:00:00Z, looked at again 2026-01-01T01:00:00Z
    -- +1h
    dev.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: the stage also requests freight of data, and none has been promoted to it yet: promote some first
    ");
    // The other side refuses, and each attempt would come later than the last.
    assert_snapshot!(dev("gated max_wait=30s", "
        fail clone 9 retry
        found shop api 1.0.0
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared, may pass: clone was told to fail
    -- +1h
    dev.1 is prepared again
    dev.1 could not be prepared, may pass: clone was told to fail
    dev.1 is prepared again
    dev.1 could not be prepared, may pass: clone was told to fail
    dev.1 expired: did not commit within 30s (policy gate), until 2026-01-01T00:00:30Z: step clone failed and is tried again at 2026-01-01T00:00:35Z: clone was told to fail
    ");
}

#[test]
fn what_went_back_to_its_gates_waits_anew() {
    assert_snapshot!(run("
        push infra main.tf#a=b
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated max_wait=1h approve=sre
        meddle dev x.size=2
        found shop api 1.0.0
        +50m
        approve dev.1 by ann in sre
        until dev.1
        +59m
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +50m
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 goes back to its gates: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`
    dev.1 is prepared again
    dev.1 is prepared
      ! waits until 2026-01-01T01:50:00Z, looked at again 2026-01-01T01:50:00Z
    -- +59m
    -- +1m
    dev.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:50:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn an_undo_that_may_not_begin_in_time_is_stuck() {
    let script = |most: &str| {
        dev(
            &format!("gated rollback {most}"),
            "
            stage dev shop: noted app
            freeze year-end about rollback
            fail push 1
            found shop api 1.0.0
            until dev.1
            +4h
            found shop api 1.1.0
            why dev
            ",
        )
    };
    assert_snapshot!(script("max_undo_wait=4h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs note
    dev.1 runs name
    dev.1 runs tell
    ledger: 1.0.0 is next {}
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
      ! waits until 2026-01-01T04:00:00Z, looked at again 2026-01-01T04:00:00Z
    -- +4h
    dev.1 stuck: step push failed: push was told to fail; not undone within 4h (policy gate), until 2026-01-01T04:00:00Z: its undo waits: freeze year-end of admin: books close; lasts until somebody ends it
    dev.1   remains: step note: set stage.metadata.tag, freight_metadata.seen
    dev.1   remains: step name: set alias stable
    dev is held by automation: promotion dev.1 is stuck: step push failed: push was told to fail; not undone within 4h (policy gate), until 2026-01-01T04:00:00Z: its undo waits: freeze year-end of admin: books close; lasts until somebody ends it
    f2 is made: api 1.1.0
      ? stage dev: Held: held by automation: promotion dev.1 is stuck: step push failed: push was told to fail; not undone within 4h (policy gate), until 2026-01-01T04:00:00Z: its undo waits: freeze year-end of admin: books close; lasts until somebody ends it
    ");
    assert_snapshot!(script("max_undo_wait=5h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs note
    dev.1 runs name
    dev.1 runs tell
    ledger: 1.0.0 is next {}
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
      ! waits until 2026-01-01T05:00:00Z, looked at again 2026-01-01T05:00:00Z
    -- +4h
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
      ? promotion dev.1: Frozen: its undo waits: freeze year-end of admin: books close; lasts until somebody ends it
      ? promotion dev.2: SlotTaken: waits for promotion dev.1 to end
    ");
}

#[test]
fn an_undo_that_began_comes_to_its_end() {
    // Frozen once it began, and tried again when the limit is over.
    assert_snapshot!(dev("gated rollback max_undo_wait=10s", "
        stage dev shop: app hook
        fail call 1
        fail undo-push 2 retry
        found shop api 1.0.0
        freeze year-end about rollback
        +11s
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push: failed: undo-push was told to fail
    -- +11s
    dev.1 undoes push (attempt 2): failed: undo-push was told to fail
    -- +1h
    dev.1 undoes push (attempt 3)
    dev.1 rolled_back: undone: step call failed: call was told to fail
    ");
}

#[test]
fn what_is_older_than_what_expired_is_not_brought_either() {
    let script = |choose: &str| {
        run(&format!(
            "
            push gitops a.yaml#b=c
            warehouse shop api
            stage dev shop: app {choose}
            policy gate dev gated max_wait=1h approve=sre
            found shop api 1.0.0
            found shop api 1.1.0
            found shop api 1.2.0
            +1h
            why dev
            +3h
        "
        ))
    };
    assert_snapshot!(script(""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.2 superseded: promotion dev.3 takes its place
    dev.3 is prepared
    -- +1h
    dev.3 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate approvals: needs 1 approval of group sre, has 0
      ? freight f3: PassedOver: its last promotion here did not succeed; a person can promote it
      ? freight f2: PassedOver: newer freight waited for too long here; a person can promote it
      ? freight f1: PassedOver: newer freight waited for too long here; a person can promote it
    -- +3h
    ");
    // One after the other, whatever became of the last.
    assert_snapshot!(script("queue"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    f2 is made: api 1.1.0
    f3 is made: api 1.2.0
    -- +1h
    dev.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    dev.2 starts: f2, by automation
    dev.2 is prepared
      ? freight f3: PromotionRunning: waits for promotion dev.2 to end
      ? promotion dev.2: ApprovalsMissing: needs 1 approval of group sre, has 0
    -- +3h
    dev.2 expired: did not commit within 1h (policy gate), until 2026-01-01T02:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 expired: did not commit within 1h (policy gate), until 2026-01-01T03:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn what_is_older_than_what_expired_comes_once_upstream_went_back_to_it() {
    let script = |choose: &str| {
        run(&format!(
            "
            push gitops a.yaml#b=c
            warehouse shop api
            stage dev shop: app
            stage prod shop<dev: app {choose}
            policy go dev automatic
            policy gate prod gated max_wait=1h approve=sre
            found shop api 1.0.0
            found shop api 1.1.0
            +1h
            promote dev f1 by ann
            +1m
        "
        ))
    };
    assert_snapshot!(script("match_upstream"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    prod.2 starts: f2, by automation
    prod.1 superseded: promotion prod.2 takes its place
    prod.2 is prepared
    -- +1h
    prod.2 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    dev.3 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    prod.3 starts: f1, by automation
    prod.3 is prepared
    -- +1m
    ");
    assert_snapshot!(script(""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    prod.2 starts: f2, by automation
    prod.1 superseded: promotion prod.2 takes its place
    prod.2 is prepared
    -- +1h
    prod.2 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    dev.3 starts: f1, by ann
    dev is held by ann: ann promoted freight f1 instead of what automation would choose; promote the newest freight to let automation go on
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    -- +1m
    ");
}

#[test]
fn nothing_ends_while_definitions_change() {
    // Replaced: for a moment there is none, and a month is what counts then.
    assert_snapshot!(dev("manual approve=sre settle=30s", "
        policy patient dev manual max_wait=90d
        found shop api 1.0.0
        promote dev f1 by ann
        +40d
        drop policy patient
        until dev.1
        +10s
        policy patience dev manual max_wait=90d settle=30s
        until dev.1
        +1h
        drop policy patience
        until dev.1
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    -- +40d
      ! waits until 2026-02-10T00:00:30Z, looked at again 2026-02-10T00:00:30Z
    -- +10s
      ! waits until 2026-04-01T00:00:00Z, looked at again 2026-04-01T00:00:00Z
    -- +1h
      ! waits until 2026-02-10T01:00:40Z, looked at again 2026-02-10T01:00:40Z
    ");
    // The new one is shorter, and waits as long as it says.
    assert_snapshot!(dev("manual approve=sre", "
        found shop api 1.0.0
        promote dev f1 by ann
        +2h
        policy gate dev manual approve=sre max_wait=1h settle=1m
        until dev.1
        +59s
        +1s
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
    -- +2h
      ! waits until 2026-01-01T02:01:00Z, looked at again 2026-01-01T02:01:00Z
    -- +59s
    -- +1s
    dev.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
    // So does an undo.
    assert_snapshot!(dev("gated rollback max_undo_wait=2d", "
        stage dev shop: noted app
        freeze year-end about rollback
        fail push 1
        found shop api 1.0.0
        +1d
        policy gate dev gated rollback max_undo_wait=1h settle=5m
        until dev.1
        +4m
        policy gate dev gated rollback max_undo_wait=2d settle=5m
        +6m
        until dev.1
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs note
    dev.1 runs name
    dev.1 runs tell
    ledger: 1.0.0 is next {}
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
    -- +1d
      ! waits until 2026-01-02T00:05:00Z, looked at again 2026-01-02T00:05:00Z
    -- +4m
    -- +6m
      ! waits until 2026-01-03T00:00:00Z, looked at again 2026-01-03T00:00:00Z
    ");
}

#[test]
fn what_cannot_be_looked_at_does_not_go_on_for_ever() {
    assert_snapshot!(dev("automatic max_wait=3m", "
        unreachable git.example does not answer
        found shop api 1.0.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is looked at again: what the change set was made against could not be looked at: git.example does not answer
    dev.1 is looked at again: what the change set was made against could not be looked at: git.example does not answer
    dev.1 is looked at again: what the change set was made against could not be looked at: git.example does not answer
    dev.1 what the change set was made against could not be looked at: git.example does not answer
    dev.1 expired: did not commit within 3m (policy gate), until 2026-01-01T00:03:00Z: it had to be prepared anew: what the change set was made against could not be looked at: git.example does not answer
    ");
    // It passes when its time is over, so it is looked at once.
    assert_snapshot!(dev("gated max_wait=9h allow=FREQ=DAILY;BYHOUR=9/2h", "
        found shop api 1.0.0
        unreachable git.example does not answer
        +9h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +9h
    dev.1 what the change set was made against could not be looked at: git.example does not answer
    dev.1 expired: did not commit within 9h (policy gate), until 2026-01-01T09:00:00Z: it had to be prepared anew: what the change set was made against could not be looked at: git.example does not answer
    ");
}

#[test]
fn what_moved_when_its_time_is_over_is_named() {
    assert_snapshot!(dev("gated max_wait=9h allow=FREQ=DAILY;BYHOUR=9/2h", "
        found shop api 1.0.0
        push gitops a.yaml#b=d
        +9h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +9h
    dev.1 branch main of https://git.example/gitops moved from c1 to c3
    dev.1 expired: did not commit within 9h (policy gate), until 2026-01-01T09:00:00Z: it had to be prepared anew: branch main of https://git.example/gitops moved from c1 to c3
    ");
}

#[test]
fn a_preparation_that_its_promotion_has_no_time_for_did_not_fail() {
    assert_snapshot!(dev("gated max_wait=1h", "
        hang clone 1
        found shop api 1.0.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1's preparation is broken off
    dev.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: step clone was still being prepared
    ");
}

#[test]
fn a_rehearsal_has_an_end_of_its_own() {
    assert_snapshot!(dev("manual max_wait=1m approve=sre", "
        found shop api 1.0.0
        rehearse dev f1 by ann
        until dev.1
        +15m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 is rehearsed: f1, by ann
    dev.1 is prepared
      ! waits until -, looked at again 2026-01-01T00:15:00Z
    -- +15m
    dev.1 rehearsed: it was a rehearsal: nothing was changed; it was kept until 2026-01-01T00:15:00Z
    ");
}
