//! Bringing commits onto a branch with a lease: look, build on what is there, push only if it is
//! still there, and look again.

use std::sync::Arc;
use std::time::Duration;

use git2::Oid;

use super::engine::{Remote, Sent};
use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;

/// Pause before attempt N is N times this.
const PAUSE: Duration = Duration::from_millis(25);

/// Where to publish.
pub(super) struct Target {
    pub(super) branch: String,
    /// Whether a missing branch may be made.
    pub(super) create: bool,
    pub(super) max_attempts: u32,
}

/// What to do about the present tip.
pub(super) enum Step<T> {
    /// Nothing needs to be pushed.
    Done(T),
    /// Push this commit.
    Send(Oid),
}

/// How publishing ended.
pub(super) enum Published<T> {
    Done(T),
    Sent { commit: CommitId, previous_tip: Option<CommitId>, attempts: u32 },
}

/// Calls `build` with the branch's tip, in the mirror, until what it gives is pushed. One writer
/// at a time per repository and branch in this process; others are met by the lease.
pub(super) async fn publish<T, B>(
    remote: &Remote,
    target: &Target,
    build: B,
) -> Result<Published<T>, GitError>
where
    T: Send + 'static,
    B: Fn(&Job, Option<&CommitId>) -> Result<Step<T>, GitError> + Send + Sync + 'static,
{
    let build = Arc::new(build);
    let name = format!("{}\0{}", remote.mirror, target.branch);
    let _writer = remote.engine.writing.lock(&name).await;
    let mut last = None;
    for attempts in 1..=target.max_attempts.max(1) {
        if attempts > 1 {
            tokio::time::sleep(PAUSE * attempts).await;
        }
        let tip = current(remote, target).await?;
        let (work, at) = (Arc::clone(&build), tip.clone());
        let commit = match remote.run(move |job| work(job, at.as_ref())).await? {
            Step::Done(done) => return Ok(Published::Done(done)),
            Step::Send(commit) => commit,
        };
        match remote.send(&target.branch, commit, tip.as_ref()).await? {
            Sent::Accepted => {
                let commit = CommitId::from(commit);
                tracing::info!(repo = %remote.repo, branch = target.branch, %commit, attempts, "pushed");
                return Ok(Published::Sent { commit, previous_tip: tip, attempts });
            }
            Sent::Moved => {}
            Sent::Refused(reason) => judge(remote, target, tip.as_ref(), reason).await?,
        }
        tracing::debug!(repo = %remote.repo, branch = target.branch, attempts, "the branch moved");
        last = tip;
    }
    Err(GitError::Contended {
        repo: remote.repo.clone(),
        branch: target.branch.clone(),
        attempts: target.max_attempts.max(1),
        tip: last.map_or_else(|| "none".to_owned(), String::from),
    })
}

async fn current(remote: &Remote, target: &Target) -> Result<Option<CommitId>, GitError> {
    match remote.tip(&target.branch).await? {
        Some(tip) => remote.fetch_branch(&target.branch, &tip).await.map(Some),
        None if target.create => Ok(None),
        None => Err(remote.no_branch(&target.branch)),
    }
}

/// A server words a lost race as it likes. The branch says whether it was one: if it moved, or
/// if somebody holds its lock, it was.
async fn judge(
    remote: &Remote,
    target: &Target,
    tip: Option<&CommitId>,
    reason: String,
) -> Result<(), GitError> {
    let now = remote.tip(&target.branch).await?;
    if now.as_ref() != tip || reason.contains("lock") {
        return Ok(());
    }
    let (repo, branch) = (remote.repo.clone(), target.branch.clone());
    Err(GitError::Rejected { repo, branch, reason })
}
