//! What differs between two commits, for people and for digests.

use git2::{Delta, DiffOptions, Patch};
use serde::{Deserialize, Serialize};

use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// Its content, mode or kind differs.
    Modified,
    /// It is gone.
    Deleted,
}

/// One file's difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// The path in the repository.
    pub path: String,
    /// What happened.
    pub change: Change,
    /// Id of the old content.
    pub old_blob: Option<String>,
    /// Id of the new content.
    pub new_blob: Option<String>,
    /// Unified diff; a binary file's says only that it differs.
    pub patch: String,
    /// Whether the patch was cut or left out for its size. The blob ids are always exact.
    pub truncated: bool,
}

/// One file's contents before and after, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The path in the repository.
    pub path: String,
    /// Id of the old content; `None` if the file is new.
    pub old_blob: Option<String>,
    /// Id of the new content; `None` if the file is gone.
    pub new_blob: Option<String>,
}

/// The files that differ, sorted by path.
pub(super) fn changes(
    job: &Job,
    old: &git2::Tree<'_>,
    new: &git2::Tree<'_>,
) -> Result<Vec<FileChange>, GitError> {
    let fail = job.fail("comparing trees");
    let diff = job.repository.diff_tree_to_tree(Some(old), Some(new), None).map_err(fail)?;
    Ok(diff.deltas().map(|delta| change(&delta)).collect())
}

/// The files that differ with their patches.
pub(super) fn patches(
    job: &Job,
    old: &CommitId,
    new: &CommitId,
) -> Result<Vec<FileDiff>, GitError> {
    let fail = job.fail("comparing commits");
    let old = job.commit(old)?.tree().map_err(&fail)?;
    let new = job.commit(new)?.tree().map_err(&fail)?;
    let mut options = DiffOptions::new();
    options.max_size(i64::try_from(job.caps.file).unwrap_or(i64::MAX));
    let diff = job
        .repository
        .diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))
        .map_err(&fail)?;
    let mut room = job.caps.patches;
    let mut files = Vec::new();
    for (index, delta) in diff.deltas().enumerate() {
        job.check()?;
        let FileChange { path, old_blob, new_blob } = change(&delta);
        let limit = job.caps.patch.min(room);
        let (patch, truncated) = if room == 0 {
            (String::new(), true)
        } else {
            let text = match Patch::from_diff(&diff, index).map_err(&fail)? {
                Some(mut patch) => patch.to_buf().map_err(&fail)?.to_vec(),
                None => Vec::new(),
            };
            cut(&String::from_utf8_lossy(&text), limit)
        };
        room -= patch.len();
        let change = kind(delta.status());
        files.push(FileDiff { path, change, old_blob, new_blob, patch, truncated });
    }
    Ok(files)
}

fn change(delta: &git2::DiffDelta<'_>) -> FileChange {
    let id = |file: git2::DiffFile<'_>| Some(file.id()).filter(|id| !id.is_zero());
    let (old, new) = (delta.old_file(), delta.new_file());
    let path = new.path_bytes().or(old.path_bytes()).unwrap_or_default();
    FileChange {
        path: String::from_utf8_lossy(path).into_owned(),
        old_blob: id(old).map(|id| id.to_string()),
        new_blob: id(new).map(|id| id.to_string()),
    }
}

fn kind(status: Delta) -> Change {
    match status {
        Delta::Added | Delta::Copied | Delta::Untracked => Change::Added,
        Delta::Deleted => Change::Deleted,
        Delta::Unmodified
        | Delta::Modified
        | Delta::Renamed
        | Delta::Ignored
        | Delta::Typechange
        | Delta::Unreadable
        | Delta::Conflicted => Change::Modified,
    }
}

/// At most `limit` bytes of `text`, cut after a whole line where there is one.
fn cut(text: &str, limit: usize) -> (String, bool) {
    if text.len() <= limit {
        return (text.to_owned(), false);
    }
    let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let end = text[..end].rfind('\n').map_or(end, |newline| newline + 1);
    (text[..end].to_owned(), true)
}
