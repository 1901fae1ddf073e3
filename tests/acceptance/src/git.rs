//! Git: git's own HTTP backend, bare repositories, and commits made by git itself.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::Router;
use tempfile::TempDir;

use crate::forge::Forge;
use crate::hosting;
use crate::process::{self, Run};
use crate::{At as _, Failure, Outcome};

#[expect(dead_code, reason = "shared with tests that also make the server misbehave")]
#[path = "../../../reconciler/effects/tests/support/githttp.rs"]
mod githttp;

use githttp::{Access, GitHttp, init_bare};

const DEADLINE: Duration = Duration::from_secs(60);
/// Between the fields of a log entry; no commit message has it.
const FIELD: char = '\u{1f}';

/// Who writes commits unless a test says otherwise.
pub const AUTHOR: Author = Author { name: "Grace", mail: "grace@example.com" };

/// Who writes a commit.
#[derive(Debug, Clone, Copy)]
pub struct Author {
    /// The name.
    pub name: &'static str,
    /// The address.
    pub mail: &'static str,
}

/// A git server over HTTP, with its repositories in a temporary folder.
pub struct GitServer {
    http: GitHttp,
    root: TempDir,
}

impl GitServer {
    /// Starts a server that lets everybody read and push.
    ///
    /// # Errors
    /// There is no git, or no port.
    pub async fn start() -> Outcome<Self> {
        Self::start_as(Access::Open).await
    }

    /// Starts a server that wants this user name and password.
    ///
    /// # Errors
    /// There is no git, or no port.
    pub async fn start_private(username: &str, password: &str) -> Outcome<Self> {
        let (username, password) = (username.to_owned(), password.to_owned());
        Self::start_as(Access::Basic { username, password }).await
    }

    /// Starts a server that wants this user name and token, and beside it a forge that wants the token:
    /// of the repository that is made under [`REPOSITORY`](crate::forge::REPOSITORY).
    ///
    /// # Errors
    /// There is no git, or no port.
    pub async fn start_with_forge(username: &str, token: &str) -> Outcome<(Self, Forge)> {
        let root = process::folder("git")?;
        let forge = Forge::beside(root.path(), token);
        let (username, password) = (username.to_owned(), token.to_owned());
        let server = Self::start_in(root, Access::Basic { username, password }, forge.router());
        Ok((server.await?, forge))
    }

    async fn start_as(access: Access) -> Outcome<Self> {
        Self::start_in(process::folder("git")?, access, Router::new()).await
    }

    async fn start_in(root: TempDir, access: Access, beside: Router) -> Outcome<Self> {
        process::program("git")?;
        let (address, path) = (SocketAddr::from(([127, 0, 0, 1], 0)), root.path().to_owned());
        let started = GitHttp::start_beside(address, path, access, beside);
        let http = hosting::run(started).await?.at("the git server")?;
        Ok(Self { http, root })
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> String {
        self.http.url("").trim_end_matches('/').to_owned()
    }

    /// Makes an empty repository.
    ///
    /// # Errors
    /// It is there already, or git fails.
    pub async fn create(&self, name: &str) -> Outcome<Repo> {
        let bare = self.root.path().join(format!("{name}.git"));
        if bare.exists() {
            return Err(Failure::new(format!("there is a repository {name} already")));
        }
        init_bare(&bare).at(format_args!("making repository {name}"))?;
        let tree = self.root.path().join(format!("{name}.tree"));
        let repo = Repo { url: self.http.url(&format!("{name}.git")), bare, tree };
        repo.git_at(self.root.path(), &["clone", "--quiet", &repo.bare_path(), &repo.tree_path()])
            .await?;
        Ok(repo)
    }
}

/// A repository of the server. Reads and writes go past HTTP, so that only Lockstep's own requests
/// reach the server.
#[derive(Debug, Clone)]
pub struct Repo {
    /// Where clients find it.
    pub url: String,
    bare: PathBuf,
    tree: PathBuf,
}

/// A commit as git shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its full id.
    pub id: String,
    /// `Name <mail>`.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// The trailers of its message, name and value.
    pub trailers: Vec<(String, String)>,
}

impl Commit {
    /// The value of a trailer.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let found = self.trailers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Repo {
    /// Commits these files, each a path and its content, to `main` and publishes them.
    ///
    /// # Errors
    /// Git fails.
    pub async fn commit(&self, message: &str, files: &[(&str, &str)]) -> Outcome<String> {
        self.commit_as(AUTHOR, "main", message, files).await
    }

    /// Commits these files to a branch as somebody and publishes them; answers with the full id.
    ///
    /// # Errors
    /// Git fails.
    pub async fn commit_as(
        &self,
        author: Author,
        branch: &str,
        message: &str,
        files: &[(&str, &str)],
    ) -> Outcome<String> {
        self.git(&["fetch", "--quiet", "origin"]).await?;
        let remote = format!("refs/remotes/origin/{branch}");
        let exists = self.try_git(&["rev-parse", "--verify", "--quiet", &remote]).await?;
        if exists.code == Some(0) {
            self.git(&["checkout", "--quiet", "--force", "-B", branch, &remote]).await?;
        } else {
            self.git(&["checkout", "--quiet", "--force", "-B", branch]).await?;
        }
        for (path, content) in files {
            let file = self.tree.join(path);
            fs::create_dir_all(file.parent().unwrap_or(&self.tree)).at(path)?;
            fs::write(&file, content).at(path)?;
        }
        self.git(&["add", "--all"]).await?;
        let (name, mail) = (author.name, author.mail);
        let (name, mail) = (format!("user.name={name}"), format!("user.email={mail}"));
        self.git(&["-c", &name, "-c", &mail, "commit", "--quiet", "--message", message]).await?;
        self.git(&["push", "--quiet", "origin", branch]).await?;
        self.tip(branch).await
    }

    /// The commit at the tip of a branch.
    ///
    /// # Errors
    /// There is no such branch.
    pub async fn tip(&self, branch: &str) -> Outcome<String> {
        let reference = format!("refs/heads/{branch}");
        Ok(self.bare_git(&["rev-parse", "--verify", &reference]).await?.trim().to_owned())
    }

    /// The commit that a tag names, if there is such a tag.
    ///
    /// # Errors
    /// Git fails.
    pub async fn tag(&self, name: &str) -> Outcome<Option<String>> {
        let format = "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)";
        let found = self.bare_git(&["for-each-ref", format, &format!("refs/tags/{name}")]).await?;
        Ok(found.lines().next().map(str::to_owned))
    }

    /// The content of a file at the tip of a branch.
    ///
    /// # Errors
    /// There is no such file or branch.
    pub async fn read(&self, branch: &str, path: &str) -> Outcome<String> {
        self.bare_git(&["show", &format!("refs/heads/{branch}:{path}")]).await
    }

    /// The commits of a branch, newest first.
    ///
    /// # Errors
    /// There is no such branch.
    pub async fn log(&self, branch: &str) -> Outcome<Vec<Commit>> {
        let format =
            format!("--format=%H{FIELD}%an <%ae>{FIELD}%s{FIELD}%(trailers:only,unfold)%x00");
        let reference = format!("refs/heads/{branch}");
        let text = self.bare_git(&["log", &format, &reference]).await?;
        let entries = text.split('\0').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                let fields: Vec<&str> = entry.split(FIELD).collect();
                let [id, author, subject, trailers] = fields[..] else {
                    return Err(Failure::new(format!("git log wrote {entry:?}")));
                };
                let trailers = trailers.lines().filter_map(|line| {
                    line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))
                });
                Ok(Commit {
                    id: id.to_owned(),
                    author: author.to_owned(),
                    subject: subject.to_owned(),
                    trailers: trailers.collect(),
                })
            })
            .collect()
    }

    /// What a commit changed, as a unified diff without context.
    ///
    /// # Errors
    /// There is no such commit.
    pub async fn diff(&self, commit: &str) -> Outcome<String> {
        self.bare_git(&["show", "--format=", "--unified=1", commit]).await
    }

    /// The repository's own folder, for programs that read it with git.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.bare
    }

    fn bare_path(&self) -> String {
        self.bare.display().to_string()
    }

    fn tree_path(&self) -> String {
        self.tree.display().to_string()
    }

    async fn bare_git(&self, arguments: &[&str]) -> Outcome<String> {
        Ok(self.git_at(&self.bare, arguments).await?.stdout)
    }

    async fn git(&self, arguments: &[&str]) -> Outcome<String> {
        Ok(self.git_at(&self.tree, arguments).await?.stdout)
    }

    async fn try_git(&self, arguments: &[&str]) -> Outcome<Run> {
        process::run(&command(&self.tree, arguments), DEADLINE).await
    }

    async fn git_at(&self, dir: &Path, arguments: &[&str]) -> Outcome<Run> {
        process::run(&command(dir, arguments), DEADLINE).await?.ok()
    }
}

/// Git without the configuration of whoever runs the tests.
fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(dir);
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    git.env("GIT_TERMINAL_PROMPT", "0").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commits_are_published_and_read_back_and_clones_go_over_http() -> Outcome {
        let server = GitServer::start().await?;
        let repo = server.create("shop").await?;
        let first = repo.commit("shop: begin", &[("a/b.txt", "one\n")]).await?;
        let message = "shop: go on\n\nLonger text.\n\nLockstep-Promotion: dev.1/push\nKind: test";
        let second = repo.commit(message, &[("a/b.txt", "two\n"), ("c.txt", "")]).await?;
        assert_eq!(repo.tip("main").await?, second);
        assert_eq!(repo.read("main", "a/b.txt").await?, "two\n");
        let log = repo.log("main").await?;
        let ids: Vec<&str> = log.iter().map(|commit| commit.id.as_str()).collect();
        assert_eq!(ids, [second.as_str(), first.as_str()]);
        assert_eq!(log[0].author, "Grace <grace@example.com>");
        assert_eq!(log[0].subject, "shop: go on");
        assert_eq!(log[0].trailer("lockstep-promotion"), Some("dev.1/push"));
        assert_eq!(log[0].trailers.len(), 2);
        assert!(repo.diff(&second).await?.contains("-one\n+two"));

        let clone = tempfile::tempdir().at("a folder")?;
        process::run(&command(clone.path(), &["clone", "--quiet", &repo.url]), DEADLINE)
            .await?
            .ok()?;
        let cloned = fs::read_to_string(clone.path().join("shop/a/b.txt")).at("the clone")?;
        assert_eq!(cloned, "two\n");
        Ok(())
    }

    #[tokio::test]
    async fn a_private_server_wants_its_password() -> Outcome {
        let server = GitServer::start_private("ci", "hunter2").await?;
        let repo = server.create("shop").await?;
        repo.commit("shop: begin", &[("a.txt", "one\n")]).await?;
        let here = tempfile::tempdir().at("a folder")?;
        let ask = |url: &str| command(here.path(), &["ls-remote", url]);
        let refused = process::run(&ask(&repo.url), DEADLINE).await?;
        assert_eq!(refused.code, Some(128), "{}", refused.said());
        let url = repo.url.replacen("http://", "http://ci:hunter2@", 1);
        let let_in = process::run(&ask(&url), DEADLINE).await?.ok()?;
        assert!(let_in.stdout.contains("refs/heads/main"));
        Ok(())
    }
}
