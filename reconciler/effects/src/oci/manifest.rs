//! Manifests and tags, read and changed by our own client.

use http::Method;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::exchange::{Access, Purpose, too_large};
use super::image::{MANIFEST_TYPES, Manifest, MediaTyped};
use super::tags::refusal;
use super::{Digest, ImageRepo, OciError, Platform, Registry};
use crate::http::{Request, Response};

/// The size that the specification asks registries to accept.
pub(super) const MANIFEST_MAX_BYTES: usize = 4 << 20;

/// A manifest or an index, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A blob or a manifest that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its media type.
    #[serde(default)]
    pub media_type: String,
    /// What it is.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Its annotations.
    #[serde(default)]
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
    /// Where else it is: what is not to be copied has such.
    #[serde(default)]
    pub urls: Option<Vec<String>>,
}

/// What became of something to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is not there.
    Gone,
    /// The registry does not remove it: why, in its words.
    Refused(String),
}

/// What an index lists.
#[derive(Debug)]
pub(crate) struct Listed {
    /// What fits.
    pub(crate) fitting: Vec<Digest>,
    /// Every platform that there is.
    pub(crate) platforms: Vec<String>,
}

/// What a manifest or an index consists of.
#[derive(Debug, Deserialize)]
pub(crate) struct Parts {
    #[serde(default)]
    pub(crate) manifests: Option<Vec<Part>>,
    #[serde(default)]
    pub(crate) config: Option<Part>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<Part>>,
}

impl Content {
    /// The content with these annotations added to its own, which makes it another. Without any it is
    /// the same.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn annotated<'a>(
        &self,
        annotations: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, serde_json::Error> {
        if annotations.len() == 0 {
            return Ok(self.clone());
        }
        let mut document: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&self.bytes)?;
        let own = document.entry("annotations").or_insert_with(|| serde_json::json!({}));
        if !own.is_object() {
            *own = serde_json::json!({});
        }
        for (name, value) in annotations {
            own[name] = value.as_str().into();
        }
        let bytes = serde_json::to_vec(&document)?;
        Ok(Self { digest: Digest::of(&bytes), media_type: self.media_type.clone(), bytes })
    }

    /// What an index lists, and which of it fits the platform; none: it is no index.
    pub(crate) fn listed(
        &self,
        repo: &ImageRepo,
        platform: Option<&Platform>,
    ) -> Result<Option<Listed>, OciError> {
        let manifest = self.manifest(repo)?;
        let Some(entries) = &manifest.manifests else { return Ok(None) };
        let fitting = entries.iter().filter(|entry| entry.is_wanted(platform));
        let all = entries.iter().filter_map(|entry| entry.platform.as_ref());
        Ok(Some(Listed {
            fitting: fitting.map(|entry| entry.digest.clone()).collect(),
            platforms: all.map(ToString::to_string).collect(),
        }))
    }

    pub(crate) fn parts(&self, repo: &ImageRepo) -> Result<Parts, OciError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| OciError::malformed(repo, "manifest", error.to_string()))
    }

    fn manifest(&self, repo: &ImageRepo) -> Result<Manifest, OciError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| OciError::malformed(repo, "manifest", error.to_string()))
    }
}

impl Registry {
    /// What a tag is at now; none: there is no such tag.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn at_tag(
        &self,
        repo: &ImageRepo,
        tag: &str,
        cancel: &CancellationToken,
    ) -> Result<Option<Digest>, OciError> {
        super::reference::check_tag(tag)?;
        let purpose = Purpose::new(repo, Access::Read);
        let head = self.manifest_request(Method::HEAD, repo, tag);
        let answer = self.exchange(&purpose, head, cancel).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(refusal(repo, &format!("tag `{tag}`"), &answer));
        }
        if let Some(digest) = answer.header("docker-content-digest") {
            let malformed =
                |_| OciError::malformed(repo, "SHA-256 digest", format!("it is `{digest}`"));
            return digest.parse().map(Some).map_err(malformed);
        }
        // A registry that does not say it gives what it can be counted from.
        Ok(self.content_at(repo, tag, cancel).await?.map(|content| content.digest))
    }

    /// The manifest or index of a digest, verified; none: it is not there.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn content(
        &self,
        repo: &ImageRepo,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Option<Content>, OciError> {
        let found = self.content_at(repo, digest.as_str(), cancel).await?;
        match found {
            Some(content) if content.digest != *digest => Err(OciError::DigestMismatch {
                host: repo.host().to_owned(),
                repo: repo.path().to_owned(),
                wanted: digest.clone(),
                found: content.digest,
            }),
            found => Ok(found),
        }
    }

    /// What a tag or a digest names.
    pub(super) async fn content_at(
        &self,
        repo: &ImageRepo,
        reference: &str,
        cancel: &CancellationToken,
    ) -> Result<Option<Content>, OciError> {
        let purpose = Purpose::new(repo, Access::Read);
        let request = self.manifest_request(Method::GET, repo, reference);
        let answer = self.exchange(&purpose, request.max_body(MANIFEST_MAX_BYTES), cancel).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(refusal(repo, &format!("manifest `{reference}`"), &answer));
        }
        let typed: MediaTyped = serde_json::from_slice(&answer.body)
            .map_err(|error| OciError::malformed(repo, "manifest", error.to_string()))?;
        // What the content says of itself is what its digest vouches for.
        let sent = answer.header("content-type").map(|sent| sent.split(';').next().unwrap_or(sent));
        let media_type = typed.media_type.or_else(|| sent.map(|sent| sent.trim().to_owned()));
        let media_type = media_type.unwrap_or_default();
        if !MANIFEST_TYPES.contains(&media_type.as_str()) {
            return Err(OciError::malformed(
                repo,
                "manifest",
                format!("its type is `{media_type}`"),
            ));
        }
        let digest = Digest::of(&answer.body);
        Ok(Some(Content { digest, media_type, bytes: answer.body }))
    }

    /// Puts a manifest or an index there, under a tag or its digest. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`OciError`].
    pub(super) async fn put(
        &self,
        repo: &ImageRepo,
        reference: &str,
        content: &Content,
        cancel: &CancellationToken,
    ) -> Result<Response, OciError> {
        if content.bytes.len() > MANIFEST_MAX_BYTES {
            return Err(too_large(repo, MANIFEST_MAX_BYTES as u64));
        }
        let purpose = Purpose::new(repo, Access::Write);
        let request = self
            .manifest_request(Method::PUT, repo, reference)
            .header("content-type", &content.media_type)
            .body(content.bytes.clone());
        let answer = self.exchange(&purpose, request, cancel).await;
        let answer = answer.map_err(OciError::of_change)?;
        if answer.is_success() {
            return Ok(answer);
        }
        let refused = OciError::of_refusal(repo, &format!("manifest `{reference}`"), &answer);
        Err(refused.of_change())
    }

    /// Puts a tag at something that is there.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn put_tag(
        &self,
        repo: &ImageRepo,
        tag: &str,
        content: &Content,
        cancel: &CancellationToken,
    ) -> Result<(), OciError> {
        super::reference::check_tag(tag)?;
        self.put(repo, tag, content, cancel).await.map(drop)
    }

    /// Takes a tag away, and leaves what it is at. What the registry removes nothing for says so.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn remove_tag(
        &self,
        repo: &ImageRepo,
        tag: &str,
        cancel: &CancellationToken,
    ) -> Result<Removal, OciError> {
        super::reference::check_tag(tag)?;
        self.remove(repo, tag, cancel).await
    }

    /// Removes a tag, or what a digest names.
    pub(super) async fn remove(
        &self,
        repo: &ImageRepo,
        reference: &str,
        cancel: &CancellationToken,
    ) -> Result<Removal, OciError> {
        let purpose = Purpose::new(repo, Access::Remove);
        let request = self.manifest_request(Method::DELETE, repo, reference);
        let answer = self.exchange(&purpose, request, cancel).await;
        let answer = answer.map_err(OciError::of_change)?;
        match answer.status {
            200..=299 | 404 => Ok(Removal::Gone),
            400 | 401 | 403 | 405 | 501 => {
                let said: String = answer.text().trim().chars().take(200).collect();
                let said = if said.is_empty() { "it gives no reason".to_owned() } else { said };
                Ok(Removal::Refused(format!("{} ({}): {said}", repo.host(), answer.status)))
            }
            _ => {
                let what = format!("the removal of `{reference}`");
                Err(OciError::of_refusal(repo, &what, &answer).of_change())
            }
        }
    }

    fn manifest_request(&self, method: Method, repo: &ImageRepo, reference: &str) -> Request {
        let url = self.url(repo, &format!("/{}/manifests/{reference}", repo.path()));
        Request::new(method, url).header("accept", MANIFEST_TYPES.join(", "))
    }
}
