//! Globs over names and paths: `*`, `**`, `?`, `[…]`, `{a,b}`.
//!
//! The library follows alternatives by recursion and panics on a pattern that compiles to too much,
//! either of which would end the process. So a pattern is bounded before the library reads it.

use globset::{GlobBuilder, GlobMatcher};

/// The longest pattern, in bytes.
pub const MAX_GLOB: usize = 4 * 1024;

/// The most alternatives `{…}` of a pattern, side by side or inside each other. Every `{` counts,
/// a literal one included, so that no spelling hides one.
pub const MAX_ALTERNATIVES: usize = 32;

/// A pattern that can match without a panic. Linear in the length of what it is matched with.
#[derive(Clone, Debug)]
pub struct Glob(GlobMatcher);

/// Why a text is not a glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// More than [`MAX_GLOB`] bytes.
    #[error("the glob is longer than {MAX_GLOB} bytes")]
    TooLong,
    /// More than [`MAX_ALTERNATIVES`].
    #[error(
        "the glob has more than {MAX_ALTERNATIVES} alternatives `{{…}}`: split it into several"
    )]
    TooManyAlternatives,
    /// Not a glob, with what is wrong.
    #[error("not a glob: {0}")]
    Malformed(String),
}

impl Glob {
    /// A pattern of names: `*` and `?` match any character.
    ///
    /// # Errors
    ///
    /// [`GlobError`]: malformed or over a limit.
    pub fn of_names(text: &str) -> Result<Self, GlobError> {
        Self::build(text, false)
    }

    /// A pattern of paths: only `**` crosses a `/`.
    ///
    /// # Errors
    ///
    /// [`GlobError`]: malformed or over a limit.
    pub fn of_paths(text: &str) -> Result<Self, GlobError> {
        Self::build(text, true)
    }

    /// Whether it matches the whole text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    fn build(text: &str, literal_separator: bool) -> Result<Self, GlobError> {
        if text.len() > MAX_GLOB {
            return Err(GlobError::TooLong);
        }
        if text.matches('{').count() > MAX_ALTERNATIVES {
            return Err(GlobError::TooManyAlternatives);
        }
        let glob = GlobBuilder::new(text).literal_separator(literal_separator).build();
        let glob = glob.map_err(|error| GlobError::Malformed(error.kind().to_string()))?;
        Ok(Self(glob.compile_matcher()))
    }
}

/// Whether a glob matches. A plain name and `*` are most of them, and decisions ask often: they need
/// no glob to be compiled. A malformed one matches nothing.
#[must_use]
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let is_plain = pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain {
        return pattern == name;
    }
    pattern == "*" || Glob::of_names(pattern).is_ok_and(|glob| glob.is_match(name))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn nested(depth: usize) -> String {
        "{".repeat(depth) + "a" + &"}".repeat(depth)
    }

    #[test]
    fn hostile_patterns_are_refused_and_not_followed() {
        for depth in [MAX_ALTERNATIVES + 1, 1_000, 2_000] {
            let refused = Glob::of_names(&nested(depth)).unwrap_err();
            assert_eq!(refused, GlobError::TooManyAlternatives, "{depth}");
        }
        for text in [nested(20_000), "a".repeat(1 << 20), "a".repeat(MAX_GLOB + 1)] {
            assert_eq!(Glob::of_names(&text).unwrap_err(), GlobError::TooLong);
            assert_eq!(Glob::of_paths(&text).unwrap_err(), GlobError::TooLong);
        }
        // What the library would take for the end of the group does not hide the next one.
        let hidden = "{[}]".repeat(MAX_ALTERNATIVES + 1);
        assert_eq!(Glob::of_names(&hidden).unwrap_err(), GlobError::TooManyAlternatives);
        let error = Glob::of_names("prod[").unwrap_err().to_string();
        assert_eq!(error, "not a glob: unclosed character class; missing ']'");
    }

    #[test]
    fn patterns_at_the_limits_match() {
        assert!(Glob::of_names(&nested(MAX_ALTERNATIVES)).unwrap().is_match("a"));
        for part in ["?", "[!a]", "é", "[!é]", "[a-é]", "a**/", "*a"] {
            let text = part.repeat(MAX_GLOB / part.len());
            for glob in [Glob::of_names(&text).unwrap(), Glob::of_paths(&text).unwrap()] {
                assert!(!glob.is_match("a"), "{part}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([{}\\[\\]*?,/!a-]|\\\\|\\PC){0,40}", name in "\\PC{0,20}") {
            for glob in [Glob::of_names(&text), Glob::of_paths(&text)].into_iter().flatten() {
                let _matches: bool = glob.is_match(&name);
            }
        }
    }

    #[test]
    fn globs_select_names() {
        for (pattern, name, expected) in [
            ("prod", "prod", true),
            ("prod", "prod-eu", false),
            ("*", "prod-eu", true),
            ("prod-*", "prod-eu", true),
            ("prod-*", "prod", false),
            ("p?od", "prod", true),
            ("prod-{eu,us}", "prod-us", true),
            ("[pq]rod", "qrod", true),
            ("prod[", "prod[", false),
            ("", "prod", false),
        ] {
            assert_eq!(matches_name(pattern, name), expected, "{pattern} {name}");
        }
    }
}
