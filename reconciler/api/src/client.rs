//! A typed client over the contract.
//!
//! It opens nothing until the first call, so that a program which may not need the daemon starts
//! at once. What it was told to keep secret is in no `Debug` and no error. It does not decide
//! anything: no caching, no defaults, no reading of environment variables.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

mod answer;
mod calls;
mod error;
mod retry;
mod states;

pub use error::ClientError;
pub use retry::RetryPolicy;

use crate::v1::{Precondition, Secret};
use answer::{Answer, BODY_BYTES_MAX, Unanswered};
use retry::{Attempt, Repeat, Trouble, chance};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take when the client is not told otherwise; one that asks the daemon to
/// wait may take as much longer.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// A client of one daemon. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Url,
    headers: HeaderMap,
    retry: RetryPolicy,
    timeout: Duration,
    http: OnceLock<reqwest::Client>,
}

impl Shared {
    fn with_same_settings(&self) -> Self {
        let Self { endpoint, headers, retry, timeout, .. } = self;
        let (endpoint, headers) = (endpoint.clone(), headers.clone());
        Self { endpoint, headers, retry: *retry, timeout: *timeout, http: OnceLock::new() }
    }
}

impl Client {
    /// A client of the daemon at `endpoint`, such as `http://127.0.0.1:7480`. Without a token only
    /// public operations work. `user_agent` names the program and its version.
    ///
    /// # Errors
    ///
    /// The endpoint is no HTTP URL, or the token or the user agent cannot stand in a header.
    pub fn new(
        endpoint: &str,
        token: Option<&Secret>,
        user_agent: &str,
    ) -> Result<Self, ClientError> {
        let endpoint = parse_endpoint(endpoint)?;
        let mut headers = HeaderMap::new();
        let agent = HeaderValue::from_str(user_agent)
            .map_err(|_| ClientError::InvalidUserAgent { user_agent: user_agent.to_owned() })?;
        headers.insert(USER_AGENT, agent);
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        let (retry, timeout) = (RetryPolicy::default(), REQUEST_TIMEOUT_DEFAULT);
        let http = OnceLock::new();
        Ok(Self { shared: Arc::new(Shared { endpoint, headers, retry, timeout, http }) })
    }

    /// The same client with another idea of when to repeat a request.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { shared: Arc::new(Shared { retry, ..self.shared.with_same_settings() }) }
    }

    /// The same client with another idea of how long a request may take.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { shared: Arc::new(Shared { timeout, ..self.shared.with_same_settings() }) }
    }

    /// Where the daemon is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.shared.endpoint.as_str().trim_end_matches('/')
    }

    async fn answer<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        self.send(call).await?.read(self.endpoint())
    }

    async fn no_answer(&self, call: Call) -> Result<(), ClientError> {
        self.send(call).await?.accepted(self.endpoint())
    }

    /// Sends until the answer counts, or repeating makes no sense any more.
    async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        let url = self.url(&call)?;
        let began = Instant::now();
        let mut number = 1;
        loop {
            let outcome = self.send_once(&call, url.clone()).await;
            let trouble = match &outcome {
                Ok(answer) => answer.trouble(),
                Err(Unanswered::Failed(error)) => Trouble::of(error),
                Err(Unanswered::Endless) => None,
            };
            let failed = trouble.map(|trouble| Attempt { number, since: began.elapsed(), trouble });
            let pause = failed.and_then(|it| self.shared.retry.pause(call.repeat, it, chance()));
            match pause {
                None => return outcome.map_err(|error| self.failure(&call, error)),
                Some(pause) => tokio::time::sleep(pause).await,
            }
            number += 1;
        }
    }

    async fn send_once(&self, call: &Call, url: Url) -> Result<Answer, Unanswered> {
        let mut request = self
            .http()?
            .request(call.method.clone(), url)
            .headers(self.shared.headers.clone())
            .timeout(self.timeout(call));
        if let Some((name, value)) = &call.precondition {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        Answer::receive(request.send().await?).await
    }

    fn timeout(&self, call: &Call) -> Duration {
        self.shared.timeout.saturating_add(call.wait)
    }

    fn http(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(http) = self.shared.http.get() {
            return Ok(http);
        }
        let built = build_http(&self.shared.endpoint)?;
        Ok(self.shared.http.get_or_init(|| built))
    }

    fn failure(&self, call: &Call, error: Unanswered) -> ClientError {
        let endpoint = self.endpoint().to_owned();
        match error {
            Unanswered::Endless => {
                let answered = format!("more than {} MiB", BODY_BYTES_MAX / (1024 * 1024));
                ClientError::NotLockstep { endpoint, answered }
            }
            Unanswered::Failed(error) if error.is_connect() => {
                ClientError::Unreachable { endpoint, reason: error::deepest(&error) }
            }
            Unanswered::Failed(error) if error.is_timeout() => {
                ClientError::Timeout { endpoint, after: self.timeout(call) }
            }
            Unanswered::Failed(error) => {
                ClientError::Lost { endpoint, reason: error::deepest(&error) }
            }
        }
    }

    fn url(&self, call: &Call) -> Result<Url, ClientError> {
        let mut url = self.shared.endpoint.clone();
        if let Some(text) = call.path.iter().find(|it| matches!(it.as_str(), "" | "." | "..")) {
            return Err(ClientError::InvalidName { text: text.clone() });
        }
        url.path_segments_mut()
            .expect("an http URL has a path: parse_endpoint takes no other")
            .pop_if_empty()
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Ok(url)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

/// One request, before it knows its host.
struct Call {
    method: reqwest::Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    precondition: Option<(HeaderName, HeaderValue)>,
    body: Option<serde_json::Value>,
    repeat: Repeat,
    /// How long the daemon is asked to wait before it answers.
    wait: Duration,
}

impl Call {
    fn new(method: reqwest::Method, path: &[&str]) -> Self {
        let repeat = match method {
            reqwest::Method::GET => Repeat::Always,
            _ => Repeat::IfNotTaken,
        };
        Self {
            method,
            path: path.iter().map(|&it| it.to_owned()).collect(),
            query: Vec::new(),
            precondition: None,
            body: None,
            repeat,
            wait: Duration::ZERO,
        }
    }

    fn get(path: &[&str]) -> Self {
        Self::new(reqwest::Method::GET, path)
    }

    fn put(path: &[&str]) -> Self {
        Self::new(reqwest::Method::PUT, path)
    }

    fn post(path: &[&str]) -> Self {
        Self::new(reqwest::Method::POST, path)
    }

    fn delete(path: &[&str]) -> Self {
        Self::new(reqwest::Method::DELETE, path)
    }

    fn body(self, body: &impl Serialize) -> Self {
        let body =
            serde_json::to_value(body).expect("wire types have string keys and no maps else");
        Self { body: Some(body), ..self }
    }

    /// Adds the fields of a query struct that are not null.
    fn query(mut self, query: &impl Serialize) -> Self {
        let fields = serde_json::to_value(query).expect("a query struct is a flat JSON object");
        for (name, value) in fields.as_object().into_iter().flatten() {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => self.query.push((name.clone(), text.clone())),
                other => self.query.push((name.clone(), other.to_string())),
            }
        }
        self
    }

    fn precondition(self, precondition: Precondition) -> Self {
        let header = precondition.header().map(|(name, value)| {
            let value = HeaderValue::from_str(&value).expect("digits, quotes and * are visible");
            (HeaderName::from_static(name), value)
        });
        Self { precondition: header, ..self }
    }

    fn repeatable(self) -> Self {
        Self { repeat: Repeat::Always, ..self }
    }

    fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }
}

fn parse_endpoint(text: &str) -> Result<Url, ClientError> {
    let invalid = |reason: &str| ClientError::InvalidEndpoint {
        endpoint: text.to_owned(),
        reason: reason.to_owned(),
    };
    let endpoint = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(endpoint.scheme(), "http" | "https") {
        return Err(invalid("it begins with neither http:// nor https://"));
    }
    if !endpoint.username().is_empty() || endpoint.password().is_some() {
        // The text holds a secret here, so it is not repeated.
        let endpoint = format!("{}://…@{}", endpoint.scheme(), endpoint.host_str().unwrap_or(""));
        let reason = "a token belongs beside the endpoint, not into it".to_owned();
        return Err(ClientError::InvalidEndpoint { endpoint, reason });
    }
    if endpoint.query().is_some() || endpoint.fragment().is_some() {
        return Err(invalid("it has a query or a fragment"));
    }
    Ok(endpoint)
}

fn bearer(token: &Secret) -> Result<HeaderValue, ClientError> {
    let token = token.expose().trim();
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| ClientError::InvalidToken)?;
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(ClientError::InvalidToken);
    }
    value.set_sensitive(true);
    Ok(value)
}

fn build_http(endpoint: &Url) -> Result<reqwest::Client, reqwest::Error> {
    // A redirect would carry the token elsewhere, and no operation answers one.
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // Without redirects TLS cannot come up, so the system's certificates need no reading.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
