//! Durations as people write them: `30s`, `1h30m`, `2d`, `1 week`.
//!
//! A day is always 24 hours and a week seven of them: a soak of two days is 48 hours on the
//! weekend the clocks change, too. Months and years have no fixed length and are refused, and so
//! is everything negative.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, SpanRelativeTo};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest duration that is accepted: a hundred years of 365 days.
///
/// Anything longer is a typing error, and a bound lets callers add it to any timestamp.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text does not follow the grammar.
    #[error("`{text}` is not a duration, write numbers with units such as `30s`, `1h30m` or `2d`")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// The text names months or years.
    #[error("`{text}` counts months or years, which have no fixed length: write days or weeks")]
    Calendar {
        /// What was given.
        text: String,
    },
    /// The duration is below zero.
    #[error("`{text}` is negative, a duration starts at 0s")]
    Negative {
        /// What was given.
        text: String,
    },
    /// The duration is above [`LONGEST`].
    #[error("`{text}` is longer than 36500 days")]
    TooLong {
        /// What was given.
        text: String,
    },
}

/// Reads a duration: numbers with the units `w`, `d`, `h`, `m`, `s`, `ms`, `us`, `ns` (or their
/// long names), largest first, or an ISO 8601 duration such as `PT90S`.
///
/// # Errors
///
/// [`DurationError`] says what the text is instead; the result is never negative.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let given = || text.to_owned();
    let span: jiff::Span =
        text.trim().parse().map_err(|_| DurationError::Malformed { text: given() })?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(DurationError::Calendar { text: given() });
    }
    let length: SignedDuration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| DurationError::TooLong { text: given() })?;
    let length =
        Duration::try_from(length).map_err(|_| DurationError::Negative { text: given() })?;
    if length > LONGEST {
        return Err(DurationError::TooLong { text: given() });
    }
    Ok(length)
}

/// Prints the canonical form that [`parse`] reads back: days, hours, minutes, seconds and smaller
/// units without zero parts, `0s` for nothing.
#[must_use]
pub fn print(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let nanos = u64::from(duration.subsec_nanos());
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (nanos / 1_000_000, "ms"),
        (nanos / 1_000 % 1_000, "us"),
        (nanos % 1_000, "ns"),
    ];
    let text: String = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A length of time in a definition: a [`Duration`] whose text form is that of [`parse`] and
/// [`print()`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Span(Duration);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A span of this length.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Its length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        print(span.0)
    }
}

impl TryFrom<Cow<'_, str>> for Span {
    type Error = DurationError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl FromStr for Span {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self.0))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration: numbers with units, largest first. A day is 24 hours.",
            "examples": ["30s", "1h30m", "2d"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, seconds: u64, canonical: &str) {
        let parsed = parse(text).unwrap();
        assert_eq!(parsed, Duration::from_secs(seconds), "{text}");
        assert_eq!(print(parsed), canonical, "{text}");
    }

    #[test]
    fn reads_and_prints() {
        check("30s", 30, "30s");
        check("24h", 86_400, "1d");
        check("1h30m", 5_400, "1h30m");
        check("90m", 5_400, "1h30m");
        check("2d", 172_800, "2d");
        check("1w", 604_800, "7d");
        check("1 hour 5 mins", 3_900, "1h5m");
        check("PT90S", 90, "1m30s");
        check("0s", 0, "0s");
        check(" 5m ", 300, "5m");
        assert_eq!(print(parse("1500ms").unwrap()), "1s500ms");
    }

    fn refused(text: &str, message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn refuses() {
        for text in ["", "5", "h", "1x", "m5", "1h-5m", "soon", "1h30"] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, DurationError::Malformed { .. }), "{text}: {error:?}");
        }
        refused("-5m", "`-5m` is negative, a duration starts at 0s");
        refused(
            "2y",
            "`2y` counts months or years, which have no fixed length: write days or weeks",
        );
        refused("40000d", "`40000d` is longer than 36500 days");
        refused(
            "5",
            "`5` is not a duration, write numbers with units such as `30s`, `1h30m` or `2d`",
        );
    }

    #[test]
    fn travels_as_text() {
        let span: Span = serde_json::from_str("\"36h\"").unwrap();
        assert_eq!(span, Span::from_secs(129_600));
        assert_eq!(serde_json::to_string(&span).unwrap(), "\"1d12h\"");
        assert!(serde_json::from_str::<Span>("\"never\"").is_err());
    }

    proptest! {
        #[test]
        fn printed_durations_are_read_back(seconds in 0..=LONGEST.as_secs() - 1, nanos in 0..1_000_000_000u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            drop(parse(&text));
        }
    }
}
