use reconciler_store::{Lease, LeaseError, Store, WakeKey};

use crate::world::{LEASE, World, at, dev, prod, shop};

fn key() -> WakeKey {
    WakeKey::Stage(shop(), dev())
}

async fn claim(store: &Store, second: i64) -> Vec<Lease> {
    store.claim("w", &[], LEASE, at(second), 10).await.unwrap()
}

#[test]
fn keys_are_texts() {
    for text in ["stage/shop/prod", "warehouse/shop/web", "promotion/shop/prod.3"] {
        assert_eq!(text.parse::<WakeKey>().unwrap().to_string(), text);
    }
    for bad in ["stage/shop", "step/shop/x", "stage/shop/PROD", "promotion/shop/prod"] {
        assert!(bad.parse::<WakeKey>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_wake_up_is_claimed_once_it_is_due() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(10)).await.unwrap();
    store.wake(&key(), at(20)).await.unwrap();
    assert_eq!(store.next_due(at(-1)).await.unwrap(), Some(at(10)));
    assert_eq!(claim(&store, 9).await, []);
    let leases = claim(&store, 10).await;
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].key, key());
    assert_eq!(claim(&store, 11).await, [], "it is leased");
    store.release(&leases[0], None).await.unwrap();
    assert_eq!(store.next_due(at(-1)).await.unwrap(), None);
}

#[tokio::test]
async fn an_earlier_wake_up_wins() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(20)).await.unwrap();
    store.wake(&key(), at(10)).await.unwrap();
    assert_eq!(store.next_due(at(-1)).await.unwrap(), Some(at(10)));
}

#[tokio::test]
async fn a_wake_up_during_a_lease_is_not_lost() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(0)).await.unwrap();
    let lease = claim(&store, 0).await.remove(0);
    store.wake(&key(), at(5)).await.unwrap();
    store.wake(&key(), at(3)).await.unwrap();
    assert_eq!(claim(&store, 5).await, [], "still leased");
    store.release(&lease, Some(at(1000))).await.unwrap();
    assert_eq!(store.next_due(at(-1)).await.unwrap(), Some(at(3)));
    let lease = claim(&store, 3).await.remove(0);
    store.release(&lease, Some(at(1000))).await.unwrap();
    assert_eq!(store.next_due(at(-1)).await.unwrap(), Some(at(1000)), "heard once, not for ever");
}

#[tokio::test]
async fn a_lease_that_ended_goes_to_the_next_with_a_later_epoch() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(0)).await.unwrap();
    let first = claim(&store, 0).await.remove(0);
    assert_eq!(store.next_due(at(-1)).await.unwrap(), Some(at(30)), "the end of the lease");
    store.renew(&first, LEASE, at(10)).await.unwrap();
    assert_eq!(claim(&store, 30).await, [], "renewed until 40");
    let second = store.claim("other", &[], LEASE, at(40), 10).await.unwrap().remove(0);
    assert!(second.epoch > first.epoch);
    let lost = "the lease of stage/shop/dev is lost: stop working on it";
    assert_eq!(store.renew(&first, LEASE, at(41)).await.unwrap_err().to_string(), lost);
    assert_eq!(store.release(&first, None).await.unwrap_err().to_string(), lost);
    store.renew(&second, LEASE, at(41)).await.unwrap();
}

#[tokio::test]
async fn nobody_takes_over_from_itself_when_the_clock_jumps() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(0)).await.unwrap();
    let held = claim(&store, 0).await;
    let other = WakeKey::Stage(shop(), prod());
    store.wake(&other, at(3600)).await.unwrap();
    let jumped = store.claim("w", &held, LEASE, at(3600), 10).await.unwrap();
    assert_eq!(jumped.iter().map(|lease| &lease.key).collect::<Vec<_>>(), [&other]);
    assert_eq!(claim(&store, 3629).await, [], "it lasts by the clock as it is now");
    store.renew(&held[0], LEASE, at(3601)).await.unwrap();
    // Who does not say so is gone, or somebody else.
    let taken = store.claim("other", &jumped, LEASE, at(7200), 10).await.unwrap();
    assert_eq!(taken.iter().map(|lease| &lease.key).collect::<Vec<_>>(), [&key()]);
    let lost = store.claim("w", &held, LEASE, at(9000), 10).await.unwrap();
    assert_eq!(lost.len(), 2, "what it lost it does not keep");
}

#[tokio::test]
async fn epochs_never_repeat_even_if_the_wake_up_was_forgotten() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(0)).await.unwrap();
    let first = claim(&store, 0).await.remove(0);
    store.release(&first, None).await.unwrap();
    store.wake(&key(), at(1)).await.unwrap();
    let again = store.release(&first, None).await;
    assert!(matches!(again, Err(LeaseError::Lost { .. })), "nobody holds it");
    let second = claim(&store, 1).await.remove(0);
    assert!(second.epoch > first.epoch);
}

#[tokio::test]
async fn leases_end_with_the_process_that_held_them() {
    let world = World::empty().await;
    world.store.wake(&key(), at(0)).await.unwrap();
    let held = claim(&world.store, 0).await.remove(0);
    world.store.close().await;
    let store = Store::open(world.path()).await.unwrap();
    let lost = store.renew(&held, LEASE, at(1)).await;
    assert!(matches!(lost, Err(LeaseError::Lost { .. })), "{lost:?}");
    let next = claim(&store, 1).await.remove(0);
    assert!(next.key == key() && next.epoch > held.epoch, "{next:?}");
}

#[tokio::test]
async fn those_waiting_longest_are_claimed_first() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&WakeKey::Stage(shop(), prod()), at(2)).await.unwrap();
    store.wake(&key(), at(1)).await.unwrap();
    let leases = store.claim("w", &[], LEASE, at(5), 1).await.unwrap();
    assert_eq!(leases[0].key, key());
    assert_eq!(claim(&store, 5).await[0].key, WakeKey::Stage(shop(), prod()));
}

#[tokio::test]
async fn a_project_with_much_to_do_does_not_keep_others_waiting() {
    let World { store, dir: _dir } = World::empty().await;
    let stage = |project: &str, n: u32| {
        let name = format!("s{n}").parse().unwrap();
        WakeKey::Stage(project.parse().unwrap(), name)
    };
    for n in 0..50 {
        store.wake(&stage("big", n), at(0)).await.unwrap();
    }
    for n in 0..3 {
        store.wake(&stage("small", n), at(9)).await.unwrap();
    }
    let of = |leases: &[Lease], project: &str| {
        leases.iter().filter(|lease| lease.key.project().as_str() == project).count()
    };
    let first = store.claim("w", &[], LEASE, at(1), 4).await.unwrap();
    assert_eq!((of(&first, "big"), of(&first, "small")), (3, 0), "one place is for the other");
    // What is under way counts, whoever works on it.
    let second = store.claim("other", &[], LEASE, at(10), 4).await.unwrap();
    assert_eq!((of(&second, "big"), of(&second, "small")), (0, 3));
}

#[tokio::test]
async fn what_has_no_place_costs_no_write_and_no_second_look() {
    let World { store, dir: _dir } = World::empty().await;
    let stage = |project: &str, n: u32| {
        let name = format!("s{n}").parse().unwrap();
        WakeKey::Stage(project.parse().unwrap(), name)
    };
    for n in 0..20 {
        store.wake(&stage("big", n), at(0)).await.unwrap();
    }
    store.wake(&stage("small", 0), at(20)).await.unwrap();
    let held = store.claim("w", &[], LEASE, at(1), 16).await.unwrap();
    assert_eq!(held.len(), 12, "four places are for the other");
    for _ in 0..3 {
        assert_eq!(store.claim("w", &held, LEASE, at(2), 4).await.unwrap(), []);
    }
    assert_eq!(store.next_due(at(2)).await.unwrap(), Some(at(20)), "not what has no place");
    let next = store.claim("w", &held, LEASE, at(20), 4).await.unwrap();
    assert_eq!(next[0].key, stage("small", 0));
    assert_eq!(next[0].epoch, held[0].epoch + 1, "no epoch was used up meanwhile");
}

#[tokio::test]
async fn the_loop_is_told_at_once() {
    let World { store, dir: _dir } = World::empty().await;
    store.wake(&key(), at(0)).await.unwrap();
    // Told before anyone listened: the wait ends at once all the same.
    store.woken().notified().await;
}

#[tokio::test]
async fn claims_of_many_workers_never_overlap() {
    let World { store, dir: _dir } = World::empty().await;
    for n in 0..200 {
        let name = format!("s{n}").parse().unwrap();
        store.wake(&WakeKey::Stage(shop(), name), at(0)).await.unwrap();
    }
    let workers = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let some = store.claim(&format!("w{n}"), &[], LEASE, at(1), 7).await.unwrap();
                if some.is_empty() {
                    return mine;
                }
                mine.extend(some);
            }
        })
    });
    let mut keys = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        keys.extend(worker.await.unwrap().into_iter().map(|lease| lease.key.to_string()));
    }
    keys.sort();
    let claimed = keys.len();
    keys.dedup();
    assert_eq!((claimed, keys.len()), (200, 200));
}
