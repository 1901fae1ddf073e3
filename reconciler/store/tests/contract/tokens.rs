use reconciler_domain::id::Principal;
use reconciler_store::{CreateTokenError, NewToken, PREVIEWS_KEPT, RevokeTokenError};

use crate::world::{World, alice, at};

fn token(name: &str, hash: u8) -> NewToken {
    NewToken {
        name: name.to_owned(),
        groups: ["ops".to_owned()].into(),
        admin: false,
        hash: [hash; 32],
        expires_at: Some(at(100)),
    }
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_until_it_is_revoked() {
    let World { store, dir: _dir } = World::empty().await;
    let made = store.create_token(&token("bob", 1), &alice(), at(0)).await.unwrap();
    assert_eq!(store.find_token(&[1; 32]).await.unwrap(), Some(made.clone()));
    assert_eq!(store.find_token(&[2; 32]).await.unwrap(), None);
    assert_eq!((made.is_expired(at(99)), made.is_expired(at(100))), (false, true));
    for taken in [token("bob", 2), token("eve", 1)] {
        let error = store.create_token(&taken, &alice(), at(1)).await.unwrap_err();
        assert!(matches!(error, CreateTokenError::AlreadyExists { .. }), "{error}");
    }
    assert_eq!(store.list_tokens().await.unwrap(), [made]);
    store.revoke_token("bob", &alice(), at(2)).await.unwrap();
    assert_eq!(store.find_token(&[1; 32]).await.unwrap(), None);
    let error = store.revoke_token("bob", &alice(), at(3)).await.unwrap_err();
    assert!(matches!(error, RevokeTokenError::NotFound { .. }), "{error}");
    let events = store.events(None, 0, 10).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["token.created", "token.revoked"]);
    assert!(!events[0].body.to_string().contains("0101"), "no part of the hash is told");
}

#[tokio::test]
async fn uses_are_recorded_once_a_minute() {
    let World { store, dir: _dir } = World::empty().await;
    store.create_token(&token("bob", 1), &Principal::Automation, at(0)).await.unwrap();
    let used = async |second| {
        let token = store.find_token(&[1; 32]).await.unwrap().unwrap();
        store.token_used(&token, at(second)).await.unwrap();
        store.find_token(&[1; 32]).await.unwrap().unwrap().last_used_at
    };
    assert_eq!(used(10).await, Some(at(10)));
    assert_eq!(used(69).await, Some(at(10)));
    assert_eq!(used(70).await, Some(at(70)));
}

#[tokio::test]
async fn the_first_answer_to_a_preview_stands() {
    let World { store, dir: _dir } = World::empty().await;
    assert_eq!(store.preview_get("k").await.unwrap(), None);
    assert_eq!(store.preview_put("k", b"one".to_vec(), at(0)).await.unwrap(), b"one");
    assert_eq!(store.preview_put("k", b"two".to_vec(), at(1)).await.unwrap(), b"one");
    assert_eq!(store.preview_get("k").await.unwrap().unwrap(), b"one");
    assert_eq!(store.preview_prune(at(0) + PREVIEWS_KEPT).await.unwrap(), 0);
    assert_eq!(store.preview_prune(at(1) + PREVIEWS_KEPT).await.unwrap(), 1);
    assert_eq!(store.preview_get("k").await.unwrap(), None);
}
