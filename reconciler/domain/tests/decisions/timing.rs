//! Gates about time and measure: windows, maximum age, conditions, rates.

use insta::assert_snapshot;

use crate::kit::run;

/// One stage, one image; the world begins on Thursday, 2026-01-01, at midnight.
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
fn a_promotion_waits_for_its_window() {
    assert_snapshot!(dev("gated allow=FREQ=DAILY;BYHOUR=9/2h", "
        found shop api 1.0.0
        why dev
        gates dev.1
        +8h
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      ? promotion dev.1: WindowClosed: outside of window open; opens at 2026-01-01T09:00:00Z [2026-01-01T09:00:00Z]
      # upstream Pass: the freight is available: straight from its warehouse
      # window Fail: outside of window open; opens at 2026-01-01T09:00:00Z
    -- +8h
    -- +1h
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(dev("gated deny=FREQ=WEEKLY;BYDAY=TH/24h", "
        found shop api 1.0.0
        why dev
        +24h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      ? promotion dev.1: WindowClosed: denied by window shut; opens at 2026-01-02T00:00:00Z [2026-01-02T00:00:00Z]
    -- +24h
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_person_waits_for_the_window_too_unless_they_may_skip_it() {
    assert_snapshot!(dev("manual deny=FREQ=DAILY/9h bypass=oncall:window", "
        found shop api 1.0.0
        promote dev f1 by ann
        gates dev.1
        promote dev f1 by ann bypass window as oncall
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by ann
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # window Fail: denied by window shut; opens at 2026-01-01T09:00:00Z
    dev.2 starts: f1, by ann
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits past window
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(dev(
        "manual deny=FREQ=DAILY/9h deny=FREQ=DAILY;BYHOUR=1/1h/bypass bypass=oncall:window", "
        found shop api 1.0.0
        +1h
        promote dev f1 by ann bypass window as oncall
        gates dev.1
        +1h
    "), @r"
    f1 is made: api 1.0.0
    -- +1h
    dev.1 starts: f1, by ann
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # window Fail: denied by window shut; opens at 2026-01-01T09:00:00Z; not skipped: denied by window shut; opens at 2026-01-01T02:00:00Z
    -- +1h
    dev.1 commits past window
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn an_undo_waits_only_for_windows_about_it() {
    let failing = "
        fail push
        found shop api 1.0.0
        why dev
        +9h
    ";
    assert_snapshot!(dev("gated rollback deny=FREQ=DAILY;BYHOUR=2/9h", failing), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
    dev.1 rolled_back: undone: step push failed: push was told to fail
      ? freight f1: PassedOver: its last promotion here did not succeed; a person can promote it
    -- +9h
    ");
    assert_snapshot!(dev("gated rollback deny=FREQ=DAILY/9h/rollback", failing), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
      ? promotion dev.1: WindowClosed: its undo waits: denied by window shut; opens at 2026-01-01T09:00:00Z [2026-01-01T09:00:00Z]
    -- +9h
    dev.1 rolled_back: undone: step push failed: push was told to fail
    ");
}

#[test]
fn old_freight_is_not_promoted() {
    assert_snapshot!(dev("gated max_age=2h allow=FREQ=DAILY;BYHOUR=9/2h", "
        found shop api 1.0.0
        gates dev.1
        +2h
        why dev
        found shop api 1.1.0
        gates dev.2
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # age Pass: not older than 2h until 2026-01-01T02:00:00Z
      # window Fail: outside of window open; opens at 2026-01-01T09:00:00Z
    -- +2h
      ? promotion dev.1: TooOld: older than 2h since 2026-01-01T02:00:00Z; newer freight is needed
      ? promotion dev.1: WindowClosed: outside of window open; opens at 2026-01-01T09:00:00Z [2026-01-01T09:00:00Z]
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # age Pass: not older than 2h until 2026-01-01T04:00:00Z
      # window Fail: outside of window open; opens at 2026-01-01T09:00:00Z
    ");
    assert_snapshot!(dev("manual max_age=2h", "
        found shop api 1.0.0
        +2h
        policy gate dev gated max_age=2h
        why dev
    "), @r"
    f1 is made: api 1.0.0
    -- +2h
      ? freight f1: PassedOver: it is older than 2h since 2026-01-01T02:00:00Z
    ");
}

#[test]
fn conditions_hold_fail_or_are_not_known() {
    assert_snapshot!(dev("gated when=freight.api.version.major>=2", "
        found shop api 1.0.0
        gates dev.1
        found shop api 2.0.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # condition Fail: condition does not hold: freight.api.version.major>=2
    f2 is made: api 2.0.0
    dev.2 starts: f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop: app
        policy auto dev automatic
        policy gate prod gated when=upstream.dev.verified
        found shop api 1.0.0
        gates prod.1
        stage prod shop<dev: app
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    prod.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    prod.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # condition Unknown: condition cannot be judged: `upstream.dev.verified`: there is no `dev`
    prod.1 is prepared again
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    -- +1m
    ");
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy gate dev gated when=freight_from('data').db.version.minor>0
        found shop api 1.0.0
        gates dev.1
        found data db 1.1.0
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    f2 is made: db 1.1.0
    dev.2 starts: f1 and f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn rates_count_commits() {
    assert_snapshot!(dev("gated rate=2/1d", "
        found shop api 1.0.0
        +1h
        found shop api 1.1.0
        found shop api 1.2.0
        gates dev.3
        +22h
        +1h
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    -- +1h
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # rate Fail: rate 2: 2 in 1d are committed, the next may at 2026-01-02T00:00:00Z
    -- +22h
    -- +1h
    dev.3 commits
    dev.3 runs push
    dev.3 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(dev("gated rate=cooldown/30m", "
        found shop api 1.0.0
        found shop api 1.1.0
        why dev
        +30m
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
      ? promotion dev.2: RateReached: rate cooldown: dev.1 committed less than 30m ago, wait until 2026-01-01T00:30:00Z [2026-01-01T00:30:00Z]
    -- +30m
    dev.2 commits
    dev.2 runs push
    dev.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn rates_count_across_the_stages_of_a_policy() {
    assert_snapshot!(run("
        push gitops a.yaml#b=c
        verification errors count=2
        warehouse shop api
        stage eu shop: app verify=errors
        stage us shop: app
        policy gate eu,us gated rate=concurrent/1/policy
        found shop api 1.0.0
        why us
        +2m
    "), @r"
    f1 is made: api 1.0.0
    eu.1 starts: f1, by automation
    us.1 starts: f1, by automation
    eu.1 is prepared
    eu.1 commits
    eu.1 runs push
    eu.1 verifies
    eu.1 measures errors/rate: pass
    us.1 is prepared
      ? promotion us.1: RateReached: rate concurrent: eu.1 under way, at most 1 at once
    -- +2m
    eu.1 measures errors/rate: pass
    eu.1 succeeded: every step is done and every check passed
    us.1 commits
    us.1 runs push
    us.1 succeeded: every step is done and every check passed
    ");
}
