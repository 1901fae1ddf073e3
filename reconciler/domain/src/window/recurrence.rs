//! Recurrence rules as RFC 5545 writes them: `FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9`.
//!
//! Everything of the RFC from `HOURLY` to `YEARLY`. `MINUTELY` and `SECONDLY` are refused: a window
//! that starts every minute is none.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::COUNT_MAX;
use crate::step::did_you_mean;

/// The most starts on one day.
const STARTS_MAX: usize = 96;
/// The largest `INTERVAL`.
const INTERVAL_MAX: u32 = 400;
const PARTS: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
];

/// A recurrence rule. Two are equal if their texts are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Recurrence {
    text: String,
    pub(super) rule: Rule,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a recurrence rule of RFC 5545: {reason}")]
pub struct RecurrenceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) frequency: Frequency,
    pub(super) interval: u32,
    pub(super) end: End,
    pub(super) week_start: Weekday,
    pub(super) months: Vec<i16>,
    pub(super) week_numbers: Vec<i16>,
    pub(super) year_days: Vec<i16>,
    pub(super) month_days: Vec<i16>,
    pub(super) days: Vec<Day>,
    pub(super) hours: Vec<i16>,
    pub(super) minutes: Vec<i16>,
    pub(super) seconds: Vec<i16>,
    pub(super) positions: Vec<i16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frequency {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When a rule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Never,
    Count(u32),
    /// With the last start up to this reading of the wall clock.
    Local(DateTime),
    /// With the last start up to this instant.
    Utc(Timestamp),
}

/// A day of the week, or the `nth` one of a month or year, from its end where negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) nth: Option<i16>,
    pub(super) weekday: Weekday,
}

impl Recurrence {
    /// What a rule leaves to its start although it has none; `None`: nothing.
    pub(super) fn needs_start(&self) -> Option<String> {
        let rule = &self.rule;
        let has_day =
            !rule.days.is_empty() || !rule.month_days.is_empty() || !rule.year_days.is_empty();
        let part = match rule.frequency {
            _ if matches!(rule.end, End::Count(_)) => "COUNT",
            _ if rule.interval > 1 => "INTERVAL",
            Frequency::Hourly | Frequency::Daily => return None,
            Frequency::Weekly if rule.days.is_empty() => "FREQ=WEEKLY without BYDAY",
            Frequency::Monthly if !has_day => "FREQ=MONTHLY without BYDAY or BYMONTHDAY",
            Frequency::Yearly if !has_day => "FREQ=YEARLY without BYDAY, BYMONTHDAY or BYYEARDAY",
            Frequency::Yearly
                if rule.months.is_empty()
                    && rule.week_numbers.is_empty()
                    && rule.year_days.is_empty()
                    && rule.days.is_empty() =>
            {
                "FREQ=YEARLY without BYMONTH"
            }
            Frequency::Weekly | Frequency::Monthly | Frequency::Yearly => return None,
        };
        Some(format!("{part} counts from a start: set `start`, such as 2026-01-05T09:00:00"))
    }
}

impl FromStr for Recurrence {
    type Err = RecurrenceError;

    fn from_str(text: &str) -> Result<Self, RecurrenceError> {
        match parse(text) {
            Ok(rule) => Ok(Self { text: text.to_owned(), rule }),
            Err(reason) => Err(RecurrenceError { text: text.to_owned(), reason }),
        }
    }
}

fn parse(text: &str) -> Result<Rule, String> {
    let trimmed = text.trim();
    let body = trimmed.strip_prefix("RRULE:").unwrap_or(trimmed);
    if body.len() > 1_000 {
        return Err("it is longer than 1000 characters".to_owned());
    }
    let mut parts: Vec<(&str, &str)> = Vec::new();
    for part in body.split(';') {
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!("{part:?} is not NAME=VALUE"));
        };
        if !PARTS.contains(&name) {
            return Err(format!("there is no part {name:?}; {}", did_you_mean(name, &PARTS)));
        }
        if parts.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name} stands twice"));
        }
        parts.push((name, value));
    }
    let parts = Parts(parts);
    let rule = Rule {
        frequency: parts.frequency()?,
        interval: parts.number("INTERVAL", 1..=INTERVAL_MAX)?.unwrap_or(1),
        end: parts.end()?,
        week_start: parts.get("WKST").map_or(Ok(Weekday::Monday), weekday)?,
        months: parts.list("BYMONTH", 1..=12, false)?,
        week_numbers: parts.list("BYWEEKNO", 1..=53, true)?,
        year_days: parts.list("BYYEARDAY", 1..=366, true)?,
        month_days: parts.list("BYMONTHDAY", 1..=31, true)?,
        days: parts.days()?,
        hours: parts.list("BYHOUR", 0..=23, false)?,
        minutes: parts.list("BYMINUTE", 0..=59, false)?,
        seconds: parts.list("BYSECOND", 0..=59, false)?,
        positions: parts.list("BYSETPOS", 1..=366, true)?,
    };
    rule.check()?;
    Ok(rule)
}

impl Rule {
    /// The combinations that the RFC forbids, and our bound.
    fn check(&self) -> Result<(), String> {
        let nth = self.days.iter().any(|day| day.nth.is_some());
        let by_month = self.frequency == Frequency::Monthly || self.frequency == Frequency::Yearly;
        if nth && !by_month {
            return Err("BYDAY has numbers only in MONTHLY and YEARLY rules".to_owned());
        }
        if nth && !self.week_numbers.is_empty() {
            return Err("BYDAY has no numbers beside BYWEEKNO".to_owned());
        }
        if !self.week_numbers.is_empty() && self.frequency != Frequency::Yearly {
            return Err("BYWEEKNO belongs to YEARLY rules".to_owned());
        }
        if !self.year_days.is_empty()
            && !matches!(self.frequency, Frequency::Yearly | Frequency::Hourly)
        {
            return Err("BYYEARDAY belongs to YEARLY and HOURLY rules".to_owned());
        }
        if !self.month_days.is_empty() && self.frequency == Frequency::Weekly {
            return Err("BYMONTHDAY does not go with FREQ=WEEKLY".to_owned());
        }
        let others = [&self.months, &self.week_numbers, &self.year_days, &self.month_days];
        let times = [&self.hours, &self.minutes, &self.seconds];
        let any = others.into_iter().chain(times).any(|part| !part.is_empty());
        if !self.positions.is_empty() && !any && self.days.is_empty() {
            return Err("BYSETPOS picks from what another BY part gives".to_owned());
        }
        let hours = match self.frequency {
            Frequency::Hourly if self.hours.is_empty() => 24,
            Frequency::Hourly
            | Frequency::Daily
            | Frequency::Weekly
            | Frequency::Monthly
            | Frequency::Yearly => self.hours.len().max(1),
        };
        let starts = hours * self.minutes.len().max(1) * self.seconds.len().max(1);
        if starts > STARTS_MAX {
            return Err(format!(
                "it starts {starts} times a day, at most {STARTS_MAX} are allowed"
            ));
        }
        Ok(())
    }
}

/// The parts of a rule by name.
struct Parts<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parts<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn frequency(&self) -> Result<Frequency, String> {
        match self.get("FREQ") {
            Some("HOURLY") => Ok(Frequency::Hourly),
            Some("DAILY") => Ok(Frequency::Daily),
            Some("WEEKLY") => Ok(Frequency::Weekly),
            Some("MONTHLY") => Ok(Frequency::Monthly),
            Some("YEARLY") => Ok(Frequency::Yearly),
            Some(other @ ("SECONDLY" | "MINUTELY")) => Err(format!(
                "FREQ={other} is no window: use HOURLY or DAILY, with BYHOUR and BYMINUTE"
            )),
            Some(other) => {
                let known = ["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
                Err(format!("there is no FREQ={other}; {}", did_you_mean(other, &known)))
            }
            None => Err("FREQ is missing".to_owned()),
        }
    }

    fn number(&self, name: &str, allowed: RangeInclusive<u32>) -> Result<Option<u32>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| allowed.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!(
                "{name}={text} is not a number from {} to {}",
                allowed.start(),
                allowed.end()
            )),
        }
    }

    fn list(
        &self,
        name: &str,
        allowed: RangeInclusive<i16>,
        from_end: bool,
    ) -> Result<Vec<i16>, String> {
        let Some(text) = self.get(name) else { return Ok(Vec::new()) };
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let number = part.strip_prefix('+').unwrap_or(part).parse::<i16>().ok();
            let fits =
                |n: &i16| allowed.contains(n) || (from_end && *n != 0 && allowed.contains(&-n));
            let Some(number) = number.filter(fits) else {
                let or = if from_end { ", or negative to count from the end" } else { "" };
                let (least, most) = (allowed.start(), allowed.end());
                return Err(format!(
                    "{part:?} in {name} is not a number from {least} to {most}{or}"
                ));
            };
            numbers.push(number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn days(&self) -> Result<Vec<Day>, String> {
        let Some(text) = self.get("BYDAY") else { return Ok(Vec::new()) };
        text.split(',').map(day).collect()
    }

    fn end(&self) -> Result<End, String> {
        let count = self.number("COUNT", 1..=COUNT_MAX)?;
        match (count, self.get("UNTIL")) {
            (Some(_), Some(_)) => Err("COUNT and UNTIL exclude each other".to_owned()),
            (Some(count), None) => Ok(End::Count(count)),
            (None, Some(text)) => until(text),
            (None, None) => Ok(End::Never),
        }
    }
}

fn day(text: &str) -> Result<Day, String> {
    let at = text.len().saturating_sub(2);
    let problem = || {
        format!(
            "{text:?} in BYDAY is not one of MO, TU, WE, TH, FR, SA, SU, with a number such as -1FR"
        )
    };
    let (Some(number), Some(name)) = (text.get(..at), text.get(at..)) else {
        return Err(problem());
    };
    let weekday = weekday(name).map_err(|_| problem())?;
    if number.is_empty() {
        return Ok(Day { nth: None, weekday });
    }
    let nth = number.strip_prefix('+').unwrap_or(number).parse::<i16>().ok();
    match nth.filter(|n| *n != 0 && (-53..=53).contains(n)) {
        Some(nth) => Ok(Day { nth: Some(nth), weekday }),
        None => Err(problem()),
    }
}

fn weekday(text: &str) -> Result<Weekday, String> {
    match text {
        "MO" => Ok(Weekday::Monday),
        "TU" => Ok(Weekday::Tuesday),
        "WE" => Ok(Weekday::Wednesday),
        "TH" => Ok(Weekday::Thursday),
        "FR" => Ok(Weekday::Friday),
        "SA" => Ok(Weekday::Saturday),
        "SU" => Ok(Weekday::Sunday),
        other => Err(format!("{other:?} is not one of MO, TU, WE, TH, FR, SA, SU")),
    }
}

/// A date (its whole day), a local time, or an instant in UTC.
fn until(text: &str) -> Result<End, String> {
    let local = |text: &str| DateTime::strptime("%Y%m%dT%H%M%S", text).ok();
    let end = match text.strip_suffix('Z') {
        Some(utc) => local(utc).and_then(|at| TimeZone::UTC.to_timestamp(at).ok()).map(End::Utc),
        None => local(text).map(End::Local).or_else(|| {
            let day = Date::strptime("%Y%m%d", text).ok()?;
            Some(End::Local(day.at(23, 59, 59, 0)))
        }),
    };
    end.ok_or_else(|| format!("UNTIL={text} is not a date such as 20261231 or 20261231T235959Z"))
}

impl TryFrom<Cow<'_, str>> for Recurrence {
    type Error = RecurrenceError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, RecurrenceError> {
        text.parse()
    }
}

impl From<Recurrence> for String {
    fn from(rule: Recurrence) -> Self {
        rule.text
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recurrence({:?})", self.text)
    }
}

impl PartialEq for Recurrence {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Recurrence {}
