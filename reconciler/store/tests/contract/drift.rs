//! Looks at drift: due like everything else, apart from it, and recorded only while they count.

use std::time::Duration;

use reconciler_domain::drift::{DriftRecord, DriftSnapshot, Found, StateDrift, Watch};
use reconciler_domain::id::PromotionId;
use reconciler_domain::promotion::{Ending, Event, Node};
use reconciler_domain::stage::Stage;
use reconciler_domain::step::{
    Applied, ApplyCall, Call, PlanRecord, Record, Step, StepKind, StepOutcome,
};
use reconciler_store::{AskLookError, Lease, RecordDriftError, WakeKey};
use serde_json::{Map, json};

use crate::world::{
    LEASE, World, alice, at, change, dev, finished, prepare_started, prepared, prod, shop, stage,
};

fn key() -> WakeKey {
    WakeKey::Drift(shop(), dev())
}

/// What is due of looks.
async fn looks(world: &World, second: i64) -> Vec<Lease> {
    world.store.claim_looks("worker", &[], LEASE, at(second), 10).await.unwrap()
}

/// A plan that creates one resource.
fn plan() -> PlanRecord {
    serde_json::from_value(json!({
        "call": {
            "dir": "infra", "vars": {}, "var_files": [], "state": "db", "tool": null,
            "lock_timeout": { "secs": 60, "nanos": 0 }, "timeout": { "secs": 60, "nanos": 0 }, "destroy": [],
        },
        "file_digest": "d", "file": "plan",
        "summary": {
            "create": 1, "update": 0, "replace": 0, "delete": 0, "no_op": 0,
            "addresses": { "create": ["a.x"] }, "changes": [], "outputs": {}, "drift": [],
            "has_changes": true,
        },
        "semantic_digest": format!("sha256:{}", "0".repeat(64)),
        "outputs": {}, "state": null, "text": null,
    }))
    .unwrap()
}

/// A promotion to `dev` that committed and applied the state `db`.
async fn applied(world: &World, tag: &str, second: i64) -> PromotionId {
    let freight = world.freight(tag, second).await;
    let id = world.promote(&dev(), &freight, second).await;
    world.prepare(&id, &freight, second).await;
    world.commit(&id, second).await.unwrap();
    let node = Node::Step("call".parse().unwrap());
    let call = ApplyCall { plan: Box::new(plan()), run: id.to_string() };
    let call = Box::new(Call::TfApply(call));
    world
        .append(&id, Event::Intent { node: node.clone(), call, epoch: None }, second)
        .await
        .unwrap();
    let record = Record::Applied(Applied { created: vec!["a.x".to_owned()] });
    let outcome = Box::new(StepOutcome::Done { outputs: Map::new(), record });
    world.append(&id, Event::Outcome { node, outcome }, second).await.unwrap();
    id
}

async fn ends(world: &World, id: &PromotionId, second: i64) {
    let verifying = Event::Verifying { checks: Vec::new(), replaced: None, unusable: None };
    world.append(id, verifying, second).await.unwrap();
    world.append(id, finished(Ending::Succeeded), second).await.unwrap();
}

/// What a look finds now.
async fn found(world: &World, began: i64, ended: i64, found: Found) -> DriftRecord {
    let snapshot = world.store.drift_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    let states = snapshot.bases.iter().map(|basis| StateDrift::of(basis, found.clone()));
    DriftRecord::new(snapshot.record.as_ref(), at(began), at(ended), states.collect())
}

async fn seen(world: &World) -> DriftSnapshot {
    world.store.drift_snapshot(&shop(), &dev()).await.unwrap().unwrap()
}

async fn record(
    world: &World,
    lease: &Lease,
    settled: &PromotionId,
    record: &DriftRecord,
) -> Result<(), RecordDriftError> {
    let seen = seen(world).await;
    let seen = DriftSnapshot { settled: Some(settled.clone()), ..seen };
    world.store.record_drift(lease, &seen, record).await
}

/// The kinds of what the ledger tells of looks.
async fn told(world: &World) -> Vec<String> {
    let events = world.store.events(Some(&shop()), 0, 1000).await.unwrap();
    let kinds = events.into_iter().map(|event| event.kind);
    kinds.filter(|kind| kind.starts_with("stage.drift") || kind == "stage.look_asked").collect()
}

#[tokio::test]
async fn looks_are_claimed_apart_and_by_one_at_a_time() {
    let world = World::new().await;
    assert_eq!(looks(&world, 1).await, []);
    let watched = Watch { every: Duration::from_secs(3600) };
    let spec = Stage { drift: Some(watched), ..stage(&dev(), &[]) };
    world.store.put_stage(&shop(), &spec, &change(2)).await.unwrap();
    // Not among what everything else is claimed from, however much that takes.
    assert!(!world.due(3).await.contains(&key().to_string()));
    let first = looks(&world, 3).await.remove(0);
    assert_eq!(first.key, key());
    assert_eq!(looks(&world, 4).await, []);
    assert_eq!(world.store.claim_looks("w", &[], LEASE, at(4), 0).await.unwrap(), []);

    // Whoever had it was killed: it ends by itself, and what comes late from there counts no more.
    let second = looks(&world, 40).await.remove(0);
    assert!(second.epoch > first.epoch);
    let id = applied(&world, "1.0.0", 41).await;
    ends(&world, &id, 42).await;
    let clean = found(&world, 3, 43, Found::Clean).await;
    let late = record(&world, &first, &id, &clean).await.unwrap_err();
    assert!(matches!(late, RecordDriftError::Lost { .. }), "{late}");
    record(&world, &second, &id, &clean).await.unwrap();
    // The end of the promotion came meanwhile: it is decided once more.
    world.store.release(&second, None).await.unwrap();
    assert_eq!(looks(&world, 43).await.len(), 1);
}

#[tokio::test]
async fn what_is_found_counts_until_a_promotion_moves() {
    let world = World::new().await;
    let id = applied(&world, "1.0.0", 1).await;
    world.store.ask_look(&shop(), &dev(), &alice(), at(2)).await.unwrap();
    let lease = looks(&world, 2).await.remove(0);
    let why = || Found::unknown("no way there");
    let early = found(&world, 2, 3, why()).await;
    let refused = record(&world, &lease, &id, &early).await.unwrap_err();
    assert!(matches!(refused, RecordDriftError::Overtaken { .. }), "it has the slot: {refused}");
    ends(&world, &id, 4).await;
    record(&world, &lease, &id, &early).await.unwrap();
    let read = async || world.store.drift_record(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!(read().await, early);
    let waiting = world.freight("1.1.0", 5).await;
    let next = world.promote(&dev(), &waiting, 5).await;
    let seen = async || {
        world.store.promotion_snapshot(&shop(), &next).await.unwrap().unwrap().value.0.drift
    };
    assert_eq!(seen().await, Some(early));

    // The ledger hears what is news, once.
    for second in [6, 7] {
        let again = found(&world, second, second, why()).await;
        record(&world, &lease, &id, &again).await.unwrap();
        assert_eq!(read().await.failures, u32::try_from(second).unwrap() - 4);
    }
    let revision = world.store.revision(&shop()).await.unwrap();
    let clean = found(&world, 8, 8, Found::Clean).await;
    record(&world, &lease, &id, &clean).await.unwrap();
    assert_ne!(world.store.revision(&shop()).await.unwrap(), revision, "gates look at it");
    assert_eq!(told(&world).await, ["stage.look_asked", "stage.drift_unknown", "stage.drift_none"]);

    // What the next promotion applies was not looked at.
    let other = applied(&world, "1.2.0", 9).await;
    assert_eq!(read().await, clean);
    ends(&world, &other, 10).await;
    assert_eq!(read().await.states[0].outdated_by, Some(other));
}

#[tokio::test]
async fn a_promotion_that_waits_hears_of_every_look() {
    let world = World::new().await;
    let id = applied(&world, "1.0.0", 1).await;
    ends(&world, &id, 2).await;
    world.store.ask_look(&shop(), &dev(), &alice(), at(3)).await.unwrap();
    let lease = looks(&world, 3).await.remove(0);
    let clean = found(&world, 3, 3, Found::Clean).await;
    record(&world, &lease, &id, &clean).await.unwrap();

    // Nobody waits: what says the same is no news to anybody.
    world.quiet(4).await;
    let revision = world.store.revision(&shop()).await.unwrap();
    let again = found(&world, 4, 4, Found::Clean).await;
    record(&world, &lease, &id, &again).await.unwrap();
    assert_eq!(world.due(4).await, [""; 0]);
    assert_eq!(world.store.revision(&shop()).await.unwrap(), revision);

    // Its own plan found drift, and somebody mended that: only the time of the look is another one.
    let freight = world.freight("1.1.0", 5).await;
    let next = world.promote(&dev(), &freight, 5).await;
    world.prepare(&next, &freight, 5).await;
    world.quiet(6).await;
    let revision = world.store.revision(&shop()).await.unwrap();
    let mended = found(&world, 6, 6, Found::Clean).await;
    record(&world, &lease, &id, &mended).await.unwrap();
    assert_eq!(world.due(6).await, [WakeKey::Promotion(shop(), next).to_string()]);
    assert_ne!(world.store.revision(&shop()).await.unwrap(), revision, "its gate asks when");
    assert_eq!(told(&world).await, ["stage.look_asked", "stage.drift_none"]);
}

#[tokio::test]
async fn what_a_promotion_passes_over_is_as_it_was() {
    let world = World::new().await;
    let id = applied(&world, "1.0.0", 1).await;
    ends(&world, &id, 2).await;
    world.store.ask_look(&shop(), &dev(), &alice(), at(3)).await.unwrap();
    let lease = looks(&world, 3).await.remove(0);
    let clean = found(&world, 3, 3, Found::Clean).await;
    record(&world, &lease, &id, &clean).await.unwrap();

    // Only the application: the conditions of the plan, and then of the apply, do not hold.
    for (passed, second) in [("plan", 5), ("call", 7)] {
        let freight = world.freight(&format!("1.{second}.0"), second).await;
        let next = world.promote(&dev(), &freight, second).await;
        let step = |name: &str, uses, config| Step::new(name.parse().unwrap(), uses, config);
        let steps = vec![
            step("plan", StepKind::TfPlan, json!({ "dir": "infra", "state": "{{ vars.state }}" })),
            step("call", StepKind::TfApply, json!({ "plan": "plan" })),
        ];
        let spec = Stage { steps, ..stage(&dev(), &[]) };
        world.append(&next, prepare_started(spec, &freight), second).await.unwrap();
        let step = passed.parse().unwrap();
        let message = "`vars.infra` does not hold".to_owned();
        let passes = Event::PassedOver { step, failed: false, message };
        world.append(&next, passes, second).await.unwrap();
        world.append(&next, prepared(&freight), second).await.unwrap();
        world.commit(&next, second).await.unwrap();
        ends(&world, &next, second + 1).await;
        let snapshot = world.store.drift_snapshot(&shop(), &dev()).await.unwrap().unwrap();
        let promotions: Vec<_> = snapshot.bases.iter().map(|basis| &basis.promotion).collect();
        assert_eq!(promotions, [&id]);
        assert_eq!((snapshot.settled, snapshot.record), (Some(next), Some(clean.clone())));
    }

    // One that has no such step any more takes the state out of the stage.
    let freight = world.freight("2.0.0", 9).await;
    world.succeed(&dev(), &freight, 9).await;
    let snapshot = world.store.drift_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!(snapshot.bases, []);
    assert_eq!(snapshot.record.unwrap().states, []);
}

#[tokio::test]
async fn a_look_answers_who_asked_before_it_whatever_the_clock_says() {
    let world = World::new().await;
    let id = applied(&world, "1.0.0", 1).await;
    ends(&world, &id, 2).await;
    let ask = async |second| {
        world.store.ask_look(&shop(), &dev(), &alice(), at(second)).await.unwrap();
    };
    ask(100).await;
    let lease = looks(&world, 100).await.remove(0);
    // Somebody else asks while it is under way: it may have missed what that is about.
    let before = seen(&world).await;
    ask(101).await;
    let clean = found(&world, 3, 4, Found::Clean).await;
    world.store.record_drift(&lease, &before, &clean).await.unwrap();
    assert!(seen(&world).await.is_asked());
    // The clock stepped back, to before both asked.
    let before = seen(&world).await;
    let clean = found(&world, 5, 6, Found::Clean).await;
    world.store.record_drift(&lease, &before, &clean).await.unwrap();
    assert!(!seen(&world).await.is_asked());
}

#[tokio::test]
async fn a_stage_that_goes_takes_it_along() {
    let world = World::new().await;
    let ask = async |stage| world.store.ask_look(&shop(), stage, &alice(), at(5)).await;
    let none = "none".parse().unwrap();
    assert!(matches!(ask(&none).await, Err(AskLookError::NotFound { .. })));
    let id = applied(&world, "1.0.0", 1).await;
    ends(&world, &id, 2).await;
    world.store.delete_stage(&shop(), &prod(), &change(3)).await.unwrap();
    ask(&dev()).await.unwrap();
    let lease = looks(&world, 5).await.remove(0);
    let clean = found(&world, 5, 6, Found::Clean).await;
    let seen = seen(&world).await;
    world.store.delete_stage(&shop(), &dev(), &change(6)).await.unwrap();
    let gone = world.store.record_drift(&lease, &seen, &clean).await.unwrap_err();
    assert!(matches!(gone, RecordDriftError::Lost { .. }), "{gone}");
    assert_eq!(world.store.drift_record(&shop(), &dev()).await.unwrap(), None);
    assert!(world.store.drift_snapshot(&shop(), &dev()).await.unwrap().is_none());
}
