//! What can go wrong, and whether asking again can help.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::id::CommitId;
use super::url::RepoUrl;

/// Whether the same request may succeed later without anybody changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The network, the server or the machine: try again after a pause.
    Retry,
    /// A person has to change something first.
    Never,
}

/// Why a git operation did not happen.
///
/// No variant carries a credential: texts that a server sent are cut, stripped of control
/// characters and of the secret that was in use before they come here.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No connection, or it broke.
    #[error("{repo}: cannot be reached: {why}")]
    Unreachable {
        /// The repository.
        repo: RepoUrl,
        /// What the connection said.
        why: String,
    },
    /// The egress policy closes the host.
    #[error("{repo}: {why}")]
    Blocked {
        /// The repository.
        repo: RepoUrl,
        /// Which host, and by which rule.
        why: String,
    },
    /// A deadline passed.
    #[error("{repo}: no answer within {} s while {phase}", after.as_secs_f64())]
    Timeout {
        /// The repository.
        repo: RepoUrl,
        /// What was waited for.
        phase: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The server answered 429 or 5xx.
    #[error("{repo}: the server answered HTTP {status}, which may pass")]
    Server {
        /// The repository.
        repo: RepoUrl,
        /// The HTTP status.
        status: u16,
        /// How long the server wants to be left alone (`Retry-After`), an hour at most.
        retry_after: Option<Duration>,
    },
    /// 401, 403, or ssh's equivalent.
    #[error("{repo}: credentials refused ({why}); check the secret of this repository")]
    CredentialsRefused {
        /// The repository.
        repo: RepoUrl,
        /// The status, and whether any credentials were sent.
        why: String,
    },
    /// The caller's source of credentials failed.
    #[error("{repo}: no credentials: {why}")]
    CredentialsMissing {
        /// The repository.
        repo: RepoUrl,
        /// What the source said.
        why: String,
    },
    /// A commit or tag could not be signed.
    #[error("{repo}: nothing was made, for it cannot be signed: {why}")]
    NotSigned {
        /// The repository.
        repo: RepoUrl,
        /// Why.
        why: String,
    },
    /// The server knows no such repository.
    #[error("{repo}: repository not found; check the URL, and that the credentials may see it")]
    RepositoryNotFound {
        /// The repository.
        repo: RepoUrl,
    },
    /// Something answers there, but not git.
    #[error("{repo}: not a git repository: {why}")]
    NotGit {
        /// The repository.
        repo: RepoUrl,
        /// What answered.
        why: String,
    },
    /// The server sent us to another place.
    #[error("{repo}: the server redirects to {to}; use that URL if it is the right one")]
    Moved {
        /// The repository.
        repo: RepoUrl,
        /// Origin of the new place.
        to: String,
    },
    /// The answer breaks the git protocol.
    #[error("{repo}: the answer is not understood: {why}")]
    Protocol {
        /// The repository.
        repo: RepoUrl,
        /// Which rule it breaks.
        why: String,
    },
    /// The server said no, in words.
    #[error("{repo}: the server says: {message}")]
    Remote {
        /// The repository.
        repo: RepoUrl,
        /// The server's words, cut.
        message: String,
    },
    /// A limit of this process was reached.
    #[error("{repo}: {what} is larger than the limit of {limit}")]
    TooLarge {
        /// The repository.
        repo: RepoUrl,
        /// What is too large.
        what: String,
        /// The limit, in bytes or entries.
        limit: u64,
    },
    /// Paths and `file://` are off unless the configuration allows them.
    #[error("{repo}: local repositories are not allowed here; use an http(s) or ssh URL")]
    LocalNotAllowed {
        /// The repository.
        repo: RepoUrl,
    },
    /// A branch or tag name that git refuses.
    #[error("{name:?} is not a valid branch or tag name")]
    RefName {
        /// The name as given.
        name: String,
    },
    /// The branch does not exist.
    #[error("{repo}: no branch {branch:?}; create it or correct the name")]
    BranchNotFound {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
    },
    /// The tag does not exist, or does not lead to a commit.
    #[error("{repo}: no tag {tag:?} that leads to a commit")]
    TagNotFound {
        /// The repository.
        repo: RepoUrl,
        /// The tag.
        tag: String,
    },
    /// No branch of the repository contains the commit.
    #[error("{repo}: no commit {commit} on any branch")]
    CommitNotFound {
        /// The repository.
        repo: RepoUrl,
        /// The commit.
        commit: CommitId,
    },
    /// The commit has nothing there.
    #[error("{repo}: commit {commit} has no file or folder {path:?}; correct the path")]
    PathNotFound {
        /// The repository.
        repo: RepoUrl,
        /// The commit.
        commit: CommitId,
        /// The path.
        path: String,
    },
    /// The commit to be undone is not part of the branch any more.
    #[error(
        "{repo}: commit {commit} is not on branch {branch:?} (tip {tip}); was its history rewritten?"
    )]
    NotOnBranch {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
        /// The commit.
        commit: CommitId,
        /// The branch's tip.
        tip: CommitId,
    },
    /// Our change and somebody else's touch the same lines.
    #[error(
        "{repo}: branch {branch:?} at {theirs} changed what {ours} changes too: {}",
        files.join(", ")
    )]
    Conflict {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
        /// The files, sorted.
        files: Vec<String>,
        /// Our commit.
        ours: CommitId,
        /// The branch's tip.
        theirs: CommitId,
    },
    /// Somebody took commits off the branch.
    #[error(
        "{repo}: branch {branch:?} was rewritten: it is at {theirs} and does not have {gone} any more, on \
         which this change was prepared; what was taken off it is not pushed again: promote again"
    )]
    Rewritten {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
        /// What it had.
        gone: CommitId,
        /// The branch's tip.
        theirs: CommitId,
    },
    /// Others pushed since, and that was not to be.
    #[error(
        "{repo}: branch {branch:?} is at {theirs}, which {ours} does not stand on, and `if_moved` is `fail`: \
         promote again"
    )]
    BranchMoved {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
        /// Our commit.
        ours: CommitId,
        /// The branch's tip.
        theirs: CommitId,
    },
    /// Others pushed at each of our attempts.
    #[error("{repo}: branch {branch:?} moved at each of {attempts} attempts, now at {tip}")]
    Contended {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
        /// Attempts made.
        attempts: u32,
        /// The tip seen last, or `none`.
        tip: String,
    },
    /// The server refused the update itself: a hook or a protected branch.
    #[error("{repo}: the push to branch {branch:?} was refused: {reason}")]
    Rejected {
        /// The repository.
        repo: RepoUrl,
        /// The branch.
        branch: String,
        /// The server's words, cut.
        reason: String,
    },
    /// The tag is there, and leads elsewhere.
    #[error(
        "{repo}: tag {tag:?} is at {there}, not at {wanted}; a tag is never moved: remove it, or use \
         another name"
    )]
    TagTaken {
        /// The repository.
        repo: RepoUrl,
        /// The tag.
        tag: String,
        /// What it is at.
        there: String,
        /// What it was to be at.
        wanted: String,
    },
    /// The server refused to make or remove the tag: a hook or a protected name.
    #[error("{repo}: the change of tag {tag:?} was refused: {reason}")]
    TagRefused {
        /// The repository.
        repo: RepoUrl,
        /// The tag.
        tag: String,
        /// The server's words, cut.
        reason: String,
    },
    /// A merge commit stands between the branch and what is pushed.
    #[error("{repo}: commit {commit} is a merge and cannot be re-applied on a moved branch")]
    MergeCommit {
        /// The repository.
        repo: RepoUrl,
        /// The merge.
        commit: CommitId,
    },
    /// A path that leads out of its checkout, or that git forbids.
    #[error("{path:?}: {why}")]
    UnsafePath {
        /// The path in the repository.
        path: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// A name, an email or a trailer that a commit cannot carry.
    #[error("{field} {value:?} cannot stand in a commit: {why}")]
    CommitField {
        /// Which field.
        field: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The local mirror was broken; it is gone and the next attempt makes it anew.
    #[error("{repo}: the local mirror was damaged ({why}) and has been discarded; try again")]
    DamagedMirror {
        /// The repository.
        repo: RepoUrl,
        /// What was found.
        why: String,
    },
    /// A local file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program cannot be started, or its settings are not usable.
    #[error("{what}: {why}")]
    Setup {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The caller went away or the process is stopping.
    #[error("{repo}: cancelled")]
    Cancelled {
        /// The repository.
        repo: RepoUrl,
    },
    /// What several callers were told together.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// The same after a change was sent: nobody saw whether the server made it.
    #[error(transparent)]
    Open(Arc<Self>),
    /// The work on it panicked. Whether it had happened, the next attempt finds out.
    #[error("{repo}: the work on it broke down ({why}); this is a bug of lockstepd")]
    Panicked {
        /// The repository.
        repo: RepoUrl,
        /// What the panic said.
        why: &'static str,
    },
    /// libgit2 refused something that our checks let through.
    #[error("{repo}: {what}: {message}")]
    Internal {
        /// The repository.
        repo: RepoUrl,
        /// What was being done.
        what: &'static str,
        /// The library's words.
        message: String,
    },
}

impl GitError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Shared(error) | Self::Open(error) => error.class(),
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Server { .. }
            | Self::Contended { .. }
            | Self::DamagedMirror { .. }
            | Self::Io { .. }
            | Self::Cancelled { .. }
            | Self::Panicked { .. } => Class::Retry,
            Self::Blocked { .. }
            | Self::CredentialsRefused { .. }
            | Self::CredentialsMissing { .. }
            | Self::NotSigned { .. }
            | Self::RepositoryNotFound { .. }
            | Self::NotGit { .. }
            | Self::Moved { .. }
            | Self::Protocol { .. }
            | Self::Remote { .. }
            | Self::TooLarge { .. }
            | Self::LocalNotAllowed { .. }
            | Self::RefName { .. }
            | Self::BranchNotFound { .. }
            | Self::TagNotFound { .. }
            | Self::CommitNotFound { .. }
            | Self::PathNotFound { .. }
            | Self::NotOnBranch { .. }
            | Self::Conflict { .. }
            | Self::BranchMoved { .. }
            | Self::Rewritten { .. }
            | Self::Rejected { .. }
            | Self::TagTaken { .. }
            | Self::TagRefused { .. }
            | Self::MergeCommit { .. }
            | Self::UnsafePath { .. }
            | Self::CommitField { .. }
            | Self::Setup { .. }
            | Self::Internal { .. } => Class::Never,
        }
    }

    /// The pause that the server asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Server { retry_after, .. } => *retry_after,
            Self::Shared(error) | Self::Open(error) => error.retry_after(),
            _ => None,
        }
    }

    /// The same once a change was on its way to the server. What turned it away at the door did not make it, and
    /// who breaks it off knows that it is open.
    #[must_use]
    pub(super) fn left_open(self) -> Self {
        let is_certain = matches!(
            self,
            Self::CredentialsRefused { .. }
                | Self::Blocked { .. }
                | Self::Moved { .. }
                | Self::RepositoryNotFound { .. }
                | Self::Server { status: 429, .. }
                | Self::Cancelled { .. }
                | Self::Open(_)
        );
        if is_certain { self } else { Self::Open(Arc::new(self)) }
    }

    /// Whether a change was sent, and nobody saw whether the server made it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_open(),
            error => matches!(error, Self::Open(_) | Self::Panicked { .. }),
        }
    }

    /// Whether a change was not made by this request nor by any before: the place was looked at first, and then
    /// the change had no place there or was refused in plain words.
    #[must_use]
    pub fn is_not_made(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_not_made(),
            error => matches!(
                error,
                Self::Conflict { .. }
                    | Self::BranchMoved { .. }
                    | Self::Rewritten { .. }
                    | Self::Rejected { .. }
                    | Self::Contended { .. }
                    | Self::MergeCommit { .. }
                    | Self::TagTaken { .. }
                    | Self::TagRefused { .. }
            ),
        }
    }

    /// An error of libgit2 while working on the mirror of `repo`.
    pub(super) fn library(repo: &RepoUrl, what: &'static str, error: &git2::Error) -> Self {
        use git2::{ErrorClass, ErrorCode};
        let repo = repo.clone();
        let message = error.message().to_owned();
        if error.code() == ErrorCode::User {
            return Self::Cancelled { repo };
        }
        match error.class() {
            ErrorClass::Odb
            | ErrorClass::Zlib
            | ErrorClass::Object
            | ErrorClass::Tree
            | ErrorClass::Repository => Self::DamagedMirror { repo, why: message },
            ErrorClass::Net if message.starts_with("remote error: ") => {
                let message = message.trim_start_matches("remote error: ").to_owned();
                Self::Remote { repo, message }
            }
            ErrorClass::Net | ErrorClass::Indexer | ErrorClass::Os => {
                Self::Unreachable { repo, why: message }
            }
            _ => Self::Internal { repo, what, message },
        }
    }
}
