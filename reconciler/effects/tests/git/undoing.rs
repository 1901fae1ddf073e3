//! Undoing a pushed commit.

use reconciler_effects::git::{CommitId, GitError, RevertOutcome};

use crate::fixture::{Fixture, VALUES, git_in};

/// The room's view of a blob on the server's branch.
fn blob(fixture: &Fixture, revision: &str) -> Option<String> {
    Some(git_in(&fixture.served(), &["rev-parse", revision]).trim().to_owned())
}

async fn revert(fixture: &Fixture, commit: &CommitId) -> Result<RevertOutcome, GitError> {
    fixture.git.revert(fixture.revert_request(commit, "dev.1/1")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_happens_once_and_keeps_what_others_did() {
    let fixture = Fixture::new().await;
    let ours = VALUES.replace("first: 1", "first: 2");
    let landed = fixture.land("dev.1/1", &[("values.yaml", &ours), ("new.txt", "new\n")]).await;
    let later = ours.replace("last: 1", "last: 9");
    let theirs = fixture.people.change("values.yaml", &later, "later");

    let RevertOutcome::Reverted { commit, previous_tip, attempts } =
        revert(&fixture, &landed).await.unwrap()
    else {
        panic!("there is something to undo");
    };
    assert_eq!((&previous_tip, attempts), (&theirs, 1));
    assert_eq!(fixture.on_server("values.yaml"), VALUES.replace("last: 1", "last: 9"));
    let files = git_in(&fixture.served(), &["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "values.yaml\n");
    let message = git_in(&fixture.served(), &["log", "-1", "--format=%B", "main"]);
    assert_eq!(message.trim_end(), "Undo dev.1/1\n\nLockstep-Undo: dev.1/1");

    let again = revert(&fixture, &landed).await.unwrap();
    assert_eq!(again, RevertOutcome::AlreadyReverted { commit: commit.clone() });
    let fresh = fixture.another_git("fresh");
    let request = fixture.revert_request(&landed, "dev.1/1");
    let elsewhere = fresh.revert(request).await.unwrap();
    assert_eq!(elsewhere, RevertOutcome::AlreadyReverted { commit });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_does_not_undo_twice() {
    let fixture = Fixture::new().await;
    let landed = fixture.land("dev.1/1", &[("new.txt", "new\n")]).await;
    fixture.server.lose_next_reply();
    assert!(revert(&fixture, &landed).await.is_err());
    let again = revert(&fixture, &landed).await.unwrap();
    assert!(matches!(again, RevertOutcome::AlreadyReverted { .. }), "{again:?}");
    let log = git_in(&fixture.served(), &["log", "--format=%s", "main"]);
    assert_eq!(log, "Undo dev.1/1\nPromote dev.1/1\nfirst\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_meets_another_writer() {
    let fixture = Fixture::new().await;
    let landed = fixture.land("dev.1/1", &[("new.txt", "new\n")]).await;
    let people = fixture.people.clone();
    fixture.server.before_next_push(move || {
        people.change("other.txt", "x\n", "in between");
    });
    let outcome = revert(&fixture, &landed).await.unwrap();
    assert!(matches!(outcome, RevertOutcome::Reverted { attempts: 2, .. }), "{outcome:?}");
    let files = git_in(&fixture.served(), &["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "other.txt\nvalues.yaml\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_wrote_is_not_undone() {
    let fixture = Fixture::new().await;
    let before = blob(&fixture, "main:values.yaml");
    let ours = VALUES.replace("first: 1", "first: 2");
    let landed =
        fixture.land("dev.1/1", &[("values.yaml", &ours), ("removed.txt", "ours\n")]).await;
    let (our_values, our_removed) =
        (blob(&fixture, "main:values.yaml"), blob(&fixture, "main:removed.txt"));
    fixture.people.change("values.yaml", &VALUES.replace("first: 1", "first: 3"), "three");
    let tip = fixture.people.change("removed.txt", "theirs\n", "rewritten");

    let RevertOutcome::Conflict { tip: seen, files } = revert(&fixture, &landed).await.unwrap()
    else {
        panic!("somebody else changed the same lines");
    };
    assert_eq!(seen, tip);
    let brief: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.why.as_str())).collect();
    let why = "somebody else changed the same lines since";
    assert_eq!(brief, [("removed.txt", why), ("values.yaml", why)]);
    assert_eq!((&files[0].ours, &files[0].before), (&our_removed, &None));
    assert_eq!((&files[1].ours, &files[1].before), (&our_values, &before));
    assert_eq!(files[1].present, blob(&fixture, "main:values.yaml"));
    assert_eq!(fixture.tip().await, tip, "nothing was pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_to_undo() {
    let fixture = Fixture::new().await;
    let landed = fixture.land("dev.1/1", &[("values.yaml", "first: 2\n")]).await;
    let tip = fixture.people.change("values.yaml", VALUES, "undone by hand");
    let outcome = revert(&fixture, &landed).await.unwrap();
    assert_eq!(outcome, RevertOutcome::NothingToRevert { tip });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_branch_is_not_touched() {
    let fixture = Fixture::new().await;
    let landed = fixture.land("dev.1/1", &[("new.txt", "new\n")]).await;
    fixture.people.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
    let gone = revert(&fixture, &landed).await;
    assert!(matches!(gone, Err(GitError::NotOnBranch { .. })), "{gone:?}");
}
