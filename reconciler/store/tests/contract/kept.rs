use reconciler_domain::id::{PromotionId, StageName};
use reconciler_domain::promotion::{Event, Node};
use reconciler_domain::step::{
    AuditCall, Call, KeepCall, Kept, KeptAt, KeptChange, Record, StepOutcome,
};
use reconciler_store::{AppendError, FindFreightError};
use serde_json::{Map, Value, json};

use crate::world::{World, dev, shop};

/// Lets a step of a promotion that committed write this.
async fn keep(world: &World, id: &PromotionId, step: &str, kept: Kept) -> Result<(), AppendError> {
    let node = Node::Step(step.parse().unwrap());
    let call = KeepCall::Audit(AuditCall { message: String::new(), fields: Map::new() });
    let call = Box::new(Call::Keep(call));
    world.append(id, Event::Intent { node: node.clone(), call, epoch: None }, 5).await?;
    let outputs = Map::new();
    let outcome = Box::new(StepOutcome::Done { outputs, record: Record::Kept(kept) });
    world.append(id, Event::Outcome { node, outcome }, 6).await
}

fn change(at: KeptAt, before: Option<Value>, after: Option<Value>) -> KeptChange {
    KeptChange { at, before, after }
}

fn changes(changes: Vec<KeptChange>) -> Kept {
    Kept { changes, audit: None }
}

async fn committed(world: &World, stage: &StageName, tag: &str) -> (PromotionId, String) {
    let freight = world.freight(tag, 1).await;
    let id = world.promote(stage, &freight, 2).await;
    world.prepare(&id, &freight, 3).await;
    world.commit(&id, 4).await.unwrap();
    (id, freight.id.to_string())
}

#[tokio::test]
async fn what_is_kept_is_there_with_the_outcome_and_not_twice() {
    let world = World::new().await;
    let (id, freight) = committed(&world, &dev(), "1.0.0").await;
    let url = KeptAt::Stage("url".to_owned());
    let alias = KeptAt::Alias("stable".parse().unwrap());
    let all = changes(vec![
        change(url.clone(), None, Some(json!("x"))),
        change(KeptAt::Freight("ok".to_owned()), None, Some(json!(true))),
        change(alias.clone(), None, Some(json!(freight))),
    ]);
    keep(&world, &id, "note", all).await.unwrap();
    let noted = world.store.stage_metadata(&shop(), &dev()).await.unwrap();
    assert_eq!(Value::Object(noted), json!({ "url": "x" }));
    let facts = world.store.find_freight(&shop(), "stable").await.unwrap();
    assert_eq!((facts.freight.id.as_str(), &facts.metadata["ok"]), (&*freight, &json!(true)));
    assert_eq!(facts.aliases.len(), 1);

    // What was there is not what the decision saw: nothing of it is written, not even the outcome.
    let before = world.last_seq(&id).await;
    let stale = changes(vec![
        change(url.clone(), Some(json!("x")), Some(json!("y"))),
        change(alias.clone(), None, Some(json!(freight))),
    ]);
    let error = keep(&world, &id, "again", stale).await.unwrap_err();
    assert!(matches!(error, AppendError::Changed { .. }), "{error}");
    assert_eq!(world.last_seq(&id).await, before + 1, "the intent");
    let noted = world.store.stage_metadata(&shop(), &dev()).await.unwrap();
    assert_eq!(Value::Object(noted), json!({ "url": "x" }));

    let away = changes(vec![
        change(alias, Some(json!(freight)), None),
        change(url, Some(json!("x")), None),
    ]);
    keep(&world, &id, "away", away).await.unwrap();
    assert!(world.store.stage_metadata(&shop(), &dev()).await.unwrap().is_empty());
    let error = world.store.find_freight(&shop(), "stable").await.unwrap_err();
    assert!(matches!(error, FindFreightError::TooShort { .. }), "{error}");
}

#[tokio::test]
async fn an_alias_goes_on_to_other_freight() {
    let world = World::new().await;
    let (first, old) = committed(&world, &dev(), "1.0.0").await;
    let alias = || KeptAt::Alias("stable".parse().unwrap());
    keep(&world, &first, "name", changes(vec![change(alias(), None, Some(json!(old)))]))
        .await
        .unwrap();
    let new = world.freight("1.1.0", 7).await.id.to_string();
    let moved = changes(vec![change(alias(), Some(json!(old)), Some(json!(new)))]);
    keep(&world, &first, "move", moved).await.unwrap();
    let found = world.store.find_freight(&shop(), "stable").await.unwrap();
    assert_eq!(found.freight.id.as_str(), new);
    let before = world.store.find_freight(&shop(), &old).await.unwrap();
    assert!(before.aliases.is_empty());
}
