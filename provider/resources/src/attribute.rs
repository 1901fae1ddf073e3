//! Kinds of attributes: what the text or number is, how it is checked, and what the pages say.
//!
//! Every check is made at `validate`, without a daemon, by the reconciler's own parsers.

mod time;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use provider_protocol::cty::{Type, Value};
use provider_protocol::schema::Attribute;
use reconciler_domain::expression::{Expression, Names};
use reconciler_domain::filter::{PathFilter, TagFilter};
use reconciler_domain::glob::Glob;
use reconciler_domain::infra::AddressGlob;
use reconciler_domain::template::Template;
use reconciler_domain::version::Constraint;
use url::Url;

use crate::words::{did_you_mean, sentence};

pub(crate) use time::{instant, local_time, span, span_map, zone};

/// Text that a check accepts.
pub(crate) fn checked(
    check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
) -> Attribute {
    Attribute::string().validate(move |value| value.as_str().map_or(Ok(()), &check))
}

/// Text that a type reads.
pub(crate) fn parsed<T: FromStr<Err: Display> + 'static>() -> Attribute {
    checked(parses::<T>)
}

fn parses<T: FromStr<Err: Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| sentence(&error.to_string()))
}

/// Text that is not empty.
pub(crate) fn filled() -> Attribute {
    checked(
        |text| {
            if text.trim().is_empty() { Err("It must not be empty.".to_owned()) } else { Ok(()) }
        },
    )
}

/// One of some words.
pub(crate) fn word(words: Vec<&'static str>) -> Attribute {
    checked(move |text| one_of(text, &words))
}

/// A list of some words.
pub(crate) fn word_list(words: Vec<&'static str>) -> Attribute {
    list_of(move |text| one_of(text, &words))
}

/// The words of an enumeration of the API.
pub(crate) fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(word).collect()
}

fn one_of(text: &str, words: &[&'static str]) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is none of the allowed words. {}",
        did_you_mean(text, words.iter().copied())
    ))
}

/// A range of versions. Two texts of the same range are no change.
pub(crate) fn version_range() -> Attribute {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Constraint>().ok());
    parsed::<Constraint>()
        .equal(move |left, right| parse(left).is_some() && parse(left) == parse(right))
}

/// A list of texts, each accepted by a check. Their order means nothing, and the daemon need not
/// keep it: the same texts in another order are no change.
pub(crate) fn list_of(
    check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
) -> Attribute {
    Attribute::list(Type::String)
        .validate(move |value| {
            let mut problems = Vec::new();
            for (index, element) in value.as_list().unwrap_or_default().iter().enumerate() {
                let checked =
                    element.as_str().map_or(Err("It must not be null.".to_owned()), &check);
                if let Err(problem) = checked {
                    problems.push(format!("Element {index}: {problem}"));
                }
            }
            if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
        })
        .equal(|left, right| distinct(left).is_some() && distinct(left) == distinct(right))
}

/// The texts of a list; none if it is no list of known texts.
fn distinct(list: &Value) -> Option<BTreeSet<&str>> {
    list.as_list()?.iter().map(Value::as_str).collect()
}

/// A list of names.
pub(crate) fn name_list<T: FromStr<Err: Display> + 'static>() -> Attribute {
    list_of(parses::<T>)
}

/// A list of texts that are not empty.
pub(crate) fn filled_list() -> Attribute {
    list_of(
        |text| {
            if text.trim().is_empty() { Err("It must not be empty.".to_owned()) } else { Ok(()) }
        },
    )
}

/// Patterns of paths: a prefix, or after `glob:` or `regex:` a pattern.
pub(crate) fn path_patterns() -> Attribute {
    list_of(|text| {
        let filter = PathFilter::new(&[text.to_owned()], &[]);
        filter.map(drop).map_err(|error| format!("`{text}`: {}", sentence(&error.reason)))
    })
}

/// Regular expressions of tags.
pub(crate) fn tag_patterns() -> Attribute {
    list_of(|text| {
        let filter = TagFilter::new(&[text.to_owned()], &[]);
        filter.map(drop).map_err(|error| format!("`{text}`: {}", sentence(&error.reason)))
    })
}

/// Globs of stage names.
pub(crate) fn stage_globs() -> Attribute {
    list_of(|text| Glob::of_names(text).map(drop).map_err(|error| sentence(&error.to_string())))
}

/// Patterns of resource addresses.
pub(crate) fn address_globs() -> Attribute {
    name_list::<AddressGlob>()
}

/// A whole number from `least` up.
pub(crate) fn count(least: u32) -> Attribute {
    Attribute::number().validate(move |value| {
        let number = value.as_number().and_then(provider_protocol::cty::Number::as_i64);
        match number.map(u32::try_from) {
            Some(Ok(number)) if number >= least => Ok(()),
            _ => Err(format!("It must be a whole number from {least} to {}.", u32::MAX)),
        }
    })
}

/// Texts under free names.
pub(crate) fn text_map() -> Attribute {
    Attribute::map(Type::String).validate(|value| {
        let elements = value.as_map().into_iter().flatten();
        let nulls: Vec<&str> =
            elements.filter(|(_, text)| text.is_null()).map(|(name, _)| name.as_str()).collect();
        match nulls.as_slice() {
            [] => Ok(()),
            nulls => Err(format!("No value may be null, but these are: {}.", nulls.join(", "))),
        }
    })
}

/// A condition in CEL over known names.
pub(crate) fn condition(names: fn() -> Names) -> Attribute {
    checked(move |text| check_condition(text, &names()))
}

/// Checks a condition: its syntax, and every name in it.
pub(crate) fn check_condition(text: &str, names: &Names) -> Result<(), String> {
    let expression = Expression::parse(text).map_err(|error| sentence(&error.to_string()))?;
    expression.check(names).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| sentence(&error.to_string())).collect();
        lines.join("\n")
    })
}

/// Text with `{{ CEL }}` in it.
pub(crate) fn template() -> Attribute {
    checked(check_template)
}

/// Texts with `{{ CEL }}` in them, under free names.
pub(crate) fn template_map() -> Attribute {
    Attribute::map(Type::String).validate(|value| {
        for (name, text) in value.as_map().into_iter().flatten() {
            let Some(text) = text.as_str() else {
                return Err(format!("No value may be null, but {name:?} is."));
            };
            check_template(text).map_err(|problem| format!("{name:?}: {problem}"))?;
        }
        Ok(())
    })
}

fn check_template(text: &str) -> Result<(), String> {
    Template::parse(text).map(drop).map_err(|error| sentence(&error.to_string()))
}

/// An HTTP URL, which may have `{{ CEL }}` in it.
pub(crate) fn http_url_template() -> Attribute {
    checked(|text| {
        check_template(text)?;
        if text.contains("{{") { Ok(()) } else { check_http_url(text) }
    })
}

/// Checks an HTTP URL.
pub(crate) fn check_http_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}."))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{text:?} begins with neither http:// nor https://."));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("A URL must not contain credentials: it is shown in plans.".to_owned());
    }
    Ok(())
}

/// The address of a git repository.
pub(crate) fn git_repository() -> Attribute {
    checked(|text| {
        const FORMS: &str =
            "Write https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or an absolute path.";
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?} is not the address of a git repository. {FORMS}"));
        }
        if text.starts_with('/') || text.starts_with("file:///") {
            return Ok(());
        }
        if !text.contains("://") {
            let host = text.split_once(':').map_or("", |(authority, _)| authority);
            let remote = !host.is_empty() && !host.contains('/');
            let problem = || format!("{text:?} is not the address of a git repository. {FORMS}");
            return if remote { Ok(()) } else { Err(problem()) };
        }
        let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}."))?;
        match url.scheme() {
            "http" | "https" => check_http_url(text),
            "ssh" | "git+ssh" if url.password().is_some() => {
                Err("A URL must not contain a password: it is shown in plans.".to_owned())
            }
            "ssh" | "git+ssh" => Ok(()),
            scheme => Err(format!("Git is not reached by {scheme}://. {FORMS}")),
        }
    })
}

/// The name of a repository of images, without tag and digest.
pub(crate) fn image_repository() -> Attribute {
    checked(|text| {
        let problem = |why: &str| Err(format!("{text:?} is not a repository of images: {why}."));
        if text.contains("://") {
            return problem("it has no scheme; `insecure` allows a registry without TLS");
        }
        if text.contains('@') {
            return problem("leave the digest out; `constraint` and `allow_tags` choose versions");
        }
        let path = text.split_once('/').map_or(text, |(_, path)| path);
        if path.contains(':') || (!text.contains('/') && text.contains(':')) {
            return problem("leave the tag out; `constraint` and `allow_tags` choose versions");
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        if path.is_empty() || !path.chars().all(allowed) {
            return problem(
                "write it as HOST/PATH in lower case, such as registry.example.com/shop/api",
            );
        }
        Ok(())
    })
}

/// A platform of images.
pub(crate) fn platform() -> Attribute {
    checked(|text| {
        let parts: Vec<&str> = text.split('/').collect();
        let well_formed = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if matches!(parts.len(), 2 | 3) && parts.iter().all(well_formed) {
            return Ok(());
        }
        Err(format!(
            "{text:?} is not a platform: write OS/ARCH or OS/ARCH/VARIANT, such as linux/amd64."
        ))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use provider_protocol::cty::Path;

    use super::*;

    fn check(attribute: &Attribute, value: impl Into<Value>, problem: &str) {
        let value = value.into();
        let found = attribute.problems(&value, &Path::root());
        let found = found.first().map(|found| found.problem.clone()).unwrap_or_default();
        assert!(
            if problem.is_empty() { found.is_empty() } else { found.contains(problem) },
            "{value:?} gives {found:?}, not {problem:?}"
        );
    }

    #[test]
    fn texts_are_checked() {
        check(&span(), "1h30m", "");
        check(&span(), "soon", "`soon` is not a duration");
        check(&instant(), "2030-01-01T08:00:00+01:00", "");
        check(&instant(), "2030-01-01", "is not an instant");
        check(&version_range(), "^1.4", "");
        check(&version_range(), "=~1", "`=~1` is not a version range");
        check(&filled(), " ", "must not be empty");
        check(&platform(), "linux/arm64/v8", "");
        check(&platform(), "linux", "not a platform");
        check(&word(vec!["gated", "manual"]), "gatet", "Did you mean \"gated\"?");
    }

    #[test]
    fn repositories_are_checked() {
        for good in [
            "https://git.example.com/shop.git",
            "git@example.com:shop.git",
            "/srv/git/shop",
            "ssh://git@example.com:2222/shop",
            "http://127.0.0.1:3000/infra.git",
        ] {
            check(&git_repository(), good, "");
        }
        check(&git_repository(), "shop", "not the address of a git repository");
        check(&git_repository(), "ftp://example.com/shop", "not reached by ftp://");
        check(&git_repository(), "https://u:p@example.com/shop", "must not contain credentials");
        for good in ["registry.example.com/shop/api", "127.0.0.1:5000/api", "nginx"] {
            check(&image_repository(), good, "");
        }
        check(&image_repository(), "https://example.com/api", "no scheme");
        check(&image_repository(), "example.com/api:1.2", "leave the tag out");
        check(&image_repository(), "nginx:1", "leave the tag out");
        check(&image_repository(), "example.com/api@sha256:00", "leave the digest out");
        check(&image_repository(), "example.com/API", "lower case");
    }

    #[test]
    fn lists_name_the_element() {
        let list = |texts: &[&str]| Value::list(texts.iter().copied());
        check(&tag_patterns(), list(&["^v", "rc["]), "Element 1: `rc[`: ");
        check(&path_patterns(), list(&["modules/", "glob:a/{b"]), "Element 1: `glob:a/{b`: ");
        check(&stage_globs(), list(&["prod*"]), "");
        check(&stage_globs(), list(&["prod["]), "Element 0: ");
        check(&filled_list(), Value::List(vec![Value::Null]), "must not be null");
        check(&word_list(vec!["delete"]), list(&["delet"]), "Did you mean \"delete\"?");
    }

    #[test]
    fn numbers_are_counts() {
        check(&count(1), 3, "");
        check(&count(1), 0, "from 1 to");
        check(&count(0), -1, "from 0 to");
        check(&count(0), Value::Number("1.5".parse().unwrap()), "whole number");
    }

    #[test]
    fn other_texts_of_one_meaning_are_equal() {
        let instant = instant();
        assert!(instant.same(&"2030-01-01T01:00:00+01:00".into(), &"2030-01-01T00:00:00Z".into()));
        assert!(!instant.same(&"2030-01-01T01:00:00Z".into(), &"2030-01-01T00:00:00Z".into()));
        let kept = "2030-01-01T00:00:00.123456Z".into();
        assert!(instant.same(&"2030-01-01T00:00:00.123456789Z".into(), &kept));
        assert!(!instant.same(&"2030-01-01T00:00:00.123457Z".into(), &kept));
        assert!(version_range().same(&"^1.4".into(), &" ^ 1.4".into()));
        assert!(!version_range().same(&"^1.4".into(), &"^1.5".into()));
    }

    #[test]
    fn durations_of_one_length_are_equal() {
        let span = span();
        assert!(span.same(&"24h".into(), &"1d".into()));
        assert!(!span.same(&"24h".into(), &"2d".into()));
    }
}
