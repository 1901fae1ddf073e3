//! Branches that are not there yet: what stands for them, their first commit, and its undo.

use reconciler_effects::git::{
    CommitOutcome, GitError, PushOutcome, PushRequest, Retracted, RevertRequest, Revision, Source,
    is_unborn,
};

use crate::fixture::{Fixture, commit_request, git_in};
use crate::githttp::init_bare;

const BRANCH: &str = "rendered/dev";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_commit_of_a_branch_has_no_parent_and_its_undo_leaves_no_branch() {
    let fixture = Fixture::new().await;
    let work = fixture.folder.path().join("work");
    let branch = Revision::Branch(BRANCH.to_owned());
    let missing = fixture.git.checkout(&fixture.repo, &branch, &[], &work).await;
    assert!(matches!(missing, Err(GitError::BranchNotFound { .. })), "{missing:?}");

    let base = fixture.git.checkout_unborn(&fixture.repo, &work).await.unwrap();
    assert!(is_unborn(base.as_str()));
    assert_eq!(std::fs::read_dir(&work).unwrap().count(), 0);
    std::fs::write(work.join("app.yaml"), "tag: 1\n").unwrap();
    let source = Source::WorkingTree { dir: work.clone(), paths: Vec::new() };
    let request = commit_request(&fixture.repo, &base, "dev.1/1", source);
    let CommitOutcome::Committed(made) = fixture.git.commit(request.clone()).await.unwrap() else {
        panic!("there is a file")
    };
    let diff = fixture.git.diff(&fixture.repo, &base, &made.commit).await.unwrap();
    assert_eq!(diff.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["app.yaml"]);
    // Where the mirror is lost, the same is made again.
    let again = fixture.another_git("other").commit(request).await.unwrap();
    assert!(matches!(again, CommitOutcome::Committed(other) if other.commit == made.commit));

    let request = PushRequest {
        branch: BRANCH.to_owned(),
        create: true,
        stands_on: Some(base),
        ..fixture.push_request(&made.commit, "dev.1/1")
    };
    let pushed = fixture.git.push(request.clone()).await.unwrap();
    let commit = made.commit.clone();
    let new = PushOutcome::Pushed { commit: commit.clone(), previous_tip: None, attempts: 1 };
    assert_eq!(pushed, new);
    assert_eq!(git_in(&fixture.served(), &["rev-list", "--count", BRANCH]).trim(), "1");
    assert_eq!(
        git_in(&fixture.served(), &["show", "--name-only", "--format=", BRANCH]).trim(),
        "app.yaml"
    );
    let there = PushOutcome::AlreadyThere { commit: commit.clone() };
    assert_eq!(fixture.git.push(request).await.unwrap(), there);
    let gone = fixture.git.retract(&fixture.repo, BRANCH, &commit).await.unwrap();
    assert_eq!(gone, Retracted::Gone);
    assert_eq!(fixture.git.remote_tip(&fixture.repo, BRANCH).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_begin_one_branch_both_land_or_are_told() {
    let fixture = Fixture::new().await;
    let work = fixture.folder.path().join("work");
    let base = fixture.git.checkout_unborn(&fixture.repo, &work).await.unwrap();
    let first = fixture.commit(&base, "dev.1/1", &[("a.yaml", "tag: 1\n")]).await;
    let second = fixture.commit(&base, "qa.1/1", &[("b.yaml", "tag: 1\n")]).await;
    let third = fixture.commit(&base, "qa.2/1", &[("a.yaml", "tag: 2\n")]).await;
    let request = |commit, mark| PushRequest {
        branch: BRANCH.to_owned(),
        create: true,
        stands_on: Some(base.clone()),
        ..fixture.push_request(commit, mark)
    };
    fixture.git.push(request(&first.commit, "dev.1/1")).await.unwrap();
    let pushed = fixture.git.push(request(&second.commit, "qa.1/1")).await.unwrap();
    let PushOutcome::Pushed { previous_tip, .. } = pushed else { panic!("{pushed:?}") };
    assert_eq!(previous_tip.as_ref(), Some(&first.commit), "it goes on top");
    let listed = git_in(&fixture.served(), &["ls-tree", "--name-only", BRANCH]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["a.yaml", "b.yaml"]);
    assert_eq!(git_in(&fixture.served(), &["rev-list", "--count", BRANCH]).trim(), "2");
    let refused = fixture.git.push(request(&third.commit, "qa.2/1")).await.unwrap_err();
    let GitError::Conflict { files, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(files, &["a.yaml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_commit_gets_its_first() {
    let fixture = Fixture::new().await;
    let served = fixture.folder.path().join("served/empty.git");
    init_bare(&served).unwrap();
    let repo = fixture.server.url("empty.git").parse().unwrap();
    let work = fixture.folder.path().join("work");
    let main = Revision::Branch("main".to_owned());
    let missing = fixture.git.checkout(&repo, &main, &[], &work).await;
    assert!(matches!(missing, Err(GitError::BranchNotFound { .. })), "{missing:?}");
    let base = fixture.git.checkout_unborn(&repo, &work).await.unwrap();
    let files = [("app.yaml", "tag: 1\n")];
    let made = crate::fixture::commit_with(&fixture.git, &repo, &base, "dev.1/1", &files).await;
    let request = PushRequest {
        create: true,
        ..crate::fixture::push_request(&repo, &made.commit, "dev.1/1")
    };
    fixture.git.push(request).await.unwrap();
    assert_eq!(git_in(&served, &["show", "main:app.yaml"]), "tag: 1\n");
    // The server keeps its default branch: what is on it goes all the same.
    let kept = fixture.git.retract(&repo, "main", &made.commit).await;
    assert!(matches!(kept, Err(GitError::Rejected { .. })), "{kept:?}");
    let undo =
        RevertRequest { repo: repo.clone(), ..fixture.revert_request(&made.commit, "dev.1/1") };
    fixture.git.revert(undo).await.unwrap();
    assert_eq!(git_in(&served, &["ls-tree", "--name-only", "main"]), "");
}
