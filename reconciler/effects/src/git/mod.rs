//! Git: finding commits, checking out, committing, pushing and undoing.
//!
//! ```text
//! Git ─ engine ─┬─ ls_refs, receive_pack ─ pktline ─┐
//!               ├─ transport ───────────────────────┴─ http (reqwest), ssh (a program)
//!               └─ mirror: one bare repository per remote, worked on with libgit2
//!                    ├─ history, diff            what happened
//!                    ├─ checkout, sparse, scan, tree   files in and out
//!                    ├─ commit, merge, signing   new commits
//!                    ├─ unborn                    what a branch that is not there yet stands on
//!                    ├─ publish: push, revert    onto a branch, exactly once
//!                    ├─ tag                       names, made and taken away
//!                    └─ branch                    what a branch has; one that is taken away
//! ```
//!
//! Everything blocking runs on a bounded set of threads. Dropping a future cancels its work.
//! An effect is found again by its commit id or its trailer, so `push` and `revert` may be called
//! again after any crash. No credential is ever part of an error, a log line or a debug print.
//!
//! Does not run the `git` program, hooks or filters, does not read git configuration outside its
//! mirrors, and retries nothing except a push whose branch moved.

mod branch;
mod checkout;
mod commit;
mod config;
mod credentials;
mod diff;
mod engine;
mod error;
mod folder;
mod history;
mod http;
mod id;
mod key_file;
mod landed;
mod ls_refs;
mod merge;
mod mirror;
mod pktline;
mod push;
mod receive_pack;
mod revert;
mod scan;
mod signing;
mod sparse;
mod tag;
mod transport;
mod tree;
mod unborn;
mod url;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use branch::Retracted;
pub use commit::{CommitOutcome, CommitRequest, FileEdit, NewCommit, Signature, Source, Trailer};
pub use config::{Caps, GitConfig, HostKeys, SshConfig, Timeouts};
pub use credentials::{Anonymous, CredentialSource, Credentials, Secret};
pub use diff::{Change, FileChange, FileDiff};
pub use error::{Class, GitError};
pub use history::{CommitInfo, Discovery, HistoryLimit};
pub use id::{CommitId, CommitIdError, Revision};
pub use key_file::KeyFile;
pub use push::{IfMoved, Mark, PushOutcome, PushRequest};
pub use revert::{RevertConflict, RevertOutcome, RevertRequest};
pub use signing::Signer;
pub use tag::{Annotation, TagOutcome, TagRequest, UntagOutcome, UntagRequest};
pub use unborn::is_unborn;
pub use url::{RepoUrl, RepoUrlError};

use engine::{Engine, Remote};

/// The git room. Clones share everything.
#[derive(Clone)]
pub struct Git {
    engine: Arc<Engine>,
    scope: Arc<str>,
    credentials: Arc<dyn CredentialSource>,
    cancel: CancellationToken,
}

impl Git {
    /// Opens the mirrors. Must be called inside a tokio runtime, and before any other code of the
    /// process uses libgit2.
    ///
    /// # Errors
    /// [`GitError::Setup`] or [`GitError::Io`].
    pub fn open(config: GitConfig) -> Result<Self, GitError> {
        let credentials = Arc::clone(&config.credentials);
        let cancel = config.shutdown.clone();
        Ok(Self { engine: Arc::new(Engine::new(config)?), scope: "".into(), credentials, cancel })
    }

    /// The same threads and connections with other credentials and mirrors of its own: what one
    /// scope (a project, say) fetched, another cannot read.
    #[must_use]
    pub fn scoped(&self, scope: &str, credentials: Arc<dyn CredentialSource>) -> Self {
        let (engine, cancel) = (Arc::clone(&self.engine), self.cancel.clone());
        Self { engine, scope: scope.into(), credentials, cancel }
    }

    /// The same with another end: what is under way when `cancel` is cancelled fails.
    #[must_use]
    pub fn until(&self, cancel: CancellationToken) -> Self {
        Self { cancel, ..self.clone() }
    }

    /// The commit that `branch` is at, asked from the server; `None` if there is no such branch.
    ///
    /// # Errors
    /// Whatever the network or the server says.
    pub async fn remote_tip(
        &self,
        repo: &RepoUrl,
        branch: &str,
    ) -> Result<Option<CommitId>, GitError> {
        self.remote(repo).await?.tip(branch).await
    }

    /// Brings a revision into the mirror, which costs only what is new.
    ///
    /// # Errors
    /// Among others [`GitError::BranchNotFound`], [`GitError::TagNotFound`] and
    /// [`GitError::CommitNotFound`].
    pub async fn fetch(&self, repo: &RepoUrl, revision: &Revision) -> Result<CommitId, GitError> {
        self.remote(repo).await?.fetch(revision).await
    }

    /// Fetches `branch` and lists the commits of its first-parent history, newest first, whose
    /// changed paths `filter` accepts.
    ///
    /// # Errors
    /// As [`Git::fetch`].
    pub async fn discover<F>(
        &self,
        repo: &RepoUrl,
        branch: &str,
        filter: F,
        limit: HistoryLimit,
    ) -> Result<Discovery, GitError>
    where
        F: Fn(&[String]) -> bool + Send + 'static,
    {
        let remote = self.remote(repo).await?;
        let tip = remote.fetch(&Revision::Branch(branch.to_owned())).await?;
        remote.run(move |job| history::walk(job, &tip, &filter, limit)).await
    }

    /// Makes the directory `dest` exactly the tree of `revision`, or the files and folders of it
    /// that `paths` names, if it names any; what was in `dest` before is removed. Its parent must
    /// exist.
    ///
    /// # Errors
    /// [`GitError::PathNotFound`] if the revision has nothing at one of `paths`;
    /// [`GitError::UnsafePath`] if a name or link could lead out of `dest`, which then holds a
    /// part of the files; and those of [`Git::fetch`].
    pub async fn checkout(
        &self,
        repo: &RepoUrl,
        revision: &Revision,
        paths: &[String],
        dest: &Path,
    ) -> Result<CommitId, GitError> {
        let remote = self.remote(repo).await?;
        let commit = remote.fetch(revision).await?;
        // Nothing has none of them.
        let paths = if commit == unborn::id() { &[] } else { paths };
        let (id, paths, dest) = (commit.clone(), paths.to_vec(), dest.to_owned());
        remote.run(move |job| checkout::checkout(job, &id, &paths, &dest)).await?;
        Ok(commit)
    }

    /// Leaves an empty directory at `dest`, for the first commit of a branch that is not there yet. What it gives
    /// stands for no commit: one that is made on it has no parent, and it can be checked out again.
    ///
    /// # Errors
    /// Those of writing files.
    pub async fn checkout_unborn(&self, repo: &RepoUrl, dest: &Path) -> Result<CommitId, GitError> {
        let nothing = Revision::Commit(unborn::id());
        self.checkout(repo, &nothing, &[], dest).await
    }

    /// Makes a commit in the mirror. The same request gives the same commit id, always.
    ///
    /// # Errors
    /// [`GitError::CommitField`], [`GitError::UnsafePath`], [`GitError::TooLarge`], and those of
    /// fetching the base.
    pub async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome, GitError> {
        let remote = self.signing_remote(&request.repo).await?;
        remote.ensure(&request.base).await?;
        remote.run(move |job| commit::commit(job, &request)).await
    }

    /// Brings a commit onto a branch exactly once: finds it there, or pushes it, or re-applies it
    /// on a branch that moved.
    ///
    /// # Errors
    /// [`GitError::Conflict`], [`GitError::Contended`], [`GitError::Rejected`],
    /// [`GitError::CommitNotFound`] if the mirror was lost since (make the commit again), and the
    /// network's. After any error the push may have happened: call again, or [`Git::observe`].
    pub async fn push(&self, request: PushRequest) -> Result<PushOutcome, GitError> {
        let remote = self.signing_remote(&request.repo).await?;
        push::push(&remote, request).await
    }

    /// Whether an effect is on the branch: the commit by which it is there.
    ///
    /// # Errors
    /// The network's.
    pub async fn observe(
        &self,
        repo: &RepoUrl,
        branch: &str,
        mark: &Mark,
    ) -> Result<Option<CommitId>, GitError> {
        push::observe(&self.remote(repo).await?, branch, mark).await
    }

    /// Undoes a pushed commit by a new one. A conflict is an outcome, not an error.
    ///
    /// # Errors
    /// [`GitError::NotOnBranch`], [`GitError::BranchNotFound`], and those of [`Git::push`].
    pub async fn revert(&self, request: RevertRequest) -> Result<RevertOutcome, GitError> {
        let remote = self.signing_remote(&request.repo).await?;
        revert::revert(&remote, request).await
    }

    /// Gives a commit a tag exactly once: finds it there, or makes it.
    ///
    /// # Errors
    /// [`GitError::TagTaken`] if the name leads elsewhere, [`GitError::TagRefused`],
    /// [`GitError::CommitNotFound`], and the network's. After any error the tag may have been made:
    /// call again.
    pub async fn tag(&self, request: TagRequest) -> Result<TagOutcome, GitError> {
        let remote = self.signing_remote(&request.repo).await?;
        tag::tag(&remote, request).await
    }

    /// What a tag is at, if it is there as [`Git::tag`] makes it; absent: it is not there.
    ///
    /// # Errors
    /// [`GitError::TagTaken`] if the name leads elsewhere, [`GitError::CommitNotFound`], and the network's.
    pub async fn find_tag(&self, request: TagRequest) -> Result<Option<String>, GitError> {
        let remote = self.remote(&request.repo).await?;
        tag::find(&remote, request).await
    }

    /// What the name of a tag is at, be it a commit or an annotation; absent: there is no such tag.
    ///
    /// # Errors
    /// The network's.
    pub async fn tag_object(&self, repo: &RepoUrl, tag: &str) -> Result<Option<String>, GitError> {
        tag::at(&self.remote(repo).await?, tag).await
    }

    /// Takes a tag away if it is still what was made.
    ///
    /// # Errors
    /// [`GitError::TagRefused`], and the network's.
    pub async fn untag(&self, request: UntagRequest) -> Result<UntagOutcome, GitError> {
        let remote = self.remote(&request.repo).await?;
        tag::untag(&remote, request).await
    }

    /// Whether a commit is on the branch as the server has it now.
    ///
    /// # Errors
    /// [`GitError::BranchNotFound`], and the network's.
    pub async fn contains(
        &self,
        repo: &RepoUrl,
        branch: &str,
        commit: &CommitId,
    ) -> Result<bool, GitError> {
        branch::contains(&self.remote(repo).await?, branch, commit).await
    }

    /// Whether a commit of the branch brought all that led to `head`, and nothing else, so that its
    /// revert takes all of that back: a merge commit, or one commit made of several. What cannot be seen
    /// is not so.
    ///
    /// # Errors
    /// [`GitError::BranchNotFound`], and the network's.
    pub async fn is_whole(
        &self,
        repo: &RepoUrl,
        branch: &str,
        commit: &CommitId,
        head: Option<&CommitId>,
    ) -> Result<bool, GitError> {
        branch::is_whole(&self.remote(repo).await?, branch, commit, head).await
    }

    /// How many commits `head` would bring to `branch`, counted up to `most`.
    ///
    /// # Errors
    /// Those of fetching the branch and the commit.
    pub async fn ahead(
        &self,
        repo: &RepoUrl,
        branch: &str,
        head: &CommitId,
        most: usize,
    ) -> Result<usize, GitError> {
        branch::ahead(&self.remote(repo).await?, branch, head, most).await
    }

    /// Deletes a branch if it is at this commit.
    ///
    /// # Errors
    /// [`GitError::Rejected`], and the network's. After any error it may be gone: call again.
    pub async fn retract(
        &self,
        repo: &RepoUrl,
        branch: &str,
        commit: &CommitId,
    ) -> Result<Retracted, GitError> {
        branch::retract(&self.remote(repo).await?, branch, commit).await
    }

    /// The content of a file; `None` if the commit has no file at `path`.
    ///
    /// # Errors
    /// [`GitError::TooLarge`], and those of fetching the commit.
    pub async fn file_at(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        path: &str,
    ) -> Result<Option<Vec<u8>>, GitError> {
        tree::components(path)?;
        let remote = self.remote(repo).await?;
        remote.ensure(commit).await?;
        let (commit, path) = (commit.clone(), path.to_owned());
        remote.run(move |job| checkout::file_at(job, &commit, &path)).await
    }

    /// The files that differ between two commits, with their patches.
    ///
    /// # Errors
    /// Those of fetching the commits.
    pub async fn diff(
        &self,
        repo: &RepoUrl,
        old: &CommitId,
        new: &CommitId,
    ) -> Result<Vec<FileDiff>, GitError> {
        let remote = self.remote(repo).await?;
        remote.ensure(old).await?;
        remote.ensure(new).await?;
        let (old, new) = (old.clone(), new.clone());
        remote.run(move |job| diff::patches(job, &old, &new)).await
    }

    /// For what makes commits or tags.
    async fn signing_remote(&self, repo: &RepoUrl) -> Result<Remote, GitError> {
        let signer = self.credentials.signer(repo).await;
        let signer = signer.map_err(|why| GitError::NotSigned { repo: repo.clone(), why })?;
        Ok(self.remote(repo).await?.signed_by(signer))
    }

    async fn remote(&self, repo: &RepoUrl) -> Result<Remote, GitError> {
        let asked = self.credentials.credentials(repo).await;
        let missing = |why| GitError::CredentialsMissing { repo: repo.clone(), why };
        let credentials = asked.map_err(missing)?;
        Remote::new(&self.engine, &self.scope, repo, credentials, self.cancel.clone())
    }
}

impl fmt::Debug for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Git").field("scope", &self.scope).finish_non_exhaustive()
    }
}
