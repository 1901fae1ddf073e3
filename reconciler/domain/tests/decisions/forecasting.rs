//! When freight can be in a stage at the earliest, and what decides that.

use insta::assert_snapshot;
use reconciler_domain::forecast::{Question, When, before, forecast};

use crate::kit::script::stage_name;
use crate::kit::{World, play};

/// Plays a script and forecasts the newest freight up to the stage.
fn of(script: &str, until: &str) -> String {
    let mut world = World::new();
    play(&mut world, script).expect("nothing crashes");
    let until = stage_name(until);
    let stages: Vec<_> =
        before(&world.definitions, &until).iter().map(|name| world.stage_snapshot(name)).collect();
    let freight = world.facts(world.freight.last().expect("freight"));
    let policies = &world.definitions.policies;
    let question = Question { freight: &freight, until: &until, stages: &stages, policies };
    let mut lines = Vec::new();
    for arrival in forecast(&question, world.now).path {
        let when = match arrival.when {
            When::Since(at) => format!("since {at}"),
            When::Earliest(at) => format!("from {at}"),
            When::Never => "never".to_owned(),
        };
        lines.push(format!("{}: {when}", arrival.stage));
        for delay in arrival.delays {
            lines.push(format!("  {} until {}: {}", delay.gate.name(), delay.until, delay.message));
        }
        for need in arrival.needs {
            let gate = need.gate.map_or("-", |gate| gate.name());
            lines.push(format!("  {gate} needs {:?}: {}", need.kind, need.message));
        }
    }
    world.named(&lines.join("\n"))
}

/// The world begins on Thursday, 2026-01-01, at midnight.
const PIPELINE: &str = "
    push gitops a.yaml#b=c
    warehouse shop api
    stage dev shop: app
    stage qa shop<dev: app
    stage eu shop<dev: app
    stage prod shop<2/dev|qa|eu: app
    policy auto dev automatic
";

#[test]
fn each_gate_takes_its_time_one_after_the_other() {
    assert_snapshot!(of(&format!("{PIPELINE}
        policy qa qa gated soak=1h
        policy eu eu gated soak=3h
        policy prod prod gated soak=30m allow=FREQ=DAILY;BYHOUR=9/2h
        freeze audit but qa but eu from 8h until 10h
        found shop api 1.0.0
    "), "prod"), @r"
    dev: since 2026-01-01T00:00:00Z
    qa: from 2026-01-01T01:00:00Z
      soak until 2026-01-01T01:00:00Z: has to soak for 1h upstream, until 2026-01-01T01:00:00Z
    prod: from 2026-01-01T10:00:00Z
      soak until 2026-01-01T01:30:00Z: has to soak for 30m upstream, until 2026-01-01T01:30:00Z
      window until 2026-01-01T09:00:00Z: outside of window open; opens at 2026-01-01T09:00:00Z
      freeze until 2026-01-01T10:00:00Z: freeze audit of admin: books close; ends at 2026-01-01T10:00:00Z
    ");
}

#[test]
fn what_is_past_its_gates_waits_for_none() {
    let before = format!(
        "{PIPELINE}
        verification errors count=9
        stage qa shop<dev: app verify=errors
        policy qa qa automatic
        found shop api 1.0.0
    "
    );
    assert_snapshot!(of(&before, "qa"), @"qa: from 2026-01-01T00:00:00Z");
    assert_snapshot!(of(&format!("{before}
        freeze audit
    "), "qa"), @"qa: from 2026-01-01T00:00:00Z");
}

#[test]
fn what_takes_more_than_time_is_named() {
    assert_snapshot!(of(&format!("{PIPELINE}
        policy qa qa gated soak=1h approve=sre:2
        policy prod prod manual soak=1h forbid=delete
        freeze audit but qa but eu
        found shop api 1.0.0
    "), "prod"), @r"
    dev: from 2026-01-01T00:00:00Z
      freeze needs Person: freeze audit of admin: books close; lasts until somebody ends it
    eu: from 2026-01-01T00:00:00Z
      mode needs Person: no policy selects the stage, so a person must start the promotion
    prod: from 2026-01-01T01:00:00Z
      soak until 2026-01-01T01:00:00Z: has to soak for 1h upstream, until 2026-01-01T01:00:00Z
      mode needs Person: the stage is manual: a person must start the promotion
      freeze needs Person: freeze audit of admin: books close; lasts until somebody ends it
      infra needs Unknown: judged once the infra plans are made
    ");
    assert_snapshot!(of(&format!("{PIPELINE}
        policy qa qa gated soak=1h max_age=30m
        policy prod prod gated
        stage end shop<qa: app
        policy end end gated
        found shop api 1.0.0
    "), "end"), @r"
    dev: since 2026-01-01T00:00:00Z
    qa: never
      soak until 2026-01-01T01:00:00Z: has to soak for 1h upstream, until 2026-01-01T01:00:00Z
      age needs Never: older than 30m since 2026-01-01T00:30:00Z; newer freight is needed
    end: never
      upstream needs Never: not verified upstream in qa
    ");
}

#[test]
fn stages_without_steps_pass_the_soak_on() {
    assert_snapshot!(of("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage pass shop<dev
        stage prod shop<pass: app
        policy auto dev automatic
        policy prod prod gated soak=2h
        found shop api 1.0.0
        +30m
    ", "prod"), @r"
    pass: since 2026-01-01T00:00:00Z
    prod: from 2026-01-01T02:00:00Z
      soak until 2026-01-01T02:00:00Z: has to soak for 2h upstream, until 2026-01-01T02:00:00Z
    ");
    assert_snapshot!(of("
        push gitops a.yaml#b=c
        warehouse shop api
        stage dev shop: app
        stage prod shop<dev: app
        policy all * automatic
        found shop api 1.0.0
    ", "prod"), @"prod: since 2026-01-01T00:00:00Z");
}

/// As time goes by, the promotion commits when the forecast said.
#[test]
fn a_forecast_comes_true() {
    let script = format!(
        "{PIPELINE}
        policy qa qa gated soak=1h
        policy eu eu gated soak=3h
        policy prod prod gated soak=30m allow=FREQ=DAILY;BYHOUR=9/2h
        freeze audit but qa but eu from 8h until 10h
        found shop api 1.0.0
    "
    );
    assert!(of(&script, "prod").contains("prod: from 2026-01-01T10:00:00Z"));
    let mut world = World::new();
    play(&mut world, &script).expect("nothing crashes");
    play(&mut world, "+10h").expect("nothing crashes");
    let verified = world.facts(world.freight.last().expect("freight")).verified_in;
    let at = "2026-01-01T10:00:00Z".parse().ok();
    assert_eq!(verified.get(&stage_name("prod")).copied(), at);
}
