//! What is sent and what comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::HttpError;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const MAX_BODY_DEFAULT: usize = 2 << 20;
/// Headers that the connection itself owns.
const RESERVED: [&str; 6] =
    ["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];

/// A request with its limits.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL: http or https, without credentials.
    pub url: Url,
    /// Headers in order. An `Idempotency-Key` is a header like any other.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Bytes,
    /// From the start to the last byte of the answer, redirects included. Default 10 s.
    pub timeout: Duration,
    /// The largest body that is accepted, in bytes. Default 2 MiB.
    pub max_body: usize,
    /// Why it is for this address alone, if it is: a redirect to anywhere else is not followed.
    pub held_here: Option<&'static str>,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: TIMEOUT_DEFAULT,
            max_body: MAX_BODY_DEFAULT,
            held_here: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Keeps it from being sent on to another address, for it holds a secret.
    #[must_use]
    pub fn held_here(mut self) -> Self {
        self.held_here = Some("the request holds a secret, which is for this address alone");
        self
    }

    /// Keeps it from being sent on to another address, which was not asked.
    #[must_use]
    pub fn not_sent_on(mut self) -> Self {
        self.held_here = Some("only this address was asked");
        self
    }

    /// Sets the deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the largest accepted body.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, HttpError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let invalid = |reason| HttpError::InvalidHeader { name: name.clone(), reason };
            let key: HeaderName = name
                .parse()
                .map_err(|_| invalid("the name has characters that names may not have"))?;
            if RESERVED.contains(&key.as_str()) {
                return Err(invalid("the connection sets it"));
            }
            let mut value: HeaderValue =
                value.parse().map_err(|_| invalid("the value has control characters"))?;
            value.set_sensitive(true);
            map.append(key, value);
        }
        Ok(map)
    }
}

/// Shows names of headers and the size of the body: values may be secrets.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers by lower-case name; several of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let mut joined: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            joined
                .entry(name.as_str().to_owned())
                .and_modify(|before| {
                    before.push_str(", ");
                    before.push_str(&value);
                })
                .or_insert_with(|| value.clone().into_owned());
        }
        Self { status: status.as_u16(), headers: joined, body }
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
    }

    /// How long the server asks to wait: `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3),
    /// counted from `now`.
    #[must_use]
    pub fn retry_after(&self, now: jiff::Timestamp) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }
}
