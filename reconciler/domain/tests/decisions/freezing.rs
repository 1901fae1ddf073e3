//! Freezes: what they stop and what goes on, until when, and who sees it.

use insta::assert_snapshot;

use crate::kit::run;

/// Two stages, one image; undo where something fails.
fn with(rest: &str) -> String {
    run(&format!(
        "push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop<dev: app
        policy auto * gated rollback bypass=oncall:soak soak=1m
        {rest}"
    ))
}

#[test]
fn a_promotion_is_prepared_and_waits_until_the_freeze_ends() {
    assert_snapshot!(with("
        freeze year-end until 2h
        found shop api 1.0.0
        why dev
        gates dev.1
        +1h
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      ? promotion dev.1: Frozen: freeze year-end of admin: books close; ends at 2026-01-01T02:00:00Z [2026-01-01T02:00:00Z]
      # upstream Pass: the freight is available: straight from its warehouse
      # soak Pass: need not soak: straight from its warehouse
      # freeze Fail: freeze year-end of admin: books close; ends at 2026-01-01T02:00:00Z
    -- +1h
    -- +1h
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn stages_and_people_may_be_excepted() {
    assert_snapshot!(with("
        freeze year-end but dev but =ann
        found shop api 1.0.0
        promote prod f1 by bob
        gates prod.1
        abort prod.1 by bob
        +1m
        promote prod f1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by bob
    prod.1 is prepared
      # upstream Pass: the freight is available: verified upstream
      # soak Fail: has to soak for 1m upstream, until 2026-01-01T00:01:00Z
      # freeze Fail: freeze year-end of admin: books close; lasts until somebody ends it
    prod.1 is to stop, says bob
    prod.1 aborted: aborted by bob: not now
    -- +1m
    prod.2 starts: f1, by ann
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn it_begins_and_ends_by_itself_and_is_ended_by_people() {
    assert_snapshot!(with("
        freeze later from 1h until 2h
        found shop api 1.0.0
        +1h
        found shop api 1.1.0
        why dev
        unfreeze later
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    -- +1h
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
      ? promotion dev.2: Frozen: freeze later of admin: books close; ends at 2026-01-01T02:00:00Z [2026-01-01T02:00:00Z]
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_fails_is_undone_unless_the_freeze_is_about_that() {
    assert_snapshot!(with("
        fail push 1
        freeze year-end about bypass
        found shop api 1.0.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
    dev.1 rolled_back: undone: step push failed: push was told to fail
    ");
    assert_snapshot!(with("
        fail push 1
        freeze year-end until 3h about rollback
        found shop api 1.0.0
        why dev
        +3h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
      ? promotion dev.1: Frozen: its undo waits: freeze year-end of admin: books close; ends at 2026-01-01T03:00:00Z [2026-01-01T03:00:00Z]
    -- +3h
    dev.1 rolled_back: undone: step push failed: push was told to fail
    ");
}

#[test]
fn a_freeze_may_take_the_right_to_skip_gates() {
    assert_snapshot!(with("
        found shop api 1.0.0
        freeze year-end until 1h about bypass
        promote prod f1 by ann bypass soak as oncall
        gates prod.1
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by ann
    prod.1 is prepared
      # upstream Pass: the freight is available: verified upstream
      # soak Fail: has to soak for 1m upstream, until 2026-01-01T00:01:00Z; not skipped: freeze year-end of admin: books close; ends at 2026-01-01T01:00:00Z
    -- +1h
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_freeze_of_all_projects_stands_beside_one_of_the_same_name() {
    assert_snapshot!(with("
        freeze audit until 1h
        freeze audit reach instance until 2h
        freeze lab reach instance but /sh*
        found shop api 1.0.0
        gates dev.1
        unfreeze audit
        gates dev.1
        unfreeze instance audit
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # soak Pass: need not soak: straight from its warehouse
      # freeze Fail: freeze audit of admin: books close; ends at 2026-01-01T01:00:00Z
      # freeze Fail: instance freeze audit of admin: books close; ends at 2026-01-01T02:00:00Z
      # upstream Pass: the freight is available: straight from its warehouse
      # soak Pass: need not soak: straight from its warehouse
      # freeze Fail: instance freeze audit of admin: books close; ends at 2026-01-01T02:00:00Z
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}
