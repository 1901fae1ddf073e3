//! What came back, and what it means.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::error::ClientError;
use super::retry::Trouble;
use crate::problem::{Problem, ProblemCode};
use crate::{VERSION, VERSION_HEADER};

/// The longest answer that is read. A page of the largest objects is far below it.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no whole response.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The connection, or what comes over it.
    Failed(reqwest::Error),
    /// It is longer than any answer.
    Endless,
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(error)
    }
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    /// The daemon's version; none if something else answered.
    version: Option<String>,
    media_type: Option<String>,
    /// Where a redirect leads, without what could be secret in it.
    location: Option<String>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) async fn receive(mut response: reqwest::Response) -> Result<Self, Unanswered> {
        let headers = response.headers();
        let mut answer = Self {
            status: response.status(),
            version: text(headers, VERSION_HEADER),
            media_type: text(headers, CONTENT_TYPE.as_str()),
            location: text(headers, LOCATION.as_str()).as_deref().map(place),
            retry_after: text(headers, RETRY_AFTER.as_str())
                .and_then(|value| parse_retry_after(&value, Timestamp::now())),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await? {
            if answer.body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Unanswered::Endless);
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// Whether the status says that the same request may fare better later.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => Some(Trouble::Refused(self.retry_after)),
            StatusCode::SERVICE_UNAVAILABLE if self.is_refusal_of_the_daemon() => {
                Some(Trouble::Refused(self.retry_after))
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Some(Trouble::Unavailable(self.retry_after)),
            _ => None,
        }
    }

    /// Whether the daemon itself says that it cannot serve just now, and nothing before it: then it
    /// wrote nothing.
    fn is_refusal_of_the_daemon(&self) -> bool {
        self.version.is_some()
            && serde_json::from_slice::<Problem>(&self.body)
                .is_ok_and(|problem| problem.code == ProblemCode::Unavailable)
    }

    /// The answer itself, if the daemon accepted.
    pub(super) fn read<T: DeserializeOwned>(self, endpoint: &str) -> Result<T, ClientError> {
        let answer = self.check(endpoint)?;
        if answer.version.is_none() && !answer.is_json() {
            let (endpoint, answered) = (endpoint.to_owned(), answer.describe());
            return Err(ClientError::NotLockstep { endpoint, answered });
        }
        serde_json::from_slice(&answer.body).map_err(|error| answer.unreadable(endpoint, &error))
    }

    /// That the daemon accepted, where it answers nothing to read: a page of whatever else stands there
    /// is no such answer.
    pub(super) fn accepted(self, endpoint: &str) -> Result<(), ClientError> {
        let answer = self.check(endpoint)?;
        if answer.version.is_some() || answer.status == StatusCode::NO_CONTENT {
            return Ok(());
        }
        let (endpoint, answered) = (endpoint.to_owned(), answer.describe());
        Err(ClientError::NotLockstep { endpoint, answered })
    }

    /// The answer, if the daemon accepted; else why it did not.
    pub(super) fn check(self, endpoint: &str) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let endpoint = endpoint.to_owned();
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if self.status == StatusCode::UNAUTHORIZED => {
                Err(ClientError::Unauthorized { endpoint, problem: Box::new(problem) })
            }
            Ok(problem) => Err(self.refused(endpoint, problem)),
            Err(_) if self.trouble().is_some() => {
                let reason = format!("what stands before it answered {}", self.describe());
                Err(ClientError::Unreachable { endpoint, reason })
            }
            Err(_) => Err(ClientError::NotLockstep { endpoint, answered: self.describe() }),
        }
    }

    /// A refusal. A daemon of another version that cannot read the request says most by its version.
    fn refused(&self, endpoint: String, problem: Problem) -> ClientError {
        let unknown =
            matches!(problem.code, ProblemCode::Malformed | ProblemCode::MethodNotAllowed);
        match &self.version {
            Some(server) if unknown && server != VERSION => ClientError::VersionMismatch {
                endpoint,
                server: server.clone(),
                client: VERSION,
                reason: problem.to_string(),
            },
            _ => ClientError::Problem(Box::new(problem)),
        }
    }

    fn is_json(&self) -> bool {
        let media_type = self.media_type.as_deref().unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json") || media_type.ends_with("+json")
    }

    fn unreadable(&self, endpoint: &str, error: &serde_json::Error) -> ClientError {
        let endpoint = endpoint.to_owned();
        match &self.version {
            None => ClientError::NotLockstep { endpoint, answered: self.describe() },
            Some(server) if server != VERSION => ClientError::VersionMismatch {
                endpoint,
                server: server.clone(),
                client: VERSION,
                reason: error.to_string(),
            },
            Some(_) => ClientError::Unreadable { endpoint, reason: error.to_string() },
        }
    }

    fn describe(&self) -> String {
        if let Some(location) = &self.location {
            return format!("{} to {location}", self.status);
        }
        let media_type = self.media_type.as_deref().unwrap_or("no content type");
        format!("{} with {media_type}", self.status)
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Where a redirect leads: user, password, query and fragment are nobody's business.
fn place(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = &location[..end];
    match (location.split_once("://"), location.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://{}", &location[at + 1..]),
        _ => location.to_owned(),
    }
}

/// Reads seconds or an HTTP date (RFC 9110, section 10.2.3).
fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{parse_retry_after, place};

    #[test]
    fn a_place_has_no_secrets() {
        for (location, shown) in [
            ("https://sso.example.com/login?token=s3cret#x", "https://sso.example.com/login"),
            ("https://u:s3cret@example.com/a", "https://example.com/a"),
            ("/login", "/login"),
        ] {
            assert_eq!(place(location), shown);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let check = |value| parse_retry_after(value, now).map(|it| it.as_secs());
        assert_eq!(check("7"), Some(7));
        assert_eq!(check("Fri, 02 Jan 2026 03:04:15 GMT"), Some(10));
        assert_eq!(check("Fri, 02 Jan 2026 03:04:00 GMT"), Some(0));
        assert_eq!(check("soon"), None);
    }
}
