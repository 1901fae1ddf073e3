//! The client: one exchange at a time, with whatever token it needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::auth::{Challenge, Credentials, TokenAnswer};
use super::image::{Config, Descriptor, MANIFEST_TYPES, Manifest, created_in};
use super::reference::check_tag;
use super::{Digest, ImageInfo, ImageRepo, OciError, Platform};
use crate::http::{EgressPolicy, HttpClient, HttpError, Request, Response};

const TAGS_PER_PAGE: usize = 1000;
const TAG_PAGE_MAX_BYTES: usize = 16 << 20;
/// The size that the specification asks registries to accept.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
const TOKEN_MAX_BYTES: usize = 1 << 20;
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
    http: HttpClient,
    options: Arc<RegistryOptions>,
    credentials: Option<Credentials>,
    /// Tokens by repository, for these credentials only.
    tokens: Arc<Mutex<HashMap<ImageRepo, String>>>,
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
            tokens: Arc::default(),
            known: Arc::default(),
        })
    }

    /// A reader that uses the credentials where they are meant. It shares connections and what is known of
    /// digests, but no tokens.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), tokens: Arc::default(), ..self.clone() }
    }

    /// All tags of a repository, in the registry's order.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn tags(
        &self,
        repo: &ImageRepo,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, OciError> {
        let first = self.url(repo, &format!("tags/list?n={TAGS_PER_PAGE}"));
        let too_many = |limit: String| OciError::TooMany { repo: repo.to_string(), limit };
        let (mut tags, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = Some(first.clone());
        while let Some(url) = next {
            if seen.len() >= self.options.tag_pages_max {
                return Err(too_many(format!("{} pages", self.options.tag_pages_max)));
            }
            if !seen.insert(url.clone()) {
                return Err(malformed(
                    repo,
                    "tag list",
                    "it repeats a page without end".to_owned(),
                ));
            }
            let request = Request::get(url.clone()).max_body(TAG_PAGE_MAX_BYTES);
            let answer = self.exchange(repo, "tags", request, cancel).await?;
            let page: TagPage = parse(repo, "tag list", &answer.body)?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > self.options.tags_max {
                return Err(too_many(self.options.tags_max.to_string()));
            }
            next = next_page(repo, &url, &answer)?;
        }
        Ok(tags)
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
        let what = format!("tag `{tag}`");
        let request = self.manifest_request(repo, Method::HEAD, tag);
        let answer = self.exchange(repo, &what, request, cancel).await?;
        match answer.header("docker-content-digest") {
            Some(digest) => digest.parse(),
            // The header is optional in the specification; the content always tells.
            None => {
                let request = self.manifest_request(repo, Method::GET, tag);
                let answer = self.exchange(repo, &what, request, cancel).await?;
                Ok(Digest::of(&answer.body))
            }
        }
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
        let (manifest, content_type) = self.manifest(repo, &digest, cancel).await?;
        let media_type = manifest.media_type.clone().unwrap_or(content_type);
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
                None => malformed(repo, "image index", "it lists no image".to_owned()),
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
            let (manifest, _) = self.manifest(repo, &entry.digest, cancel).await?;
            let created = match created_in(&manifest.annotations) {
                Some(created) => Some(created),
                None => self.config(repo, &manifest, cancel).await?.created(),
            };
            newest = newest.max(created);
        }
        Ok(newest)
    }

    /// A manifest by digest, verified.
    async fn manifest(
        &self,
        repo: &ImageRepo,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<(Manifest, String), OciError> {
        let request = self.manifest_request(repo, Method::GET, digest.as_str());
        let answer = self.exchange(repo, &format!("manifest {digest}"), request, cancel).await?;
        verify(repo, digest, &answer.body)?;
        let content_type = answer.header("content-type").unwrap_or_default().to_owned();
        Ok((parse(repo, "manifest", &answer.body)?, content_type))
    }

    /// The configuration of an image; empty for an artifact that is none.
    async fn config(
        &self,
        repo: &ImageRepo,
        manifest: &Manifest,
        cancel: &CancellationToken,
    ) -> Result<Config, OciError> {
        let Some(config) = manifest.config.as_ref().filter(|config| config.is_image_config())
        else {
            return Ok(Config::default());
        };
        let url = self.url(repo, &format!("blobs/{}", config.digest));
        let request = Request::get(url).max_body(MANIFEST_MAX_BYTES);
        let what = format!("configuration {}", config.digest);
        let answer = self.exchange(repo, &what, request, cancel).await?;
        verify(repo, &config.digest, &answer.body)?;
        parse(repo, "image configuration", &answer.body)
    }

    fn manifest_request(&self, repo: &ImageRepo, method: Method, reference: &str) -> Request {
        Request::new(method, self.url(repo, &format!("manifests/{reference}")))
            .header("accept", MANIFEST_TYPES)
            .max_body(MANIFEST_MAX_BYTES)
    }

    /// Sends a request, answering at most one challenge.
    async fn exchange(
        &self,
        repo: &ImageRepo,
        what: &str,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Response, OciError> {
        let request = request.timeout(self.options.timeout);
        let token = lock(&self.tokens).get(repo).cloned();
        let first = match &token {
            Some(token) => request.clone().header("authorization", token),
            None => request.clone(),
        };
        let mut answer = self.send(repo, first, cancel).await?;
        if answer.status == 401 {
            let authorization = self.authorize(repo, &answer, cancel).await?;
            lock(&self.tokens).insert(repo.clone(), authorization.clone());
            answer =
                self.send(repo, request.header("authorization", authorization), cancel).await?;
        }
        if answer.is_success() { Ok(answer) } else { Err(refusal(repo, what, &answer)) }
    }

    /// The `Authorization` that a challenge asks for.
    async fn authorize(
        &self,
        repo: &ImageRepo,
        answer: &Response,
        cancel: &CancellationToken,
    ) -> Result<String, OciError> {
        let credentials = self.credentials.as_ref().filter(|credentials| credentials.covers(repo));
        let challenge = answer.header("www-authenticate").and_then(Challenge::parse);
        let unauthorized = || refusal(repo, "access", answer);
        match (challenge, credentials) {
            (Some(Challenge::Basic), Some(credentials)) => Ok(credentials.basic()),
            (Some(Challenge::Basic) | None, _) => Err(unauthorized()),
            (Some(Challenge::Bearer { realm, service }), credentials) => {
                // A registry with encryption does not send credentials to a service without.
                if realm.scheme() != "https" && !self.is_plain(repo) {
                    let reason =
                        format!("its token service `{}` is not encrypted", realm.authority());
                    return Err(malformed(repo, "challenge", reason));
                }
                self.fetch_token(repo, realm, service, credentials, cancel).await
            }
        }
    }

    async fn fetch_token(
        &self,
        repo: &ImageRepo,
        mut realm: Url,
        service: Option<String>,
        credentials: Option<&Credentials>,
        cancel: &CancellationToken,
    ) -> Result<String, OciError> {
        {
            let mut query = realm.query_pairs_mut();
            query.append_pair("scope", &format!("repository:{}:pull", repo.path()));
            if let Some(service) = service {
                query.append_pair("service", &service);
            }
            if let Some(credentials) = credentials {
                query.append_pair("account", credentials.user());
            }
        }
        let mut request =
            Request::get(realm).max_body(TOKEN_MAX_BYTES).timeout(self.options.timeout);
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials.basic());
        }
        let answer = self.send(repo, request, cancel).await?;
        if !answer.is_success() {
            return Err(refusal(repo, "token", &answer));
        }
        let token: TokenAnswer = parse(repo, "token", &answer.body)?;
        let token = token.token().ok_or_else(|| {
            malformed(repo, "token", "it has neither of the two fields".to_owned())
        })?;
        Ok(format!("Bearer {token}"))
    }

    async fn send(
        &self,
        repo: &ImageRepo,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Response, OciError> {
        let sent = self.http.send(request, cancel).await;
        sent.map_err(|source| OciError::Exchange { repo: repo.to_string(), source })
    }

    fn url(&self, repo: &ImageRepo, rest: &str) -> Url {
        let scheme = if self.is_plain(repo) { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}/{rest}", repo.api_host(), repo.path())
            .parse()
            .expect("host, path, tag and digest were checked when they were parsed")
    }

    fn is_plain(&self, repo: &ImageRepo) -> bool {
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

#[derive(Deserialize)]
struct TagPage {
    /// Some registries write `null` for none.
    tags: Option<Vec<String>>,
}

/// The target of a `Link` header with `rel="next"` (RFC 8288); it must stay with the registry.
fn next_page(repo: &ImageRepo, url: &Url, answer: &Response) -> Result<Option<Url>, OciError> {
    let Some(link) = answer.header("link") else { return Ok(None) };
    let is_next = |part: &&str| part.contains("rel=\"next\"") || part.contains("rel=next");
    // A comma may stand inside a target but not before the `<` of the next one.
    let Some(part) = link.split(", <").find(is_next) else { return Ok(None) };
    let target = part.trim_start_matches('<').split('>').next().unwrap_or_default();
    let next =
        url.join(target).map_err(|error| malformed(repo, "Link header", error.to_string()))?;
    if next.origin() != url.origin() {
        let reason = "the next page is on another host".to_owned();
        return Err(malformed(repo, "Link header", reason));
    }
    Ok(Some(next))
}

fn refusal(repo: &ImageRepo, what: &str, answer: &Response) -> OciError {
    let (host, path, status) = (repo.host().to_owned(), repo.path().to_owned(), answer.status);
    let retry_after = answer.retry_after(jiff::Timestamp::now());
    match status {
        404 => OciError::NotFound { host, repo: path, what: what.to_owned() },
        401 | 403 => OciError::Unauthorized { host, repo: path, status },
        429 => OciError::RateLimited { host, repo: path, retry_after },
        500.. => OciError::Unavailable { host, repo: path, status, retry_after },
        _ => {
            let said = answer.text().chars().take(200).collect();
            OciError::Refused { host, repo: path, status, said }
        }
    }
}

fn verify(repo: &ImageRepo, wanted: &Digest, content: &[u8]) -> Result<(), OciError> {
    let found = Digest::of(content);
    if found == *wanted {
        return Ok(());
    }
    let (host, repo, wanted) = (repo.host().to_owned(), repo.path().to_owned(), wanted.clone());
    Err(OciError::DigestMismatch { host, repo, wanted, found })
}

fn parse<'a, T: Deserialize<'a>>(
    repo: &ImageRepo,
    what: &'static str,
    body: &'a [u8],
) -> Result<T, OciError> {
    serde_json::from_slice(body).map_err(|error| malformed(repo, what, error.to_string()))
}

fn malformed(repo: &ImageRepo, what: &'static str, reason: String) -> OciError {
    let (host, repo) = (repo.host().to_owned(), repo.path().to_owned());
    OciError::Malformed { host, repo, what, reason }
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
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
