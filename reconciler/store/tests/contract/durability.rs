//! What survives, and who is kept out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reconciler_domain::freight::{Freight, FreightFilter};
use reconciler_domain::id::{FreightId, PromotionId};
use reconciler_store::{LeaseError, OpenError, Page, Store, StoreError, WakeKey};

use crate::world::{
    LEASE, World, artifacts, at, change, creating, dev, prod, project, shop, warehouse, web,
};

const CHILD: &str = "STORE_TEST_CHILD_DATABASE";
const TASKS: usize = 8;
const KILLED_AFTER: usize = 200;

/// Eight tasks make freight as fast as they can; each says so once it was told that it is stored.
fn child(path: PathBuf) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(path).await.unwrap();
        store.put_project(&project(), &change(0)).await.unwrap();
        store.put_warehouse(&shop(), &warehouse(), &change(0)).await.unwrap();
        let tasks = (0..TASKS).map(|task| tokio::spawn(make_freight(store.clone(), task)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

async fn make_freight(store: Store, task: usize) {
    for n in 0.. {
        let content = artifacts(&format!("{task}.{n}.{}", std::process::id()));
        let id = Freight::id_of(&web(), &content);
        store.create_freight(&shop(), &web(), &id, &content, at(1)).await.unwrap().unwrap();
        writeln!(std::io::stdout().lock(), "\nstored {id}").unwrap();
    }
}

fn kill_in_mid_write(path: &Path) -> Vec<FreightId> {
    let name = "durability::what_was_acknowledged_survives_kill_9";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The last line may be cut short; what was not said was not promised.
        let id = line.strip_prefix("stored ").and_then(|id| id.parse().ok());
        acknowledged.extend(id);
        if acknowledged.len() == KILLED_AFTER && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(path) = std::env::var_os(CHILD) {
        return child(PathBuf::from(path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lockstep.db");
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        acknowledged.extend(kill_in_mid_write(&path));
        assert!(dir.path().join("lockstep.db-wal").metadata().unwrap().len() > 0, "unclean");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(path).await.unwrap();
        for id in &acknowledged {
            assert!(store.freight(&shop(), id).await.unwrap().is_some(), "{id} is lost");
        }
        store.verify_chain().await.unwrap();
        let page = Page { after: None, limit: 1 };
        let newest = store
            .list_freight(&shop(), &FreightFilter::default(), page)
            .await
            .unwrap()
            .items
            .remove(0);
        assert!(newest.freight.sequence >= i64::try_from(acknowledged.len()).unwrap());
    });
}

#[tokio::test]
async fn what_is_stored_is_there_after_a_clean_stop() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &freight, 2).await;
    let before = world.store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    let (path, events) = (world.path(), *world.store.changes().borrow());
    world.store.close().await;
    let closed = world.store.list_projects().await.unwrap_err();
    assert!(matches!(closed, StoreError::Closed), "{closed}");
    let closed = world.store.put_project(&project(), &change(3)).await.unwrap_err();
    assert_eq!(closed.to_string(), "the store is closed");
    assert!(!world.dir.path().join("lockstep.db-wal").exists(), "clean");
    let store = Store::open(path).await.unwrap();
    let after = store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    assert_eq!(*store.changes().borrow(), events);
}

#[tokio::test]
async fn what_is_under_way_is_looked_at_at_each_start() {
    let world = World::new().await;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 2).await);
    world.succeed(&dev(), &old, 3).await;
    let parked = world.promote(&dev(), &new, 4).await;
    world.prepare(&parked, &new, 5).await;
    // Nothing but a person moves it, as far as whoever looked last knew: nobody looks at it again.
    world.quiet(10).await;
    assert_eq!(world.due(1_000_000).await, Vec::<String>::new());
    // This one is to be looked at, much later.
    let later = world.promote(&prod(), &old, 11).await;
    let lease = world.lease(&later, 11).await;
    world.store.release(&lease, Some(at(2_000_000))).await.unwrap();
    world.quiet(12).await;
    let path = world.path();
    world.store.close().await;
    let store = Store::open(path).await.unwrap();
    let leases = store.claim("w", &[], LEASE, at(13), 10).await.unwrap();
    let mut keys: Vec<WakeKey> = leases.into_iter().map(|lease| lease.key).collect();
    keys.sort();
    let key = |id: &PromotionId| WakeKey::Promotion(shop(), id.clone());
    assert_eq!(keys, [key(&parked), key(&later)]);
}

#[tokio::test]
async fn two_daemons_cannot_share_a_database() {
    let world = World::empty().await;
    let error = Store::open(world.path()).await.err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    world.store.close().await;
    Store::open(world.path()).await.unwrap();
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    let world = World::new().await;
    for name in ["lockstep.db", "lockstep.db-wal", "lockstep.db-shm", "lockstep.db.lock"] {
        let mode = world.dir.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    world.store.close().await;
    std::fs::set_permissions(world.path(), std::fs::Permissions::from_mode(0o604)).unwrap();
    let error = Store::open(world.path()).await.err().unwrap();
    assert!(matches!(error, OpenError::Exposed { mode: 0o604, .. }), "{error}");
    assert!(error.to_string().contains("has mode 604"), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_not_used() {
    let world = World::new().await;
    let path = world.path();
    world.store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let page = 4096;
    assert!(bytes.len() > 8 * page);
    // Leaves the header and the schema, spoils what follows.
    for byte in &mut bytes[4 * page..] {
        *byte = 0xa5;
    }
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(world.dir.path().join("lockstep.db-wal"), b"left behind").unwrap();
    let wal = world.dir.path().join("lockstep.db-wal");
    std::fs::set_permissions(wal, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = Store::open(&path).await.err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Database { .. }), "{error}");
}

#[tokio::test]
async fn work_that_fails_does_not_harm_its_neighbours() {
    let world = World::empty().await;
    world.store.put_project(&project(), &creating(0)).await.unwrap();
    world.store.put_warehouse(&shop(), &warehouse(), &creating(0)).await.unwrap();
    let work = (0..100).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move {
            if n % 3 == 0 {
                // Refused inside the same batches.
                store.put_project(&project(), &creating(1)).await.unwrap_err();
                return 0;
            }
            let content = artifacts(&format!("1.0.{n}"));
            let id = Freight::id_of(&web(), &content);
            store.create_freight(&shop(), &web(), &id, &content, at(1)).await.unwrap().unwrap();
            1
        })
    });
    let mut made = 0;
    for work in work.collect::<Vec<_>>() {
        made += work.await.unwrap();
    }
    let page = Page { after: None, limit: 1000 };
    let listed =
        world.store.list_freight(&shop(), &FreightFilter::default(), page).await.unwrap().items;
    assert_eq!(listed.len(), made);
    assert_eq!(listed[0].freight.sequence, i64::try_from(made).unwrap(), "no number was lost");
    world.store.verify_chain().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_work() {
    let world = World::empty().await;
    let project = project();
    let change = creating(0);
    let mut put = Box::pin(world.store.put_project(&project, &change));
    // Polled once, so that it is queued; then dropped.
    let once = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::future::Future::poll(put.as_mut(), context).is_pending())
    });
    once.await;
    drop(put);
    let again = world.store.put_project(&project, &change).await.unwrap_err();
    assert_eq!(again.to_string(), "project shop exists already");
}

#[tokio::test]
async fn what_a_process_left_is_taken_up_by_the_next_one() {
    let world = World::empty().await;
    let key = WakeKey::Stage(shop(), dev());
    world.store.wake(&key, at(0)).await.unwrap();
    let left = world.store.claim("gone", &[], LEASE, at(0), 1).await.unwrap().remove(0);
    world.store.close().await;
    let store = Store::open(world.path()).await.unwrap();
    let lost = store.renew(&left, LEASE, at(1)).await.unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    let taken = store.claim("next", &[], LEASE, at(1), 1).await.unwrap().remove(0);
    assert_eq!(taken.key, key);
    assert!(taken.epoch > left.epoch);
}
