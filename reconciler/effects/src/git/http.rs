//! The HTTP half of git's smart protocol (gitprotocol-http(5)): two kinds of request, with
//! deadlines, size limits and errors that people can act on.
//!
//! Redirects are followed for the first request only and only inside one host, so that
//! credentials never travel to another one. Proxies of the environment are ignored.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::config::Timeouts;
use super::credentials::Credentials;
use super::error::GitError;
use super::url::RepoUrl;
use crate::http::{Blocked, EgressPolicy, GuardedResolver};

const MAX_REDIRECTS: usize = 5;
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// The server programs of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    UploadPack,
    ReceivePack,
}

/// Whether the server may answer with protocol version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Oldest,
    Version2,
}

/// One operation's connection to one repository.
pub(super) struct HttpLink {
    client: Client,
    repo: RepoUrl,
    base: Mutex<Url>,
    authorization: Option<HeaderValue>,
    timeouts: Timeouts,
    deadline: Instant,
    cancel: CancellationToken,
}

/// An answer's content as it arrives.
pub(super) struct Body {
    response: Response,
    received: u64,
    limit: u64,
    what: &'static str,
}

impl Program {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// The client that all repositories share: one connection pool, whose names resolve only to
/// addresses that the policy opens.
pub(super) fn client(timeouts: Timeouts, egress: &Arc<EgressPolicy>) -> Result<Client, GitError> {
    Client::builder()
        // Some servers speak the smart protocol only to clients that call themselves git.
        .user_agent(concat!("git/2.0 (lockstep ", env!("CARGO_PKG_VERSION"), ")"))
        .connect_timeout(timeouts.connect)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .dns_resolver(GuardedResolver::new(Arc::clone(egress)))
        .build()
        .map_err(|error| GitError::Setup { what: "HTTP client", why: innermost(&error) })
}

impl HttpLink {
    pub(super) fn new(
        (client, egress): (Client, &EgressPolicy),
        repo: &RepoUrl,
        base: &Url,
        credentials: &Credentials,
        timeouts: Timeouts,
        cancel: CancellationToken,
    ) -> Result<Self, GitError> {
        check_host(repo, base, egress)?;
        let authorization = credentials
            .authorization()
            .map_err(|why| GitError::CredentialsMissing { repo: repo.clone(), why })?;
        Ok(Self {
            client,
            repo: repo.clone(),
            base: Mutex::new(base.clone()),
            authorization,
            timeouts,
            deadline: Instant::now() + timeouts.total,
            cancel,
        })
    }

    /// Asks for the refs and capabilities of `program`.
    pub(super) async fn advertisement(
        &self,
        program: Program,
        protocol: Protocol,
        limit: u64,
    ) -> Result<Body, GitError> {
        for _ in 0..=MAX_REDIRECTS {
            let mut url = self.endpoint("info/refs");
            url.set_query(Some(&format!("service={}", program.name())));
            let request = protocol.apply(self.client.get(url.clone()));
            let response = self.send(request).await?;
            if response.status().is_redirection() {
                self.follow(&url, &response)?;
                continue;
            }
            let media = format!("application/x-{}-advertisement", program.name());
            return self.accept(response, &media, limit, "the list of refs");
        }
        let why = format!("more than {MAX_REDIRECTS} redirects");
        Err(GitError::Protocol { repo: self.repo.clone(), why })
    }

    /// Sends one request to `program`.
    pub(super) async fn call(
        &self,
        program: Program,
        protocol: Protocol,
        body: Bytes,
        limit: u64,
    ) -> Result<Body, GitError> {
        let name = program.name();
        let request = self
            .client
            .post(self.endpoint(name))
            .header(header::CONTENT_TYPE, format!("application/x-{name}-request"))
            .header(header::ACCEPT, format!("application/x-{name}-result"))
            .body(body);
        let response = self.send(protocol.apply(request)).await?;
        if response.status().is_redirection() {
            return Err(self.moved(&response));
        }
        self.accept(response, &format!("application/x-{name}-result"), limit, "the answer")
    }

    /// The next piece of `body`; `None` at its end.
    pub(super) async fn chunk(&self, body: &mut Body) -> Result<Option<Bytes>, GitError> {
        let arrived = self.within("receiving", self.timeouts.idle, body.response.chunk()).await?;
        let Some(bytes) = arrived.map_err(|error| self.broken(&error))? else { return Ok(None) };
        body.received += bytes.len() as u64;
        if body.received > body.limit {
            let (what, limit) = (body.what.to_owned(), body.limit);
            return Err(GitError::TooLarge { repo: self.repo.clone(), what, limit });
        }
        Ok(Some(bytes))
    }

    /// All of `body`.
    pub(super) async fn collect(&self, mut body: Body) -> Result<Vec<u8>, GitError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk(&mut body).await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    fn endpoint(&self, suffix: &str) -> Url {
        let mut url = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = format!("{}/{suffix}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, GitError> {
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value.clone());
        }
        let request = request.header(header::CACHE_CONTROL, "no-cache");
        let sent =
            self.within("waiting for the answer", self.timeouts.idle, request.send()).await?;
        sent.map_err(|error| self.broken(&error))
    }

    /// Waits for `work`, at most `limit` and at most until the operation's deadline.
    async fn within<T>(
        &self,
        phase: &'static str,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, GitError> {
        let idle = Instant::now() + limit;
        let (until, after) =
            if idle < self.deadline { (idle, limit) } else { (self.deadline, self.timeouts.total) };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(GitError::Cancelled { repo: self.repo.clone() }),
            done = work => Ok(done),
            () = tokio::time::sleep_until(until) => {
                Err(GitError::Timeout { repo: self.repo.clone(), phase, after })
            }
        }
    }

    fn accept(
        &self,
        response: Response,
        media: &str,
        limit: u64,
        what: &'static str,
    ) -> Result<Body, GitError> {
        self.check_status(&response)?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        if kind != media {
            let kind: String = kind.chars().filter(|c| !c.is_control()).take(80).collect();
            let why = format!("the server answered with {kind}, not with {media}");
            return Err(GitError::NotGit { repo: self.repo.clone(), why });
        }
        Ok(Body { response, received: 0, limit, what })
    }

    fn check_status(&self, response: &Response) -> Result<(), GitError> {
        let (repo, status) = (self.repo.clone(), response.status());
        match status.as_u16() {
            200 => Ok(()),
            code @ (401 | 403) => {
                let sent = if self.authorization.is_some() { "" } else { ", none were sent" };
                Err(GitError::CredentialsRefused { repo, why: format!("HTTP {code}{sent}") })
            }
            404 | 410 => Err(GitError::RepositoryNotFound { repo }),
            code if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                let retry_after = retry_after(response);
                Err(GitError::Server { repo, status: code, retry_after })
            }
            code => Err(GitError::NotGit { repo, why: format!("HTTP status {code}") }),
        }
    }

    /// Takes the new base out of a redirect of `asked`, if it stays inside the host.
    fn follow(&self, asked: &Url, response: &Response) -> Result<(), GitError> {
        let target = location(asked, response).ok_or_else(|| self.moved(response))?;
        let same_host = target.host_str() == asked.host_str();
        let no_downgrade = target.scheme() == asked.scheme() || target.scheme() == "https";
        let same_port = target.port_or_known_default() == asked.port_or_known_default()
            || (asked.scheme() == "http" && target.scheme() == "https");
        let path = target.path().strip_suffix("/info/refs");
        let (true, true, true, Some(path)) = (same_host, no_downgrade, same_port, path) else {
            return Err(self.moved(response));
        };
        let mut base = target.clone();
        base.set_path(path);
        base.set_query(None);
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
        Ok(())
    }

    fn moved(&self, response: &Response) -> GitError {
        let to = location(&self.endpoint(""), response);
        let to = to.map_or_else(|| "nowhere".to_owned(), |url| url.origin().ascii_serialization());
        GitError::Moved { repo: self.repo.clone(), to }
    }

    fn broken(&self, error: &reqwest::Error) -> GitError {
        let repo = self.repo.clone();
        if error.is_timeout() {
            return GitError::Timeout { repo, phase: "connecting", after: self.timeouts.connect };
        }
        if let Some(blocked) = causes(error).find_map(|cause| cause.downcast_ref::<Blocked>()) {
            return GitError::Blocked { repo, why: blocked.to_string() };
        }
        GitError::Unreachable { repo, why: innermost(error) }
    }
}

/// Judges an address that stands in the URL itself; names are judged when they are resolved.
fn check_host(repo: &RepoUrl, url: &Url, egress: &EgressPolicy) -> Result<(), GitError> {
    let judged = url.host().map_or(Ok(()), |host| egress.check_host(&host));
    judged.map_err(|blocked| GitError::Blocked { repo: repo.clone(), why: blocked.to_string() })
}

impl Protocol {
    fn apply(self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Oldest => request,
            Self::Version2 => request.header("git-protocol", "version=2"),
        }
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); the form with a date is rare and not read.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?).min(MAX_PAUSE))
}

fn location(asked: &Url, response: &Response) -> Option<Url> {
    let target = response.headers().get(header::LOCATION)?.to_str().ok()?;
    asked.join(target).ok()
}

/// The innermost cause of an error, without the URL that the library puts before it.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}
