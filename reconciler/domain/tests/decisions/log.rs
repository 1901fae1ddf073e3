//! The log: what it refuses, and that a crash at any point of it changes nothing in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use insta::assert_snapshot;
use jiff::SignedDuration;
use proptest::prelude::*;
use reconciler_domain::duration;
use reconciler_domain::promotion::{Entry, Event, Node, Phase, Promotion, State};
use reconciler_domain::step::{Seen, StepKind, StepOutcome};

use crate::kit::script::line_of;
use crate::kit::world::start;
use crate::kit::{World, play};

/// Scripts in which promotions go through everything that can be resumed.
const SCRIPTS: [&str; 9] = [
    "
        push gitops dev.yaml#tag=0
        push infra module#cache=1
        verification errors count=2
        warehouse shop api
        stage dev shop: linked hook verify=errors
        stage tested shop<dev
        stage prod shop<tested: app
        policy auto dev,prod automatic
        found shop api 1.0.0
        +1m
        found shop api 1.1.0
        +1m
    ",
    "
        unknown url
        push gitops dev.yaml#tag=0
        push infra module#cache=1
        warehouse shop api
        stage dev shop: linked hook
        policy gate dev gated approve=sre rollback
        found shop api 1.0.0
        approve dev.1 by ann in sre
        fail push 9
        found shop api 1.1.0
        approve dev.2 by ann in sre
        +1h
    ",
    "
        push gitops dev.yaml#tag=0
        push infra module#cache=1
        warehouse shop api
        stage dev shop: both hook
        policy auto dev automatic rollback
        fail call 1
        found shop api 1.0.0
        found shop api 1.1.0
        fail call 9
        found shop api 1.2.0
    ",
    "
        push gitops dev.yaml#tag=0
        verification errors count=2
        warehouse shop api
        stage dev shop: app verify=errors
        policy auto dev automatic rollback
        found shop api 1.0.0
        +1m
        measure errors/rate pass fail
        found shop api 1.1.0
        push gitops other.yaml#a=1
        +5m
    ",
    "
        push gitops dev.yaml#tag=0
        warehouse shop api
        warehouse data db
        stage dev shop data: pair
        policy auto dev automatic
        found shop api 1.0.0
        found data db 5.0.0
        found data db 5.1.0
        promote dev f1 by ann
        found shop api 1.1.0
    ",
    "
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app hook
        policy auto dev automatic rollback
        fail push 2 retry
        fail undo-push 2 retry
        fail call 4 retry
        found shop api 1.0.0
        +20s
        abort dev.1 by ann
        +1h
    ",
    "
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app hook
        policy auto dev automatic rollback
        fail undo-push 9
        fail call 1
        found shop api 1.0.0
        +1h
    ",
    "
        warehouse shop api
        stage dev shop: noted asked hook
        policy hand dev manual rollback
        found shop api 1.0.0
        promote dev f1 by ann
        +31s
        answer dev.1 ok by bob in sre yes
        answer dev.1 size by bob in sre {\"replicas\":3}
        found shop api 1.1.0
        promote dev f2 by ann
        +31s
        answer dev.2 ok by bob in sre no
        +1m
        fail call 9
        promote dev f2 by ann
        +31s
        answer dev.3 ok by bob in sre yes
        +2h
    ",
    "
        push infra module#cache=1
        warehouse shop api
        stage dev shop: infra hook
        policy gate dev gated approve=sre rollback
        meddle dev
        meddle dev x.size=1
        meddle not
        meddle not
        meddle dev
        found shop api 1.0.0
        approve dev.1 by ann in sre
        found shop api 1.1.0
        approve dev.2 by ann in sre
        approve dev.2 by ann in sre
        fail call 9
        found shop api 1.2.0
        approve dev.3 by ann in sre
        +1h
    ",
];

/// Plays a script in a process that dies after so many boundaries and starts again each time.
fn play_dying(script: &str, fuels: &[u32]) -> World {
    let mut world = World::new();
    let mut fuels = fuels.iter().copied();
    world.fuel = fuels.next();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let time = line.strip_prefix('+').map(|time| duration::parse(time).expect("a duration"));
        let until = world.now + time.unwrap_or_default();
        let mut played = line_of(&mut world, line);
        while played.is_err() {
            world.fuel = fuels.next();
            played = world.wait_until(until);
        }
    }
    world
}

/// What is left in the end. What a death cut off is in doubt, where it does no harm and nobody looks for it: that
/// much is told on top.
fn result(world: &World) -> Vec<String> {
    let endings = world.sagas.values().map(|saga| {
        let mut finish = saga.state.finish.clone();
        if let Some((_, finish)) = &mut finish {
            finish.remaining.retain(|what| !what.contains(": nobody saw how it ended"));
        }
        format!("{} {finish:?}", saga.promotion.id)
    });
    let effects = world.outside.effects.iter().map(|(key, times)| format!("{key}: {times}"));
    endings.chain(effects).chain(world.outside.describe()).collect()
}

fn assert_once(world: &World) {
    for (effect, times) in &world.outside.effects {
        assert_eq!(*times, 1, "{effect} happened {times} times");
    }
}

/// What must be the same whether the process died or not. That a death leaves in doubt what was cut off is not.
fn memory(world: &World) -> impl PartialEq + std::fmt::Debug {
    let mut logs: Vec<_> = world.sagas.values().map(|saga| saga.log.clone()).collect();
    for entry in logs.iter_mut().flatten() {
        if let Event::Outcome { outcome, .. } = &mut entry.event
            && let StepOutcome::Failed { seen, .. } = &mut **outcome
        {
            *seen = Seen::Unsaid;
        }
    }
    let kept = (world.noted.clone(), world.aliases.clone());
    (logs, world.freight.clone(), world.holds.clone(), world.now, kept, result(world))
}

/// Kinds that nobody carries out: they are decided from the log, so that effects have no harness for them.
/// Every other kind has its entry in that of the effects.
fn is_decided_here(kind: StepKind) -> bool {
    match kind {
        StepKind::Wait
        | StepKind::WaitForApproval
        | StepKind::GetInput
        | StepKind::SetMetadata
        | StepKind::SetAlias
        | StepKind::AuditEvent => true,
        StepKind::GitClone
        | StepKind::YamlUpdate
        | StepKind::GitCommit
        | StepKind::GitPush
        | StepKind::TfPlan
        | StepKind::TfDestroy
        | StepKind::TfImport
        | StepKind::TfApply
        | StepKind::TfOutput
        | StepKind::Http
        | StepKind::GitClear
        | StepKind::GitTag
        | StepKind::Copy
        | StepKind::Delete
        | StepKind::Write
        | StepKind::Template
        | StepKind::Tar
        | StepKind::Untar
        | StepKind::Download
        | StepKind::YamlMerge
        | StepKind::YamlParse
        | StepKind::JsonUpdate
        | StepKind::JsonParse
        | StepKind::TomlUpdate
        | StepKind::TomlParse
        | StepKind::HclUpdate
        | StepKind::HclParse
        | StepKind::KustomizeSetImage
        | StepKind::OciPull
        | StepKind::OciPush
        | StepKind::OciAttach
        | StepKind::KustomizeBuild
        | StepKind::HelmTemplate
        | StepKind::HelmUpdateChart
        | StepKind::ComposeOutput
        | StepKind::Fail
        | StepKind::Task
        | StepKind::GitOpenPr
        | StepKind::GitWaitForPr
        | StepKind::GitMergePr
        | StepKind::GitClosePr
        | StepKind::GitCommentPr
        | StepKind::Run
        | StepKind::RunEffect => false,
    }
}

#[test]
fn every_kind_that_is_decided_here_dies_at_every_boundary() {
    let worlds: Vec<World> = SCRIPTS.iter().map(|script| play_dying(script, &[])).collect();
    let begun = |kind: StepKind| {
        worlds.iter().flat_map(|world| world.sagas.values()).any(|saga| {
            let steps = saga.state.frozen.iter().flat_map(|frozen| &frozen.stage.steps);
            steps.filter(|step| step.uses == kind).any(|step| {
                let node = Node::Step(step.name.clone());
                saga.log.iter().any(|entry| {
                    matches!(&entry.event, Event::Outcome { node: ended, .. } if *ended == node)
                })
            })
        })
    };
    for kind in StepKind::ALL.into_iter().filter(|kind| is_decided_here(*kind)) {
        assert!(begun(kind), "no script carries out {}", kind.name());
    }
}

#[test]
fn a_death_at_any_boundary_changes_nothing() {
    for (at, script) in SCRIPTS.iter().enumerate() {
        let mut world = World::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let before = world.clone();
            line_of(&mut world, line).expect("nothing crashes");
            for fuel in 0.. {
                let mut dying = before.clone();
                dying.fuel = Some(fuel);
                if line_of(&mut dying, line).is_ok() {
                    break;
                }
                dying.fuel = None;
                dying.wait_until(world.now).expect("nothing crashes");
                assert_eq!(memory(&dying), memory(&world), "script {at}, {line}, at {fuel}");
            }
        }
        assert_once(&world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn many_deaths_change_nothing_in_the_end(
        at in 0..SCRIPTS.len(),
        // A process that dies before it can carry out a whole step never gets on.
        fuels in proptest::collection::vec(2..12_u32, 1..12),
    ) {
        let whole = play_dying(SCRIPTS[at], &[]);
        let world = play_dying(SCRIPTS[at], &fuels);
        assert_once(&world);
        prop_assert_eq!(result(&world), result(&whole));
    }

    #[test]
    fn no_order_of_entries_panics(order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        let all = &*ALL_ENTRIES;
        let log: Vec<&Entry> = order.iter().map(|index| &all[index.index(all.len())]).collect();
        let mut state = State::default();
        for entry in log {
            let before = format!("{state:?}");
            let phase = state.phase();
            if state.apply(entry).is_err() {
                prop_assert_eq!(format!("{state:?}"), before, "what is refused changes nothing");
            }
            prop_assert!(!matches!(phase, Phase::Ended(_)) || state.phase() == phase);
        }
    }
}

static ALL_ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(all_entries);

fn all_entries() -> Vec<Entry> {
    let worlds = SCRIPTS.iter().map(|script| play_dying(script, &[]));
    worlds.flat_map(|world| world.sagas.into_values().flat_map(|saga| saga.log)).collect()
}

#[test]
fn a_log_read_back_folds_to_the_same() {
    for script in SCRIPTS {
        for saga in play_dying(script, &[]).sagas.values() {
            let text = serde_json::to_string(&saga.log).expect("a log is data");
            let log: Vec<Entry> = serde_json::from_str(&text).expect("it reads back");
            assert_eq!(log, saga.log);
            let state = State::fold(&log).expect("it folds");
            assert_eq!(format!("{state:?}"), format!("{:?}", saga.state));
        }
    }
}

/// Logs as version 0.1.0 wrote them. They are never written anew: what a log says is said for ever.
const LOGS_0_1: &str = include_str!("../golden/logs_0_1.json");

#[test]
fn logs_of_before_are_read_as_they_were_meant() {
    #[derive(serde::Deserialize)]
    struct Saga {
        promotion: Promotion,
        log: Vec<Entry>,
    }
    let sagas: Vec<Saga> = serde_json::from_str(LOGS_0_1).expect("old logs read");
    let told: Vec<String> = sagas
        .iter()
        .map(|saga| {
            let state = State::fold(&saga.log).expect("old logs fold");
            let (_, finish) = state.finish.as_ref().expect("it is over");
            let (id, ending) = (&saga.promotion.id, finish.ending.label());
            format!("{id} {ending}: {} steps, {}", state.records().len(), finish.message)
        })
        .collect();
    assert_snapshot!(told.join("\n"), @r"
    dev.1 succeeded: 9 steps, every step is done and every check passed
    prod.1 succeeded: 4 steps, every step is done and every check passed
    dev.2 succeeded: 9 steps, every step is done and every check passed
    prod.2 succeeded: 4 steps, every step is done and every check passed
    dev.1 succeeded: 9 steps, every step is done and every check passed
    dev.2 rolled_back: 7 steps, undone: step push failed: push was told to fail
    dev.1 rolled_back: 7 steps, undone: step call failed: call was told to fail
    dev.2 succeeded: 8 steps, every step is done and every check passed
    dev.3 rolled_back: 7 steps, undone: step call failed: call was told to fail
    dev.1 succeeded: 4 steps, every step is done and every check passed
    dev.2 rolled_back: 4 steps, undone: verification errors/rate failed: too many errors
    dev.1 succeeded: 4 steps, every step is done and every check passed
    dev.2 superseded: 0 steps, its freight is in the stage already: promotion dev.1 brought it
    dev.3 succeeded: 4 steps, every step is done and every check passed
    dev.4 succeeded: 4 steps, every step is done and every check passed
    dev.5 succeeded: 4 steps, every step is done and every check passed
    dev.1 stuck: 4 steps, the undo of step push failed: undo-push was told to fail
    ");
}

#[test]
fn each_phase_takes_only_its_own_events() {
    let entries = all_entries();
    let mut kinds: Vec<&Entry> = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in &entries {
        if seen.insert(entry.event.label()) {
            kinds.push(entry);
        }
    }
    let mut taken: BTreeMap<Phase, BTreeSet<&str>> = BTreeMap::new();
    for script in SCRIPTS {
        for saga in play_dying(script, &[]).sagas.values() {
            let mut state = State::default();
            for entry in &saga.log {
                let of_phase = taken.entry(state.phase()).or_default();
                let takes = |kind: &&&Entry| state.clone().apply(kind).is_ok();
                of_phase.extend(kinds.iter().filter(takes).map(|kind| kind.event.label()));
                of_phase.insert(entry.event.label());
                state.apply(entry).expect("it folds");
            }
            let after = kinds.iter().filter(|kind| state.clone().apply(kind).is_ok());
            taken.entry(state.phase()).or_default().extend(after.map(|kind| kind.event.label()));
        }
    }
    let rows: Vec<String> = taken
        .iter()
        .map(|(phase, kinds)| {
            let kinds: Vec<&str> = kinds.iter().copied().collect();
            let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(" ") };
            format!("{}: {kinds}", phase.label())
        })
        .collect();
    assert_snapshot!(rows.join("\n"), @r"
    preparing: abort_requested finished prepare_started prepared step_prepared
    waiting: abort_requested approved committed finished prepare_started probed
    committing: abort_requested answered finished intent outcome sent_back unwinding verifying
    verifying: abort_requested finished measured unwinding
    unwinding: abort_requested finished intent outcome
    succeeded: nothing
    rolled_back: nothing
    stuck: nothing
    aborted: nothing
    superseded: nothing
    ");
}

#[test]
fn a_node_neither_starts_twice_nor_ends_unstarted() {
    let mut world = World::new();
    play(
        &mut world,
        "
        push gitops dev.yaml#tag=0
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic
        found shop api 1.0.0
    ",
    )
    .expect("nothing crashes");
    let log = &world.sagas[0].log;
    let at = |label: &str| log.iter().position(|e| e.event.label() == label).expect("it is there");
    let again = |upto: usize, entry: usize| {
        let mut state = State::fold(&log[..upto]).expect("a prefix folds");
        let at = start() + SignedDuration::from_secs(1);
        state.apply(&Entry { seq: 99, at, event: log[entry].event.clone() })
    };
    let (intent, outcome) = (at("intent"), at("outcome"));
    assert!(again(intent, outcome).is_err(), "an outcome without an intent");
    assert!(again(intent + 1, intent).is_err(), "an intent while the node runs");
    assert!(again(outcome + 1, outcome).is_err(), "a second outcome");
    assert!(again(outcome + 1, intent).is_ok(), "the next attempt");
    let error = again(0, at("prepared")).expect_err("nothing was begun");
    assert_eq!(
        error.to_string(),
        "entry 99 (prepared) cannot happen while the promotion is preparing"
    );
}

proptest! {
    /// What a log gives back is compared with what is computed anew: a digit less would be another value.
    #[test]
    fn numbers_are_read_back_as_they_were_written(number in any::<f64>().prop_filter("JSON has no others", |n| n.is_finite())) {
        let written = serde_json::json!({ "number": number });
        let read: serde_json::Value = serde_json::from_str(&written.to_string()).expect("it was just written");
        prop_assert_eq!(read, written);
    }
}
