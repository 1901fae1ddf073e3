use reconciler_domain::id::Principal;
use reconciler_domain::policy::{GateKind, Policy};
use reconciler_domain::promotion::{
    Approval, BypassRequest, Ending, Event, Finish, Phase, Skipped,
};
use reconciler_store::{
    AppendError, CreatePromotionError, NewPromotion, Page, PromotionFilter, PromotionRow,
};

use crate::world::{
    LEASE, World, alice, at, change, creating, dev, finished, new_promotion, policy,
    prepare_started, prepared, prod, shop, stage,
};

const PAGE: Page = Page { after: None, limit: 100 };

async fn row(world: &World, id: &str) -> PromotionRow {
    let all = PromotionFilter::default();
    let rows = world.store.list_promotions(&shop(), &all, PAGE).await.unwrap().items;
    rows.into_iter().find(|row| row.promotion.id.as_str() == id).unwrap()
}

fn abort() -> Event {
    Event::AbortRequested { by: alice(), reason: "no".to_owned() }
}

#[tokio::test]
async fn numbers_rise_in_the_stage() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    assert_eq!(world.promote(&dev(), &freight, 2).await.as_str(), "dev.1");
    assert_eq!(world.promote(&prod(), &freight, 2).await.as_str(), "prod.1");
    assert_eq!(world.promote(&dev(), &freight, 2).await.as_str(), "dev.2");
}

#[tokio::test]
async fn a_promotion_needs_its_stage_and_freight() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let gone = new_promotion(&"gone".parse().unwrap(), &freight.id);
    let error = world.store.create_promotion(&shop(), &gone, at(2)).await.unwrap_err();
    assert!(matches!(error, CreatePromotionError::NoStage { .. }), "{error}");
    let strange =
        NewPromotion { warehouse: "other".parse().unwrap(), ..new_promotion(&dev(), &freight.id) };
    let error = world.store.create_promotion(&shop(), &strange, at(2)).await.unwrap_err();
    assert!(matches!(error, CreatePromotionError::NoFreight { .. }), "{error}");
    let revision = world.store.revision(&shop()).await.unwrap();
    let late = NewPromotion { revision: Some(revision - 1), ..new_promotion(&dev(), &freight.id) };
    let error = world.store.create_promotion(&shop(), &late, at(2)).await.unwrap_err();
    assert!(matches!(error, CreatePromotionError::Moved { .. }), "{error}");
    assert_eq!(world.promote(&dev(), &freight, 3).await.as_str(), "dev.1", "no number was used");
}

#[tokio::test]
async fn a_stale_epoch_cannot_append() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    let first = world.lease(&id, 2).await;
    let started = || prepare_started(stage(&dev(), &[]), &freight);
    let began = world.store.append(&shop(), &id, Some(&first), 0, started(), at(3)).await.unwrap();
    assert_eq!((began.entry.seq, began.entry.at), (1, at(3)));
    let after = 2 + i64::try_from(LEASE.as_secs()).unwrap();
    let second = world.lease(&id, after).await;
    assert!(second.epoch > first.epoch);
    let error = world
        .store
        .append(&shop(), &id, Some(&first), 1, prepared(&freight), at(after))
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error}");
    let revision = world.store.revision(&shop()).await.unwrap();
    let error = world
        .store
        .commit_promotion(&shop(), &id, &first, 1, revision, Vec::new(), at(after))
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error}");
    world
        .store
        .append(&shop(), &id, Some(&second), 1, prepared(&freight), at(after))
        .await
        .unwrap();
    world.store.release(&second, None).await.unwrap();
    let error =
        world.store.append(&shop(), &id, Some(&second), 2, abort(), at(after)).await.unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "given back: {error}");
}

#[tokio::test]
async fn the_lease_of_another_promotion_is_no_right() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let (mine, other) =
        (world.promote(&dev(), &freight, 2).await, world.promote(&dev(), &freight, 2).await);
    let lease = world.lease(&mine, 2).await;
    let error =
        world.store.append(&shop(), &other, Some(&lease), 0, abort(), at(3)).await.unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error}");
}

#[tokio::test]
async fn who_did_not_see_the_whole_log_looks_again() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    world.append(&id, abort(), 3).await.unwrap();
    let error = world.store.append(&shop(), &id, None, 0, abort(), at(3)).await.unwrap_err();
    assert!(matches!(error, AppendError::Moved { last_seq: 1, .. }), "{error}");
    let gone = "dev.99".parse().unwrap();
    let error = world.store.append(&shop(), &gone, None, 0, abort(), at(3)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no promotion dev.99");
}

#[tokio::test]
async fn events_follow_in_order_only() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    let early = Event::Verifying { checks: Vec::new(), replaced: None, unusable: None };
    let error = world.append(&id, early, 3).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "entry 1 (verifying) cannot happen while the promotion is preparing"
    );
    let error = world.append(&id, Event::Committed { skipped: Vec::new() }, 3).await.unwrap_err();
    assert!(matches!(error, AppendError::Guarded { .. }), "{error}");
    world.append(&id, finished(Ending::Failed), 3).await.unwrap();
    let error = world.append(&id, abort(), 3).await.unwrap_err();
    assert!(matches!(error, AppendError::Illegal(_)), "{error}");
    let (_, log) = world.store.promotion(&shop(), &id).await.unwrap().unwrap();
    assert_eq!(log.len(), 1);
}

#[tokio::test]
async fn a_stage_has_one_slot() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let first = world.promote(&dev(), &freight, 2).await;
    let second = world.promote(&dev(), &freight, 2).await;
    world.prepare(&first, &freight, 3).await;
    world.prepare(&second, &freight, 3).await;
    world.commit(&first, 4).await.unwrap();
    let error = world.commit(&second, 5).await.unwrap_err();
    assert!(matches!(&error, AppendError::SlotTaken { holder } if *holder == first), "{error}");
    assert_eq!(row(&world, "dev.2").await.phase, Phase::Waiting);
    let taken = world.raw().execute("UPDATE promotion SET slot = 1 WHERE id = 'dev.2'", []);
    assert!(taken.unwrap_err().to_string().contains("UNIQUE"), "the database holds it, too");
    world.append(&first, finished(Ending::Failed), 6).await.unwrap();
    world.commit(&second, 7).await.unwrap();
    assert_eq!(row(&world, "dev.2").await.phase, Phase::Committing);
}

#[tokio::test]
async fn rehearsals_are_in_nobodys_way() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let rehearsal = NewPromotion { rehearsal: true, ..new_promotion(&dev(), &freight.id) };
    let made = world.store.create_promotion(&shop(), &rehearsal, at(2)).await.unwrap();
    let seen = async || world.store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap().value;
    let snapshot = seen().await;
    assert_eq!((snapshot.running.len(), snapshot.rehearsals), (0, 1));
    let listed = async |rehearsal| {
        let filter = PromotionFilter { rehearsal, ..PromotionFilter::default() };
        let page = Page { after: None, limit: 10 };
        world.store.list_promotions(&shop(), &filter, page).await.unwrap().items.len()
    };
    assert_eq!(
        [listed(None).await, listed(Some(true)).await, listed(Some(false)).await],
        [1, 1, 0]
    );
    world.append(&made.id, finished(Ending::Rehearsed), 3).await.unwrap();
    let snapshot = seen().await;
    assert_eq!(
        (snapshot.ended.len(), snapshot.rehearsals),
        (0, 0),
        "it says nothing of the freight"
    );
    assert_eq!(row(&world, "dev.1").await.phase, Phase::Ended(Ending::Rehearsed));
}

#[tokio::test]
async fn what_is_sent_back_has_not_committed() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let first = world.promote(&dev(), &freight, 2).await;
    let second = world.promote(&dev(), &freight, 2).await;
    world.prepare(&first, &freight, 3).await;
    world.prepare(&second, &freight, 3).await;
    world.commit(&first, 4).await.unwrap();
    let commits = || {
        let counted = "SELECT COUNT(*) FROM promotion WHERE committed_at IS NOT NULL";
        world.raw().query_row(counted, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!(commits(), 1);
    let why = "the state was changed".to_owned();
    world.append(&first, Event::SentBack { why }, 5).await.unwrap();
    assert_eq!((row(&world, "dev.1").await.phase, commits()), (Phase::Waiting, 0));
    world.commit(&second, 6).await.unwrap();
    let why = "and again".to_owned();
    let error = world.append(&first, Event::SentBack { why }, 7).await.unwrap_err();
    assert!(matches!(error, AppendError::Illegal(_)), "{error}");
}

#[tokio::test]
async fn a_commit_needs_the_revision_it_was_decided_from() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    world.prepare(&id, &freight, 3).await;
    let lease = world.lease(&id, 3).await;
    let store = &world.store;
    let seen = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
    let hotfix = "hotfix";
    store.approve_freight(&shop(), &freight.id, &prod(), &alice(), hotfix, at(4)).await.unwrap();
    let stale = seen.revision;
    let error = store
        .commit_promotion(&shop(), &id, &lease, seen.value.1, stale, Vec::new(), at(4))
        .await
        .unwrap_err();
    let AppendError::Revision { revision } = error else { panic!("{error}") };
    assert_eq!(revision, seen.revision + 1);
    store
        .commit_promotion(&shop(), &id, &lease, seen.value.1, revision, Vec::new(), at(4))
        .await
        .unwrap();
}

#[tokio::test]
async fn so_does_an_end_that_follows_from_definitions() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    world.prepare(&id, &freight, 3).await;
    let lease = world.lease(&id, 3).await;
    let store = &world.store;
    let seen = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
    let longer = Policy { max_wait: Some(LEASE), ..policy("gate", &["dev"]) };
    store.put_policy(&shop(), &longer, &creating(4)).await.unwrap();
    let expired =
        || Event::Finished(Finish::new(Ending::Expired, "too long".to_owned(), Vec::new()));
    let (seq, stale) = (seen.value.1, seen.revision);
    let error =
        store.append_judged(&shop(), &id, &lease, seq, stale, expired(), at(5)).await.unwrap_err();
    let AppendError::Revision { revision } = error else { panic!("{error}") };
    let seen = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
    assert_eq!((seen.value.1, seen.value.0.state.phase()), (seq, Phase::Waiting));
    assert_eq!(seen.value.0.policies_changed_at, Some(at(4)));
    store.append_judged(&shop(), &id, &lease, seq, revision, expired(), at(6)).await.unwrap();
    let over = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
    assert_eq!(over.value.0.state.phase(), Phase::Ended(Ending::Expired));
}

#[tokio::test]
async fn a_policy_that_went_is_a_change_too() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    let store = &world.store;
    let changed = async || {
        let seen = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
        seen.value.0.policies_changed_at
    };
    assert_eq!(changed().await, None);
    let gate = policy("gate", &["dev"]);
    store.put_policy(&shop(), &gate, &creating(3)).await.unwrap();
    store.put_policy(&shop(), &policy("other", &["prod"]), &creating(4)).await.unwrap();
    assert_eq!(changed().await, Some(at(3)));
    store.delete_policy(&shop(), &gate.name, &change(5)).await.unwrap();
    assert_eq!(changed().await, Some(at(5)));
}

#[tokio::test]
async fn the_steps_of_others_do_not_disturb_a_decision() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    let revision = world.store.revision(&shop()).await.unwrap();
    world.prepare(&id, &freight, 3).await;
    assert_eq!(world.store.revision(&shop()).await.unwrap(), revision);
    world.commit(&id, 4).await.unwrap();
    assert!(world.store.revision(&shop()).await.unwrap() > revision);
}

#[tokio::test]
async fn what_an_event_means_is_written_with_it() {
    let world = World::new().await;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 2).await);
    let store = &world.store;
    world.succeed(&dev(), &old, 10).await;
    let facts = store.freight(&shop(), &old.id).await.unwrap().unwrap();
    assert!(facts.is_in(&dev()));
    assert_eq!(facts.verified_in[&dev()], at(10));
    world.quiet(10).await;

    let id = world.promote(&dev(), &new, 20).await;
    world.prepare(&id, &new, 20).await;
    world.commit(&id, 20).await.unwrap();
    world.quiet(20).await;
    world
        .append(&id, Event::Verifying { checks: Vec::new(), replaced: None, unusable: None }, 21)
        .await
        .unwrap();
    assert_eq!(world.due(21).await, ["promotion/shop/dev.2", "stage/shop/dev", "stage/shop/prod"]);
    let facts = store.freight(&shop(), &old.id).await.unwrap().unwrap();
    assert_eq!(facts.stays[&dev()][0].left_at, Some(at(21)));
    let there = store.occupants(&shop(), &dev()).await.unwrap();
    assert_eq!(there.len(), 1);
    assert_eq!((&there[0].freight, there[0].entered_at), (&new.id, at(21)));
    assert_eq!((there[0].promotion.as_str(), there[0].verified_at), ("dev.2", None));

    world.append(&id, finished(Ending::Stuck), 22).await.unwrap();
    let snapshot = store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap().value;
    let hold = snapshot.automatic_hold.unwrap();
    assert_eq!(hold.reason, "promotion dev.2 is stuck: done");
    assert_eq!((hold.by, hold.at), (Principal::Automation, at(22)));
    let row = row(&world, "dev.2").await;
    assert_eq!((row.phase, row.ended_at), (Phase::Ended(Ending::Stuck), Some(at(22))));
}

#[tokio::test]
async fn what_is_verified_anew_takes_the_slot_and_may_lose_its_verification() {
    let world = World::new().await;
    let store = &world.store;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 2).await);
    let id = world.succeed(&dev(), &old, 10).await;
    let waiting = world.promote(&dev(), &new, 20).await;
    world.prepare(&waiting, &new, 20).await;
    let anew = || Event::Reverifying { by: alice(), reason: None, checks: Vec::new() };
    let error = world.append(&waiting, anew(), 21).await.unwrap_err();
    assert!(matches!(error, AppendError::Illegal(_)), "{error}");

    world.append(&id, anew(), 30).await.unwrap();
    let reopened = row(&world, id.as_str()).await;
    assert_eq!((reopened.phase, reopened.ended_at), (Phase::Verifying, None));
    let error = world.commit(&waiting, 31).await.unwrap_err();
    assert!(matches!(&error, AppendError::SlotTaken { holder } if *holder == id), "{error}");
    // It is still the one that others go back to.
    let seen = store.promotion_snapshot(&shop(), &waiting).await.unwrap().unwrap().value.0;
    assert_eq!(seen.previous.map(|previous| previous.promotion), Some(id.clone()));

    world.append(&id, finished(Ending::Failed), 40).await.unwrap();
    let there = store.occupants(&shop(), &dev()).await.unwrap();
    assert_eq!((&there[0].freight, there[0].verified_at), (&old.id, None));
    let events = store.events(Some(&shop()), 0, 500).await.unwrap();
    let told = |kind: &str| {
        let event = events.iter().rfind(|event| event.kind == kind).unwrap();
        (event.actor.clone(), event.summary.clone())
    };
    let asked = (alice(), format!("alice had what promotion {id} brought verified anew"));
    assert_eq!(told("promotion.reverifying"), asked);
    let withdrawn = format!("stage dev no longer vouches for freight {}", old.id.short());
    assert_eq!(told("freight.withdrawn"), (Principal::Automation, withdrawn));
    world.commit(&waiting, 41).await.unwrap();
}

#[tokio::test]
async fn a_stay_that_goes_on_is_not_interrupted() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &freight, 10).await;
    world.succeed(&dev(), &freight, 20).await;
    let facts = world.store.freight(&shop(), &freight.id).await.unwrap().unwrap();
    assert_eq!(facts.stays[&dev()].len(), 1);
    assert_eq!(facts.stays[&dev()][0].entered_at, at(10));
    assert_eq!(facts.verified_in[&dev()], at(10));
}

#[tokio::test]
async fn a_newer_promotion_supersedes_those_that_have_not_committed() {
    let world = World::new().await;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 2).await);
    let first = world.promote(&dev(), &old, 3).await;
    world.prepare(&first, &old, 3).await;
    world.quiet(3).await;
    let newer = NewPromotion {
        supersedes: vec![first.clone()],
        hold: Some("by hand".to_owned()),
        requester: alice(),
        ..new_promotion(&dev(), &new.id)
    };
    world.store.create_promotion(&shop(), &newer, at(4)).await.unwrap();
    let ended = row(&world, "dev.1").await;
    assert_eq!(ended.phase, Phase::Ended(Ending::Superseded));
    assert_eq!(
        world.due(4).await,
        ["promotion/shop/dev.1", "promotion/shop/dev.2", "stage/shop/dev", "stage/shop/prod"]
    );
    let snapshot = world.store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap().value;
    assert_eq!(snapshot.automatic_hold.unwrap().by, alice());
    assert_eq!(snapshot.ended[&old.id].ending, Ending::Superseded);
    assert_eq!(snapshot.running.len(), 1);

    let freed = NewPromotion { release_hold: true, ..new_promotion(&dev(), &new.id) };
    world.store.create_promotion(&shop(), &freed, at(5)).await.unwrap();
    let snapshot = world.store.stage_snapshot(&shop(), &dev()).await.unwrap().unwrap().value;
    assert_eq!(snapshot.automatic_hold, None);
}

#[tokio::test]
async fn what_has_committed_is_not_superseded_and_nothing_else_is_either() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let waiting = world.promote(&dev(), &freight, 2).await;
    let committed = world.promote(&dev(), &freight, 2).await;
    world.prepare(&committed, &freight, 3).await;
    world.commit(&committed, 3).await.unwrap();
    let newer = NewPromotion {
        supersedes: vec![waiting.clone(), committed.clone()],
        ..new_promotion(&dev(), &freight.id)
    };
    let error = world.store.create_promotion(&shop(), &newer, at(4)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "promotion dev.2 cannot be superseded any more: it is committing"
    );
    assert_eq!(row(&world, "dev.1").await.phase, Phase::Preparing);
    // What the undone work had folded is forgotten with it.
    world.append(&waiting, abort(), 5).await.unwrap();
    let (_, log) = world.store.promotion(&shop(), &waiting).await.unwrap().unwrap();
    assert_eq!(log.len(), 1);
}

#[tokio::test]
async fn people_wake_the_promotion_and_stand_in_the_ledger() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    world.prepare(&id, &freight, 2).await;
    world.quiet(2).await;
    let approval = Approval {
        by: "bob".to_owned(),
        groups: ["ops".to_owned()].into(),
        digest: "d1".to_owned(),
        comment: None,
        signed: None,
    };
    world.append(&id, Event::Approved(approval), 3).await.unwrap();
    assert_eq!(world.due(3).await, ["promotion/shop/dev.1"]);
    let head = world.store.verify_chain().await.unwrap().seq;
    let event = world.store.events(Some(&shop()), head - 1, 10).await.unwrap().remove(0);
    assert_eq!(event.summary, "bob approved promotion dev.1 (d1)");
    assert_eq!(event.actor, Principal::Named("bob".to_owned()));
    assert_eq!(event.body["approval"]["groups"][0], "ops");
}

#[tokio::test]
async fn promotions_are_listed_by_what_they_are() {
    let world = World::new().await;
    let (old, new) = (world.freight("1.0.0", 1).await, world.freight("1.1.0", 1).await);
    world.succeed(&dev(), &old, 2).await;
    world.promote(&dev(), &new, 3).await;
    world.promote(&prod(), &old, 4).await;
    let ids = async |filter: PromotionFilter, page: Page| {
        let rows = world.store.list_promotions(&shop(), &filter, page).await.unwrap();
        let ids: Vec<String> = rows.items.iter().map(|row| row.promotion.id.to_string()).collect();
        (ids.join(" "), rows.next)
    };
    let all = PromotionFilter::default;
    assert_eq!(ids(all(), PAGE).await.0, "prod.1 dev.2 dev.1");
    let of_dev = PromotionFilter { stage: Some(dev()), ..all() };
    assert_eq!(ids(of_dev, PAGE).await.0, "dev.2 dev.1");
    let of_old = PromotionFilter { freight: Some(old.id.clone()), ..all() };
    assert_eq!(ids(of_old, PAGE).await.0, "prod.1 dev.1");
    let active = PromotionFilter { active: Some(true), ..all() };
    assert_eq!(ids(active, PAGE).await.0, "prod.1 dev.2");
    let over = PromotionFilter { active: Some(false), ..all() };
    assert_eq!(ids(over, PAGE).await.0, "dev.1");
    let (first, next) = ids(all(), Page { after: None, limit: 2 }).await;
    assert_eq!(first, "prod.1 dev.2");
    assert_eq!(ids(all(), Page { after: next, limit: 2 }).await, ("dev.1".to_owned(), None));
}

#[tokio::test]
async fn whoever_watches_hears_of_each_entry() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    let mut changes = world.store.changes();
    let before = *changes.borrow_and_update();
    world.append(&id, abort(), 3).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow(), before + 1);
    let entries = world.store.log(&shop(), &id, 0, 10).await.unwrap();
    assert_eq!((entries.len(), entries[0].event.label()), (1, "abort_requested"));
    assert_eq!(world.store.log(&shop(), &id, 1, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_skipped_by_right_is_told_in_the_ledger() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    let bypass = BypassRequest {
        gates: [GateKind::Soak].into(),
        groups: ["oncall".to_owned()].into(),
        reason: "the site is down".to_owned(),
        expires: Some(at(100)),
    };
    let new = NewPromotion {
        requester: Principal::Named("ann".to_owned()),
        bypass: Some(bypass),
        ..new_promotion(&dev(), &freight.id)
    };
    let id = world.store.create_promotion(&shop(), &new, at(2)).await.unwrap().id;
    world.prepare(&id, &freight, 3).await;
    let lease = world.lease(&id, 3).await;
    let store = &world.store;
    let seen = store.promotion_snapshot(&shop(), &id).await.unwrap().unwrap();
    let skipped = vec![Skipped { gate: GateKind::Soak, message: "has to soak for 1d".to_owned() }];
    let (seq, revision) = (seen.value.1, seen.revision);
    let committed =
        store.commit_promotion(&shop(), &id, &lease, seq, revision, skipped.clone(), at(4)).await;
    assert_eq!(committed.unwrap().event, Event::Committed { skipped });
    let events = store.events(Some(&shop()), 0, 100).await.unwrap();
    let told = |kind: &str| {
        let event = events.iter().find(|event| event.kind == kind).unwrap();
        (event.actor.to_string(), event.summary.clone())
    };
    let (by, created) = told("promotion.created");
    assert_eq!(by, "ann");
    let end = " to dev and skips soak until 2027-01-15T08:01:40Z: the site is down";
    assert!(created.ends_with(end), "{created}");
    let past = "ann had promotion dev.1 to dev committed past soak: the site is down";
    assert_eq!(told("promotion.bypassed"), ("ann".to_owned(), past.to_owned()));
    store.verify_chain().await.unwrap();
}
