//! Branches as wholes: what they have, and taking away one that a push made.

use super::engine::{Remote, Sent};
use super::error::GitError;
use super::id::{CommitId, Revision, branch_ref};
use super::merge::{self, Merged};
use super::mirror::Job;

/// Looks at a branch that others move at the same time.
const LOOKS_MAX: u32 = 3;

/// What became of a branch that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retracted {
    /// It is gone, now or before.
    Gone,
    /// It is at another commit, and stays.
    Moved,
}

/// Deletes `branch` if it is at `commit`.
pub(super) async fn retract(
    remote: &Remote,
    branch: &str,
    commit: &CommitId,
) -> Result<Retracted, GitError> {
    let reference = branch_ref(branch)?;
    for _ in 0..LOOKS_MAX {
        match remote.reference(&reference).await? {
            None => return Ok(Retracted::Gone),
            Some(there) if there != commit.oid() => return Ok(Retracted::Moved),
            Some(_) => {}
        }
        match remote.send_to(&reference, None, Some(commit.oid())).await? {
            Sent::Accepted => return Ok(Retracted::Gone),
            Sent::Moved => {}
            Sent::Refused(reason) => {
                let (repo, branch) = (remote.repo.clone(), branch.to_owned());
                return Err(GitError::Rejected { repo, branch, reason });
            }
        }
    }
    Ok(Retracted::Moved)
}

/// Whether `commit` is on `branch` as the server has it now.
pub(super) async fn contains(
    remote: &Remote,
    branch: &str,
    commit: &CommitId,
) -> Result<bool, GitError> {
    let tip = remote.fetch(&Revision::Branch(branch.to_owned())).await?;
    let commit = commit.clone();
    remote
        .run(move |job| Ok(job.contains(&commit) && job.is_ancestor(commit.oid(), tip.oid())?))
        .await
}

/// How many commits `head` has that `branch` lacks, counted up to `most`.
pub(super) async fn ahead(
    remote: &Remote,
    branch: &str,
    head: &CommitId,
    most: usize,
) -> Result<usize, GitError> {
    let tip = remote.fetch(&Revision::Branch(branch.to_owned())).await?;
    remote.ensure(head).await?;
    let head = head.clone();
    remote
        .run(move |job| {
            let fail = job.fail("counting commits");
            let mut walk = job.repository.revwalk().map_err(&fail)?;
            walk.push(head.oid()).map_err(&fail)?;
            walk.hide(tip.oid()).map_err(&fail)?;
            Ok(walk.take(most).count())
        })
        .await
}

/// Whether `commit` of `branch` brought all that led to `head`, and nothing else: then its revert takes
/// all of that back. Where that cannot be seen it is not so.
pub(super) async fn is_whole(
    remote: &Remote,
    branch: &str,
    commit: &CommitId,
    head: Option<&CommitId>,
) -> Result<bool, GitError> {
    if !contains(remote, branch, commit).await? {
        return Ok(false);
    }
    let head = match head {
        Some(head) => match remote.ensure(head).await {
            Ok(()) => Some(head.clone()),
            // Its branch is gone, and it was never seen here.
            Err(GitError::CommitNotFound { .. }) => None,
            Err(error) => return Err(error),
        },
        None => None,
    };
    let commit = commit.clone();
    remote.run(move |job| whole(job, &commit, head.as_ref())).await
}

fn whole(job: &Job, commit: &CommitId, head: Option<&CommitId>) -> Result<bool, GitError> {
    if head == Some(commit) {
        // The branch was moved on: how many commits that brought, nobody can say.
        return Ok(false);
    }
    let fail = job.fail("looking at a merge");
    let merged = job.commit(commit)?;
    if merged.parent_count() > 1 {
        return Ok(true);
    }
    let Some(head) = head else { return Ok(false) };
    let Ok(parent) = merged.parent(0) else { return Ok(false) };
    let Ok(base) = job.repository.merge_base(head.oid(), parent.id()) else { return Ok(false) };
    let base = job.repository.find_commit(base).and_then(|base| base.tree()).map_err(&fail)?;
    let head = job.commit(head)?.tree().map_err(&fail)?;
    let there = merged.tree().map_err(&fail)?;
    // Without all that led to the head it has to be what it was built on.
    Ok(match merge::three_way(job, &head, &there, &base)? {
        Merged::Tree(tree) => tree == parent.tree_id(),
        Merged::Conflicts(_) => false,
    })
}
