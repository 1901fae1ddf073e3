use reconciler_domain::stage::Stage;
use reconciler_domain::task::Task;
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::{DeleteError, Outcome, Precondition, Project, PutError, RenameError, Store};

use crate::world::{
    World, alice, at, change, creating, dev, doing, policy, prod, project, shop, stage, task,
    using, verification, warehouse, web,
};

async fn generation(store: &Store) -> u64 {
    store.get_stage(&shop(), &dev()).await.unwrap().unwrap().generation
}

#[tokio::test]
async fn a_generation_rises_with_changes_only() {
    let world = World::new().await;
    let mut spec = stage(&dev(), &[]);
    let again = world.store.put_stage(&shop(), &spec, &change(5)).await.unwrap();
    assert_eq!((again.outcome, again.stored.generation), (Outcome::Unchanged, 1));
    assert_eq!(again.stored.changed_at, at(0));
    spec.vars.insert("region".to_owned(), "eu".to_owned());
    let changed = world.store.put_stage(&shop(), &spec, &change(6)).await.unwrap();
    assert_eq!((changed.outcome, changed.stored.generation), (Outcome::Changed, 2));
    assert_eq!((changed.stored.created_at, changed.stored.changed_at), (at(0), at(6)));
    let stored = world.store.get_stage(&shop(), &dev()).await.unwrap().unwrap();
    assert_eq!(stored, changed.stored);
}

#[tokio::test]
async fn who_writes_against_an_old_generation_hears_who_was_first() {
    let world = World::new().await;
    let mut spec = stage(&dev(), &[]);
    spec.vars.insert("a".to_owned(), "1".to_owned());
    let first = change(5).precondition(Precondition::Generation(1));
    world.store.put_stage(&shop(), &spec, &first).await.unwrap();
    spec.vars.insert("a".to_owned(), "2".to_owned());
    let error = world.store.put_stage(&shop(), &spec, &first).await.unwrap_err();
    let PutError::Conflict { generation, changed_by, changed_at, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((generation, changed_by, changed_at), (2, alice(), at(5)));
    let error = world.store.put_stage(&shop(), &spec, &creating(6)).await.unwrap_err();
    assert_eq!(error.to_string(), "stage dev exists already");
}

#[tokio::test]
async fn a_generation_that_is_gone_cannot_be_changed() {
    let world = World::new().await;
    let spec = stage(&"eu".parse().unwrap(), &[]);
    let on = change(1).precondition(Precondition::Generation(1));
    let error = world.store.put_stage(&shop(), &spec, &on).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no stage eu to change; it was deleted meanwhile");
    let nowhere = "nowhere".parse().unwrap();
    let error = world.store.put_stage(&nowhere, &spec, &change(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no project nowhere; make it first");
}

#[tokio::test]
async fn generations_go_on_after_a_deletion() {
    let world = World::new().await;
    let eu = "eu".parse().unwrap();
    world.store.put_stage(&shop(), &stage(&eu, &[]), &creating(1)).await.unwrap();
    world.store.delete_stage(&shop(), &eu, &change(2)).await.unwrap();
    let again = world.store.put_stage(&shop(), &stage(&eu, &[]), &creating(3)).await.unwrap();
    assert_eq!((again.outcome, again.stored.generation), (Outcome::Created, 2));
}

#[tokio::test]
async fn a_check_against_an_old_revision_is_refused() {
    let world = World::new().await;
    let checked = world.store.definitions(&shop()).await.unwrap().unwrap();
    let on = |t| change(t).revision(checked.revision);
    let spec = stage(&"eu".parse().unwrap(), &[]);
    let other = stage(&"us".parse().unwrap(), &[]);
    // What is no definition is nothing to check against.
    world.freight("1.0.0", 1).await;
    world.store.put_stage(&shop(), &other, &on(1)).await.unwrap();
    let error = world.store.put_stage(&shop(), &spec, &on(1)).await.unwrap_err();
    assert!(
        matches!(error, PutError::Moved { revision: now } if now > checked.revision),
        "{error}"
    );
}

#[tokio::test]
async fn definitions_that_were_read_are_never_old() {
    let world = World::new().await;
    let stages = async || {
        let known = world.store.definitions(&shop()).await.unwrap().unwrap();
        known.value.stages.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(stages().await, "dev prod");
    let eu = "eu".parse().unwrap();
    world.store.put_stage(&shop(), &stage(&eu, &[]), &creating(1)).await.unwrap();
    assert_eq!(stages().await, "dev eu prod");
    let before = world.store.definitions(&shop()).await.unwrap().unwrap();
    world.freight("1.0.0", 1).await;
    let after = world.store.definitions(&shop()).await.unwrap().unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &after), "nothing of it changed");
    world.store.delete_stage(&shop(), &eu, &change(2)).await.unwrap();
    assert_eq!(stages().await, "dev prod");
}

fn in_use(error: DeleteError) -> String {
    match error {
        DeleteError::InUse { .. } => error.to_string(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_others_need_stays() {
    let world = World::new().await;
    let store = &world.store;
    store.put_verification(&shop(), &verification("smoke"), &creating(1)).await.unwrap();
    store.put_stage(&shop(), &using("smoke", stage(&prod(), &[dev()])), &change(1)).await.unwrap();
    let refused = store.delete_project(&shop(), &change(2)).await.unwrap_err();
    assert_eq!(
        in_use(refused),
        "project shop is in use by stage dev, stage prod, verification smoke, warehouse web; \
         remove or change that first"
    );
    let refused = store.delete_warehouse(&shop(), &web(), &change(2)).await.unwrap_err();
    assert_eq!(
        in_use(refused),
        "warehouse web is in use by stage dev, stage prod; remove or change that first"
    );
    let smoke = "smoke".parse().unwrap();
    let refused = store.delete_verification(&shop(), &smoke, &change(2)).await.unwrap_err();
    assert_eq!(
        in_use(refused),
        "verification smoke is in use by stage prod; remove or change that first"
    );
    store.put_task(&shop(), &task("inner", &[]), &creating(1)).await.unwrap();
    store.put_task(&shop(), &task("outer", &["inner"]), &creating(1)).await.unwrap();
    store
        .put_stage(&shop(), &doing(&["inner"], stage(&prod(), &[dev()])), &change(1))
        .await
        .unwrap();
    let refused = store.delete_task(&shop(), &"inner".parse().unwrap(), &change(2)).await;
    assert_eq!(
        in_use(refused.unwrap_err()),
        "task inner is in use by stage prod, task outer; remove or change that first"
    );
    store.delete_task(&shop(), &"outer".parse().unwrap(), &change(2)).await.unwrap();
    let freight = world.freight("1.0.0", 2).await;
    world.promote(&dev(), &freight, 2).await;
    let refused = store.delete_stage(&shop(), &dev(), &change(2)).await.unwrap_err();
    assert_eq!(
        in_use(refused),
        "stage dev is in use by promotion dev.1, stage prod; remove or change that first"
    );
}

#[tokio::test]
async fn a_project_goes_with_its_history_and_its_numbers_stay() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &freight, 2).await;
    store.delete_stage(&shop(), &prod(), &change(3)).await.unwrap();
    store.delete_stage(&shop(), &dev(), &change(3)).await.unwrap();
    store.delete_warehouse(&shop(), &web(), &change(3)).await.unwrap();
    store.delete_project(&shop(), &change(4)).await.unwrap();
    assert_eq!(store.list_projects().await.unwrap().items, []);
    assert_eq!(store.freight(&shop(), &freight.id).await.unwrap(), None);
    store.put_project(&project(), &creating(5)).await.unwrap();
    store.put_warehouse(&shop(), &warehouse(), &creating(5)).await.unwrap();
    store.put_stage(&shop(), &stage(&dev(), &[]), &creating(5)).await.unwrap();
    let freight = world.freight("1.0.0", 6).await;
    assert_eq!(freight.sequence, 2);
    assert_eq!(world.promote(&dev(), &freight, 7).await.as_str(), "dev.2");
    store.verify_chain().await.unwrap();
}

#[tokio::test]
async fn a_change_wakes_whom_it_concerns() {
    let world = World::new().await;
    let store = &world.store;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&prod(), &freight, 1).await;
    assert_eq!(id.as_str(), "prod.1");
    world.quiet(1).await;

    store.put_warehouse(&shop(), &warehouse(), &change(2)).await.unwrap();
    assert_eq!(world.due(2).await, [""; 0], "nothing changed");

    let mut spec = warehouse();
    spec.require = Some("true".to_owned());
    store.put_warehouse(&shop(), &spec, &change(2)).await.unwrap();
    let all = ["promotion/shop/prod.1", "stage/shop/dev", "stage/shop/prod", "warehouse/shop/web"];
    assert_eq!(world.due(2).await, all);

    let mut spec = stage(&dev(), &[]);
    spec.vars.insert("a".to_owned(), "1".to_owned());
    store.put_stage(&shop(), &spec, &change(3)).await.unwrap();
    assert_eq!(world.due(3).await, all[..3]);

    store.put_policy(&shop(), &policy("p", &["pro*"]), &change(4)).await.unwrap();
    assert_eq!(world.due(4).await, ["promotion/shop/prod.1", "stage/shop/prod"]);
    store.put_policy(&shop(), &policy("p", &["dev"]), &change(5)).await.unwrap();
    assert_eq!(world.due(5).await, all[..3], "old and new selection");
    store.delete_policy(&shop(), &"p".parse().unwrap(), &change(6)).await.unwrap();
    assert_eq!(world.due(6).await, ["stage/shop/dev"]);

    let smoke = verification("smoke");
    store.put_verification(&shop(), &smoke, &change(7)).await.unwrap();
    assert_eq!(world.due(7).await, [""; 0]);
    store.put_stage(&shop(), &using("smoke", spec), &change(7)).await.unwrap();
    world.quiet(7).await;
    let slower = reconciler_domain::verification::Verification { count: 3, ..smoke };
    store.put_verification(&shop(), &slower, &change(8)).await.unwrap();
    assert_eq!(world.due(8).await, ["stage/shop/dev"]);
}

#[tokio::test]
async fn a_task_wakes_the_stages_that_use_it_and_is_seen_there() {
    let world = World::new().await;
    let store = &world.store;
    store.put_task(&shop(), &task("inner", &[]), &creating(1)).await.unwrap();
    store.put_task(&shop(), &task("outer", &["inner"]), &creating(1)).await.unwrap();
    store.put_task(&shop(), &task("other", &[]), &creating(1)).await.unwrap();
    store.put_stage(&shop(), &doing(&["outer"], stage(&dev(), &[])), &change(1)).await.unwrap();
    let freight = world.freight("1.0.0", 2).await;
    let promotion = world.promote(&dev(), &freight, 2).await;
    world.quiet(2).await;
    store.put_task(&shop(), &task("other", &["inner"]), &change(3)).await.unwrap();
    assert_eq!(world.due(3).await, [""; 0]);
    let changed = Task { description: "another".to_owned(), ..task("inner", &[]) };
    store.put_task(&shop(), &changed, &change(4)).await.unwrap();
    assert_eq!(
        world.due(4).await,
        [format!("promotion/shop/{promotion}"), "stage/shop/dev".to_owned()]
    );
    let (seen, _) = store.promotion_snapshot(&shop(), &promotion).await.unwrap().unwrap().value;
    assert_eq!(seen.tasks, [changed, task("outer", &["inner"])]);
    let stage = store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap().value;
    assert_eq!(stage.definitions_changed_at, at(4), "automation lets a change of a task settle");
}

#[tokio::test]
async fn a_policy_is_renamed_in_place() {
    let world = World::new().await;
    let store = &world.store;
    let (p, q) = ("p".parse().unwrap(), "q".parse().unwrap());
    store.put_policy(&shop(), &policy("p", &["prod"]), &creating(1)).await.unwrap();
    world.quiet(1).await;
    let on = change(2).precondition(Precondition::Generation(1));
    let renamed = store.rename_policy(&shop(), &p, &q, &on).await.unwrap();
    assert_eq!((renamed.spec.name.as_str(), renamed.generation), ("q", 2));
    assert_eq!(renamed.created_at, at(1));
    assert_eq!(store.get_policy(&shop(), &p).await.unwrap(), None);
    assert_eq!(store.get_policy(&shop(), &q).await.unwrap(), Some(renamed));
    assert_eq!(world.due(2).await, ["stage/shop/prod"]);
    store.put_policy(&shop(), &policy("p", &["dev"]), &creating(3)).await.unwrap();
    let error = store.rename_policy(&shop(), &p, &q, &change(3)).await.unwrap_err();
    assert!(matches!(error, RenameError::AlreadyExists { .. }), "{error}");
    let gone = "gone".parse().unwrap();
    let error = store.rename_policy(&shop(), &gone, &q, &change(3)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no policy gone");
}

#[tokio::test]
async fn deletions_heed_the_generation() {
    let world = World::new().await;
    let on = change(1).precondition(Precondition::Generation(7));
    let error = world.store.delete_stage(&shop(), &prod(), &on).await.unwrap_err();
    assert!(matches!(error, DeleteError::Conflict { generation: 1, .. }), "{error}");
    assert_eq!(generation(&world.store).await, 1);
    let gone = "gone".parse().unwrap();
    let error = world.store.delete_stage(&shop(), &gone, &change(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no stage gone");
}

#[tokio::test]
async fn what_is_protected_is_not_deleted() {
    let world = World::new().await;
    let store = &world.store;
    let protect = |deletion_protection| Stage { deletion_protection, ..stage(&prod(), &[dev()]) };
    store.put_stage(&shop(), &protect(true), &change(1)).await.unwrap();
    let error = store.delete_stage(&shop(), &prod(), &change(2)).await.unwrap_err();
    assert!(matches!(error, DeleteError::Protected { changed_at, .. } if changed_at == at(1)));
    let protected = Project { deletion_protection: true, ..project() };
    store.put_project(&protected, &change(2)).await.unwrap();
    let error = store.delete_project(&shop(), &change(3)).await.unwrap_err();
    assert!(matches!(error, DeleteError::Protected { .. }), "before what is in it: {error}");
    let protected = Warehouse { deletion_protection: true, ..warehouse() };
    store.put_warehouse(&shop(), &protected, &change(3)).await.unwrap();
    let error = store.delete_warehouse(&shop(), &web(), &change(4)).await.unwrap_err();
    assert!(matches!(error, DeleteError::Protected { .. }), "{error}");
    // A change seen too late is told first: the protection may be what changed.
    let on = change(4).precondition(Precondition::Generation(1));
    let error = store.delete_stage(&shop(), &prod(), &on).await.unwrap_err();
    assert!(matches!(error, DeleteError::Conflict { .. }), "{error}");
    store.put_stage(&shop(), &protect(false), &change(5)).await.unwrap();
    store.delete_stage(&shop(), &prod(), &change(6)).await.unwrap();
}

#[tokio::test]
async fn definitions_are_read_as_of_one_revision() {
    let world = World::new().await;
    let all = world.store.definitions(&shop()).await.unwrap().unwrap();
    assert_eq!(
        all.value.stages.keys().map(reconciler_domain::id::StageName::as_str).collect::<Vec<_>>(),
        ["dev", "prod"]
    );
    assert_eq!(all.value.warehouses[&web()].spec, warehouse());
    let nowhere = "nowhere".parse().unwrap();
    assert_eq!(world.store.definitions(&nowhere).await.unwrap(), None);
}
