//! Optimistic concurrency: the conditions under which a write may happen.

use std::fmt;

use crate::problem::Problem;

/// The condition under which a definition may be written or removed, sent as `If-Match` or
/// `If-None-Match` (RFC 9110, section 13.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever is there is replaced.
    #[default]
    None,
    /// Only if nothing is there: `If-None-Match: *`.
    Absent,
    /// Only if the object still has this generation: `If-Match: "7"`.
    Generation(u64),
}

impl Precondition {
    /// The header that says it, as name and value.
    #[must_use]
    pub fn header(self) -> Option<(&'static str, String)> {
        match self {
            Self::None => None,
            Self::Absent => Some(("if-none-match", "*".to_owned())),
            Self::Generation(generation) => Some(("if-match", format!("\"{generation}\""))),
        }
    }

    /// Reads it from the values of `If-Match` and `If-None-Match`.
    ///
    /// # Errors
    ///
    /// A `malformed` problem if a value is not one that the contract names, or both are there.
    pub fn from_headers(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<Self, Box<Problem>> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (None, Some("*")) => Ok(Self::Absent),
            (Some(value), None) => parse_generation(value).map(Self::Generation).ok_or_else(|| {
                malformed(format!(
                    "If-Match takes one generation in double quotes, such as \"7\", not {value}"
                ))
            }),
            (None, Some(value)) => {
                Err(malformed(format!("If-None-Match takes only *, not {value}")))
            }
            (Some(_), Some(_)) => Err(malformed("If-Match and If-None-Match exclude each other")),
        }
    }
}

impl fmt::Display for Precondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("unconditionally"),
            Self::Absent => formatter.write_str("if absent"),
            Self::Generation(generation) => write!(formatter, "if at generation {generation}"),
        }
    }
}

fn malformed(detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::malformed(detail))
}

fn parse_generation(value: &str) -> Option<u64> {
    value.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Precondition;

    #[test]
    fn headers_round_trip() {
        for precondition in
            [Precondition::None, Precondition::Absent, Precondition::Generation(u64::MAX)]
        {
            let header = precondition.header();
            let value_of = |wanted: &str| {
                header.as_ref().filter(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
            };
            let read = Precondition::from_headers(value_of("if-match"), value_of("if-none-match"));
            assert_eq!(read, Ok(precondition));
        }
    }

    #[test]
    fn other_values_are_malformed() {
        let check = |if_match, if_none_match| {
            let problem = Precondition::from_headers(if_match, if_none_match).err();
            problem.and_then(|problem| problem.detail)
        };
        insta::assert_debug_snapshot!(
            [
                check(Some("7"), None),
                check(Some("*"), None),
                check(None, Some("\"7\"")),
                check(Some("\"7\""), Some("*")),
            ],
            @r#"
        [
            Some(
                "If-Match takes one generation in double quotes, such as \"7\", not 7",
            ),
            Some(
                "If-Match takes one generation in double quotes, such as \"7\", not *",
            ),
            Some(
                "If-None-Match takes only *, not \"7\"",
            ),
            Some(
                "If-Match and If-None-Match exclude each other",
            ),
        ]
        "#
        );
    }
}
