//! Making commits whose id depends on nothing but what the caller gives.

use std::path::PathBuf;

use git2::{Oid, Time, Tree};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::diff::{self, FileChange};
use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;
use super::scan;
use super::signing::write_commit;
use super::sparse::Only;
use super::tree::{self, EXECUTABLE, Edit, Edits, FILE};
use super::unborn;
use super::url::RepoUrl;

/// Key of the trailer that marks a promotion's commit.
const PROMOTION: &str = "Lockstep-Promotion";
/// Key of the trailer that marks the undo of a promotion's commit.
const UNDO: &str = "Lockstep-Undo";

/// Who made a commit, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A name, without `<` and `>`.
    pub name: String,
    /// An email address.
    pub email: String,
    /// Cut to seconds, shown in UTC.
    pub time: Timestamp,
}

/// A line at the end of a commit message by which the commit is found again.
///
/// The value names one effect: the step of the promotion, not only the promotion. Two steps that
/// push to the same branch with the same trailer would be taken for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    key: String,
    value: String,
}

/// A commit to be made on top of `base`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    /// The repository.
    pub repo: RepoUrl,
    /// The parent; of a branch's first commit, what [`Git::checkout_unborn`](super::Git::checkout_unborn) gave.
    pub base: CommitId,
    /// What the new tree holds.
    pub source: Source,
    /// Who wrote the change.
    pub author: Signature,
    /// Who made the commit.
    pub committer: Signature,
    /// The message without trailers.
    pub message: String,
    /// The trailers, in this order.
    pub trailers: Vec<Trailer>,
}

/// Where the content of a commit comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory that was checked out from the base commit and then changed.
    WorkingTree {
        /// The directory.
        dir: PathBuf,
        /// What was checked out; all, if there are none. What is missing elsewhere is not gone.
        paths: Vec<String>,
    },
    /// Single files, without a checkout; a file that is executable stays so.
    Edits(Vec<FileEdit>),
}

/// A file's new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// The path in the repository.
    pub path: String,
    /// The content; `None` removes the file.
    pub content: Option<Vec<u8>>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitOutcome {
    /// The commit was made, in the mirror only.
    Committed(NewCommit),
    /// The content is that of the base; there is nothing to commit.
    Unchanged {
        /// The base.
        base: CommitId,
    },
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCommit {
    /// Its id.
    pub commit: CommitId,
    /// Its tree's id.
    pub tree: String,
    /// Its parent.
    pub parent: CommitId,
    /// The files that differ from the parent, sorted by path.
    pub changed: Vec<FileChange>,
}

impl Signature {
    pub(super) fn check(&self, field: &'static str) -> Result<(), GitError> {
        for value in [&self.name, &self.email] {
            let bad = |why| GitError::CommitField { field, value: value.clone(), why };
            if value.trim().is_empty() {
                return Err(bad("it is empty"));
            }
            if value.chars().any(|c| c.is_control() || c == '<' || c == '>') {
                return Err(bad("it contains `<`, `>` or a control character"));
            }
        }
        Ok(())
    }

    pub(super) fn to_git(&self, job: &Job) -> Result<git2::Signature<'static>, GitError> {
        let time = Time::new(self.time.as_second(), 0);
        git2::Signature::new(&self.name, &self.email, &time).map_err(job.fail("signing a commit"))
    }
}

impl Trailer {
    /// A trailer `KEY: VALUE`.
    ///
    /// # Errors
    /// [`GitError::CommitField`] if the key is not made of letters, digits and `-`, or the value
    /// is empty or has more than one line.
    pub fn new(key: &str, value: &str) -> Result<Self, GitError> {
        let bad = |why| GitError::CommitField { field: "trailer", value: value.to_owned(), why };
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if key.is_empty() || !key.chars().all(word) {
            return Err(bad("its key is not made of letters, digits and `-`"));
        }
        let value = value.trim();
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(bad("its value is empty or has more than one line"));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// The trailer of a promotion's commit.
    ///
    /// # Errors
    /// As [`Trailer::new`].
    pub fn promotion(value: &str) -> Result<Self, GitError> {
        Self::new(PROMOTION, value)
    }

    /// The trailer of an undo.
    ///
    /// # Errors
    /// As [`Trailer::new`].
    pub fn undo(value: &str) -> Result<Self, GitError> {
        Self::new(UNDO, value)
    }

    /// Whether the commit carries it.
    pub(super) fn is_on(&self, commit: &git2::Commit<'_>) -> bool {
        trailer_lines(commit).contains(&self.line())
    }

    /// The line of the message.
    pub(super) fn line(&self) -> String {
        format!("{}: {}", self.key, self.value)
    }
}

/// The lines of the last paragraph of the commit's message.
pub(super) fn trailer_lines(commit: &git2::Commit<'_>) -> Vec<String> {
    let message = String::from_utf8_lossy(commit.message_bytes());
    let lines = message.trim_end().lines().rev();
    lines.take_while(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The message with its trailers; checked.
pub(super) fn full_message(message: &str, trailers: &[Trailer]) -> Result<String, GitError> {
    let message = message.trim();
    if message.is_empty() || message.contains('\0') {
        let (value, why) = (message.to_owned(), "it is empty or contains NUL");
        return Err(GitError::CommitField { field: "message", value, why });
    }
    let lines: Vec<String> = trailers.iter().map(Trailer::line).collect();
    Ok(if lines.is_empty() {
        format!("{message}\n")
    } else {
        format!("{message}\n\n{}\n", lines.join("\n"))
    })
}

/// Makes the commit in the mirror.
pub(super) fn commit(job: &Job, request: &CommitRequest) -> Result<CommitOutcome, GitError> {
    let parent = job.commit(&request.base)?;
    let fail = job.fail("making a commit");
    let base = parent.tree().map_err(&fail)?;
    let mut edits = Edits::default();
    match &request.source {
        Source::WorkingTree { dir, paths } => {
            scan::compare(job, &base, dir, &Only::of(paths)?, &mut edits)?;
        }
        Source::Edits(files) => single_edits(job, &base, files, &mut edits)?,
    }
    let tree = edits.apply(job, &base)?;
    if tree == base.id() {
        return Ok(CommitOutcome::Unchanged { base: request.base.clone() });
    }
    let tree = job.repository.find_tree(tree).map_err(&fail)?;
    let message = full_message(&request.message, &request.trailers)?;
    let parent = (request.base != unborn::id()).then_some(&parent);
    let id = write(job, &request.author, &request.committer, &message, &tree, parent)?;
    Ok(CommitOutcome::Committed(NewCommit {
        commit: id.into(),
        tree: tree.id().to_string(),
        parent: request.base.clone(),
        changed: diff::changes(job, &base, &tree)?,
    }))
}

/// Writes a commit with trailers of its own.
pub(super) fn make(
    job: &Job,
    (author, committer): (&Signature, &Signature),
    (message, trailer): (&str, &Trailer),
    tree: &Tree<'_>,
    parent: &git2::Commit<'_>,
) -> Result<Oid, GitError> {
    let message = full_message(message, std::slice::from_ref(trailer))?;
    write(job, author, committer, &message, tree, Some(parent))
}

/// The same commit on another parent: everything but parent and tree is kept.
pub(super) fn transplant(
    job: &Job,
    original: &git2::Commit<'_>,
    tree: &Tree<'_>,
    parent: &git2::Commit<'_>,
) -> Result<Oid, GitError> {
    let message = String::from_utf8_lossy(original.message_raw_bytes()).into_owned();
    let (author, committer) = (original.author(), original.committer());
    write_commit(job, (&author, &committer), &message, tree, &[parent], "re-applying a commit")
}

fn write(
    job: &Job,
    author: &Signature,
    committer: &Signature,
    message: &str,
    tree: &Tree<'_>,
    parent: Option<&git2::Commit<'_>>,
) -> Result<Oid, GitError> {
    author.check("author")?;
    committer.check("committer")?;
    let (author, committer) = (author.to_git(job)?, committer.to_git(job)?);
    let parents: Vec<_> = parent.into_iter().collect();
    write_commit(job, (&author, &committer), message, tree, &parents, "making a commit")
}

fn single_edits(
    job: &Job,
    base: &Tree<'_>,
    files: &[FileEdit],
    edits: &mut Edits,
) -> Result<(), GitError> {
    for file in files {
        let path = tree::components(&file.path)?;
        let edit = match &file.content {
            None => Edit::Remove,
            Some(content) if content.len() as u64 > job.caps.file => {
                return Err(job.too_large(format!("file {:?}", file.path), job.caps.file));
            }
            Some(content) => {
                let id = job.repository.blob(content).map_err(job.fail("writing a file"))?;
                let known = base.get_path(file.path.as_ref()).ok();
                let executable = known.is_some_and(|entry| entry.filemode() == EXECUTABLE);
                Edit::Put { id, mode: if executable { EXECUTABLE } else { FILE } }
            }
        };
        edits.insert(&path, edit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers() {
        for good in ["dev.1/3", "a b"] {
            assert!(Trailer::promotion(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a\nb", "a\u{7}b"] {
            assert!(Trailer::promotion(bad).is_err(), "{bad:?}");
        }
        assert!(Trailer::new("Has space", "x").is_err());
        assert!(Trailer::new("", "x").is_err());
    }

    #[test]
    fn messages() {
        let trailer = Trailer::promotion("dev.1/3").ok();
        let got = full_message(" Promote\n\nWhy.\n", trailer.as_slice());
        assert_eq!(got.ok().as_deref(), Some("Promote\n\nWhy.\n\nLockstep-Promotion: dev.1/3\n"));
        assert!(full_message(" \n", &[]).is_err());
    }
}
