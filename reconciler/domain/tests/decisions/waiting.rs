//! Steps that wait for what happens elsewhere, or for people: looks, deadlines, answers, and what is
//! checked before.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use reconciler_domain::check::{Surroundings, check_stage};
use reconciler_domain::plan::{self, Act, AnswerError};
use reconciler_domain::promotion::Node;
use reconciler_domain::snapshot::PromotionSnapshot;
use reconciler_domain::step::{Answer, Call, HttpCall, Said};
use serde_json::{Value, json};

use crate::kit::script::{promotion_id, set_stage, steps_of};
use crate::kit::{World, play};

/// Two stages straight from one warehouse; `prod` is promoted by hand and has these steps.
fn world(steps: &Value) -> World {
    let mut world = World::new();
    let script = "
        push gitops a.yaml#b=c
        warehouse shop api
        stage canary shop: app
        stage prod shop: enough=2
        policy hand prod manual rollback
        policy other canary manual
    ";
    play(&mut world, script).expect("nothing crashes");
    stage_of(&mut world, steps);
    world.story.clear();
    world
}

fn stage_of(world: &mut World, steps: &Value) {
    let mut stage = world.stage("prod").clone();
    stage.steps = steps_of(steps);
    set_stage(world, stage);
    play(world, "found shop api 1.0.0").expect("nothing crashes");
}

fn told(steps: &Value, script: &str) -> String {
    let mut world = world(steps);
    let problems = check_stage(world.stage("prod"), &Surroundings::of(&world.definitions));
    assert_eq!(problems, [], "the stage is well formed");
    play(&mut world, script).expect("nothing crashes");
    world.story.join("\n")
}

fn canary(more: &Value) -> Value {
    let mut config = json!({
        "condition": "in_stage('canary').verified && vars.enough == '2'",
        "timeout": "1h", "interval": "10m",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    json!([["quiet", "wait", config], ["call", "http", {
        "url": "https://hook.example/x", "method": "PUT",
        "control": { "when": "steps.quiet.held" },
    }]])
}

#[test]
fn a_condition_is_looked_at_until_it_holds() {
    assert_snapshot!(told(&canary(&json!({})), "
        promote prod f1 by ann
        why prod
        +5m
        promote canary f1 by ann
        +5m
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
      ? stage prod: Manual: the stage is manual; a person starts its promotions
      ? promotion prod.1: Waiting: step quiet waits until 2026-01-01T01:00:00Z at most: `in_stage('canary').verified && vars.enough == '2'` does not hold [2026-01-01T00:10:00Z]
    -- +5m
    canary.1 starts: f1, by ann
    canary.1 is prepared
    canary.1 commits
    canary.1 runs push
    canary.1 succeeded: every step is done and every check passed
    prod.1 runs quiet
    prod.1 runs call
    prod.1 succeeded: every step is done and every check passed
    -- +5m
    ");
}

#[test]
fn what_does_not_come_in_its_time_fails_or_is_told() {
    assert_snapshot!(told(&canary(&json!({})), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs quiet: failed: it was not so in its time: `in_stage('canary').verified && vars.enough == '2'` does not hold
    prod.1 unwinds: step quiet failed: it was not so in its time: `in_stage('canary').verified && vars.enough == '2'` does not hold
    prod.1 rolled_back: undone: step quiet failed: it was not so in its time: `in_stage('canary').verified && vars.enough == '2'` does not hold
    ");
    assert_snapshot!(told(&canary(&json!({ "at_timeout": "continue" })), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs quiet
    prod.1 passes call over: `steps.quiet.held` does not hold
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn a_wait_for_a_condition_is_broken_off_by_an_abort() {
    assert_snapshot!(told(&canary(&json!({})), "
        promote prod f1 by ann
        abort prod.1 by bob
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 is to stop, says bob
    prod.1 runs quiet: aborted
    prod.1 aborted: aborted by bob during step quiet: not now
    ");
}

#[test]
fn what_has_no_value_yet_does_not_hold_yet() {
    let steps = json!([
        ["call", "http", { "url": "https://hook.example/x", "method": "PUT",
            "outputs": { "ticket": "response.json.id" } }],
        ["quiet", "wait", { "condition": "steps.call.ticket.state == 'done'", "timeout": "1m" }],
    ]);
    assert_snapshot!(told(&steps, "
        promote prod f1 by ann
        why prod
        +1m
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 runs call
      ? stage prod: Manual: the stage is manual; a person starts its promotions
      ? promotion prod.1: Waiting: step quiet waits until 2026-01-01T00:01:00Z at most: `steps.call.ticket.state == 'done'`: `.` does not take string and string [2026-01-01T00:00:30Z]
    -- +1m
    prod.1 runs quiet: failed: it was not so in its time: `steps.call.ticket.state == 'done'`: `.` does not take string and string
    prod.1 unwinds: step quiet failed: it was not so in its time: `steps.call.ticket.state == 'done'`: `.` does not take string and string
    prod.1 rolled_back: undone: step quiet failed: it was not so in its time: `steps.call.ticket.state == 'done'`: `.` does not take string and string
    prod.1   remains: step call: its request was sent and has no undo
    ");
}

#[test]
fn names_are_checked_when_the_stage_is_defined() {
    let check = |condition: &str, expect: &[&str]| {
        let steps = json!([["quiet", "wait", { "condition": condition, "timeout": "1h" }]]);
        let world = world(&steps);
        let problems = check_stage(world.stage("prod"), &Surroundings::of(&world.definitions));
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "for {condition}");
    };
    check("in_stage('canary').there && freight.api.version.major >= 1", &[]);
    check("timestamp(now) > timestamp(promotion.created_at) + duration('1h')", &[]);
    check(
        "in_stage('cannary').there",
        &[
            "steps[0].config.condition: `in_stage` knows no \"cannary\", did you mean `canary`? (offset 0)",
        ],
    );
    check(
        "in_stage('canary').verifed || vars.enouhg == ''",
        &[
            "steps[0].config.condition: `in_stage(…)` has no field `verifed`, did you mean `verified`? (offset 19)",
            "steps[0].config.condition: `vars` has no field `enouhg`, did you mean `enough`? (offset 35)",
        ],
    );
    check(
        "steps.later.ok",
        &["steps[0].config.condition: `steps` has no field `later` (offset 6)"],
    );
}

/// A step that asks, and a call that is told what came of it.
fn ask(uses: &str, config: &Value, when: &str) -> Value {
    json!([["ask", uses, config], ["call", "http", {
        "url": "https://hook.example/x", "method": "PUT", "control": { "when": when },
    }]])
}

fn approval(more: &Value) -> Value {
    let mut config = json!({ "message": "is {{ freight.api.tag }} quiet?", "timeout": "1h" });
    for (name, value) in more.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    ask("wait_for_approval", &config, "steps.ask.approved")
}

fn input(more: &Value) -> Value {
    let mut config = json!({ "message": "how many?", "timeout": "1h", "groups": ["sre"], "schema": {
        "properties": { "replicas": { "type": "integer", "maximum": 9, "default": 2 } },
        "required": ["replicas"],
    } });
    for (name, value) in more.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    ask("get_input", &config, "steps.ask.replicas > 2")
}

#[test]
fn everybody_who_is_asked_approves_and_nobody_twice() {
    let groups = json!({ "groups": { "sre": 2, "dev": 1 }, "exclude": ["requester"] });
    assert_snapshot!(told(&approval(&groups), "
        promote prod f1 by ann
        answer prod.1 ask by ann in sre yes
        answer prod.1 ask by eve in ops yes
        answer prod.1 ask by bob in sre,dev yes
        answer prod.1 ask by bob in sre yes
        answer prod.1 ask by cat in sre {}
        why prod
        answer prod.1 call by cat in sre yes
        answer prod.1 ask by cat in sre yes
        answer prod.1 ask by dan in sre yes
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    refused: ann may not approve step ask: they asked for the promotion
    refused: step ask is for people of dev, sre
    prod.1 is answered by bob
    refused: bob has approved step ask already
    refused: step ask asks for an approval
      ? stage prod: Manual: the stage is manual; a person starts its promotions
      ? promotion prod.1: Waiting: step ask waits for 1 approval of sre, until 2026-01-01T01:00:00Z: is 1.0.0 quiet? [2026-01-01T01:00:00Z]
    refused: step call of promotion prod.1 asks nothing at this moment
    prod.1 is answered by cat
    prod.1 runs ask
    prod.1 runs call
    prod.1 succeeded: every step is done and every check passed
    refused: step ask of promotion prod.1 asks nothing at this moment
    ");
}

#[test]
fn a_no_ends_it_and_so_does_time() {
    assert_snapshot!(told(&approval(&json!({ "exclude": ["requester"] })), "
        promote prod f1 by ann
        answer prod.1 ask by ann in dev no
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 is answered by ann
    prod.1 runs ask: failed: ann refused it
    prod.1 unwinds: step ask failed: ann refused it
    prod.1 rolled_back: undone: step ask failed: ann refused it
    ");
    assert_snapshot!(told(&approval(&json!({ "groups": { "sre": 1 } })), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs ask: failed: 1 approval of sre did not come in its time
    prod.1 unwinds: step ask failed: 1 approval of sre did not come in its time
    prod.1 rolled_back: undone: step ask failed: 1 approval of sre did not come in its time
    ");
    assert_snapshot!(told(&approval(&json!({ "at_timeout": "continue" })), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs ask
    prod.1 passes call over: `steps.ask.approved` does not hold
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn values_are_held_to_the_form_and_become_outputs() {
    assert_snapshot!(told(&input(&json!({})), "
        promote prod f1 by ann
        answer prod.1 ask by bob in dev {}
        answer prod.1 ask by bob in sre {\"replicas\":10}
        answer prod.1 ask by bob in sre yes
        answer prod.1 ask by bob in sre {\"replicas\":3}
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    refused: step ask is for people of sre
    refused: the values are not what step ask asks for: replicas: is 10, expected at most 9
    refused: step ask asks for values
    prod.1 is answered by bob
    prod.1 runs ask
    prod.1 runs call
    prod.1 succeeded: every step is done and every check passed
    ");
    assert_snapshot!(told(&input(&json!({ "at_timeout": "continue" })), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs ask
    prod.1 passes call over: `steps.ask.replicas > 2` does not hold
    prod.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn an_answer_is_to_the_question_that_was_seen() {
    let mut world = world(&approval(&json!({})));
    play(&mut world, "promote prod f1 by ann").expect("nothing crashes");
    let (id, step) = (promotion_id("prod.1"), "ask".parse().expect("a step"));
    let (_, first) = world.sagas[&id].state.question(&step).expect("it asks");
    // What came after the same words is another question.
    play(&mut world, "abort prod.1 by bob\nfound shop api 1.1.0\npromote prod f2 by ann")
        .expect("nothing");
    let id = promotion_id("prod.2");
    let (_, second) = world.sagas[&id].state.question(&step).expect("it asks");
    assert_ne!(first, second);
    let answer = Answer {
        step,
        question: first,
        by: "bob".to_owned(),
        groups: BTreeSet::new(),
        said: Said::Approved,
        comment: None,
        signed: None,
    };
    let refused = plan::answer(&world.promotion_snapshot(&id), answer.clone());
    assert!(
        matches!(refused, Err(AnswerError::OtherQuestion { present, .. }) if present == second)
    );
    // What is said becomes an output, and outputs are bounded.
    let loud = Answer { question: second, comment: Some("no! ".repeat(1000)), ..answer };
    let refused = plan::answer(&world.promotion_snapshot(&id), loud);
    assert!(matches!(refused, Err(AnswerError::TooLong { what: "comment", .. })), "{refused:?}");
}

#[test]
fn what_a_form_gives_is_known_when_the_stage_is_defined() {
    let config = json!({ "message": "how many?", "timeout": "1h", "schema": {
        "properties": { "replicas": { "type": "integer" } } } });
    let world = world(&ask("get_input", &config, "steps.ask.replica > 2"));
    let problems = check_stage(world.stage("prod"), &Surroundings::of(&world.definitions));
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "steps[1].control.when: `steps.ask` has no field `replica`, did you mean `replicas`? (offset 10)"
        ]
    );
}

#[test]
fn the_time_of_its_control_ends_a_wait_and_never_passes_it() {
    let control = json!({ "control": { "timeout": "10m", "retry": { "attempts": 9 } } });
    assert_snapshot!(told(&canary(&control), "
        promote prod f1 by ann
        +1h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +1h
    prod.1 runs quiet: out of time
    prod.1 unwinds: step quiet failed: it was broken off: it took longer than its 10m
    prod.1 rolled_back: undone: step quiet failed: it was broken off: it took longer than its 10m
    ");
    let asked = json!([["agreed", "wait_for_approval", {
        "message": "go on?", "timeout": "1h", "control": { "timeout": "10m" },
    }]]);
    assert_snapshot!(told(&asked, "
        promote prod f1 by ann
        +2h
    "), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    -- +2h
    prod.1 runs agreed: out of time
    prod.1 unwinds: step agreed failed: it was broken off: it took longer than its 10m
    prod.1 rolled_back: undone: step agreed failed: it was broken off: it took longer than its 10m
    ");
}

#[test]
fn a_poll_is_looked_at_again_and_has_its_end_from_where_its_attempt_began() {
    let steps = json!([["rollout", "http", {
        "url": "https://hook.example/rollout?token=x", "poll": { "timeout": "1h" },
        "control": { "timeout": "30m" },
    }]]);
    let id = promotion_id("prod.1");
    let node = Node::Step("rollout".parse().expect("a name"));
    // Killed once the intent is there and the outcome is not, as between two looks.
    let mut snapshot = (0..100)
        .find_map(|fuel| {
            let mut world = world(&steps);
            world.fuel = Some(fuel);
            play(&mut world, "promote prod f1 by ann").err()?;
            world.sagas.get(&id)?;
            let snapshot = world.promotion_snapshot(&id);
            let is_open = snapshot.state.nodes.get(&node).is_some_and(|run| run.outcome.is_none());
            is_open.then_some(snapshot)
        })
        .expect("there is such a moment");
    let began = snapshot.state.nodes[&node].started_at;
    let check = |snapshot: &PromotionSnapshot| {
        let later = began + SignedDuration::from_mins(10);
        let next = plan::promotion(snapshot, later);
        let Some(Act::Run(runs)) = next.act else { panic!("{next:?}") };
        let Call::Http(HttpCall { poll: Some(poll), .. }) = &*runs[0].call else {
            panic!("{runs:?}")
        };
        assert!(runs[0].resumed, "no attempt is counted");
        assert_eq!(poll.until, began + SignedDuration::from_hours(1));
        assert_eq!(runs[0].deadline, Some(began + SignedDuration::from_mins(30)));
        assert_eq!(
            next.waiting[0].message,
            "step rollout waits for GET https://hook.example/rollout to answer as wanted, until \
             2026-01-01T01:00:00Z"
        );
    };
    check(&snapshot);
    // As a call was that was written down before calls told their end.
    let run = snapshot.state.nodes.get_mut(&node).expect("it is open");
    let Call::Http(HttpCall { poll: Some(poll), .. }) = &mut run.call else { panic!("{run:?}") };
    poll.until = Timestamp::MAX;
    check(&snapshot);
}
