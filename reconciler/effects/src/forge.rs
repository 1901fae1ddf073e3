//! Forges: what speaks about a repository's pull requests.
//!
//! ```text
//! connect ─ Forge ─┬─ github  GitHub, GitHub Enterprise Server: REST, version 2022-11-28
//!                  ├─ gitlab  GitLab: REST, version 4
//!                  └─ gitea   Gitea, Forgejo: REST, version 1
//!                       └─ link: one request, and what its answer means
//! marker               by which what was opened or said is found again
//! ```
//!
//! [`Forge`] is as narrow as the steps need, so that another forge is one file more. It says what is
//! there and does what it is told; whether something is to be done, and once, is decided by the steps.
//! Nothing is sent twice here, and no token is part of an error.

mod gitea;
mod github;
mod gitlab;
mod link;
mod marker;

use async_trait::async_trait;
use jiff::Timestamp;
use reconciler_domain::step::{ForgeKind, MergeMethod};
use url::Url;

use crate::git::RepoUrl;
use crate::scoped::Scoped;
pub(crate) use link::ForgeError;
use link::Link;
pub(crate) use marker::Marker;

/// The pull requests of one repository.
#[async_trait]
pub(crate) trait Forge: Send + Sync {
    /// The pull requests from one branch of the repository into another, in every state, the newest
    /// first. Those from other repositories are none of them.
    async fn find(&self, source: &str, target: &str) -> Result<Vec<PullRequest>, ForgeError>;

    /// One pull request.
    async fn read(&self, number: u64) -> Result<PullRequest, ForgeError>;

    /// Opens one; `None`: there is an open one for these branches.
    async fn open(&self, new: &NewPullRequest<'_>) -> Result<Option<PullRequest>, ForgeError>;

    /// Adds labels.
    async fn label(&self, number: u64, labels: &[String]) -> Result<(), ForgeError>;

    /// Merges one whose source is at `head`.
    async fn merge(
        &self,
        number: u64,
        method: MergeMethod,
        head: &str,
    ) -> Result<Merging, ForgeError>;

    /// Closes one.
    async fn close(&self, number: u64) -> Result<(), ForgeError>;

    /// What was said at one.
    async fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError>;

    /// Says something at one.
    async fn comment(&self, number: u64, text: &str) -> Result<Comment, ForgeError>;
}

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullRequest {
    pub(crate) number: u64,
    /// Where people find it.
    pub(crate) url: String,
    /// What it says.
    pub(crate) body: String,
    /// The branch that it is to be merged into.
    pub(crate) target: String,
    /// The commit that its source is at, or was when it ended.
    pub(crate) head: Option<String>,
    pub(crate) standing: Standing,
}

/// Where a pull request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Open(Readiness),
    /// It is part of its target.
    Merged {
        /// By this commit, where the forge says so.
        commit: Option<String>,
    },
    /// It was closed without being merged.
    Closed,
}

/// Whether the forge would let a pull request be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// As far as it says.
    Ready,
    /// Not now.
    NotYet {
        /// What is missing, in words.
        why: String,
        /// Whether that is certain; else it is still being found out.
        certain: bool,
    },
}

/// What a forge answers when it is asked to merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Merging {
    /// It does, or did.
    Accepted,
    /// Not as it is now, in the forge's words.
    NotNow(String),
}

/// A pull request to open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPullRequest<'a> {
    pub(crate) source: &'a str,
    pub(crate) target: &'a str,
    pub(crate) title: &'a str,
    pub(crate) body: &'a str,
    pub(crate) draft: bool,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    /// Where people find it.
    pub(crate) url: String,
    pub(crate) body: String,
}

impl Readiness {
    fn not_yet(why: impl Into<String>, certain: bool) -> Self {
        Self::NotYet { why: why.into(), certain }
    }
}

/// The forge of a repository, with the project's token. Nothing is sent yet.
///
/// # Errors
/// The repository is not one of a forge, or the token cannot be used now.
pub(crate) fn connect<'a>(
    effects: &'a Scoped,
    kind: ForgeKind,
    repo: &RepoUrl,
    now: Timestamp,
) -> Result<Box<dyn Forge + 'a>, ForgeError> {
    let nameless = || ForgeError::NotOfAForge { repo: repo.to_string() };
    let web = repo.web().ok_or_else(nameless)?;
    let path = web.path().trim_matches('/').to_owned();
    let base = api(kind, &web);
    let authorization = effects.forge_authorization(repo, &base).map_err(ForgeError::Credential)?;
    let link = Link {
        http: effects.http(),
        cancel: effects.cancel(),
        base,
        authorization,
        headers: headers(kind),
        needs: needs(kind),
        now,
    };
    if kind == ForgeKind::GitLab {
        if !path.contains('/') {
            return Err(nameless());
        }
        return Ok(Box::new(gitlab::GitLab { link, project: path }));
    }
    let (owner, name) = path.split_once('/').ok_or_else(nameless)?;
    if name.contains('/') {
        return Err(nameless());
    }
    let (owner, name) = (owner.to_owned(), name.to_owned());
    Ok(match kind {
        ForgeKind::GitHub => Box::new(github::GitHub { link, owner, name }),
        ForgeKind::Gitea | ForgeKind::GitLab => Box::new(gitea::Gitea { link, owner, name }),
    })
}

/// Where a forge takes requests. GitHub's own is at another host than its repositories; it is the only
/// one that a token leaves the repository's host for.
fn api(kind: ForgeKind, web: &Url) -> Url {
    let mut api = web.clone();
    match kind {
        ForgeKind::GitHub if web.scheme() == "https" && web.host_str() == Some("github.com") => {
            if let Ok(public) = Url::parse("https://api.github.com/") {
                return public;
            }
        }
        ForgeKind::GitHub => api.set_path("/api/v3/"),
        ForgeKind::GitLab => api.set_path("/api/v4/"),
        ForgeKind::Gitea => api.set_path("/api/v1/"),
    }
    api
}

fn headers(kind: ForgeKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ForgeKind::GitHub => {
            &[("Accept", "application/vnd.github+json"), ("X-GitHub-Api-Version", "2022-11-28")]
        }
        ForgeKind::GitLab | ForgeKind::Gitea => &[("Accept", "application/json")],
    }
}

/// What a token has to be allowed.
fn needs(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::GitHub => {
            "read and write access to the contents and the pull requests of the repository"
        }
        ForgeKind::GitLab => {
            "the scope `api`, and a role that may merge into the branch (Developer; for most protected \
             branches Maintainer)"
        }
        ForgeKind::Gitea => {
            "the scopes `write:repository` and `write:issue`, and write access to the repository"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_the_forge_of_its_repository() {
        let check = |kind, repo: &str, wanted: &str| {
            let web = repo.parse::<RepoUrl>().expect(repo).web().expect(repo);
            assert_eq!(api(kind, &web).as_str(), wanted, "{repo}");
        };
        check(ForgeKind::GitHub, "https://github.com/a/b", "https://api.github.com/");
        check(ForgeKind::GitHub, "git@github.com:a/b.git", "https://api.github.com/");
        check(ForgeKind::GitHub, "https://ghe.example/a/b", "https://ghe.example/api/v3/");
        check(ForgeKind::GitHub, "http://github.com/a/b", "http://github.com/api/v3/");
        check(ForgeKind::GitLab, "https://g.example:8443/a/b/c", "https://g.example:8443/api/v4/");
        check(ForgeKind::Gitea, "ssh://git@codeberg.org/a/b", "https://codeberg.org/api/v1/");
    }
}
