//! One request to a forge, and what its answer means.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use reconciler_domain::duration;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::answer::capped;
use crate::http::{HttpClient, HttpError, Request, Response};

/// Time for one exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the largest answer: a page of pull requests repeats the repository in each.
const ANSWER_MAX: usize = 16 << 20;
/// Pages that are looked through at most.
const PAGES_MAX: u32 = 10;
/// Characters of what a forge says that a message repeats.
const SAID_CHARS: usize = 300;
/// Pause where a forge wants one and does not say which.
const PAUSE: Duration = Duration::from_secs(60);
/// A longer pause is not waited for.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// A connection to one forge, with its token.
pub(super) struct Link<'a> {
    pub(super) http: &'a HttpClient,
    pub(super) cancel: &'a CancellationToken,
    /// Ends in a slash.
    pub(super) base: Url,
    pub(super) authorization: Option<String>,
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// What the token has to be allowed.
    pub(super) needs: &'static str,
    pub(super) now: Timestamp,
}

/// Why a forge did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgeError {
    /// The repository has no pull requests.
    #[error(
        "repository {repo} is not one of a forge: its URL has to name a host, an owner and a repository"
    )]
    NotOfAForge { repo: String },
    /// The token cannot be used now.
    #[error("{0}")]
    Credential(String),
    /// There is no answer.
    #[error("{what}: {source}")]
    Http { what: String, source: HttpError },
    /// Too many requests.
    #[error("{what}: {host} takes no more requests with this token for {}", duration::print(*after))]
    Limited { what: String, host: String, after: Duration },
    /// 401 with a token.
    #[error(
        "{what}: {host} does not take the token (401: {said}); it may have expired: give the git \
         credential of this repository another as its password or token"
    )]
    TokenRefused { what: String, host: String, said: String },
    /// 401 without one.
    #[error(
        "{what}: {host} wants a token (401: {said}); give the project a git credential for this \
         repository with a token as its password, which needs {needs}"
    )]
    TokenMissing { what: String, host: String, said: String, needs: &'static str },
    /// 403.
    #[error("{what}: {host} forbids it (403: {said}); the token needs {needs}")]
    Forbidden { what: String, host: String, said: String, needs: &'static str },
    /// 404.
    #[error(
        "{what}: {host} finds nothing there (404: {said}); check the repository's URL and the number, \
         and that the token may see it: it needs {needs}"
    )]
    NotFound { what: String, host: String, said: String, needs: &'static str },
    /// Another status that says no.
    #[error("{what}: {host} refuses it ({status}: {said})")]
    Refused { what: String, host: String, status: u16, said: String },
    /// 5xx.
    #[error("{what}: {host} answered {status}, which may pass: {said}")]
    Server { what: String, host: String, status: u16, said: String },
    /// The answer is not what it should be.
    #[error(
        "{what}: the answer of {host} is not understood: {why}; is it the forge that `forge` says?"
    )]
    Answer { what: String, host: String, why: String },
    /// A label that is not there.
    #[error("labels: the repository has no label {name:?}; make it, or leave it out")]
    NoLabel { name: String },
}

impl ForgeError {
    /// Whether the same may succeed later without anybody changing anything.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_retryable(),
            Self::Credential(_) | Self::Limited { .. } | Self::Server { .. } => true,
            Self::NotOfAForge { .. }
            | Self::TokenRefused { .. }
            | Self::TokenMissing { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Answer { .. }
            | Self::NoLabel { .. } => false,
        }
    }

    /// Whether a change may have been made although this is the answer to it.
    pub(crate) fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.may_have_been_sent(),
            // It was made, for all that is known, and what is said of it is not understood.
            Self::Server { .. } | Self::Answer { .. } => true,
            Self::Credential(_)
            | Self::Limited { .. }
            | Self::NotOfAForge { .. }
            | Self::TokenRefused { .. }
            | Self::TokenMissing { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::NoLabel { .. } => false,
        }
    }

    /// The pause that the forge asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Limited { after, .. } = self { Some(*after) } else { None }
    }

    /// Status and words of a plain no.
    pub(super) fn refused(&self) -> Option<(u16, &str)> {
        if let Self::Refused { status, said, .. } = self { Some((*status, said)) } else { None }
    }
}

impl Link<'_> {
    /// Asks for one thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ForgeError> {
        let url = self.url(path, &[]);
        let answer = self.exchange(Method::GET, url.clone(), None).await?;
        self.read(&Method::GET, &url, &answer)
    }

    /// Asks for a list, page by page while there are more.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ForgeError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let mut url = self.url(path, query);
            url.query_pairs_mut().append_pair("page", &page.to_string());
            let answer = self.exchange(Method::GET, url.clone(), None).await?;
            all.extend(self.read::<Vec<T>>(&Method::GET, &url, &answer)?);
            let links = answer.header("link").unwrap_or_default();
            if !links.contains("rel=\"next\"") {
                break;
            }
        }
        Ok(all)
    }

    /// Tells something, and reads the answer.
    pub(super) async fn tell<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ForgeError> {
        let url = self.url(path, &[]);
        let answer = self.exchange(method.clone(), url.clone(), Some(body)).await?;
        self.read(&method, &url, &answer)
    }

    /// Tells something whose answer says nothing.
    pub(super) async fn order(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<(), ForgeError> {
        self.exchange(method, self.url(path, &[]), Some(body)).await.map(drop)
    }

    /// What is below the base, each part encoded as one.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn exchange(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Response, ForgeError> {
        let what = what(&method, &url);
        let mut request = Request::new(method, url).timeout(TIMEOUT).max_body(ANSWER_MAX);
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        match self.http.send(request, self.cancel).await {
            Ok(answer) if answer.is_success() => Ok(answer),
            Ok(answer) => Err(self.judge(what, &answer)),
            Err(source) => Err(ForgeError::Http { what, source }),
        }
    }

    fn judge(&self, what: String, answer: &Response) -> ForgeError {
        let (host, needs, said) = (self.host(), self.needs, said(answer));
        if let Some(after) = self.limited(answer, &said) {
            return ForgeError::Limited { what, host, after };
        }
        match answer.status {
            401 if self.authorization.is_some() => ForgeError::TokenRefused { what, host, said },
            401 => ForgeError::TokenMissing { what, host, said, needs },
            403 => ForgeError::Forbidden { what, host, said, needs },
            404 => ForgeError::NotFound { what, host, said, needs },
            status @ 500.. => ForgeError::Server { what, host, status, said },
            status => ForgeError::Refused { what, host, status, said },
        }
    }

    /// How long requests are not wanted: 429, or a 403 by which GitHub means the same.
    fn limited(&self, answer: &Response, said: &str) -> Option<Duration> {
        let spent = answer.header("x-ratelimit-remaining") == Some("0");
        let means_it =
            answer.header("retry-after").is_some() || spent || said.contains("rate limit");
        if !(answer.status == 429 || (answer.status == 403 && means_it)) {
            return None;
        }
        let reset = || {
            let text = answer.header("x-ratelimit-reset").filter(|_| spent)?;
            let at = Timestamp::from_second(text.trim().parse().ok()?).ok()?;
            Duration::try_from(at.duration_since(self.now)).ok()
        };
        let pause = answer.retry_after(self.now).or_else(reset).unwrap_or(PAUSE);
        Some(pause.clamp(Duration::from_secs(1), PAUSE_MAX))
    }

    fn read<T: DeserializeOwned>(
        &self,
        method: &Method,
        url: &Url,
        answer: &Response,
    ) -> Result<T, ForgeError> {
        serde_json::from_slice(&answer.body).map_err(|error| ForgeError::Answer {
            what: what(method, url),
            host: self.host(),
            why: error.to_string(),
        })
    }

    fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }
}

/// A request in words.
fn what(method: &Method, url: &Url) -> String {
    format!("{method} {}", url.path())
}

/// What a forge says about why not.
fn said(answer: &Response) -> String {
    let json = answer.json().unwrap_or(Value::Null);
    let mut parts = Vec::new();
    for key in ["message", "error", "error_description", "errors"] {
        words(&json[key], &mut parts);
    }
    parts.dedup();
    if parts.is_empty() {
        return "without a word".to_owned();
    }
    let text = parts.join("; ");
    let line: Vec<&str> = text.split_whitespace().collect();
    capped(&line.join(" "), SAID_CHARS)
}

fn words(value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::String(text) => parts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| words(item, parts)),
        Value::Object(fields) => match fields.get("message") {
            Some(message) => words(message, parts),
            None => fields.values().for_each(|field| words(field, parts)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
