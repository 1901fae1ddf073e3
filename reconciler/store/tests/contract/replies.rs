//! What those said whom gates ask: written over, told when it is news, and only by whoever works on the promotion.

use reconciler_domain::id::PromotionId;
use reconciler_domain::inquiry::{Asker, Replies, Reply};
use reconciler_domain::policy::GateKind;
use reconciler_domain::verification::Measured;
use reconciler_store::{Lease, RecordRepliesError};

use crate::world::{World, at, dev, shop};

fn asker(gate: GateKind, name: &str) -> Asker {
    Asker { policy: "p".parse().unwrap(), gate, name: name.to_owned() }
}

fn reply(question: &str, second: i64, measured: Measured) -> Reply {
    let (inquiry, detail) = (question.to_owned(), format!("said at {second}"));
    Reply { inquiry, at: at(second), measured, detail }
}

/// A promotion, and the lease of who works on it.
async fn promotion(world: &World) -> (PromotionId, Lease) {
    let freight = world.freight("1", 1).await;
    let id = world.promote(&dev(), &freight, 2).await;
    let lease = world.lease(&id, 3).await;
    (id, lease)
}

async fn known(world: &World, id: &PromotionId) -> (u64, Replies) {
    let seen = world.store.promotion_snapshot(&shop(), id).await.unwrap().unwrap();
    (seen.revision, seen.value.0.replies)
}

async fn told(world: &World) -> Vec<String> {
    let events = world.store.events(Some(&shop()), 0, 1000).await.unwrap();
    let replies = events.into_iter().filter(|event| event.kind == "promotion.reply");
    replies.map(|event| event.summary).collect()
}

#[tokio::test]
async fn a_reply_is_written_over_and_told_when_it_is_news() {
    let world = World::new().await;
    let (id, lease) = promotion(&world).await;
    let (ticket, scan) = (asker(GateKind::Ticket, "a"), asker(GateKind::Attestation, "a"));
    let record = async |asker: &Asker, reply: Reply| {
        let now = reply.at;
        let replies = [(asker.clone(), reply)].into();
        world.store.record_replies(&shop(), &id, &lease, replies, now).await.unwrap();
        known(&world, &id).await.0
    };
    let (before, none) = known(&world, &id).await;
    assert_eq!(none, Replies::new());
    let first = record(&ticket, reply("q", 4, Measured::Fail)).await;
    assert_eq!(first, before + 1);
    // The same once more: when it was asked is known, and nobody else's decision is another.
    let again = record(&ticket, reply("q", 5, Measured::Fail)).await;
    assert_eq!(again, first);
    let passes = record(&ticket, reply("q", 6, Measured::Pass)).await;
    let other_question = record(&ticket, reply("r", 7, Measured::Pass)).await;
    let other_gate = record(&scan, reply("q", 8, Measured::Unknown)).await;
    assert_eq!((passes, other_question, other_gate), (first + 1, first + 2, first + 3));
    let last = [(ticket, reply("r", 7, Measured::Pass)), (scan, reply("q", 8, Measured::Unknown))];
    assert_eq!(known(&world, &id).await.1, Replies::from(last));
    assert_eq!(
        told(&world).await,
        [
            "promotion dev.1: ticket a of policy p fails: said at 4",
            "promotion dev.1: ticket a of policy p passes: said at 6",
            "promotion dev.1: ticket a of policy p passes: said at 7",
            "promotion dev.1: attestation a of policy p is unknown: said at 8",
        ]
    );
}

#[tokio::test]
async fn only_who_works_on_the_promotion_writes_what_was_said() {
    let world = World::new().await;
    let (id, lease) = promotion(&world).await;
    world.store.release(&lease, None).await.unwrap();
    let replies: Replies = [(asker(GateKind::Ticket, "a"), reply("q", 4, Measured::Pass))].into();
    let late = world.store.record_replies(&shop(), &id, &lease, replies.clone(), at(5)).await;
    assert!(matches!(late, Err(RecordRepliesError::Lost { .. })), "{late:?}");
    assert_eq!(known(&world, &id).await.1, Replies::new());
    let next = world.lease(&id, 6).await;
    world.store.record_replies(&shop(), &id, &next, replies, at(7)).await.unwrap();
    assert_eq!(known(&world, &id).await.1.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_was_not_said() {
    let world = World::new().await;
    let (id, lease) = promotion(&world).await;
    let asker = asker(GateKind::Ticket, "a");
    let replies: Replies = [(asker.clone(), reply("q", 4, Measured::Pass))].into();
    world.store.record_replies(&shop(), &id, &lease, replies.clone(), at(4)).await.unwrap();
    world.raw().execute("UPDATE reply SET reply = '{'", []).unwrap();
    assert_eq!(known(&world, &id).await.1, Replies::new());
    world.store.record_replies(&shop(), &id, &lease, replies.clone(), at(5)).await.unwrap();
    assert_eq!(known(&world, &id).await.1, replies);
}
