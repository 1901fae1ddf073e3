//! Verification: no evidence is never success.

use insta::assert_snapshot;

use crate::kit::run;

fn with(rest: &str) -> String {
    run(&format!(
        "
        push gitops dev.yaml#tag=0
        warehouse shop api
        verification errors count=2 failures=1 deadline=5m
        stage dev shop: app verify=errors
        stage prod shop<dev: app
        policy auto dev,prod automatic
        {rest}
        "
    ))
}

#[test]
fn enough_measurements_vouch_for_the_freight() {
    assert_snapshot!(with("
        found shop api 1.0.0
        why dev
        why prod
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
      ? promotion dev.1: Verifying: verification errors/rate measures again at 2026-01-01T00:01:00Z [2026-01-01T00:01:00Z]
      ? freight f1: NotVerifiedUpstream: not verified upstream in dev
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_is_there_is_verified_anew_and_may_fail() {
    assert_snapshot!(with("
        found shop api 1.0.0
        +1m
        reverify dev.1 by ann
        reverify dev.1 by bob
        +1m
        measure errors/rate fail fail
        reverify dev.1 by ann
        +1m
        why prod
        outside
        reverify dev.1 by ann
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: pass
    refused: promotion dev.1 is under way in stage dev; wait for it to end
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: fail
    -- +1m
    dev.1 measures errors/rate: fail
    dev.1 failed: verification errors/rate failed: too many errors
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev vouches for f1 no longer
      | https://git.example/gitops: dev.yaml#tag=1.0.0 prod.yaml#tag=1.0.0
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_fails_anew_is_undone_where_the_policies_say_so() {
    assert_snapshot!(with("
        policy undo dev gated rollback
        found shop api 1.0.0
        +1m
        found shop api 1.1.0
        +1m
        reverify dev.1 by ann
        measure errors/rate fail fail
        reverify dev.2 by ann
        +1m
        outside
        reverify dev.2 by ann
        reverify dev.1 by ann
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
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
    dev.2 verifies
    dev.2 measures errors/rate: pass
    -- +1m
    dev.2 measures errors/rate: pass
    dev.2 succeeded: every step is done and every check passed
    prod.2 starts: f2, by automation
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
    refused: what promotion dev.1 brought is no longer in stage dev
    dev.2 verifies anew, says ann
    dev.2 measures errors/rate: fail
    -- +1m
    dev.2 measures errors/rate: fail
    dev.2 unwinds: verification errors/rate failed: too many errors
    dev vouches for f2 no longer
    dev.2 undoes push
    dev.2 rolled_back: undone: verification errors/rate failed: too many errors
      | https://git.example/gitops: dev.yaml#tag=1.0.0 prod.yaml#tag=1.1.0
    refused: promotion dev.2 is rolled_back: only what a promotion brought to its end, and what was not undone, is verified anew
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_lies_beneath_another_change_is_not_verified_anew() {
    let story = with(
        "
        found shop api 1.0.0
        +1m
        fail push
        found shop api 1.1.0
        +1m
        reverify dev.1 by ann
    ",
    );
    let refused =
        "refused: promotion dev.2 changed stage dev after promotion dev.1, and was not undone";
    assert!(story.contains("dev.2 commits"), "{story}");
    assert!(story.contains(refused), "{story}");
}

#[test]
fn a_verification_anew_that_decides_nothing_leaves_what_was_decided() {
    assert_snapshot!(with("
        found shop api 1.0.0
        +1m
        measure errors/rate unknown unknown unknown unknown unknown unknown unknown unknown
        reverify dev.1 by ann
        found shop api 1.1.0
        why dev
        abort dev.1 by bob
        +10m
        reverify dev.2 by ann
        reverify prod.1 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: unknown
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
      ? promotion dev.1: Verifying: verification errors/rate measures again at 2026-01-01T00:02:00Z [2026-01-01T00:02:00Z]
      ? promotion dev.2: SlotTaken: waits for promotion dev.1 to end
    dev.1 is to stop, says bob
    dev.1 succeeded: verified anew, stopped by bob: not now; what was decided before stands
    dev.2 commits
    dev.2 runs push
    dev.2 verifies
    dev.2 measures errors/rate: unknown
    -- +10m
    dev.2 measures errors/rate: unknown
    dev.2 measures errors/rate: unknown
    dev.2 measures errors/rate: unknown
    dev.2 measures errors/rate: unknown
    dev.2 inconclusive: verification errors/rate found no evidence before its deadline: no sample
    dev.2 verifies anew, says ann
    dev.2 measures errors/rate: unknown
    refused: stage prod has no verification; define one first
    ");
}

#[test]
fn failures_up_to_the_limit_are_allowed() {
    assert_snapshot!(with("
        measure errors/rate fail pass
        found shop api 1.0.0
        +2m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: fail
    -- +2m
    dev.1 measures errors/rate: pass
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn more_failures_fail_the_promotion_and_the_freight_stays() {
    assert_snapshot!(with("
        found shop api 1.0.0
        +1m
        measure errors/rate pass fail fail
        found shop api 1.1.0
        +2m
        outside
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
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
    dev.2 verifies
    dev.2 measures errors/rate: pass
    -- +2m
    dev.2 measures errors/rate: fail
    dev.2 measures errors/rate: fail
    dev.2 failed: verification errors/rate failed: too many errors
    dev.2   remains: step push: commit c4 is on branch main of https://git.example/gitops
      | https://git.example/gitops: dev.yaml#tag=1.1.0 prod.yaml#tag=1.0.0
    ");
}

#[test]
fn with_rollback_the_freight_before_comes_back() {
    assert_snapshot!(with("
        policy undo dev gated rollback
        found shop api 1.0.0
        +1m
        measure errors/rate fail fail
        found shop api 1.1.0
        +1m
        outside
        why dev
        found shop api 1.2.0
        +1m
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: pass
    -- +1m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
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
    dev.2 verifies
    dev.2 measures errors/rate: fail
    -- +1m
    dev.2 measures errors/rate: fail
    dev.2 unwinds: verification errors/rate failed: too many errors
    dev.2 undoes push
    dev.2 rolled_back: undone: verification errors/rate failed: too many errors
      | https://git.example/gitops: dev.yaml#tag=1.0.0 prod.yaml#tag=1.0.0
      ? freight f2: PassedOver: its last promotion here did not succeed; a person can promote it
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 verifies
    dev.3 measures errors/rate: pass
    -- +1m
    dev.3 measures errors/rate: pass
    dev.3 succeeded: every step is done and every check passed
    prod.2 starts: f3, by automation
    prod.2 is prepared
    prod.2 commits
    prod.2 runs push
    prod.2 succeeded: every step is done and every check passed
    ");
}

#[test]
fn without_evidence_it_is_inconclusive() {
    assert_snapshot!(with("
        measure errors/rate unknown unknown pass unknown unknown unknown unknown
        found shop api 1.0.0
        +1h
        why dev
        why prod
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: unknown
    -- +1h
    dev.1 measures errors/rate: unknown
    dev.1 measures errors/rate: pass
    dev.1 measures errors/rate: unknown
    dev.1 measures errors/rate: unknown
    dev.1 inconclusive: verification errors/rate found no evidence before its deadline: no sample
      ? freight f1: NotVerifiedUpstream: not verified upstream in dev
    ");
}

#[test]
fn a_template_that_is_gone_or_empty_is_inconclusive() {
    let gone = "
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app verify=errors
        policy auto dev automatic
        found shop api 1.0.0
    ";
    assert_snapshot!(run(gone), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 inconclusive: verification could not begin: there is no verification errors
    ");
    let mut world = crate::kit::World::new();
    crate::kit::play(&mut world, "verification errors count=1").expect("nothing crashes");
    for template in world.definitions.verifications.values_mut() {
        template.spec.checks.clear();
    }
    crate::kit::play(&mut world, gone).expect("nothing crashes");
    assert_snapshot!(world.story.last().cloned().unwrap_or_default(), @"dev.1 inconclusive: verification could not begin: verification errors has no checks");
}

#[test]
fn what_could_not_be_verified_is_undone_to_what_was_there() {
    let mut world = crate::kit::World::new();
    let lines = "
        push gitops dev.yaml#tag=0
        warehouse shop api
        verification errors count=1
        stage dev shop: app verify=errors
        policy undo dev gated rollback
        found shop api 1.0.0
    ";
    crate::kit::play(&mut world, lines).expect("nothing crashes");
    let errors = world.definitions.verifications.remove("errors").expect("it is there");
    crate::kit::play(&mut world, "found shop api 1.1.0").expect("nothing crashes");
    world.definitions.verifications.insert("errors".parse().expect("a name"), errors);
    let before = world.story.len();
    let lines = "
        measure errors/rate fail
        reverify dev.2 by ann
        outside
        reverify dev.1 by ann
    ";
    crate::kit::play(&mut world, lines).expect("nothing crashes");
    assert_snapshot!(world.story[before - 1..].join("\n"), @r"
    dev.2 inconclusive: verification could not begin: there is no verification errors
    dev.2 verifies anew, says ann
    dev.2 measures errors/rate: fail
    dev.2 unwinds: verification errors/rate failed: too many errors
    dev.2 undoes push
    dev.2 rolled_back: undone: verification errors/rate failed: too many errors
      | https://git.example/gitops: dev.yaml#tag=1.0.0
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_failure_that_is_verified_anew_in_vain_stays_what_it_was() {
    assert_snapshot!(with("
        measure errors/rate fail fail
        found shop api 1.0.0
        +1m
        open prod f1
        measure errors/rate unknown unknown unknown unknown unknown unknown unknown unknown
        reverify dev.1 by ann
        abort dev.1 by bob
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 verifies
    dev.1 measures errors/rate: fail
    -- +1m
    dev.1 measures errors/rate: fail
    dev.1 failed: verification errors/rate failed: too many errors
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    prod.1 starts: f1, by automation
    prod.1 is prepared
    prod.1 commits
    prod.1 runs push
    prod.1 succeeded: every step is done and every check passed
    dev.1 verifies anew, says ann
    dev.1 measures errors/rate: unknown
    dev.1 is to stop, says bob
    dev.1 failed: verified anew, stopped by bob: not now; what was decided before stands
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    ");
}

#[test]
fn what_stays_when_another_is_undone_keeps_what_was_said_of_it() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        warehouse data db
        verification errors count=1
        stage dev shop data: pair verify=errors
        policy undo dev gated rollback
        found shop api 1.0.0
        found data db 5.0.0
        found shop api 1.1.0
        measure errors/rate fail
        reverify dev.3 by ann
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    f2 is made: db 5.0.0
    dev.2 starts: f1 and f2, by automation
    dev.1 superseded: promotion dev.2 takes its place
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 verifies
    dev.2 measures errors/rate: pass
    dev.2 succeeded: every step is done and every check passed
    f3 is made: api 1.1.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 verifies
    dev.3 measures errors/rate: pass
    dev.3 succeeded: every step is done and every check passed
    dev.3 verifies anew, says ann
    dev.3 measures errors/rate: fail
    dev.3 unwinds: verification errors/rate failed: too many errors
    dev vouches for f3 no longer
    dev.3 undoes push
    dev.3 rolled_back: undone: verification errors/rate failed: too many errors
    ");
}
