//! What people are told when something is wrong, and what they are never told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reconciler_effects::git::{
    Class, CommitId, Credentials, Git, GitError, KeyFile, RepoUrl, Revision, Secret,
};
use reconciler_effects::http::EgressPolicy;
use tokio::net::TcpListener;

use crate::fixture::{Fixture, PASSWORD, basic, config};
use crate::githttp::{Access, GitHttp};

fn told(fixture: &Fixture, error: &GitError) -> String {
    let server = fixture.server.url("");
    format!("{:?}: {}", error.class(), error.to_string().replace(&server, "http://SERVER/"))
}

async fn fetch_error(git: &Git, repo: &RepoUrl, branch: &str) -> GitError {
    git.fetch(repo, &Revision::Branch(branch.into())).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_say_what_and_where() {
    let fixture = Fixture::new().await;
    let (git, repo) = (&fixture.git, &fixture.repo);
    let missing = fetch_error(git, repo, "nope").await;
    insta::assert_snapshot!(told(&fixture, &missing), @r#"Never: http://SERVER/app.git: no branch "nope"; create it or correct the name"#);
    let name = fetch_error(git, repo, "a b").await;
    insta::assert_snapshot!(told(&fixture, &name), @r#"Never: "a b" is not a valid branch or tag name"#);
    let commit: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let commit = git.fetch(repo, &Revision::Commit(commit)).await.unwrap_err();
    insta::assert_snapshot!(told(&fixture, &commit), @"Never: http://SERVER/app.git: no commit 0123456789abcdef0123456789abcdef01234567 on any branch");
    let nowhere: RepoUrl = fixture.server.url("nowhere.git").parse().unwrap();
    let nowhere = fetch_error(git, &nowhere, "main").await;
    insta::assert_snapshot!(told(&fixture, &nowhere), @"Never: http://SERVER/nowhere.git: repository not found; check the URL, and that the credentials may see it");
    let wrong = git.scoped("p", Arc::new(basic("wrong-canary")));
    let wrong = fetch_error(&wrong, repo, "main").await;
    insta::assert_snapshot!(told(&fixture, &wrong), @"Never: http://SERVER/app.git: credentials refused (HTTP 401); check the secret of this repository");
    let none = git.scoped("p", Arc::new(Credentials::Anonymous));
    let none = fetch_error(&none, repo, "main").await;
    insta::assert_snapshot!(told(&fixture, &none), @"Never: http://SERVER/app.git: credentials refused (HTTP 401, none were sent); check the secret of this repository");
    let key = git.scoped("p", Arc::new(Credentials::SshKey(KeyFile::of(Path::new("/key")))));
    let key = fetch_error(&key, repo, "main").await;
    insta::assert_snapshot!(told(&fixture, &key), @"Never: http://SERVER/app.git: no credentials: an ssh key cannot be used with an http URL");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host() {
    let fixture = Fixture::new().await;
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let repo: RepoUrl = format!("http://{address}/app.git").parse().unwrap();
    let error = fixture.git.remote_tip(&repo, "main").await.unwrap_err();
    let text = error.to_string().replace(&address.to_string(), "HOST");
    insta::assert_snapshot!(text, @"http://HOST/app.git: cannot be reached: Connection refused (os error 111)");
    assert_eq!(error.class(), Class::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_egress_policy_is_asked() {
    let fixture = Fixture::new().await;
    let mut closed = config(&fixture.folder.path().join("closed"));
    closed.egress = EgressPolicy::default();
    let closed = Git::open(closed).unwrap();
    let named: RepoUrl = fixture.repo.as_str().replace("127.0.0.1", "localhost").parse().unwrap();
    for repo in [&fixture.repo, &named] {
        let error = closed.remote_tip(repo, "main").await.unwrap_err();
        assert!(matches!(error, GitError::Blocked { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Never);
    }
    assert_eq!(fixture.server.take_hits(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_answers() {
    let fixture = Fixture::new().await;
    let router = axum::Router::new().fallback(|| async { "hello" });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let repo: RepoUrl = format!("http://{address}/app.git").parse().unwrap();
    let error = fixture.git.remote_tip(&repo, "main").await.unwrap_err();
    let text = error.to_string().replace(&address.to_string(), "HOST");
    insta::assert_snapshot!(text, @"http://HOST/app.git: not a git repository: the server answered with text/plain; charset=utf-8, not with application/x-git-upload-pack-advertisement");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_says_when_to_come_back() {
    let fixture = Fixture::new().await;
    let busy = axum::http::StatusCode::TOO_MANY_REQUESTS;
    let router =
        axum::Router::new().fallback(move || async move { (busy, [("retry-after", "7")]) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let repo: RepoUrl =
        format!("http://{}/app.git", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let error = fixture.git.remote_tip(&repo, "main").await.unwrap_err();
    assert!(matches!(error, GitError::Server { status: 429, .. }), "{error:?}");
    assert_eq!((error.class(), error.retry_after()), (Class::Retry, Some(Duration::from_secs(7))));
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_stay_inside_the_host() {
    use axum::http::{Uri, header};
    let fixture = Fixture::new().await;
    let real = fixture.server.url("");
    let router = axum::Router::new().fallback(move |uri: Uri| {
        let to = if uri.path().starts_with("/away") {
            uri.to_string().replace("/away", real.trim_end_matches('/'))
        } else {
            uri.to_string()
        };
        async move { (axum::http::StatusCode::FOUND, [(header::LOCATION, to)]) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let ask = async |path: &str| {
        let repo: RepoUrl = format!("http://{address}/{path}").parse().unwrap();
        fixture.git.remote_tip(&repo, "main").await.unwrap_err()
    };
    fixture.server.take_hits();
    let away = ask("away/app.git").await;
    assert!(matches!(away, GitError::Moved { .. }), "{away:?}");
    assert_eq!(fixture.server.take_hits(), [], "no credentials for another port");
    let endless = ask("loop/app.git").await;
    assert!(matches!(endless, GitError::Protocol { .. }), "{endless:?}");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_meets_the_deadline_and_the_shutdown() {
    let fixture = Fixture::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let repo: RepoUrl =
        format!("http://{}/app.git", listener.local_addr().unwrap()).parse().unwrap();
    let mut impatient = config(&fixture.folder.path().join("impatient"));
    impatient.timeouts.idle = Duration::from_millis(50);
    let impatient = Git::open(impatient).unwrap();
    let error = impatient.remote_tip(&repo, "main").await.unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Retry);

    let patient = config(&fixture.folder.path().join("patient"));
    let shutdown = patient.shutdown.clone();
    let patient = Git::open(patient).unwrap();
    let waiting = tokio::spawn(async move { patient.remote_tip(&repo, "main").await });
    // The first connection was the impatient one's; a second shows that the other waits now.
    let first = listener.accept().await.unwrap();
    let second = listener.accept().await.unwrap();
    shutdown.cancel();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, GitError::Cancelled { .. }), "{error:?}");
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn local_repositories_need_permission() {
    let fixture = Fixture::new().await;
    let path = fixture.served();
    let repo: RepoUrl = path.to_str().unwrap().try_into().unwrap();
    let error = fetch_error(&fixture.git, &repo, "main").await;
    assert!(matches!(error, GitError::LocalNotAllowed { .. }), "{error:?}");

    let mut allowed = config(&fixture.folder.path().join("allowed"));
    allowed.allow_local = true;
    let git = Git::open(allowed).unwrap();
    let tip = git.fetch(&repo, &Revision::Branch("main".into())).await.unwrap();
    assert_eq!(tip, fixture.tip().await);
    let nowhere: RepoUrl = "/nowhere/at/all".try_into().unwrap();
    let error = fetch_error(&git, &nowhere, "main").await;
    assert!(matches!(error, GitError::RepositoryNotFound { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_do_not_share_mirrors() {
    let fixture = Fixture::new().await;
    let tip = fixture.git.fetch(&fixture.repo, &Revision::Branch("main".into())).await.unwrap();
    let other = fixture.git.scoped("other", Arc::new(Credentials::Anonymous));
    let read = other.file_at(&fixture.repo, &tip, "values.yaml").await;
    assert!(matches!(read, Err(GitError::CredentialsRefused { .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_sent_as_such() {
    let fixture = Fixture::new().await;
    let git = fixture.git.scoped("b", Arc::new(Credentials::Bearer(Secret::new(PASSWORD))));
    let error = fetch_error(&git, &fixture.repo, "main").await;
    assert!(matches!(error, GitError::CredentialsRefused { .. }), "{error:?}");
    let open = GitHttp::start(fixture.folder.path().join("served"), Access::Open).await.unwrap();
    let repo: RepoUrl = open.url("app.git").parse().unwrap();
    assert_eq!(git.remote_tip(&repo, "main").await.unwrap(), Some(fixture.tip().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_text() {
    let fixture = Fixture::new().await;
    let credentials = basic(PASSWORD);
    let wrong = fixture.git.scoped("p", Arc::new(basic("wrong-canary")));
    let mut texts = vec![
        format!("{credentials:?}"),
        format!("{:?}", config(fixture.folder.path())),
        format!("{:?} {wrong:?}", fixture.git),
    ];
    for repo in [fixture.server.url("app.git"), fixture.server.url("nowhere.git")] {
        let repo: RepoUrl = repo.parse().unwrap();
        for git in [&fixture.git, &wrong] {
            let error = fetch_error(git, &repo, "nope").await;
            texts.push(format!("{error} {error:?}"));
        }
    }
    fixture.git.fetch(&fixture.repo, &Revision::Branch("main".into())).await.unwrap();
    let grep = std::process::Command::new("grep")
        .args(["--recursive", "--files-with-matches", "canary"])
        .arg(fixture.folder.path().join("mirrors"))
        .output()
        .unwrap();
    texts.push(String::from_utf8(grep.stdout).unwrap());
    for text in texts {
        assert!(!text.contains("canary") && !text.contains("aHVudGVy"), "{text}");
    }
}

/// Stands in for ssh: notes its arguments, then runs what the far end would run.
const FAKE_SSH: &str = r#"#!/bin/sh
printf '%s\n' "$@" >> "$0.log"
for last; do :; done
case "$last" in
    *refused*) echo 'git@example.com: Permission denied (publickey).' >&2; exit 255;;
    *silent*) echo 'ssh: connect to host example.com port 22: No route to host' >&2; exit 255;;
esac
exec sh -c "$last"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn ssh_is_run_with_fixed_options() {
    let fixture = Fixture::new().await;
    let program = fixture.folder.path().join("fake-ssh");
    fs::write(&program, FAKE_SSH).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = config(&fixture.folder.path().join("ssh"));
    config.ssh.program = program.clone();
    config.credentials = Arc::new(Credentials::SshKey(KeyFile::of(Path::new("/keys/deploy"))));
    let git = Git::open(config).unwrap();
    let served = fixture.served();
    let repo: RepoUrl = format!("ssh://git@example.com:2222{}", served.display()).parse().unwrap();

    let branch = Revision::Branch("main".into());
    let tip = git.fetch(&repo, &branch).await.unwrap();
    assert_eq!(tip, fixture.tip().await);
    let made = crate::fixture::commit_with(&git, &repo, &tip, "dev.1/1", &[("a", "a\n")]).await;
    git.push(crate::fixture::push_request(&repo, &made.commit, "dev.1/1")).await.unwrap();
    assert_eq!(fixture.tip().await, made.commit);

    let log = fs::read_to_string(fixture.folder.path().join("fake-ssh.log")).unwrap();
    let first = log.split("git-upload-pack").next().unwrap();
    insta::assert_snapshot!(first, @r#"
    -o
    BatchMode=yes
    -o
    StrictHostKeyChecking=yes
    -o
    ConnectTimeout=10
    -o
    ServerAliveInterval=30
    -o
    ServerAliveCountMax=1
    -o
    ClearAllForwardings=yes
    -o
    PermitLocalCommand=no
    -o
    IdentitiesOnly=yes
    -o
    IdentityFile="/keys/deploy"
    -p
    2222
    --
    git@example.com
    "#);

    let ask = async |repo: &str| fetch_error(&git, &repo.try_into().unwrap(), "main").await;
    let refused = ask("git@example.com:refused.git").await;
    insta::assert_snapshot!(refused, @"git@example.com:refused.git: credentials refused (git@example.com: Permission denied (publickey).); check the secret of this repository");
    let silent = ask("git@example.com:silent.git").await;
    insta::assert_snapshot!(silent, @"git@example.com:silent.git: cannot be reached: ssh: connect to host example.com port 22: No route to host");
    let missing = ask("ssh://git@example.com/nowhere/at/all.git").await;
    assert!(matches!(missing, GitError::RepositoryNotFound { .. }), "{missing:?}");
    let token = git.scoped("t", Arc::new(basic(PASSWORD)));
    let token = fetch_error(&token, &repo, "main").await;
    assert!(matches!(token, GitError::CredentialsMissing { .. }), "{token:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_future_frees_its_thread() {
    let fixture = Fixture::new().await;
    let program = fixture.folder.path().join("hanging-ssh");
    let started = fixture.folder.path().join("started");
    let script = format!("#!/bin/sh\necho x > {}\nexec sleep 600\n", started.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = config(&fixture.folder.path().join("one"));
    config.workers = 1;
    config.ssh.program = program;
    let git = Git::open(config).unwrap();
    let hanging = git.scoped("ssh", Arc::new(Credentials::Anonymous));
    let repo: RepoUrl = "git@example.com:app.git".try_into().unwrap();
    let task = tokio::spawn(async move { hanging.remote_tip(&repo, "main").await });
    while !started.exists() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let tip = git.fetch(&fixture.repo, &Revision::Branch("main".into())).await.unwrap();
    assert_eq!(tip, fixture.tip().await);
}
