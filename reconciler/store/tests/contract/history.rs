//! What was recorded of promotions that committed, and stages that are looked at together.

use std::collections::BTreeSet;
use std::time::Duration;

use reconciler_domain::id::StageName;
use reconciler_domain::preview::{Counted, History, Wanted};
use reconciler_domain::promotion::{Approval, Ending, Event};

use crate::world::{World, at, dev, finished, prod, shop};

fn wanted(stages: &[StageName], limit: u32) -> Wanted {
    Wanted { stages: stages.iter().cloned().collect(), limit, counted: None }
}

fn ids(history: &History) -> Vec<&str> {
    history.past.iter().map(|past| past.promotion.id.as_str()).collect()
}

/// Three promotions to dev and one to prod, of which one is under way, and one that never committed.
async fn past() -> World {
    let world = World::new().await;
    let first = world.freight("1.0.0", 1).await;
    let second = world.freight("1.1.0", 2).await;
    world.succeed(&dev(), &first, 10).await;
    world.succeed(&prod(), &first, 20).await;
    world.succeed(&dev(), &second, 30).await;
    let failed = world.promote(&dev(), &first, 40).await;
    world.prepare(&failed, &first, 40).await;
    world.commit(&failed, 41).await.unwrap();
    world.append(&failed, finished(Ending::Failed), 42).await.unwrap();
    let waits = world.promote(&prod(), &second, 50).await;
    world.prepare(&waits, &second, 50).await;
    world
}

#[tokio::test]
async fn the_newest_commits_are_read_with_what_was_decided_about() {
    let world = past().await;
    let store = &world.store;
    let both = store.history(&shop(), &wanted(&[dev(), prod()], 10)).await.unwrap();
    assert_eq!(ids(&both), ["dev.3", "dev.2", "prod.1", "dev.1"]);
    assert!(both.is_whole && both.unreadable.is_empty());
    let last = &both.past[0];
    assert_eq!(last.state.committed_at, Some(at(41)));
    assert_eq!(last.state.change_set.as_ref().unwrap().digest, "d1");
    assert_eq!(last.state.finish, None, "what came after the commit is not read");
    assert_eq!(last.facts.freight.id, last.promotion.freight);
    let two = store.history(&shop(), &wanted(&[dev()], 2)).await.unwrap();
    assert_eq!((ids(&two), two.is_whole), (vec!["dev.3", "dev.2"], false));
    let none = store.history(&shop(), &wanted(&["qa".parse().unwrap()], 2)).await.unwrap();
    assert_eq!((ids(&none), none.is_whole), (vec![], true));
    // Of many stages the project is walked through instead.
    let many: Vec<StageName> = (0..40).map(|n| format!("s{n}").parse().unwrap()).collect();
    let many: Vec<StageName> = many.into_iter().chain([dev(), prod()]).collect();
    let walked = store.history(&shop(), &wanted(&many, 10)).await.unwrap();
    assert_eq!((ids(&walked), walked.is_whole), (ids(&both), true));
    let walked = store.history(&shop(), &wanted(&many, 3)).await.unwrap();
    assert_eq!((walked.past.len(), walked.is_whole), (3, false));
}

#[tokio::test]
async fn approvals_are_those_of_before_the_commit() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 10).await;
    world.prepare(&id, &freight, 10).await;
    let approval = Approval {
        by: "ann".to_owned(),
        groups: ["sre".to_owned()].into(),
        digest: "d1".to_owned(),
        comment: None,
        signed: None,
    };
    world.append(&id, Event::Approved(approval.clone()), 11).await.unwrap();
    world.append(&id, Event::Probed { moved: Vec::new() }, 12).await.unwrap();
    world.commit(&id, 13).await.unwrap();
    let history = world.store.history(&shop(), &wanted(&[dev()], 10)).await.unwrap();
    assert_eq!(history.past[0].state.approvals, [approval]);
}

#[tokio::test]
async fn commits_that_rates_count_reach_back_far_enough() {
    let world = past().await;
    let counted = async |stages: &[StageName], limit: u32, seconds: u64| {
        let counted = Counted {
            stages: stages.iter().cloned().collect(),
            before: Duration::from_secs(seconds),
        };
        let wanted = Wanted { counted: Some(counted), ..wanted(&[dev()], limit) };
        let history = world.store.history(&shop(), &wanted).await.unwrap();
        let commits = history.commits.iter();
        let told = commits.map(|commit| format!("{} {:?}", commit.promotion, commit.ended_at));
        let told: BTreeSet<String> =
            told.map(|it| it.replace("Some(", "").replace(')', "")).collect();
        (told.into_iter().collect::<Vec<_>>(), history.commits_since)
    };
    let over = |id: &str, second: i64| format!("{id} {}", at(second));
    // The newest one before is there, because it might have been under way.
    let (told, since) = counted(&[dev()], 1, 5).await;
    assert_eq!(told, [over("dev.2", 30), over("dev.3", 42)]);
    assert_eq!(since, Some(at(36)));
    let (told, since) = counted(&[dev(), prod()], 2, 15).await;
    assert_eq!(told, [over("dev.1", 10), over("dev.2", 30), over("dev.3", 42), over("prod.1", 20)]);
    assert_eq!(since, Some(at(15)));
}

#[tokio::test]
async fn a_damaged_log_is_told_and_hides_no_other() {
    let world = past().await;
    let damage = "DROP TRIGGER promotion_event_fixed;
        UPDATE promotion_event SET event = '{\"event\":\"prepared\",7}'
        WHERE promotion = 'dev.2' AND seq = 2";
    world.raw().execute_batch(damage).unwrap();
    let history = world.store.history(&shop(), &wanted(&[dev()], 10)).await.unwrap();
    assert_eq!(ids(&history), ["dev.3", "dev.1"]);
    let unreadable = &history.unreadable[0];
    assert_eq!((unreadable.promotion.as_str(), unreadable.committed_at), ("dev.2", at(30)));
    assert!(unreadable.why.contains("entry 2"), "{}", unreadable.why);
}

#[tokio::test]
async fn stages_that_are_looked_at_together_are_what_each_is() {
    let world = past().await;
    let names: BTreeSet<StageName> = [dev(), prod(), "gone".parse().unwrap()].into();
    let together = world.store.stage_snapshots(&shop(), &names).await.unwrap();
    let mut each = Vec::new();
    for name in &names {
        let found = world.store.stage_snapshot(&shop(), name).await.unwrap();
        each.extend(found.map(|found| found.value));
    }
    assert_eq!(format!("{:#?}", together.value), format!("{each:#?}"));
    let ended = &together.value[0].ended;
    assert_eq!(ended.len(), 2, "{ended:?}");
}
