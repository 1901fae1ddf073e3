//! Undoing: order, what a first promotion may destroy, and when it is stuck.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn unwinding_reverses_the_order() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        push infra module#cache=1
        warehouse shop api
        stage dev shop: both hook
        policy auto dev automatic rollback
        found shop api 1.0.0
        outside
        fail call 1
        found shop api 1.1.0
        undo-plan dev.2
        outside
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs push
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.0.0
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
      | request shop/dev.1/call
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 runs push
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 undoes push
    dev.2 plans the undo of apply
    dev.2 undoes apply
    dev.2 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < push: reverts the commit; stuck if others changed the same lines
      < apply: plans and applies the module of promotion dev.1 again, under the same infra rules
      | https://git.example/gitops: dev.yaml#tag=1.0.0
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
      | request shop/dev.1/call
      ? freight f2: PassedOver: its last promotion here did not succeed; a person can promote it
    ");
}

#[test]
fn the_undo_of_a_first_promotion_destroys_only_what_it_created() {
    assert_snapshot!(run("
        state dev x.old=1 x.cache=1
        push infra module#old=1 module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev automatic rollback
        fail call 1
        found shop api 1.0.0
        undo-plan dev.1
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 plans the undo of apply
    dev.1 undoes apply
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < apply: destroys what this promotion created, and nothing else
      | https://git.example/infra: module#cache=1 module#old=1
      | state dev: x.cache=1 x.old=1
    ");
}

#[test]
fn what_had_nothing_to_apply_is_not_undone() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev automatic rollback
        found shop api 1.0.0
        fail call 1
        promote dev f1 by ann
        undo-plan dev.2
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    dev.2 starts: f1, by ann
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < apply: has nothing to undo: its plan changes nothing
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
      | request shop/dev.1/call
    ");
}

#[test]
fn what_a_first_promotion_changed_cannot_be_undone() {
    assert_snapshot!(run("
        state dev x.old=1 x.gone=1
        push infra module#old=2
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev automatic rollback
        fail call 1
        found shop api 1.0.0
        undo-plan dev.1
        outside
        found shop api 1.1.0
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 plans the undo of apply
    dev.1 undoes apply
    dev.1 stuck: undone only in part: step call failed: call was told to fail
    dev.1   remains: step apply: x.gone (deleted), and no earlier promotion says how it was
    dev.1   remains: step apply: x.old (updated), and no earlier promotion says how it was
    dev is held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < apply (not all): destroys what this promotion created, and nothing else; no earlier promotion says how these were: x.gone (deleted), x.old (updated)
      | https://git.example/infra: module#old=2
      | state dev: x.old=2
    f2 is made: api 1.1.0
      ? stage dev: Held: held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
    ");
}

#[test]
fn an_undo_that_would_destroy_more_is_refused() {
    assert_snapshot!(run("
        state dev x.old=1
        push infra module#old=1
        dependent x.old of x.version
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev automatic rollback
        fail call 1
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 plans the undo of apply
    dev.1 stuck: the undo of step apply is refused: it would also change `x.old`, which this promotion did not create
    dev.1   remains: step apply: created x.version
    dev is held by automation: promotion dev.1 is stuck: the undo of step apply is refused: it would also change `x.old`, which this promotion did not create
      | https://git.example/infra: module#old=1
      | state dev: x.old=1 x.version=1.0.0
    ");
}

#[test]
fn infra_rules_can_refuse_an_undo() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev gated rollback
        found shop api 1.0.0
        policy auto dev gated rollback protect=x.disk
        push infra module#disk=1
        fail call 1
        found shop api 1.1.0
        outside
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 plans the undo of apply
    dev.2 stuck: the undo of step apply is refused: `x.disk` would be deleted, and `x.disk` protects it
    dev.2   remains: step apply: created x.disk
    dev is held by automation: promotion dev.2 is stuck: the undo of step apply is refused: `x.disk` would be deleted, and `x.disk` protects it
      | https://git.example/infra: module#cache=1 module#disk=1
      | state dev: x.cache=1 x.disk=1 x.version=1.1.0
      | request shop/dev.1/call
      ? stage dev: Held: held by automation: promotion dev.2 is stuck: the undo of step apply is refused: `x.disk` would be deleted, and `x.disk` protects it
    ");
}

#[test]
fn rules_that_tighten_stop_no_undo_half_way() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        push infra module#cache=1
        warehouse shop api
        stage dev shop: app infra hook
        policy auto dev automatic rollback
        fail call 1
        fail undo-push 1 retry
        found shop api 1.0.0
        policy rules dev gated protect=x.*
        +5s
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 plans the undo of apply
    dev.1 undoes apply
    dev.1 undoes push: failed: undo-push was told to fail
    -- +5s
    dev.1 undoes push (attempt 2)
    dev.1 rolled_back: undone: step call failed: call was told to fail
      | https://git.example/gitops: dev.yaml#tag=0
      | https://git.example/infra: module#cache=1
      | state dev:
    ");
}

#[test]
fn an_undo_that_conflicts_is_stuck() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app hook
        policy auto dev automatic rollback
        fail call 9 retry
        found shop api 1.0.0
        push gitops dev.yaml#tag=hand-made
        +1h
        outside
        why dev
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push
    dev.1 runs call: failed: call was told to fail
    -- +1h
    dev.1 runs call (attempt 2): failed: call was told to fail
    dev.1 runs call (attempt 3): failed: call was told to fail
    dev.1 runs call (attempt 4): failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes push: failed: others changed dev.yaml#tag since
    dev.1 stuck: the undo of step push failed: others changed dev.yaml#tag since
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev is held by automation: promotion dev.1 is stuck: the undo of step push failed: others changed dev.yaml#tag since
      | https://git.example/gitops: dev.yaml#tag=hand-made
      ? stage dev: Held: held by automation: promotion dev.1 is stuck: the undo of step push failed: others changed dev.yaml#tag since
    ");
}

#[test]
fn a_request_that_was_sent_is_told() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: hook app
        policy auto dev automatic rollback
        fail push 1
        found shop api 1.0.0
        undo-plan dev.1
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 runs push: failed: push was told to fail
    dev.1 unwinds: step push failed: push was told to fail
    dev.1 rolled_back: undone: step push failed: push was told to fail
    dev.1   remains: step call: its request was sent and has no undo
      < push: reverts the commit; stuck if others changed the same lines
      < call (not all): has no undo: what was sent stays sent
    ");
}

#[test]
fn an_undo_goes_back_to_what_was_there_when_it_committed() {
    // The third is prepared before the second succeeds, and goes back to the second.
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy gate dev gated approve=sre rollback
        found shop api 1.0.0
        approve dev.1 by ann in sre
        fail call 1 retry
        found shop api 1.1.0
        approve dev.2 by ann in sre
        found shop api 1.2.0
        +5s
        fail call 1
        approve dev.3 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 is approved by ann
    dev.2 commits
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    -- +5s
    dev.2 runs call (attempt 2)
    dev.2 succeeded: every step is done and every check passed
    dev.3 is prepared again
    dev.3 is prepared
    dev.3 is approved by ann
    dev.3 commits
    dev.3 runs apply
    dev.3 runs call: failed: call was told to fail
    dev.3 unwinds: step call failed: call was told to fail
    dev.3 plans the undo of apply
    dev.3 undoes apply
    dev.3 rolled_back: undone: step call failed: call was told to fail
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.1.0
      | request shop/dev.1/call
      | request shop/dev.2/call
    ");
}

#[test]
fn what_was_there_is_there_again_even_if_it_had_not_succeeded() {
    assert_snapshot!(run("
        push gitops dev.yaml#tag=0
        warehouse shop api
        verification errors count=2
        stage dev shop: app verify=errors
        policy auto dev automatic rollback
        found shop api 1.0.0
        +2m
        found shop api 1.1.0
        abort dev.2 by ann
        measure errors/rate fail
        found shop api 1.2.0
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
    -- +2m
    dev.1 measures errors/rate: pass
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs push
    dev.2 verifies
    dev.2 measures errors/rate: pass
    dev.2 is to stop, says ann
    dev.2 aborted: aborted by ann during verification: not now
    dev.2   remains: step push: commit c3 is on branch main of https://git.example/gitops
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs push
    dev.3 verifies
    dev.3 measures errors/rate: fail
    dev.3 unwinds: verification errors/rate failed: too many errors
    dev.3 undoes push
    dev.3 rolled_back: undone: verification errors/rate failed: too many errors
      | https://git.example/gitops: dev.yaml#tag=1.1.0
      ? freight f3: PassedOver: its last promotion here did not succeed; a person can promote it
    ");
}

#[test]
fn a_program_is_undone_by_the_one_that_it_names() {
    assert_snapshot!(run("
        warehouse shop api
        stage dev shop: program hook
        policy auto dev automatic rollback
        fail call 1
        found shop api 1.1.0
        undo-plan dev.1
        outside
    "), @r"
    f1 is made: api 1.1.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs program
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 undoes program
    dev.1 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < program: runs its undo, `migrate`
      | request shop/dev.1/program
      | request shop/dev.1/program/undo
    ");
}
