//! Repository addresses in the one form that is compared.
//!
//! Two subscriptions, a webhook and a credential mean the same repository when their normalised
//! addresses are equal. Only what cannot matter is removed: the host is case-insensitive, the path
//! is not (forges and registries with case-sensitive paths exist), and a port always stays.
//! What is not understood is returned as it is: a wrong guess would join two repositories.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of repository an address names.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryKind {
    /// A git repository: `https://`, `ssh://`, `git://` or the scp form `user@host:path`.
    Git,
    /// A container image repository without tag or digest.
    Image,
    /// A Helm chart: `oci://` or the index address of a classic repository.
    Chart,
}

/// The hosts that all mean Docker Hub.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Brings a repository address to the form used for comparison; what cannot be normalised is
/// returned as it is.
#[must_use]
pub fn normalize(kind: RepositoryKind, url: &str) -> String {
    let trimmed = url.trim_matches(is_blank);
    let normalized = match kind {
        RepositoryKind::Git => git(trimmed),
        RepositoryKind::Image => image(trimmed),
        RepositoryKind::Chart => chart(trimmed),
    };
    normalized.unwrap_or_else(|| url.to_owned())
}

/// Characters that people paste around an address without seeing them.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
}

fn git(url: &str) -> Option<String> {
    if url.is_empty() || url.contains(is_blank) || url.contains(['?', '#']) {
        return None;
    }
    let Some((scheme, rest)) = url.split_once("://") else { return scp(url) };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    let host = host_and_port(host)?;
    let path = git_path(path);
    match scheme.as_str() {
        "http" | "https" | "git" => Some(format!("{scheme}://{host}{path}")),
        "ssh" => {
            // The user is part of how a forge routes a connection; a password never is.
            let user = user.map(|user| user.split_once(':').map_or(user, |(name, _)| name));
            let user = user.map(|name| format!("{name}@")).unwrap_or_default();
            Some(format!("ssh://{user}{host}{path}"))
        }
        _ => None,
    }
}

/// `[user@]host[:path]`, as git reads an address without a scheme; a local path is none.
fn scp(url: &str) -> Option<String> {
    let (authority, path) = url.split_once(':').unwrap_or((url, ""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    let host = host_and_port(host)?;
    if user.is_some_and(|user| user.is_empty() || user.contains('/')) {
        return None;
    }
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let path = git_path(path.trim_start_matches('/'));
    let slash = if path.is_empty() { "" } else { "/" };
    Some(format!("ssh://{user}{host}{slash}{path}"))
}

fn git_path(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").map_or(path, |path| path.trim_end_matches('/'))
}

/// The host in lower case with its port, or `None` if it cannot be one.
fn host_and_port(text: &str) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '[' | ']' | '%');
    let valid = !host.is_empty()
        && host != "."
        && host != ".."
        && host.chars().all(|c| if bracketed { address(c) } else { plain(c) })
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    valid.then(|| text.to_lowercase())
}

fn image(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/@[]".contains(c);
    if url.is_empty() || url.contains("//") || !url.chars().all(allowed) {
        return None;
    }
    let (host, path) = match url.split_once('/') {
        Some((host, path)) if is_registry(host) => (host.to_ascii_lowercase(), path),
        Some(_) | None => (String::new(), url),
    };
    if host.is_empty() || DOCKER_HUB.contains(&host.as_str()) {
        return Some(path.strip_prefix("library/").unwrap_or(path).to_owned());
    }
    Some(format!("{host}/{path}"))
}

/// The first segment of an image name is a registry if it has a dot or a port or is `localhost`
/// (the rule of the distribution reference grammar).
fn is_registry(segment: &str) -> bool {
    segment.contains(['.', ':']) || segment.eq_ignore_ascii_case("localhost")
}

fn chart(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return image(url) };
    match scheme.to_ascii_lowercase().as_str() {
        "oci" => image(rest),
        scheme @ ("http" | "https") => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host_and_port(host)?;
            Some(format!("{scheme}://{host}{}", path.trim_end_matches('/')))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(kind: RepositoryKind, url: &str, expected: &str) {
        assert_eq!(normalize(kind, url), expected, "{kind:?} {url}");
    }

    #[test]
    fn git_addresses() {
        let git = |url, expected| check(RepositoryKind::Git, url, expected);
        git("ssh://git:secret@Host:2222/a.git", "ssh://git@host:2222/a");
        git("HTTPS://host/A/.git", "https://host/A");
        git("git@host:/abs/path.git", "ssh://git@host/abs/path");
        git("https://[::1]:8443/a/", "https://[::1]:8443/a");
        git("/srv/git/shop.git", "/srv/git/shop.git");
        git("file:///srv/git/shop.git", "file:///srv/git/shop.git");
        git("https://host/a?ref=main", "https://host/a?ref=main");
        git("https://host:port/a", "https://host:port/a");
        git("A/@B", "A/@B");
        git("", "");
    }

    #[test]
    fn images_and_charts() {
        check(RepositoryKind::Image, "LOCALHOST:5000/a", "localhost:5000/a");
        check(RepositoryKind::Image, "https://ghcr.io/a", "https://ghcr.io/a");
        check(RepositoryKind::Image, "quay.io/library/a", "quay.io/library/a");
        check(
            RepositoryKind::Chart,
            "https://Charts.Example.com/Stable/",
            "https://charts.example.com/Stable",
        );
        check(RepositoryKind::Chart, "s3://bucket/Charts", "s3://bucket/Charts");
    }

    proptest! {
        #[test]
        fn is_a_fixed_point(url in "(https://|ssh://|oci://|)[a-zA-Z0-9@:./_-]{0,30}") {
            for kind in [RepositoryKind::Git, RepositoryKind::Image, RepositoryKind::Chart] {
                let once = normalize(kind, &url);
                let twice = normalize(kind, &once);
                // `library/library/x` names a repository of the organisation `library`.
                prop_assert!(twice == once || once.contains("library/"), "{url} -> {once} -> {twice}");
            }
        }
    }
}
