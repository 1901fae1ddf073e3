//! What holds in every world: the kit's own assertions (one holder of a slot, no older freight over
//! newer by automation, a reason for what does not move, only legal events, rest in the end), and the
//! properties below.

use proptest::prelude::*;
use reconciler_domain::freeze::Reach;
use reconciler_domain::gate::Gate;
use reconciler_domain::id::{Principal, StageName};
use reconciler_domain::plan::{self, StageAct};
use reconciler_domain::preview::{Change, Changes, EffectKind, preview};
use reconciler_domain::promotion::Phase;
use reconciler_domain::stage::Stage;

use crate::kit::freeze::freeze;
use crate::kit::script::{hold, line_of, policy, set_stage};
use crate::kit::{World, play};
use crate::previewing::live;

const DEFINITIONS: &str = "
    push gitops a.yaml#b=c
    push infra module#cache=1
    verification errors count=2 failures=1 deadline=5m
    warehouse shop api
    warehouse data db
";

fn pipelines() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "
            stage dev shop: app
            stage qa shop<dev: once
            stage prod shop<dev|qa: linked
        ",
        "
            stage dev shop: app verify=errors
            stage qa shop: hook
            stage gate shop<dev&qa
            stage prod shop<gate: both queue
        ",
        "
            stage dev shop data: pair
            stage qa shop: app match_upstream
            stage prod shop<dev data<dev: pair verify=errors
        ",
        "
            stage dev shop: app
            stage qa shop<dev
            stage prod shop<qa: app match_upstream
        ",
        "
            stage dev shop: app
            stage qa shop
            stage prod shop<qa: app
        ",
    ])
}

fn policies() -> impl Strategy<Value = String> {
    let stages = prop::sample::select(vec!["dev", "qa", "prod", "*", "dev,qa", "p*"]);
    let rest = prop::sample::select(vec![
        "automatic",
        "automatic rollback",
        "gated",
        "gated soak=10m",
        "gated approve=sre",
        "gated approve=sre:2:requester rollback",
        "gated forbid=create",
        "gated settle=1m",
        "manual",
        "manual approve=sre bypass=oncall:approvals",
        "gated soak=2m rollback settle=30s",
        "gated approve=sre max_wait=2m",
        "gated rollback max_wait=20s max_undo_wait=1m",
    ]);
    let name = prop::sample::select(vec!["one", "two", "three"]);
    (name, stages, rest).prop_map(|(name, stages, rest)| format!("policy {name} {stages} {rest}"))
}

fn happenings() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "+1s",
        "+30s",
        "+3m",
        "+15m",
        "push gitops a.yaml#b=d",
        "push gitops dev.yaml#tag=x",
        "push infra module#disk=1",
        "state prod x.cache=2",
        "fail push 1",
        "fail push 2 retry",
        "fail apply 1",
        "fail set 2 retry",
        "fail call 1 retry",
        "fail undo-push 1",
        "measure errors/rate fail fail",
        "measure errors/rate unknown",
        "unknown url",
        "drop policy one",
        "drop policy two",
        "promote dev f1 by ann",
        "promote prod f1 by ann",
        "promote qa f2 by ann",
        "promote dev f2 by bob",
        "promote prod f3 by bob bypass approvals as oncall",
        "open prod f1",
        "open prod f3",
    ])
    .prop_map(str::to_owned);
    let versions = (1..30_u32, prop::sample::select(vec!["shop api", "data db"]))
        .prop_map(|(n, source)| format!("found {source} 1.{n}.0"));
    let people = (
        prop::sample::select(vec!["approve", "abort"]),
        prop::sample::select(vec!["dev", "qa", "prod"]),
        1..5_u32,
        prop::sample::select(vec!["ann", "bob", "eve"]),
    )
        .prop_map(|(verb, stage, number, who)| {
            let groups = if verb == "approve" { " in sre" } else { "" };
            format!("{verb} {stage}.{number} by {who}{groups}")
        });
    let freezes = prop_oneof![
        2 => freezes().prop_map(|words| format!("freeze {words}")),
        1 => prop::sample::select(vec!["unfreeze z1", "unfreeze z2"]).prop_map(str::to_owned),
    ];
    prop_oneof![6 => fixed, 6 => versions, 4 => people, 2 => policies(), 1 => freezes]
}

/// A script of things that may or may not be possible; what is not is left out.
pub(crate) fn played(pipeline: &str, lines: &[String]) -> World {
    let mut world = World::new();
    play(&mut world, DEFINITIONS).expect("nothing crashes");
    play(&mut world, pipeline).expect("nothing crashes");
    for line in lines {
        if is_possible(&world, line) {
            line_of(&mut world, line).expect("nothing crashes");
        }
    }
    world
}

fn is_possible(world: &World, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_there = |freight: &str| {
        let sequence = freight.trim_start_matches('f').parse::<i64>().expect("f1, f2, …");
        world.freight.iter().any(|facts| facts.freight.sequence == sequence)
    };
    match words.as_slice() {
        ["promote" | "open", _, freight, ..] => is_there(freight),
        ["approve" | "abort", id, ..] => world.sagas.keys().any(|known| known.as_str() == *id),
        [..] => true,
    }
}

/// A pipeline and what happens to it.
pub(crate) fn stories() -> impl Strategy<Value = (&'static str, Vec<String>)> {
    let lines = prop_oneof![1 => policies(), 2 => happenings()];
    (pipelines(), proptest::collection::vec(lines, 4..24))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_same_snapshot_and_instant_give_the_same_plan((pipeline, lines) in stories()) {
        let world = played(pipeline, &lines);
        for stage in world.definitions.stages.keys() {
            let plan = |world: &World| plan::stage(&world.stage_snapshot(stage), world.now);
            prop_assert_eq!(plan(&world), plan(&world.clone()));
        }
        for id in world.sagas.keys() {
            let plan = |world: &World| plan::promotion(&world.promotion_snapshot(id), world.now);
            prop_assert_eq!(format!("{:?}", plan(&world)), format!("{:?}", plan(&world.clone())));
        }
    }

    #[test]
    fn a_world_at_rest_stays_at_rest((pipeline, lines) in stories()) {
        let mut world = played(pipeline, &lines);
        let wake = world.settle().expect("nothing crashes");
        let told = world.story.len();
        prop_assert_eq!(world.settle().expect("nothing crashes"), wake);
        prop_assert_eq!(world.story.len(), told);
        prop_assert!(wake.is_none_or(|wake| wake > world.now));
    }

    #[test]
    fn what_is_over_stays_over_and_gives_its_slot_back((pipeline, lines) in stories()) {
        let world = played(pipeline, &lines);
        for stage in world.definitions.stages.keys() {
            let running = world.sagas.values().any(|saga| {
                saga.promotion.stage == *stage && !matches!(saga.state.phase(), Phase::Ended(_))
            });
            prop_assert!(running || world.slot(stage).is_none());
        }
    }

    #[test]
    fn a_preview_says_what_the_reconciler_then_starts(
        (pipeline, lines) in stories(),
        edits in edits(),
    ) {
        let mut world = played(pipeline, &lines);
        world.settle().expect("nothing crashes");
        let changes: Vec<Change> = edits.iter().map(|edit| edit.change(&world)).collect();
        let changes = Changes::new(Principal::Named("admin".to_owned()), changes);
        let said = said(&world, &changes);
        let mut changed = world.clone();
        for edit in &edits {
            edit.make(&mut changed);
        }
        prop_assert_eq!(said, would_move(&world, &mut changed), "{:?}", edits);
    }
}

/// One change of a definition.
#[derive(Debug, Clone)]
enum Edit {
    Policy(String),
    RemovePolicy(&'static str),
    /// The stage of this name as another pipeline has it.
    Stage(&'static str, &'static str),
    Hold(String),
    Lift(&'static str),
    Freeze(String),
    Unfreeze(&'static str),
}

fn freezes() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "z1",
        "z1 until 1h",
        "z1 but prod",
        "z2 about bypass",
        "z2 about promote but =ann",
        "z2 from 5m",
        "z1 reach instance",
        "z2 reach instance but prod",
        "z2 reach instance but /shop",
    ])
    .prop_map(str::to_owned)
}

/// Changes of several definitions, each of another one.
fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let names = || prop::sample::select(vec!["one", "two", "three"]);
    let stages = || prop::sample::select(vec!["dev", "qa", "gate", "prod"]);
    let holds = (prop::sample::select(vec!["h1", "h2"]), stages(), any::<bool>());
    let holds = holds.prop_map(|(name, stage, of_stage)| match of_stage {
        true => format!("{name} stage {stage}"),
        false => format!("{name} api >=1.10.0"),
    });
    let edit = prop_oneof![
        4 => policies().prop_map(Edit::Policy),
        1 => names().prop_map(Edit::RemovePolicy),
        3 => (stages(), pipelines()).prop_map(|(stage, pipeline)| Edit::Stage(stage, pipeline)),
        1 => holds.prop_map(Edit::Hold),
        1 => prop::sample::select(vec!["h1", "h2"]).prop_map(Edit::Lift),
        1 => freezes().prop_map(Edit::Freeze),
        1 => prop::sample::select(vec!["z1", "z2"]).prop_map(Edit::Unfreeze),
    ];
    proptest::collection::vec(edit, 1..5).prop_map(|mut edits| {
        let mut seen = std::collections::BTreeSet::new();
        edits.retain(|edit| seen.insert(edit.object()));
        edits
    })
}

impl Edit {
    fn object(&self) -> String {
        match self {
            Self::Policy(words) => {
                let name = words.split_whitespace().nth(1).expect("a name");
                format!("policy {name}")
            }
            Self::RemovePolicy(name) => format!("policy {name}"),
            Self::Stage(name, _) => format!("stage {name}"),
            Self::Hold(words) => {
                format!("hold {}", words.split_whitespace().next().expect("a name"))
            }
            Self::Lift(name) => format!("hold {name}"),
            Self::Freeze(words) => {
                format!("freeze {}", words.split_whitespace().next().expect("a name"))
            }
            Self::Unfreeze(name) => format!("freeze {name}"),
        }
    }

    fn change(&self, world: &World) -> Change {
        match self {
            Self::Policy(words) => {
                let words: Vec<&str> = words.split_whitespace().collect();
                let new = policy(words[1], words[2], words[3], &words[4..]);
                Change::Policy(new.name.clone(), Some(new))
            }
            Self::RemovePolicy(name) => Change::Policy(name.parse().expect("a name"), None),
            Self::Stage(name, pipeline) => {
                let name: StageName = name.parse().expect("a name");
                let new = stage_of(pipeline, &name);
                // A pipeline without the stage leaves it as it is.
                let old = world.definitions.stages.get(&name).map(|old| old.spec.clone());
                Change::Stage(name, new.or(old))
            }
            Self::Hold(words) => {
                let words: Vec<&str> = words.split_whitespace().collect();
                let new = hold(world, words[0], &words[1..]);
                Change::Hold(new.name.clone(), Some(new))
            }
            Self::Lift(name) => Change::Hold(name.parse().expect("a name"), None),
            Self::Freeze(words) => {
                let words: Vec<&str> = words.split_whitespace().collect();
                let new = freeze(world, words[0], &words[1..]);
                Change::Freeze(new.reach, new.name.clone(), Some(new))
            }
            Self::Unfreeze(name) => {
                Change::Freeze(Reach::Project, name.parse().expect("a name"), None)
            }
        }
    }

    fn make(&self, world: &mut World) {
        match self.change(world) {
            Change::Policy(name, None) => world.drop_policy(name.as_str()),
            Change::Policy(_, Some(policy)) => world.set_policy(policy),
            // What is as it was is not written.
            Change::Stage(name, Some(stage)) => {
                let old = world.definitions.stages.get(&name).map(|old| &old.spec);
                if old != Some(&stage) {
                    set_stage(world, stage);
                }
            }
            Change::Hold(_, Some(hold)) => world.put_hold(hold),
            Change::Hold(name, None) => world.holds.retain(|hold| hold.spec.name != name),
            Change::Freeze(_, _, Some(freeze)) => world.put_freeze(freeze),
            Change::Freeze(reach, name, None) => world.end_freeze(reach, name.as_str()),
            Change::Stage(_, None) => {}
            Change::Warehouse(..) | Change::Verification(..) | Change::Task(..) => {
                unreachable!("no edit changes these")
            }
        }
    }
}

fn stage_of(pipeline: &str, name: &StageName) -> Option<Stage> {
    let mut other = World::new();
    play(&mut other, DEFINITIONS).expect("nothing crashes");
    play(&mut other, pipeline).expect("nothing crashes");
    other.definitions.stages.get(name).map(|stage| stage.spec.clone())
}

/// What a preview says that would move by itself.
fn said(world: &World, changes: &Changes) -> Vec<String> {
    let effects = preview(&live(world, changes), changes, world.now).effects;
    let mut lines: Vec<String> = effects
        .iter()
        .filter(|effect| effect.kind == EffectKind::WouldPromote)
        .map(|effect| match (&effect.promotion, &effect.freight) {
            (Some(promotion), _) => format!("{promotion} commits"),
            (None, Some(freight)) => format!("{} starts {freight}", effect.stage),
            (None, None) => panic!("a promotion has freight"),
        })
        .collect();
    lines.sort();
    lines
}

/// What the decisions would begin in the changed world that they would not begin in the old one,
/// once definitions have come to rest.
fn would_move(before: &World, changed: &mut World) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in changed.definitions.stages.keys() {
        let acts = |world: &World| {
            if !world.definitions.stages.contains_key(stage) {
                return Vec::new();
            }
            let mut snapshot = world.stage_snapshot(stage);
            snapshot.definitions_changed_at = jiff::Timestamp::MIN;
            plan::stage(&snapshot, world.now).acts
        };
        let old = acts(before);
        for act in acts(changed) {
            if let StageAct::Promote { freight, along, .. } = &act
                && !old.contains(&act)
            {
                let all = std::iter::once(freight).chain(along.values());
                lines.extend(all.map(|freight| format!("{stage} starts {freight}")));
            }
        }
    }
    for policy in &mut changed.definitions.policies {
        policy.changed_at = jiff::Timestamp::MIN;
    }
    for (id, saga) in &before.sagas {
        if saga.state.phase() != Phase::Waiting {
            continue;
        }
        // One that is prepared anew has no gates before it is known what it will do.
        let gates = |world: &World| plan::promotion(&world.promotion_snapshot(id), world.now).gates;
        let pass = |world: &World| {
            let gates = gates(world);
            !gates.is_empty() && gates.iter().all(Gate::lets_pass)
        };
        if !pass(before) && pass(changed) {
            lines.push(format!("{id} commits"));
        }
    }
    lines.sort();
    lines
}
