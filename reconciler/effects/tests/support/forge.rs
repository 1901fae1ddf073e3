//! Stands for a forge: the pull requests of one repository, spoken of as GitHub, GitLab or Gitea do.
//!
//! Written from the public descriptions of the three interfaces, as far as Lockstep asks: it is no copy of
//! any of them, and refuses what it does not know. The repository is a real one, and a merge is made in it
//! by git. Counts what was opened, merged, closed and said, so that what happens twice is seen.

#[path = "forge/speech.rs"]
mod speech;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde_json::{Value, json};

/// Owner and name of the repository, below the forge's address.
pub(crate) const REPOSITORY: &str = "shop/app";
/// Bytes of the largest request.
const BODY_MAX: usize = 1 << 20;

/// How it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As GitHub Enterprise Server.
    GitHub,
    /// As GitLab.
    GitLab,
    /// As Gitea and Forgejo.
    Gitea,
}

/// A forge. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Forge(Arc<Inner>);

struct Inner {
    dialect: Dialect,
    /// The bare repository.
    bare: PathBuf,
    /// The token that it wants, if any.
    token: Option<String>,
    state: Mutex<Desk>,
}

/// What it knows, and what it is up to.
#[derive(Default)]
struct Desk {
    pulls: Vec<Pull>,
    merged: usize,
    closed: usize,
    said: usize,
    /// How often it was asked.
    looks: usize,
    /// Answers to the next requests, whatever they are.
    next: VecDeque<Answer>,
    /// The next change is made, and its answer lost.
    loses_answer: bool,
    /// Why nothing may be merged.
    held: Option<String>,
}

/// Status, headers and body.
type Answer = (StatusCode, Vec<(&'static str, String)>, Value);

/// A pull request.
#[derive(Debug, Clone)]
pub(crate) struct Pull {
    pub(crate) number: usize,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) draft: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) comments: Vec<String>,
    pub(crate) standing: Standing,
}

/// Where a pull request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    Closed,
    /// By a commit, with the source at another.
    Merged {
        commit: String,
        head: String,
    },
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Merge,
    Squash,
    Rebase,
}

/// Why it does not.
enum No {
    Exists(usize),
    Branchless,
    Empty,
    Later(String),
    Moved,
    Unknown,
    Broken(io::Error),
}

impl Forge {
    /// A forge of the bare repository at this path. Whoever asks has to have the token, if there is one.
    pub(crate) fn new(dialect: Dialect, bare: &Path, token: Option<&str>) -> Self {
        let (bare, token) = (bare.to_owned(), token.map(str::to_owned));
        Self(Arc::new(Inner { dialect, bare, token, state: Mutex::default() }))
    }

    /// What answers for it, below its prefix.
    pub(crate) fn router(&self) -> Router {
        Router::new().route("/api/{*rest}", any(answer)).with_state(Arc::clone(&self.0))
    }

    /// Its pull requests, the oldest first.
    pub(crate) fn pulls(&self) -> Vec<Pull> {
        self.0.desk().pulls.clone()
    }

    /// How many things happened: opened, merged, closed, said.
    pub(crate) fn happened(&self) -> usize {
        let desk = self.0.desk();
        desk.pulls.len() + desk.merged + desk.closed + desk.said
    }

    /// How many were merged.
    pub(crate) fn merged(&self) -> usize {
        self.0.desk().merged
    }

    /// How often it was asked for something.
    pub(crate) fn looks(&self) -> usize {
        self.0.desk().looks
    }

    /// Answers the next request so.
    pub(crate) fn answer_next(
        &self,
        status: StatusCode,
        headers: &[(&'static str, String)],
        body: Value,
    ) {
        self.0.desk().next.push_back((status, headers.to_vec(), body));
    }

    /// Makes the next change, and answers 502.
    pub(crate) fn lose_next_answer(&self) {
        self.0.desk().loses_answer = true;
    }

    /// Lets nothing be merged for this reason; lets everything be merged again.
    pub(crate) fn hold(&self, why: Option<&str>) {
        self.0.desk().held = why.map(str::to_owned);
    }

    /// A person opens one.
    pub(crate) fn open(&self, source: &str, target: &str, body: &str) -> io::Result<usize> {
        let opened = self.0.open((source, target), ("by hand", body), false);
        opened.map_err(|_| io::Error::other("it cannot be opened"))
    }

    /// A person merges one; gives the commit.
    pub(crate) fn merge(&self, number: usize, how: How) -> io::Result<String> {
        match self.0.merge(number, how, None) {
            Ok(commit) => Ok(commit),
            Err(No::Broken(error)) => Err(error),
            Err(_) => Err(io::Error::other("it cannot be merged")),
        }
    }

    /// A person says something.
    pub(crate) fn say(&self, number: usize, text: &str) {
        if let Some(pull) = self.0.desk().pull(number) {
            pull.comments.push(text.to_owned());
        }
    }

    /// How it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// A person closes one.
    pub(crate) fn close(&self, number: usize) {
        self.0.close(number);
    }
}

impl Inner {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(
        &self,
        (source, target): (&str, &str),
        (title, body): (&str, &str),
        draft: bool,
    ) -> Result<usize, No> {
        let (head, base) = (self.tip(source), self.tip(target));
        let (Some(head), Some(base)) = (head, base) else { return Err(No::Branchless) };
        let new = self.git(&["rev-list", "--count", &format!("{base}..{head}")])?;
        if new == "0" {
            return Err(No::Empty);
        }
        let mut desk = self.desk();
        let is_open = |pull: &&Pull| {
            pull.source == source && pull.target == target && pull.standing == Standing::Open
        };
        if let Some(open) = desk.pulls.iter().find(is_open) {
            return Err(No::Exists(open.number));
        }
        let number = desk.pulls.len() + 1;
        desk.pulls.push(Pull {
            number,
            title: title.to_owned(),
            body: body.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            draft,
            labels: Vec::new(),
            comments: Vec::new(),
            standing: Standing::Open,
        });
        Ok(number)
    }

    fn merge(&self, number: usize, how: How, wanted: Option<&str>) -> Result<String, No> {
        let mut desk = self.desk();
        let held = desk.held.clone();
        let pull = desk.pull(number).ok_or(No::Unknown)?;
        let refusal = match (&pull.standing, pull.draft, held) {
            (Standing::Open, false, None) => None,
            (Standing::Open, false, Some(why)) => Some(why),
            (Standing::Open, true, _) => Some("it is a draft".to_owned()),
            (Standing::Closed | Standing::Merged { .. }, ..) => Some("it is not open".to_owned()),
        };
        if let Some(why) = refusal.filter(|_| wanted.is_some() || pull.standing != Standing::Open) {
            return Err(No::Later(why));
        }
        let (source, target) = (pull.source.clone(), pull.target.clone());
        let head = self.tip(&source).ok_or(No::Branchless)?;
        if wanted.is_some_and(|wanted| wanted != head) {
            return Err(No::Moved);
        }
        let commit = self.land(&target, &head, how)?;
        pull.standing = Standing::Merged { commit: commit.clone(), head };
        desk.merged += 1;
        Ok(commit)
    }

    /// Merges a commit into a branch as git does.
    fn land(&self, target: &str, head: &str, how: How) -> Result<String, No> {
        let base = self.tip(target).ok_or(No::Branchless)?;
        let parents: Vec<&str> = match how {
            How::Merge => vec![&base, head],
            How::Squash | How::Rebase => vec![&base],
        };
        let commit = if how == How::Rebase {
            let commits = self.git(&["rev-list", "--reverse", &format!("{base}..{head}")])?;
            let mut onto = base.clone();
            for commit in commits.lines() {
                let from = format!("--merge-base={commit}^");
                let tree = self.git(&["merge-tree", "--write-tree", &from, &onto, commit])?;
                onto = self.git(&["commit-tree", &tree, "-p", &onto, "-m", "rebased"])?;
            }
            onto
        } else {
            let tree = self.git(&["merge-tree", "--write-tree", &base, head])?;
            let parents = parents.iter().flat_map(|parent| ["-p", parent]);
            let arguments: Vec<&str> =
                ["commit-tree", &tree].into_iter().chain(parents).chain(["-m", "merged"]).collect();
            self.git(&arguments)?
        };
        self.git(&["update-ref", &format!("refs/heads/{target}"), &commit, &base])?;
        Ok(commit)
    }

    fn close(&self, number: usize) {
        let mut desk = self.desk();
        let Some(pull) = desk.pull(number) else { return };
        if pull.standing == Standing::Open {
            pull.standing = Standing::Closed;
            desk.closed += 1;
        }
    }

    /// The commit that a branch is at.
    fn tip(&self, branch: &str) -> Option<String> {
        let reference = format!("refs/heads/{branch}");
        self.git(&["rev-parse", "--verify", "--quiet", &reference]).ok()
    }

    fn git(&self, arguments: &[&str]) -> Result<String, No> {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(&self.bare);
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Grace");
            git.env(format!("GIT_{role}_EMAIL"), "grace@example.com");
        }
        let done = git.output().map_err(No::Broken)?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(No::Broken(io::Error::other(format!("git {arguments:?}: {said}"))));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }
}

impl Desk {
    fn pull(&mut self, number: usize) -> Option<&mut Pull> {
        self.pulls.get_mut(number.checked_sub(1)?)
    }
}

async fn answer(State(forge): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let scripted = {
        let mut desk = forge.desk();
        desk.looks += 1;
        desk.next.pop_front()
    };
    if let Some((status, headers, body)) = scripted {
        let mut response = (status, axum::Json(body)).into_response();
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        return response;
    }
    let sent = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let wanted = forge.token.as_ref().map(|token| format!("Bearer {token}"));
    if wanted.is_some() && wanted.as_deref() != sent {
        let said = json!({ "message": "Bad credentials" });
        return (StatusCode::UNAUTHORIZED, axum::Json(said)).into_response();
    }
    let answer = forge.speak(&parts.method, &parts.uri, &body);
    let loses = parts.method != Method::GET && std::mem::take(&mut forge.desk().loses_answer);
    if loses {
        return (StatusCode::BAD_GATEWAY, "the answer was lost").into_response();
    }
    answer
}
