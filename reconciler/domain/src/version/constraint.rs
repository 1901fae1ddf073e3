//! Version ranges.
//!
//! ```text
//! range       = alternative ("||" alternative)*
//! alternative = part ((","  | blank) part)*
//! part        = [operator] partial | partial " - " partial
//! operator    = "=" | "!=" | ">" | "<" | ">=" | "=>" | "<=" | "=<" | "~" | "~>" | "^"
//! partial     = ["v"] number-or-x ["." number-or-x ["." number-or-x]] ["-" pre] ["+" build]
//! ```
//!
//! A pre-release satisfies an alternative only if that alternative names one somewhere.

mod parser;

use std::{borrow::Cow, cmp::Ordering, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Version;

/// A range of versions: alternatives, each a list of comparisons that must all hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Constraint {
    alternatives: Vec<Vec<Comparison>>,
}

/// Why a text is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a version range: expected {expected} at position {position}, {found}")]
pub struct ConstraintError {
    /// The text.
    pub text: String,
    /// Byte offset in the text, from 0.
    pub position: usize,
    /// What should have been there.
    pub expected: &'static str,
    /// What is there, as a phrase.
    pub found: String,
}

impl Constraint {
    /// Whether the version is in the range.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        let version = version.semver();
        self.alternatives.iter().any(|parts| {
            let pre_release = parts.iter().any(|part| !part.operand.pre.is_empty());
            (pre_release || version.pre.is_empty()) && parts.iter().all(|part| part.holds(version))
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    operand: Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

/// A version of which the last numbers may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: semver::Prerelease,
}

impl Partial {
    /// The lowest version meant, open numbers as 0.
    fn floor(&self) -> semver::Version {
        let number = Option::unwrap_or_default;
        let mut floor =
            semver::Version::new(number(self.major), number(self.minor), number(self.patch));
        floor.pre = self.pre.clone();
        floor
    }

    /// Whether the numbers that are written are those of the version.
    fn covers(&self, version: &semver::Version) -> bool {
        self.major.is_none_or(|major| major == version.major)
            && self.minor.is_none_or(|minor| minor == version.minor)
            && self.patch.is_none_or(|patch| patch == version.patch)
    }

    fn is_open(&self) -> bool {
        self.patch.is_none()
    }
}

impl Comparison {
    fn holds(&self, version: &semver::Version) -> bool {
        let operand = &self.operand;
        let order = version.cmp_precedence(&operand.floor());
        match self.operator {
            Operator::Equal if operand.is_open() => order.is_ge() && operand.covers(version),
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual if operand.is_open() => !operand.covers(version),
            Operator::NotEqual => order != Ordering::Equal,
            // `>1.2` is above every 1.2.x, `<1.2` below the first of them.
            Operator::Greater => order.is_gt() && !(operand.is_open() && operand.covers(version)),
            Operator::Less => order.is_lt() && operand.major.is_some(),
            Operator::AtLeast => order.is_ge(),
            Operator::AtMost => order.is_le() || (operand.is_open() && operand.covers(version)),
            Operator::Tilde => order.is_ge() && tilde(operand, version),
            Operator::Caret => order.is_ge() && caret(operand, version),
        }
    }
}

/// `~1.2.3`: the same minor; `~1`: the same major.
fn tilde(operand: &Partial, version: &semver::Version) -> bool {
    Partial { patch: None, ..operand.clone() }.covers(version)
}

/// `^1.2.3`: the same first number that is not 0, as far as numbers are written.
fn caret(operand: &Partial, version: &semver::Version) -> bool {
    let kept = match (operand.major, operand.minor) {
        (Some(0), Some(0)) => operand.clone(),
        (Some(0), _) => Partial { patch: None, ..operand.clone() },
        _ => Partial { minor: None, patch: None, ..operand.clone() },
    };
    kept.covers(version)
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, parts) in self.alternatives.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " || " })?;
            for (index, part) in parts.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { ", " })?;
                write!(f, "{}{}", part.operator, part.operand)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Tilde => "~",
            Self::Caret => "^",
        })
    }
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [self.major, self.minor, self.patch];
        for (index, number) in numbers.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "." })?;
            match number {
                Some(number) => write!(f, "{number}")?,
                None => {
                    f.write_str("x")?;
                    break;
                }
            }
        }
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

impl TryFrom<Cow<'_, str>> for Constraint {
    type Error = ConstraintError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, ConstraintError> {
        text.parse()
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        constraint.to_string()
    }
}

impl JsonSchema for Constraint {
    fn schema_name() -> Cow<'static, str> {
        "VersionRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A range of semantic versions.",
            "examples": ["^1.2", ">=1.1 <2", "1.2.x || 2.0.0 - 2.3"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed: Constraint = range.parse().unwrap();
        for version in inside {
            assert!(parsed.matches(&Version::loose(version).unwrap()), "{range} has {version}");
        }
        for version in outside {
            assert!(!parsed.matches(&Version::loose(version).unwrap()), "{range} lacks {version}");
        }
    }

    #[test]
    fn ranges() {
        check("^0.2.3", &["0.2.3", "0.2.9"], &["0.2.2", "0.3.0", "1.0.0"]);
        check("^0", &["0.0.1", "0.9.0"], &["1.0.0"]);
        check("^0.0.3", &["0.0.3"], &["0.0.4"]);
        check("~1", &["1.0.0", "1.9.9"], &["2.0.0"]);
        check("~>1.2.3", &["1.2.9"], &["1.2.2", "1.3.0"]);
        check(">1.2", &["1.3.0"], &["1.2.0", "1.2.9"]);
        check(">1", &["2.0.0"], &["1.9.9"]);
        check("<=1", &["1.9.9", "0.1.0"], &["2.0.0"]);
        check("!=1.2", &["1.3.0", "2.2.0"], &["1.2.0", "1.2.9"]);
        check("x", &["0.0.0", "9.9.9"], &["1.0.0-rc.1"]);
        check("!=*", &[], &["0.0.0", "1.0.0"]);
        check("<*", &[], &["0.0.0"]);
        check(">*", &[], &["1.0.0"]);
        check(">=*", &["0.0.0"], &[]);
        check("v1.2.3", &["1.2.3", "1.2.3+build"], &["1.2.4"]);
        check(">=1.0.0-0 <2", &["1.0.0-rc.1", "1.5.0-alpha"], &["2.0.0", "0.9.0"]);
        check("1.2 - 1.4.1 || =>3", &["1.2.0", "1.4.1", "3.1.0"], &["1.4.2", "2.0.0"]);
        check("1.2.3-rc.1 - 2", &["1.2.3-rc.2", "2.9.9"], &["1.2.3-beta", "3.0.0"]);
    }

    fn refused(range: &str, message: &str) {
        assert_eq!(range.parse::<Constraint>().unwrap_err().to_string(), message);
    }

    #[test]
    fn errors_name_the_position() {
        let prefix = |range: &str| format!("`{range}` is not a version range: expected");
        for (range, rest) in [
            ("", "a version at position 0, found the end"),
            ("abc", "a version at position 0, found `a`"),
            ("=~1.2", "one of `= != > < >= <= ~ ^` at position 0, found `=`"),
            ("^1 ||", "a version at position 5, found the end"),
            (">=1,", "a version at position 4, found the end"),
            ("1.2.3.4", "a comparison, `,` or `||` at position 5, found `.`"),
            ("1.2.3-", "a pre-release of letters, digits and hyphens at position 6, found the end"),
            ("^1 | ^2", "a version at position 3, found `|`"),
            (">1<2", "a comparison, `,` or `||` at position 2, found `<`"),
        ] {
            refused(range, &format!("{} {rest}", prefix(range)));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            drop(text.parse::<Constraint>());
        }

        #[test]
        fn printed_ranges_are_read_back(
            text in "[~^<>!=]{0,2} ?(0|[1-9]|x)(\\.([0-9]|x|\\*)){0,2}(-[a-z]{1,3})?( - 9|,? \\|\\| [<>]?=?1\\.2|, <3)?"
        ) {
            if let Ok(range) = text.parse::<Constraint>() {
                let printed = range.to_string();
                let again = printed.parse::<Constraint>();
                prop_assert_eq!(again.as_ref(), Ok(&range), "{} -> {}", text, printed);
            }
        }
    }
}
