//! Requests for what the library is not used for: blobs, and everything that changes a registry. They go
//! through our own client, log-in included, so that the egress policy holds for all of it.
//!
//! A registry answers 401 with a challenge that names what a token has to allow. That much is asked for,
//! at the token service that it names, and the request is sent once more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_auth::parser::ChallengeParser;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::registry::lock;
use super::{Credentials, ImageRepo, OciError, Registry};
use crate::http::{HttpError, Incoming, Request, Response};

/// Time for one request, without the body of a blob.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of a token service's answer.
const TOKEN_MAX_BYTES: usize = 1 << 20;

/// What was last let through, by what was to be done.
#[derive(Debug, Clone, Default)]
pub(super) struct Passes(Arc<Mutex<HashMap<Purpose, String>>>);

/// What is to be done with a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Purpose {
    repo: ImageRepo,
    access: Access,
    /// A repository that blobs are taken over from.
    beside: Option<ImageRepo>,
}

/// How much of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Read,
    Write,
    Remove,
}

impl Purpose {
    pub(super) fn new(repo: &ImageRepo, access: Access) -> Self {
        Self { repo: repo.clone(), access, beside: None }
    }

    pub(super) fn beside(self, other: &ImageRepo) -> Self {
        Self { beside: Some(other.clone()), ..self }
    }

    /// Where it is to be done.
    pub(super) fn repo(&self) -> &ImageRepo {
        &self.repo
    }

    /// The scope of a token for it, as the distribution project's token specification writes it.
    fn scopes(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Read => "pull",
            Access::Write => "pull,push",
            Access::Remove => "pull,push,delete",
        };
        let beside = self.beside.iter().map(|other| format!("repository:{}:pull", other.path()));
        [format!("repository:{}:{actions}", self.repo.path())].into_iter().chain(beside).collect()
    }
}

/// A challenge (RFC 9110, section 11.6.1) as far as it is met.
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registry {
    /// Sends a request and reads the whole answer, logged in if the registry asks for that.
    pub(super) async fn exchange(
        &self,
        purpose: &Purpose,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Response, OciError> {
        let answer = self.opened(purpose, request, cancel).await?;
        answer.whole().await.map_err(|source| OciError::exchange(&purpose.repo, source))
    }

    /// The same, up to the head of the answer.
    pub(super) async fn opened(
        &self,
        purpose: &Purpose,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Incoming, OciError> {
        let request = request.timeout(EXCHANGE_TIMEOUT);
        let sent = async |request| {
            let sent = self.http.open(request, cancel).await;
            sent.map_err(|source| OciError::exchange(&purpose.repo, source))
        };
        let answer = sent(self.passed(purpose, request.clone())).await?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        let Some(header) = answer.header("www-authenticate") else { return Ok(answer) };
        let Some(pass) = self.log_in(purpose, &header, cancel).await? else { return Ok(answer) };
        lock(&self.passes.0).insert(purpose.clone(), pass);
        sent(self.passed(purpose, request)).await
    }

    /// The request with what let it through the last time.
    pub(super) fn passed(&self, purpose: &Purpose, request: Request) -> Request {
        match lock(&self.passes.0).get(purpose) {
            Some(pass) => request.header("authorization", pass),
            None => request,
        }
    }

    /// What meets a challenge; none: there is nothing that could.
    async fn log_in(
        &self,
        purpose: &Purpose,
        header: &str,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, OciError> {
        let login = self.login(&purpose.repo);
        match challenge(header) {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(login.map(Credentials::basic)),
            Some(Challenge::Bearer { realm, service }) => {
                let url = self.realm(purpose, &realm, service.as_deref())?;
                let token = self.token(purpose, url, login, cancel).await?;
                Ok(Some(format!("Bearer {token}")))
            }
        }
    }

    /// The address of a token for the purpose.
    fn realm(
        &self,
        purpose: &Purpose,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Url, OciError> {
        let malformed = |reason| OciError::malformed(&purpose.repo, "challenge", reason);
        let mut url: Url = realm
            .parse()
            .map_err(|_| malformed("the address of its token service is not a URL".to_owned()))?;
        if url.scheme() != "https" && !self.is_plain(&purpose.repo) {
            let host = url.authority();
            return Err(malformed(format!("its token service `{host}` is not encrypted")));
        }
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            query.extend_pairs(purpose.scopes().iter().map(|scope| ("scope", scope)));
        }
        Ok(url)
    }

    async fn token(
        &self,
        purpose: &Purpose,
        url: Url,
        login: Option<&Credentials>,
        cancel: &CancellationToken,
    ) -> Result<String, OciError> {
        let repo = &purpose.repo;
        let mut request = Request::get(url).max_body(TOKEN_MAX_BYTES);
        if let Some(login) = login {
            request = request.header("authorization", login.basic());
        }
        let answer = self.send(repo, request, cancel).await?;
        if !answer.is_success() {
            return Err(super::tags::refusal(repo, "token", &answer));
        }
        let malformed = |reason| OciError::malformed(repo, "token", reason);
        // Where it failed is told, what it says is not: it is a secret.
        let Token { token, access_token } = serde_json::from_slice(&answer.body)
            .map_err(|error| malformed(format!("JSON breaks off in line {}", error.line())))?;
        token.or(access_token).ok_or_else(|| malformed("it holds none".to_owned()))
    }

    /// An address that the registry names for an upload: it is the registry's own.
    pub(super) fn own_address(
        &self,
        repo: &ImageRepo,
        at: &Url,
        location: Option<&str>,
    ) -> Result<Url, OciError> {
        let malformed = |reason| OciError::malformed(repo, "place for an upload", reason);
        let location = location.ok_or_else(|| malformed("it names none".to_owned()))?;
        let url = at.join(location).map_err(|error| malformed(error.to_string()))?;
        if url.origin() != at.origin() {
            return Err(malformed("it is on another host".to_owned()));
        }
        Ok(url)
    }
}

/// What a `WWW-Authenticate` header asks for: a token rather than a password.
fn challenge(header: &str) -> Option<Challenge> {
    let mut basic = None;
    for one in ChallengeParser::new(header).filter_map(Result::ok) {
        let parameter = |wanted: &str| {
            let mut named = one.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.next().map(|(_, value)| value.to_unescaped())
        };
        if one.scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = parameter("realm")
        {
            return Some(Challenge::Bearer { realm, service: parameter("service") });
        }
        if one.scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// The error of an exchange whose answer is larger than it may be.
pub(super) fn too_large(repo: &ImageRepo, limit_bytes: u64) -> OciError {
    let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    OciError::exchange(repo, HttpError::TooLarge { host: repo.host().to_owned(), limit_bytes })
}
