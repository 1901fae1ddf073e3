use reconciler_store::{ChainError, Subject};

use crate::world::{World, change, dev, prod, shop, stage, web};

#[tokio::test]
async fn every_decision_is_in_the_chain() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &freight, 2).await;
    let events = world.store.events(Some(&shop()), 0, 100).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "project.created",
            "warehouse.created",
            "stage.created",
            "stage.created",
            "freight.created",
            "promotion.created",
            "promotion.prepare_started",
            "promotion.prepared",
            "promotion.committed",
            "promotion.verifying",
            "promotion.finished",
        ]
    );
    let head = world.store.verify_chain().await.unwrap();
    assert_eq!(head.seq, 11);
    assert_eq!(head.hash, events[10].hash);
    assert_eq!(*world.store.changes().borrow(), 11);
    let page = world.store.events(None, 9, 1).await.unwrap();
    assert_eq!((page.len(), page[0].seq), (1, 10));
}

/// Tampers with a ledger of four events and gives what the check says.
async fn after(tampering: &str) -> String {
    let world = World::new().await;
    let raw = world.raw();
    raw.execute_batch("DROP TRIGGER ledger_fixed; DROP TRIGGER ledger_kept").unwrap();
    raw.execute_batch(tampering).unwrap();
    match world.store.verify_chain().await {
        Err(error @ ChainError::Broken { .. }) => error.to_string(),
        other => panic!("{tampering}: {other:?}"),
    }
}

#[tokio::test]
async fn tampering_is_noticed() {
    let broken =
        |seq, reason| format!("the ledger was tampered with or damaged at event {seq}: {reason}");
    for (column, value) in [
        ("at", "1"),
        ("project", "'other'"),
        ("subject_kind", "'stage'"),
        ("subject", "'x'"),
        ("kind", "'x'"),
        ("actor", "'{}'"),
        ("summary", "'x'"),
        ("body", "'{}'"),
    ] {
        let found = after(&format!("UPDATE ledger SET {column} = {value} WHERE seq = 2")).await;
        assert_eq!(found, broken(2, "its content does not match its hash"), "{column}");
    }
    assert_eq!(after("DELETE FROM ledger WHERE seq = 2").await, broken(2, "it is missing"));
    assert_eq!(
        after("DELETE FROM ledger WHERE seq = 4").await,
        broken(4, "it is missing at the end")
    );
    assert_eq!(
        after(
            "INSERT INTO ledger SELECT 5, at, project, subject_kind, subject, kind, actor, \
               summary, body, hash, 'x' FROM ledger WHERE seq = 4"
        )
        .await,
        broken(5, "its content does not match its hash")
    );
    assert_eq!(
        after(
            "UPDATE ledger SET seq = 99 WHERE seq = 2; UPDATE ledger SET seq = 2 WHERE seq = 3; \
               UPDATE ledger SET seq = 3 WHERE seq = 99"
        )
        .await,
        broken(2, "it does not follow the event before it")
    );
    assert_eq!(
        after("UPDATE ledger_head SET hash = 'x'").await,
        broken(4, "the recorded end is another one")
    );
}

#[tokio::test]
async fn the_database_refuses_to_rewrite_history() {
    let world = World::new().await;
    let freight = world.freight("1.0.0", 1).await;
    world.succeed(&dev(), &freight, 2).await;
    for text in [
        "UPDATE ledger SET summary = ''",
        "DELETE FROM ledger",
        "UPDATE promotion_event SET event = '{}'",
    ] {
        let error = world.raw().execute_batch(text).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_token_rises_with_what_touches_its_subjects() {
    let world = World::new().await;
    let store = &world.store;
    let token = async |subject| store.token(&shop(), &[subject]).await.unwrap();
    assert_eq!(token(Subject::Warehouse(web())).await, 2);
    assert_eq!(token(Subject::Stage(dev())).await, 3);
    assert_eq!(token(Subject::Stage(prod())).await, 4);
    assert_eq!(token(Subject::Policy("p".parse().unwrap())).await, 0);
    let both = [Subject::Stage(dev()), Subject::Warehouse(web())];
    assert_eq!(store.token(&shop(), &both).await.unwrap(), 3);

    let freight = world.freight("1.0.0", 1).await;
    assert_eq!(token(Subject::Project).await, 5);
    assert_eq!(token(Subject::Stage(dev())).await, 3, "new freight is not in it yet");
    let id = world.promote(&dev(), &freight, 2).await;
    assert_eq!(token(Subject::Stage(dev())).await, 6);
    world.prepare(&id, &freight, 2).await;
    assert_eq!(token(Subject::Promotion(id.clone())).await, 8);
    assert_eq!(token(Subject::Project).await, 6, "steps of a promotion are its own affair");
    world.commit(&id, 3).await.unwrap();
    assert_eq!(token(Subject::Stage(dev())).await, 9);
    assert_eq!(token(Subject::Project).await, 9);

    let eu = "eu".parse().unwrap();
    store.put_stage(&shop(), &stage(&eu, &[]), &change(4)).await.unwrap();
    store.delete_stage(&shop(), &eu, &change(5)).await.unwrap();
    assert_eq!(token(Subject::Stage(eu)).await, 11, "a deletion is a change, too");
}
