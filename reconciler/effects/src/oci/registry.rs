//! The reader: what a tag names, and when that was built.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::exchange::Passes;
use super::image::{Config, Descriptor, Manifest, created_in};
use super::pull::Clients;
use super::reference::check_tag;
use super::{Credentials, Digest, ImageInfo, ImageRepo, OciError, Platform};
use crate::http::{EgressPolicy, HttpClient, HttpError};

/// A full cache is emptied: simple, and rare at this size.
const CACHE_MAX_ENTRIES: usize = 50_000;

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Which hosts may be spoken to.
    pub egress: EgressPolicy,
    /// Registries (`host` or `host:port`) that speak plain HTTP. Loopback hosts always do.
    pub insecure_hosts: BTreeSet<String>,
    /// How long one exchange may take.
    pub timeout: Duration,
    /// How many pages of tags are read.
    pub tag_pages_max: usize,
    /// How many tags are read.
    pub tags_max: usize,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            egress: EgressPolicy::default(),
            insecure_hosts: BTreeSet::new(),
            timeout: Duration::from_secs(30),
            tag_pages_max: 1000,
            tags_max: 200_000,
        }
    }
}

/// A reader of registries. Cheap to clone; clones share connections, tokens and what is known of digests.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(super) http: HttpClient,
    pub(super) options: Arc<RegistryOptions>,
    credentials: Option<Credentials>,
    /// The library's side, with its logins by these credentials.
    pub(super) library: Clients,
    /// What `Authorization` a repository's tags were read with, by these credentials.
    pub(super) tokens: Arc<Mutex<HashMap<ImageRepo, String>>>,
    /// What our own requests were let through with, by these credentials.
    pub(super) passes: Passes,
    /// What digests name, which never changes.
    known: Arc<Mutex<HashMap<Known, ImageInfo>>>,
}

type Known = (ImageRepo, Digest, Option<Platform>);

impl Registry {
    /// A reader without credentials.
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub fn new(options: RegistryOptions) -> Result<Self, HttpError> {
        Ok(Self {
            http: HttpClient::new(options.egress.clone())?,
            options: Arc::new(options),
            credentials: None,
            library: Clients::default(),
            tokens: Arc::default(),
            passes: Passes::default(),
            known: Arc::default(),
        })
    }

    /// A reader that uses the credentials where they are meant. It shares what is known of digests, but no
    /// logins.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        Self {
            credentials: Some(credentials),
            library: Clients::default(),
            tokens: Arc::default(),
            passes: Passes::default(),
            ..self.clone()
        }
    }

    /// The digest that a tag names now.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn digest(
        &self,
        repo: &ImageRepo,
        tag: &str,
        cancel: &CancellationToken,
    ) -> Result<Digest, OciError> {
        check_tag(tag)?;
        self.pull_digest(repo, tag, cancel).await
    }

    /// What a tag names now: its digest, and when it was built. With a platform, only what is there for it
    /// counts. What a digest names is asked for once.
    ///
    /// # Errors
    /// [`OciError`]; [`OciError::NoPlatform`] if the image is not there for the platform.
    pub async fn resolve(
        &self,
        repo: &ImageRepo,
        tag: &str,
        platform: Option<&Platform>,
        cancel: &CancellationToken,
    ) -> Result<ImageInfo, OciError> {
        let digest = self.digest(repo, tag, cancel).await?;
        let key = (repo.clone(), digest.clone(), platform.cloned());
        if let Some(known) = lock(&self.known).get(&key) {
            return Ok(known.clone());
        }
        let info = self.describe(repo, digest, platform, cancel).await?;
        let mut known = lock(&self.known);
        if known.len() >= CACHE_MAX_ENTRIES {
            known.clear();
        }
        known.insert(key, info.clone());
        Ok(info)
    }

    async fn describe(
        &self,
        repo: &ImageRepo,
        digest: Digest,
        platform: Option<&Platform>,
        cancel: &CancellationToken,
    ) -> Result<ImageInfo, OciError> {
        let manifest = self.manifest(repo, &digest, cancel).await?;
        let media_type = manifest.media_type().to_owned();
        let mut annotations = manifest.annotations.clone().unwrap_or_default();
        let mut created = created_in(&manifest.annotations);
        let Some(entries) = &manifest.manifests else {
            let config = self.config(repo, &manifest, cancel).await?;
            let built_for = config.platform();
            if let Some(wanted) = platform
                && !built_for.as_ref().is_some_and(|built_for| wanted.matches(built_for))
            {
                return Err(no_platform(repo, digest, wanted, built_for.iter()));
            }
            created = created.or_else(|| config.created());
            add_missing(&mut annotations, config.labels());
            let platforms = built_for.into_iter().collect();
            return Ok(ImageInfo { digest, media_type, created, annotations, platforms });
        };
        let wanted: Vec<&Descriptor> =
            entries.iter().filter(|entry| entry.is_wanted(platform)).collect();
        if wanted.is_empty() {
            let available = entries.iter().filter_map(|entry| entry.platform.as_ref());
            return Err(match platform {
                Some(platform) => no_platform(repo, digest, platform, available),
                None => OciError::malformed(repo, "image index", "it lists no image".to_owned()),
            });
        }
        created =
            created.or_else(|| wanted.iter().filter_map(|e| created_in(&e.annotations)).max());
        if created.is_none() {
            created = self.newest_child(repo, &wanted, cancel).await?;
        }
        let platforms = wanted.iter().filter_map(|entry| entry.platform.clone()).collect();
        Ok(ImageInfo { digest, media_type, created, annotations, platforms })
    }

    /// When the newest image of an index was built.
    async fn newest_child(
        &self,
        repo: &ImageRepo,
        entries: &[&Descriptor],
        cancel: &CancellationToken,
    ) -> Result<Option<jiff::Timestamp>, OciError> {
        let mut newest = None;
        for entry in entries {
            let manifest = self.manifest(repo, &entry.digest, cancel).await?;
            let created = match created_in(&manifest.annotations) {
                Some(created) => Some(created),
                None => self.config(repo, &manifest, cancel).await?.created(),
            };
            newest = newest.max(created);
        }
        Ok(newest)
    }

    async fn manifest(
        &self,
        repo: &ImageRepo,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Manifest, OciError> {
        parse(repo, "manifest", &self.pull_manifest(repo, digest, cancel).await?)
    }

    /// The configuration of an image; empty for an artifact that is none.
    async fn config(
        &self,
        repo: &ImageRepo,
        manifest: &Manifest,
        cancel: &CancellationToken,
    ) -> Result<Config, OciError> {
        match manifest.config.as_ref().filter(|config| config.is_image_config()) {
            Some(config) => {
                let bytes = self.pull_config(repo, &config.digest, cancel).await?;
                parse(repo, "image configuration", &bytes)
            }
            None => Ok(Config::default()),
        }
    }

    /// The credentials, if they are meant for the repository.
    pub(super) fn login(&self, repo: &ImageRepo) -> Option<&Credentials> {
        self.credentials.as_ref().filter(|credentials| credentials.covers(repo))
    }

    /// An address below the API's root.
    pub(super) fn url(&self, repo: &ImageRepo, rest: &str) -> Url {
        let scheme = if self.is_plain(repo) { "http" } else { "https" };
        format!("{scheme}://{}/v2{rest}", repo.api_host())
            .parse()
            .expect("host and path were checked when they were parsed")
    }

    pub(super) fn is_plain(&self, repo: &ImageRepo) -> bool {
        let host = repo.host();
        let url: Option<Url> = format!("http://{host}/").parse().ok();
        let loopback = match url.as_ref().and_then(Url::host) {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        loopback || self.options.insecure_hosts.contains(host)
    }
}

fn parse<'a, T: Deserialize<'a>>(
    repo: &ImageRepo,
    what: &'static str,
    body: &'a [u8],
) -> Result<T, OciError> {
    serde_json::from_slice(body).map_err(|error| OciError::malformed(repo, what, error.to_string()))
}

fn no_platform<'a>(
    repo: &ImageRepo,
    digest: Digest,
    platform: &Platform,
    available: impl Iterator<Item = &'a Platform>,
) -> OciError {
    let available: Vec<String> = available.map(ToString::to_string).collect();
    let available =
        if available.is_empty() { "none that it names".to_owned() } else { available.join(", ") };
    OciError::NoPlatform {
        repo: repo.to_string(),
        digest,
        platform: Box::new(platform.clone()),
        available,
    }
}

fn add_missing(annotations: &mut BTreeMap<String, String>, labels: BTreeMap<String, String>) {
    for (key, value) in labels {
        annotations.entry(key).or_insert(value);
    }
}

/// A panic while the lock was held leaves a map that is still a map.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
