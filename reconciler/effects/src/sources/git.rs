//! Commits of a branch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use reconciler_domain::artifact::{Artifact, GitCommit};
use reconciler_domain::filter::PathFilter;
use reconciler_domain::warehouse::GitSource;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Failure;
use crate::git::{CommitId, CommitInfo, GitError, HistoryLimit, RepoUrl, RepoUrlError};
use crate::scoped::Scoped;

/// Commits that are looked at for those that match.
const SCAN_MAX: usize = 1_000;
/// Sources whose tips are remembered.
const TIPS_MAX: usize = 100_000;

type Hash = [u8; 32];

/// Tips at which sources were looked at before, and a hash of what was found there. A branch that
/// did not move has the same commits, so one small question replaces a fetch and a walk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tips(Arc<Mutex<HashMap<Hash, (CommitId, Hash)>>>);

impl Tips {
    fn is_known(&self, source: &Hash, tip: &CommitId, versions: &[Artifact]) -> bool {
        let tips = self.0.lock().expect("nothing panics with the lock");
        tips.get(source).is_some_and(|(at, found)| at == tip && *found == hash(versions))
    }

    fn remember(&self, source: Hash, tip: CommitId, versions: &[Artifact]) {
        let mut tips = self.0.lock().expect("nothing panics with the lock");
        if tips.len() >= TIPS_MAX {
            tips.clear();
        }
        tips.insert(source, (tip, hash(versions)));
    }
}

fn hash<T: Serialize + ?Sized>(value: &T) -> Hash {
    let text = serde_json::to_vec(value).expect("these types have no unserialisable values");
    Sha256::digest(text).into()
}

pub(super) async fn look(
    effects: &Scoped,
    source: &GitSource,
    known: &[Artifact],
) -> Result<Vec<Artifact>, Failure> {
    // The text itself is not repeated: what is refused may hold a password.
    let repo: RepoUrl = source.repo.parse().map_err(|error: RepoUrlError| Failure::new(error))?;
    let filter =
        PathFilter::new(&source.include_paths, &source.exclude_paths).map_err(Failure::new)?;
    let git = effects.git();
    let gone = || GitError::BranchNotFound { repo: repo.clone(), branch: source.branch.clone() };
    let tip = git.remote_tip(&repo, &source.branch).await.map_err(|error| failure(&error))?;
    let tip = tip.ok_or_else(|| failure(&gone()))?;
    let id = hash(source);
    if effects.tips().is_known(&id, &tip, known) {
        return Ok(known.to_vec());
    }
    let limit = HistoryLimit { commits: source.discovery_limit as usize, scan: SCAN_MAX };
    let counts = move |paths: &[String]| {
        filter.is_empty() || filter.matches(paths.iter().map(String::as_str))
    };
    let found = git.discover(&repo, &source.branch, counts, limit).await;
    let found = found.map_err(|error| failure(&error))?;
    let versions: Vec<Artifact> =
        found.commits.into_iter().map(|commit| artifact(source, commit)).collect();
    effects.tips().remember(id, found.tip, &versions);
    Ok(versions)
}

fn artifact(source: &GitSource, commit: CommitInfo) -> Artifact {
    Artifact::Git(GitCommit {
        repo: source.repo.clone(),
        branch: source.branch.clone(),
        commit: commit.id.to_string(),
        subject: commit.subject,
        author: commit.author,
        committed_at: commit.committer_time,
    })
}

fn failure(error: &GitError) -> Failure {
    Failure { message: crate::explain(error), retry_after: error.retry_after() }
}
