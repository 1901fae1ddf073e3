//! Freezes of every project: who sees them, what they wake, and what they stop.

use reconciler_domain::freeze::{Exceptions, Freeze, Reach, actions_default};
use reconciler_domain::id::{FreezeName, ProjectName, StageName};
use reconciler_store::{DeleteError, Outcome, Project, PutError, StoreError, Subject};

use crate::world::{World, at, change, creating, dev, prod, project, shop, stage};

fn lab() -> ProjectName {
    "lab".parse().unwrap()
}

fn audit() -> FreezeName {
    "audit".parse().unwrap()
}

/// A freeze of everything but these projects.
fn freeze(except: &[&str]) -> Freeze {
    let projects = except.iter().map(|&project| project.to_owned()).collect();
    Freeze {
        name: audit(),
        reach: Reach::Instance,
        reason: "books close".to_owned(),
        from: Some(at(2)),
        until: Some(at(100)),
        window: None,
        actions: actions_default(),
        except: Exceptions { projects, ..Exceptions::default() },
    }
}

/// `shop` with two stages and `lab` with one, nothing due.
async fn two_projects() -> World {
    let world = World::new().await;
    add(&world, &lab()).await;
    world.quiet(1).await;
    world
}

async fn add(world: &World, name: &ProjectName) {
    let other = Project { name: name.clone(), ..project() };
    world.store.put_project(&other, &creating(0)).await.unwrap();
    world.store.put_stage(name, &stage(&dev(), &[]), &creating(0)).await.unwrap();
}

async fn seen(world: &World, project: &ProjectName, stage: &StageName) -> Vec<Freeze> {
    let snapshot = world.store.stage_snapshot(project, stage).await.unwrap().unwrap().value;
    snapshot.freezes.into_iter().map(|freeze| freeze.spec).collect()
}

#[tokio::test]
async fn it_wakes_and_touches_what_it_stops_in_every_project_and_they_see_it() {
    let world = two_projects().await;
    let store = &world.store;
    let touched = async |project: &ProjectName, stage: StageName| {
        store.token(project, &[Subject::Stage(stage)]).await.unwrap()
    };
    let (in_shop, in_lab) = (touched(&shop(), dev()).await, touched(&lab(), dev()).await);
    let put = store.put_instance_freeze(&freeze(&["la*"]), &creating(2)).await.unwrap();
    assert_eq!((put.outcome, put.stored.generation), (Outcome::Created, 1));
    assert_eq!(world.due(2).await, ["stage/shop/dev", "stage/shop/prod"], "lab is excepted");
    assert!(touched(&shop(), dev()).await > in_shop);
    assert_eq!(touched(&lab(), dev()).await, in_lab);
    assert_eq!(seen(&world, &shop(), &prod()).await, [freeze(&["la*"])]);
    assert_eq!(seen(&world, &lab(), &dev()).await, []);
    let same = store.put_instance_freeze(&freeze(&["la*"]), &change(3)).await.unwrap();
    assert_eq!(same.outcome, Outcome::Unchanged);
    world.quiet(3).await;

    // Both where it was and where it is now.
    store.put_instance_freeze(&freeze(&["shop"]), &change(4)).await.unwrap();
    assert_eq!(world.due(4).await, ["stage/lab/dev", "stage/shop/dev", "stage/shop/prod"]);
    assert!(touched(&lab(), dev()).await > in_lab);
    assert_eq!(seen(&world, &shop(), &prod()).await, []);

    // A project that comes later is frozen from its first moment on.
    let late = "late".parse().unwrap();
    add(&world, &late).await;
    assert_eq!(seen(&world, &late, &dev()).await, [freeze(&["shop"])]);
    world.quiet(4).await;

    let token = store.instance_token(&Subject::InstanceFreeze(audit())).await.unwrap();
    store.delete_instance_freeze(&audit(), &change(5)).await.unwrap();
    assert_eq!(world.due(5).await, ["stage/lab/dev", "stage/late/dev"]);
    assert_eq!(seen(&world, &lab(), &dev()).await, []);
    assert!(store.instance_token(&Subject::InstanceFreeze(audit())).await.unwrap() > token);
    let again = store.put_instance_freeze(&freeze(&[]), &creating(6)).await.unwrap();
    assert_eq!(again.stored.generation, 3, "the generation of a name only rises");
    let events = store.events(None, token, 10).await.unwrap();
    let ours = events.iter().filter(|event| event.project.is_none());
    let said: Vec<&str> = ours.map(|event| event.kind.as_str()).collect();
    assert_eq!(said, ["instance_freeze.deleted", "instance_freeze.created"]);
    store.verify_chain().await.unwrap();
}

#[tokio::test]
async fn it_stands_beside_a_freeze_of_a_project_with_its_name() {
    let world = two_projects().await;
    let own = Freeze { reach: Reach::Project, ..freeze(&[]) };
    world.store.put_freeze(&shop(), &own, &creating(2)).await.unwrap();
    world.store.put_instance_freeze(&freeze(&[]), &creating(2)).await.unwrap();
    assert_eq!(seen(&world, &shop(), &dev()).await, [own, freeze(&[])]);
    world.store.delete_freeze(&shop(), &audit(), &change(3)).await.unwrap();
    assert_eq!(seen(&world, &shop(), &dev()).await, [freeze(&[])]);
}

#[tokio::test]
async fn what_was_meant_has_to_be_there() {
    let world = two_projects().await;
    let store = &world.store;
    let meant =
        |generation| change(3).precondition(reconciler_store::Precondition::Generation(generation));
    let put = store.put_instance_freeze(&freeze(&[]), &meant(1)).await;
    assert!(matches!(put, Err(PutError::NotFound { what: "instance freeze", .. })), "{put:?}");
    store.put_instance_freeze(&freeze(&[]), &creating(2)).await.unwrap();
    let put = store.put_instance_freeze(&freeze(&["lab"]), &creating(3)).await;
    assert!(matches!(put, Err(PutError::AlreadyExists { .. })), "{put:?}");
    let put = store.put_instance_freeze(&freeze(&["lab"]), &meant(2)).await;
    assert!(matches!(put, Err(PutError::Conflict { generation: 1, .. })), "{put:?}");
    let gone = store.delete_instance_freeze(&audit(), &meant(2)).await;
    assert!(matches!(gone, Err(DeleteError::Conflict { generation: 1, .. })), "{gone:?}");
    assert_eq!(store.list_instance_freezes().await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn one_that_comes_in_between_stops_commits_and_starts_of_every_project() {
    let world = two_projects().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 1).await;
    world.prepare(&id, &freight, 1).await;
    let judged = world.store.revision(&shop()).await.unwrap();
    let in_lab = world.store.revision(&lab()).await.unwrap();
    world.store.put_instance_freeze(&freeze(&[]), &creating(2)).await.unwrap();
    assert!(world.store.revision(&lab()).await.unwrap() > in_lab);
    let lease = world.lease(&id, 3).await;
    let seq = world.last_seq(&id).await;
    let committed =
        world.store.commit_promotion(&shop(), &id, &lease, seq, judged, Vec::new(), at(3)).await;
    let error = committed.unwrap_err().to_string();
    assert!(error.contains("judge the gates again"), "{error}");
    let new = reconciler_store::NewPromotion {
        revision: Some(judged),
        ..crate::world::new_promotion(&prod(), &freight.id)
    };
    let started = world.store.create_promotion(&shop(), &new, at(3)).await;
    assert!(started.unwrap_err().to_string().contains("decide again"));
    let judged = world.store.revision(&shop()).await.unwrap();
    let committed =
        world.store.commit_promotion(&shop(), &id, &lease, seq, judged, Vec::new(), at(3)).await;
    committed.unwrap();
}

#[tokio::test]
async fn a_damaged_one_lets_nothing_go_anywhere() {
    let world = two_projects().await;
    let store = &world.store;
    store.put_instance_freeze(&freeze(&["lab"]), &creating(1)).await.unwrap();
    world.quiet(1).await;
    // One that says of itself that it is of a project would be asked for nowhere.
    let own = serde_json::to_string(&Freeze { reach: Reach::Project, ..freeze(&[]) }).unwrap();
    for spec in ["x", own.as_str()] {
        world.raw().execute("UPDATE instance_freeze SET spec = ?1", [spec]).unwrap();
        for (project, stage) in [(shop(), prod()), (lab(), dev())] {
            match store.stage_snapshot(&project, &stage).await {
                Err(StoreError::Unreadable(unreadable)) => {
                    assert_eq!(unreadable.what, "instance freeze audit");
                }
                Ok(_) | Err(_) => panic!("it was read"),
            }
        }
        assert_eq!(store.list_instance_freezes().await.unwrap().unreadable.len(), 1);
    }
    store.delete_instance_freeze(&audit(), &change(2)).await.unwrap();
    let all = ["stage/lab/dev", "stage/shop/dev", "stage/shop/prod"];
    assert_eq!(world.due(2).await, all, "it may be of any");
    store.stage_snapshot(&lab(), &dev()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_waits_in_any_project_is_found_at_once() {
    let world = two_projects().await;
    let freight = world.freight("1.0.0", 1).await;
    let waiting = async || {
        let found = world.store.waiting_anywhere().await.unwrap();
        let said = found.iter().map(|it| format!("{} {}", it.project, it.promotion.id));
        said.collect::<Vec<_>>()
    };
    let first = world.promote(&dev(), &freight, 1).await;
    world.prepare(&first, &freight, 1).await;
    assert_eq!(waiting().await, ["shop dev.1"]);
    world.commit(&first, 2).await.unwrap();
    assert_eq!(waiting().await, [""; 0], "it has the slot");
    let second = world.promote(&prod(), &freight, 3).await;
    assert_eq!(waiting().await, ["shop prod.1"]);
    let over = crate::world::finished(reconciler_domain::promotion::Ending::Aborted);
    world.append(&second, over, 4).await.unwrap();
    assert_eq!(waiting().await, [""; 0], "it is over");
}
