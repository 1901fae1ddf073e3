//! Many callers, one branch: what waits goes up in one push, and nobody pays for another.

use std::os::unix::fs::PermissionsExt as _;
use std::pin::Pin;
use std::sync::mpsc;

use futures::future::{Join, JoinAll, join_all};
use reconciler_effects::git::{GitError, PushOutcome};

use crate::fixture::{Fixture, git_in};

type Push<'a> = Pin<Box<dyn Future<Output = Result<PushOutcome, GitError>> + 'a>>;

/// A push that the server holds on to, and others that wait behind it.
struct Queue<'a> {
    fixture: &'a Fixture,
    release: mpsc::Sender<()>,
    first: Push<'a>,
}

impl<'a> Queue<'a> {
    /// Pushes, and comes back once the server has begun with it.
    async fn behind_a_push(fixture: &'a Fixture) -> Self {
        let (release, released) = mpsc::channel();
        let (begun, beginning) = tokio::sync::oneshot::channel();
        fixture.server.before_next_push(move || {
            begun.send(()).unwrap();
            released.recv().unwrap();
        });
        let mut first = push(fixture, "first.0/1", ("first.txt", "x\n")).await;
        tokio::select! {
            ended = &mut first => panic!("the server holds it: {ended:?}"),
            begun = beginning => begun.unwrap(),
        }
        Self { fixture, release, first }
    }

    /// One push for each file, all of them waiting.
    async fn waiting(&self, files: &[(&str, &str)]) -> JoinAll<Push<'a>> {
        let mut pushes = Vec::new();
        for (n, file) in files.iter().enumerate() {
            pushes.push(push(self.fixture, &format!("dev.{n}/1"), *file).await);
        }
        let mut all = join_all(pushes);
        // Each is asked once, which puts it into the queue.
        tokio::select! {
            biased;
            ended = &mut all => panic!("one push is under way: {ended:?}"),
            () = std::future::ready(()) => {}
        }
        all
    }

    /// Lets the first push go; what it and the others come to.
    fn go(self, others: JoinAll<Push<'a>>) -> Join<Push<'a>, JoinAll<Push<'a>>> {
        self.fixture.server.take_hits();
        self.release.send(()).unwrap();
        futures::future::join(self.first, others)
    }
}

/// A commit of one file on the branch's present tip, ready to be pushed.
async fn push<'a>(fixture: &'a Fixture, mark: &str, file: (&str, &str)) -> Push<'a> {
    let base = git_in(&fixture.served(), &["rev-parse", "main"]);
    let made = fixture.commit(&base.trim().parse().unwrap(), mark, &[file]).await;
    Box::pin(fixture.git.push(fixture.push_request(&made.commit, mark)))
}

fn subjects(fixture: &Fixture) -> Vec<String> {
    let log = git_in(&fixture.served(), &["log", "--reverse", "--format=%s", "main"]);
    log.lines().map(str::to_owned).collect()
}

fn pushes(fixture: &Fixture) -> usize {
    let hits = fixture.server.take_hits().into_iter();
    hits.filter(|hit| hit.request.starts_with("POST") && hit.request.contains("receive")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_up_in_one_push_with_a_commit_each() {
    let fixture = Fixture::new().await;
    let queue = Queue::behind_a_push(&fixture).await;
    let files: Vec<String> = (0..20).map(|n| format!("{n}.txt")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "x\n")).collect();
    let others = queue.waiting(&files).await;
    let (first, others) = queue.go(others).await;
    let mut tip = first.unwrap();
    for (n, pushed) in others.into_iter().enumerate() {
        let pushed = pushed.unwrap();
        let PushOutcome::Pushed { previous_tip: Some(previous), .. } = &pushed else {
            panic!("{n}: {pushed:?}");
        };
        let PushOutcome::Pushed { commit, .. } = &tip else { panic!("{n}: {tip:?}") };
        assert_eq!(previous, commit, "{n} stands on the one before");
        tip = pushed;
    }
    let promoted = (0..20).map(|n| format!("Promote dev.{n}/1"));
    let before = ["first".to_owned(), "Promote first.0/1".to_owned()];
    assert_eq!(subjects(&fixture), before.into_iter().chain(promoted).collect::<Vec<_>>());
    assert_eq!(pushes(&fixture), 2, "the first, and all others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moves_is_built_on_anew_for_all() {
    let fixture = Fixture::new().await;
    let queue = Queue::behind_a_push(&fixture).await;
    let others = queue.waiting(&[("a.txt", "x\n"), ("b.txt", "x\n")]).await;
    fixture.server.before_next_push(|| {});
    let people = fixture.people.clone();
    fixture.server.before_next_push(move || {
        people.change("other.txt", "x\n", "in between");
    });
    let (first, others) = queue.go(others).await;
    first.unwrap();
    for pushed in others {
        assert!(matches!(pushed, Ok(PushOutcome::Pushed { attempts: 2, .. })), "{pushed:?}");
    }
    let all = ["first", "Promote first.0/1", "in between", "Promote dev.0/1", "Promote dev.1/1"];
    assert_eq!(subjects(&fixture), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_hook_refuses_takes_nobody_along() {
    let fixture = Fixture::new().await;
    let hook = fixture.served().join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let refuses = "#!/bin/sh\ngit log --format=%s $2..$3 | grep -q dev.1/ && exit 1\nexit 0\n";
    std::fs::write(&hook, refuses).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let queue = Queue::behind_a_push(&fixture).await;
    let others = queue.waiting(&[("a.txt", "x\n"), ("b.txt", "x\n"), ("c.txt", "x\n")]).await;
    let (first, others) = queue.go(others).await;
    first.unwrap();
    let rejected: Vec<bool> =
        others.iter().map(|pushed| matches!(pushed, Err(GitError::Rejected { .. }))).collect();
    assert_eq!(rejected, [false, true, false], "{others:?}");
    let all = ["first", "Promote first.0/1", "Promote dev.0/1", "Promote dev.2/1"];
    assert_eq!(subjects(&fixture), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_change_the_same_line_do_not_both_land() {
    let fixture = Fixture::new().await;
    let queue = Queue::behind_a_push(&fixture).await;
    let others = queue.waiting(&[("a.txt", "one\n"), ("a.txt", "two\n"), ("b.txt", "x\n")]).await;
    let (first, others) = queue.go(others).await;
    first.unwrap();
    let [Ok(_), Err(GitError::Conflict { files, .. }), Ok(_)] = others.as_slice() else {
        panic!("{others:?}");
    };
    assert_eq!(files, &["a.txt"]);
    let all = ["first", "Promote first.0/1", "Promote dev.0/1", "Promote dev.2/1"];
    assert_eq!(subjects(&fixture), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pushes_for_all_may_go_away_in_the_middle() {
    let fixture = Fixture::new().await;
    let queue = Queue::behind_a_push(&fixture).await;
    let leader = queue.waiting(&[("leader.txt", "x\n")]).await;
    let mut others = Vec::new();
    for n in 1..4 {
        let mark = format!("dev.{n}/1");
        others.push(push(&fixture, &mark, (&format!("{n}.txt"), "x\n")).await);
    }
    let mut others = join_all(others);
    tokio::select! {
        biased;
        ended = &mut others => panic!("one push is under way: {ended:?}"),
        () = std::future::ready(()) => {}
    }
    fixture.server.before_next_push(|| {});
    let (release, released) = mpsc::channel::<()>();
    let (begun, beginning) = tokio::sync::oneshot::channel();
    fixture.server.before_next_push(move || {
        begun.send(()).unwrap();
        // Ends with an error once the leader is gone; either way the server goes on.
        let _gone = released.recv();
    });
    let mut led = queue.go(leader);
    tokio::select! {
        ended = &mut led => panic!("the server holds the second push: {ended:?}"),
        ended = &mut others => panic!("the server holds the second push: {ended:?}"),
        begun = beginning => begun.unwrap(),
    }
    drop(led);
    drop(release);
    for pushed in others.await {
        pushed.unwrap();
    }
    let mut subjects = subjects(&fixture);
    subjects.retain(|subject| subject != "Promote dev.0/1");
    subjects.sort();
    let mut all =
        ["first", "Promote first.0/1", "Promote dev.1/1", "Promote dev.2/1", "Promote dev.3/1"];
    all.sort_unstable();
    assert_eq!(subjects, all, "each once, whatever became of the leader's own");
}
