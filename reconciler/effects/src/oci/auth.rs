//! Credentials of registries, and the token dance.
//!
//! A registry answers 401 with a challenge. For `Basic` the credentials go to the registry itself; for
//! `Bearer` they go to the token service that the challenge names, which hands out a token for one
//! repository. Reference: the distribution project's token authentication specification.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::Url;

use super::ImageRepo;

/// A user's credentials, bound to the registry (and the part of it) that they are for.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    host: String,
    path_prefix: String,
    user: String,
    password: String,
}

/// What a 401 asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// The answer of a token service.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Credentials {
    /// Credentials for every repository that `scope` is a prefix of: `host`, or `host/path`.
    #[must_use]
    pub fn new(scope: &str, user: impl Into<String>, password: impl Into<String>) -> Self {
        let (host, path) = scope.split_once('/').unwrap_or((scope, ""));
        Self {
            host: host.to_ascii_lowercase(),
            path_prefix: path.trim_end_matches('/').to_owned(),
            user: user.into(),
            password: password.into(),
        }
    }

    /// Whether they are meant for the repository.
    #[must_use]
    pub fn covers(&self, repo: &ImageRepo) -> bool {
        let below = repo.path().strip_prefix(&self.path_prefix);
        let whole =
            |rest: &str| self.path_prefix.is_empty() || rest.is_empty() || rest.starts_with('/');
        self.host == repo.host() && below.is_some_and(whole)
    }

    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }

    /// The user, for the token service's `account` parameter.
    pub(super) fn user(&self) -> &str {
        &self.user
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("host", &self.host)
            .field("path_prefix", &self.path_prefix)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header (RFC 9110, 11.6.1); `Bearer` is preferred where both are offered.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let lower = header.to_ascii_lowercase();
        if let Some(at) = find_scheme(&lower, "bearer ") {
            let parameters = parameters(&header[at + "bearer ".len()..]);
            let realm = parameters.get("realm")?.parse().ok()?;
            return Some(Self::Bearer { realm, service: parameters.get("service").cloned() });
        }
        find_scheme(&lower, "basic").map(|_| Self::Basic)
    }
}

impl TokenAnswer {
    pub(super) fn token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

/// A scheme stands at the start, or after a comma outside of quotes.
fn find_scheme(header: &str, scheme: &str) -> Option<usize> {
    let mut quoted = false;
    let mut may_start = true;
    for (at, byte) in header.bytes().enumerate() {
        if may_start && !quoted && header[at..].starts_with(scheme) {
            return Some(at);
        }
        match byte {
            b'"' => quoted = !quoted,
            b',' => may_start = true,
            b' ' => {}
            _ => may_start = false,
        }
        if byte == b'"' {
            may_start = false;
        }
    }
    None
}

/// `name="value"` or `name=value`, separated by commas.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: "https://auth.example.com/token".parse().unwrap(),
                service: service.map(str::to_owned),
            })
        };
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a:pull""#,
                bearer(Some("reg")),
            ),
            (r#"bearer service=reg, realm="https://auth.example.com/token""#, bearer(Some("reg"))),
            (
                r#"Basic realm="x, bearer y", Bearer realm="https://auth.example.com/token""#,
                bearer(None),
            ),
            (r#"Basic realm="Registry""#, Some(Challenge::Basic)),
            ("BASIC realm=x", Some(Challenge::Basic)),
            (r#"Bearer realm="not a url""#, None),
            ("Bearer", None),
            ("Digest x", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn credentials_stay_with_their_registry() {
        let credentials = Credentials::new("Reg.io/team", "u", "p");
        let covers = |repo: &str| credentials.covers(&repo.parse().unwrap());
        assert!(covers("reg.io/team") && covers("reg.io/team/app"));
        assert!(
            !covers("reg.io/teams/app")
                && !covers("reg.io:5000/team/app")
                && !covers("other.io/team/app")
        );
        assert!(Credentials::new("reg.io", "u", "p").covers(&"reg.io/any".parse().unwrap()));
        assert!(!format!("{credentials:?}").contains("\"p\""));
    }
}
