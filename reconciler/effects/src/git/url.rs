//! Where a repository is.
//!
//! Refuses URLs that carry a password, a query or a fragment: URLs are shown in errors, logs and
//! the API, so nothing secret may stand in one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

/// A repository's address: `https://`, `http://`, `ssh://`, `user@host:path`, `file://` or an
/// absolute path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoUrl(Arc<Address>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Address {
    text: String,
    location: Location,
}

/// Text that is not an address of a repository. Never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoUrlError {
    /// A user name or password in an http(s) URL, or a password in an ssh URL.
    #[error("a repository URL must not contain credentials; put them into a secret")]
    Credentials,
    /// `?…` or `#…`.
    #[error("a repository URL must not have a query or a fragment")]
    Query,
    /// A scheme that is not spoken here.
    #[error("repository URL scheme {0:?} is not supported; use https, http or ssh")]
    Scheme(String),
    /// Anything else.
    #[error("not a repository URL: {0}")]
    Invalid(&'static str),
}

/// How the repository is reached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Location {
    Http(Url),
    Ssh(SshAddress),
    Local(PathBuf),
}

/// The parts of an ssh address; none can be read as an option by the `ssh` program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SshAddress {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl RepoUrl {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Two addresses with the same key are the same repository: a trailing `/` and `.git` and the
    /// case of the host do not count, the case of the path does.
    #[must_use]
    pub fn key(&self) -> String {
        fn trimmed(path: &str) -> &str {
            let path = path.trim_end_matches('/');
            path.strip_suffix(".git").unwrap_or(path)
        }
        match &self.0.location {
            Location::Http(url) => trimmed(url.as_str()).to_owned(),
            Location::Ssh(ssh) => {
                let user = ssh.user.as_deref().unwrap_or_default();
                let port = ssh.port.unwrap_or(22);
                format!("ssh://{user}@{}:{port}/{}", ssh.host, trimmed(&ssh.path))
            }
            Location::Local(path) => format!("file://{}", trimmed(&path.to_string_lossy())),
        }
    }

    /// Where people find the repository, as far as its address says: `https://HOST/PATH` without `.git`,
    /// or `http://` where the repository is fetched so; `None` for one on this machine.
    #[must_use]
    pub fn web(&self) -> Option<Url> {
        let path = |path: &str| {
            let path = path.trim_matches('/');
            path.strip_suffix(".git").unwrap_or(path).to_owned()
        };
        match &self.0.location {
            Location::Http(url) => {
                let mut web = url.clone();
                web.set_path(&path(url.path()));
                Some(web)
            }
            Location::Ssh(ssh) => {
                Url::parse(&format!("https://{}/{}", ssh.host, path(&ssh.path))).ok()
            }
            Location::Local(_) => None,
        }
    }

    pub(super) fn location(&self) -> &Location {
        &self.0.location
    }
}

impl Location {
    fn parse(text: &str) -> Result<Self, RepoUrlError> {
        if text.is_empty() || text.len() > 2048 {
            return Err(RepoUrlError::Invalid("it is empty or longer than 2048 bytes"));
        }
        if text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(RepoUrlError::Invalid("it starts with `-` or contains white space"));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Self::local(path);
        }
        if text.starts_with('/') {
            return Self::local(text);
        }
        if text.contains("://") { Self::with_scheme(text) } else { Self::scp(text) }
    }

    fn local(path: &str) -> Result<Self, RepoUrlError> {
        if Path::new(path).is_absolute() {
            Ok(Self::Local(PathBuf::from(path)))
        } else {
            Err(RepoUrlError::Invalid("a local path must be absolute"))
        }
    }

    fn with_scheme(text: &str) -> Result<Self, RepoUrlError> {
        let url = Url::parse(text).map_err(|_| RepoUrlError::Invalid("it cannot be parsed"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RepoUrlError::Query);
        }
        if url.password().is_some() {
            return Err(RepoUrlError::Credentials);
        }
        match url.scheme() {
            "http" | "https" if !url.username().is_empty() => Err(RepoUrlError::Credentials),
            "http" | "https" => Ok(Self::Http(url)),
            "ssh" | "git+ssh" => {
                let user = Some(url.username().to_owned()).filter(|user| !user.is_empty());
                let host = url.host_str().unwrap_or_default();
                SshAddress::new(user, host, url.port(), url.path()).map(Self::Ssh)
            }
            other => Err(RepoUrlError::Scheme(other.to_owned())),
        }
    }

    /// `[user@]host:path`, as scp writes it; the path is relative to the user's home.
    fn scp(text: &str) -> Result<Self, RepoUrlError> {
        let invalid = RepoUrlError::Invalid("neither a URL, nor `user@host:path`, nor a path");
        let (authority, path) = text.split_once(':').ok_or(invalid)?;
        let (user, host) = match authority.split_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            // `user:password@host`: what was cut off as the path holds the rest.
            None if path.split('/').next().is_some_and(|first| first.contains('@')) => {
                return Err(RepoUrlError::Credentials);
            }
            None => (None, authority),
        };
        SshAddress::new(user, host, None, path).map(Self::Ssh)
    }
}

impl SshAddress {
    fn new(
        user: Option<String>,
        host: &str,
        port: Option<u16>,
        path: &str,
    ) -> Result<Self, RepoUrlError> {
        let word = |text: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || "._-[]:".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(inner)
        };
        if !word(host) || user.as_deref().is_some_and(|user| !word(user)) {
            return Err(RepoUrlError::Invalid("user or host has unusual characters"));
        }
        if path.trim_matches('/').is_empty() || path.contains('%') || path.starts_with('-') {
            return Err(RepoUrlError::Invalid("the path is empty, escaped or starts with `-`"));
        }
        Ok(Self { user, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }
}

impl FromStr for RepoUrl {
    type Err = RepoUrlError;

    fn from_str(text: &str) -> Result<Self, RepoUrlError> {
        let location = Location::parse(text)?;
        Ok(Self(Arc::new(Address { text: text.to_owned(), location })))
    }
}

impl TryFrom<&str> for RepoUrl {
    type Error = RepoUrlError;

    fn try_from(text: &str) -> Result<Self, RepoUrlError> {
        text.parse()
    }
}

impl TryFrom<String> for RepoUrl {
    type Error = RepoUrlError;

    fn try_from(text: String) -> Result<Self, RepoUrlError> {
        text.parse()
    }
}

impl From<RepoUrl> for String {
    fn from(url: RepoUrl) -> Self {
        url.as_str().to_owned()
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<&str, &str>) {
        let got = text.parse::<RepoUrl>().map(|url| url.key()).map_err(|e| e.to_string());
        match want {
            Ok(key) => assert_eq!(got.as_deref(), Ok(key), "{text}"),
            Err(part) => {
                let message = got.expect_err(text);
                assert!(message.contains(part), "{text}: {message}");
                assert!(!message.contains("hunter2"), "{text}: {message}");
            }
        }
    }

    #[test]
    fn addresses() {
        check("https://Git.Example.com/Team/App.git", Ok("https://git.example.com/Team/App"));
        check("https://git.example.com/Team/App/", Ok("https://git.example.com/Team/App"));
        check("http://127.0.0.1:8080/a", Ok("http://127.0.0.1:8080/a"));
        check("git@example.com:team/app.git", Ok("ssh://git@example.com:22/team/app"));
        check("ssh://git@example.com:2222/app", Ok("ssh://git@example.com:2222//app"));
        check("/srv/git/app.git", Ok("file:///srv/git/app"));
        check("file:///srv/git/app.git/", Ok("file:///srv/git/app"));
    }

    #[test]
    fn people_find_it_on_the_web() {
        let check = |text: &str, web: Option<&str>| {
            let url: RepoUrl = text.parse().expect(text);
            assert_eq!(url.web().as_ref().map(Url::as_str), web, "{text}");
        };
        check("https://example.com:8443/Team/App.git/", Some("https://example.com:8443/Team/App"));
        check("http://127.0.0.1:80/a/b", Some("http://127.0.0.1/a/b"));
        check("git@example.com:team/app.git", Some("https://example.com/team/app"));
        check("ssh://git@example.com:2222/team/app", Some("https://example.com/team/app"));
        check("/srv/git/app.git", None);
    }

    #[test]
    fn refused_addresses() {
        check("https://me:hunter2@example.com/a", Err("credentials"));
        check("https://hunter2@example.com/a", Err("credentials"));
        check("ssh://git:hunter2@example.com/a", Err("credentials"));
        check("git:hunter2@example.com:a", Err("credentials"));
        check("https://example.com/a?token=hunter2", Err("query"));
        check("ext::sh -c hunter2", Err("white space"));
        check("ftp://example.com/a", Err("\"ftp\""));
        check("ssh://-oProxyCommand=x/a", Err("unusual"));
        check("-x", Err("starts with"));
        check("", Err("empty"));
        check("relative/path", Err("neither"));
        check("file://relative", Err("absolute"));
    }
}
