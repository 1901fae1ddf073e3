//! Names: repositories and digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::OciError;

const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub's API is.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A repository of a registry, without tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRepo {
    host: String,
    path: String,
}

/// A SHA-256 digest, `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl FromStr for ImageRepo {
    type Err = OciError;

    /// Reads `host[:port]/path`, or a Docker Hub name such as `nginx` or `org/app`.
    fn from_str(text: &str) -> Result<Self, OciError> {
        let invalid = |reason| OciError::InvalidName { name: text.to_owned(), reason };
        if text.contains("://") {
            return Err(invalid("leave out the scheme"));
        }
        let (host, path) = match text.split_once('/') {
            // The rule of Docker's reference grammar: a first part with a dot or a port, or `localhost`.
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            Some(_) | None => (DOCKER_HUB, text),
        };
        let host = host.to_ascii_lowercase();
        if url::Url::parse(&format!("http://{host}/")).is_err() || host.contains(['@', '?', '#']) {
            return Err(invalid("its host is not one"));
        }
        let official = host == DOCKER_HUB && !path.contains('/');
        let path = if official { format!("library/{path}") } else { path.to_owned() };
        let plain = |part: &str| {
            let inner = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            part.bytes().all(inner) && edge(part.bytes().next()) && edge(part.bytes().next_back())
        };
        if path.len() > 255 || !path.split('/').all(plain) {
            return Err(invalid(
                "a path has lower-case letters, digits, `.`, `_`, `-` between slashes, and no tag",
            ));
        }
        Ok(Self { host, path })
    }
}

impl fmt::Display for ImageRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl ImageRepo {
    /// The registry as people write it: host, and port if it has one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path below the registry.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host that serves the API.
    pub(super) fn api_host(&self) -> &str {
        if self.host == DOCKER_HUB { DOCKER_HUB_API } else { &self.host }
    }
}

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let hash = sha2::Sha256::digest(bytes);
        Self(hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix("sha256:") {
            Some(digits) if digits.len() == 64 && digits.bytes().all(hex) => {
                Ok(Self(text.to_owned()))
            }
            Some(_) | None => Err(OciError::InvalidName {
                name: text.to_owned(),
                reason: "a digest is `sha256:` and 64 hexadecimal digits",
            }),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = OciError;

    fn try_from(text: String) -> Result<Self, OciError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Checks a tag against the grammar of the specification, so that it cannot change the request's path.
pub(super) fn check_tag(tag: &str) -> Result<(), OciError> {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let inner = |byte: u8| first(byte) || byte == b'.' || byte == b'-';
    let valid = tag.len() <= 128 && tag.bytes().next().is_some_and(first) && tag.bytes().all(inner);
    if valid {
        return Ok(());
    }
    Err(OciError::InvalidName {
        name: tag.to_owned(),
        reason: "a tag has letters, digits, `_`, `.`, `-`, at most 128 of them",
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx"),
            ("org/app", "docker.io/org/app"),
            ("ghcr.io/org/app", "ghcr.io/org/app"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            ("REG.example.com/app", "reg.example.com/app"),
        ] {
            assert_eq!(text.parse::<ImageRepo>().unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "https://x.io/a",
            "x.io/a:1",
            "x.io/A",
            "x.io/a/../b",
            "x.io/a//b",
            "x.io/",
            "a?b",
            "u@x.io/a",
        ] {
            assert!(bad.parse::<ImageRepo>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_cannot_leave_their_place_in_the_path() {
        for good in ["v1", "_x", "1.0.0-rc.1", &"x".repeat(128)] {
            check_tag(good).unwrap();
        }
        for bad in ["", ".x", "-x", "a/b", "a?b", "a%2f", &"x".repeat(129)] {
            assert!(check_tag(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn digests_are_whole() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        assert!("sha256:00".parse::<Digest>().is_err());
    }
}
