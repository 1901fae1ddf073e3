//! Whatever is done in whatever order, what is stored stays true to itself.

use proptest::prelude::*;
use reconciler_domain::freight::Freight;
use reconciler_domain::id::PromotionId;
use reconciler_domain::promotion::{Approval, Ending, Event, State};
use reconciler_store::{NewPromotion, Page, PromotionFilter};

use crate::world::{
    World, alice, at, dev, finished, new_promotion, prepare_started, prepared, prod, shop, stage,
};

/// One thing that is tried; whether it is possible is the store's affair. Promotions are counted
/// from the newest.
#[derive(Debug, Clone)]
enum Try {
    Promote { prod: bool, freight: usize, supersede: Option<usize>, hold: bool },
    Prepare { promotion: usize },
    Commit { promotion: usize },
    Append { promotion: usize, event: Happening },
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    PrepareStarted,
    Prepared,
    PrepareFailed,
    Approved,
    Probed,
    Verifying,
    Unwinding,
    Abort,
    Finished(Ending),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::PrepareStarted),
        3 => Just(Happening::Prepared),
        1 => Just(Happening::PrepareFailed),
        1 => Just(Happening::Approved),
        1 => Just(Happening::Probed),
        3 => Just(Happening::Verifying),
        1 => Just(Happening::Unwinding),
        1 => Just(Happening::Abort),
        1 => proptest::sample::select(Ending::ALL.as_slice()).prop_map(Happening::Finished),
    ]
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let promote =
        (any::<bool>(), 0..3_usize, proptest::option::of(0..4_usize), any::<bool>()).prop_map(
            |(prod, freight, supersede, hold)| Try::Promote { prod, freight, supersede, hold },
        );
    let one = prop_oneof![
        1 => promote,
        2 => (0..4_usize).prop_map(|promotion| Try::Prepare { promotion }),
        3 => (0..4_usize).prop_map(|promotion| Try::Commit { promotion }),
        6 => (0..4_usize, happening())
            .prop_map(|(promotion, event)| Try::Append { promotion, event }),
    ];
    proptest::collection::vec(one, 1..80)
}

fn event(happening: Happening, freight: &Freight) -> Event {
    match happening {
        Happening::PrepareStarted => prepare_started(stage(&dev(), &[]), freight),
        Happening::Prepared => prepared(freight),
        Happening::PrepareFailed => Event::PrepareFailed {
            step: None,
            message: "no".to_owned(),
            retry: true,
            retry_after: None,
        },
        Happening::Approved => Event::Approved(Approval {
            by: "bob".to_owned(),
            groups: [].into(),
            digest: "d1".to_owned(),
            comment: None,
            signed: None,
        }),
        Happening::Probed => Event::Probed { moved: Vec::new() },
        Happening::Verifying => {
            Event::Verifying { checks: Vec::new(), replaced: None, unusable: None }
        }
        Happening::Unwinding => Event::Unwinding { cause: "no".to_owned() },
        Happening::Abort => Event::AbortRequested { by: alice(), reason: "no".to_owned() },
        Happening::Finished(ending) => finished(ending),
    }
}

async fn run(tries: Vec<Try>) {
    let world = World::new().await;
    let mut freight = Vec::new();
    for n in 0..3 {
        freight.push(world.freight(&format!("1.0.{n}"), 1).await);
    }
    let mut promotions: Vec<(PromotionId, usize)> = Vec::new();
    for (second, one) in (2..).zip(tries) {
        match one {
            Try::Promote { prod: to_prod, freight: n, supersede, hold } => {
                let to = if to_prod { prod() } else { dev() };
                let supersedes =
                    supersede.and_then(|n| promotions.iter().rev().nth(n)).map(|p| p.0.clone());
                let new = NewPromotion {
                    supersedes: supersedes.into_iter().collect(),
                    hold: hold.then(|| "by hand".to_owned()),
                    release_hold: !hold,
                    ..new_promotion(&to, &freight[n].id)
                };
                let made = world.store.create_promotion(&shop(), &new, at(second)).await;
                promotions.extend(made.ok().map(|made| (made.id, n)));
            }
            Try::Prepare { promotion } => {
                if let Some((id, n)) = promotions.iter().rev().nth(promotion) {
                    for happening in [Happening::PrepareStarted, Happening::Prepared] {
                        drop(world.append(id, event(happening, &freight[*n]), second).await);
                    }
                }
            }
            Try::Commit { promotion } => {
                if let Some((id, _)) = promotions.iter().rev().nth(promotion) {
                    drop(world.commit(id, second).await);
                }
            }
            Try::Append { promotion, event: happening } => {
                if let Some((id, n)) = promotions.iter().rev().nth(promotion) {
                    drop(world.append(id, event(happening, &freight[*n]), second).await);
                }
            }
        }
    }
    check(&world).await;
}

async fn check(world: &World) {
    let (all, page) = (PromotionFilter::default(), Page { after: None, limit: 1000 });
    let rows = world.store.list_promotions(&shop(), &all, page).await.unwrap();
    assert_eq!(rows.unreadable, []);
    let raw = world.raw();
    for row in rows.items {
        let id = &row.promotion.id;
        let (_, log) = world.store.promotion(&shop(), id).await.unwrap().unwrap();
        let state = State::fold(&log).unwrap();
        assert_eq!(row.phase, state.phase(), "{id}");
        assert_eq!(row.ended_at, state.finish.map(|(at, _)| at), "{id}");
        assert_eq!(row.last_seq, log.len() as u64, "{id}");
        let text = "SELECT slot FROM promotion WHERE id = ?1";
        let slot: bool = raw.query_row(text, [id.as_str()], |row| row.get(0)).unwrap();
        assert_eq!(slot, row.phase.holds_slot(), "{id}");
    }
    for name in [dev(), prod()] {
        let snapshot = world.store.stage_snapshot(&shop(), &name).await.unwrap().unwrap().value;
        let holders = snapshot.running.iter().filter(|running| running.phase.holds_slot());
        assert!(holders.count() <= 1, "one slot in {name}");
        let there = world.store.occupants(&shop(), &name).await.unwrap();
        assert!(there.len() <= 1, "one warehouse, one freight in {name}: {there:?}");
    }
    world.store.verify_chain().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_repeat_what_logs_fold_to(tries in tries()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(tries));
    }
}
