//! References of images as people write them: `registry.example.com/shop/api:1.4.2@sha256:…`.

use std::str::FromStr;

/// A reference of an image, taken apart. Nothing is added that was not written, except the registry
/// and the `library/` of Docker Hub's short names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The host, with its port: `registry.example.com:5000`; `docker.io` where none is written.
    pub registry: String,
    /// The path below it: `shop/api`.
    pub repository: String,
    /// The tag, if one is written.
    pub tag: Option<String>,
    /// The digest, if one is written: `sha256:…`.
    pub digest: Option<String>,
}

/// Why a text is no reference of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the reference of an image: {reason}")]
pub struct ImageReferenceError {
    /// What was given.
    pub text: String,
    /// What is wrong, and what would be right.
    pub reason: &'static str,
}

const HUB: &str = "docker.io";
/// The most characters of a tag.
const TAG_MAX: usize = 128;

impl FromStr for ImageReference {
    type Err = ImageReferenceError;

    fn from_str(text: &str) -> Result<Self, ImageReferenceError> {
        parse(text).map_err(|reason| ImageReferenceError { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<ImageReference, &'static str> {
    if text.contains("://") {
        return Err("leave the scheme out: write HOST/PATH:TAG");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) if is_digest(digest) => (name, Some(digest.to_owned())),
        Some(_) => return Err("what follows @ is a digest: sha256: and 64 hexadecimal digits"),
        None => (text, None),
    };
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[last..].split_once(':') {
        Some((path, tag)) if is_tag(tag) => (&name[..last + path.len()], Some(tag.to_owned())),
        Some(_) => return Err("a tag has up to 128 letters, digits, '_', '.' and '-'"),
        None => (name, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        Some(_) | None => (HUB, name),
    };
    let well_formed = |part: &str| {
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(alphanumeric)
            && part.ends_with(alphanumeric)
            && part.chars().all(|c| alphanumeric(c) || "._-".contains(c))
    };
    if !path.split('/').all(well_formed) {
        return Err("a path has parts of lower-case letters, digits, '.', '_' and '-'");
    }
    let is_short = registry == HUB && !path.contains('/');
    let repository = if is_short { format!("library/{path}") } else { path.to_owned() };
    Ok(ImageReference { registry: registry.to_owned(), repository, tag, digest })
}

/// A first part is a host if it could not be part of a path, as everybody reads it.
fn is_host(part: &str) -> bool {
    let (host, port) = part.split_once(':').unwrap_or((part, ""));
    let well_formed = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
        && port.chars().all(|c| c.is_ascii_digit());
    well_formed && (part.contains(['.', ':']) || part == "localhost")
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_MAX
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_digest(digest: &str) -> bool {
    let hex = |digits: &str, length: usize| {
        digits.len() == length && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    };
    match digest.split_once(':') {
        Some(("sha256", digits)) => hex(digits, 64),
        Some(("sha512", digits)) => hex(digits, 128),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let found = match text.parse::<ImageReference>() {
            Ok(ImageReference { registry, repository, tag, digest }) => {
                format!("{registry} {repository} {tag:?} {}", digest.is_some())
            }
            Err(error) => error.reason.to_owned(),
        };
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn references_are_taken_apart() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        check("nginx", "docker.io library/nginx None false");
        check("shop/api:1.4", "docker.io shop/api Some(\"1.4\") false");
        check("localhost/api", "localhost api None false");
        check("127.0.0.1:5000/shop/api:v1", "127.0.0.1:5000 shop/api Some(\"v1\") false");
        check(&format!("r.example/a/b:1@{digest}"), "r.example a/b Some(\"1\") true");
        check(&format!("r.example/a@{digest}"), "r.example a None true");
    }

    #[test]
    fn what_is_none_says_why() {
        const PATH: &str = "a path has parts of lower-case letters, digits, '.', '_' and '-'";
        const TAG: &str = "a tag has up to 128 letters, digits, '_', '.' and '-'";
        check("", PATH);
        check("r.example/API", PATH);
        check("r.example//api", PATH);
        check("api:", TAG);
        check("api:a:b", TAG);
        check("https://r.example/api", "leave the scheme out: write HOST/PATH:TAG");
        check("api@sha256:00", "what follows @ is a digest: sha256: and 64 hexadecimal digits");
        check("é/api", PATH);
    }
}
