//! Which tags and which changed paths count for a subscription.
//!
//! Regular expressions run in linear time and have a bounded compiled size, so that a pattern from
//! a definition can never stall discovery. A bad pattern is refused when the definition is read,
//! and the error names the list and the pattern.

use std::fmt;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::glob::Glob;

/// The largest compiled size of one regular expression, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{list}` pattern {index} (`{pattern}`): {reason}")]
pub struct FilterError {
    /// The list the pattern is in: `allow`, `ignore`, `include` or `exclude`.
    pub list: &'static str,
    /// Its place in that list, from 0.
    pub index: usize,
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Which tags count: dropped if any `ignore` expression matches, otherwise kept if `allow` is
/// empty or any of its expressions matches. Expressions are not anchored.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "TagPatterns", into = "TagPatterns")]
pub struct TagFilter {
    allow: Vec<Regex>,
    ignore: Vec<Regex>,
}

impl TagFilter {
    /// Compiles the two lists.
    ///
    /// # Errors
    ///
    /// The first pattern that is not a regular expression or compiles to more than 1 MiB.
    pub fn new(allow: &[String], ignore: &[String]) -> Result<Self, FilterError> {
        Ok(Self { allow: compile("allow", allow)?, ignore: compile("ignore", ignore)? })
    }

    /// Whether this tag counts.
    #[must_use]
    pub fn keeps(&self, tag: &str) -> bool {
        !self.ignore.iter().any(|pattern| pattern.is_match(tag))
            && (self.allow.is_empty() || self.allow.iter().any(|pattern| pattern.is_match(tag)))
    }

    /// The allow expressions as written.
    pub fn allow(&self) -> impl Iterator<Item = &str> {
        self.allow.iter().map(Regex::as_str)
    }

    /// The ignore expressions as written.
    pub fn ignore(&self) -> impl Iterator<Item = &str> {
        self.ignore.iter().map(Regex::as_str)
    }
}

impl PartialEq for TagFilter {
    fn eq(&self, other: &Self) -> bool {
        self.allow().eq(other.allow()) && self.ignore().eq(other.ignore())
    }
}

impl Eq for TagFilter {}

impl fmt::Debug for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TagPatterns::from(self.clone()).fmt(f)
    }
}

/// The written form of a [`TagFilter`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TagFilter")]
struct TagPatterns {
    /// Regular expressions of which one must match; none means all tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    /// Regular expressions of which none may match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<String>,
}

impl TryFrom<TagPatterns> for TagFilter {
    type Error = FilterError;

    fn try_from(patterns: TagPatterns) -> Result<Self, FilterError> {
        Self::new(&patterns.allow, &patterns.ignore)
    }
}

impl From<TagFilter> for TagPatterns {
    fn from(filter: TagFilter) -> Self {
        Self {
            allow: filter.allow().map(str::to_owned).collect(),
            ignore: filter.ignore().map(str::to_owned).collect(),
        }
    }
}

/// Whether the paths a commit touches count for a subscription.
///
/// A pattern is a directory or file prefix by whole path segments (`modules/shop`), a glob after
/// `glob:` (`*` and `?` stay inside one segment, `**` spans segments, `{a,b}` and `[a-z]` work) or
/// an unanchored regular expression after `regex:`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PathPatterns", into = "PathPatterns")]
pub struct PathFilter {
    include: Vec<PathPattern>,
    exclude: Vec<PathPattern>,
}

impl PathFilter {
    /// Compiles the two lists.
    ///
    /// # Errors
    ///
    /// The first pattern that is not a glob or regular expression although it says so.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, FilterError> {
        Ok(Self {
            include: path_patterns("include", include)?,
            exclude: path_patterns("exclude", exclude)?,
        })
    }

    /// Whether every path counts, so that nobody needs to list a commit's paths.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether this one path counts: it is included and not excluded.
    #[must_use]
    pub fn counts(&self, path: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(path)))
            && !self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether a commit that touches these paths counts: at least one of them does.
    pub fn matches<'p>(&self, changed: impl IntoIterator<Item = &'p str>) -> bool {
        changed.into_iter().any(|path| self.counts(path))
    }
}

/// The written form of a [`PathFilter`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PathFilter")]
struct PathPatterns {
    /// Patterns of paths that count; none means all paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    include: Vec<String>,
    /// Patterns of paths that do not count even if included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
}

impl TryFrom<PathPatterns> for PathFilter {
    type Error = FilterError;

    fn try_from(patterns: PathPatterns) -> Result<Self, FilterError> {
        Self::new(&patterns.include, &patterns.exclude)
    }
}

impl From<PathFilter> for PathPatterns {
    fn from(filter: PathFilter) -> Self {
        let texts = |list: Vec<PathPattern>| list.into_iter().map(|p| p.text).collect();
        Self { include: texts(filter.include), exclude: texts(filter.exclude) }
    }
}

#[derive(Clone, Debug)]
struct PathPattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Prefix(String),
    Glob(Glob),
    Regex(Regex),
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

impl PathPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let matcher = if let Some(glob) = text.strip_prefix("glob:") {
            Matcher::Glob(Glob::of_paths(glob).map_err(|error| error.to_string())?)
        } else if let Some(expression) = text.strip_prefix("regex:") {
            Matcher::Regex(regex(expression)?)
        } else {
            let prefix = text.strip_prefix("./").unwrap_or(text);
            Matcher::Prefix(prefix.trim_matches('/').to_owned())
        };
        Ok(Self { text: text.to_owned(), matcher })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Prefix(prefix) => is_under(path, prefix),
            Matcher::Glob(glob) => glob.is_match(path),
            Matcher::Regex(expression) => expression.is_match(path),
        }
    }
}

/// Whether the path is the prefix or lies below it, by whole segments; `..` never escapes into it.
fn is_under(path: &str, prefix: &str) -> bool {
    let rest = if prefix.is_empty() { Some(path) } else { path.strip_prefix(prefix) };
    rest.is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
        && !path.split('/').any(|segment| segment == "..")
}

fn compile(list: &'static str, patterns: &[String]) -> Result<Vec<Regex>, FilterError> {
    each(list, patterns, regex)
}

fn path_patterns(list: &'static str, patterns: &[String]) -> Result<Vec<PathPattern>, FilterError> {
    each(list, patterns, PathPattern::parse)
}

fn each<T>(
    list: &'static str,
    patterns: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, FilterError> {
    let located = |(index, pattern): (usize, &String)| {
        parse(pattern).map_err(|reason| FilterError {
            list,
            index,
            pattern: pattern.clone(),
            reason,
        })
    };
    patterns.iter().enumerate().map(located).collect()
}

fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("compiles to more than {limit} bytes, use smaller repetitions")
        }
        // The library's text is a drawing over several lines that ends with the reason.
        other => {
            let text = other.to_string();
            let reason = text.lines().last().unwrap_or_default();
            reason.trim().trim_start_matches("error: ").to_owned()
        }
    })
}

impl JsonSchema for TagFilter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        TagPatterns::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        TagPatterns::json_schema(generator)
    }
}

impl JsonSchema for PathFilter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        PathPatterns::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        PathPatterns::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn texts(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|&pattern| pattern.to_owned()).collect()
    }

    fn counts(pattern: &str, path: &str, expected: bool) {
        let filter = PathFilter::new(&texts(&[pattern]), &[]).unwrap();
        assert_eq!(filter.counts(path), expected, "{pattern} on {path}");
    }

    #[test]
    fn prefixes_go_by_segments() {
        counts("configs", "configs", true);
        counts("configs/", "configs/a/b", true);
        counts("./configs", "configs/a", true);
        counts("configs", "configurations/a", false);
        counts("config/shared", "config/shared/../private", false);
        counts("", "any/path", true);
    }

    #[test]
    fn errors_name_the_pattern() {
        let error = TagFilter::new(&texts(&["^v", "(open"]), &[]).unwrap_err();
        assert_eq!(error.to_string(), "`allow` pattern 1 (`(open`): unclosed group");
        let error = TagFilter::new(&[], &texts(&["(a{500}){500}"])).unwrap_err();
        assert!(error.to_string().contains("1048576 bytes"), "{error}");
        let error = PathFilter::new(&[], &texts(&["glob:[a"])).unwrap_err();
        assert!(error.to_string().starts_with("`exclude` pattern 0 (`glob:[a`): "), "{error}");
    }

    #[test]
    fn filters_travel_as_their_patterns() {
        let json = r#"{"allow":["^v"]}"#;
        let filter: TagFilter = serde_json::from_str(json).unwrap();
        assert!(filter.keeps("v1") && !filter.keeps("1"));
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        assert!(serde_json::from_str::<TagFilter>(r#"{"ignore":["("]}"#).is_err());
        let json = r#"{"include":["glob:**/*.tf"],"exclude":["docs"]}"#;
        let filter: PathFilter = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "(glob:|regex:|)\\PC{0,30}", path in "\\PC{0,20}") {
            if let Ok(filter) = PathFilter::new(&[pattern], &[]) {
                let _counts: bool = filter.counts(&path);
            }
        }
    }
}
