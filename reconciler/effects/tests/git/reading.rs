//! Polling, fetching, discovery, reading files and differences.

use reconciler_effects::git::{Change, GitError, HistoryLimit, Revision};

use crate::fixture::{Fixture, VALUES, git_in};

fn requests(fixture: &Fixture) -> Vec<String> {
    let port = |hit: crate::githttp::Hit| hit.request;
    fixture.server.take_hits().into_iter().map(port).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_one_request_once_the_server_is_known() {
    let fixture = Fixture::new().await;
    let tip = fixture.people.git(&["rev-parse", "HEAD"]);
    assert_eq!(fixture.tip().await.as_str(), tip.trim());
    fixture.server.take_hits();
    assert_eq!(fixture.tip().await.as_str(), tip.trim());
    insta::assert_debug_snapshot!(requests(&fixture), @r#"
    [
        "POST /app.git/git-upload-pack",
    ]
    "#);
    let missing = fixture.git.remote_tip(&fixture.repo, "mai").await.unwrap();
    assert_eq!(missing, None, "a prefix of a branch is not the branch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_old_protocol_is_understood() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    fixture.server.speak_old_protocol();
    assert_eq!(fixture.tip().await, tip, "known for version 2, but downgraded since");
    assert_eq!(fixture.tip().await, tip);
    assert_eq!(fixture.git.remote_tip(&fixture.repo, "none").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_costs_what_is_new() {
    let fixture = Fixture::new().await;
    let noise: String = (0..200_000_u64).map(|n| format!("{}\n", n.wrapping_mul(0x9E37))).collect();
    fixture.people.change("big.txt", &noise, "big");
    let branch = Revision::Branch("main".into());
    let size = |hits: Vec<crate::githttp::Hit>| hits.iter().map(|hit| hit.answered).sum::<usize>();

    fixture.git.fetch(&fixture.repo, &branch).await.unwrap();
    let first = size(fixture.server.take_hits());
    let id = fixture.people.change("small.txt", "small\n", "small");
    assert_eq!(fixture.git.fetch(&fixture.repo, &branch).await.unwrap(), id);
    let second = size(fixture.server.take_hits());
    assert!(first > 100_000 && second < 5_000, "{first} then {second} bytes");

    assert_eq!(fixture.git.fetch(&fixture.repo, &branch).await.unwrap(), id);
    assert_eq!(requests(&fixture).len(), 1, "nothing new: one poll");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_filters_by_path_and_stops_at_its_limits() {
    let fixture = Fixture::new().await;
    for n in 0..4 {
        fixture.people.change("apps/a.yaml", &format!("a: {n}\n"), &format!("a {n}"));
        fixture.people.change("apps/b.yaml", &format!("b: {n}\n"), &format!("b {n}"));
    }
    let find = async |commits, scan| {
        let filter = |paths: &[String]| paths.iter().any(|path| path == "apps/a.yaml");
        let limit = HistoryLimit { commits, scan };
        let found = fixture.git.discover(&fixture.repo, "main", filter, limit).await.unwrap();
        let subjects: Vec<_> = found.commits.iter().map(|c| c.subject.clone()).collect();
        (subjects.join(", "), found.scanned, found.complete)
    };
    assert_eq!(find(20, 100).await, ("a 3, a 2, a 1, a 0".into(), 9, true));
    assert_eq!(find(2, 100).await, ("a 3, a 2".into(), 4, true));
    assert_eq!(find(20, 4).await, ("a 3, a 2".into(), 4, false));

    let all = HistoryLimit::default();
    let found = fixture.git.discover(&fixture.repo, "main", |_| true, all).await.unwrap();
    assert_eq!(found.tip, found.commits[0].id);
    assert_eq!(found.commits[0].author, "Jo Doe <jo@example.com>");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_counts_with_what_it_brought_and_its_side_branch_does_not() {
    let fixture = Fixture::new().await;
    let people = &fixture.people;
    people.git(&["checkout", "--quiet", "-b", "side"]);
    people.write("side.txt", "side\n");
    people.commit("on the side");
    people.git(&["checkout", "--quiet", "-"]);
    people.write("main.txt", "main\n");
    people.commit("on main");
    people.git(&["merge", "--quiet", "--no-ff", "--message", "merge side", "side"]);
    people.git(&["push", "--quiet", "origin", "HEAD:main"]);
    let filter = |paths: &[String]| paths == ["side.txt"];
    let limit = HistoryLimit::default();
    let found = fixture.git.discover(&fixture.repo, "main", filter, limit).await.unwrap();
    let subjects: Vec<_> = found.commits.iter().map(|c| c.subject.as_str()).collect();
    assert_eq!(subjects, ["merge side"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_differences() {
    let fixture = Fixture::new().await;
    let old = fixture.tip().await;
    fixture.people.change("extra.txt", "extra\n", "extra");
    let new = fixture.people.change("values.yaml", &VALUES.replace("last: 1", "last: 2"), "two");
    let read = async |path: &str| fixture.git.file_at(&fixture.repo, &new, path).await;
    assert_eq!(read("extra.txt").await.unwrap().unwrap(), b"extra\n");
    assert_eq!(read("nowhere.txt").await.unwrap(), None);
    assert!(matches!(read("../x").await, Err(GitError::UnsafePath { .. })));

    let files = fixture.git.diff(&fixture.repo, &old, &new).await.unwrap();
    let brief: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.change, f.truncated)).collect();
    let want = [("extra.txt", Change::Added, false), ("values.yaml", Change::Modified, false)];
    assert_eq!(brief, want);
    insta::assert_snapshot!(files[1].patch, @r"
    diff --git a/values.yaml b/values.yaml
    index 808df79..bf10402 100644
    --- a/values.yaml
    +++ b/values.yaml
    @@ -7,4 +7,4 @@ first: 1
     7
     8
     9
    -last: 1
    +last: 2
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_commits_of_other_branches_are_found() {
    let fixture = Fixture::new().await;
    fixture.people.git(&["tag", "--annotate", "--message", "release", "v1"]);
    fixture.people.git(&["checkout", "--quiet", "-b", "other"]);
    fixture.people.write("other.txt", "other\n");
    let older = fixture.people.commit("older");
    fixture.people.commit("newer");
    fixture.people.git(&["push", "--quiet", "origin", "other", "v1"]);
    let fetch = async |revision| fixture.git.fetch(&fixture.repo, &revision).await;
    assert_eq!(fetch(Revision::Tag("v1".into())).await.unwrap(), fixture.tip().await);
    assert_eq!(fetch(Revision::Commit(older.clone())).await.unwrap(), older);
    let missing = fetch(Revision::Tag("v2".into())).await;
    assert!(matches!(missing, Err(GitError::TagNotFound { .. })), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_name_may_become_a_folder_of_branches() {
    let fixture = Fixture::new().await;
    let (people, repo) = (&fixture.people, &fixture.repo);
    people.git(&["push", "--quiet", "origin", "HEAD:env"]);
    fixture.git.fetch(repo, &Revision::Branch("env".into())).await.unwrap();
    people.git(&["push", "--quiet", "origin", ":env"]);
    people.write("x", "x\n");
    let id = people.commit("x");
    people.git(&["push", "--quiet", "origin", "HEAD:env/prod"]);
    let fetched = fixture.git.fetch(repo, &Revision::Branch("env/prod".into())).await.unwrap();
    assert_eq!(fetched, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_mirror_is_made_anew() {
    let fixture = Fixture::new().await;
    let branch = Revision::Branch("main".into());
    let tip = fixture.git.fetch(&fixture.repo, &branch).await.unwrap();
    let mirrors = fixture.folder.path().join("mirrors");
    let mirror = std::fs::read_dir(&mirrors).unwrap().next().unwrap().unwrap().path();
    git_in(&mirror, &["cat-file", "-e", tip.as_str()]);

    // Objects are missing that the refs lead to.
    std::fs::remove_dir_all(mirror.join("objects")).unwrap();
    std::fs::create_dir(mirror.join("objects")).unwrap();
    assert_eq!(fixture.git.fetch(&fixture.repo, &branch).await.unwrap(), tip);
    git_in(&mirror, &["fsck", "--strict"]);

    // It is no repository any more.
    std::fs::write(mirror.join("HEAD"), "nonsense").unwrap();
    std::fs::remove_dir_all(mirror.join("objects")).unwrap();
    assert_eq!(fixture.git.fetch(&fixture.repo, &branch).await.unwrap(), tip);
    git_in(&mirror, &["fsck", "--strict"]);
}
