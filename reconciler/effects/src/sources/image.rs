//! Versions of an image, by tag.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use futures::{StreamExt as _, TryStreamExt as _};
use reconciler_domain::artifact::{Artifact, ImageVersion};
use reconciler_domain::filter::TagFilter;
use reconciler_domain::version::{Constraint, SelectOptions, select};
use reconciler_domain::warehouse::ImageSource;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::config::EffectsConfig;
use crate::http::HttpError;
use crate::oci::{Credentials, ImageRepo, OciError, Platform, Registry, RegistryOptions};
use crate::scoped::Scoped;

/// Tags can be moved. Of those known the newest ones are looked up again at each look.
const LOOKED_UP_AGAIN: usize = 5;
/// Tags that are asked for at once.
const AT_ONCE: usize = 4;
/// Readers that are kept.
const READERS_MAX: usize = 1_000;

/// Readers of registries, one for each login and each registry that speaks plain HTTP, so that
/// tokens and connections are used again.
pub(crate) struct Registries {
    options: RegistryOptions,
    anonymous: Registry,
    readers: Mutex<HashMap<Reader, Registry>>,
}

/// A login, and the host that plain HTTP is spoken to.
type Reader = (Option<Credentials>, Option<String>);

impl Registries {
    pub(crate) fn new(config: &EffectsConfig) -> Result<Self, HttpError> {
        let options = RegistryOptions {
            egress: config.egress.clone(),
            insecure_hosts: config.insecure_registries.clone(),
            ..RegistryOptions::default()
        };
        let anonymous = Registry::new(options.clone())?;
        Ok(Self { options, anonymous, readers: Mutex::default() })
    }

    pub(crate) fn reader(
        &self,
        repo: &ImageRepo,
        insecure: bool,
        login: Option<Credentials>,
    ) -> Result<Registry, HttpError> {
        let host = insecure.then(|| repo.host().to_owned());
        let mut readers = self.readers.lock().expect("nothing panics with the lock");
        let key = (login, host);
        if let Some(reader) = readers.get(&key) {
            return Ok(reader.clone());
        }
        let mut reader = match &key.1 {
            None => self.anonymous.clone(),
            Some(host) => {
                let mut options = self.options.clone();
                options.insecure_hosts.insert(host.clone());
                Registry::new(options)?
            }
        };
        if let Some(login) = &key.0 {
            reader = reader.with_credentials(login.clone());
        }
        // Logins that are not used any more are among them.
        if readers.len() >= READERS_MAX {
            readers.clear();
        }
        readers.insert(key, reader.clone());
        Ok(reader)
    }
}

pub(super) async fn look(
    effects: &Scoped,
    source: &ImageSource,
    known: &[Artifact],
) -> Result<Vec<Artifact>, Failure> {
    let repo: ImageRepo = source.repo.parse().map_err(|error| failure(&error))?;
    let login = effects.image_login(&repo).map_err(Failure::new)?;
    let reader = effects.registries().reader(&repo, source.insecure, login);
    let reader = reader.map_err(Failure::new)?;
    let platform = source.platform.as_deref().map(str::parse).transpose();
    let platform: Option<Platform> = platform.map_err(|error| failure(&error))?;
    let cancel = effects.cancel();
    let tags = reader.tags(&repo, cancel).await.map_err(|error| failure(&error))?;
    let wanted = wanted(source, &tags)?;
    let known = known_tags(source, known);
    let again: BTreeSet<&String> = wanted
        .iter()
        .filter(|tag| known.contains_key(tag.as_str()))
        .take(LOOKED_UP_AGAIN)
        .collect();
    let look = Look { source, repo: &repo, platform: platform.as_ref(), reader: &reader, cancel };
    // Collected first: a lazy iterator of futures that borrow is not `Send` for every lifetime.
    let mut versions = Vec::with_capacity(wanted.len());
    for tag in &wanted {
        let before = known.get(tag.as_str()).copied();
        versions.push(look.version(tag, before, again.contains(tag)));
    }
    let versions: Vec<Option<Artifact>> =
        futures::stream::iter(versions).buffered(AT_ONCE).try_collect().await?;
    Ok(versions.into_iter().flatten().collect())
}

/// The tags that count, newest version first.
fn wanted(source: &ImageSource, tags: &[String]) -> Result<Vec<String>, Failure> {
    let filter = TagFilter::new(&source.allow_tags, &source.ignore_tags).map_err(Failure::new)?;
    let constraint = source.constraint.as_deref().map(str::parse::<Constraint>).transpose();
    let constraint = constraint.map_err(Failure::new)?;
    let options = SelectOptions {
        strict: source.strict_semver,
        filter: &filter,
        constraint: constraint.as_ref(),
        limit: source.discovery_limit as usize,
    };
    let versions = select(tags.iter().map(String::as_str), &options);
    Ok(versions.iter().map(|version| version.tag().to_owned()).collect())
}

fn known_tags<'a>(
    source: &ImageSource,
    known: &'a [Artifact],
) -> BTreeMap<&'a str, &'a ImageVersion> {
    let images = known.iter().filter_map(|artifact| match artifact {
        Artifact::Image(image) if image.repo == source.repo => Some((image.tag.as_str(), image)),
        Artifact::Image(_) | Artifact::Git(_) => None,
    });
    images.collect()
}

/// What one look at a repository needs.
struct Look<'a> {
    source: &'a ImageSource,
    repo: &'a ImageRepo,
    platform: Option<&'a Platform>,
    reader: &'a Registry,
    cancel: &'a CancellationToken,
}

impl Look<'_> {
    /// What a tag names; absent: it is gone by now, or not there for the platform.
    async fn version(
        &self,
        tag: &str,
        before: Option<&ImageVersion>,
        again: bool,
    ) -> Result<Option<Artifact>, Failure> {
        let found = match before {
            Some(before) if !again || self.is_still(tag, before).await? => Ok(before.clone()),
            Some(_) | None => {
                let resolved = self.reader.resolve(self.repo, tag, self.platform, self.cancel);
                resolved.await.map(|info| ImageVersion {
                    repo: self.source.repo.clone(),
                    tag: tag.to_owned(),
                    digest: info.digest.to_string(),
                    created_at: info.created,
                })
            }
        };
        match found {
            Ok(image) => Ok(Some(Artifact::Image(image))),
            Err(OciError::NotFound { .. } | OciError::NoPlatform { .. }) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    async fn is_still(&self, tag: &str, before: &ImageVersion) -> Result<bool, Failure> {
        match self.reader.digest(self.repo, tag, self.cancel).await {
            Ok(digest) => Ok(digest.as_str() == before.digest),
            // Deleted in between; resolving it says so too.
            Err(OciError::NotFound { .. }) => Ok(false),
            Err(error) => Err(failure(&error)),
        }
    }
}

fn failure(error: &OciError) -> Failure {
    Failure { message: crate::explain(error), retry_after: error.retry_after() }
}
