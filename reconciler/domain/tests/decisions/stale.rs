//! Plans that are refused because somebody wrote the state after they were made.

use insta::assert_snapshot;

use crate::kit::run;

#[test]
fn the_same_plan_made_anew_takes_its_place() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated approve=sre
        found shop api 1.0.0
        meddle dev
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply (attempt 2)
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn another_plan_goes_back_to_the_gates() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy gate dev gated approve=sre
        found shop api 1.0.0
        meddle dev x.size=2
        approve dev.1 by ann in sre
        why dev
        outside
        approve dev.1 by ann in sre
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 goes back to its gates: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`
    dev.1 is prepared again
    dev.1 is prepared
      ? promotion dev.1: ApprovalsMissing: needs 1 approval of group sre, has 0
      | https://git.example/infra: module#cache=1
      | state dev: x.size=2
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs apply
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
    ");
}

#[test]
fn after_an_effect_another_plan_is_not_applied() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: hook infra
        policy auto dev automatic
        meddle dev x.size=2
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 failed: step apply failed: the state of infra was changed after its plan was made, and planned anew it would do something else: it would delete `x.size`; nobody agreed to that, so it is not applied
    dev.1   remains: step call: POST https://hook.example/dev was sent
      | https://git.example/infra: module#cache=1
      | state dev: x.size=2
      | request shop/dev.1/call
    ");
}

#[test]
fn a_state_that_never_rests_is_given_up() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy auto dev automatic
        meddle dev
        meddle dev
        meddle dev
        meddle dev
        meddle dev
        meddle dev
        found shop api 1.0.0
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 plans anew for apply
    dev.1 runs apply (attempt 2): failed: the state was changed after the plan was made
    dev.1 plans anew for apply (attempt 2)
    dev.1 runs apply (attempt 3): failed: the state was changed after the plan was made
    dev.1 plans anew for apply (attempt 3)
    dev.1 runs apply (attempt 4): failed: the state was changed after the plan was made
    dev.1 plans anew for apply (attempt 4)
    dev.1 runs apply (attempt 5): failed: the state was changed after the plan was made
    dev.1 plans anew for apply (attempt 5)
    dev.1 runs apply (attempt 6): failed: the state was changed after the plan was made
    dev.1 failed: step apply failed: the state was changed by others after each of 5 plans; find out who writes it, then promote again
      | https://git.example/infra: module#cache=1
      | state dev:
    ");
}

#[test]
fn the_plan_of_an_undo_is_made_anew_too() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy auto dev automatic rollback
        found shop api 1.0.0
        fail call 9
        meddle not
        meddle dev
        found shop api 1.1.0
        meddle not
        meddle dev x.cache=3
        found shop api 1.2.0
        outside
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
    dev.2 undoes apply: failed: the state was changed after the plan was made
    dev.2 plans the undo of apply (attempt 2)
    dev.2 undoes apply (attempt 2)
    dev.2 rolled_back: undone: step call failed: call was told to fail
    f3 is made: api 1.2.0
    dev.3 starts: f3, by automation
    dev.3 is prepared
    dev.3 commits
    dev.3 runs apply
    dev.3 runs call: failed: call was told to fail
    dev.3 unwinds: step call failed: call was told to fail
    dev.3 plans the undo of apply
    dev.3 undoes apply: failed: the state was changed after the plan was made
    dev.3 plans the undo of apply (attempt 2)
    dev.3 undoes apply (attempt 2)
    dev.3 rolled_back: undone: step call failed: call was told to fail
      | https://git.example/infra: module#cache=1
      | state dev: x.cache=1 x.version=1.0.0
      | request shop/dev.1/call
    ");
}

#[test]
fn an_abort_while_it_is_planned_anew_changes_nothing() {
    assert_snapshot!(run("
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra
        policy auto dev automatic
        meddle dev
        hang replan-apply until ann
        found shop api 1.0.0
        +1m
        outside
    "), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply: failed: the state was changed after the plan was made
    dev.1 is to stop, says ann
    dev.1 plans anew for apply: aborted
    dev.1 aborted: aborted by ann during the plan that is made anew for step apply: not now
    -- +1m
      | https://git.example/infra: module#cache=1
      | state dev:
    ");
}
