//! Pushing a commit so that it lands exactly once, whatever crashed or raced before.

use git2::{Oid, Sort};
use serde::{Deserialize, Serialize};

use super::commit::{Trailer, full_message, transplant};
use super::engine::Remote;
use super::error::GitError;
use super::history;
use super::id::{CommitId, Revision};
use super::landed::{Chain, SEARCH};
use super::merge::{self, Merged, Overlap};
use super::mirror::Job;
use super::signing::write_commit;
use super::unborn;
use super::url::RepoUrl;
use super::writer::{Published, Step, Target, publish};

/// Commits that one push may re-apply.
const CHAIN: usize = 256;

/// A commit to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// The repository.
    pub repo: RepoUrl,
    /// The branch.
    pub branch: String,
    /// The commit, as `commit` made it. Its ancestors that the branch lacks go with it.
    pub commit: CommitId,
    /// The trailer that the commit carries and no other effect does.
    pub trailer: Trailer,
    /// Whether a missing branch may be made.
    pub create: bool,
    /// What to do where others pushed since.
    pub if_moved: IfMoved,
    /// A commit that the branch has to have: without it, what somebody took off the branch would go up
    /// again.
    pub stands_on: Option<CommitId>,
    /// Commits that were put on the branch from the same files, which this one holds as well: where nothing else
    /// came, nobody moved it.
    pub own: Vec<CommitId>,
    /// Attempts before a branch that keeps moving is given up; 10 is usual.
    pub max_attempts: u32,
}

/// What to do where a branch has commits that the one to be pushed does not stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMoved {
    /// Re-apply it on top of them.
    Rebase,
    /// Join both by a merge commit.
    Merge,
    /// Fail.
    Fail,
}

/// Where the effect is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushOutcome {
    /// It was pushed now.
    Pushed {
        /// The commit on the branch: another than asked for if the branch had moved.
        commit: CommitId,
        /// The tip before; `None` if the branch is new.
        previous_tip: Option<CommitId>,
        /// Attempts made.
        attempts: u32,
    },
    /// It was there before.
    AlreadyThere {
        /// The commit on the branch.
        commit: CommitId,
    },
}

/// How an effect is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The commit, if its id is known.
    pub commit: Option<CommitId>,
    /// The trailer, which also stands on a re-applied commit.
    pub trailer: Trailer,
    /// The search ends at commits that this one reaches: the tip before the effect, say.
    pub since: Option<CommitId>,
}

pub(super) async fn push(remote: &Remote, request: PushRequest) -> Result<PushOutcome, GitError> {
    let target = Target {
        branch: request.branch.clone(),
        create: request.create,
        max_attempts: request.max_attempts,
    };
    let built = publish(remote, &target, move |chain| plan(chain, &request)).await?;
    Ok(match built {
        Published::Done(commit) => PushOutcome::AlreadyThere { commit },
        Published::Sent { commit, previous_tip, attempts } => {
            PushOutcome::Pushed { commit, previous_tip, attempts }
        }
    })
}

pub(super) async fn observe(
    remote: &Remote,
    branch: &str,
    mark: &Mark,
) -> Result<Option<CommitId>, GitError> {
    // What is on its way from here arrives first.
    let _rest = remote.engine.writers.at_rest(remote, branch).await;
    let tip = match remote.fetch(&Revision::Branch(branch.to_owned())).await {
        Ok(tip) => tip,
        Err(GitError::BranchNotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mark = mark.clone();
    remote
        .run(move |job| {
            if let Some(commit) = &mark.commit
                && job.contains(commit)
                && job.is_ancestor(commit.oid(), tip.oid())?
            {
                return Ok(Some(commit.clone()));
            }
            let since = mark.since.filter(|since| job.contains(since));
            let since = since.map(|since| since.oid());
            history::find(job, tip.oid(), since, SEARCH, |commit| mark.trailer.is_on(commit))
        })
        .await
}

/// `Done` with the commit that is there already, or the commit to send.
fn plan(chain: &mut Chain<'_>, request: &PushRequest) -> Result<Step<CommitId>, GitError> {
    let job = chain.job();
    let ours = request.commit.oid();
    let base = job.commit(&request.commit)?.parent_ids().next();
    let Some(tip) = chain.tip().cloned() else { return Ok(Step::Send(ours)) };
    // Nothing came after what it was made on.
    if base == Some(tip.oid()) {
        return Ok(Step::Send(ours));
    }
    // Others join what is there, too, when they pull and push.
    if request.if_moved == IfMoved::Merge
        && let Some(found) = chain.joined(ours, base)?
        && request.trailer.is_on(&job.commit(&found)?)
    {
        return Ok(Step::Done(found));
    }
    if chain.has(ours, base)? {
        return Ok(Step::Done(request.commit.clone()));
    }
    if let Some(found) = chain.carrying(&request.trailer, base)? {
        return Ok(Step::Done(found));
    }
    // A branch that was not there has lost nothing.
    let stood = request.stands_on.as_ref().filter(|stood| **stood != unborn::id());
    if let Some(stood) = stood
        && !chain.has(stood.oid(), Some(stood.oid()))?
    {
        let (repo, branch) = (job.repo.clone(), request.branch.clone());
        return Err(GitError::Rewritten { repo, branch, gone: stood.clone(), theirs: tip });
    }
    let line = match chain.line(ours, CHAIN)? {
        Some((from, _)) if from == tip.oid() => return Ok(Step::Send(ours)),
        None if job.is_ancestor(tip.oid(), ours)? => return Ok(Step::Send(ours)),
        line => line.map(|(_, line)| line),
    };
    // There is nothing to join: it holds what they brought.
    if only_own(job, &request.own, base, &tip)? {
        let (commit, onto) = (job.commit(&request.commit)?, job.commit(&tip)?);
        let tree = commit.tree().map_err(job.fail("re-applying a commit"))?;
        return transplant(job, &commit, &tree, &onto).map(Step::Send);
    }
    match request.if_moved {
        IfMoved::Rebase => {
            let line = line.map_or_else(|| lacking(job, ours, &tip), Ok)?;
            reapply(job, line, &tip, &request.branch).map(Step::Send)
        }
        IfMoved::Merge => join(job, request, &tip).map(Step::Send),
        IfMoved::Fail => {
            let (repo, branch) = (job.repo.clone(), request.branch.clone());
            Err(GitError::BranchMoved { repo, branch, ours: request.commit.clone(), theirs: tip })
        }
    }
}

/// Whether nothing but these commits came to the branch after `base`.
fn only_own(
    job: &Job,
    own: &[CommitId],
    base: Option<Oid>,
    tip: &CommitId,
) -> Result<bool, GitError> {
    let mut at = Some(tip.oid());
    while at != base {
        let Some(own) = own.iter().find(|own| at == Some(own.oid())) else { return Ok(false) };
        at = job.commit(own)?.parent_ids().next();
    }
    Ok(true)
}

/// Joins the commit and the branch. The branch comes first, so that its own line stays the one that is
/// followed, and the undo of what joined them takes back what the commit brought.
fn join(job: &Job, request: &PushRequest, tip: &CommitId) -> Result<Oid, GitError> {
    let fail = job.fail("joining commits");
    let (ours, theirs) = (job.commit(&request.commit)?, job.commit(tip)?);
    let common = match job.repository.merge_base(ours.id(), theirs.id()) {
        Ok(base) => job.repository.find_commit(base).and_then(|base| base.tree()).map_err(&fail)?,
        Err(error) if error.code() == git2::ErrorCode::NotFound => job.empty_tree()?,
        Err(error) => return Err(fail(error)),
    };
    let (mine, there) = (ours.tree().map_err(&fail)?, theirs.tree().map_err(&fail)?);
    let tree = match merge::three_way(job, &common, &there, &mine)? {
        Merged::Tree(tree) => job.repository.find_tree(tree).map_err(&fail)?,
        Merged::Conflicts(overlaps) => {
            return Err(conflict(job, &request.branch, overlaps, ours.id(), tip));
        }
    };
    let message = format!("Merge {:.10} into {}", request.commit.as_str(), request.branch);
    let message = full_message(&message, std::slice::from_ref(&request.trailer))?;
    let (author, committer) = (ours.author(), ours.committer());
    let parents = [&theirs, &ours];
    write_commit(job, (&author, &committer), &message, &tree, &parents, "joining commits")
}

fn conflict(
    job: &Job,
    branch: &str,
    overlaps: Vec<Overlap>,
    ours: Oid,
    tip: &CommitId,
) -> GitError {
    GitError::Conflict {
        repo: job.repo.clone(),
        branch: branch.to_owned(),
        files: overlaps.into_iter().map(|overlap| overlap.path).collect(),
        ours: ours.into(),
        theirs: tip.clone(),
    }
}

/// The commits up to `ours` that `tip` does not have, oldest first.
fn lacking(job: &Job, ours: Oid, tip: &CommitId) -> Result<Vec<Oid>, GitError> {
    let fail = job.fail("re-applying commits");
    let mut walk = job.repository.revwalk().map_err(&fail)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE).map_err(&fail)?;
    walk.push(ours).map_err(&fail)?;
    walk.hide(tip.oid()).map_err(&fail)?;
    let line = walk.take(CHAIN + 1).collect::<Result<Vec<Oid>, _>>().map_err(&fail)?;
    if line.len() > CHAIN {
        return Err(job.too_large("the number of commits to re-apply", CHAIN as u64));
    }
    Ok(line)
}

/// Puts our commits, oldest first, on top of `tip`. A commit whose change is there already stays,
/// empty: it marks the effect, and undoing it undoes nothing of other people's.
fn reapply(job: &Job, line: Vec<Oid>, tip: &CommitId, branch: &str) -> Result<Oid, GitError> {
    let fail = job.fail("re-applying commits");
    let mut onto = job.commit(tip)?;
    for id in line {
        let commit = job.repository.find_commit(id).map_err(&fail)?;
        if commit.parent_count() > 1 {
            return Err(GitError::MergeCommit { repo: job.repo.clone(), commit: id.into() });
        }
        let base = job.parent_tree(&commit)?;
        let (mine, there) = (commit.tree().map_err(&fail)?, onto.tree().map_err(&fail)?);
        let tree = match merge::three_way(job, &base, &there, &mine)? {
            Merged::Tree(tree) => job.repository.find_tree(tree).map_err(&fail)?,
            Merged::Conflicts(overlaps) => {
                return Err(conflict(job, branch, overlaps, id, tip));
            }
        };
        let id = transplant(job, &commit, &tree, &onto)?;
        onto = job.repository.find_commit(id).map_err(&fail)?;
    }
    Ok(onto.id())
}
