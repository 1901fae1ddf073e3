//! Freezes: who sees them, what they wake, and what they stop.

use reconciler_domain::freeze::{Exceptions, Freeze, Reach, actions_default};
use reconciler_domain::id::{FreezeName, StageName};
use reconciler_store::{Outcome, StoreError, Subject};

use crate::world::{World, alice, at, change, creating, dev, prod, shop};

fn audit() -> FreezeName {
    "audit".parse().unwrap()
}

/// A freeze of everything but these stages.
fn freeze(except: &[&str]) -> Freeze {
    let stages = except.iter().map(|&stage| stage.to_owned()).collect();
    Freeze {
        name: audit(),
        reach: Reach::Project,
        reason: "books close".to_owned(),
        from: Some(at(2)),
        until: Some(at(100)),
        window: None,
        actions: actions_default(),
        except: Exceptions { stages, ..Exceptions::default() },
    }
}

async fn seen(world: &World, stage: &StageName) -> Vec<Freeze> {
    let snapshot = world.store.stage_snapshot(&shop(), stage).await.unwrap().unwrap().value;
    snapshot.freezes.into_iter().map(|freeze| freeze.spec).collect()
}

#[tokio::test]
async fn a_freeze_wakes_what_it_stops_and_stopped_and_they_see_it() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    world.promote(&dev(), &freight, 1).await;
    world.quiet(1).await;
    let of_prod = freeze(&["dev*"]);
    let put = store.put_freeze(&shop(), &of_prod, &creating(2)).await.unwrap();
    assert_eq!((put.outcome, put.stored.generation), (Outcome::Created, 1));
    assert_eq!(put.stored.changed_by, alice());
    assert_eq!(world.due(2).await, ["stage/shop/prod"]);
    assert_eq!(seen(&world, &prod()).await, std::slice::from_ref(&of_prod));
    assert_eq!(seen(&world, &dev()).await, [], "it is excepted");
    let unchanged = store.put_freeze(&shop(), &of_prod, &change(3)).await.unwrap();
    assert_eq!(unchanged.outcome, Outcome::Unchanged);
    world.quiet(3).await;

    let of_dev = freeze(&["prod"]);
    store.put_freeze(&shop(), &of_dev, &change(4)).await.unwrap();
    let all = ["promotion/shop/dev.1", "stage/shop/dev", "stage/shop/prod"];
    assert_eq!(world.due(4).await, all);
    let (promotion, _) =
        store.promotion_snapshot(&shop(), &"dev.1".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(promotion.freezes[0].spec, of_dev);

    let before = store.token(&shop(), &[Subject::Stage(dev())]).await.unwrap();
    store.delete_freeze(&shop(), &audit(), &change(5)).await.unwrap();
    assert_eq!(store.list_freezes(&shop()).await.unwrap().items, []);
    assert_eq!(seen(&world, &dev()).await, []);
    assert!(store.token(&shop(), &[Subject::Stage(dev())]).await.unwrap() > before);
    store.verify_chain().await.unwrap();
}

#[tokio::test]
async fn a_freeze_that_comes_in_between_stops_a_commit() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 1).await;
    world.prepare(&id, &freight, 1).await;
    let judged = world.store.revision(&shop()).await.unwrap();
    world.store.put_freeze(&shop(), &freeze(&[]), &creating(2)).await.unwrap();
    let lease = world.lease(&id, 3).await;
    let seq = world.last_seq(&id).await;
    let committed =
        world.store.commit_promotion(&shop(), &id, &lease, seq, judged, Vec::new(), at(3)).await;
    let error = committed.unwrap_err().to_string();
    assert!(error.contains("judge the gates again"), "{error}");
}

#[tokio::test]
async fn a_damaged_freeze_lets_nothing_go() {
    let world = World::new().await;
    let store = &world.store;
    store.put_freeze(&shop(), &freeze(&["dev"]), &creating(1)).await.unwrap();
    world.raw().execute_batch("UPDATE definition SET spec = 'x' WHERE kind = 'freeze'").unwrap();
    for stage in [dev(), prod()] {
        match store.stage_snapshot(&shop(), &stage).await {
            Err(StoreError::Unreadable(unreadable)) => {
                assert_eq!(unreadable.what, "freeze shop/audit");
            }
            Ok(_) | Err(_) => panic!("it was read"),
        }
    }
    store.delete_freeze(&shop(), &audit(), &change(2)).await.unwrap();
    assert_eq!(world.due(2).await, ["stage/shop/dev", "stage/shop/prod"], "it may be of any");
    store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap();
}
