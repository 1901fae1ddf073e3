//! What changed policies would have said of promotions that are over.

use std::sync::Arc;

use insta::assert_snapshot;
use proptest::prelude::*;
use reconciler_domain::id::{FreightId, Principal};
use reconciler_domain::preview::{
    Change, Changes, History, Past, PastCommit, REPLAY_DEFAULT, Replay, replay, wanted,
};
use reconciler_domain::promotion::{Event, Phase, State};

use crate::kit::script::policy;
use crate::kit::{World, play};
use crate::properties::{played, stories};

/// The past of a world, as the store reads it.
fn history(world: &World, changes: &Changes) -> History {
    let wanted = wanted(&world.definitions, changes, REPLAY_DEFAULT, world.now);
    let wanted = wanted.expect("a policy changes");
    let mut history = History { is_whole: true, ..History::default() };
    for saga in world.sagas.values() {
        if saga.state.committed_at.is_none() {
            continue;
        }
        let commit =
            saga.log.iter().rposition(|entry| matches!(entry.event, Event::Committed { .. }));
        let at = commit.expect("it committed");
        let committed_at = saga.log[at].at;
        let ended_at = match saga.state.phase() {
            Phase::Ended(_) => saga.log.last().map(|entry| entry.at),
            Phase::Preparing
            | Phase::Waiting
            | Phase::Committing
            | Phase::Verifying
            | Phase::Unwinding => None,
        };
        let (promotion, stage) = (saga.promotion.id.clone(), saga.promotion.stage.clone());
        history.commits.push(PastCommit { promotion, stage, at: committed_at, ended_at });
        if wanted.stages.contains(&saga.promotion.stage) {
            let facts = |id: &FreightId| {
                let known = world.freight.iter().find(|facts| facts.freight.id == *id);
                Arc::new(known.expect("its freight").clone())
            };
            history.past.push(Past {
                promotion: saga.promotion.clone(),
                state: State::fold(&saga.log[..=at]).expect("a log folds up to its commit"),
                facts: facts(&saga.promotion.freight),
                along: saga.promotion.along.values().map(facts).collect(),
            });
        }
    }
    history.past.sort_by_key(|past| std::cmp::Reverse(past.state.committed_at));
    history
}

fn replayed(world: &World, changes: &[Change]) -> Replay {
    let changes = Changes::new(Principal::Named("admin".to_owned()), changes.to_vec());
    let after = changes.apply(&world.definitions, world.now);
    replay(&history(world, &changes), &after)
}

fn told(world: &World, replay: &Replay) -> String {
    let Replay { passed, blocked, unknown, .. } = replay;
    let mut lines = vec![format!("passed {passed}, blocked {blocked}, unknown {unknown}")];
    for witness in &replay.witnesses {
        let gate = witness.gate.map_or("-", |gate| gate.name());
        lines.push(format!(
            "{} at {}: {gate} {:?}: {}",
            witness.promotion, witness.at, witness.verdict, witness.reason
        ));
    }
    world.named(&lines.join("\n"))
}

/// Plays a script and judges what happened by a policy: `NAME STAGES MODE …`, or `remove NAME`.
fn of(script: &str, words: &str) -> String {
    let mut world = World::new();
    play(&mut world, script).expect("nothing crashes");
    let words: Vec<&str> = words.split_whitespace().collect();
    let change = match words.as_slice() {
        ["remove", name] => Change::Policy(name.parse().expect("a name"), None),
        [name, stages, mode, rest @ ..] => {
            let new = policy(name, stages, mode, rest);
            Change::Policy(new.name.clone(), Some(new))
        }
        other => panic!("{other:?} is no policy"),
    };
    told(&world, &replayed(&world, &[change]))
}

/// Three promotions to prod, an hour apart, of freight that was in dev for half an hour.
const PAST: &str = "
    push gitops a.yaml#b=c
    warehouse shop api
    stage dev shop: app
    stage prod shop<dev: app
    policy auto dev automatic
    policy gate prod gated approve=sre
    +8h
    found shop api 1.0.0
    +30m
    approve prod.1 by ann in sre
    +30m
    found shop api 2.0.0
    +30m
    approve prod.2 by ann in sre
    +30m
    found shop api 2.1.0
    +30m
    approve prod.3 by bob in sre
    +5m
";

#[test]
fn a_gate_says_what_it_would_have_said_then() {
    assert_snapshot!(of(PAST, "gate prod gated approve=sre"), @"passed 3, blocked 0, unknown 0");
    assert_snapshot!(of(PAST, "gate prod gated approve=sre:2"), @r"
    passed 0, blocked 3, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: approvals Fail: needs 2 approvals of group sre, has 1
    prod.2 at 2026-01-01T09:30:00Z: approvals Fail: needs 2 approvals of group sre, has 1
    prod.1 at 2026-01-01T08:30:00Z: approvals Fail: needs 2 approvals of group sre, has 1
    ");
    assert_snapshot!(of(PAST, "gate prod gated soak=10m"), @"passed 3, blocked 0, unknown 0");
    assert_snapshot!(of(PAST, "gate prod gated soak=1h"), @r"
    passed 0, blocked 3, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: soak Fail: has to soak for 1h upstream, until 2026-01-01T11:00:00Z
    prod.2 at 2026-01-01T09:30:00Z: soak Fail: has to soak for 1h upstream, until 2026-01-01T10:00:00Z
    prod.1 at 2026-01-01T08:30:00Z: soak Fail: has to soak for 1h upstream, until 2026-01-01T09:00:00Z
    ");
    assert_snapshot!(of(PAST, "gate prod gated max_age=20m"), @r"
    passed 0, blocked 3, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: age Fail: older than 20m since 2026-01-01T10:20:00Z; newer freight is needed
    prod.2 at 2026-01-01T09:30:00Z: age Fail: older than 20m since 2026-01-01T09:20:00Z; newer freight is needed
    prod.1 at 2026-01-01T08:30:00Z: age Fail: older than 20m since 2026-01-01T08:20:00Z; newer freight is needed
    ");
    assert_snapshot!(of(PAST, "gate prod gated allow=FREQ=DAILY;BYHOUR=9/2h"), @r"
    passed 2, blocked 1, unknown 0
    prod.1 at 2026-01-01T08:30:00Z: window Fail: outside of window open; opens at 2026-01-01T09:00:00Z
    ");
    assert_snapshot!(of(PAST, "gate prod gated when=freight.api.version.major==2"), @r"
    passed 2, blocked 1, unknown 0
    prod.1 at 2026-01-01T08:30:00Z: condition Fail: condition does not hold: freight.api.version.major==2
    ");
    assert_snapshot!(of(PAST, r#"gate prod gated when=upstream["dev"].there"#), @"passed 3, blocked 0, unknown 0");
    assert_snapshot!(of(PAST, "gate prod gated forbid=create"), @"passed 3, blocked 0, unknown 0");
    assert_snapshot!(of(PAST, "gate prod manual"), @r"
    passed 0, blocked 3, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: mode Fail: the stage is manual: a person must start the promotion
    prod.2 at 2026-01-01T09:30:00Z: mode Fail: the stage is manual: a person must start the promotion
    prod.1 at 2026-01-01T08:30:00Z: mode Fail: the stage is manual: a person must start the promotion
    ");
    assert_snapshot!(of(PAST, "remove gate"), @r"
    passed 0, blocked 3, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: mode Fail: no policy selects the stage, so a person must start the promotion
    prod.2 at 2026-01-01T09:30:00Z: mode Fail: no policy selects the stage, so a person must start the promotion
    prod.1 at 2026-01-01T08:30:00Z: mode Fail: no policy selects the stage, so a person must start the promotion
    ");
    // Other stages are not concerned.
    assert_snapshot!(of(PAST, "other qa gated soak=1h"), @"passed 0, blocked 0, unknown 0");
}

#[test]
fn rates_count_what_was_committed_by_then() {
    assert_snapshot!(of(PAST, "gate prod gated rate=2/1d"), @r"
    passed 2, blocked 1, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: rate Fail: rate 2: 2 in 1d are committed, the next may at 2026-01-02T08:30:00Z
    ");
    assert_snapshot!(of(PAST, "gate prod gated rate=cooldown/2h"), @r"
    passed 1, blocked 2, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: rate Fail: rate cooldown: prod.2 committed less than 2h ago, wait until 2026-01-01T11:30:00Z
    prod.2 at 2026-01-01T09:30:00Z: rate Fail: rate cooldown: prod.1 committed less than 2h ago, wait until 2026-01-01T10:30:00Z
    ");
    assert_snapshot!(of(PAST, "gate dev,prod gated rate=cooldown/1h/policy"), @r"
    passed 1, blocked 5, unknown 0
    prod.3 at 2026-01-01T10:30:00Z: rate Fail: rate cooldown: dev.3 committed less than 1h ago, wait until 2026-01-01T11:00:00Z
    dev.3 at 2026-01-01T10:00:00Z: rate Fail: rate cooldown: prod.2 committed less than 1h ago, wait until 2026-01-01T10:30:00Z
    prod.2 at 2026-01-01T09:30:00Z: rate Fail: rate cooldown: dev.2 committed less than 1h ago, wait until 2026-01-01T10:00:00Z
    dev.2 at 2026-01-01T09:00:00Z: rate Fail: rate cooldown: prod.1 committed less than 1h ago, wait until 2026-01-01T09:30:00Z
    prod.1 at 2026-01-01T08:30:00Z: rate Fail: rate cooldown: dev.1 committed less than 1h ago, wait until 2026-01-01T09:00:00Z
    ");
    assert_snapshot!(of(PAST, "gate prod gated rate=concurrent/1"), @"passed 3, blocked 0, unknown 0");
}

#[test]
fn a_right_to_skip_is_looked_up_in_the_new_policy() {
    let script = "
        push gitops a.yaml#b=c
        warehouse shop api
        stage prod shop: app
        policy gate prod manual approve=sre bypass=oncall:approvals
        found shop api 1.0.0
        promote prod f1 by bob bypass approvals as oncall
    ";
    assert_snapshot!(of(script, "gate prod manual approve=sre bypass=oncall:approvals"), @"passed 1, blocked 0, unknown 0");
    assert_snapshot!(of(script, "gate prod manual approve=sre"), @r"
    passed 0, blocked 1, unknown 0
    prod.1 at 2026-01-01T00:00:00Z: approvals Fail: needs 1 approval of group sre, has 0
    ");
}

#[test]
fn what_was_not_recorded_is_unknown() {
    // The verification of the first freight was withdrawn since, the stage that passes freight on
    // came later than the promotions, and only late commits are known.
    let mut world = World::new();
    play(&mut world, PAST).expect("nothing crashes");
    let gate = |words: &[&str]| {
        let new = policy("gate", "prod", "gated", words);
        Change::Policy(new.name.clone(), Some(new))
    };
    let mut withdrawn = world.clone();
    withdrawn.freight[0].verified_in.clear();
    assert_snapshot!(told(&withdrawn, &replayed(&withdrawn, &[gate(&["soak=10m"])])), @r"
    passed 2, blocked 0, unknown 1
    prod.1 at 2026-01-01T08:30:00Z: upstream Unknown: that it was verified upstream then is no longer recorded
    prod.1 at 2026-01-01T08:30:00Z: soak Unknown: that it was verified upstream then is no longer recorded
    ");
    let upstream = gate(&[r#"when=upstream["dev"].verified"#]);
    assert_snapshot!(told(&withdrawn, &replayed(&withdrawn, &[upstream])), @r"
    passed 2, blocked 0, unknown 1
    prod.1 at 2026-01-01T08:30:00Z: upstream Unknown: that it was verified upstream then is no longer recorded
    prod.1 at 2026-01-01T08:30:00Z: condition Unknown: that it was verified upstream then is no longer recorded
    ");
    let mut rewired = world.clone();
    play(&mut rewired, "stage dev shop").expect("nothing crashes");
    for facts in &mut rewired.freight {
        facts.stays.retain(|stage, _| stage.as_str() != "dev");
    }
    assert_snapshot!(told(&rewired, &replayed(&rewired, &[gate(&["soak=10m"])])), @r"
    passed 0, blocked 0, unknown 3
    prod.3 at 2026-01-01T10:30:00Z: soak Unknown: stage dev was changed since; what it was then is not recorded
    prod.2 at 2026-01-01T09:30:00Z: soak Unknown: stage dev was changed since; what it was then is not recorded
    prod.1 at 2026-01-01T08:30:00Z: soak Unknown: stage dev was changed since; what it was then is not recorded
    ");
    let changes = Changes::new(Principal::Automation, vec![gate(&["rate=3/1d"])]);
    let mut late = history(&world, &changes);
    late.commits.retain(|commit| commit.promotion.as_str() != "prod.1");
    late.commits_since = Some(late.commits[0].at);
    let after = changes.apply(&world.definitions, world.now);
    assert_snapshot!(told(&world, &replay(&late, &after)), @r"
    passed 0, blocked 0, unknown 3
    prod.3 at 2026-01-01T10:30:00Z: rate Unknown: only the commits since 2026-01-01T08:00:00Z were looked at
    prod.2 at 2026-01-01T09:30:00Z: rate Unknown: only the commits since 2026-01-01T08:00:00Z were looked at
    prod.1 at 2026-01-01T08:30:00Z: rate Unknown: only the commits since 2026-01-01T08:00:00Z were looked at
    ");
    let mut cut = history(&world, &changes);
    cut.past[0].state.frozen = None;
    assert_snapshot!(told(&world, &replay(&cut, &after)), @r"
    passed 2, blocked 0, unknown 1
    prod.3 at 2026-01-01T10:00:00Z: - Unknown: its log does not say what it was made from
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_policies_of_then_would_have_let_pass_what_they_let_pass((pipeline, lines) in stories()) {
        let (policies, rest): (Vec<String>, Vec<String>) =
            lines.into_iter().partition(|line| line.starts_with("policy "));
        let rest = rest.into_iter().filter(|line| !line.starts_with("drop "));
        let lines: Vec<String> = policies.into_iter().chain(rest).collect();
        let world = played(pipeline, &lines);
        let specs = world.definitions.policies.iter().map(|policy| policy.spec.clone());
        let same: Vec<Change> =
            specs.map(|spec| Change::Policy(spec.name.clone(), Some(spec))).collect();
        if !same.is_empty() {
            let replay = replayed(&world, &same);
            prop_assert_eq!(replay.judged(), replay.passed, "{}", told(&world, &replay));
        }
    }
}
