//! What is attached to an artifact (OCI distribution specification 1.1, "referrers"). A registry that keeps
//! no list of that gets one from us, under a tag that is made of the artifact's digest, as the specification
//! says for that case.

use std::collections::BTreeMap;

use http::Method;
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::copy::missing;
use super::exchange::{Access, Purpose};
use super::tags::refusal;
use super::{Content, Digest, ImageRepo, OciError, Registry, Removal};
use crate::http::Request;

/// The content of a configuration that says nothing.
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// How often a list is written again where others write to it at the same time.
const ATTEMPTS_MAX: usize = 5;

/// A file to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// What it is attached to.
    pub subject: Digest,
    /// What it is, as a media type.
    pub artifact_type: String,
    /// The media type of the file.
    pub media_type: String,
    /// The name of the file.
    pub title: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Registry {
    /// Attaches a file. Doing it again changes nothing; gives what is attached.
    ///
    /// # Errors
    /// [`OciError`]; [`OciError::NotFound`] if there is nothing to attach it to.
    pub async fn attach(
        &self,
        repo: &ImageRepo,
        referrer: &Referrer,
        cancel: &CancellationToken,
    ) -> Result<Digest, OciError> {
        let Some(subject) = self.content(repo, &referrer.subject, cancel).await? else {
            return Err(missing(repo, &referrer.subject));
        };
        let attached = manifest_of(referrer, &subject);
        if self.content(repo, &attached.digest, cancel).await?.is_none() {
            self.upload(repo, EMPTY, cancel).await?;
            self.upload(repo, &referrer.bytes, cancel).await?;
            self.put(repo, attached.digest.as_str(), &attached, cancel).await?;
        }
        // From here on it may be seen as attached, whatever fails.
        let listed = self.lists_referrers(repo, &referrer.subject, cancel).await;
        if !listed.map_err(OciError::left_open)? {
            let entry = json!({
                "mediaType": attached.media_type,
                "digest": attached.digest,
                "size": attached.bytes.len(),
                "artifactType": referrer.artifact_type,
                "annotations": referrer.annotations,
            });
            let put =
                self.list(repo, &referrer.subject, &attached.digest, Some(&entry), cancel).await;
            put.map_err(OciError::left_open)?;
        }
        Ok(attached.digest)
    }

    /// Whether a file is attached, and as what: looks, and changes nothing.
    ///
    /// # Errors
    /// [`OciError`]; [`OciError::NotFound`] if there is nothing to attach it to.
    pub async fn find_attached(
        &self,
        repo: &ImageRepo,
        referrer: &Referrer,
        cancel: &CancellationToken,
    ) -> Result<Option<Digest>, OciError> {
        let Some(subject) = self.content(repo, &referrer.subject, cancel).await? else {
            return Err(missing(repo, &referrer.subject));
        };
        let attached = manifest_of(referrer, &subject).digest;
        let there = self.leads_to(repo, &referrer.subject, &attached, cancel).await?;
        Ok(there.then_some(attached))
    }

    /// Whether something is attached: it is there, and its subject leads to it.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn leads_to(
        &self,
        repo: &ImageRepo,
        subject: &Digest,
        attached: &Digest,
        cancel: &CancellationToken,
    ) -> Result<bool, OciError> {
        if self.content(repo, attached, cancel).await?.is_none() {
            return Ok(false);
        }
        if self.lists_referrers(repo, subject, cancel).await? {
            return Ok(true);
        }
        let list = self.content_at(repo, &list_tag(subject), cancel).await?;
        Ok(is_on(&entries(repo, list.as_ref())?, attached))
    }

    /// Takes away what is attached. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn detach(
        &self,
        repo: &ImageRepo,
        subject: &Digest,
        attached: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Removal, OciError> {
        let listed_by_registry = self.lists_referrers(repo, subject, cancel).await?;
        if !listed_by_registry {
            self.list(repo, subject, attached, None, cancel).await?;
        }
        match self.remove(repo, attached.as_str(), cancel).await? {
            // On no list any more: nothing leads to it from what it was attached to.
            Removal::Refused(_) if !listed_by_registry => Ok(Removal::Gone),
            removal => Ok(removal),
        }
    }

    /// Whether the registry keeps the list of what is attached itself.
    async fn lists_referrers(
        &self,
        repo: &ImageRepo,
        subject: &Digest,
        cancel: &CancellationToken,
    ) -> Result<bool, OciError> {
        let url = self.url(repo, &format!("/{}/referrers/{subject}", repo.path()));
        let request = Request::new(Method::GET, url)
            .header("accept", OCI_IMAGE_INDEX_MEDIA_TYPE)
            .max_body(super::manifest::MANIFEST_MAX_BYTES);
        let answer = self.exchange(&Purpose::new(repo, Access::Read), request, cancel).await?;
        match answer.status {
            200 => Ok(true),
            // Registries that do not know the path say so in either way.
            400 | 404 | 405 => Ok(false),
            _ => Err(refusal(repo, "list of referrers", &answer)),
        }
    }

    /// Puts an entry on the list that we keep, or takes it off.
    async fn list(
        &self,
        repo: &ImageRepo,
        subject: &Digest,
        attached: &Digest,
        entry: Option<&Value>,
        cancel: &CancellationToken,
    ) -> Result<(), OciError> {
        let tag = list_tag(subject);
        for _ in 0..ATTEMPTS_MAX {
            let before = self.content_at(repo, &tag, cancel).await?;
            let mut entries = entries(repo, before.as_ref())?;
            if is_on(&entries, attached) == entry.is_some() {
                return Ok(());
            }
            entries.retain(|entry| entry["digest"].as_str() != Some(attached.as_str()));
            entries.extend(entry.cloned());
            self.put(repo, &tag, &index_of(&entries), cancel).await?;
            // Who wrote at the same time has overwritten it, or was overwritten: it is read again.
        }
        let status = 409;
        let said = "others change the list of what is attached all the time";
        Err(OciError::of_status(repo, "list of referrers", status, None, said))
    }
}

pub(super) fn entries(repo: &ImageRepo, list: Option<&Content>) -> Result<Vec<Value>, OciError> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let document: Value = serde_json::from_slice(&list.bytes)
        .map_err(|error| OciError::malformed(repo, "list of referrers", error.to_string()))?;
    match document.get("manifests").and_then(Value::as_array) {
        Some(entries) => Ok(entries.clone()),
        None => {
            let reason = "it has no manifests".to_owned();
            Err(OciError::malformed(repo, "list of referrers", reason))
        }
    }
}

/// The tag of the list that we keep.
fn list_tag(subject: &Digest) -> String {
    subject.as_str().replace(':', "-")
}

fn is_on(entries: &[Value], attached: &Digest) -> bool {
    entries.iter().any(|entry| entry["digest"].as_str() == Some(attached.as_str()))
}

fn index_of(entries: &[Value]) -> Content {
    content(
        OCI_IMAGE_INDEX_MEDIA_TYPE,
        &json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE,
            "manifests": entries,
        }),
    )
}

/// Made of nothing but the referrer and its subject, so that it is the same each time.
fn manifest_of(referrer: &Referrer, subject: &Content) -> Content {
    content(
        OCI_IMAGE_MEDIA_TYPE,
        &json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "artifactType": referrer.artifact_type,
            "config": {
                "mediaType": EMPTY_TYPE,
                "digest": Digest::of(EMPTY),
                "size": EMPTY.len(),
            },
            "layers": [{
                "mediaType": referrer.media_type,
                "digest": Digest::of(&referrer.bytes),
                "size": referrer.bytes.len(),
                "annotations": { "org.opencontainers.image.title": referrer.title },
            }],
            "subject": {
                "mediaType": subject.media_type,
                "digest": subject.digest,
                "size": subject.bytes.len(),
            },
            "annotations": referrer.annotations,
        }),
    )
}

fn content(media_type: &str, document: &Value) -> Content {
    let bytes = document.to_string().into_bytes();
    Content { digest: Digest::of(&bytes), media_type: media_type.to_owned(), bytes }
}
