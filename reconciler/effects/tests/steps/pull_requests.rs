//! Pull requests in each dialect of the forges: what happens once, what is waited for, what is refused,
//! and in which words.

use std::time::Duration;

use axum::http::StatusCode;
use reconciler_domain::step::{
    Asks, AwaitCall, Call, CloseCall, CommentCall, ForgeKind, MergeCall, MergeMethod, MergedRecord,
    OpenCall, OpenedRecord, PullRequestAt, PullRequestCall, PullRequestRecord, Record, StepOutcome,
};
use reconciler_effects::{Halted, Workdir};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::forge::{Dialect, How, Standing};
use crate::world::{World, cx, done, git, name, now};

const DIALECTS: [Dialect; 3] = [Dialect::GitHub, Dialect::GitLab, Dialect::Gitea];

fn kind(dialect: Dialect) -> ForgeKind {
    match dialect {
        Dialect::GitHub => ForgeKind::GitHub,
        Dialect::GitLab => ForgeKind::GitLab,
        Dialect::Gitea => ForgeKind::Gitea,
    }
}

pub(crate) fn open_call(world: &World, source: &str) -> PullRequestCall {
    PullRequestCall::Open(opening(world, source))
}

fn opening(world: &World, source: &str) -> OpenCall {
    OpenCall {
        forge: kind(world.forge.dialect()),
        repo: world.forge_repo(),
        source: source.to_owned(),
        target: "main".to_owned(),
        title: "api 2.0.0".to_owned(),
        description: "Promotes api 2.0.0.".to_owned(),
        labels: vec!["lockstep".to_owned()],
        draft: false,
        nothing_pushed: false,
        mark: "prod.1/pr".to_owned(),
        asks: Asks::No,
    }
}

pub(crate) fn at(world: &World, number: usize) -> PullRequestAt {
    PullRequestAt {
        forge: kind(world.forge.dialect()),
        repo: world.forge_repo(),
        number: Some(u64::try_from(number).unwrap()),
    }
}

pub(crate) fn merge_call(world: &World, number: usize, head: &str) -> PullRequestCall {
    PullRequestCall::Merge(merging(world, number, head))
}

fn merging(world: &World, number: usize, head: &str) -> MergeCall {
    MergeCall {
        at: at(world, number),
        method: MergeMethod::Squash,
        target: Some("main".to_owned()),
        head: Some(head.to_owned()),
        brings: Some(1),
        interval: Duration::from_secs(30),
        until: now(),
        asks: Asks::No,
    }
}

fn waiting(world: &World, number: usize) -> AwaitCall {
    let until = now() + Duration::from_secs(3600);
    AwaitCall { at: at(world, number), target: None, interval: Duration::from_secs(30), until }
}

pub(crate) fn comment_call(world: &World, number: usize, text: &str) -> PullRequestCall {
    let (text, mark) = (text.to_owned(), "prod.1/said".to_owned());
    PullRequestCall::Comment(CommentCall { at: at(world, number), text, mark })
}

async fn run(world: &World, call: PullRequestCall) -> Result<StepOutcome, Halted> {
    let task = world.task("pr", Call::PullRequest(call));
    world.run_until(&task, &CancellationToken::new()).await
}

async fn ends(world: &World, call: PullRequestCall) -> (Map<String, Value>, Record) {
    done(run(world, call).await.unwrap())
}

async fn fails(world: &World, call: PullRequestCall) -> (String, bool) {
    match run(world, call).await.unwrap() {
        StepOutcome::Failed { message, retry, .. } => {
            // The port is another each time.
            (message.replace(&world.forge_repo(), "REPO"), retry)
        }
        other => panic!("{other:?}"),
    }
}

/// What is so instead of what is waited for, and the pause.
async fn waits(world: &World, call: PullRequestCall) -> (String, Duration) {
    match run(world, call).await {
        Err(Halted::NotYet { message, again }) => (message, again),
        other => panic!("{other:?}"),
    }
}

fn opened(record: Record) -> OpenedRecord {
    match record {
        Record::PullRequest(PullRequestRecord::Opened(opened)) => opened,
        other => panic!("{other:?}"),
    }
}

fn merged(record: Record) -> MergedRecord {
    match record {
        Record::PullRequest(PullRequestRecord::Merged(merged)) => merged,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_is_opened_once_and_found_again() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        let head = world.propose("change", "change.txt", "x\n");
        // Others from the same branch, as many as fill more than a page.
        for _ in 0..3 {
            let number = world.forge.open("change", "main", "").unwrap();
            world.forge.close(number);
        }
        world.forge.lose_next_answer();
        let (message, retry) = fails(&world, open_call(&world, "change")).await;
        assert!(retry && message.contains("502"), "{dialect:?}: {message}");
        for _ in 0..2 {
            let (outputs, record) = ends(&world, open_call(&world, "change")).await;
            assert_eq!((&outputs["number"], &outputs["state"]), (&json!(4), &json!("open")));
            let opened = opened(record);
            assert_eq!((opened.number, opened.made, &opened.head), (4, true, &head), "{dialect:?}");
        }
        let pulls = world.forge.pulls();
        assert_eq!(pulls.len(), 4, "{dialect:?}");
        assert_eq!(
            pulls[3].body,
            "Promotes api 2.0.0.\n\n<!-- Lockstep-Promotion: shop/prod.1/pr -->"
        );
        assert_eq!(
            (pulls[3].title.as_str(), &pulls[3].labels[..]),
            ("api 2.0.0", &["lockstep".to_owned()][..])
        );

        // Merged by somebody, its branch deleted: it is what was asked for.
        world.forge.merge(4, How::Merge).unwrap();
        git(&world.path("served/app.git"), &["branch", "-D", "change"]);
        let (outputs, _) = ends(&world, open_call(&world, "change")).await;
        assert_eq!(outputs["state"], json!("merged"), "{dialect:?}");
        assert_eq!(world.forge.pulls().len(), 4, "{dialect:?}");
    }
}

#[tokio::test]
async fn drafts_are_drafts() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        world.propose("change", "change.txt", "x\n");
        let call = OpenCall { draft: true, labels: Vec::new(), ..opening(&world, "change") };
        ends(&world, PullRequestCall::Open(call)).await;
        assert!(world.forge.pulls()[0].draft, "{dialect:?}");
    }
}

#[tokio::test]
async fn what_others_opened_is_taken_only_from_the_same_project() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        world.propose("change", "change.txt", "x\n");
        let marker = "<!-- Lockstep-Promotion: shop/prod.0/pr -->";
        let number = world.forge.open("change", "main", marker).unwrap();
        let (_, record) = ends(&world, open_call(&world, "change")).await;
        let record = opened(record);
        assert_eq!((record.number, record.made), (1, false), "{dialect:?}");
        assert_eq!(world.forge.pulls()[0].labels, [""; 0], "it is not ours to change");
        world.forge.close(number);
        world.forge.open("change", "main", "by hand").unwrap();
        let (message, retry) = fails(&world, open_call(&world, "change")).await;
        assert!(!retry && message.contains("was not opened by this project"), "{message}");
    }
}

#[tokio::test]
async fn nothing_to_merge_is_no_pull_request() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        git(&world.path("served/app.git"), &["branch", "same", "main"]);
        let nothing = json!({ "number": null, "url": null, "state": "none" });
        let (outputs, _) = ends(&world, open_call(&world, "same")).await;
        assert_eq!(json!(outputs), nothing, "{dialect:?}");
        let call = OpenCall { nothing_pushed: true, ..opening(&world, "gone") };
        let (outputs, _) = ends(&world, PullRequestCall::Open(call)).await;
        assert_eq!(json!(outputs), nothing, "{dialect:?}");
        let (message, retry) = fails(&world, open_call(&world, "gone")).await;
        assert_eq!(
            message,
            "REPO has no branch \"gone\" to open a pull request for: push it before"
        );
        assert!(!retry);

        let looks = world.forge.looks();
        let none = PullRequestAt { number: None, ..at(&world, 1) };
        let call = AwaitCall { at: none.clone(), ..waiting(&world, 1) };
        let (outputs, _) = ends(&world, PullRequestCall::Await(call)).await;
        assert_eq!(json!(outputs), json!({ "commit": null, "merged": false }));
        let call = MergeCall { at: none, head: None, ..merging(&world, 1, "") };
        let (outputs, _) = ends(&world, PullRequestCall::Merge(call)).await;
        assert_eq!(json!(outputs), json!({ "commit": null, "merged": false }));
        assert_eq!((world.forge.happened(), world.forge.looks()), (0, looks), "nobody is asked");
    }
}

#[tokio::test]
async fn a_merge_is_waited_for() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        let head = world.propose("change", "change.txt", "x\n");
        let number = world.forge.open("change", "main", "").unwrap();
        let call = || PullRequestCall::Await(waiting(&world, number));
        assert_eq!(waits(&world, call()).await, ("it is open".to_owned(), Duration::from_secs(30)));
        // A forge that is away is asked again.
        world.forge.answer_next(StatusCode::BAD_GATEWAY, &[], json!({}));
        assert!(waits(&world, call()).await.0.contains("502"), "{dialect:?}");
        let busy = [("retry-after", "90".to_owned())];
        world.forge.answer_next(StatusCode::TOO_MANY_REQUESTS, &busy, json!({}));
        assert_eq!(waits(&world, call()).await.1, Duration::from_secs(90), "{dialect:?}");
        // Its time is over.
        let late = AwaitCall { until: now(), ..waiting(&world, number) };
        let (message, retry) = fails(&world, PullRequestCall::Await(late)).await;
        assert!(!retry && message.contains("neither merged nor closed"), "{message}");

        let commit = world.forge.merge(number, How::Merge).unwrap();
        let (outputs, record) = ends(&world, call()).await;
        assert_eq!(json!(outputs), json!({ "commit": commit, "merged": true }), "{dialect:?}");
        let record = merged(record);
        assert!(record.whole && record.commit.as_ref() == Some(&commit), "{dialect:?}");
        assert_ne!(commit, head);

        world.propose("other", "other.txt", "x\n");
        let number = world.forge.open("other", "main", "").unwrap();
        world.forge.close(number);
        let (message, retry) = fails(&world, PullRequestCall::Await(waiting(&world, number))).await;
        assert!(!retry && message.ends_with("was closed without being merged"), "{message}");
    }
}

#[tokio::test]
async fn a_wait_is_broken_off_at_once() {
    let world = World::new().await;
    world.propose("change", "change.txt", "x\n");
    let number = world.forge.open("change", "main", "").unwrap();
    let call = Call::PullRequest(PullRequestCall::Await(waiting(&world, number)));
    let order = CancellationToken::new();
    order.cancel();
    let broken = world.run_until(&world.task("merged", call), &order).await;
    assert_eq!(broken, Err(Halted::Interrupted));
    // A merge that was not asked for yet is not, and says so.
    let head = world.tip_of("change");
    let task = world.task("merge", Call::PullRequest(merge_call(&world, number, &head)));
    let StepOutcome::Failed { message, .. } = world.run_until(&task, &order).await.unwrap() else {
        panic!("it was broken off")
    };
    assert_eq!(message, "it was broken off before the forge was asked to merge");
    assert_eq!(world.forge.merged(), 0);
}

#[tokio::test]
async fn only_what_was_approved_is_merged() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        let head = world.propose("change", "change.txt", "x\n");
        let number = world.forge.open("change", "main", "").unwrap();

        world.forge.hold(Some("checks are missing"));
        let (message, _) = fails(&world, merge_call(&world, number, &head)).await;
        assert!(message.contains("cannot be merged now"), "{dialect:?}: {message}");
        let patient =
            MergeCall { until: now() + Duration::from_secs(60), ..merging(&world, number, &head) };
        let (_, pause) = waits(&world, PullRequestCall::Merge(patient)).await;
        assert_eq!(pause, Duration::from_secs(30), "{dialect:?}");
        world.forge.hold(None);

        // Who may edit it leads it elsewhere; who was there before goes along.
        let elsewhere =
            MergeCall { target: Some("staging".into()), ..merging(&world, number, &head) };
        let (message, retry) = fails(&world, PullRequestCall::Merge(elsewhere)).await;
        assert!(!retry && message.contains("was opened for \"staging\""), "{message}");
        let alone = MergeCall { brings: Some(0), ..merging(&world, number, &head) };
        let (message, retry) = fails(&world, PullRequestCall::Merge(alone)).await;
        assert!(!retry && message.contains("brings more commits than the 0"), "{message}");

        // Somebody pushes more.
        let people = world.path("people");
        git(&people, &["checkout", "--quiet", "change"]);
        world.write("more.txt", "y\n");
        git(&people, &["add", "--all"]);
        git(&people, &["commit", "--quiet", "-m", "more"]);
        git(&people, &["push", "--quiet", "origin", "HEAD:change"]);
        let (message, retry) = fails(&world, merge_call(&world, number, &head)).await;
        assert!(!retry && message.contains("somebody pushed to its branch"), "{message}");
        assert_eq!(world.forge.merged(), 0, "{dialect:?}");

        // The answer is lost; the merge is there, once.
        let head = world.tip_of("change");
        let both = || {
            PullRequestCall::Merge(MergeCall { brings: Some(2), ..merging(&world, number, &head) })
        };
        world.forge.lose_next_answer();
        let (message, retry) = fails(&world, both()).await;
        assert!(retry, "{message}");
        let (outputs, record) = ends(&world, both()).await;
        assert_eq!(outputs["commit"], json!(world.tip()), "{dialect:?}");
        assert!(merged(record).whole && world.forge.merged() == 1, "{dialect:?}");
        assert_eq!(world.published("more.txt"), "y\n");

        // Merged with what nobody approved.
        let other = git(&people, &["rev-parse", "HEAD^"]).trim().to_owned();
        let (message, retry) = fails(&world, merge_call(&world, number, &other)).await;
        assert!(!retry && message.contains("was merged by somebody with commit"), "{message}");
    }
}

#[tokio::test]
async fn a_revert_takes_back_what_was_merged_as_one() {
    for (how, whole) in [(How::Merge, true), (How::Squash, true), (How::Rebase, false)] {
        let world = World::new().await;
        world.propose("change", "change.txt", "x\n");
        git(&world.path("people"), &["checkout", "--quiet", "change"]);
        world.propose("change", "change.txt", "y\n");
        git(&world.path("people"), &["checkout", "--quiet", "-B", "main", "origin/main"]);
        world.write("other.txt", "theirs\n");
        world.publish("theirs");
        let number = world.forge.open("change", "main", "").unwrap();
        world.forge.merge(number, how).unwrap();
        let (_, record) = ends(&world, PullRequestCall::Await(waiting(&world, number))).await;
        assert_eq!(merged(record).whole, whole, "{how:?}");
    }
}

#[tokio::test]
async fn closing_and_saying_happen_once() {
    for dialect in DIALECTS {
        let world = World::at(dialect, None).await;
        world.propose("change", "change.txt", "x\n");
        let (outputs, record) = ends(&world, open_call(&world, "change")).await;
        let number = usize::try_from(outputs["number"].as_u64().unwrap()).unwrap();
        for text in ["one", "two", "three"] {
            world.forge.say(number, text);
        }
        world.forge.lose_next_answer();
        assert!(fails(&world, comment_call(&world, number, "on its way")).await.1);
        world.forge.say(number, "four");
        for _ in 0..2 {
            ends(&world, comment_call(&world, number, "on its way")).await;
        }
        let comments = &world.forge.pulls()[0].comments;
        let ours = comments.iter().filter(|text| text.contains("on its way")).count();
        assert_eq!((comments.len(), ours), (5, 1), "{dialect:?}");

        let opened = opened(record);
        let undo = |mark: &str| {
            let mark = Some(mark.to_owned());
            PullRequestCall::Close(CloseCall { at: at(&world, number), mark })
        };
        let (message, retry) = fails(&world, undo("prod.2/pr")).await;
        assert!(!retry && message.contains("close it by hand"), "{message}");
        for _ in 0..2 {
            ends(&world, undo(&opened.mark)).await;
        }
        assert_eq!(world.forge.pulls()[0].standing, Standing::Closed);
        let again = world.forge.open("change", "main", "").unwrap();
        world.forge.merge(again, How::Merge).unwrap();
        let call = CloseCall { at: at(&world, again), mark: None };
        let (message, retry) = fails(&world, PullRequestCall::Close(call)).await;
        assert!(!retry && message.contains("so it cannot be closed"), "{message}");
    }
}

#[tokio::test]
async fn a_forge_that_says_no_is_told_in_our_words() {
    let world = World::at(Dialect::GitHub, None).await;
    world.propose("change", "change.txt", "x\n");
    let said = async |status: u16, headers: &[(&'static str, String)], body: Value| {
        world.forge.answer_next(StatusCode::from_u16(status).unwrap(), headers, body);
        let call = CloseCall { at: at(&world, 7), mark: None };
        let (message, retry) = fails(&world, PullRequestCall::Close(call)).await;
        format!("{message} [retry: {retry}]")
    };
    let message = |text: &str| json!({ "message": text });
    insta::assert_snapshot!(said(401, &[], message("Requires authentication")).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 wants a token (401: Requires authentication); give the project a git credential for this repository with a token as its password, which needs read and write access to the contents and the pull requests of the repository [retry: false]");
    insta::assert_snapshot!(said(403, &[], message("Resource not accessible by personal access token")).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 forbids it (403: Resource not accessible by personal access token); the token needs read and write access to the contents and the pull requests of the repository [retry: false]");
    insta::assert_snapshot!(said(404, &[], message("Not Found")).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 finds nothing there (404: Not Found); check the repository's URL and the number, and that the token may see it: it needs read and write access to the contents and the pull requests of the repository [retry: false]");
    let invalid = json!({ "message": "Validation Failed", "errors": [{ "message": "No commits between main and change" }] });
    insta::assert_snapshot!(said(422, &[], invalid).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 refuses it (422: Validation Failed; No commits between main and change) [retry: false]");
    let secondary = message("You have exceeded a secondary rate limit.");
    insta::assert_snapshot!(said(403, &[], secondary).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 takes no more requests with this token for 1m [retry: true]");
    let reset = (now() + Duration::from_secs(600)).as_second().to_string();
    let spent = [("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset)];
    insta::assert_snapshot!(said(403, &spent, message("API rate limit exceeded")).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 takes no more requests with this token for 10m [retry: true]");
    insta::assert_snapshot!(said(429, &[("retry-after", "5".to_owned())], message("slow down")).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 takes no more requests with this token for 5s [retry: true]");
    insta::assert_snapshot!(said(503, &[], message("unavailable")).await, @"GET /api/v3/repos/shop/app/pulls/7: 127.0.0.1 answered 503, which may pass: unavailable [retry: true]");
    insta::assert_snapshot!(said(200, &[], json!({ "iid": 7 })).await, @"GET /api/v3/repos/shop/app/pulls/7: the answer of 127.0.0.1 is not understood: missing field `number` at line 1 column 9; is it the forge that `forge` says? [retry: false]");
    let call = OpenCall { repo: "/srv/git/app.git".to_owned(), ..opening(&world, "change") };
    insta::assert_snapshot!(fails(&world, PullRequestCall::Open(call)).await.0, @"repository /srv/git/app.git is not one of a forge: its URL has to name a host, an owner and a repository");
}

#[tokio::test]
async fn a_label_has_to_be_there_where_labels_are_kept() {
    let world = World::at(Dialect::Gitea, None).await;
    world.propose("change", "change.txt", "x\n");
    let call = OpenCall { labels: vec!["none".to_owned()], ..opening(&world, "change") };
    let outcome = run(&world, PullRequestCall::Open(call)).await.unwrap();
    let StepOutcome::Failed { message, retry, record, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(message, "labels: the repository has no label \"none\"; make it, or leave it out");
    assert!(!retry && opened(record).made, "what was opened is on record, and undone");
}

#[tokio::test]
async fn the_context_of_a_call_says_whose_it_is() {
    let world = World::new().await;
    world.propose("change", "change.txt", "x\n");
    ends(&world, open_call(&world, "change")).await;
    // The same promotion of another project is another one.
    let cx =
        reconciler_effects::RunContext { project: "other".parse().unwrap(), ..cx(Workdir::Main) };
    let call = Call::PullRequest(open_call(&world, "change"));
    let order = CancellationToken::new();
    let outcome = world.open().run(&cx, &name("pr"), &call, &[], &order).await.unwrap();
    let StepOutcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("was not opened by this project"), "{message}");
}
