//! Undoing a pushed commit on whatever the branch has become.
//!
//! Never overwrites what somebody else wrote on the same lines: that is a conflict, shown with
//! the three contents that people need to decide.

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::commit::{self, Signature, Trailer};
use super::engine::Remote;
use super::error::GitError;
use super::id::CommitId;
use super::landed::Chain;
use super::merge::{self, Merged, Overlap};
use super::url::RepoUrl;
use super::writer::{Published, Step, Target, publish};

/// A commit to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertRequest {
    /// The repository.
    pub repo: RepoUrl,
    /// The branch.
    pub branch: String,
    /// The commit on the branch, as the push reported it.
    pub commit: CommitId,
    /// Who wrote the undo.
    pub author: Signature,
    /// Who made the commit.
    pub committer: Signature,
    /// The message without the trailer.
    pub message: String,
    /// The trailer that names this undo.
    pub trailer: Trailer,
    /// Attempts before a branch that keeps moving is given up; 10 is usual.
    pub max_attempts: u32,
}

/// How an undo ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevertOutcome {
    /// It was undone now.
    Reverted {
        /// The undoing commit.
        commit: CommitId,
        /// The tip before.
        previous_tip: CommitId,
        /// Attempts made.
        attempts: u32,
    },
    /// It was undone before.
    AlreadyReverted {
        /// The undoing commit.
        commit: CommitId,
    },
    /// The branch has none of the commit's changes any more.
    NothingToRevert {
        /// The branch's tip.
        tip: CommitId,
    },
    /// Somebody changed the same lines since; nothing was pushed.
    Conflict {
        /// The branch's tip.
        tip: CommitId,
        /// The files, sorted by path.
        files: Vec<RevertConflict>,
    },
}

/// A file that cannot be undone. Contents are blob ids, `None` where the file is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertConflict {
    /// The path in the repository.
    pub path: String,
    /// What happened, in words.
    pub why: String,
    /// What our commit made of it.
    pub ours: Option<String>,
    /// What the branch has now.
    pub present: Option<String>,
    /// What it was before our commit.
    pub before: Option<String>,
}

pub(super) async fn revert(
    remote: &Remote,
    request: RevertRequest,
) -> Result<RevertOutcome, GitError> {
    let target = Target {
        branch: request.branch.clone(),
        create: false,
        max_attempts: request.max_attempts,
    };
    let built = publish(remote, &target, move |chain| plan(chain, &request)).await?;
    Ok(match built {
        Published::Done(outcome) => outcome,
        Published::Sent { commit, previous_tip, attempts } => RevertOutcome::Reverted {
            commit,
            previous_tip: previous_tip.expect("a branch that has the commit has a tip"),
            attempts,
        },
    })
}

fn plan(chain: &mut Chain<'_>, request: &RevertRequest) -> Result<Step<RevertOutcome>, GitError> {
    let job = chain.job();
    let tip = chain.tip().expect("a missing branch is not made for an undo").clone();
    let (id, repo, branch) = (&request.commit, job.repo.clone(), request.branch.clone());
    // What is not here is nobody's ancestor; the undo may be there all the same.
    let ours = job.contains(id).then(|| job.commit(id)).transpose()?;
    let base = ours.as_ref().and_then(|commit| commit.parent_ids().next());
    if let Some(commit) = chain.carrying(&request.trailer, base)? {
        return Ok(Step::Done(RevertOutcome::AlreadyReverted { commit }));
    }
    let (Some(ours), true) = (ours, chain.has(id.oid(), base)?) else {
        let commit = id.clone();
        return Err(GitError::NotOnBranch { repo, branch, commit, tip });
    };
    let fail = job.fail("undoing a commit");
    let onto = job.commit(&tip)?;
    let (before, after) = (job.parent_tree(&ours)?, ours.tree().map_err(&fail)?);
    let present = onto.tree().map_err(&fail)?;
    let tree = match merge::three_way(job, &after, &present, &before)? {
        Merged::Tree(tree) if tree == present.id() => {
            return Ok(Step::Done(RevertOutcome::NothingToRevert { tip }));
        }
        Merged::Tree(tree) => job.repository.find_tree(tree).map_err(&fail)?,
        Merged::Conflicts(overlaps) => {
            let files = overlaps.into_iter().map(explain).collect();
            return Ok(Step::Done(RevertOutcome::Conflict { tip, files }));
        }
    };
    let people = (&request.author, &request.committer);
    commit::make(job, people, (&request.message, &request.trailer), &tree, &onto).map(Step::Send)
}

fn explain(overlap: Overlap) -> RevertConflict {
    let Overlap { path, base, ours, theirs } = overlap;
    let why = match (base, ours) {
        (Some(_), Some(_)) => "somebody else changed the same lines since",
        (Some(_), None) => "somebody else removed the file since",
        (None, Some(_)) => "we removed the file, and somebody else wrote it anew",
        (None, None) => "a file and a folder claim the same name",
    };
    let hex = |id: Option<Oid>| id.map(|id| id.to_string());
    let (ours, present, before) = (hex(base), hex(ours), hex(theirs));
    RevertConflict { path, why: why.to_owned(), ours, present, before }
}
