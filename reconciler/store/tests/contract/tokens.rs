use reconciler_domain::id::Principal;
use reconciler_domain::token::SecretOrigin;
use reconciler_store::{
    ApiToken, Change, DeleteError, NewMinted, NewSecret, NewToken, Outcome, PREVIEWS_KEPT,
    Precondition, PutError, PutTokenError, Store,
};

use crate::world::{World, at, change, creating};

fn token(name: &str, hash: u8) -> NewToken {
    NewToken {
        name: name.parse().unwrap(),
        groups: ["ops".to_owned()].into(),
        admin: false,
        secret: Some(NewSecret { hash: [hash; 32], origin: SecretOrigin::Daemon }),
        expires_at: Some(at(100)),
    }
}

fn minted(parent: &str, name: &str, hash: u8, until: i64) -> NewMinted {
    NewMinted {
        name: format!("bob~{name}"),
        parent: parent.to_owned(),
        groups: ["ops".to_owned()].into(),
        admin: false,
        hash: [hash; 32],
        expires_at: at(until),
    }
}

/// The names of the token with this hash and of those behind it.
async fn names(store: &Store, hash: u8) -> Vec<String> {
    let found = store.find_token(&[hash; 32]).await.unwrap();
    let all = |found: reconciler_store::SentToken| {
        std::iter::once(found.token).chain(found.behind).map(|token: ApiToken| token.name).collect()
    };
    found.map(all).unwrap_or_default()
}

async fn kinds(store: &Store) -> Vec<String> {
    let events = store.events(None, 0, 100).await.unwrap();
    for event in &events {
        assert!(!event.body.to_string().contains("0101"), "no part of a hash is told");
    }
    events.into_iter().map(|event| format!("{} {}", event.kind, event.summary)).collect()
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_until_it_is_revoked() {
    let World { store, dir: _dir } = World::empty().await;
    let (made, outcome) = store.put_token(&token("bob", 1), &creating(0)).await.unwrap();
    assert_eq!((outcome, made.generation), (Outcome::Created, 1));
    assert_eq!(names(&store, 1).await, ["bob"]);
    assert_eq!(names(&store, 2).await, [""; 0]);
    assert_eq!(store.get_token("bob").await.unwrap(), Some(made.clone()));
    assert_eq!(store.list_tokens(false).await.unwrap(), [made]);
    let error = store.put_token(&token("bob", 2), &creating(1)).await.unwrap_err();
    assert!(matches!(error, PutTokenError::Put(PutError::AlreadyExists { .. })), "{error}");
    let error = store.put_token(&token("eve", 1), &creating(1)).await.unwrap_err();
    assert!(matches!(error, PutTokenError::SecretTaken), "{error}");
    store.revoke_token("bob", &change(2)).await.unwrap();
    assert_eq!(names(&store, 1).await, [""; 0]);
    let error = store.revoke_token("bob", &change(3)).await.unwrap_err();
    assert!(matches!(error, DeleteError::NotFound { .. }), "{error}");
    // Its generations go on rising, so that nobody changes another token of that name unseen.
    let (made, _) = store.put_token(&token("bob", 3), &creating(4)).await.unwrap();
    assert_eq!(made.generation, 2);
    assert_eq!(
        kinds(&store).await,
        [
            "token.created alice created token bob",
            "token.revoked alice revoked token bob",
            "token.created alice created token bob"
        ]
    );
}

#[tokio::test]
async fn a_token_changes_under_its_generation() {
    let World { store, dir: _dir } = World::empty().await;
    let any = change(1);
    store.put_token(&token("bob", 1), &creating(0)).await.unwrap();
    // The same again is no change; without a secret it keeps the one that it has.
    let same = NewToken { secret: None, ..token("bob", 0) };
    let (kept, outcome) = store.put_token(&same, &any).await.unwrap();
    assert_eq!((outcome, kept.generation, kept.hash), (Outcome::Unchanged, 1, [1; 32]));
    let wider = NewToken { admin: true, ..same.clone() };
    let (changed, _) = store.put_token(&wider, &any).await.unwrap();
    assert_eq!((changed.generation, changed.admin, changed.created_at), (2, true, at(0)));
    let old = change(2).precondition(Precondition::Generation(1));
    let error = store.put_token(&same, &old).await.unwrap_err();
    assert!(
        matches!(error, PutTokenError::Put(PutError::Conflict { generation: 2, .. })),
        "{error}"
    );
    let error = store.revoke_token("bob", &old).await.unwrap_err();
    assert!(matches!(error, DeleteError::Conflict { generation: 2, .. }), "{error}");
    // Another secret works at once, and the old one no longer.
    let given = SecretOrigin::Client { version: Some(2) };
    let rotated = NewSecret { hash: [2; 32], origin: given };
    let rotated = NewToken { secret: Some(rotated), ..wider };
    let (rotated, _) = store.put_token(&rotated, &change(3)).await.unwrap();
    assert_eq!((rotated.generation, rotated.origin), (3, given));
    assert_eq!((names(&store, 1).await, names(&store, 2).await), (vec![], vec!["bob".to_owned()]));
    // What was to be changed and is gone is not made anew.
    let gone = NewToken { name: "eve".parse().unwrap(), ..same };
    let error = store.put_token(&gone, &any).await.unwrap_err();
    assert!(matches!(error, PutTokenError::Put(PutError::NotFound { .. })), "{error}");
    assert_eq!(
        kinds(&store).await,
        [
            "token.created alice created token bob",
            "token.changed alice changed token bob",
            "token.rotated alice rotated token bob"
        ]
    );
}

/// Whoever had the old secret may have minted from it.
#[tokio::test]
async fn another_secret_ends_what_the_old_one_minted() {
    let World { store, dir: _dir } = World::empty().await;
    store.put_token(&token("bob", 1), &creating(0)).await.unwrap();
    let bob = |second| Change::by(&Principal::Named("bob".to_owned()), at(second));
    store.mint_token(&minted("bob", "a", 2, 50), &bob(1)).await.unwrap();
    store.mint_token(&minted("bob~a", "b", 3, 40), &bob(2)).await.unwrap();
    let wider = NewToken { admin: true, secret: None, ..token("bob", 0) };
    store.put_token(&wider, &change(3)).await.unwrap();
    assert_eq!(names(&store, 3).await, ["bob~b", "bob~a", "bob"]);
    let rotated = NewSecret { hash: [4; 32], origin: SecretOrigin::Daemon };
    let rotated = NewToken { secret: Some(rotated), ..wider };
    store.put_token(&rotated, &change(4)).await.unwrap();
    assert_eq!((names(&store, 2).await, names(&store, 3).await), (vec![], vec![]));
    assert_eq!(names(&store, 4).await, ["bob"]);
}

#[tokio::test]
async fn what_a_token_minted_goes_with_it() {
    let World { store, dir: _dir } = World::empty().await;
    store.put_token(&token("bob", 1), &creating(0)).await.unwrap();
    store.put_token(&token("eve", 9), &creating(0)).await.unwrap();
    let bob = |second| Change::by(&Principal::Named("bob".to_owned()), at(second));
    store.mint_token(&minted("bob", "a", 2, 50), &bob(1)).await.unwrap();
    store.mint_token(&minted("bob~a", "b", 3, 40), &bob(2)).await.unwrap();
    assert_eq!(names(&store, 3).await, ["bob~b", "bob~a", "bob"]);
    let listed = store.list_tokens(false).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["bob", "eve"]);
    // Only what minted it prolongs or ends it, and not when it is over.
    for other in ["eve", "bob~b", "bob"] {
        let error = store.renew_token("bob~b", other, at(60), &bob(3)).await.unwrap_err();
        assert!(matches!(error, PutError::NotFound { .. }), "{error}");
        let error = store.end_token("bob~b", other, &bob(3)).await.unwrap_err();
        assert!(matches!(error, DeleteError::NotFound { .. }), "{error}");
    }
    let renewed = store.renew_token("bob~b", "bob~a", at(60), &bob(3)).await.unwrap();
    assert_eq!(renewed.expires_at, Some(at(60)));
    assert!(store.renew_token("bob~b", "bob~a", at(90), &bob(60)).await.is_err());
    // Those that are over are forgotten when one is minted.
    store.mint_token(&minted("bob", "c", 4, 90), &bob(60)).await.unwrap();
    let left = store.list_tokens(true).await.unwrap();
    assert_eq!(left.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["bob~c"]);
    store.revoke_token("bob", &change(61)).await.unwrap();
    assert_eq!(store.list_tokens(true).await.unwrap(), []);
    let error = store.mint_token(&minted("bob", "d", 5, 90), &bob(62)).await.unwrap_err();
    assert!(matches!(error, PutTokenError::Put(PutError::NotFound { .. })), "{error}");
    assert_eq!(
        kinds(&store).await[2..],
        [
            "token.minted bob minted token bob~a",
            "token.minted bob minted token bob~b",
            "token.renewed bob renewed token bob~b",
            "token.minted bob minted token bob~c",
            "token.revoked alice revoked token bob"
        ]
    );
}

#[tokio::test]
async fn uses_are_recorded_once_a_minute() {
    let World { store, dir: _dir } = World::empty().await;
    store.put_token(&token("bob", 1), &creating(0)).await.unwrap();
    let used = async |second| {
        let token = store.get_token("bob").await.unwrap().unwrap();
        store.token_used(&token, at(second)).await.unwrap();
        store.get_token("bob").await.unwrap().unwrap().last_used_at
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
