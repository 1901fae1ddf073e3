//! Local copies of remote repositories, and the work done on them.
//!
//! One bare mirror per repository and scope, in a folder named by a hash, so that neither an
//! address nor a project's name shows in a path. Two scopes never share a mirror: what one
//! project's credentials fetched, another project's cannot read. A mirror holds nothing that
//! cannot be fetched or made again, so a damaged one is thrown away.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use git2::{Repository, RepositoryInitOptions};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::config::Caps;
use super::error::GitError;
use super::id::CommitId;
use super::signing::Signer;
use super::url::RepoUrl;

/// The folder of all mirrors.
pub(super) struct Mirrors {
    root: PathBuf,
    creating: Mutex<()>,
}

/// One piece of blocking work on an open mirror.
pub(super) struct Job {
    pub(super) repo: RepoUrl,
    pub(super) repository: Repository,
    pub(super) cancel: CancellationToken,
    pub(super) caps: Caps,
    /// What signs the commits and tags that it makes.
    pub(super) signer: Option<Signer>,
}

/// Asynchronous locks by name.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

impl Mirrors {
    pub(super) fn new(root: &Path) -> Result<Self, GitError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(|source| GitError::Io { path: root.to_owned(), source })?;
        Ok(Self { root: root.to_owned(), creating: Mutex::default() })
    }

    /// The name of the mirror of `repo` in `scope`.
    pub(super) fn name(scope: &str, repo: &RepoUrl) -> String {
        short_hash(&format!("{scope}\0{}", repo.key()))
    }

    /// Opens the mirror, made empty if there is none or if it is damaged.
    pub(super) fn open_or_replace(
        &self,
        name: &str,
        repo: &RepoUrl,
    ) -> Result<Repository, GitError> {
        match self.open(name, repo) {
            Err(GitError::DamagedMirror { why, .. }) => {
                tracing::warn!(%repo, why, "the local mirror is damaged and is made anew");
                self.discard(name)?;
                self.open(name, repo)
            }
            other => other,
        }
    }

    fn open(&self, name: &str, repo: &RepoUrl) -> Result<Repository, GitError> {
        let path = self.root.join(name);
        let damaged = |error: git2::Error| GitError::DamagedMirror {
            repo: repo.clone(),
            why: error.message().to_owned(),
        };
        if path.join("HEAD").exists() {
            return Repository::open_bare(&path).map_err(damaged);
        }
        let _one = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false);
        let repository = Repository::init_opts(&path, &options).map_err(damaged)?;
        // For people who look around; nothing reads it.
        let note = path.join("description");
        fs::write(&note, format!("mirror of {repo}\n"))
            .map_err(|source| GitError::Io { path: note, source })?;
        Ok(repository)
    }

    /// Removes the mirror. Work that still has it open fails and is done again by its owner.
    pub(super) fn discard(&self, name: &str) -> Result<(), GitError> {
        let _one = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.root.join(name);
        let grave = self.root.join(format!("{name}.discarded"));
        let gone = remove(&grave).and_then(|()| match fs::rename(&path, &grave) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        });
        gone.and_then(|()| remove(&grave)).map_err(|source| GitError::Io { path, source })
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Job {
    /// Turns a library error into ours; `what` names the work.
    pub(super) fn fail(&self, what: &'static str) -> impl Fn(git2::Error) -> GitError + '_ {
        move |error| GitError::library(&self.repo, what, &error)
    }

    /// Whether the commit, and so everything that it leads to, is here.
    pub(super) fn contains(&self, id: &CommitId) -> bool {
        self.repository.find_commit(id.oid()).is_ok()
    }

    pub(super) fn commit(&self, id: &CommitId) -> Result<git2::Commit<'_>, GitError> {
        self.repository.find_commit(id.oid()).map_err(|error| match error.code() {
            git2::ErrorCode::NotFound => {
                GitError::CommitNotFound { repo: self.repo.clone(), commit: id.clone() }
            }
            _ => self.fail("reading a commit")(error),
        })
    }

    pub(super) fn empty_tree(&self) -> Result<git2::Tree<'_>, GitError> {
        let fail = self.fail("writing the empty tree");
        let id = self.repository.treebuilder(None).and_then(|builder| builder.write());
        id.and_then(|id| self.repository.find_tree(id)).map_err(fail)
    }

    /// The tree of the commit's first parent, empty for a root commit.
    pub(super) fn parent_tree(
        &self,
        commit: &git2::Commit<'_>,
    ) -> Result<git2::Tree<'_>, GitError> {
        if commit.parent_count() == 0 {
            return self.empty_tree();
        }
        let fail = self.fail("reading a parent");
        let parent = commit.parent_id(0).map_err(&fail)?;
        let tree = self.repository.find_commit(parent).map_err(&fail)?.tree_id();
        self.repository.find_tree(tree).map_err(&fail)
    }

    pub(super) fn is_ancestor(&self, old: git2::Oid, new: git2::Oid) -> Result<bool, GitError> {
        if old == new {
            return Ok(true);
        }
        self.repository.graph_descendant_of(new, old).map_err(self.fail("comparing histories"))
    }

    /// Ends the work early if nobody waits for it any more.
    pub(super) fn check(&self) -> Result<(), GitError> {
        if self.cancel.is_cancelled() {
            return Err(GitError::Cancelled { repo: self.repo.clone() });
        }
        Ok(())
    }

    pub(super) fn too_large(&self, what: impl Into<String>, limit: u64) -> GitError {
        GitError::TooLarge { repo: self.repo.clone(), what: what.into(), limit }
    }
}

/// Where the mirror keeps the remote's ref `full_name`. A hash, because a remote may delete branch
/// `a` and make `a/b`, which cannot stand beside an old `a`.
pub(super) fn tracking_ref(full_name: &str) -> String {
    format!("refs/mirror/{}", short_hash(full_name))
}

fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}
