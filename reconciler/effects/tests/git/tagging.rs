//! Tags: made once, found again, and taken away only while they are what was made.

use reconciler_effects::git::{
    Annotation, CommitId, GitError, Signature, TagOutcome, TagRequest, Trailer, UntagOutcome,
    UntagRequest,
};

use crate::fixture::{Fixture, git_in};

fn request(fixture: &Fixture, commit: &CommitId, mark: Option<&str>) -> TagRequest {
    let annotation = mark.map(|mark| Annotation {
        tagger: Signature {
            name: "Lockstep".to_owned(),
            email: "lockstep@example.com".to_owned(),
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
        },
        message: "1.0.0 is out".to_owned(),
        trailer: Trailer::promotion(mark).unwrap(),
    });
    let (repo, tag, commit) = (fixture.repo.clone(), "v1.0.0".to_owned(), commit.clone());
    TagRequest { repo, tag, commit, annotation }
}

fn untag(fixture: &Fixture, object: &str) -> UntagRequest {
    let (repo, tag) = (fixture.repo.clone(), "v1.0.0".to_owned());
    UntagRequest { repo, tag, object: object.parse().unwrap() }
}

fn on_server(fixture: &Fixture, arguments: &[&str]) -> String {
    git_in(&fixture.served(), arguments).trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotated_tag_is_made_once_and_goes() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    let wanted = request(&fixture, &tip, Some("dev.1/tag"));
    let TagOutcome::Made { object } = fixture.git.tag(wanted.clone()).await.unwrap() else {
        panic!("it was not there")
    };
    assert_eq!(on_server(&fixture, &["rev-parse", "v1.0.0^{commit}"]), tip.as_str());
    assert_eq!(on_server(&fixture, &["rev-parse", "v1.0.0"]), object);
    let said = on_server(&fixture, &["tag", "--list", "--format=%(taggername) %(contents)"]);
    assert_eq!(said, "Lockstep 1.0.0 is out\n\nLockstep-Promotion: dev.1/tag");
    // Another process, with mirrors of its own, makes the same object and finds it.
    let fresh = fixture.another_git("fresh").tag(wanted).await.unwrap();
    assert_eq!(fresh, TagOutcome::AlreadyThere { object: object.clone() });
    // The tag of another step is not ours.
    let other = fixture.git.tag(request(&fixture, &tip, Some("dev.2/tag"))).await;
    assert!(matches!(other, Err(GitError::TagTaken { .. })), "{other:?}");
    for _ in 0..2 {
        let gone = fixture.git.untag(untag(&fixture, &object)).await.unwrap();
        assert_eq!(gone, UntagOutcome::Gone);
    }
    assert_eq!(on_server(&fixture, &["tag", "--list"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lightweight_tag_is_a_name_for_a_commit() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    let wanted = request(&fixture, &tip, None);
    let object = tip.to_string();
    let made = fixture.git.tag(wanted.clone()).await.unwrap();
    assert_eq!(made, TagOutcome::Made { object: object.clone() });
    let again = fixture.git.tag(wanted).await.unwrap();
    assert_eq!(again, TagOutcome::AlreadyThere { object });
    assert_eq!(on_server(&fixture, &["cat-file", "-t", "v1.0.0"]), "commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_makes_no_second_tag() {
    let fixture = Fixture::new().await;
    let wanted = request(&fixture, &fixture.tip().await, Some("dev.1/tag"));
    fixture.server.lose_next_reply();
    assert!(fixture.git.tag(wanted.clone()).await.is_err());
    let again = fixture.git.tag(wanted).await.unwrap();
    assert!(matches!(again, TagOutcome::AlreadyThere { .. }), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_others_moved_stays() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    let TagOutcome::Made { object } = fixture.git.tag(request(&fixture, &tip, None)).await.unwrap()
    else {
        panic!("it was not there")
    };
    let theirs = fixture.people.change("values.yaml", "other\n", "other");
    git_in(&fixture.served(), &["tag", "--force", "v1.0.0", theirs.as_str()]);
    let stays = fixture.git.untag(untag(&fixture, &object)).await.unwrap();
    assert_eq!(stays, UntagOutcome::Elsewhere { object: theirs.to_string() });
    assert_eq!(on_server(&fixture, &["rev-parse", "v1.0.0"]), theirs.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_tag_is_refused() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    for name in ["", "-d", "a b", "a..b", "x.lock"] {
        let wanted = TagRequest { tag: name.to_owned(), ..request(&fixture, &tip, None) };
        let refused = fixture.git.tag(wanted).await;
        assert!(matches!(refused, Err(GitError::RefName { .. })), "{name:?}: {refused:?}");
    }
    let nowhere = "0123456789012345678901234567890123456789".parse().unwrap();
    let refused = fixture.git.tag(request(&fixture, &nowhere, None)).await;
    assert!(matches!(refused, Err(GitError::CommitNotFound { .. })), "{refused:?}");
    assert_eq!(on_server(&fixture, &["tag", "--list"]), "");
}
