use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::freight::Freight;
use reconciler_domain::id::{StageName, WarehouseName};
use reconciler_domain::policy::{Across, Most, Policy, Rate};
use reconciler_domain::promotion::{Ending, Event, Phase};
use reconciler_domain::snapshot::Committed;
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::NewPromotion;

use crate::world::{
    World, artifacts, at, change, dev, finished, new_promotion, policy, prod, shop, stage, using,
    verification, warehouse, web,
};

async fn changed_at(world: &World) -> Timestamp {
    let snapshot = world.store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap();
    snapshot.value.definitions_changed_at
}

#[tokio::test]
async fn every_definition_that_selects_or_feeds_a_stage_counts_as_its_change() {
    let world = World::new().await;
    let store = &world.store;
    assert_eq!(changed_at(&world).await, at(0));
    let mut spec = warehouse();
    spec.require = Some("true".to_owned());
    store.put_warehouse(&shop(), &spec, &change(1)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(1), "warehouse");
    let mut spec = stage(&dev(), &[]);
    spec.vars.insert("a".to_owned(), "1".to_owned());
    store.put_stage(&shop(), &spec, &change(2)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(2), "upstream");
    store.put_policy(&shop(), &policy("p", &["pr*"]), &change(3)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(3), "policy");
    store.put_policy(&shop(), &policy("other", &["dev"]), &change(4)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(3), "a policy of other stages");
    let (p, q) = ("p".parse().unwrap(), "q".parse().unwrap());
    store.rename_policy(&shop(), &p, &q, &change(5)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(5), "rename");
    store.put_policy(&shop(), &policy("q", &["dev"]), &change(6)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(6), "a policy that selected it");
    store.put_policy(&shop(), &policy("q", &["prod"]), &change(7)).await.unwrap();
    store.delete_policy(&shop(), &q, &change(8)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(8), "deletion");
    let mut spec = stage(&prod(), &[dev()]);
    spec.vars.insert("a".to_owned(), "1".to_owned());
    store.put_stage(&shop(), &spec, &change(9)).await.unwrap();
    assert_eq!(changed_at(&world).await, at(9), "itself");
}

fn rated(name: &str, stages: &[&str], count: u32, across: Across) -> Policy {
    let most = Some(Most { count, per: Duration::from_secs(60) });
    let (name, concurrent) = (name.to_owned(), Some(1));
    let rate = Rate { name: name.clone(), most, cooldown: None, concurrent, across };
    Policy { rates: vec![rate], ..policy(&name, stages) }
}

async fn commits(world: &World, stage: &StageName) -> Vec<String> {
    let snapshot = world.store.stage_snapshot(&shop(), stage).await.unwrap().unwrap();
    let line = |commit: &Committed| {
        let over = if commit.over { " over" } else { "" };
        format!("{} {}{over}", commit.promotion, commit.at.as_second() - at(0).as_second())
    };
    let mut lines: Vec<String> = snapshot.value.commits.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn rates_see_the_commits_that_they_count() {
    let world = World::new().await;
    let store = &world.store;
    let first = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &first, 2).await;
    let second = world.freight("1.1.0", 3).await;
    world.succeed(&dev(), &second, 4).await;
    let third = world.freight("1.2.0", 5).await;
    let id = world.promote(&dev(), &third, 6).await;
    assert_eq!(commits(&world, &dev()).await, [""; 0], "no policy has a rate");
    store.put_policy(&shop(), &rated("p", &["dev"], 1, Across::Stage), &change(7)).await.unwrap();
    assert_eq!(commits(&world, &dev()).await, ["dev.1 2 over", "dev.2 4 over"]);
    assert_eq!(commits(&world, &prod()).await, [""; 0], "it selects another stage");
    store.put_policy(&shop(), &rated("p", &["*"], 1, Across::Policy), &change(8)).await.unwrap();
    world.prepare(&id, &third, 9).await;
    world.commit(&id, 10).await.unwrap();
    assert_eq!(commits(&world, &prod()).await, ["dev.2 4 over", "dev.3 10"]);
    let snapshot = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
    assert_eq!(snapshot.value.0.commits.len(), 2);
    // Whoever waits for the end of it looks again.
    world.quiet(11).await;
    world.append(&id, finished(Ending::Failed), 12).await.unwrap();
    assert!(world.due(12).await.contains(&"stage/shop/prod".to_owned()));
}

#[tokio::test]
async fn what_a_rate_counts_among_many_others_is_found() {
    let world = World::new().await;
    let store = &world.store;
    let first = world.freight("1.0.0", 1).await;
    world.succeed(&prod(), &first, 2).await;
    for number in 3..8 {
        let next = world.freight(&format!("1.{number}.0"), number).await;
        world.succeed(&dev(), &next, number).await;
    }
    let under_way = world.freight("2.0.0", 8).await;
    let id = world.promote(&prod(), &under_way, 8).await;
    world.prepare(&id, &under_way, 8).await;
    world.commit(&id, 9).await.unwrap();
    let put = async |policy: &Policy| {
        store.put_policy(&shop(), policy, &change(10)).await.unwrap();
    };
    put(&rated("p", &["*"], 1, Across::Policy)).await;
    assert_eq!(commits(&world, &dev()).await, ["dev.4 6 over", "dev.5 7 over", "prod.2 9"]);
    // More than were ever made: all of them, each once.
    put(&rated("p", &["*"], 100, Across::Policy)).await;
    assert_eq!(commits(&world, &prod()).await.len(), 7);
    // A stage that is gone counts for nobody any more.
    store.delete_stage(&shop(), &prod(), &change(11)).await.unwrap_err();
    world.append(&id, finished(Ending::Failed), 12).await.unwrap();
    store.delete_stage(&shop(), &prod(), &change(13)).await.unwrap();
    assert_eq!(commits(&world, &dev()).await.len(), 5);
}

#[tokio::test]
async fn a_stage_sees_new_freight_and_what_is_there_however_old() {
    let world = World::new().await;
    let first = world.freight("0.0.1", 1).await;
    world.succeed(&dev(), &first, 2).await;
    for n in 0..120 {
        world.freight(&format!("1.0.{n}"), 3).await;
    }
    let snapshot = world.store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap();
    let value = snapshot.value;
    assert_eq!(value.freight.len(), 101);
    assert_eq!(value.freight[0].freight.id, first.id);
    assert!(value.freight.is_sorted_by_key(|facts| facts.freight.sequence));
    assert_eq!(value.current[&web()], first.id);
    assert_eq!(value.ended[&first.id].ending, Ending::Succeeded);
    assert_eq!(snapshot.revision, world.store.revision(&shop()).await.unwrap());
}

#[tokio::test]
async fn the_last_ending_of_a_freight_counts() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &freight, 2).await;
    let again = world.promote(&dev(), &freight, 3).await;
    world.append(&again, finished(Ending::Aborted), 4).await.unwrap();
    let running = world.promote(&dev(), &freight, 5).await;
    let value = world.store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap().value;
    assert_eq!(value.ended[&freight.id].ending, Ending::Aborted);
    assert_eq!(value.running.len(), 1);
    assert_eq!(
        (&value.running[0].promotion.id, value.running[0].phase),
        (&running, Phase::Preparing)
    );
}

#[tokio::test]
async fn a_promotion_sees_what_it_is_judged_by() {
    let world = World::new().await;
    let store = &world.store;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 1).await);
    store.put_verification(&shop(), &verification("smoke"), &change(1)).await.unwrap();
    store.put_verification(&shop(), &verification("other"), &change(1)).await.unwrap();
    store.put_stage(&shop(), &using("smoke", stage(&dev(), &[])), &change(1)).await.unwrap();
    store.put_policy(&shop(), &policy("p", &["dev"]), &change(1)).await.unwrap();
    let before = world.succeed(&dev(), &old, 2).await;
    let id = world.promote(&dev(), &new, 3).await;
    world.prepare(&id, &new, 3).await;
    let (value, last_seq) = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap().value;
    assert_eq!((value.state.phase(), last_seq), (Phase::Waiting, 2));
    assert_eq!(value.stage.unwrap().generation, 2);
    assert_eq!(value.policies[0].spec.name.as_str(), "p");
    let templates: Vec<_> = value.templates.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(templates, ["smoke"]);
    assert_eq!(value.facts.freight, new);
    assert_eq!(value.current[&web()], old);
    assert_eq!(value.previous.unwrap().promotion, before);
    assert_eq!(value.slot, None);
    world.commit(&id, 4).await.unwrap();
    let (value, _) = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap().value;
    assert_eq!(value.slot, Some(id));
}

#[tokio::test]
async fn an_undo_goes_back_to_what_is_really_there() {
    let world = World::new().await;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 1).await);
    world.succeed(&dev(), &old, 2).await;
    // This one got in and was then given up without an undo: the stage holds what never succeeded.
    let given_up = world.promote(&dev(), &new, 3).await;
    world.prepare(&given_up, &new, 3).await;
    world.commit(&given_up, 3).await.unwrap();
    world
        .append(
            &given_up,
            Event::Verifying { checks: Vec::new(), replaced: None, unusable: None },
            4,
        )
        .await
        .unwrap();
    world.append(&given_up, finished(Ending::Failed), 5).await.unwrap();
    let id = world.promote(&dev(), &old, 6).await;
    let (value, _) = world.store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap().value;
    assert_eq!(value.current[&web()], old, "the last that succeeded");
    assert_eq!(value.previous, None, "none that succeeded is there");
}

#[tokio::test]
async fn a_promotion_outlives_its_stage() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.succeed(&prod(), &freight, 2).await;
    world.store.delete_stage(&shop(), &prod(), &change(3)).await.unwrap();
    let (value, _) = world.store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap().value;
    assert_eq!(value.stage, None);
    assert_eq!(value.state.phase(), Phase::Ended(Ending::Succeeded));
    assert!(world.store.stage_snapshot(&shop(), &prod()).await.unwrap().is_none());
    let gone = "prod.9".parse().unwrap();
    assert!(world.store.promotion_snapshot(&shop(), &gone).await.unwrap().is_none());
}

#[tokio::test]
async fn a_warehouse_sees_its_freight() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let value = world.store.warehouse_snapshot(&shop(), &web()).await.unwrap().unwrap().value;
    assert_eq!(value.freight.into_iter().collect::<Vec<_>>(), [freight.id]);
    assert_eq!((value.discovered.len(), value.refresh_asked_at), (0, None));
}

#[tokio::test]
async fn decisions_see_control_flow_stages_on_the_way_and_the_hold_of_the_stage() {
    let world = World::new().await;
    let store = &world.store;
    let qa = "qa".parse::<StageName>().unwrap();
    let mut passing = stage(&qa, &[dev()]);
    passing.steps.clear();
    store.put_stage(&shop(), &passing, &change(1)).await.unwrap();
    store.put_stage(&shop(), &stage(&prod(), std::slice::from_ref(&qa)), &change(1)).await.unwrap();
    let freight = world.freight("1.0.0", 2).await;
    let seen = store.stage_snapshot(&shop(), &prod()).await.unwrap().unwrap().value;
    assert_eq!(seen.freight[0].passed_on[&qa], passing.requests[0]);
    assert_eq!(seen.freight[0].passed_on.len(), 1, "dev has steps");
    let mut new = new_promotion(&prod(), &freight.id);
    new.hold = Some("look first".to_owned());
    let id = store.create_promotion(&shop(), &new, at(3)).await.unwrap().id;
    let (seen, _) = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap().value;
    assert_eq!(seen.facts.passed_on[&qa], passing.requests[0]);
    assert_eq!(seen.automatic_hold.unwrap().reason, "look first");
}

#[tokio::test]
async fn the_first_promotions_to_a_stage_bring_each_others_freight() {
    let world = World::new().await;
    let store = &world.store;
    let data = "data".parse::<WarehouseName>().unwrap();
    let other = Warehouse { name: data.clone(), ..warehouse() };
    store.put_warehouse(&shop(), &other, &change(1)).await.unwrap();
    let content = artifacts("2.0.0");
    let id = Freight::id_of(&data, &content);
    let made = store.create_freight(&shop(), &data, &id, &content, at(2)).await.unwrap().unwrap();
    let first = world.freight("1.0.0", 2).await;
    let first = world.promote(&dev(), &first, 3).await;
    let new = NewPromotion { warehouse: data.clone(), ..new_promotion(&dev(), &made.id) };
    store.create_promotion(&shop(), &new, at(4)).await.unwrap();
    let (seen, _) = store.promotion_snapshot(&shop(), &first).await.unwrap().unwrap().value;
    assert_eq!(seen.current[&data], made);
    assert!(!seen.current.contains_key(&web()), "its own warehouse's freight is its own");
}
