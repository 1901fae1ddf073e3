//! Promotions that bring freight of several warehouses as one unit.

use indexmap::IndexMap;
use reconciler_domain::freight::Freight;
use reconciler_domain::id::{FreightId, PromotionId, WarehouseName};
use reconciler_domain::promotion::{Ending, Event, Frozen};
use reconciler_domain::stage::{Matching, Request, Stage};
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::{CreatePromotionError, NewPromotion, Page, PromotionFilter};

use crate::world::{
    World, artifacts, at, creating, dev, finished, new_promotion, prepare_started, prepared, shop,
    stage, warehouse, web,
};

fn data() -> WarehouseName {
    "data".parse().unwrap()
}

fn pair() -> Stage {
    let mut stage = stage(&"pair".parse().unwrap(), &[]);
    let (direct, from, matching) = (true, Vec::new(), Matching::Any);
    stage.requests.push(Request { warehouse: data(), direct, from, matching });
    stage
}

/// A world in which stage `pair` requests two warehouses.
async fn world() -> World {
    let world = World::new().await;
    let other = Warehouse { name: data(), ..warehouse() };
    world.store.put_warehouse(&shop(), &other, &creating(1)).await.unwrap();
    world.store.put_stage(&shop(), &pair(), &creating(1)).await.unwrap();
    world
}

async fn data_freight(world: &World, tag: &str) -> Freight {
    let artifacts = artifacts(tag);
    let id = Freight::id_of(&data(), &artifacts);
    let made = world.store.create_freight(&shop(), &data(), &id, &artifacts, at(2)).await;
    made.unwrap().unwrap()
}

fn unit(leading: &FreightId, along: &FreightId) -> NewPromotion {
    NewPromotion { along: [(data(), along.clone())].into(), ..new_promotion(&pair().name, leading) }
}

async fn finish(world: &World, id: &PromotionId, web: &Freight, data: &Freight, ending: Ending) {
    let Event::PrepareStarted(started) = prepare_started(pair(), web) else { unreachable!() };
    let collection = [web, data].map(|freight| (freight.warehouse.clone(), freight.clone()));
    let collection = IndexMap::from(collection);
    let frozen = Frozen { collection, ..*started };
    world.append(id, Event::PrepareStarted(Box::new(frozen)), 5).await.unwrap();
    world.append(id, prepared(web), 5).await.unwrap();
    world.commit(id, 5).await.unwrap();
    let verifying = Event::Verifying { checks: Vec::new(), replaced: None, unusable: None };
    world.append(id, verifying, 5).await.unwrap();
    world.append(id, finished(ending), 5).await.unwrap();
}

#[tokio::test]
async fn what_comes_along_is_promoted_like_what_leads() {
    let world = world().await;
    let (leading, along) = (world.freight("1.0.0", 2).await, data_freight(&world, "5.0.0").await);
    let new = unit(&leading.id, &along.id);
    let id = world.store.create_promotion(&shop(), &new, at(3)).await.unwrap().id;

    let (snapshot, _) = world.store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap().value;
    assert_eq!(snapshot.facts.freight.id, leading.id);
    assert_eq!(snapshot.along.len(), 1);
    assert_eq!(snapshot.along[0].freight.id, along.id);
    let coming = world.store.whereabouts(&shop()).await.unwrap().coming;
    let coming: Vec<_> = coming.into_iter().map(|coming| coming.freight.id).collect();
    assert_eq!(coming, [leading.id.clone(), along.id.clone()]);
    for freight in [&leading.id, &along.id] {
        let filter =
            PromotionFilter { freight: Some(freight.clone()), ..PromotionFilter::default() };
        let page = Page { after: None, limit: 10 };
        let listed = world.store.list_promotions(&shop(), &filter, page).await.unwrap();
        assert_eq!(listed.items.len(), 1, "of {freight}");
    }

    finish(&world, &id, &leading, &along, Ending::Succeeded).await;
    let stage = world.store.stage_snapshot(&shop(), &pair().name).await.unwrap().unwrap().value;
    assert_eq!(stage.current, [(web(), leading.id.clone()), (data(), along.id.clone())].into());
    for freight in [&leading, &along] {
        let facts = stage.freight.iter().find(|facts| facts.freight.id == freight.id).unwrap();
        assert!(facts.verified_in.contains_key(&pair().name));
        assert_eq!(stage.ended[&freight.id].ending, Ending::Succeeded);
    }
    assert_eq!(stage.ended[&leading.id].beside, [(data(), along.id.clone())].into());
    assert_eq!(stage.ended[&along.id].beside, [(web(), leading.id.clone())].into());
    // Several stages are looked at in another way.
    let both = [dev(), pair().name].into();
    let both = world.store.stage_snapshots(&shop(), &both).await.unwrap().value;
    assert_eq!(both[1].ended, stage.ended);
    assert!(both[0].ended.is_empty());
}

#[tokio::test]
async fn what_it_goes_back_to_is_known_by_what_came_along() {
    let world = world().await;
    let (leading, along) = (world.freight("1.0.0", 2).await, data_freight(&world, "5.0.0").await);
    let new = unit(&leading.id, &along.id);
    let first = world.store.create_promotion(&shop(), &new, at(3)).await.unwrap().id;
    finish(&world, &first, &leading, &along, Ending::Succeeded).await;
    // Newer leading freight is left there by a promotion that failed: of the last success only what came along
    // is there.
    let newer = world.freight("1.1.0", 6).await;
    let alone = new_promotion(&pair().name, &newer.id);
    let second = world.store.create_promotion(&shop(), &alone, at(6)).await.unwrap().id;
    finish(&world, &second, &newer, &along, Ending::Failed).await;
    let third = world.store.create_promotion(&shop(), &alone, at(7)).await.unwrap().id;
    let (snapshot, _) =
        world.store.promotion_snapshot(&shop(), &third).await.unwrap().unwrap().value;
    assert_eq!(snapshot.previous.unwrap().promotion, first);
}

#[tokio::test]
async fn a_unit_takes_the_place_of_its_parts_and_says_so() {
    let world = world().await;
    let (leading, along) = (world.freight("1.0.0", 2).await, data_freight(&world, "5.0.0").await);
    let alone = new_promotion(&pair().name, &leading.id);
    let first = world.store.create_promotion(&shop(), &alone, at(3)).await.unwrap().id;
    let new = NewPromotion { supersedes: vec![first.clone()], ..unit(&leading.id, &along.id) };
    let second = world.store.create_promotion(&shop(), &new, at(4)).await.unwrap().id;
    let newer = data_freight(&world, "5.1.0").await;
    let new = NewPromotion { supersedes: vec![second.clone()], ..unit(&leading.id, &newer.id) };
    world.store.create_promotion(&shop(), &new, at(5)).await.unwrap();
    let said = async |id: &PromotionId| {
        let (_, log) = world.store.promotion(&shop(), id).await.unwrap().unwrap();
        let Event::Finished(finish) = &log.last().unwrap().event else { panic!("{id} goes on") };
        finish.message.clone()
    };
    let (one, two) = (leading.id.short(), newer.id.short());
    assert_eq!(
        said(&first).await,
        format!("it goes on as promotion pair.2 of freight {one} with {}", along.id.short())
    );
    assert_eq!(said(&second).await, format!("freight {one} with {two} took its place with pair.3"));
}

#[tokio::test]
async fn what_comes_along_has_to_be_of_its_warehouse() {
    let world = world().await;
    let leading = world.freight("1.0.0", 2).await;
    let new = unit(&leading.id, &leading.id);
    let refused = world.store.create_promotion(&shop(), &new, at(3)).await.unwrap_err();
    assert!(matches!(refused, CreatePromotionError::NoFreight { .. }), "{refused}");
}
