//! Steps that write into the daemon's own store: metadata, aliases, events of the ledger.

use insta::assert_snapshot;
use reconciler_domain::check::{Surroundings, check_stage};
use reconciler_domain::id::FreightId;
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// Stages `dev` and `prod` straight from one warehouse; `prod` has these steps, and undoes failures.
fn told(steps: &Value, script: &str) -> String {
    let mut world = World::new();
    let before = "
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop: app
        policy hand prod manual rollback
        policy other dev manual
        found shop api 1.0.0
        found shop api 1.1.0
    ";
    play(&mut world, before).expect("nothing crashes");
    let mut stage = world.stage("prod").clone();
    stage.steps = steps_of(steps);
    let problems = check_stage(&stage, &Surroundings::of(&world.definitions));
    assert_eq!(problems, [], "the stage is well formed");
    set_stage(&mut world, stage);
    world.story.clear();
    play(&mut world, script).expect("nothing crashes");
    let noted = world.noted.iter().map(|(stage, noted)| format!("  | {stage}: {}", json!(noted)));
    let noted: Vec<String> = noted.collect();
    let freight = world.freight.iter().filter(|facts| !facts.metadata.is_empty());
    let freight: Vec<String> = freight
        .map(|facts| format!("  | f{}: {}", facts.freight.sequence, json!(facts.metadata)))
        .collect();
    let sequence = |id: &FreightId| {
        world.freight.iter().find(|facts| facts.freight.id == *id).map(|f| f.freight.sequence)
    };
    let aliases = world
        .aliases
        .iter()
        .map(|(alias, id)| format!("  | {alias}: f{}", sequence(id).unwrap_or(0)));
    [world.story.clone(), noted, freight, aliases.collect()].concat().join("\n")
}

fn notes() -> Value {
    json!([
        ["note", "set_metadata", {
            "stage": { "tag": "{{ freight.api.tag }}", "before": "{{ has(stage.metadata.tag) ? stage.metadata.tag : 'none' }}" },
            "freight": { "ok": true },
        }],
        ["name", "set_alias", { "alias": "stable" }],
        ["tell", "audit_event", { "message": "{{ freight.api.tag }} is stable", "fields": { "n": 1 } }],
        ["call", "http", { "url": "https://hook.example/x", "method": "PUT" }],
    ])
}

#[test]
fn what_is_noted_is_read_by_the_next_promotion() {
    assert_snapshot!(told(&notes(), "
        promote prod f1 by ann
        promote prod f2 by ann
    "), @r#"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 runs note
    prod.1 runs name
    prod.1 runs tell
    ledger: 1.0.0 is stable {"n":1}
    prod.1 runs call
    prod.1 succeeded: every step is done and every check passed
    prod.2 starts: f2, by ann
    prod.2 is prepared
    prod.2 commits
    prod.2 runs note
    prod.2 runs name
    prod.2 runs tell
    ledger: 1.1.0 is stable {"n":1}
    prod.2 runs call
    prod.2 succeeded: every step is done and every check passed
      | prod: {"tag":"1.1.0","before":"1.0.0"}
      | f1: {"ok":true}
      | f2: {"ok":true}
      | stable: f2
    "#);
}

#[test]
fn an_undo_puts_back_what_was_there() {
    assert_snapshot!(told(&notes(), "
        promote prod f1 by ann
        fail call
        promote prod f2 by ann
        undo-plan prod.2
    "), @r#"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 runs note
    prod.1 runs name
    prod.1 runs tell
    ledger: 1.0.0 is stable {"n":1}
    prod.1 runs call
    prod.1 succeeded: every step is done and every check passed
    prod.2 starts: f2, by ann
    prod.2 is prepared
    prod.2 commits
    prod.2 runs note
    prod.2 runs name
    prod.2 runs tell
    ledger: 1.1.0 is stable {"n":1}
    prod.2 runs call: failed: call was told to fail
    prod.2 unwinds: step call failed: call was told to fail
    prod.2 undoes name
    prod.2 undoes note
    prod.2 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < tell (not all): has no undo: what is in the ledger stays
      < name: gives the alias back, if it was not given on since
      < note: puts back what was noted before, where nobody noted more since
      | prod: {"tag":"1.0.0","before":"none"}
      | f1: {"ok":true}
      | stable: f1
    "#);
}

#[test]
fn what_others_set_since_stays() {
    let steps = json!([
        ["name", "set_alias", { "alias": "stable" }],
        ["slow", "wait", { "duration": "1h" }],
        ["call", "http", { "url": "https://hook.example/x", "method": "PUT" }],
    ]);
    let mut world = World::new();
    play(
        &mut world,
        "
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop: app
        policy hand prod manual rollback
        policy other dev manual
        found shop api 1.0.0
        found shop api 1.1.0
    ",
    )
    .expect("nothing crashes");
    for (name, steps) in
        [("prod", &steps), ("dev", &json!([["name", "set_alias", { "alias": "stable" }]]))]
    {
        let mut stage = world.stage(name).clone();
        stage.steps = steps_of(steps);
        set_stage(&mut world, stage);
    }
    world.story.clear();
    play(
        &mut world,
        "
        promote prod f1 by ann
        promote dev f2 by ann
        fail call
        +1h
    ",
    )
    .expect("nothing crashes");
    let newest = world.freight.iter().find(|facts| facts.freight.sequence == 2).expect("f2");
    assert_eq!(world.aliases.values().collect::<Vec<_>>(), [&newest.freight.id]);
    assert_snapshot!(world.story.join("\n"), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    prod.1 runs name
    dev.1 starts: f2, by ann
    dev.1 is prepared
    dev.1 commits
    dev.1 runs name
    dev.1 succeeded: every step is done and every check passed
    -- +1h
    prod.1 runs slow
    prod.1 runs call: failed: call was told to fail
    prod.1 unwinds: step call failed: call was told to fail
    prod.1 undoes name
    prod.1 rolled_back: undone: step call failed: call was told to fail
    ");
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let value = "x".repeat(8000);
    let values: serde_json::Map<String, Value> =
        (0..9).map(|n| (format!("k{n}"), json!(value))).collect();
    let steps = json!([["note", "set_metadata", { "stage": values }]]);
    let story = told(&steps, "promote prod f1 by ann");
    assert!(story.contains(
        "the metadata of the stage would have 72073 bytes, at most 65536 are kept: take something away \
         by setting it to null"
    ), "{story}");
}

#[test]
fn a_wait_sees_what_another_stage_notes() {
    let steps = json!([["ready", "wait", {
        "condition": "has(freight_metadata.ok) && freight_metadata.ok", "timeout": "1h",
    }]]);
    let mut world = World::new();
    play(
        &mut world,
        "
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop: app
        policy hand prod manual
        policy other dev manual
        found shop api 1.0.0
    ",
    )
    .expect("nothing crashes");
    let dev = json!([["note", "set_metadata", { "freight": { "ok": true } }]]);
    for (name, steps) in [("prod", &steps), ("dev", &dev)] {
        let mut stage = world.stage(name).clone();
        stage.steps = steps_of(steps);
        set_stage(&mut world, stage);
    }
    world.story.clear();
    play(&mut world, "promote prod f1 by ann\npromote dev f1 by ann").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    prod.1 starts: f1, by ann
    prod.1 is prepared
    prod.1 commits
    dev.1 starts: f1, by ann
    dev.1 is prepared
    dev.1 commits
    dev.1 runs note
    dev.1 succeeded: every step is done and every check passed
    prod.1 runs ready
    prod.1 succeeded: every step is done and every check passed
    ");
}
