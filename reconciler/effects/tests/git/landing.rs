//! Pushing: exactly once, whatever happens.

use std::collections::BTreeSet;

use reconciler_effects::git::{
    Class, GitError, IfMoved, Mark, PushOutcome, PushRequest, RevertOutcome, Trailer,
};

use crate::fixture::{Fixture, VALUES, commit_with, git_in, push_request};

fn mark(text: &str) -> Mark {
    Mark { commit: None, trailer: Trailer::promotion(text).unwrap(), since: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_lands_once() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let made = fixture.commit(&base, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let observe = async || fixture.git.observe(&fixture.repo, "main", &mark("dev.1/1")).await;
    assert_eq!(observe().await.unwrap(), None);

    let push = async || fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await;
    let (commit, previous_tip) = (made.commit.clone(), Some(base));
    let first = PushOutcome::Pushed { commit: commit.clone(), previous_tip, attempts: 1 };
    assert_eq!(push().await.unwrap(), first);
    assert_eq!(fixture.on_server("app.yaml"), "tag: 1\n");
    assert_eq!(push().await.unwrap(), PushOutcome::AlreadyThere { commit: commit.clone() });
    assert_eq!(observe().await.unwrap(), Some(commit.clone()));

    fixture.people.change("other.txt", "x\n", "later");
    assert_eq!(push().await.unwrap(), PushOutcome::AlreadyThere { commit: commit.clone() });
    let since = Mark { since: Some(commit), ..mark("dev.1/1") };
    let later = fixture.git.observe(&fixture.repo, "main", &since).await.unwrap();
    assert_eq!(later, None, "the search ends before the commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_branch_at_rest_is_three_requests() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let made = fixture.commit(&base, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    fixture.server.take_hits();
    fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await.unwrap();
    let requests = fixture.server.take_hits().into_iter().map(|hit| hit.request);
    insta::assert_snapshot!(requests.collect::<Vec<_>>().join("\n"), @r"
    POST /app.git/git-upload-pack
    GET /app.git/info/refs?service=git-receive-pack
    POST /app.git/git-receive-pack
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_does_not_land_twice() {
    let fixture = Fixture::new().await;
    let made = fixture.commit(&fixture.tip().await, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let push = async || fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await;
    fixture.server.lose_next_reply();
    let error = push().await.unwrap_err();
    assert!(error.is_open() && error.to_string().contains("502"), "{error:?}");
    assert_eq!(error.class(), Class::Retry);
    assert_eq!(push().await.unwrap(), PushOutcome::AlreadyThere { commit: made.commit.clone() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reapplied_commit_is_known_by_its_trailer() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let made = fixture.commit(&base, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let theirs = fixture.people.change("other.txt", "x\n", "meanwhile");
    let push = async || fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await;
    let PushOutcome::Pushed { commit, previous_tip, attempts } = push().await.unwrap() else {
        panic!("it cannot be there yet");
    };
    assert_ne!(commit, made.commit);
    assert_eq!((previous_tip, attempts), (Some(theirs), 1));
    assert_eq!(fixture.on_server("app.yaml"), "tag: 1\n");
    assert_eq!(fixture.on_server("other.txt"), "x\n");

    assert_eq!(push().await.unwrap(), PushOutcome::AlreadyThere { commit: commit.clone() });
    let fresh = fixture.another_git("fresh");
    let seen = fresh.observe(&fixture.repo, "main", &mark("dev.1/1")).await.unwrap();
    assert_eq!(seen, Some(commit));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lease_is_noticed_by_the_server_and_built_anew() {
    let fixture = Fixture::new().await;
    let made = fixture.commit(&fixture.tip().await, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let people = fixture.people.clone();
    fixture.server.before_next_push(move || {
        people.change("other.txt", "x\n", "in between");
    });
    let pushed = fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await.unwrap();
    assert!(matches!(pushed, PushOutcome::Pushed { attempts: 2, .. }), "{pushed:?}");
    let log = git_in(&fixture.served(), &["log", "--format=%s", "main"]);
    assert_eq!(log, "Promote dev.1/1\nin between\nfirst\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commits_go_up_together() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let one = fixture.commit(&base, "dev.1/1", &[("one.txt", "1\n")]).await;
    let two = fixture.commit(&one.commit, "dev.1/2", &[("two.txt", "2\n")]).await;
    fixture.people.change("other.txt", "x\n", "meanwhile");
    fixture.git.push(fixture.push_request(&two.commit, "dev.1/2")).await.unwrap();
    let log = git_in(&fixture.served(), &["log", "--format=%s", "main"]);
    assert_eq!(log, "Promote dev.1/2\nPromote dev.1/1\nmeanwhile\nfirst\n");
}

async fn race(fixture: &Fixture, apart: bool) {
    let base = fixture.tip().await;
    let writers = (0..8).map(|n| {
        let git = if apart { fixture.another_git(&format!("w{n}")) } else { fixture.git.clone() };
        let (repo, base) = (fixture.repo.clone(), base.clone());
        tokio::spawn(async move {
            let (mark, file) = (format!("dev.{n}/1"), format!("writer-{n}.txt"));
            let made = commit_with(&git, &repo, &base, &mark, &[(&file, "x\n")]).await;
            git.push(push_request(&repo, &made.commit, &mark)).await.unwrap()
        })
    });
    let mut commits = BTreeSet::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            PushOutcome::Pushed { commit, .. } => commits.insert(commit.to_string()),
            PushOutcome::AlreadyThere { commit } => panic!("{commit} was there before"),
        };
    }
    let log = git_in(&fixture.served(), &["log", "--format=%H", &format!("{base}..main")]);
    let landed: Vec<&str> = log.lines().collect();
    assert_eq!(landed.len(), 8, "each change once");
    assert_eq!(landed.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), commits);
    let files = git_in(&fixture.served(), &["ls-tree", "--name-only", "main"]);
    assert_eq!(files.lines().filter(|file| file.starts_with("writer-")).count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_of_one_process_all_land() {
    race(&Fixture::new().await, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_of_eight_processes_all_land() {
    race(&Fixture::new().await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_pushed_is_joined_if_asked_for() {
    let fixture = Fixture::new().await;
    let made = fixture.commit(&fixture.tip().await, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let theirs = fixture.people.change("other.txt", "x\n", "theirs");
    let request = fixture.push_request(&made.commit, "dev.1/1");
    let request = PushRequest { if_moved: IfMoved::Merge, ..request };
    let PushOutcome::Pushed { commit, previous_tip, .. } =
        fixture.git.push(request.clone()).await.unwrap()
    else {
        panic!("it was not there");
    };
    assert_eq!(previous_tip, Some(theirs.clone()));
    let parents = git_in(&fixture.served(), &["log", "-1", "--format=%P", "main"]);
    assert_eq!(parents.trim(), format!("{theirs} {}", made.commit));
    let message = git_in(&fixture.served(), &["log", "-1", "--format=%B", "main"]);
    let short = &made.commit.as_str()[..10];
    let expected = format!("Merge {short} into main\n\nLockstep-Promotion: dev.1/1");
    assert_eq!(message.trim_end(), expected);
    assert_eq!(fixture.on_server("app.yaml") + &fixture.on_server("other.txt"), "tag: 1\nx\n");
    // Others go on; it is found by whoever comes after a crash.
    fixture.people.change("third.txt", "y\n", "later");
    let there = PushOutcome::AlreadyThere { commit: commit.clone() };
    assert_eq!(fixture.git.push(request).await.unwrap(), there);
    // Its undo takes back what it brought, and nothing else.
    let undone = fixture.git.revert(fixture.revert_request(&commit, "dev.1/1")).await.unwrap();
    assert!(matches!(undone, RevertOutcome::Reverted { .. }), "{undone:?}");
    let files = git_in(&fixture.served(), &["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "other.txt\nthird.txt\nvalues.yaml\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_join_is_theirs() {
    for if_moved in [IfMoved::Rebase, IfMoved::Merge, IfMoved::Fail] {
        let fixture = Fixture::new().await;
        let base = fixture.tip().await;
        let made = fixture.commit(&base, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
        let request = PushRequest { if_moved, ..fixture.push_request(&made.commit, "dev.1/1") };
        fixture.git.push(request.clone()).await.unwrap();
        // Somebody who had begun before pulls, which joins both, and pushes.
        fixture.people.git(&["checkout", "--quiet", "-B", "main", base.as_str()]);
        fixture.people.write("other.txt", "x\n");
        fixture.people.commit("theirs");
        fixture.people.git(&["fetch", "--quiet", "origin"]);
        fixture.people.git(&["merge", "--quiet", "--no-edit", "origin/main"]);
        fixture.people.git(&["push", "--quiet", "origin", "HEAD:main"]);
        let there = PushOutcome::AlreadyThere { commit: made.commit.clone() };
        assert_eq!(fixture.git.push(request).await.unwrap(), there, "{if_moved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_joined_names_the_files() {
    let fixture = Fixture::new().await;
    let ours = VALUES.replace("first: 1", "first: 2");
    let made = fixture.commit(&fixture.tip().await, "dev.1/1", &[("values.yaml", &ours)]).await;
    let tip = fixture.people.change("values.yaml", &VALUES.replace("first: 1", "first: 3"), "them");
    let request = fixture.push_request(&made.commit, "dev.1/1");
    let refused = fixture.git.push(PushRequest { if_moved: IfMoved::Merge, ..request }).await;
    let Err(GitError::Conflict { files, theirs, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((files, theirs), (vec!["values.yaml".to_owned()], tip));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moved_is_left_alone_if_asked_for() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let first = fixture.commit(&base, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let second = fixture.commit(&base, "dev.2/1", &[("web.yaml", "tag: 1\n")]).await;
    let request = |commit, mark| PushRequest {
        if_moved: IfMoved::Fail,
        ..fixture.push_request(commit, mark)
    };
    let landed = fixture.git.push(request(&first.commit, "dev.1/1")).await.unwrap();
    assert!(matches!(landed, PushOutcome::Pushed { .. }), "{landed:?}");
    let refused = fixture.git.push(request(&second.commit, "dev.2/1")).await.unwrap_err();
    assert!(matches!(&refused, GitError::BranchMoved { theirs, .. } if *theirs == first.commit));
    assert_eq!(refused.class(), Class::Never);
    // A second commit of the same checkout holds the first one's changes, too.
    let both = [("app.yaml", "tag: 2\n"), ("more.yaml", "tag: 2\n")];
    let more = fixture.commit(&base, "dev.1/2", &both).await;
    let own = vec![first.commit.clone()];
    let pushed = fixture.git.push(PushRequest { own, ..request(&more.commit, "dev.1/2") }).await;
    let PushOutcome::Pushed { commit, previous_tip, .. } = pushed.unwrap() else { panic!() };
    assert_eq!(previous_tip.as_ref(), Some(&first.commit), "nobody else was there");
    assert_eq!(fixture.on_server("more.yaml"), "tag: 2\n");
    assert_eq!(fixture.on_server("app.yaml"), "tag: 2\n", "nothing had to be joined");
    fixture.people.change("other.txt", "x\n", "theirs");
    let last = fixture.commit(&base, "dev.1/3", &[("last.yaml", "tag: 3\n")]).await;
    let own = vec![first.commit.clone(), commit];
    let refused = fixture.git.push(PushRequest { own, ..request(&last.commit, "dev.1/3") }).await;
    assert!(matches!(refused, Err(GitError::BranchMoved { .. })), "{refused:?}");
    let there = PushOutcome::AlreadyThere { commit: first.commit.clone() };
    assert_eq!(fixture.git.push(request(&first.commit, "dev.1/1")).await.unwrap(), there);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_off_a_branch_does_not_come_back() {
    for policy in [IfMoved::Rebase, IfMoved::Merge] {
        for sideways in [false, true] {
            let fixture = Fixture::new().await;
            let start = fixture.tip().await;
            let leak = fixture.people.change("secret.txt", "hunter2\n", "by mistake");
            let made = fixture.commit(&leak, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
            fixture.people.git(&["reset", "--quiet", "--hard", start.as_str()]);
            if sideways {
                fixture.people.write("other.txt", "x\n");
                fixture.people.commit("instead");
            }
            fixture.people.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
            let request = fixture.push_request(&made.commit, "dev.1/1");
            let stands_on = Some(leak.clone());
            let request = PushRequest { if_moved: policy, stands_on, ..request };
            let tip = fixture.tip().await;
            let refused = fixture.git.push(request).await.unwrap_err();
            let GitError::Rewritten { gone, theirs, .. } = &refused else { panic!("{refused:?}") };
            assert_eq!((gone, theirs), (&leak, &tip));
            assert_eq!(refused.class(), Class::Never);
            assert_eq!(fixture.tip().await, tip, "nothing was pushed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_files_and_both_tips() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let ours = VALUES.replace("first: 1", "first: ours");
    let made = fixture.commit(&base, "dev.1/1", &[("values.yaml", &ours)]).await;
    let theirs = VALUES.replace("first: 1", "first: theirs");
    let tip = fixture.people.change("values.yaml", &theirs, "theirs");
    let error = fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await.unwrap_err();
    assert_eq!(error.class(), Class::Never);
    let text = error.to_string().replace(fixture.repo.as_str(), "REPO");
    let text = text.replace(made.commit.as_str(), "OURS").replace(tip.as_str(), "THEIRS");
    insta::assert_snapshot!(
        text,
        @r#"REPO: branch "main" at THEIRS changed what OURS changes too: values.yaml"#
    );
    assert_eq!(fixture.tip().await, tip, "nothing was pushed");

    let far = VALUES.replace("last: 1", "last: ours");
    let made = fixture.commit(&base, "dev.1/2", &[("values.yaml", &far)]).await;
    fixture.git.push(fixture.push_request(&made.commit, "dev.1/2")).await.unwrap();
    let both = VALUES.replace("first: 1", "first: theirs").replace("last: 1", "last: ours");
    assert_eq!(fixture.on_server("values.yaml"), both);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_made_only_if_asked_for() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let made = fixture.commit(&base, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let mut request = fixture.push_request(&made.commit, "dev.1/1");
    request.branch = "env/dev".into();
    let refused = fixture.git.push(request.clone()).await;
    assert!(matches!(refused, Err(GitError::BranchNotFound { .. })), "{refused:?}");
    request.create = true;
    let commit = made.commit.clone();
    let pushed = PushOutcome::Pushed { commit: commit.clone(), previous_tip: None, attempts: 1 };
    assert_eq!(fixture.git.push(request.clone()).await.unwrap(), pushed);
    assert_eq!(fixture.git.push(request).await.unwrap(), PushOutcome::AlreadyThere { commit });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_server_is_not_a_race() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new().await;
    let hook = fixture.served().join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let made = fixture.commit(&fixture.tip().await, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let error = fixture.git.push(fixture.push_request(&made.commit, "dev.1/1")).await.unwrap_err();
    let text = error.to_string().replace(fixture.repo.as_str(), "REPO");
    insta::assert_snapshot!(text, @r#"REPO: the push to branch "main" was refused: hook declined"#);
    assert_eq!(error.class(), Class::Never);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_never_rests_is_given_up() {
    let fixture = Fixture::new().await;
    let made = fixture.commit(&fixture.tip().await, "dev.1/1", &[("app.yaml", "tag: 1\n")]).await;
    let people = fixture.people.clone();
    fixture.server.before_next_push(move || {
        people.change("other.txt", "x\n", "in between");
    });
    let mut request = fixture.push_request(&made.commit, "dev.1/1");
    request.max_attempts = 1;
    let error = fixture.git.push(request).await.unwrap_err();
    assert!(matches!(error, GitError::Contended { attempts: 1, .. }), "{error:?}");
    assert_eq!(error.class(), Class::Retry);
}
