//! The first-parent history of a branch, newest first, filtered by the paths that each commit
//! changed.

use std::collections::BTreeSet;

use git2::{Oid, Sort};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;

/// Characters of a subject that are kept.
const SUBJECT: usize = 80;

/// How much history is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimit {
    /// Matching commits to find.
    pub commits: usize,
    /// Commits to look at.
    pub scan: usize,
}

/// What was found on a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// The branch's tip.
    pub tip: CommitId,
    /// Matching commits, newest first.
    pub commits: Vec<CommitInfo>,
    /// Commits looked at.
    pub scanned: usize,
    /// Whether the search ended by itself: enough was found, or the history ended. `false` means
    /// that the scan bound cut it, and older matches may exist.
    pub complete: bool,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Its id.
    pub id: CommitId,
    /// `Name <email>`.
    pub author: String,
    /// When it was committed.
    pub committer_time: Timestamp,
    /// First line of the message, at most 80 characters.
    pub subject: String,
}

impl Default for HistoryLimit {
    fn default() -> Self {
        Self { commits: 20, scan: 1000 }
    }
}

/// Walks from `tip`. The filter sees the paths changed against the first parent, sorted; a rename
/// shows as both names.
pub(super) fn walk(
    job: &Job,
    tip: &CommitId,
    filter: &dyn Fn(&[String]) -> bool,
    limit: HistoryLimit,
) -> Result<Discovery, GitError> {
    let fail = job.fail("walking the history");
    let mut walk = job.repository.revwalk().map_err(&fail)?;
    walk.simplify_first_parent().map_err(&fail)?;
    walk.push(tip.oid()).map_err(&fail)?;
    let mut found = Discovery { tip: tip.clone(), commits: Vec::new(), scanned: 0, complete: true };
    for id in walk {
        if found.commits.len() >= limit.commits {
            return Ok(found);
        }
        if found.scanned >= limit.scan {
            found.complete = false;
            return Ok(found);
        }
        job.check()?;
        found.scanned += 1;
        let commit = job.repository.find_commit(id.map_err(&fail)?).map_err(&fail)?;
        if filter(&changed_paths(job, &commit)?) {
            found.commits.push(describe(&commit));
        }
    }
    Ok(found)
}

/// The newest commit that `tip` reaches and `since` does not, for which `wanted` holds; looks at
/// `scan` commits at most.
pub(super) fn find(
    job: &Job,
    tip: Oid,
    since: Option<Oid>,
    scan: usize,
    wanted: impl Fn(&git2::Commit<'_>) -> bool,
) -> Result<Option<CommitId>, GitError> {
    let fail = job.fail("searching the history");
    let mut walk = job.repository.revwalk().map_err(&fail)?;
    walk.set_sorting(Sort::TIME).map_err(&fail)?;
    walk.push(tip).map_err(&fail)?;
    if let Some(since) = since {
        walk.hide(since).map_err(&fail)?;
    }
    for id in walk.take(scan) {
        job.check()?;
        let commit = job.repository.find_commit(id.map_err(&fail)?).map_err(&fail)?;
        if wanted(&commit) {
            return Ok(Some(commit.id().into()));
        }
    }
    Ok(None)
}

fn changed_paths(job: &Job, commit: &git2::Commit<'_>) -> Result<Vec<String>, GitError> {
    let fail = job.fail("comparing a commit with its parent");
    let old = job.parent_tree(commit)?;
    let new = commit.tree().map_err(&fail)?;
    let diff = job.repository.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(&fail)?;
    let files = diff.deltas().flat_map(|delta| {
        let text = |path: Option<&[u8]>| path.map(|p| String::from_utf8_lossy(p).into_owned());
        let old = text(delta.old_file().path_bytes());
        old.into_iter().chain(text(delta.new_file().path_bytes()))
    });
    Ok(files.collect::<BTreeSet<_>>().into_iter().collect())
}

fn describe(commit: &git2::Commit<'_>) -> CommitInfo {
    let author = commit.author();
    let author = format!(
        "{} <{}>",
        String::from_utf8_lossy(author.name_bytes()),
        String::from_utf8_lossy(author.email_bytes())
    );
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let subject = message.lines().next().unwrap_or_default();
    // A date that no clock can show is a forged one; it must not stop the branch.
    let time = Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH);
    CommitInfo {
        id: commit.id().into(),
        author,
        committer_time: time,
        subject: subject.chars().take(SUBJECT).collect(),
    }
}
