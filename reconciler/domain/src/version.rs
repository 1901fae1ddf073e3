//! Semantic versions read from tags, ranges over them, and the choice among many.
//!
//! A [`Version`] keeps the tag it was read from: `v1.2.0` and `1.2.0` have the same precedence and
//! stay two different tags. Ranges follow the grammar that Helm and Kargo users know (`||`, commas
//! and blanks, hyphen ranges, `x` and `*`, `^ ~ = != > < >= <=`), which is not Cargo's: a bare
//! `1.2.3` means exactly that version.

mod constraint;
mod select;

use std::{cmp::Ordering, fmt};

pub use constraint::{Constraint, ConstraintError};
pub use select::{SelectOptions, select, select_lexical};
use serde_json::json;

/// A tag that is a semantic version (<https://semver.org>, version 2.0.0).
///
/// Equality is that of the tag; compare meaning with [`Version::precedence`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    tag: String,
    semver: semver::Version,
}

/// Why a tag is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{tag}` is not a semantic version: expected {expected} at position {position}")]
pub struct VersionError {
    /// The tag.
    pub tag: String,
    /// Byte offset in the tag, from 0.
    pub position: usize,
    /// What should have been there.
    pub expected: &'static str,
}

impl Version {
    /// Reads exactly `major.minor.patch` with an optional leading `v`, pre-release and build.
    ///
    /// # Errors
    ///
    /// [`VersionError`] with the position at which the tag stops being a version.
    pub fn strict(tag: &str) -> Result<Self, VersionError> {
        read(tag, true)
    }

    /// Reads like [`Version::strict`], but fills a missing minor and patch with 0 and overlooks
    /// leading zeros in the three numbers.
    ///
    /// # Errors
    ///
    /// [`VersionError`] with the position at which the tag stops being a version.
    pub fn loose(tag: &str) -> Result<Self, VersionError> {
        read(tag, false)
    }

    /// The tag as it was given.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `major.minor.patch` with pre-release and build metadata, without the `v`.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.semver.to_string()
    }

    /// The parsed numbers and identifiers.
    #[must_use]
    pub fn semver(&self) -> &semver::Version {
        &self.semver
    }

    /// Compares by semantic version precedence, which does not see build metadata.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.semver.cmp_precedence(&other.semver)
    }

    /// The form in which expressions see a version: `major`, `minor`, `patch`, `prerelease` and
    /// `text` (the tag).
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        json!({
            "major": self.semver.major,
            "minor": self.semver.minor,
            "patch": self.semver.patch,
            "prerelease": self.semver.pre.as_str(),
            "text": self.tag,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag)
    }
}

fn read(tag: &str, strict: bool) -> Result<Version, VersionError> {
    let mut reader = Reader { tag, position: 0 };
    reader.take('v');
    let mut numbers = [0; 3];
    for (index, number) in numbers.iter_mut().enumerate() {
        if index > 0 && !reader.take('.') {
            if strict {
                return Err(reader.expected("`.` and all of major.minor.patch"));
            }
            break;
        }
        *number = reader.number(strict)?;
    }
    let [major, minor, patch] = numbers;
    let mut semver = semver::Version::new(major, minor, patch);
    if reader.take('-') {
        semver.pre = reader.identifiers("a pre-release of letters, digits and hyphens")?;
    }
    if reader.take('+') {
        semver.build = reader.identifiers("build metadata of letters, digits and hyphens")?;
    }
    if reader.position < tag.len() {
        return Err(reader.expected("the end"));
    }
    Ok(Version { tag: tag.to_owned(), semver })
}

struct Reader<'t> {
    tag: &'t str,
    position: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.tag[self.position..]
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.position += c.len_utf8();
        }
        found
    }

    fn number(&mut self, strict: bool) -> Result<u64, VersionError> {
        let digits: String = self.rest().chars().take_while(char::is_ascii_digit).collect();
        if digits.is_empty() {
            return Err(self.expected("a number"));
        }
        if strict && digits.len() > 1 && digits.starts_with('0') {
            return Err(self.expected("a number without leading zeros"));
        }
        let number = digits.parse().map_err(|_| self.expected("a number of at most 64 bits"))?;
        self.position += digits.len();
        Ok(number)
    }

    fn identifiers<T: std::str::FromStr>(
        &mut self,
        expected: &'static str,
    ) -> Result<T, VersionError> {
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let text: String = self.rest().chars().take_while(allowed).collect();
        let parsed = (!text.is_empty()).then(|| text.parse().ok()).flatten();
        let parsed = parsed.ok_or_else(|| self.expected(expected))?;
        self.position += text.len();
        Ok(parsed)
    }

    fn expected(&self, expected: &'static str) -> VersionError {
        VersionError { tag: self.tag.to_owned(), position: self.position, expected }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn refused(tag: &str, strict: bool, position: usize, expected: &str) {
        let error = read(tag, strict).unwrap_err();
        assert_eq!((error.position, error.expected), (position, expected), "{tag}");
    }

    #[test]
    fn errors_name_the_position() {
        refused("latest", true, 0, "a number");
        refused("v1.2", true, 4, "`.` and all of major.minor.patch");
        refused("1.02.3", true, 2, "a number without leading zeros");
        refused("1.2.3.4", false, 5, "the end");
        refused("1.2.3-rc_1", false, 8, "the end");
        refused("1.2.3-01", true, 6, "a pre-release of letters, digits and hyphens");
        refused("1.2.99999999999999999999", false, 4, "a number of at most 64 bits");
        assert_eq!(
            Version::strict("1.x").unwrap_err().to_string(),
            "`1.x` is not a semantic version: expected a number at position 2"
        );
    }

    #[test]
    fn expressions_see_numbers() {
        let value = Version::loose("v1.2-rc.1").unwrap().to_value();
        assert_eq!(
            value.to_string(),
            r#"{"major":1,"minor":2,"patch":0,"prerelease":"rc.1","text":"v1.2-rc.1"}"#
        );
    }

    proptest! {
        #[test]
        fn no_tag_panics(tag in "\\PC{0,30}") {
            drop((Version::strict(&tag), Version::loose(&tag)));
        }

        #[test]
        fn what_is_strict_is_loose(tag in "v?[0-9]{1,2}(\\.[0-9]{1,2}){2}(-[0-9a-z.-]{1,6})?(\\+[0-9a-z.-]{1,6})?") {
            if let Ok(version) = Version::strict(&tag) {
                prop_assert_eq!(Version::loose(&tag), Ok(version.clone()));
                let again = Version::strict(&version.canonical()).unwrap();
                prop_assert_eq!(again.semver(), version.semver());
            }
        }
    }
}
