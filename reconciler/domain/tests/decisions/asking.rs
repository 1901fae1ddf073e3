//! Gates that ask somebody else: what is asked when, and what an answer is good for.

use insta::assert_snapshot;

use crate::kit::run;

/// A stage of images whose promotions need a ticket, `change`.
fn with(policy: &str, script: &str) -> String {
    run(&format!(
        "push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app ticket=CHG1
        policy p dev manual {policy}
        found shop api 1.0.0
        {script}"
    ))
    .split_once("f1 is made: api 1.0.0\n")
    .expect("freight is made")
    .1
    .to_owned()
}

#[test]
fn a_promotion_waits_for_its_ticket_and_goes_once_it_is_approved() {
    assert_snapshot!(with("ticket=change", "
        says change fail
        promote dev f1 by ann
        gates dev.1
        +1m
        says change pass
        +30s
        +30s
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Fail
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Fail: ticket change: GET https://tickets.example.com/CHG1 says Fail (asked at 2026-01-01T00:00:00Z, and again at 2026-01-01T00:01:00Z)
    -- +1m
    dev.1 asks for ticket change: Fail
    -- +30s
    -- +30s
    dev.1 asks for ticket change: Pass
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn who_says_nothing_lets_nothing_pass() {
    assert_snapshot!(with("ticket=change", "
        promote dev f1 by ann
        gates dev.1
        +1m
        says change pass
        +1m
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Unknown
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Unknown: ticket change: GET https://tickets.example.com/CHG1 says Unknown (asked at 2026-01-01T00:00:00Z, and again at 2026-01-01T00:01:00Z)
    -- +1m
    dev.1 asks for ticket change: Unknown
    -- +1m
    dev.1 asks for ticket change: Pass
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn what_was_said_is_asked_again_at_the_last_moment() {
    // It is approved while people are waited for, and taken back before they agree.
    assert_snapshot!(with("ticket=change:10m approve=sre", "
        says change pass
        promote dev f1 by ann
        +5m
        says change fail
        approve dev.1 by bob in sre
        gates dev.1
        says change pass
        +10m
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Pass
    -- +5m
    dev.1 is approved by bob
    dev.1 asks for ticket change: Fail
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Fail: ticket change: GET https://tickets.example.com/CHG1 says Fail (asked at 2026-01-01T00:05:00Z, and again at 2026-01-01T00:15:00Z)
      # approvals Pass: approved by bob
    -- +10m
    dev.1 asks for ticket change: Pass
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn an_answer_that_grew_old_is_asked_for_before_anything_else() {
    // Nobody looked for a while.
    assert_snapshot!(with("ticket=change approve=sre", "
        says change pass
        promote dev f1 by ann
        sleep 30m
        gates dev.1
        +0s
        gates dev.1
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Pass
    dev.1 asks for ticket change: Pass
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Pass: ticket change: GET https://tickets.example.com/CHG1 says Pass (asked at 2026-01-01T00:30:00Z)
      # approvals Fail: needs 1 approval of group sre, has 0
    -- +0s
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Pass: ticket change: GET https://tickets.example.com/CHG1 says Pass (asked at 2026-01-01T00:30:00Z)
      # approvals Fail: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn another_question_is_another_answer() {
    assert_snapshot!(with("ticket=change approve=sre", "
        says change pass
        promote dev f1 by ann
        says change fail
        stage dev shop: app ticket=CHG2
        gates dev.1
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Pass
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 asks for ticket change: Fail
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Fail: ticket change: GET https://tickets.example.com/CHG2 says Fail (asked at 2026-01-01T00:00:00Z, and again at 2026-01-01T00:01:00Z)
      # approvals Fail: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn every_policy_asks_for_itself_and_all_have_to_agree() {
    assert_snapshot!(with("ticket=change attest=scan", "
        policy q dev manual ticket=change
        says scan pass
        says change pass
        policy r dev manual ticket=other attest=scan
        promote dev f1 by ann
        gates dev.1
        says other pass
        +1m
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Pass
    dev.1 asks for attestation scan: Pass
    dev.1 asks for ticket change: Pass
    dev.1 asks for ticket other: Unknown
    dev.1 asks for attestation scan: Pass
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Pass: ticket change: GET https://tickets.example.com/CHG1 says Pass (asked at 2026-01-01T00:00:00Z)
      # attestation Pass: attestation scan: https://example.com/scan attached to registry.example/api@sha256:1.0.0 says Pass (asked at 2026-01-01T00:00:00Z)
      # ticket Pass: ticket change: GET https://tickets.example.com/CHG1 says Pass (asked at 2026-01-01T00:00:00Z)
      # ticket Unknown: ticket other: GET https://tickets.example.com/CHG1 says Unknown (asked at 2026-01-01T00:00:00Z, and again at 2026-01-01T00:01:00Z)
      # attestation Pass: attestation scan: https://example.com/scan attached to registry.example/api@sha256:1.0.0 says Pass (asked at 2026-01-01T00:00:00Z)
    -- +1m
    dev.1 asks for ticket change: Pass
    dev.1 asks for attestation scan: Pass
    dev.1 asks for ticket change: Pass
    dev.1 asks for ticket other: Pass
    dev.1 asks for attestation scan: Pass
    dev.1 commits
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn who_may_skips_the_gate_and_nobody_is_asked() {
    assert_snapshot!(with("ticket=change bypass=oncall:ticket", "
        promote dev f1 by ann bypass ticket as oncall
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 commits past ticket
    dev.1 runs push
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_question_that_cannot_be_made_is_unknown() {
    assert_snapshot!(with("ticket=change", "
        stage dev shop: app
        promote dev f1 by ann
        gates dev.1
        why dev
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # ticket Unknown: ticket change cannot be asked about: at /url: `vars.ticket`: there is no `ticket`
      ? stage dev: Manual: the stage is manual; a person starts its promotions
      ? promotion dev.1: GateUnknown: ticket change cannot be asked about: at /url: `vars.ticket`: there is no `ticket`
    ");
}

#[test]
fn a_ticket_that_is_never_approved_expires_the_promotion() {
    assert_snapshot!(with("ticket=change:1h max_wait=90m", "
        says change fail
        promote dev f1 by ann
        +2h
    "), @r"
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 asks for ticket change: Fail
    -- +2h
    dev.1 asks for ticket change: Fail
    dev.1 expired: did not commit within 1h30m (policy p), until 2026-01-01T01:30:00Z: gate ticket: ticket change: GET https://tickets.example.com/CHG1 says Fail (asked at 2026-01-01T01:00:00Z, and again at 2026-01-01T02:00:00Z)
    ");
}
