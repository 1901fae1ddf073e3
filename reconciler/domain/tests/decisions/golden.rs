//! Logs that were written once and are read for ever: every event, node, outcome, call, record and ending of the
//! present version stands in one of them, and means what it meant when it was written.
//!
//! Each table of this file matches its enum without a wildcard, so a new variant does not compile before it is
//! named, and then fails the test until a log with it is added: a script below that brings it about, `ADD=1 cargo
//! test -p reconciler-domain --test decisions -- golden`, which writes the logs with something new to
//! `golden/logs_next.json` and touches none that is there, and a name for that file in `FILES`.
#![expect(clippy::disallowed_methods, reason = "writes a golden file where it is told to")]

use std::collections::{BTreeMap, BTreeSet};

use reconciler_domain::promotion::{
    Ending, Entry, Event, IllegalEvent, Node, Phase, Promotion, State,
};
use reconciler_domain::step::{Call, Interruption, Record, Seen, StepKind, StepOutcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::axes;
use crate::enveloped;
use crate::kit::script::line_of;
use crate::kit::{World, play};

/// A promotion that is over, and what its log meant when it was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Golden {
    promotion: Promotion,
    log: Vec<Entry>,
    means: Means,
}

/// What a log folds to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Means {
    phase: String,
    message: String,
    remaining: Vec<String>,
    outputs: Value,
    passed_over: Vec<String>,
    attempts: BTreeMap<String, u32>,
}

/// Names every variant of an enum: `$of` gives that of a value, and `$all` lists them.
macro_rules! named {
    ($of:ident, $all:ident, $type:ty, { $($name:literal: $pattern:pat,)* }) => {
        fn $of(value: &$type) -> &'static str {
            match value { $($pattern => $name,)* }
        }
        const $all: &[&str] = &[$($name,)*];
    };
}

named!(event, EVENTS, Event, {
    "prepare_started": Event::PrepareStarted(_),
    "step_prepared": Event::StepPrepared(_),
    "passed_over": Event::PassedOver { .. },
    "prepare_failed": Event::PrepareFailed { .. },
    "prepared": Event::Prepared(_),
    "approved": Event::Approved(_),
    "probed": Event::Probed { .. },
    "committed": Event::Committed { .. },
    "sent_back": Event::SentBack { .. },
    "intent": Event::Intent { .. },
    "outcome": Event::Outcome { .. },
    "answered": Event::Answered(_),
    "verifying": Event::Verifying { .. },
    "reverifying": Event::Reverifying { .. },
    "measured": Event::Measured(_),
    "unwinding": Event::Unwinding { .. },
    "abort_requested": Event::AbortRequested { .. },
    "finished": Event::Finished(_),
});

named!(node, NODES, Node, {
    "node step": Node::Step(_),
    "node replan": Node::Replan(_),
    "node excess": Node::Excess(_),
    "node undo_plan": Node::UndoPlan(_),
    "node undo": Node::Undo(_),
});

named!(outcome, OUTCOMES, StepOutcome, {
    "outcome done": StepOutcome::Done { .. },
    "outcome failed": StepOutcome::Failed { .. },
    "outcome uncertain": StepOutcome::Uncertain { .. },
    "outcome aborted": StepOutcome::Interrupted { by: Interruption::Abort },
    "outcome timed out": StepOutcome::Interrupted { by: Interruption::Timeout },
    "outcome beside": StepOutcome::Interrupted { by: Interruption::Beside },
});

named!(seen, SEEN, Seen, {
    "seen unsaid": Seen::Unsaid,
    "seen no": Seen::No,
    "seen perhaps": Seen::Perhaps,
});

named!(ending, ENDINGS, Ending, {
    "ending succeeded": Ending::Succeeded,
    "ending failed": Ending::Failed,
    "ending rolled_back": Ending::RolledBack,
    "ending stuck": Ending::Stuck,
    "ending aborted": Ending::Aborted,
    "ending superseded": Ending::Superseded,
    "ending expired": Ending::Expired,
    "ending inconclusive": Ending::Inconclusive,
    "ending rehearsed": Ending::Rehearsed,
});

named!(call, CALLS, Call, {
    "call git_clone": Call::GitClone(_),
    "call yaml_update": Call::YamlUpdate(_),
    "call git_commit": Call::GitCommit(_),
    "call git_push": Call::GitPush(_),
    "call git_revert": Call::GitRevert(_),
    "call git_tag": Call::GitTag(_),
    "call git_untag": Call::GitUntag(_),
    "call tf_plan": Call::TfPlan(_),
    "call tf_apply": Call::TfApply(_),
    "call tf_output": Call::TfOutput(_),
    "call tf_import": Call::TfImport(_),
    "call http": Call::Http(_),
    "call file": Call::File(_),
    "call download": Call::Download(_),
    "call parse": Call::Parse(_),
    "call oci": Call::Oci(_),
    "call render": Call::Render(_),
    "call chart": Call::Chart(_),
    "call compose": Call::Compose { .. },
    "call fail": Call::Fail { .. },
    "call pull_request": Call::PullRequest(_),
    "call run": Call::Run(_),
    "call wait": Call::Wait(_),
    "call keep": Call::Keep(_),
    "call ask": Call::Ask(_),
});

named!(record, RECORDS, Record, {
    "record none": Record::None,
    "record clone": Record::Clone(_),
    "record commit": Record::Commit(_),
    "record push": Record::Push(_),
    "record tag": Record::Tag(_),
    "record oci": Record::Oci(_),
    "record charts": Record::Charts(_),
    "record pull_request": Record::PullRequest(_),
    "record plan": Record::Plan(_),
    "record applied": Record::Applied(_),
    "record stale": Record::Stale,
    "record kept": Record::Kept(_),
    "record ran": Record::Ran(_),
    "record sent": Record::Sent,
    "record imports": Record::Imports(_),
});

/// What stands in a log, by name. The kinds of steps are among it: each has arguments of its own.
fn stands_in(promotion: &Promotion, log: &[Entry]) -> BTreeSet<String> {
    let brings = if promotion.along.is_empty() { ALONE } else { UNIT };
    let mut names = BTreeSet::from([brings.to_owned()]);
    let mut add = |name: &str| {
        names.insert(name.to_owned());
    };
    for entry in log {
        add(event(&entry.event));
        match &entry.event {
            Event::PrepareStarted(frozen) => {
                for step in &frozen.stage.steps {
                    add(&format!("step {}", step.uses.name()));
                }
            }
            Event::StepPrepared(done) => {
                if let Some(it) = &done.call {
                    add(call(it));
                }
                add(record(&done.record));
            }
            Event::Intent { node: of, call: it, .. } => {
                add(node(of));
                add(call(it));
                if it.only_asks() {
                    add(LOOK);
                }
            }
            Event::Outcome { outcome: end, .. } => {
                add(outcome(end));
                if let StepOutcome::Failed { seen: of_it, .. } = &**end {
                    add(seen(of_it));
                }
                if let StepOutcome::Done { record: left, .. }
                | StepOutcome::Failed { record: left, .. } = &**end
                {
                    add(record(left));
                }
            }
            Event::Committed { skipped } => add(if skipped.is_empty() { STRAIGHT } else { PAST }),
            Event::Finished(finish) => add(ending(&finish.ending)),
            Event::PassedOver { .. }
            | Event::PrepareFailed { .. }
            | Event::Prepared(_)
            | Event::Approved(_)
            | Event::Probed { .. }
            | Event::SentBack { .. }
            | Event::Answered(_)
            | Event::Verifying { .. }
            | Event::Reverifying { .. }
            | Event::Measured(_)
            | Event::Unwinding { .. }
            | Event::AbortRequested { .. } => {}
        }
    }
    names
}

/// Freight of one warehouse, and of several as one unit.
const ALONE: &str = "promotion of one freight";
const UNIT: &str = "promotion of a unit";
/// A call that is only looked for.
const LOOK: &str = "call that only looks";

/// A commit that passed every gate, and one past gates that were skipped.
const STRAIGHT: &str = "committed straight";
const PAST: &str = "committed past gates";

/// Everything that has to stand in some log.
fn wanted() -> BTreeSet<String> {
    let named = [EVENTS, NODES, OUTCOMES, SEEN, ENDINGS, CALLS, RECORDS].concat();
    let kinds = StepKind::ALL.into_iter().filter(|kind| *kind != StepKind::Task);
    let kinds = kinds.map(|kind| format!("step {}", kind.name()));
    let whole = [ALONE, UNIT, LOOK, STRAIGHT, PAST];
    named.into_iter().chain(whole).map(str::to_owned).chain(kinds).collect()
}

fn means(log: &[Entry]) -> Result<Means, IllegalEvent> {
    let state = State::fold(log)?;
    let finish = state.finish.as_ref().map(|(_, finish)| finish);
    let attempts = state.nodes.iter().map(|(node, run)| (format!("{node:?}"), run.attempts));
    Ok(Means {
        phase: state.phase().label().to_owned(),
        message: finish.map(|finish| finish.message.clone()).unwrap_or_default(),
        remaining: finish.map(|finish| finish.remaining.clone()).unwrap_or_default(),
        outputs: state.outputs(),
        passed_over: state.passed_over.keys().map(ToString::to_string).collect(),
        attempts: attempts.collect(),
    })
}

/// The files of this format, the oldest first. None of them is ever written anew.
const FILES: [&str; 6] = [
    include_str!("../golden/logs_0_1_all.json"),
    include_str!("../golden/logs_0_1_bypass.json"),
    include_str!("../golden/logs_0_1_envelope.json"),
    include_str!("../golden/logs_0_1_sent.json"),
    include_str!("../golden/logs_0_1_units.json"),
    include_str!("../golden/logs_0_1_unseen.json"),
];
/// Where logs are added that no file has.
const NEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/logs_next.json");

#[test]
fn logs_mean_for_ever_what_they_meant_and_nothing_is_missing() {
    let mut there = BTreeSet::new();
    for file in FILES {
        let logs: Vec<Golden> = serde_json::from_str(file).expect("a log is read for ever");
        for Golden { promotion, log, means: meant } in logs {
            let id = &promotion.id;
            let found = means(&log).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert_eq!(found, meant, "{id} means something else");
            there.extend(stands_in(&promotion, &log));
        }
    }
    let missing: BTreeSet<String> = wanted().difference(&there).cloned().collect();
    if std::env::var_os("ADD").is_some() {
        add(&missing);
    }
    assert_eq!(missing, BTreeSet::new(), "in no golden log; see the head of this file");
}

/// Writes the logs that have something of what is missing.
fn add(missing: &BTreeSet<String>) {
    let mut left = missing.clone();
    let mut lines = Vec::new();
    for world in worlds() {
        for saga in world.sagas.values() {
            let names = stands_in(&saga.promotion, &saga.log);
            let is_over = matches!(saga.state.phase(), Phase::Ended(_));
            if !is_over || names.is_disjoint(&left) {
                continue;
            }
            left = left.difference(&names).cloned().collect();
            let means = means(&saga.log).expect("it folds");
            let (promotion, log) = (saga.promotion.clone(), saga.log.clone());
            let golden = Golden { promotion, log, means };
            lines.push(serde_json::to_string(&golden).expect("a log is data"));
        }
    }
    assert_eq!(left, BTreeSet::new(), "no script of this file has it");
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    std::fs::write(NEXT, text).expect("the golden file is written");
}

/// Scripts in which everything happens.
fn worlds() -> Vec<World> {
    let app = "
        push gitops a.yaml#b=c
        warehouse shop api
        verification errors count=2 deadline=5m
    ";
    let scripts = [
        "stage dev shop: app
         policy gate dev gated approve=sre bypass=oncall:approvals
         found shop api 1.0.0
         promote dev f1 by ann bypass approvals as oncall until 2027-01-01T00:00:00Z",
        "stage dev shop: app
         policy gate dev gated approve=sre max_wait=1h
         found shop api 1.0.0
         approve dev.1 by ann in sre
         found shop api 1.1.0
         found shop api 1.2.0
         abort dev.3 by ann
         found shop api 1.3.0
         +1h
         rehearse dev f1 by ann
         +15m",
        "stage dev shop: app verify=errors
         policy auto dev automatic
         found shop api 1.0.0
         +2m
         reverify dev.1 by ann
         +2m
         measure errors/rate unknown unknown unknown unknown unknown unknown unknown unknown
         found shop api 1.1.0
         +1h",
        "stage dev shop: hook
         policy auto dev automatic
         late call 1
         found shop api 1.0.0",
        "stage dev shop: asked
         policy auto dev automatic
         found shop api 1.0.0
         +30s
         answer dev.1 ok by ann in sre yes
         answer dev.1 size by ann in sre {\"replicas\":3}",
        "stage dev shop: app
         policy auto dev automatic
         hang push until ann
         found shop api 1.0.0",
        "push infra main.tf#a=b
         stage dev shop: infra
         policy gate dev gated max_wait=1h
         meddle dev x.size=2
         found shop api 1.0.0
         +2h",
        "warehouse data db
         stage dev shop data: pair
         policy auto dev automatic rollback
         found shop api 1.0.0 and data db 5.0.0
         fail push 1
         found shop api 1.1.0 and data db 5.1.0",
        "stage dev shop: app
         policy auto dev automatic rollback
         lost push 99 before
         found shop api 1.0.0
         +2h",
    ];
    let mut worlds: Vec<World> = Vec::new();
    for script in scripts {
        let mut world = World::new();
        play(&mut world, app).expect("nothing crashes");
        play(&mut world, script).expect("nothing crashes");
        worlds.push(world);
    }
    worlds.extend(kinds());
    worlds.extend(controlled());
    worlds.push(uncertain());
    let narrow = json!({ "actions": ["create"], "max_changes": 1 });
    worlds.push(enveloped::promoted("", &narrow, "answer dev.1 last by ann in sre yes"));
    worlds
}

/// Every kind of step, done and undone, and failed.
fn kinds() -> Vec<World> {
    let kinds = StepKind::ALL.into_iter().filter(|kind| *kind != StepKind::Task);
    let done = kinds.map(|kind| {
        let steps = [axes::steps_of(kind, false), vec![axes::last()]].concat();
        axes::promoted(&steps, "fail last 99", "+2h").0
    });
    done.collect()
}

/// Steps that are passed over, take too long, or are broken off beside others.
fn controlled() -> Vec<World> {
    let call = |name: &str, control: Value| {
        json!([name, "http", { "url": "https://hook.example/x", "method": "PUT", "control": control,
            "outputs": { "ticket": "response.json.id" } }])
    };
    let beside = json!({ "parallel": "both" });
    let wait = json!(["rest", "wait", { "duration": "1h", "control": beside }]);
    let late = json!({ "when": "steps.call.ticket != ''" });
    let scripts = [
        (vec![call("call", json!({ "when": "false" })), axes::last()], "", ""),
        (
            vec![call("call", json!({ "timeout": "30s", "retry": { "attempts": 1 } }))],
            "hang call 9",
            "+1m",
        ),
        (vec![wait, call("call", beside)], "fail call 9", "+1m"),
        (
            vec![
                call("call", json!({})),
                json!(["no", "fail", { "message": "no", "control": late }]),
            ],
            "",
            "",
        ),
    ];
    let played = scripts.map(|(steps, before, after)| axes::promoted(&steps, before, after).0);
    played.into_iter().collect()
}

/// One that died while a program ran that may run once at most.
fn uncertain() -> World {
    let dying = (0..40).map(|fuel| {
        let mut world = World::new();
        let script = "
            push gitops a.yaml#b=c
            warehouse shop api
            stage dev shop: program-once
            policy auto dev automatic
        ";
        play(&mut world, script).expect("nothing crashes");
        world.fuel = Some(fuel);
        let died = line_of(&mut world, "found shop api 1.0.0").is_err();
        world.fuel = None;
        assert!(died || world.sagas.len() == 1);
        world.settle().expect("nothing crashes");
        world
    });
    let is_so = |world: &World| {
        let logs = world.sagas.values().map(|saga| stands_in(&saga.promotion, &saga.log));
        logs.into_iter().any(|names| names.contains("outcome uncertain"))
    };
    dying.into_iter().find(is_so).expect("some death is in the middle")
}
