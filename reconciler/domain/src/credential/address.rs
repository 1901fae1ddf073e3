//! Where a credential is used: a server, or a part of one.
//!
//! Addresses are compared by scheme, user, host, port and whole segments of the path. What a server
//! could read as another path than we do (`..`, an escaped slash) is covered by nothing.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ADDRESS_MAX;

/// A server and the part of it, in the one form that is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Address {
    scheme: Scheme,
    /// Of ssh.
    user: Option<String>,
    /// In lower case, with its port unless that is the scheme's.
    host: String,
    /// The segments of the path.
    path: Vec<String>,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP in TLS.
    Https,
    /// HTTP in the clear.
    Http,
    /// SSH, also written `user@host:path`.
    Ssh,
    /// A registry.
    Oci,
}

/// Why a text is no address that a credential can be for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It names no server.
    #[error(
        "{text:?} names no server: write `https://host/path`, `ssh://user@host/path`, \
         `user@host:path` or `oci://host/path`"
    )]
    NoServer {
        /// The text.
        text: String,
    },
    /// It has a part that is compared with nothing.
    #[error("an address has no {part}: it is a server and the beginning of a path")]
    Part {
        /// Which.
        part: &'static str,
    },
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Https, Self::Http, Self::Ssh, Self::Oci];

    /// The scheme as addresses begin with it.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Https => "https://",
            Self::Http => "http://",
            Self::Ssh => "ssh://",
            Self::Oci => "oci://",
        }
    }

    fn port(self) -> Option<&'static str> {
        match self {
            Self::Https => Some("443"),
            Self::Http => Some("80"),
            Self::Ssh => Some("22"),
            Self::Oci => None,
        }
    }
}

impl Address {
    /// How the server is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// How much of an address it fixes: of several that cover one, the greatest is meant.
    #[must_use]
    pub fn length(&self) -> usize {
        self.path.len()
    }

    /// Whether an address is this one or below it.
    #[must_use]
    pub fn covers(&self, target: &str) -> bool {
        let target = target.split(['?', '#']).next().unwrap_or(target);
        target.parse::<Self>().is_ok_and(|target| {
            self.scheme == target.scheme
                && self.host == target.host
                && (self.user.is_none() || self.user == target.user)
                && target.path.starts_with(&self.path)
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let no_server = || AddressError::NoServer { text: shown(text) };
        let part = |part| AddressError::Part { part };
        if text.is_empty()
            || text.len() > ADDRESS_MAX
            || !text.chars().all(|c| c.is_ascii_graphic())
        {
            return Err(no_server());
        }
        if text.contains(['?', '#']) {
            return Err(part("query or fragment"));
        }
        let (scheme, authority, path) = split(text).ok_or_else(no_server)?;
        let (user, host) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some(_) if scheme != Scheme::Ssh => return Err(part("user name or password")),
            Some((user, _)) if user.contains(':') => return Err(part("user name or password")),
            Some((user, host)) => (Some(user.to_owned()), host),
        };
        let host = host.to_ascii_lowercase();
        let host = match scheme.port().and_then(|port| host.strip_suffix(port)?.strip_suffix(':')) {
            Some(name) => name.to_owned(),
            None => host,
        };
        let word = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        if host.is_empty() || host.starts_with(['-', ':', '.']) || !host.chars().all(word) {
            return Err(no_server());
        }
        // Of a repository's address, that ending means nothing.
        let path = if scheme == Scheme::Oci { path } else { without_git(path) };
        let path: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if path.iter().any(|part| is_ambiguous(part)) {
            return Err(part("`..` and no escapes in its path"));
        }
        Ok(Self { scheme, user, host, path })
    }
}

/// Scheme, authority and path of an address.
fn split(text: &str) -> Option<(Scheme, &str, &str)> {
    for scheme in Scheme::ALL {
        let prefix = scheme.prefix();
        let head = text.get(..prefix.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(prefix)) {
            let rest = &text[prefix.len()..];
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            return Some((scheme, authority, path));
        }
    }
    if text.contains("://") {
        return None;
    }
    let (authority, path) = text.split_once(':')?;
    let has_user = authority.split_once('@').is_some_and(|(user, _)| !user.is_empty());
    (has_user && !authority.contains('/')).then_some((Scheme::Ssh, authority, path))
}

fn without_git(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").unwrap_or(path)
}

/// Whether servers could read a part of a path as something else than itself.
fn is_ambiguous(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    matches!(lower.as_str(), "." | "..")
        || ["%2e", "%2f", "%5c", "\\"].iter().any(|escape| lower.contains(escape))
}

/// The text, unless it may hold a password.
fn shown(text: &str) -> String {
    if text.contains('@') && text.contains("://") { "…".to_owned() } else { text.to_owned() }
}

impl TryFrom<Cow<'_, str>> for Address {
    type Error = AddressError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme.prefix())?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        self.path.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn check(text: &str, expect: &str) {
        let found = match text.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expect), "{text:?} gives {found:?}, not {expect:?}");
        assert!(!found.contains("hunter2"), "{found}");
    }

    #[test]
    fn addresses_have_one_form() {
        check("https://Git.Example.com:443/Team/", "https://git.example.com/Team");
        check("HTTP://127.0.0.1:8080", "http://127.0.0.1:8080");
        check("git@git.example.com:team/app", "ssh://git@git.example.com/team/app");
        check("ssh://git@git.example.com:22/team", "ssh://git@git.example.com/team");
        check("oci://Registry.example.com:5000/shop", "oci://registry.example.com:5000/shop");
        check("https://[::1]:8443/x", "https://[::1]:8443/x");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in ["", "git.example.com", "https://", "https:///x", "ftp://x", "https://a b"] {
            check(text, &format!("{text:?} names no server"));
        }
        check("https://me:hunter2@example.com", "an address has no user name or password");
        check("ssh://me:hunter2@example.com", "an address has no user name or password");
        check("https://example.com/a?x=hunter2", "an address has no query or fragment");
        check("https://example.com/a/../b", "an address has no `..`");
    }

    #[test]
    fn an_address_covers_itself_and_what_is_below_and_nothing_else() {
        let covers =
            |address: &str, target: &str| address.parse::<Address>().unwrap().covers(target);
        for (address, target, expect) in [
            ("https://git.example.com/team", "https://git.example.com/team/app.git", true),
            ("https://git.example.com/team", "https://GIT.EXAMPLE.COM:443/team", true),
            ("https://git.example.com/team/app", "https://git.example.com/team/app.git", true),
            ("https://git.example.com/team", "https://git.example.com/teammate/app", false),
            ("https://git.example.com/team", "https://git.example.com/Team/app", false),
            ("https://git.example.com/team", "https://git.example.com/team/../other", false),
            ("https://git.example.com/team", "https://git.example.com/team/%2e%2e/other", false),
            ("https://git.example.com/team", "https://git.example.com/team%2fother", false),
            ("https://git.example.com/team", "https://git.example.com/team/x%2F..%2Fy", false),
            ("https://git.example.com", "https://git.example.com.evil.example/app", false),
            ("https://git.example.com", "https://git.example.com@evil.example/app", false),
            ("https://git.example.com", "https://git.example.com:8443/app", false),
            ("https://git.example.com", "http://git.example.com/app", false),
            ("https://api.example.com/v1", "https://api.example.com/v1/x?q=../y", true),
            ("git@git.example.com:team", "ssh://git@git.example.com/team/app", true),
            ("git@git.example.com:team", "other@git.example.com:team/app", false),
            ("ssh://git.example.com", "git@git.example.com:team/app", true),
            ("oci://registry.example.com", "oci://registry.example.com/shop/api", true),
            ("oci://registry.example.com", "oci://registry.example.com:5000/shop/api", false),
        ] {
            assert_eq!(covers(address, target), expect, "{address} and {target}");
        }
    }
}
