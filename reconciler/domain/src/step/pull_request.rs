//! Pull requests: the calls about one, and what they leave behind.
//!
//! Every forge has them, under one name or another ("merge request"). A call names its forge, its
//! repository and the number; which requests that takes is the effects' business.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Asks, Unseen};

/// What speaks about a repository's pull requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForgeKind {
    /// GitHub, or a GitHub Enterprise Server.
    #[serde(rename = "github")]
    GitHub,
    /// GitLab.
    #[serde(rename = "gitlab")]
    GitLab,
    /// Gitea or Forgejo.
    Gitea,
}

/// How a pull request becomes part of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeMethod {
    /// By a merge commit.
    Merge,
    /// As one commit.
    Squash,
    /// Each of its commits anew on top of the target.
    Rebase,
}

/// One pull request of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestAt {
    /// The forge.
    pub forge: ForgeKind,
    /// The repository's URL.
    pub repo: String,
    /// Its number; absent: there was nothing to open one for, so there is nothing to do.
    pub number: Option<u64>,
}

/// What is done about a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "pull_request")]
pub enum PullRequestCall {
    /// `git_open_pr`.
    Open(OpenCall),
    /// `git_wait_for_pr`.
    Await(AwaitCall),
    /// `git_merge_pr`.
    Merge(MergeCall),
    /// `git_close_pr`, and the undo of a `git_open_pr`.
    Close(CloseCall),
    /// `git_comment_pr`.
    Comment(CommentCall),
}

/// A pull request to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// The forge.
    pub forge: ForgeKind,
    /// The repository's URL.
    pub repo: String,
    /// The branch that is to be merged.
    pub source: String,
    /// The branch that it is to be merged into.
    pub target: String,
    /// Its title.
    pub title: String,
    /// What it says, without the mark.
    pub description: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether this promotion had nothing to push to the source, which need not be there then.
    pub nothing_pushed: bool,
    /// What marks it as opened by this step.
    pub mark: String,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// A pull request to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitCall {
    /// Which.
    pub at: PullRequestAt,
    /// The branch that this promotion opened it for; absent: it did not open it.
    pub target: Option<String>,
    /// Pause between two looks.
    pub interval: Duration,
    /// Until when.
    pub until: Timestamp,
}

/// A pull request to merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeCall {
    /// Which.
    pub at: PullRequestAt,
    /// How.
    pub method: MergeMethod,
    /// The branch that this promotion opened it for; absent: it did not open it.
    pub target: Option<String>,
    /// The commit that its source has to be at; absent only where there is no number.
    pub head: Option<String>,
    /// Most commits that it may bring: as many as this promotion made. Absent: the commit is named in
    /// the step, and with it what leads to it.
    pub brings: Option<usize>,
    /// Pause between two looks.
    pub interval: Duration,
    /// Until when it may take to become mergeable.
    pub until: Timestamp,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// A pull request to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseCall {
    /// Which.
    pub at: PullRequestAt,
    /// The mark that it has to carry; absent: it may be anybody's.
    pub mark: Option<String>,
}

/// Something to say at a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentCall {
    /// Which.
    pub at: PullRequestAt,
    /// What.
    pub text: String,
    /// What marks it as said by this step.
    pub mark: String,
}

/// What a call about a pull request left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum PullRequestRecord {
    /// It was opened, or found open.
    Opened(OpenedRecord),
    /// It was merged.
    Merged(MergedRecord),
}

/// A pull request that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedRecord {
    /// The forge.
    pub forge: ForgeKind,
    /// The repository's URL.
    pub repo: String,
    /// Its number.
    pub number: u64,
    /// The branch that is to be merged.
    pub source: String,
    /// The branch that it is to be merged into.
    pub target: String,
    /// The commit that the source was at.
    pub head: String,
    /// Whether this promotion opened it.
    pub made: bool,
    /// What marks it.
    pub mark: String,
}

/// A pull request that is part of its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedRecord {
    /// The repository's URL.
    pub repo: String,
    /// Its number.
    pub number: u64,
    /// The branch that it was merged into.
    pub target: String,
    /// The commit by which it was; absent: the forge does not say.
    pub commit: Option<String>,
    /// Whether that one commit is all of it, so that reverting it takes all of it back.
    pub whole: bool,
}

impl ForgeKind {
    /// The words for it, in the order of the documentation.
    pub const WORDS: &'static [&'static str] = &["github", "gitlab", "gitea"];

    /// The forge with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::GitHub, Self::GitLab, Self::Gitea].into_iter().find(|kind| kind.word() == word)
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// The forge of a repository, where its host is a public one that everybody knows.
    #[must_use]
    pub fn of_repo(repo: &str) -> Option<Self> {
        match host_of(repo)?.to_ascii_lowercase().as_str() {
            "github.com" => Some(Self::GitHub),
            "gitlab.com" => Some(Self::GitLab),
            "codeberg.org" | "gitea.com" => Some(Self::Gitea),
            _ => None,
        }
    }
}

/// The host of `https://HOST/…`, `ssh://user@HOST:port/…` or `user@HOST:path`.
fn host_of(repo: &str) -> Option<&str> {
    let (authority, _) = match repo.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => repo.split_once(':')?,
    };
    let host = authority.rsplit('@').next()?;
    Some(host.split(':').next().unwrap_or(host))
}

impl MergeMethod {
    /// The words for the methods, in the order of the documentation.
    pub const WORDS: &'static [&'static str] = &["merge", "squash", "rebase"];

    /// The method with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Merge, Self::Squash, Self::Rebase].into_iter().find(|method| method.word() == word)
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }
}

/// Whether two URLs are the same repository but for how they end.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    fn trimmed(repo: &str) -> &str {
        let repo = repo.trim_end_matches('/');
        repo.strip_suffix(".git").unwrap_or(repo)
    }
    trimmed(one) == trimmed(other)
}

impl PullRequestAt {
    /// Which one, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.number {
            Some(number) => format!("pull request {number} of {}", self.repo),
            None => format!("no pull request of {}", self.repo),
        }
    }
}

impl PullRequestCall {
    /// What it means that nobody saw its end.
    #[must_use]
    pub fn unseen(&self) -> Unseen {
        match self {
            Self::Await(_) => Unseen::Nothing,
            Self::Close(_) | Self::Comment(_) => Unseen::Tolerable,
            Self::Open(_) | Self::Merge(_) => Unseen::Unknown,
        }
    }

    /// Whether it is only looked for; absent: nobody has to know.
    pub(super) fn asks(&self) -> Option<Asks> {
        match self {
            Self::Open(OpenCall { asks, .. }) | Self::Merge(MergeCall { asks, .. }) => Some(*asks),
            Self::Await(_) | Self::Close(_) | Self::Comment(_) => None,
        }
    }

    pub(super) fn asks_mut(&mut self) -> Option<&mut Asks> {
        match self {
            Self::Open(OpenCall { asks, .. }) | Self::Merge(MergeCall { asks, .. }) => Some(asks),
            Self::Await(_) | Self::Close(_) | Self::Comment(_) => None,
        }
    }

    /// What it may have to wait for, in words, and until when.
    #[must_use]
    pub fn waits_for(&self) -> Option<(String, Timestamp)> {
        match self {
            Self::Await(call) => {
                Some((format!("{} to be merged or closed", call.at.describe()), call.until))
            }
            Self::Merge(call) => {
                Some((format!("{} to be mergeable", call.at.describe()), call.until))
            }
            Self::Open(_) | Self::Close(_) | Self::Comment(_) => None,
        }
    }

    /// What stays said or done where it has no undo, in words.
    #[must_use]
    pub fn stays(&self) -> Option<String> {
        match self {
            Self::Close(CloseCall { at, .. }) if at.number.is_some() => {
                Some(format!("{} was closed, and stays so", at.describe()))
            }
            Self::Comment(CommentCall { at, .. }) if at.number.is_some() => {
                Some(format!("{} was commented on, and that stays", at.describe()))
            }
            Self::Open(_) | Self::Await(_) | Self::Merge(_) | Self::Close(_) | Self::Comment(_) => {
                None
            }
        }
    }
}

impl PullRequestRecord {
    /// The open one, if that is what was left behind.
    #[must_use]
    pub fn as_opened(&self) -> Option<&OpenedRecord> {
        match self {
            Self::Opened(opened) => Some(opened),
            Self::Merged(_) => None,
        }
    }

    /// The merged one, if that is what was left behind.
    #[must_use]
    pub fn as_merged(&self) -> Option<&MergedRecord> {
        match self {
            Self::Merged(merged) => Some(merged),
            Self::Opened(_) => None,
        }
    }

    /// What is outside because of it, in words; absent: nothing of ours.
    #[must_use]
    pub fn remains(&self) -> Option<String> {
        match self {
            Self::Opened(opened) => opened
                .made
                .then(|| format!("pull request {} was opened in {}", opened.number, opened.repo)),
            Self::Merged(merged) => Some(merged.describe()),
        }
    }
}

impl MergedRecord {
    /// What was merged where, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { repo, number, target, commit, .. } = self;
        if commit.is_none() {
            return format!(
                "pull request {number} of {repo} may be merged into branch {target}: look there"
            );
        }
        format!("pull request {number} of {repo} is merged into branch {target}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_says_which_forge_it_is() {
        let check = |repo: &str, kind: Option<ForgeKind>| {
            assert_eq!(ForgeKind::of_repo(repo), kind, "{repo}");
        };
        check("https://github.com/acme/app", Some(ForgeKind::GitHub));
        check("https://GitHub.com:443/acme/app.git", Some(ForgeKind::GitHub));
        check("git@gitlab.com:acme/team/app.git", Some(ForgeKind::GitLab));
        check("ssh://git@codeberg.org/acme/app", Some(ForgeKind::Gitea));
        check("https://gitea.com/acme/app", Some(ForgeKind::Gitea));
        check("https://github.com.evil.example/acme/app", None);
        check("https://git.example.com/github.com/app", None);
        check("https://github.com@evil.example/acme/app", None);
        check("/srv/git/app.git", None);
    }
}
