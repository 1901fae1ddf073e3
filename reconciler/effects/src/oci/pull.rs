//! What [`oci_client`] does: it logs in, and reads digests, manifests and configurations.
//!
//! The library has a client of its own, which the egress policy cannot reach into. What holds:
//!
//! - Before every call the registry's host is resolved, and *each* of its addresses must be open.
//! - Before the first call to a registry its challenge is read by our own client: the token service that
//!   it names must be open too, and encrypted unless the registry is not.
//! - Proxies named in the environment are ignored, as everywhere.
//!
//! What does not hold, as it does for [`crate::http`]: the library resolves names again, so that one that
//! changes its mind between check and use gets through; it reads the challenge again, which may name
//! another token service by then; and it follows redirects, ten at most, wherever they lead (its
//! `Authorization` stays behind when the host changes). Where registries are not trusted that far, the
//! network has to enforce the policy as well. What comes back from a host that was not checked is not
//! passed on: content has to match its digest, errors have to be those of the specification.
//!
//! A call has a deadline. A configuration has a cap; a manifest is judged by its size only after it was
//! read, so that the deadline is what bounds it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{Cursor, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::auth::token_service;
use super::image::MANIFEST_TYPES;
use super::registry::lock;
use super::tags::refusal;
use super::{Credentials, Digest, ImageRepo, OciError, Registry};
use crate::http::{Blocked, HttpError, Request};

/// The size that the specification asks registries to accept.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("lockstep/", env!("CARGO_PKG_VERSION"));

/// The library's clients of one reader. A client knows one login for each registry and one scheme, and so
/// there is one for each [`Way`].
#[derive(Clone, Default)]
pub(super) struct Clients {
    clients: Arc<Mutex<HashMap<Way, Client>>>,
    /// Registries whose challenge was read.
    greeted: Arc<Mutex<HashSet<String>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    is_plain: bool,
    with_login: bool,
}

/// A client with what it needs for one repository.
struct Session<'a> {
    repo: &'a ImageRepo,
    client: Client,
    auth: RegistryAuth,
    /// The repository; its tag means nothing.
    place: Reference,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("greeted", &self.greeted).finish_non_exhaustive()
    }
}

impl Registry {
    /// The digest that a tag names, as the registry says.
    pub(super) async fn pull_digest(
        &self,
        repo: &ImageRepo,
        tag: &str,
        cancel: &CancellationToken,
    ) -> Result<Digest, OciError> {
        let session = self.session(repo, cancel).await?;
        let place = session.at_tag(tag);
        let call = || session.client.fetch_manifest_digest(&place, &session.auth);
        let digest = self.ask(&session, &format!("tag `{tag}`"), call, cancel).await?;
        let malformed =
            |_| OciError::malformed(repo, "SHA-256 digest", format!("it is `{digest}`"));
        digest.parse().map_err(malformed)
    }

    /// The bytes of a manifest or an index, verified.
    pub(super) async fn pull_manifest(
        &self,
        repo: &ImageRepo,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, OciError> {
        let session = self.session(repo, cancel).await?;
        let place = session.place.clone_with_digest(digest.to_string());
        let call = || session.client.pull_manifest_raw(&place, &session.auth, &MANIFEST_TYPES);
        let what = format!("manifest {digest}");
        let (bytes, _) = self.ask(&session, &what, call, cancel).await?;
        if bytes.len() > MANIFEST_MAX_BYTES {
            return Err(too_large(repo));
        }
        Ok(bytes.into())
    }

    /// The bytes of an image's configuration, verified.
    pub(super) async fn pull_config(
        &self,
        repo: &ImageRepo,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, OciError> {
        let session = self.session(repo, cancel).await?;
        let call = async || {
            // A buffer that does not grow refuses what is too large.
            let mut buffer = Cursor::new(vec![0; MANIFEST_MAX_BYTES].into_boxed_slice());
            session.client.pull_blob(&session.place, digest.as_str(), &mut buffer).await?;
            let length = usize::try_from(buffer.position()).unwrap_or(MANIFEST_MAX_BYTES);
            Ok(buffer.get_ref()[..length].to_vec())
        };
        self.ask(&session, &format!("configuration {digest}"), call, cancel).await
    }

    /// The `Authorization` that the registry wants, if there is one to give.
    pub(super) async fn authorization(
        &self,
        repo: &ImageRepo,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, OciError> {
        let session = self.session(repo, cancel).await?;
        let token = self.ask(&session, "token", || session.log_in(), cancel).await?;
        Ok(match token {
            Some(token) => Some(format!("Bearer {token}")),
            None => self.login(repo).map(Credentials::basic),
        })
    }

    async fn session<'a>(
        &self,
        repo: &'a ImageRepo,
        cancel: &CancellationToken,
    ) -> Result<Session<'a>, OciError> {
        self.greet(repo, cancel).await?;
        let login = self.login(repo);
        let way = Way { is_plain: self.is_plain(repo), with_login: login.is_some() };
        let client = self.library.client(way).map_err(|source| OciError::exchange(repo, source))?;
        let auth = login.map_or(RegistryAuth::Anonymous, Credentials::to_auth);
        let (host, path) = (repo.api_host().to_owned(), repo.path().to_owned());
        let place = Reference::with_tag(host, path, String::new());
        client.store_auth_if_needed(place.resolve_registry(), &auth).await;
        Ok(Session { repo, client, auth, place })
    }

    /// Reads a registry's challenge once, before the library goes where it points.
    async fn greet(&self, repo: &ImageRepo, cancel: &CancellationToken) -> Result<(), OciError> {
        if lock(&self.library.greeted).contains(repo.host()) {
            return Ok(());
        }
        let answer = self.send(repo, Request::get(self.url(repo, "/")), cancel).await?;
        if answer.status == 429 || answer.status >= 500 {
            return Err(refusal(repo, "challenge", &answer));
        }
        if let Some(realm) = answer.header("www-authenticate").and_then(token_service) {
            let malformed = |reason| OciError::malformed(repo, "challenge", reason);
            let realm: Url = realm.parse().map_err(|_| {
                malformed("the address of its token service is not a URL".to_owned())
            })?;
            if realm.scheme() != "https" && !self.is_plain(repo) {
                let host = realm.authority();
                return Err(malformed(format!("its token service `{host}` is not encrypted")));
            }
            self.check(&realm).await.map_err(|source| OciError::exchange(repo, source))?;
        }
        lock(&self.library.greeted).insert(repo.host().to_owned());
        Ok(())
    }

    /// Resolves a host and judges every address of it: any of them may be the one that is connected to.
    async fn check(&self, url: &Url) -> Result<(), HttpError> {
        let blocked = |Blocked { host, reason }| HttpError::Blocked { host, reason };
        let policy = &self.options.egress;
        match url.host() {
            Some(Host::Domain(name)) => {
                let port = url.port_or_known_default().unwrap_or_default();
                let found = tokio::net::lookup_host((name, port)).await;
                let mut addresses = found.map_err(|error| HttpError::Connect {
                    host: url.authority().to_owned(),
                    reason: error.to_string(),
                    after_redirect: false,
                })?;
                addresses
                    .try_for_each(|found| policy.check(Some(name), found.ip()).map_err(blocked))
            }
            Some(host) => policy.check_host(&host).map_err(blocked),
            None => {
                let reason = "it has no host";
                Err(HttpError::InvalidUrl { url: url.scheme().to_owned(), reason })
            }
        }
    }

    /// Calls the library within the limits, and once more after a new login: tokens may end early.
    async fn ask<T, F>(
        &self,
        session: &Session<'_>,
        what: &str,
        call: impl Fn() -> F,
        cancel: &CancellationToken,
    ) -> Result<T, OciError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let repo = session.repo;
        let (host, timeout) = (repo.host().to_owned(), self.options.timeout);
        let work = async {
            let checked = self.check(&self.url(repo, "/")).await;
            checked.map_err(|source| OciError::exchange(repo, source))?;
            let mut answer = call().await;
            if matches!(answer, Err(OciDistributionError::UnauthorizedError { .. })) {
                let renewed = session.log_in().await;
                if renewed.map_err(|error| failure(repo, "token", error))?.is_some() {
                    answer = call().await;
                }
            }
            answer.map_err(|error| failure(repo, what, error))
        };
        let answer = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(OciError::exchange(repo, HttpError::Cancelled { host })),
            () = tokio::time::sleep(timeout) => {
                Err(OciError::exchange(repo, HttpError::Timeout { host, timeout }))
            }
            answer = work => answer,
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.with_wait(repo, error, cancel).await),
        }
    }
}

impl Clients {
    fn client(&self, way: Way) -> Result<Client, HttpError> {
        if let Some(client) = lock(&self.clients).get(&way) {
            return Ok(client.clone());
        }
        let client = Client::try_from(config(way)).map_err(|error| {
            let reason = crate::explain(&error);
            HttpError::Setup { reason }
        })?;
        Ok(lock(&self.clients).entry(way).or_insert(client).clone())
    }
}

impl Session<'_> {
    fn at_tag(&self, tag: &str) -> Reference {
        let (host, path) = (self.place.registry().to_owned(), self.place.repository().to_owned());
        Reference::with_tag(host, path, tag.to_owned())
    }

    /// A new token, which the client keeps; none if the registry wants none.
    async fn log_in(&self) -> Result<Option<String>, OciDistributionError> {
        self.client.auth(&self.place, &self.auth, RegistryOperation::Pull).await
    }
}

fn config(way: Way) -> ClientConfig {
    ClientConfig {
        protocol: if way.is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
        // An index is read as it is; which of its images count is decided here.
        platform_resolver: None,
        connect_timeout: Some(CONNECT_TIMEOUT),
        user_agent: USER_AGENT,
        // A proxy that is never used keeps the library from those that the environment names.
        http_proxy: Some("http://127.0.0.1:9".to_owned()),
        no_proxy: Some("*,0.0.0.0/0,::/0".to_owned()),
        ..ClientConfig::default()
    }
}

/// What the library's error means.
fn failure(repo: &ImageRepo, what: &str, error: OciDistributionError) -> OciError {
    use OciDistributionError as Library;
    let of_status = |status, said: &str| OciError::of_status(repo, what, status, None, said);
    match error {
        Library::UnauthorizedError { .. } => of_status(401, ""),
        Library::ImageManifestNotFoundError(_) => of_status(404, ""),
        // What a token service says is known, its status is not.
        Library::AuthenticationFailure(said) => match serde_json::from_str::<OciEnvelope>(&said) {
            Ok(envelope) if status_of(&envelope) == 429 => of_status(429, ""),
            Ok(_) | Err(_) => of_status(401, ""),
        },
        Library::RegistryError { envelope, .. } => {
            let said: Vec<_> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
            of_status(status_of(&envelope), &said.join("; "))
        }
        Library::ServerError { code, .. } => of_status(code, "it gives no reason"),
        Library::DigestError(DigestError::VerificationError { expected, actual }) => {
            mismatch(repo, &expected, &actual)
        }
        Library::RequestError(error) => OciError::exchange(repo, broken(repo, error)),
        Library::IoError(error) if error.kind() == ErrorKind::WriteZero => too_large(repo),
        other => OciError::malformed(repo, "answer", crate::explain(&other)),
    }
}

/// The status that goes with the specification's code; the library does not keep the one that came.
fn status_of(envelope: &OciEnvelope) -> u16 {
    let statuses = envelope.errors.iter().map(|error| match error.code {
        OciErrorCode::BlobUnknown
        | OciErrorCode::ManifestBlobUnknown
        | OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound => 404,
        // With 401 the library reports another error.
        OciErrorCode::Unauthorized | OciErrorCode::Denied => 403,
        OciErrorCode::Toomanyrequests => 429,
        _ => 400,
    });
    statuses.max().unwrap_or(400)
}

fn mismatch(repo: &ImageRepo, wanted: &str, found: &str) -> OciError {
    match (wanted.parse(), found.parse()) {
        (Ok(wanted), Ok(found)) => {
            let (host, repo) = (repo.host().to_owned(), repo.path().to_owned());
            OciError::DigestMismatch { host, repo, wanted, found }
        }
        _ => OciError::malformed(repo, "content of its digest", format!("{found}, not {wanted}")),
    }
}

fn broken(repo: &ImageRepo, error: reqwest::Error) -> HttpError {
    let (host, is_connect) = (repo.host().to_owned(), error.is_connect());
    // The address may be one that a registry signed.
    let reason = crate::explain(&error.without_url());
    if is_connect {
        HttpError::Connect { host, reason, after_redirect: false }
    } else {
        HttpError::Broken { host, reason }
    }
}

fn too_large(repo: &ImageRepo) -> OciError {
    let host = repo.host().to_owned();
    OciError::exchange(repo, HttpError::TooLarge { host, limit_bytes: MANIFEST_MAX_BYTES })
}
