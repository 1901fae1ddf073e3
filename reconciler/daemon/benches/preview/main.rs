//! `make bench ID=preview`: what asking costs: what a change of one policy would do to every stage and
//! would have done to the promotions of the past, and what the gates of one stage say.
//!
//! Previews are asked of the real `lockstepd`, over HTTP, each with another change, so that no answer is
//! a kept one. The decision about one stage, and that about one promotion which waits at the gates, is
//! what the loop does: read a snapshot, decide. The gates are those of a policy that has them all but
//! those which ask others: soak behind a real upstream stage, age, condition, windows, a rate across
//! every stage of the policy, approvals, infra rules.
//!
//! ```text
//! preview [STAGES [PROMOTIONS]]     1000 and 200 if not said
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench ends with its first failure")]

#[path = "../kit/mod.rs"]
mod kit;

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use kit::daemon::Daemon;
use kit::machine::{millis, percentile};
use kit::pipeline::{self, Pipeline};
use reconciler_api::v1::{Phase, PreviewRequest, PreviewSet};
use reconciler_domain::id::{Principal, PromotionId, StageName};
use reconciler_domain::plan;
use reconciler_domain::policy::{GateKind, Policy};
use reconciler_domain::stage::Stage;
use reconciler_store::Change;
use serde_json::json;

const STAGES: usize = 1_000;
const PROMOTIONS: usize = 200;
const PREVIEWS: u32 = 50;
const DECISIONS: usize = 2_000;

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let stages = numbers.first().copied().unwrap_or(STAGES);
    let promotions = numbers.get(1).copied().unwrap_or(PROMOTIONS);
    let scratch = tempfile::tempdir().unwrap();
    println!("{}", kit::machine::calibration(scratch.path()));
    previews(stages, promotions).await;
    for stages in [stages / 10, stages, stages * 10] {
        decisions(stages, promotions.min(stages)).await;
        gates(stages, promotions.min(stages)).await;
    }
    println!("{}", kit::machine::calibration(scratch.path()));
}

async fn previews(stages: usize, promotions: usize) {
    let dir = tempfile::tempdir().unwrap();
    define(dir.path(), stages, promotions).await;
    let daemon = Daemon::start(dir.path()).await;
    while daemon.is_busy(pipeline::project(0).as_str()).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let project = pipeline::project(0);
    let (mut live, mut past) = (Vec::new(), Vec::new());
    let (mut effects, mut replayed) = (0, 0);
    for hours in 1..=PREVIEWS {
        let spec =
            json!({ "mode": "gated", "stages": { "names": ["*"] }, "soak": format!("{hours}h") });
        let definition = json!({ "kind": "policy", "spec": spec });
        let one: PreviewRequest =
            serde_json::from_value(json!({ "name": "all", "definition": definition })).unwrap();
        let begin = Instant::now();
        let answer = daemon.client().preview(project.as_str(), &one).await.unwrap();
        live.push(begin.elapsed());
        assert!(answer.problems.is_empty(), "{:?}", answer.problems);
        effects = answer.effects.len();
        let set = json!({ "changes": [one], "replay": promotions });
        let set = set_of(set);
        let begin = Instant::now();
        let answer = daemon.client().preview_set(project.as_str(), &set).await.unwrap();
        past.push(begin.elapsed());
        assert!(answer.problems.is_empty(), "{:?}", answer.problems);
        replayed = answer.replay.as_ref().map_or(0, |replay| replay.judged);
    }
    tell(&format!("preview, {stages} stages, {effects} effects"), &mut live);
    tell(&format!("preview and replay of {replayed} promotions"), &mut past);
    println!("peak {:.0} MB", daemon.peak_mb());
}

fn set_of(mut set: serde_json::Value) -> PreviewSet {
    // A change is a question without its token.
    if let Some(change) = set["changes"][0].as_object_mut() {
        change.remove("token");
    }
    serde_json::from_value(set).unwrap()
}

async fn decisions(stages: usize, promotions: usize) {
    let dir = tempfile::tempdir().unwrap();
    define(dir.path(), stages, promotions).await;
    let daemon = Daemon::start(dir.path()).await;
    while daemon.is_busy(pipeline::project(0).as_str()).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.kill();
    let store = pipeline::open(dir.path()).await;
    let project = pipeline::project(0);
    let mut took = Vec::new();
    for number in 0..DECISIONS {
        let stage = pipeline::stage_name((number * 7919) % stages);
        let begin = Instant::now();
        let snapshot = store.stage_snapshot(&project, &stage).await.unwrap().unwrap();
        let plan = plan::stage(&snapshot.value, Timestamp::now());
        took.push(begin.elapsed());
        assert!(plan.acts.is_empty(), "a policy of mode manual started something");
    }
    store.close().await;
    tell(&format!("decision about one of {stages} stages"), &mut took);
}

/// The promotions wait at gates of which one, the approvals, does not pass.
async fn gates(stages: usize, promotions: usize) {
    let dir = tempfile::tempdir().unwrap();
    let project = pipeline::project(0);
    let ids = waiting(dir.path(), stages, promotions).await;
    let store = pipeline::open(dir.path()).await;
    let mut took = Vec::new();
    for number in 0..DECISIONS {
        let id = &ids[(number * 7919) % ids.len()];
        let begin = Instant::now();
        let snapshot = store.promotion_snapshot(&project, id).await.unwrap().unwrap();
        let next = plan::promotion(&snapshot.value.0, Timestamp::now());
        took.push(begin.elapsed());
        assert!(next.act.is_none(), "{id} does not wait: {:?}", next.act);
        let closed: Vec<_> = next.gates.iter().filter(|gate| !gate.lets_pass()).collect();
        assert_eq!(closed.len(), 1, "{closed:?}");
        assert_eq!(closed[0].kind, GateKind::Approvals, "{closed:?}");
        assert_eq!(next.gates.len(), GATES, "{:?}", next.gates);
    }
    store.close().await;
    tell(&format!("decision at {GATES} gates, of {stages} stages"), &mut took);
}

/// The gates of [`guarded`], and that of the upstream.
const GATES: usize = 8;

fn guarded() -> Policy {
    let window = |kind: &str, rule: &str| {
        json!({
            "name": kind, "kind": kind, "rule": rule, "duration": { "secs": 86_400, "nanos": 0 },
            "timezone": "Europe/Berlin", "actions": ["promote"],
        })
    };
    let policy = json!({
        "name": "guarded", "mode": "manual", "stages": ["s*"], "settle": { "secs": 0, "nanos": 0 },
        "soak": { "secs": 1, "nanos": 0 }, "max_age": { "secs": 31_536_000, "nanos": 0 },
        "conditions": [{ "name": "tagged", "when": "freight.api.tag != '' && stage.name != 'up'" }],
        "windows": [
            window("allow", "FREQ=DAILY;BYHOUR=0"),
            window("deny", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"),
        ],
        "rates": [{
            "name": "gently", "most": { "count": 100, "per": { "secs": 3_600, "nanos": 0 } },
            "cooldown": null, "concurrent": 50, "across": "policy",
        }],
        "approvals": [{ "group": "sre", "count": 2, "exclude": ["requester"] }],
        "infra": { "forbid": ["delete"], "protect": [], "max_changes": null, "max_deletes": null },
        "rollback": [], "bypass": [],
    });
    serde_json::from_value(policy).unwrap()
}

/// Promotions that the daemon prepared, each to a stage behind `up`, where the freight is verified.
async fn waiting(data: &Path, stages: usize, promotions: usize) -> Vec<PromotionId> {
    let (project, up) = (pipeline::project(0), "up".parse::<StageName>().unwrap());
    let past = Timestamp::now().checked_sub(Duration::from_secs(60)).unwrap();
    let steps = std::iter::once(pipeline::waits("start", past)).chain(pipeline::idles(3));
    let store = pipeline::open(data).await;
    let pipeline = Pipeline { projects: 1, stages, steps: steps.collect() };
    pipeline.define(&store).await;
    let by = Change::by(&Principal::Automation, Timestamp::now());
    let known = store.definitions(&project).await.unwrap().unwrap();
    let specs: Vec<Stage> = known.value.stages.values().map(|stage| stage.spec.clone()).collect();
    let first = Stage { name: up.clone(), ..specs[0].clone() };
    store.put_stage(&project, &first, &by).await.unwrap();
    for some in specs.chunks(pipeline::AT_ONCE) {
        let behind = some.iter().map(|spec| {
            let mut spec = spec.clone();
            (spec.requests[0].direct, spec.requests[0].from) = (false, vec![up.clone()]);
            let (store, project, by) = (&store, &project, &by);
            async move { store.put_stage(project, &spec, by).await.map(drop).unwrap() }
        });
        join_all(behind).await;
    }
    let new = pipeline::promotion(up);
    store.create_promotion(&project, &new, Timestamp::now()).await.unwrap();
    store.close().await;
    let daemon = Daemon::start(data).await;
    while daemon.is_busy(project.as_str()).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.kill();
    let store = pipeline::open(data).await;
    store.put_policy(&project, &guarded(), &by).await.unwrap();
    let mut ids = Vec::new();
    for stage in 0..promotions {
        let new = pipeline::promotion(pipeline::stage_name(stage));
        ids.push(store.create_promotion(&project, &new, Timestamp::now()).await.unwrap().id);
    }
    store.close().await;
    let daemon = Daemon::start(data).await;
    for id in &ids {
        while daemon.client().promotion(project.as_str(), id.as_str()).await.unwrap().phase
            != Phase::Waiting
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    daemon.kill();
    // What the policy has the freight soak for is over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ids
}

async fn define(data: &Path, stages: usize, promotions: usize) {
    let past = Timestamp::now().checked_sub(Duration::from_secs(60)).unwrap();
    let steps = std::iter::once(pipeline::waits("start", past)).chain(pipeline::idles(3));
    let pipeline = Pipeline { projects: 1, stages, steps: steps.collect() };
    let store = pipeline::open(data).await;
    pipeline.define(&store).await;
    let policy = json!({
        "name": "all", "mode": "manual", "stages": ["*"], "soak": null, "settle": null,
        "approvals": [], "infra": null, "rollback": [], "bypass": [],
    });
    let policy = serde_json::from_value(policy).unwrap();
    let by = Change::by(&Principal::Automation, Timestamp::now());
    store.put_policy(&pipeline::project(0), &policy, &by).await.unwrap();
    pipeline.promote(&store, promotions).await;
    store.close().await;
}

fn tell(what: &str, took: &mut [Duration]) {
    println!(
        "{what:<45} p50 {:>7.2} ms  p99 {:>7.2} ms",
        millis(percentile(took, 50)),
        millis(percentile(took, 99))
    );
}
