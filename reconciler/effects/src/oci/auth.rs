//! Credentials of registries, and where they would be sent.
//!
//! A registry answers 401 with a challenge. For `Basic` the credentials go to the registry itself; for
//! `Bearer` they go to the token service that the challenge names, which hands out a token for one
//! repository. Reference: the distribution project's token authentication specification.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::parser::ChallengeParser;
use oci_client::secrets::RegistryAuth;

use super::ImageRepo;

/// A user's credentials, bound to the registry (and the part of it) that they are for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    host: String,
    path_prefix: String,
    user: String,
    password: String,
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

    pub(super) fn to_auth(&self) -> RegistryAuth {
        RegistryAuth::Basic(self.user.clone(), self.password.clone())
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

/// The address of the token service that a `WWW-Authenticate` header (RFC 9110, 11.6.1) names, as it is
/// written; none if the registry wants no token.
pub(super) fn token_service(header: &str) -> Option<String> {
    let challenges = ChallengeParser::new(header).filter_map(Result::ok);
    let mut bearer = challenges.filter(|one| one.scheme.eq_ignore_ascii_case("bearer"));
    bearer.find_map(|one| {
        let mut parameters = one.params.iter();
        let realm = parameters.find(|(name, _)| name.eq_ignore_ascii_case("realm"));
        realm.map(|(_, value)| value.to_unescaped())
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let service = Some("https://auth.example.com/token");
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a:pull""#,
                service,
            ),
            (r#"bearer service=reg, realm="https://auth.example.com/token""#, service),
            (
                r#"Basic realm="x, bearer y", Bearer realm="https://auth.example.com/token""#,
                service,
            ),
            (r#"Basic realm="Registry""#, None),
            ("BASIC realm=x", None),
            ("Bearer service=reg", None),
            ("Digest x=y", None),
            ("", None),
        ] {
            assert_eq!(token_service(header).as_deref(), expected, "{header}");
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
