//! Reading what is attached to an image: its referrers (OCI distribution specification 1.1), by the list of the
//! registry or the one that is kept under a tag, and what `cosign attest` puts under the tag `….att`.

use std::collections::BTreeSet;

use http::Method;
use oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::copy::missing;
use super::exchange::{Access, Purpose};
use super::manifest::MANIFEST_MAX_BYTES;
use super::referrers::entries;
use super::tags::{next_page, refusal};
use super::{Content, Digest, ImageRepo, OciError, Registry};
use crate::http::Request;

/// Most things of one kind that are attached to one image: all of them are read each time.
const ATTACHED_MAX: usize = 20;
/// Pages of a list of referrers.
const PAGES_MAX: usize = 20;
/// The largest document: a list of packages of a large image has some megabytes.
const DOCUMENT_MAX_BYTES: u64 = 8 << 20;

/// Something that is attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The manifest that brings it.
    pub by: Digest,
    /// Whether it is of the kind by its artifact type; else an annotation says so.
    pub by_artifact_type: bool,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// A manifest that may bring what is looked for.
struct Candidate {
    digest: Digest,
    by_artifact_type: bool,
}

impl Registry {
    /// Everything of a kind that is attached to an image: the layers of manifests with this artifact type or with
    /// an annotation that names it.
    ///
    /// # Errors
    /// [`OciError`]; there are too many, or they are too large.
    pub async fn attached(
        &self,
        repo: &ImageRepo,
        subject: &Digest,
        kind: &str,
        cancel: &CancellationToken,
    ) -> Result<Vec<Attached>, OciError> {
        let listed = match self.referrers(repo, subject, cancel).await? {
            Some(listed) => listed,
            None => {
                let kept = self.content_at(repo, &tag(subject, ""), cancel).await?;
                entries(repo, kept.as_ref())?
            }
        };
        let mut attached = Vec::new();
        for candidate in candidates(repo, &listed, kind)? {
            let found = self.content(repo, &candidate.digest, cancel).await?;
            let found = found.ok_or_else(|| missing(repo, &candidate.digest))?;
            let Candidate { by_artifact_type, .. } = candidate;
            self.documents(repo, &found, |_| true, by_artifact_type, &mut attached, cancel).await?;
        }
        if let Some(found) = self.content_at(repo, &tag(subject, ".att"), cancel).await? {
            let is_it = |layer: &super::Part| {
                layer.annotations.iter().flatten().any(|(_, value)| value == kind)
            };
            self.documents(repo, &found, is_it, false, &mut attached, cancel).await?;
        }
        Ok(attached)
    }

    /// The list of the registry; none: it keeps none.
    async fn referrers(
        &self,
        repo: &ImageRepo,
        subject: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<Value>>, OciError> {
        let mut all = Vec::new();
        let mut next = Some(self.url(repo, &format!("/{}/referrers/{subject}", repo.path())));
        for page in 0..PAGES_MAX {
            let Some(url) = next else { return Ok(Some(all)) };
            let request = Request::new(Method::GET, url.clone())
                .header("accept", OCI_IMAGE_INDEX_MEDIA_TYPE)
                .max_body(MANIFEST_MAX_BYTES);
            let answer = self.exchange(&Purpose::new(repo, Access::Read), request, cancel).await?;
            match answer.status {
                200 => {}
                // Registries that do not know the path say so in either way.
                400 | 404 | 405 if page == 0 => return Ok(None),
                _ => return Err(refusal(repo, "list of referrers", &answer)),
            }
            let list = Content {
                digest: Digest::of(&answer.body),
                media_type: OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned(),
                bytes: answer.body.clone(),
            };
            all.extend(entries(repo, Some(&list))?);
            next = next_page(repo, &url, &answer)?;
        }
        if next.is_none() {
            Ok(Some(all))
        } else {
            Err(too_many(repo, "pages of referrers", PAGES_MAX))
        }
    }

    /// The layers of a manifest.
    async fn documents(
        &self,
        repo: &ImageRepo,
        manifest: &Content,
        wanted: impl Fn(&super::Part) -> bool,
        by_artifact_type: bool,
        attached: &mut Vec<Attached>,
        cancel: &CancellationToken,
    ) -> Result<(), OciError> {
        let layers = manifest.parts(repo)?.layers.unwrap_or_default();
        for layer in layers.iter().filter(|layer| wanted(layer)) {
            if attached.len() >= ATTACHED_MAX {
                return Err(too_many(repo, "documents", ATTACHED_MAX));
            }
            let bytes = self.blob(repo, layer, DOCUMENT_MAX_BYTES, cancel).await?;
            attached.push(Attached { by: manifest.digest.clone(), by_artifact_type, bytes });
        }
        Ok(())
    }
}

/// The tag that is made of a digest.
fn tag(subject: &Digest, suffix: &str) -> String {
    format!("{}{suffix}", subject.as_str().replace(':', "-"))
}

fn candidates(repo: &ImageRepo, listed: &[Value], kind: &str) -> Result<Vec<Candidate>, OciError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for entry in listed {
        let by_artifact_type = entry["artifactType"].as_str() == Some(kind);
        let annotations = entry["annotations"].as_object().into_iter().flatten();
        let by_annotation = annotations.into_iter().any(|(_, value)| value.as_str() == Some(kind));
        if !by_artifact_type && !by_annotation {
            continue;
        }
        let text = entry["digest"].as_str().unwrap_or_default();
        let malformed = |_| OciError::malformed(repo, "list of referrers", format!("`{text}`"));
        let digest: Digest = text.parse().map_err(malformed)?;
        if seen.insert(text.to_owned()) {
            found.push(Candidate { digest, by_artifact_type });
        }
    }
    Ok(found)
}

fn too_many(repo: &ImageRepo, what: &str, most: usize) -> OciError {
    OciError::TooMuch { repo: repo.to_string(), what: what.to_owned(), limit: most.to_string() }
}
