use std::collections::BTreeMap;

use reconciler_domain::credential::{Credential, CredentialKind, Origin};
use reconciler_store::{Change, Outcome, Project, Sealed, SecretChange};

use crate::world::{World, alice, at};

fn credential(fingerprint: &str) -> Credential {
    let stored = Origin::Stored(fingerprint.to_owned());
    Credential {
        name: "git".parse().unwrap(),
        description: String::new(),
        kind: CredentialKind::Git,
        address: Some("https://git.example.com/team".parse().unwrap()),
        username: Some("ci".to_owned()),
        version: None,
        secrets: [("password".to_owned(), stored)].into(),
    }
}

fn sealed(byte: u8) -> Sealed {
    Sealed { key_id: "k1".to_owned(), bytes: vec![byte; 40] }
}

#[tokio::test]
async fn secrets_come_change_and_go_with_their_credential() {
    let World { store, dir: _dir } = World::empty().await;
    let name = "shop".parse().unwrap();
    let project = Project {
        name,
        description: String::new(),
        labels: BTreeMap::new(),
        deletion_protection: false,
    };
    let change = |second| Change::by(&alice(), at(second));
    store.put_project(&project, &change(0)).await.unwrap();
    let shop = &project.name;
    let put = async |fingerprint, secrets, second| {
        let spec = credential(fingerprint);
        store.put_credential(shop, &spec, secrets, &change(second)).await.unwrap()
    };
    let there = async || {
        let found = store.sealed_credentials(shop).await.unwrap();
        found.items.into_iter().map(|item| item.sealed).collect::<Vec<_>>()
    };
    let made = put("one", SecretChange::Replace(sealed(1)), 1).await;
    assert_eq!((made.outcome, made.stored.generation), (Outcome::Created, 1));
    // The same fingerprints are the same secrets, whatever they look like when sealed.
    let same = put("one", SecretChange::Replace(sealed(9)), 2).await;
    assert_eq!(same.outcome, Outcome::Unchanged);
    assert_eq!(there().await, [Some(sealed(1))]);
    let changed = put("two", SecretChange::Replace(sealed(2)), 3).await;
    assert_eq!((changed.outcome, changed.stored.generation), (Outcome::Changed, 2));
    assert_eq!(there().await, [Some(sealed(2))]);
    let name = &changed.stored.spec.name;
    assert_eq!(store.secrets_stored_at(shop, name).await.unwrap(), Some(at(3)));
    put("three", SecretChange::Keep, 4).await;
    assert_eq!(there().await, [Some(sealed(2))]);
    store.reseal(vec![(shop.clone(), name.clone(), sealed(3))]).await.unwrap();
    let all = store.all_sealed_credentials().await.unwrap();
    assert_eq!(all.iter().map(|item| item.sealed.clone()).collect::<Vec<_>>(), [Some(sealed(3))]);
    put("four", SecretChange::Remove, 5).await;
    assert_eq!(there().await, [None]);
    put("five", SecretChange::Replace(sealed(5)), 6).await;
    store.delete_credential(shop, name, &change(7)).await.unwrap();
    assert_eq!(there().await, []);
    assert_eq!(store.all_sealed_credentials().await.unwrap(), []);
    let events = store.events(None, 0, 100).await.unwrap();
    let told = events.iter().map(|event| event.body.to_string()).collect::<String>();
    assert!(told.contains("five") && !told.contains("sealed"), "{told}");
}
