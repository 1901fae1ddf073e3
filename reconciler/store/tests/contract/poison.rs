//! Rows that no longer parse are the trouble of the object that they belong to.

use reconciler_domain::freight::FreightFilter;
use reconciler_domain::warehouse::Discovery;
use reconciler_store::{Outcome, Page, PromotionFilter, StoreError};

use crate::world::{World, at, change, dev, policy, prod, shop, stage, warehouse, web};

const PAGE: Page = Page { after: None, limit: 100 };

fn unreadable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unreadable(unreadable)) => unreadable.what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_definition_stops_itself_only_and_can_be_written_anew() {
    let world = World::new().await;
    let store = &world.store;
    let damage =
        "UPDATE definition SET spec = '{\"name\":7}' WHERE kind = 'stage' AND name = 'dev'";
    assert_eq!(world.raw().execute(damage, []).unwrap(), 1);
    assert_eq!(unreadable(store.get_stage(&shop(), &dev()).await), "stage shop/dev");
    assert_eq!(unreadable(store.stage_snapshot(&shop(), &dev()).await), "stage shop/dev");
    let listed = store.list_stages(&shop()).await.unwrap();
    assert_eq!((listed.items.len(), listed.unreadable.len()), (1, 1));
    let all = store.definitions(&shop()).await.unwrap().unwrap();
    assert_eq!((all.value.stages.len(), all.unreadable[0].what.as_str()), (1, "stage shop/dev"));
    store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap();
    let put = store.put_stage(&shop(), &stage(&dev(), &[]), &change(5)).await.unwrap();
    assert_eq!((put.outcome, put.stored.generation), (Outcome::Changed, 2));
    store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_damaged_policy_opens_no_gate() {
    let world = World::new().await;
    let store = &world.store;
    store.put_policy(&shop(), &policy("p", &["prod"]), &change(1)).await.unwrap();
    let raw = world.raw();
    raw.execute_batch("UPDATE definition SET spec = replace(spec, 'gated', 'x') WHERE name = 'p'")
        .unwrap();
    assert_eq!(unreadable(store.stage_snapshot(&shop(), &prod()).await), "policy shop/p");
    let other = store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!(other.unreadable[0].what, "policy shop/p");
    raw.execute_batch("UPDATE definition SET spec = 'rubbish' WHERE name = 'p'").unwrap();
    assert_eq!(unreadable(store.stage_snapshot(&shop(), &dev()).await), "policy shop/p");
    store.delete_policy(&shop(), &"p".parse().unwrap(), &change(2)).await.unwrap();
    let due = world.due(2).await;
    assert_eq!(due, ["stage/shop/dev", "stage/shop/prod"], "it may have selected any");
    store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap();
}

#[tokio::test]
async fn damaged_freight_is_left_out_unless_it_is_in_the_stage() {
    let world = World::new().await;
    let store = &world.store;
    let (there, other) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 1).await);
    world.succeed(&dev(), &there, 2).await;
    let raw = world.raw();
    let damage = "UPDATE freight SET artifacts = 'x' WHERE id = ?1";
    raw.execute(damage, [other.id.as_str()]).unwrap();
    let snapshot = store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!((snapshot.value.freight.len(), snapshot.unreadable.len()), (1, 1));
    let listed = store.list_freight(&shop(), &FreightFilter::default(), PAGE).await.unwrap();
    assert_eq!((listed.items.len(), listed.unreadable.len()), (1, 1));
    raw.execute(damage, [there.id.as_str()]).unwrap();
    let what = unreadable(store.stage_snapshot(&shop(), &dev()).await);
    assert_eq!(what, format!("freight shop/{}", there.id));
    store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_damaged_log_stops_its_promotion_only() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    let (first, second) =
        (world.promote(&dev(), &freight, 2).await, world.promote(&prod(), &freight, 2).await);
    world.prepare(&first, &freight, 3).await;
    world.prepare(&second, &freight, 3).await;
    let raw = world.raw();
    raw.execute_batch(
        "DROP TRIGGER promotion_event_fixed; \
         UPDATE promotion_event SET event = '{}' WHERE promotion = 'dev.1' AND seq = 2",
    )
    .unwrap();
    let entry = "log of promotion shop/dev.1, entry 2";
    assert_eq!(unreadable(store.promotion_snapshot(&shop(), &first).await), entry);
    assert_eq!(unreadable(store.promotion(&shop(), &first).await), entry);
    store.promotion_snapshot(&shop(), &second).await.unwrap().unwrap();
    let rows = store.list_promotions(&shop(), &PromotionFilter::default(), PAGE).await.unwrap();
    assert_eq!(rows.items.len(), 2, "the list does not need the log");
    raw.execute_batch("DELETE FROM promotion_event WHERE promotion = 'dev.1' AND seq = 1").unwrap();
    let entry = "log of promotion shop/dev.1, entry 1";
    assert_eq!(unreadable(store.promotion_snapshot(&shop(), &first).await), entry);
}

#[tokio::test]
async fn a_damaged_discovery_is_looked_for_anew() {
    let world = World::new().await;
    let store = &world.store;
    let api = "api".parse().unwrap();
    let look = Discovery { looked_at: Some(at(1)), ..Discovery::default() };
    store.record_discovery(&shop(), &web(), &api, 1, &look, at(1)).await.unwrap();
    world.raw().execute_batch("UPDATE discovery SET found = 'x'").unwrap();
    let snapshot = store.warehouse_snapshot(&shop(), &web()).await.unwrap().unwrap();
    assert_eq!((snapshot.value.discovered.len(), snapshot.unreadable.len()), (0, 1));
    store.record_discovery(&shop(), &web(), &api, 1, &look, at(2)).await.unwrap();
    let snapshot = store.warehouse_snapshot(&shop(), &web()).await.unwrap().unwrap();
    assert_eq!((snapshot.value.discovered.len(), snapshot.unreadable.len()), (1, 0));
    assert_eq!(snapshot.value.warehouse.spec, warehouse());
}

#[tokio::test]
async fn a_damaged_wake_up_does_not_stop_the_loop() {
    let world = World::new().await;
    world
        .raw()
        .execute_batch("INSERT INTO wakeup (key, due_at, epoch) VALUES ('rubbish', 0, 0)")
        .unwrap();
    let freight = world.freight("1.0.0", 1).await;
    assert_eq!(freight.sequence, 1);
    assert_eq!(world.due(1).await, ["stage/shop/dev", "stage/shop/prod"]);
}
