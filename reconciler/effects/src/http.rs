//! Requests to other people's servers, within limits and an egress policy.
//!
//! Every request has a deadline and a cap on the answer. Names are resolved once, each address is checked
//! against the [`EgressPolicy`], and the connection goes to a checked address, so that a name that changes
//! its mind between check and use gains nothing. Redirects are followed by hand, at most five, each checked
//! anew; across origins every header that the caller set is dropped but a few harmless ones, and a step
//! from `https` down to `http` is refused. Proxies named in the environment are ignored, compressed
//! answers are not asked for.
//!
//! A status is not an error here, and nothing is ever sent again: attempts belong to the caller.

mod egress;
mod message;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use self::egress::{Blocked, GuardedResolver};
pub use self::egress::{EgressPolicy, HostRule, InvalidHostRule};
pub use self::message::{Request, Response};
pub use self::transfer::Incoming;

const REDIRECTS_MAX: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("lockstep/", env!("CARGO_PKG_VERSION"));

/// A client with one connection pool and one egress policy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    policy: Arc<EgressPolicy>,
}

/// Why there is no answer. URLs in messages carry no query: it may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL cannot be requested.
    #[error("URL `{url}` cannot be requested: {reason}")]
    InvalidUrl {
        /// The URL without its query.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header is not one that may be set.
    #[error("header `{name}` cannot be set: {reason}")]
    InvalidHeader {
        /// The header's name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The egress policy forbids the host.
    #[error("request to `{host}` is blocked: {reason}")]
    Blocked {
        /// The host.
        host: String,
        /// Which rule, and how to allow it.
        reason: String,
    },
    /// No connection was made; nothing was sent.
    #[error("cannot connect to `{host}`: {reason}; check the address and that the server is up")]
    Connect {
        /// The host.
        host: String,
        /// The innermost reason.
        reason: String,
        /// Whether an earlier hop of a redirect had been sent.
        after_redirect: bool,
    },
    /// The deadline passed.
    #[error(
        "no complete answer from `{host}` within {timeout:?}; raise the timeout or look at the server"
    )]
    Timeout {
        /// The host.
        host: String,
        /// The deadline of the request.
        timeout: Duration,
    },
    /// The caller cancelled.
    #[error("the request to `{host}` was cancelled")]
    Cancelled {
        /// The host.
        host: String,
    },
    /// The connection broke or the answer is no HTTP.
    #[error("the exchange with `{host}` broke off: {reason}")]
    Broken {
        /// The host.
        host: String,
        /// The innermost reason.
        reason: String,
    },
    /// The answer is larger than allowed.
    #[error(
        "the answer of `{host}` is larger than {limit_bytes} bytes; ask for less or raise the limit"
    )]
    TooLarge {
        /// The host.
        host: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// A redirect that is not followed.
    #[error("the redirect by `{host}` is not followed: {reason}")]
    Redirect {
        /// The host that redirected.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client cannot be set up.
    #[error("cannot set up the HTTP client: {reason}")]
    Setup {
        /// The reason.
        reason: String,
    },
}

impl HttpError {
    /// Whether the server may have seen the request: what a step that must not happen twice asks.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        match self {
            Self::InvalidUrl { .. } | Self::InvalidHeader { .. } | Self::Setup { .. } => false,
            Self::Connect { after_redirect, .. } => *after_redirect,
            // The policy stops the first hop before anything is sent; a later one is a `Redirect`.
            Self::Blocked { .. } => false,
            Self::Timeout { .. } | Self::Cancelled { .. } | Self::Broken { .. } => true,
            Self::TooLarge { .. } | Self::Redirect { .. } => true,
        }
    }

    /// Whether the same request may well succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::InvalidUrl { .. } | Self::InvalidHeader { .. } | Self::Blocked { .. } => false,
            Self::Cancelled { .. } | Self::TooLarge { .. } | Self::Redirect { .. } => false,
            Self::Setup { .. } => false,
        }
    }
}

impl HttpClient {
    /// A client under the given policy.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if the system's trust store cannot be read.
    pub fn new(policy: EgressPolicy) -> Result<Self, HttpError> {
        let policy = Arc::new(policy);
        let inner = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(USER_AGENT)
            .dns_resolver(GuardedResolver::new(policy.clone()))
            .build()
            .map_err(|error| HttpError::Setup { reason: innermost(&error) })?;
        Ok(Self { inner, policy })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`HttpError`]; a status of 400 and above is an answer.
    pub async fn send(
        &self,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Response, HttpError> {
        let (host, timeout) = (host_of(&request.url), request.timeout);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(HttpError::Cancelled { host }),
            () = tokio::time::sleep(timeout) => Err(HttpError::Timeout { host, timeout }),
            answer = self.follow(request) => answer,
        }
    }

    async fn follow(&self, request: Request) -> Result<Response, HttpError> {
        let max_body = request.max_body;
        let (url, answer) = self.reach(request).await?;
        read(&url, answer, max_body).await
    }

    /// Sends a request, and again where it is pointed on, up to an answer whose body is still to come.
    async fn reach(&self, request: Request) -> Result<(Url, reqwest::Response), HttpError> {
        let mut headers = request.header_map()?;
        let Request { mut method, mut url, mut body, held_here, .. } = request;
        for hop in 0..=REDIRECTS_MAX {
            self.check(&url)
                .map_err(|error| if hop == 0 { error } else { blocked_redirect(error) })?;
            let answer = self
                .inner
                .request(method.clone(), url.clone())
                .headers(headers.clone())
                .body(body.clone())
                .send()
                .await
                .map_err(|error| sending_error(&url, &error, hop > 0))?;
            let Some(target) = redirect_target(&url, &answer)? else {
                return Ok((url, answer));
            };
            if let Some(reason) = held_here {
                return Err(HttpError::Redirect { host: host_of(&url), reason });
            }
            if turns_into_get(answer.status(), &method) {
                method = Method::GET;
                body = bytes::Bytes::new();
                headers.remove(header::CONTENT_TYPE);
            }
            if target.origin() != url.origin() {
                headers = harmless(&headers);
            }
            url = target;
        }
        Err(HttpError::Redirect {
            host: host_of(&url),
            reason: "there were more than five in a row",
        })
    }

    fn check(&self, url: &Url) -> Result<(), HttpError> {
        let invalid = |reason| HttpError::InvalidUrl { url: shown(url), reason };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("only http and https are spoken"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds credentials; send them in a header"));
        }
        let host = url.host().ok_or_else(|| invalid("it has no host"))?;
        self.policy
            .check_host(&host)
            .map_err(|Blocked { host, reason }| HttpError::Blocked { host, reason })
    }
}

fn blocked_redirect(error: HttpError) -> HttpError {
    match error {
        HttpError::Blocked { host, .. } => {
            HttpError::Redirect { host, reason: "the egress policy blocks the target" }
        }
        HttpError::InvalidUrl { url, reason } => HttpError::Redirect { host: url, reason },
        other => other,
    }
}

/// Where an answer points on, if it does.
fn redirect_target(url: &Url, answer: &reqwest::Response) -> Result<Option<Url>, HttpError> {
    let refused = |reason| HttpError::Redirect { host: host_of(url), reason };
    let follows = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = answer.headers().get(header::LOCATION).filter(|_| follows) else {
        return Ok(None);
    };
    let location = location.to_str().map_err(|_| refused("its target is not readable"))?;
    let target = url.join(location).map_err(|_| refused("its target is not a URL"))?;
    if url.scheme() == "https" && target.scheme() != "https" {
        return Err(refused("it leads from https to an unencrypted address"));
    }
    Ok(Some(target))
}

/// RFC 9110, section 15.4: 303 always asks for GET, 301 and 302 after a POST in practice.
fn turns_into_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        303 => *method != Method::HEAD,
        301 | 302 => *method == Method::POST,
        _ => false,
    }
}

/// The headers that may cross to another origin: none that identifies anybody.
fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE];
    headers
        .iter()
        .filter(|(name, _)| kept.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

async fn read(
    url: &Url,
    mut answer: reqwest::Response,
    limit_bytes: usize,
) -> Result<Response, HttpError> {
    let too_large = || HttpError::TooLarge { host: host_of(url), limit_bytes };
    let announced = answer.content_length().and_then(|length| usize::try_from(length).ok());
    // The answer to HEAD announces a length and has no body: only what comes is counted there.
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(limit_bytes).min(64 << 10));
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| sending_error(url, &error, false))?
    {
        if chunk.len() > limit_bytes - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response::new(answer.status(), answer.headers(), body))
}

fn sending_error(url: &Url, error: &reqwest::Error, after_redirect: bool) -> HttpError {
    if let Some(Blocked { host, reason }) = find_source::<Blocked>(error) {
        let (host, reason) = (host.clone(), reason.clone());
        let blocked = HttpError::Blocked { host, reason };
        return if after_redirect { blocked_redirect(blocked) } else { blocked };
    }
    let (host, reason) = (host_of(url), innermost(error));
    if error.is_connect() {
        HttpError::Connect { host, reason, after_redirect }
    } else {
        HttpError::Broken { host, reason }
    }
}

fn find_source<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref())
}

/// The last link of the chain of sources: the one that names the cause.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map_or_else(String::new, ToString::to_string)
}

/// Host and port as in the URL.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    if shown.set_username("").and_then(|()| shown.set_password(None)).is_err() {
        return format!("{}:…", url.scheme());
    }
    shown.into()
}
