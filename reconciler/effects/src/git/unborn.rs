//! A branch that is not there yet, as something to check out and to commit on.
//!
//! It stands for one commit without files that is the same in every repository and is in no repository but the
//! mirror: what is committed on it has no parent, so it never goes up. Whoever pins a checkout to a commit pins the
//! absence of a branch as well, and a rebuild does not take up a branch that somebody made meanwhile.

use git2::{Signature, Time};

use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;

/// The id that follows from what is below.
const ID: &str = "51b9391cef49e98344318d874807229480a5b80c";
const MESSAGE: &str = "Nothing: the branch is not there yet\n";

/// The commit that stands for no commit.
pub(super) fn id() -> CommitId {
    ID.parse().expect("40 digits")
}

/// Whether an id stands for no commit: that of a branch which was not there.
#[must_use]
pub fn is_unborn(commit: &str) -> bool {
    commit == ID
}

/// Makes sure that the mirror has it.
pub(super) fn ensure(job: &Job) -> Result<(), GitError> {
    if job.contains(&id()) {
        return Ok(());
    }
    let fail = job.fail("writing what a new branch stands on");
    let nobody = Signature::new("Lockstep", "lockstep@localhost", &Time::new(0, 0));
    let nobody = nobody.map_err(&fail)?;
    let tree = job.empty_tree()?;
    let made = job.repository.commit(None, &nobody, &nobody, MESSAGE, &tree, &[]);
    let made = made.map_err(&fail)?;
    debug_assert_eq!(CommitId::from(made), id());
    Ok(())
}
