use reconciler_domain::artifact::Artifact;
use reconciler_domain::freight::{Freight, FreightFilter};
use reconciler_domain::hold::ArtifactMatch;
use reconciler_domain::id::{FreightId, Principal};
use reconciler_domain::warehouse::{Discovery, DiscoveryError};
use reconciler_store::{CreateFreightError, FindFreightError, FreightError, Page, RecordError};

use crate::world::{World, alice, artifacts, at, change, dev, prod, shop, warehouse, web};

#[tokio::test]
async fn freight_is_made_once_and_wakes_the_stages_that_request_it() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    assert_eq!((freight.sequence, freight.created_at), (1, at(1)));
    assert_eq!(world.due(1).await, ["stage/shop/dev", "stage/shop/prod"]);
    let content = artifacts("1.0.0");
    let again =
        world.store.create_freight(&shop(), &web(), &freight.id, &content, at(2)).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(world.due(2).await, [""; 0]);
    let facts = world.store.freight(&shop(), &freight.id).await.unwrap().unwrap();
    assert_eq!(facts.freight, freight);
    let gone = "gone".parse().unwrap();
    let id = Freight::id_of(&gone, &content);
    let error = world.store.create_freight(&shop(), &gone, &id, &content, at(2)).await.unwrap_err();
    assert!(matches!(error, CreateFreightError::NoWarehouse { .. }), "{error}");
}

#[tokio::test]
async fn freight_is_found_by_the_beginning_of_its_id() {
    let world = World::new().await;
    let ids = ["abcd1", "abcd2", "abce3"].map(|start| format!("{start:0<40}"));
    for (n, id) in ids.iter().enumerate() {
        let content = artifacts(&format!("1.0.{n}"));
        let id: FreightId = id.parse().unwrap();
        world.store.create_freight(&shop(), &web(), &id, &content, at(1)).await.unwrap().unwrap();
    }
    let find = async |text: &'static str| world.store.find_freight(&shop(), text).await;
    assert_eq!(find("abce").await.unwrap().freight.id.as_str(), ids[2]);
    assert_eq!(find("abcd10").await.unwrap().freight.id.as_str(), ids[0]);
    let whole = world.store.find_freight(&shop(), &ids[1]).await.unwrap();
    assert_eq!(whole.freight.id.as_str(), ids[1]);
    let error = find("abcd").await.unwrap_err();
    assert!(matches!(&error, FindFreightError::Ambiguous { ids, .. } if ids.len() == 2), "{error}");
    for text in ["abc", "", "xyz1", "ABCE", "abc_", "ab%e"] {
        let error = find(text).await.unwrap_err();
        assert!(matches!(error, FindFreightError::TooShort { .. }), "{text}: {error}");
    }
    assert_eq!(find("ffff").await.unwrap_err().to_string(), "there is no freight ffff");
}

#[tokio::test]
async fn long_lists_come_in_pages_newest_first() {
    let world = World::new().await;
    for n in 1..=5 {
        world.freight(&format!("1.0.{n}"), n).await;
    }
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page = Page { after, limit: 2 };
        let listed = world
            .store
            .list_freight(&shop(), &FreightFilter::of_warehouse(web()), page)
            .await
            .unwrap();
        pages.push(listed.items.iter().map(|f| f.freight.sequence).collect::<Vec<_>>());
        match listed.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(pages, [vec![5, 4], vec![3, 2], vec![1]]);
    let other = "other".parse().unwrap();
    let page = Page { after: None, limit: 2 };
    let other = FreightFilter::of_warehouse(other);
    assert_eq!(world.store.list_freight(&shop(), &other, page).await.unwrap().items, []);
    let all = FreightFilter::default();
    assert_eq!(world.store.list_freight(&shop(), &all, page).await.unwrap().items.len(), 2);
}

/// The sequences of what a filter admits, all pages together.
async fn listed(world: &World, filter: &FreightFilter, limit: u32) -> Vec<i64> {
    let mut page = Page { after: None, limit };
    let mut found = Vec::new();
    loop {
        let listed = world.store.list_freight(&shop(), filter, page).await.unwrap();
        assert!(listed.items.len() <= limit as usize, "{filter:?}");
        found.extend(listed.items.iter().map(|facts| facts.freight.sequence));
        page.after = listed.next;
        if page.after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_list_holds_what_is_asked_for() {
    let world = World::new().await;
    let mut made = Vec::new();
    for (tag, second) in [("1.0.0", 1), ("1.1.0", 2), ("1.2.0", 3), ("2.0.0", 4), ("nightly", 5)] {
        made.push(world.freight(tag, second).await);
    }
    for n in [0, 1, 3] {
        world.succeed(&dev(), &made[n], 6).await;
    }
    let version = |range: &str| ArtifactMatch {
        version: Some(range.parse().unwrap()),
        ..ArtifactMatch::default()
    };
    let artifacts = |artifacts| FreightFilter { artifacts, ..FreightFilter::default() };
    let all = FreightFilter::default();
    let verified = FreightFilter { verified_in: Some(dev()), ..all.clone() };
    for (filter, expected) in [
        (all.clone(), vec![5, 4, 3, 2, 1]),
        (FreightFilter::of_warehouse(web()), vec![5, 4, 3, 2, 1]),
        (artifacts(version("^1.1")), vec![3, 2]),
        (
            artifacts(ArtifactMatch { digest: Some(made[4].id.to_string()), ..Default::default() }),
            vec![],
        ),
        (
            artifacts(ArtifactMatch {
                digest: Some("sha256:nightly".to_owned()),
                ..Default::default()
            }),
            vec![5],
        ),
        (verified.clone(), vec![4, 2, 1]),
        (FreightFilter { artifacts: version("<2.0.0"), ..verified.clone() }, vec![2, 1]),
        (FreightFilter { verified_in: Some(prod()), ..all.clone() }, vec![]),
        (FreightFilter { current_in: Some(dev()), ..all.clone() }, vec![4]),
        (
            FreightFilter { current_in: Some(dev()), artifacts: version("^1"), ..all.clone() },
            vec![],
        ),
        (FreightFilter { current_in: Some(prod()), ..all.clone() }, vec![]),
        (FreightFilter { created_from: Some(at(3)), ..all.clone() }, vec![5, 4, 3]),
        (FreightFilter { created_until: Some(at(3)), ..all.clone() }, vec![3, 2, 1]),
        (
            FreightFilter { created_from: Some(at(2)), created_until: Some(at(4)), ..verified },
            vec![4, 2],
        ),
        (FreightFilter { created_from: Some(at(6)), ..all }, vec![]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(listed(&world, &filter, limit).await, expected, "{limit} of {filter:?}");
        }
    }
}

#[tokio::test]
async fn a_page_looks_at_so_much_and_no_more() {
    let world = World::new().await;
    let oldest = world.freight("1.0.0", 1).await;
    let raw = world.raw();
    raw.execute_batch("BEGIN").unwrap();
    for n in 2..=4_200 {
        raw.execute(
            "INSERT INTO freight (project, id, warehouse, sequence, artifacts, created_at) \
             SELECT project, $1, warehouse, $2, replace(artifacts, '1.0.0', '2.0.0'), created_at + $2 \
             FROM freight WHERE sequence = 1",
            (format!("{n:040x}"), n),
        )
        .unwrap();
    }
    raw.execute_batch("COMMIT").unwrap();
    let version = Some("^1".parse().unwrap());
    let artifacts = ArtifactMatch { version, ..ArtifactMatch::default() };
    for created_from in [None, Some(at(1))] {
        let filter =
            FreightFilter { artifacts: artifacts.clone(), created_from, ..Default::default() };
        let mut page = Page { after: None, limit: 10 };
        let mut pages = Vec::new();
        loop {
            let found = world.store.list_freight(&shop(), &filter, page).await.unwrap();
            pages.push((found.items.len(), found.next));
            page.after = found.next;
            if page.after.is_none() {
                assert_eq!(found.items[0].freight.id, oldest.id);
                break;
            }
        }
        assert_eq!(pages, [(0, Some(2_201)), (0, Some(201)), (1, None)], "{created_from:?}");
    }
}

#[tokio::test]
async fn an_approval_is_noted_once_and_wakes_the_stage() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.quiet(1).await;
    let store = &world.store;
    let events = store.verify_chain().await.unwrap().seq;
    for second in [2, 3] {
        store
            .approve_freight(&shop(), &freight.id, &prod(), &alice(), "hotfix", at(second))
            .await
            .unwrap();
    }
    assert_eq!(store.verify_chain().await.unwrap().seq, events + 1);
    assert_eq!(world.due(3).await, ["stage/shop/prod"]);
    let facts = store.freight(&shop(), &freight.id).await.unwrap().unwrap();
    assert_eq!(facts.approved_for.into_iter().collect::<Vec<_>>(), [(prod(), at(2))]);
    let gone = "gone".parse().unwrap();
    let error = store
        .approve_freight(&shop(), &freight.id, &gone, &alice(), "hotfix", at(4))
        .await
        .unwrap_err();
    assert!(matches!(error, FreightError::NoStage { .. }), "{error}");
}

#[tokio::test]
async fn freight_that_passes_a_stage_wakes_the_next() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.quiet(1).await;
    world.store.mark_verified(&shop(), &freight.id, &dev(), at(2)).await.unwrap();
    world.store.mark_verified(&shop(), &freight.id, &dev(), at(3)).await.unwrap();
    assert_eq!(world.due(3).await, ["stage/shop/prod"]);
    let facts = world.store.freight(&shop(), &freight.id).await.unwrap().unwrap();
    assert_eq!(facts.verified_in.into_iter().collect::<Vec<_>>(), [(dev(), at(2))]);
}

fn found(tags: &[&str], second: i64) -> Discovery {
    let versions: Vec<Artifact> =
        tags.iter().flat_map(|tag| artifacts(tag).into_values().collect::<Vec<_>>()).collect();
    Discovery { versions, newest_seen_at: None, looked_at: Some(at(second)), error: None }
}

#[tokio::test]
async fn a_look_at_a_source_is_news_only_if_it_differs() {
    let world = World::new().await;
    let store = &world.store;
    let api = "api".parse().unwrap();
    let failed = |second| Discovery {
        error: Some(DiscoveryError {
            message: "no answer".to_owned(),
            failures: 1,
            retry_at: None,
        }),
        ..found(&["1.0.0"], second)
    };
    let looks = [
        (found(&["1.0.0"], 1), 1),
        (found(&["1.0.0"], 2), 0),
        (failed(3), 1),
        (failed(4), 0),
        (found(&["1.1.0", "1.0.0"], 5), 1),
    ];
    for (look, news) in looks {
        let before = *store.changes().borrow();
        store.record_discovery(&shop(), &web(), &api, 1, &look, at(6)).await.unwrap();
        assert_eq!(*store.changes().borrow() - before, news, "{look:?}");
        assert_eq!(store.discoveries(&shop(), &web()).await.unwrap()["api"], look);
    }
}

#[tokio::test]
async fn a_look_at_a_source_that_was_replaced_is_refused_and_forgotten() {
    let world = World::new().await;
    let store = &world.store;
    let api = "api".parse().unwrap();
    let look = found(&["1.0.0"], 1);
    store.record_discovery(&shop(), &web(), &api, 1, &look, at(1)).await.unwrap();
    let mut spec = warehouse();
    spec.require = Some("true".to_owned());
    store.put_warehouse(&shop(), &spec, &change(2)).await.unwrap();
    assert_eq!(store.discoveries(&shop(), &web()).await.unwrap().len(), 1, "same source");
    let error = store.record_discovery(&shop(), &web(), &api, 1, &look, at(3)).await.unwrap_err();
    assert!(matches!(error, RecordError::Stale { .. }), "{error}");
    let mut text = serde_json::to_value(&spec).unwrap();
    text["subscriptions"]["api"]["repo"] = "registry.example/other".into();
    let spec = serde_json::from_value(text).unwrap();
    store.put_warehouse(&shop(), &spec, &change(4)).await.unwrap();
    assert_eq!(store.discoveries(&shop(), &web()).await.unwrap().len(), 0, "another source");
}

#[tokio::test]
async fn a_refresh_wakes_the_warehouse() {
    let world = World::new().await;
    world.store.ask_refresh(&shop(), &web(), &Principal::Automation, at(5)).await.unwrap();
    assert_eq!(world.due(5).await, ["warehouse/shop/web"]);
    let snapshot = world.store.warehouse_snapshot(&shop(), &web()).await.unwrap().unwrap();
    assert_eq!(snapshot.value.refresh_asked_at, Some(at(5)));
    let gone = "gone".parse().unwrap();
    assert!(world.store.ask_refresh(&shop(), &gone, &alice(), at(5)).await.is_err());
}
