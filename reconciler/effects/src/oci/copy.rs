//! Copies of images, indexes and artifacts, with all that they consist of.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Content, Digest, ImageRepo, OciError, Part, Registry};

/// Most manifests of one copy: an index lists a few dozen.
const MANIFESTS_MAX: usize = 500;
/// Most blobs of one copy.
const BLOBS_MAX: usize = 5_000;

/// A repository, and the registry with who we are there.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// The repository.
    pub repo: &'a ImageRepo,
}

/// How much is copied at most.
#[derive(Debug)]
pub struct Budget {
    max_bytes: u64,
    bytes: u64,
    manifests: usize,
    blobs: BTreeSet<Digest>,
}

impl Budget {
    /// So many bytes, counted as they are sent.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, bytes: 0, manifests: 0, blobs: BTreeSet::new() }
    }

    fn manifest(&mut self, repo: &ImageRepo) -> Result<(), OciError> {
        self.manifests += 1;
        (self.manifests <= MANIFESTS_MAX)
            .then_some(())
            .ok_or_else(|| too_much(repo, "what is listed", format!("{MANIFESTS_MAX} manifests")))
    }

    /// Whether a blob comes for the first time.
    fn blob(&mut self, repo: &ImageRepo, part: &Part) -> Result<bool, OciError> {
        if !self.blobs.insert(part.digest.clone()) {
            return Ok(false);
        }
        if self.blobs.len() > BLOBS_MAX {
            return Err(too_much(repo, "what it consists of", format!("{BLOBS_MAX} blobs")));
        }
        Ok(true)
    }

    fn spend(&mut self, repo: &ImageRepo, part: &Part) -> Result<(), OciError> {
        self.bytes = self.bytes.saturating_add(part.size);
        (self.bytes <= self.max_bytes)
            .then_some(())
            .ok_or_else(|| too_much(repo, "the content", format!("{} bytes", self.max_bytes)))
    }
}

/// Makes sure that everything is there which a manifest or index consists of: what it lists, each with
/// its blobs. What is there already is not sent again. The manifest itself is left to the caller.
///
/// # Errors
/// [`OciError`]; what was copied by then stays, and is not copied again.
pub(crate) async fn fill(
    source: Place<'_>,
    target: Place<'_>,
    content: &Content,
    budget: &mut Budget,
    cancel: &CancellationToken,
) -> Result<(), OciError> {
    if source.repo == target.repo {
        return Ok(());
    }
    parts(source, target, content, budget, cancel).await
}

fn parts<'a>(
    source: Place<'a>,
    target: Place<'a>,
    content: &'a Content,
    budget: &'a mut Budget,
    cancel: &'a CancellationToken,
) -> BoxFuture<'a, Result<(), OciError>> {
    Box::pin(async move {
        budget.manifest(source.repo)?;
        let found = content.parts(source.repo)?;
        for entry in found.manifests.iter().flatten() {
            if target.registry.content(target.repo, &entry.digest, cancel).await?.is_some() {
                continue;
            }
            let Some(entry) = source.registry.content(source.repo, &entry.digest, cancel).await?
            else {
                return Err(missing(source.repo, &entry.digest));
            };
            parts(source, target, &entry, budget, cancel).await?;
            target.registry.put(target.repo, entry.digest.as_str(), &entry, cancel).await?;
        }
        for part in found.config.iter().chain(found.layers.iter().flatten()) {
            blob(source, target, part, budget, cancel).await?;
        }
        Ok(())
    })
}

async fn blob(
    source: Place<'_>,
    target: Place<'_>,
    part: &Part,
    budget: &mut Budget,
    cancel: &CancellationToken,
) -> Result<(), OciError> {
    // Layers that are elsewhere are not to be passed on.
    if part.urls.as_ref().is_some_and(|urls| !urls.is_empty()) || !budget.blob(source.repo, part)? {
        return Ok(());
    }
    if target.registry.has_blob(target.repo, &part.digest, cancel).await? {
        return Ok(());
    }
    budget.spend(source.repo, part)?;
    target.registry.take_over(target.repo, source.registry, source.repo, part, cancel).await
}

/// The error of something that is not there.
pub(crate) fn missing(repo: &ImageRepo, digest: &Digest) -> OciError {
    OciError::NotFound {
        host: repo.host().to_owned(),
        repo: repo.path().to_owned(),
        what: format!("manifest {digest}"),
    }
}

fn too_much(repo: &ImageRepo, what: &str, limit: String) -> OciError {
    OciError::TooMuch { repo: repo.to_string(), what: what.to_owned(), limit }
}
