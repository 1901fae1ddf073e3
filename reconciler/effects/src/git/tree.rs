//! Changing a tree file by file: only the folders on the way to a changed file are written anew.

use std::collections::BTreeMap;

use git2::{ErrorClass, ObjectType, Oid, Tree};

use super::error::GitError;
use super::mirror::Job;

/// Mode of an ordinary file.
pub(super) const FILE: i32 = 0o100_644;
/// Mode of an executable file.
pub(super) const EXECUTABLE: i32 = 0o100_755;
/// Mode of a symbolic link.
pub(super) const LINK: i32 = 0o120_000;
/// Mode of a folder.
pub(super) const FOLDER: i32 = 0o040_000;

/// Folders inside folders that are followed; git itself has no limit, stacks have.
pub(super) const MAX_DEPTH: usize = 256;

/// What becomes of a path. A file at the place of a folder replaces the folder, and the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Put { id: Oid, mode: i32 },
    Remove,
}

/// Edits by path, as a tree of its own.
#[derive(Default)]
pub(super) struct Edits {
    entries: BTreeMap<Vec<u8>, Node>,
}

enum Node {
    Leaf(Edit),
    Folder(Edits),
}

impl Edits {
    /// Adds an edit for a path of checked components.
    pub(super) fn insert(&mut self, path: &[Vec<u8>], edit: Edit) {
        let Some((name, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.entries.insert(name.clone(), Node::Leaf(edit));
            return;
        }
        let entry = self.entries.entry(name.clone());
        let node = entry.or_insert_with(|| Node::Folder(Self::default()));
        match node {
            Node::Folder(folder) => folder.insert(rest, edit),
            // A file that became a folder: removing the file is implied by the new content.
            Node::Leaf(_) => {
                let mut folder = Self::default();
                folder.insert(rest, edit);
                *node = Node::Folder(folder);
            }
        }
    }

    /// Writes the tree that `base` becomes.
    pub(super) fn apply(&self, job: &Job, base: &Tree<'_>) -> Result<Oid, GitError> {
        match self.write(job, Some(base))? {
            Some(id) => Ok(id),
            None => job.empty_tree().map(|tree| tree.id()),
        }
    }

    /// `None` if nothing is left: git has no empty folders.
    fn write(&self, job: &Job, base: Option<&Tree<'_>>) -> Result<Option<Oid>, GitError> {
        let fail = job.fail("writing a tree");
        let mut builder = job.repository.treebuilder(base).map_err(&fail)?;
        for (name, node) in &self.entries {
            let put = match node {
                Node::Leaf(Edit::Put { id, mode }) => Some((*id, *mode)),
                Node::Leaf(Edit::Remove) => None,
                Node::Folder(edits) => {
                    let below = match base.and_then(|tree| folder(tree, name)) {
                        Some(id) => Some(job.repository.find_tree(id).map_err(&fail)?),
                        None => None,
                    };
                    edits.write(job, below.as_ref())?.map(|id| (id, FOLDER))
                }
            };
            if let Some((id, mode)) = put {
                builder.insert(name.as_slice(), id, mode).map_err(|error| match error.class() {
                    // More names than ours mean `.git` on some file system: `git~1`, say.
                    ErrorClass::Tree => refuse(name, "git does not allow this name"),
                    _ => fail(error),
                })?;
            } else if builder.get(name.as_slice()).map_err(&fail)?.is_some() {
                builder.remove(name.as_slice()).map_err(&fail)?;
            }
        }
        if builder.is_empty() {
            return Ok(None);
        }
        builder.write().map(Some).map_err(&fail)
    }
}

/// The folder `name` of `tree`.
pub(super) fn folder(tree: &Tree<'_>, name: &[u8]) -> Option<Oid> {
    tree.get_name_bytes(name)
        .filter(|entry| entry.kind() == Some(ObjectType::Tree))
        .map(|entry| entry.id())
}

/// Splits a path of a repository into checked components.
pub(super) fn components(path: &str) -> Result<Vec<Vec<u8>>, GitError> {
    let parts: Vec<Vec<u8>> = path.split('/').map(|part| part.as_bytes().to_vec()).collect();
    if parts.len() > MAX_DEPTH {
        return Err(refuse(path.as_bytes(), "it has too many folders"));
    }
    for part in &parts {
        check_name(part).map_err(|why| refuse(path.as_bytes(), why))?;
    }
    Ok(parts)
}

/// Refuses names that mean another place, or git's own folder.
pub(super) fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name == b"." || name == b".." {
        return Err("empty, `.` and `..` are not names");
    }
    if name.contains(&b'/') || name.contains(&0) {
        return Err("a name contains `/` or NUL");
    }
    if name.eq_ignore_ascii_case(b".git") {
        return Err("`.git` is git's own");
    }
    Ok(())
}

/// Refuses a symbolic link at `depth` folders below the root of its checkout that could lead out.
///
/// `..` may only stand first: there it climbs real folders, while behind another name it would
/// climb from wherever a second link points to.
pub(super) fn check_link(target: &[u8], depth: usize) -> Result<(), &'static str> {
    if target.is_empty() || target.first() == Some(&b'/') || target.contains(&0) {
        return Err("the link is empty or absolute");
    }
    let parts = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let mut climbed = 0;
    let mut descended = false;
    for part in parts {
        if part == b".." {
            climbed += 1;
            if descended || climbed > depth {
                return Err("the link leads out of the checkout");
            }
        } else {
            descended = true;
        }
    }
    Ok(())
}

pub(super) fn refuse(path: &[u8], why: &'static str) -> GitError {
    GitError::UnsafePath { path: String::from_utf8_lossy(path).into_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let check = |target: &str, depth, ok| {
            assert_eq!(check_link(target.as_bytes(), depth).is_ok(), ok, "{target} at {depth}");
        };
        check("a", 0, true);
        check("./a/b", 0, true);
        check("../a", 1, true);
        check("../../a", 2, true);
        check("..", 1, true);
        check("..", 0, false);
        check("../a", 0, false);
        check("../../a", 1, false);
        check("a/..", 0, false);
        check("a/../../b", 5, false);
        check("/etc/passwd", 3, false);
        check("", 1, false);
    }

    #[test]
    fn paths() {
        for good in ["a", "a/b.yaml", ".github/x", "..a/b", "a b"] {
            assert!(components(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", ".git/config", "a/.GIT/x", "a\0b"] {
            assert!(components(bad).is_err(), "{bad}");
        }
    }
}
