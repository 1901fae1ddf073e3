//! A served repository, a clone to play the other people with, and a git room.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use reconciler_effects::git::{
    CommitId, CommitOutcome, CommitRequest, Credentials, FileEdit, Git, GitConfig, IfMoved,
    NewCommit, PushOutcome, PushRequest, RepoUrl, RevertRequest, Secret, Signature, Source,
    Trailer,
};
use tempfile::TempDir;

use crate::githttp::{Access, GitHttp, init_bare};

pub(crate) const PASSWORD: &str = "hunter2-canary";

/// Ten lines, so that changes at both ends do not touch.
pub(crate) const VALUES: &str = "first: 1\n2\n3\n4\n5\n6\n7\n8\n9\nlast: 1\n";

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) server: GitHttp,
    pub(crate) repo: RepoUrl,
    pub(crate) git: Git,
    pub(crate) people: People,
}

/// Somebody else's clone, worked on with the real git.
#[derive(Clone)]
pub(crate) struct People {
    path: PathBuf,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        init_bare(&served.join("app.git")).unwrap();
        let access = Access::Basic { username: "ci".into(), password: PASSWORD.into() };
        let server = GitHttp::start(&served, access).await.unwrap();
        let repo: RepoUrl = server.url("app.git").parse().unwrap();
        let git = Git::open(config(&folder.path().join("mirrors"))).unwrap();
        let people = People::clone(&served.join("app.git"), &folder.path().join("people"));
        people.write("values.yaml", VALUES);
        people.commit("first");
        people.git(&["push", "--quiet", "origin", "HEAD:main"]);
        server.take_hits();
        Self { folder, server, repo, git, people }
    }

    /// Another process, as it were: a room with mirrors of its own.
    pub(crate) fn another_git(&self, name: &str) -> Git {
        Git::open(config(&self.folder.path().join(name))).unwrap()
    }

    pub(crate) fn served(&self) -> PathBuf {
        self.folder.path().join("served/app.git")
    }

    pub(crate) async fn tip(&self) -> CommitId {
        self.git.remote_tip(&self.repo, "main").await.unwrap().unwrap()
    }

    /// A commit of single files on `base`.
    pub(crate) async fn commit(
        &self,
        base: &CommitId,
        mark: &str,
        files: &[(&str, &str)],
    ) -> NewCommit {
        commit_with(&self.git, &self.repo, base, mark, files).await
    }

    pub(crate) fn push_request(&self, commit: &CommitId, mark: &str) -> PushRequest {
        push_request(&self.repo, commit, mark)
    }

    /// Commits and pushes; gives the commit on the branch.
    pub(crate) async fn land(&self, mark: &str, files: &[(&str, &str)]) -> CommitId {
        let made = self.commit(&self.tip().await, mark, files).await;
        match self.git.push(self.push_request(&made.commit, mark)).await.unwrap() {
            PushOutcome::Pushed { commit, .. } => commit,
            PushOutcome::AlreadyThere { .. } => panic!("it cannot be there yet"),
        }
    }

    pub(crate) fn revert_request(&self, commit: &CommitId, mark: &str) -> RevertRequest {
        RevertRequest {
            repo: self.repo.clone(),
            branch: "main".into(),
            commit: commit.clone(),
            author: signature(),
            committer: signature(),
            message: format!("Undo {mark}"),
            trailer: Trailer::undo(mark).unwrap(),
            max_attempts: 10,
        }
    }

    /// A file on the server's branch, read by the real git.
    pub(crate) fn on_server(&self, path: &str) -> String {
        git_in(&self.served(), &["show", &format!("main:{path}")])
    }
}

pub(crate) fn config(mirrors: &Path) -> GitConfig {
    let mut config = GitConfig::new(mirrors);
    config.workers = 8;
    config.credentials = Arc::new(basic(PASSWORD));
    config
}

pub(crate) fn basic(password: &str) -> Credentials {
    Credentials::Basic { username: "ci".into(), password: Secret::new(password) }
}

pub(crate) fn signature() -> Signature {
    Signature {
        name: "Lockstep".into(),
        email: "lockstep@example.com".into(),
        time: "2026-11-21T12:00:00Z".parse().unwrap(),
    }
}

pub(crate) fn commit_request(
    repo: &RepoUrl,
    base: &CommitId,
    mark: &str,
    source: Source,
) -> CommitRequest {
    CommitRequest {
        repo: repo.clone(),
        base: base.clone(),
        source,
        author: signature(),
        committer: signature(),
        message: format!("Promote {mark}"),
        trailers: vec![Trailer::promotion(mark).unwrap()],
    }
}

pub(crate) async fn commit_with(
    git: &Git,
    repo: &RepoUrl,
    base: &CommitId,
    mark: &str,
    files: &[(&str, &str)],
) -> NewCommit {
    let edits = files.iter().map(|(path, content)| FileEdit {
        path: (*path).into(),
        content: Some(content.as_bytes().to_vec()),
    });
    let request = commit_request(repo, base, mark, Source::Edits(edits.collect()));
    match git.commit(request).await.unwrap() {
        CommitOutcome::Committed(made) => made,
        CommitOutcome::Unchanged { .. } => panic!("{mark} changes nothing"),
    }
}

pub(crate) fn push_request(repo: &RepoUrl, commit: &CommitId, mark: &str) -> PushRequest {
    PushRequest {
        repo: repo.clone(),
        branch: "main".into(),
        commit: commit.clone(),
        trailer: Trailer::promotion(mark).unwrap(),
        create: false,
        if_moved: IfMoved::Rebase,
        stands_on: None,
        own: Vec::new(),
        max_attempts: 10,
    }
}

impl People {
    fn clone(served: &Path, path: &Path) -> Self {
        let source = served.to_str().unwrap();
        git_in(Path::new("/"), &["clone", "--quiet", source, path.to_str().unwrap()]);
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything; gives the id.
    pub(crate) fn commit(&self, subject: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).trim().parse().unwrap()
    }

    /// Takes over what is on the server, changes one file and pushes.
    pub(crate) fn change(&self, name: &str, content: &str, subject: &str) -> CommitId {
        self.git(&["fetch", "--quiet", "origin"]);
        self.git(&["checkout", "--quiet", "-B", "main", "origin/main"]);
        self.write(name, content);
        let id = self.commit(subject);
        self.git(&["push", "--quiet", "origin", "main"]);
        id
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.path, arguments)
    }
}

pub(crate) fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(folder).args(arguments);
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "Jo Doe");
        git.env(format!("GIT_{who}_EMAIL"), "jo@example.com");
    }
    let output = git.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}
