//! Holds: who sees them, what they wake, and what lifts them.

use reconciler_domain::hold::{ArtifactMatch, Hold, Target};
use reconciler_domain::id::HoldName;
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_store::{LiftError, NewPromotion, Outcome, StoreError, Subject};

use crate::world::{World, alice, at, change, creating, dev, new_promotion, prod, shop};

fn cve() -> HoldName {
    "cve".parse().unwrap()
}

fn hold(target: Target) -> Hold {
    Hold { name: cve(), target, reason: "it leaks".to_owned(), expires: Some(at(100)) }
}

async fn seen(world: &World, stage: &reconciler_domain::id::StageName) -> StageSnapshot {
    world.store.stage_snapshot(&shop(), stage).await.unwrap().unwrap().value
}

#[tokio::test]
async fn a_hold_wakes_what_it_stops_and_stopped_and_they_see_it() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    world.promote(&dev(), &freight, 1).await;
    world.quiet(1).await;
    let on_stage = hold(Target::Stage(dev()));
    let put = store.put_hold(&shop(), &on_stage, &creating(2)).await.unwrap();
    assert_eq!((put.outcome, put.stored.generation), (Outcome::Created, 1));
    assert_eq!(world.due(2).await, ["promotion/shop/dev.1", "stage/shop/dev"]);
    let there = seen(&world, &dev()).await;
    assert_eq!((&there.holds[0].spec, &there.holds[0].changed_by), (&on_stage, &alice()));
    assert_eq!(seen(&world, &prod()).await.holds, [], "it is of another stage");
    let unchanged = store.put_hold(&shop(), &on_stage, &change(3)).await.unwrap();
    assert_eq!(unchanged.outcome, Outcome::Unchanged);
    world.quiet(3).await;

    let api = ArtifactMatch { subscription: "api".parse().ok(), ..ArtifactMatch::default() };
    let on_api = hold(Target::Artifacts(api));
    store.put_hold(&shop(), &on_api, &change(4)).await.unwrap();
    let all = ["promotion/shop/dev.1", "stage/shop/dev", "stage/shop/prod"];
    assert_eq!(world.due(4).await, all);
    assert_eq!(seen(&world, &prod()).await.holds[0].spec, on_api);
    let (promotion, _) =
        store.promotion_snapshot(&shop(), &"dev.1".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(promotion.holds[0].spec, on_api);

    store.delete_hold(&shop(), &cve(), &change(5)).await.unwrap();
    assert_eq!(world.due(5).await, all);
    assert_eq!(seen(&world, &prod()).await.holds, []);
    assert_eq!(store.list_holds(&shop()).await.unwrap().items, []);
}

#[tokio::test]
async fn a_hold_that_comes_in_between_stops_a_commit() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 1).await;
    world.prepare(&id, &freight, 1).await;
    let judged = world.store.revision(&shop()).await.unwrap();
    let held = hold(Target::Freight(freight.id.clone()));
    world.store.put_hold(&shop(), &held, &creating(2)).await.unwrap();
    let lease = world.lease(&id, 3).await;
    let seq = world.last_seq(&id).await;
    let committed =
        world.store.commit_promotion(&shop(), &id, &lease, seq, judged, Vec::new(), at(3)).await;
    let error = committed.unwrap_err().to_string();
    assert!(error.contains("judge the gates again"), "{error}");
}

#[tokio::test]
async fn a_hold_is_an_event_of_what_it_stops() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    let of = |subject: Subject| {
        let store = store.clone();
        async move { store.token(&shop(), &[subject]).await.unwrap() }
    };
    let before = of(Subject::Stage(prod())).await;
    store.put_hold(&shop(), &hold(Target::Stage(dev())), &creating(2)).await.unwrap();
    let put = of(Subject::Hold(cve())).await;
    assert_eq!(of(Subject::Stage(dev())).await, put);
    assert_eq!(of(Subject::Stage(prod())).await, before);
    store.put_hold(&shop(), &hold(Target::Freight(freight.id.clone())), &change(3)).await.unwrap();
    let changed = of(Subject::Hold(cve())).await;
    assert_eq!(of(Subject::Freight(freight.id)).await, changed);
    assert_eq!(of(Subject::Stage(prod())).await, changed);
    store.delete_hold(&shop(), &cve(), &change(4)).await.unwrap();
    assert!(of(Subject::Stage(prod())).await > changed);
    let told = store.events(Some(&shop()), changed, 10).await.unwrap();
    assert_eq!(told[0].summary, "alice deleted hold cve");
    store.verify_chain().await.unwrap();
}

#[tokio::test]
async fn an_automatic_hold_is_lifted_once_with_a_reason() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    let new = NewPromotion { hold: Some("mine".to_owned()), ..new_promotion(&dev(), &freight.id) };
    store.create_promotion(&shop(), &new, at(2)).await.unwrap();
    world.quiet(2).await;
    let lift =
        async || store.lift_automatic_hold(&shop(), &dev(), &alice(), "all is well", at(3)).await;
    lift().await.unwrap();
    assert_eq!(seen(&world, &dev()).await.automatic_hold, None);
    assert_eq!(world.due(3).await, ["promotion/shop/dev.1", "stage/shop/dev"]);
    let last = store.token(&shop(), &[Subject::Stage(dev())]).await.unwrap();
    let told = store.events(Some(&shop()), last - 1, 1).await.unwrap();
    assert_eq!(told[0].summary, "alice lifted the automatic hold of stage dev: all is well");
    assert!(matches!(lift().await, Err(LiftError::NotHeld { .. })));
    let nowhere = "qa".parse().unwrap();
    let lifted = store.lift_automatic_hold(&shop(), &nowhere, &alice(), "x", at(4)).await;
    assert!(matches!(lifted, Err(LiftError::NoStage { .. })));
}

#[tokio::test]
async fn a_damaged_hold_lets_nothing_go_that_it_may_have_stopped() {
    let world = World::new().await;
    let store = &world.store;
    store.put_hold(&shop(), &hold(Target::Stage(prod())), &creating(1)).await.unwrap();
    let raw = world.raw();
    let damage = "UPDATE definition SET spec = replace(spec, 'reason', 'x') WHERE kind = 'hold'";
    raw.execute_batch(damage).unwrap();
    let unreadable = |found| match found {
        Err(StoreError::Unreadable(unreadable)) => unreadable.what,
        Ok(_) | Err(_) => panic!("it was read"),
    };
    assert_eq!(unreadable(store.stage_snapshot(&shop(), &prod()).await), "hold shop/cve");
    let other = store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!(other.unreadable[0].what, "hold shop/cve");
    raw.execute_batch("UPDATE definition SET spec = 'rubbish' WHERE kind = 'hold'").unwrap();
    assert_eq!(unreadable(store.stage_snapshot(&shop(), &dev()).await), "hold shop/cve");
    store.delete_hold(&shop(), &cve(), &change(2)).await.unwrap();
    assert_eq!(world.due(2).await, ["stage/shop/dev", "stage/shop/prod"], "it may be of any");
    store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap();
}

#[tokio::test]
async fn freight_is_found_wherever_it_is_and_goes() {
    let world = World::new().await;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 1).await);
    world.succeed(&dev(), &old, 2).await;
    let coming = world.promote(&dev(), &new, 3).await;
    let found = world.store.whereabouts(&shop()).await.unwrap();
    assert_eq!(found.there, [(dev(), old)]);
    let [only] = found.coming.as_slice() else { panic!("{:?}", found.coming) };
    assert_eq!((&only.promotion.id, &only.promotion.stage, &only.freight), (&coming, &dev(), &new));
    assert!(!only.committed);
    world.prepare(&coming, &new, 4).await;
    world.commit(&coming, 4).await.unwrap();
    assert!(world.store.whereabouts(&shop()).await.unwrap().coming[0].committed);
}
