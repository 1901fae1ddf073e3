//! Time zones by their IANA names.
//!
//! The rules are compiled in, so that a decision is the same on every machine. Fixed offsets and
//! POSIX rules are refused: they do not follow the clocks of the people that they are about.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::near;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone, such as `Europe/Berlin`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// Why a text names no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {name:?}{hint}: write its IANA name, such as Europe/Berlin or UTC")]
pub struct ZoneError {
    /// What was given.
    pub name: String,
    /// The nearest name, as a question; empty if none is near.
    pub hint: String,
}

impl Zone {
    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instant of a wall clock's reading; one that does not exist moves forward by the gap, one
    /// that exists twice is the first. `None` beyond the calendar.
    pub(super) fn instant(&self, local: DateTime) -> Option<Timestamp> {
        self.rules.to_ambiguous_timestamp(local).compatible().ok()
    }

    /// What the wall clock reads.
    pub(super) fn local(&self, at: Timestamp) -> DateTime {
        self.rules.to_datetime(at)
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        let found = ZONES.get(name).ok();
        let found = found.and_then(|rules| Some((rules.iana_name()?.to_owned(), rules)));
        match found {
            Some((name, rules)) => Ok(Self { name, rules }),
            None => Err(ZoneError { name: name.to_owned(), hint: nearest(name) }),
        }
    }
}

/// The zone that was probably meant: hundreds of others are not listed.
fn nearest(name: &str) -> String {
    let known: Vec<String> = ZONES.available().map(|zone| zone.to_string()).collect();
    match near::nearest(name, known.iter().map(String::as_str)) {
        Some(zone) => format!(" (did you mean {zone:?}?)"),
        None => String::new(),
    }
}

impl TryFrom<Cow<'_, str>> for Zone {
    type Error = ZoneError;

    fn try_from(name: Cow<'_, str>) -> Result<Self, ZoneError> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}
