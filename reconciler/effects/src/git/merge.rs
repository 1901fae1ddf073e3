//! Three-way merges of trees.
//!
//! Renames are not followed: a change to a file that somebody moved is a conflict for people to
//! see, not a guess.

use std::collections::BTreeMap;

use git2::{IndexEntry, MergeOptions, Oid, Tree};

use super::error::GitError;
use super::mirror::Job;
use super::tree::{FOLDER, MAX_DEPTH};

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

/// Brings the changes from `base` to `theirs` into `ours`. Folders that only one side changed are
/// taken as they are, so that what a merge costs does not grow with the repository.
pub(super) fn three_way(
    job: &Job,
    base: &Tree<'_>,
    ours: &Tree<'_>,
    theirs: &Tree<'_>,
) -> Result<Merged, GitError> {
    let mut overlaps = Vec::new();
    let sides = [Some(base.id()), Some(ours.id()), Some(theirs.id())];
    let tree = folders(job, sides, &mut Vec::new(), &mut overlaps)?;
    if !overlaps.is_empty() {
        overlaps.sort_by(|a, b| a.path.cmp(&b.path));
        return Ok(Merged::Conflicts(overlaps));
    }
    match tree {
        Some(tree) => Ok(Merged::Tree(tree)),
        None => job.empty_tree().map(|tree| Merged::Tree(tree.id())),
    }
}

/// Something by one name in a folder: its id and mode.
type Entry = (Oid, i32);
/// In `base`, `ours` and `theirs`.
type Sides<T> = [Option<T>; 3];

/// Merges folders; `None` if nothing is left.
fn folders(
    job: &Job,
    sides: Sides<Oid>,
    path: &mut Vec<Vec<u8>>,
    overlaps: &mut Vec<Overlap>,
) -> Result<Option<Oid>, GitError> {
    if path.len() > MAX_DEPTH {
        return Err(job.too_large("the depth of folders", MAX_DEPTH as u64));
    }
    let fail = job.fail("merging");
    let [_, ours, _] = sides;
    let ours = ours.map(|id| job.repository.find_tree(id)).transpose().map_err(&fail)?;
    let mut builder = job.repository.treebuilder(ours.as_ref()).map_err(&fail)?;
    for (name, entries) in entries(job, sides)? {
        let [base, ours, theirs] = entries;
        if theirs == base || theirs == ours {
            continue;
        }
        let merged = if ours == base {
            theirs
        } else if entries.iter().flatten().all(|(_, mode)| *mode == FOLDER) {
            path.push(name.clone());
            let below = folders(job, entries.map(|e| e.map(|(id, _)| id)), path, overlaps)?;
            path.pop();
            below.map(|id| (id, FOLDER))
        } else {
            clash(job, &name, entries, path, overlaps)?
        };
        match merged {
            Some((id, mode)) => {
                builder.insert(name.as_slice(), id, mode).map_err(&fail)?;
            }
            None if ours.is_some() => builder.remove(name.as_slice()).map_err(&fail)?,
            None => {}
        }
    }
    if builder.is_empty() {
        return Ok(None);
    }
    builder.write().map(Some).map_err(&fail)
}

/// What the folders have by each name that one of them has.
fn entries(job: &Job, sides: Sides<Oid>) -> Result<BTreeMap<Vec<u8>, Sides<Entry>>, GitError> {
    let fail = job.fail("merging");
    let mut entries = BTreeMap::<Vec<u8>, Sides<Entry>>::new();
    for (side, id) in sides.into_iter().enumerate() {
        let Some(id) = id else { continue };
        for entry in &job.repository.find_tree(id).map_err(&fail)? {
            let sides = entries.entry(entry.name_bytes().to_vec()).or_default();
            sides[side] = Some((entry.id(), entry.filemode()));
        }
    }
    Ok(entries)
}

/// Merges what both sides changed and what is not a folder everywhere: the library's part.
fn clash(
    job: &Job,
    name: &[u8],
    entries: Sides<Entry>,
    path: &[Vec<u8>],
    overlaps: &mut Vec<Overlap>,
) -> Result<Option<Entry>, GitError> {
    let fail = job.fail("merging");
    let alone = |entry: Option<Entry>| -> Result<Tree<'_>, GitError> {
        let mut builder = job.repository.treebuilder(None).map_err(&fail)?;
        if let Some((id, mode)) = entry {
            builder.insert(name, id, mode).map_err(&fail)?;
        }
        job.repository.find_tree(builder.write().map_err(&fail)?).map_err(&fail)
    };
    let [base, ours, theirs] = entries;
    let mut options = MergeOptions::new();
    options.find_renames(false);
    let (base, ours, theirs) = (alone(base)?, alone(ours)?, alone(theirs)?);
    let merged = job.repository.merge_trees(&base, &ours, &theirs, Some(&options));
    let mut index = merged.map_err(&fail)?;
    if !index.has_conflicts() {
        let tree = index.write_tree_to(&job.repository).map_err(&fail)?;
        let tree = job.repository.find_tree(tree).map_err(&fail)?;
        return Ok(tree.get_name_bytes(name).map(|entry| (entry.id(), entry.filemode())));
    }
    for conflict in index.conflicts().map_err(&fail)? {
        let git2::IndexConflict { ancestor, our, their } = conflict.map_err(&fail)?;
        let any = [&our, &their, &ancestor].into_iter().flatten().next();
        let below = any.map(|entry| entry.path.clone()).unwrap_or_default();
        let path = path.iter().cloned().chain([below]).collect::<Vec<_>>().join(&b'/');
        let id = |entry: Option<IndexEntry>| entry.map(|entry| entry.id);
        overlaps.push(Overlap {
            path: String::from_utf8_lossy(&path).into_owned(),
            base: id(ancestor),
            ours: id(our),
            theirs: id(their),
        });
    }
    Ok(None)
}
