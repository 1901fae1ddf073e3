//! Which part of a tree a checkout takes.

use std::collections::BTreeMap;

use git2::Tree;

use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;
use super::tree;

/// What is taken of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Only {
    /// All that it holds.
    All,
    /// What has these names, and `.gitignore`, which says what new files do not count.
    Some(BTreeMap<Vec<u8>, Self>),
    /// Nothing.
    Nothing,
}

impl Only {
    /// What `paths` name, files or folders below the root; all, if there are none.
    ///
    /// # Errors
    /// [`GitError::UnsafePath`] if one is no path of a repository.
    pub(super) fn of(paths: &[String]) -> Result<Self, GitError> {
        if paths.is_empty() {
            return Ok(Self::All);
        }
        let mut only = Self::Some(BTreeMap::new());
        for path in paths {
            only.insert(&tree::components(path.trim_end_matches('/'))?);
        }
        Ok(only)
    }

    fn insert(&mut self, path: &[Vec<u8>]) {
        let Some((name, rest)) = path.split_first() else {
            *self = Self::All;
            return;
        };
        match self {
            Self::All | Self::Nothing => {}
            Self::Some(names) => {
                names
                    .entry(name.clone())
                    .or_insert_with(|| Self::Some(BTreeMap::new()))
                    .insert(rest);
            }
        }
    }

    /// What is taken of what has this name.
    pub(super) fn below(&self, name: &[u8]) -> &Self {
        match self {
            Self::All => &Self::All,
            Self::Some(names) => match names.get(name) {
                Some(below) => below,
                None if name == b".gitignore" => &Self::All,
                None => &Self::Nothing,
            },
            Self::Nothing => &Self::Nothing,
        }
    }
}

/// Refuses paths that the commit does not have: a misspelt one must not pass for an empty one.
pub(super) fn check(
    job: &Job,
    commit: &CommitId,
    tree: &Tree<'_>,
    paths: &[String],
) -> Result<(), GitError> {
    for path in paths {
        match tree.get_path(path.trim_end_matches('/').as_ref()) {
            Ok(_) => {}
            Err(error) if error.code() == git2::ErrorCode::NotFound => {
                let (repo, commit, path) = (job.repo.clone(), commit.clone(), path.clone());
                return Err(GitError::PathNotFound { repo, commit, path });
            }
            Err(error) => return Err(job.fail("reading a tree")(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken() {
        let of = |paths: &[&str]| {
            Only::of(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()).ok()
        };
        let check = |paths: &[&str], path: &str, taken: bool| {
            let only = of(paths).unwrap_or(Only::Nothing);
            let found = path.split('/').fold(&only, |only, name| only.below(name.as_bytes()));
            assert_eq!(*found == Only::All, taken, "{path} of {paths:?}");
        };
        check(&[], "a/b", true);
        check(&["a"], "a/b/c", true);
        check(&["a/"], "a", true);
        check(&["a/b"], "a", false);
        check(&["a/b"], "a/b", true);
        check(&["a/b"], "a/c", false);
        check(&["a/b"], "c", false);
        check(&["a/b", "a"], "a/c", true);
        check(&["a", "a/b"], "a/c", true);
        check(&["a/b"], "a/.gitignore", true);
        check(&["a/b"], ".gitignore", true);
        check(&["a/b"], "c/.gitignore", false);
        assert!(Only::of(&["../a".to_owned()]).is_err());
    }
}
