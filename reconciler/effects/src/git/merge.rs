//! Three-way merges of trees.
//!
//! Renames are not followed: a change to a file that somebody moved is a conflict for people to
//! see, not a guess.

use git2::{IndexEntry, MergeOptions, Oid, Tree};

use super::error::GitError;
use super::mirror::Job;

/// What a merge gives.
pub(super) enum Merged {
    /// The id of the merged tree.
    Tree(Oid),
    /// Files whose changes overlap, sorted by path.
    Conflicts(Vec<Overlap>),
}

/// A file that both sides changed, with the content of each version; `None` where it is missing.
pub(super) struct Overlap {
    pub(super) path: String,
    pub(super) base: Option<Oid>,
    pub(super) ours: Option<Oid>,
    pub(super) theirs: Option<Oid>,
}

/// Brings the changes from `base` to `theirs` into `ours`.
pub(super) fn three_way(
    job: &Job,
    base: &Tree<'_>,
    ours: &Tree<'_>,
    theirs: &Tree<'_>,
) -> Result<Merged, GitError> {
    let fail = job.fail("merging");
    let mut options = MergeOptions::new();
    options.find_renames(false);
    let mut index =
        job.repository.merge_trees(base, ours, theirs, Some(&options)).map_err(&fail)?;
    if !index.has_conflicts() {
        return index.write_tree_to(&job.repository).map(Merged::Tree).map_err(&fail);
    }
    let mut overlaps = Vec::new();
    for conflict in index.conflicts().map_err(&fail)? {
        let git2::IndexConflict { ancestor, our, their } = conflict.map_err(&fail)?;
        let any = [&our, &their, &ancestor].into_iter().flatten().next();
        let path = any.map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
        let id = |entry: Option<IndexEntry>| entry.map(|entry| entry.id);
        overlaps.push(Overlap {
            path: path.unwrap_or_default(),
            base: id(ancestor),
            ours: id(our),
            theirs: id(their),
        });
    }
    overlaps.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Merged::Conflicts(overlaps))
}
