//! Instant queries to a Prometheus server, for gates that look at measurements.
//!
//! Reference: the HTTP API of Prometheus, `/api/v1/query`. It only reads, so a query may be repeated; fix
//! its instant to get the same answer again.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::http::{HttpClient, HttpError, Request};

/// Larger answers are refused: a gate compares a few numbers.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// A Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    http: HttpClient,
    base: Url,
    headers: Vec<(String, String)>,
}

/// The value of an expression at one instant.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryResult {
    /// One number. NaN and the infinities are numbers.
    Scalar(f64),
    /// One number per series; none if nothing matched.
    Vector(Vec<Sample>),
    /// A string literal.
    Text(String),
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Its value; may be NaN or infinite.
    pub value: f64,
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// Prometheus refuses the expression or cannot evaluate it.
    #[error("prometheus at `{server}` refuses the query ({kind}): {message}")]
    Refused {
        /// The server.
        server: String,
        /// Its `errorType`, such as `bad_data` or `execution`.
        kind: String,
        /// Its explanation.
        message: String,
    },
    /// The server cannot be reached or does not answer in time.
    #[error("prometheus at `{server}` cannot be asked")]
    Unreachable {
        /// The server.
        server: String,
        /// The reason.
        #[source]
        source: HttpError,
    },
    /// It answers, but not now.
    #[error(
        "prometheus at `{server}` answers {status}; it is overloaded, starting, or behind a failing proxy"
    )]
    Unavailable {
        /// The server.
        server: String,
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The credentials are missing or not accepted.
    #[error("prometheus at `{server}` answers {status}; check the credentials configured for it")]
    Unauthorized {
        /// The server.
        server: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not that of a Prometheus server.
    #[error(
        "`{server}` does not answer like prometheus ({reason}); check that the URL is that of its API"
    )]
    Malformed {
        /// The server.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The expression gives a range of values.
    #[error(
        "the query gives a range of values per series; wrap it in a function such as `rate` or `last_over_time`"
    )]
    Range,
}

impl MetricError {
    /// Whether the same query may well succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_retryable(),
            Self::Unavailable { .. } => true,
            // A query that ran into the server's own limit of time may not next time.
            Self::Refused { kind, .. } => kind == "timeout",
            Self::Unauthorized { .. } | Self::Malformed { .. } | Self::Range => false,
        }
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Refused { .. } | Self::Unreachable { .. } | Self::Unauthorized { .. } => None,
            Self::Malformed { .. } | Self::Range => None,
        }
    }
}

impl Prometheus {
    /// A server by its base URL, to which `/api/v1/query` is added.
    #[must_use]
    pub fn new(http: HttpClient, base: Url) -> Self {
        Self { http, base, headers: Vec::new() }
    }

    /// Sends a header with every query, such as `Authorization` or a tenant's id.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Evaluates `query` at `at`, or at the server's now.
    ///
    /// # Errors
    /// [`MetricError`].
    pub async fn instant(
        &self,
        query: &str,
        at: Option<jiff::Timestamp>,
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> Result<QueryResult, MetricError> {
        let server = self.server();
        let answer = self.http.send(self.request(query, at, timeout), cancel).await;
        let answer = answer.map_err(|source| MetricError::Unreachable { server, source })?;
        let server = self.server();
        match answer.status {
            401 | 403 => return Err(MetricError::Unauthorized { server, status: answer.status }),
            429 | 500 | 502 | 504 => return Err(self.unavailable(&answer)),
            _ => {}
        }
        let reply: Reply = match serde_json::from_slice(&answer.body) {
            Ok(reply) => reply,
            Err(_) if answer.status >= 500 => return Err(self.unavailable(&answer)),
            Err(error) => {
                let reason = format!("status {}: {error}", answer.status);
                return Err(MetricError::Malformed { server, reason });
            }
        };
        match reply {
            Reply::Success { data } => data.into_result(&server),
            Reply::Error { error_type, error } => {
                Err(MetricError::Refused { server, kind: error_type, message: error })
            }
        }
    }

    fn request(&self, query: &str, at: Option<jiff::Timestamp>, timeout: Duration) -> Request {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/query", self.base.path().trim_end_matches('/')));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", query);
        form.append_pair("timeout", &format!("{}ms", timeout.as_millis()));
        if let Some(at) = at {
            form.append_pair("time", &at.to_string());
        }
        let mut request = Request::new(Method::POST, url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish())
            .timeout(timeout)
            .max_body(ANSWER_MAX_BYTES);
        request.headers.extend(self.headers.iter().cloned());
        request
    }

    fn unavailable(&self, answer: &crate::http::Response) -> MetricError {
        MetricError::Unavailable {
            server: self.server(),
            status: answer.status,
            retry_after: answer.retry_after(jiff::Timestamp::now()),
        }
    }

    fn server(&self) -> String {
        format!("{}{}", self.base.authority(), self.base.path().trim_end_matches('/'))
    }
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Reply {
    Success {
        data: Data,
    },
    Error {
        #[serde(rename = "errorType")]
        error_type: String,
        error: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Point),
    Vector(Vec<Series>),
    String(Point),
    Matrix(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// Absent for native histograms.
    value: Option<Point>,
}

/// A point in time and the value as text: JSON has no NaN.
#[derive(Deserialize)]
struct Point(#[expect(dead_code, reason = "the instant is part of the shape")] f64, String);

impl Data {
    fn into_result(self, server: &str) -> Result<QueryResult, MetricError> {
        let malformed = |reason| MetricError::Malformed { server: server.to_owned(), reason };
        let number = |point: Point| {
            parse_number(&point.1).ok_or_else(|| malformed(format!("`{}` is no number", point.1)))
        };
        match self {
            Self::Scalar(point) => Ok(QueryResult::Scalar(number(point)?)),
            Self::String(point) => Ok(QueryResult::Text(point.1)),
            Self::Matrix(_) => Err(MetricError::Range),
            Self::Vector(series) => {
                let samples = series.into_iter().map(|series| {
                    let point = series.value.ok_or_else(|| {
                        malformed(
                            "a series is a native histogram; take a quantile of it".to_owned(),
                        )
                    })?;
                    Ok(Sample { labels: series.metric, value: number(point)? })
                });
                samples.collect::<Result<_, _>>().map(QueryResult::Vector)
            }
        }
    }
}

/// Go's formatting: digits, `NaN`, `+Inf`, `-Inf`.
fn parse_number(text: &str) -> Option<f64> {
    text.parse().ok()
}
