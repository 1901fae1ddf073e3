//! On which days, and at what times of them, a rule fires: one calendar period at a time.
//!
//! A period is a day, week, month or year, as the rule's frequency says (for `HOURLY` it is a day,
//! too, and each hour of it a set of its own). The starts in a period follow from the period alone,
//! so that no question has to begin where the rule began.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{Timestamp, ToSpan as _};

use super::recurrence::{Day, End, Frequency, Recurrence, Rule};
use super::zone::Zone;

/// Days after which the calendar repeats itself, leap years, weekdays and all.
const CYCLE_DAYS: i64 = 146_097;
/// Where rules without a start begin.
const LONG_AGO: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A rule with all that its start fills in.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    rule: Rule,
    start: DateTime,
    /// The last start, of a rule that counts.
    last: Option<DateTime>,
    /// Times of a day, sorted; of `HOURLY` those of hour 0.
    times: Vec<Time>,
}

impl Calendar {
    /// The calendar of a rule.
    ///
    /// # Errors
    /// In words, if it never fires.
    pub(super) fn new(
        recurrence: &Recurrence,
        start: Option<DateTime>,
        zone: &Zone,
    ) -> Result<Self, String> {
        let start = start.unwrap_or(LONG_AGO);
        let rule = with_defaults(recurrence.rule.clone(), start);
        let times = times(&rule);
        let mut calendar = Self { rule, start, last: None, times };
        let wanted = match calendar.rule.end {
            End::Count(count) => count as usize,
            End::Never | End::Local(_) | End::Utc(_) => 1,
        };
        let fired = calendar.first(wanted, zone);
        let Some(last) = fired.last() else {
            return Err(format!(
                "{recurrence} never fires: no day from {} on fits it",
                calendar.start.date()
            ));
        };
        if let End::Count(_) = calendar.rule.end {
            calendar.last = Some(*last);
        }
        Ok(calendar)
    }

    /// The first starts of all.
    fn first(&self, wanted: usize, zone: &Zone) -> Vec<DateTime> {
        let mut fired = Vec::new();
        let mut period = Some(self.period(self.start.date()));
        let end = self.start.date().checked_add(CYCLE_DAYS.days()).unwrap_or(Date::MAX);
        while let Some(begin) = period.filter(|begin| *begin <= end && fired.len() < wanted) {
            fired.extend(self.starts(begin, zone));
            period = if self.is_over(begin, zone) { None } else { self.next_period(begin) };
        }
        fired.truncate(wanted);
        fired
    }

    /// The first day of the period that the day is in, no earlier than that of the start.
    pub(super) fn period(&self, day: Date) -> Date {
        let day = day.max(self.start.date());
        match self.rule.frequency {
            Frequency::Hourly | Frequency::Daily => day,
            Frequency::Weekly => {
                let offset = day.weekday().since(self.rule.week_start);
                day.checked_sub(i64::from(offset).days()).unwrap_or(day)
            }
            Frequency::Monthly => day.first_of_month(),
            Frequency::Yearly => day.first_of_year(),
        }
    }

    /// The first day of the next period; `None` at the end of time.
    pub(super) fn next_period(&self, begin: Date) -> Option<Date> {
        match self.rule.frequency {
            Frequency::Hourly | Frequency::Daily => begin.tomorrow().ok(),
            Frequency::Weekly => begin.checked_add(1.week()).ok(),
            Frequency::Monthly => begin.last_of_month().tomorrow().ok(),
            Frequency::Yearly => begin.last_of_year().tomorrow().ok(),
        }
    }

    /// Whether nothing starts in this period or later.
    pub(super) fn is_over(&self, begin: Date, zone: &Zone) -> bool {
        let at = begin.to_datetime(Time::midnight());
        let ended = match self.rule.end {
            End::Never | End::Count(_) => false,
            End::Local(last) => at > last,
            End::Utc(last) => zone.instant(at).is_none_or(|at| at > last),
        };
        ended || self.last.is_some_and(|last| at > last)
    }

    /// Every start in a period, in order.
    pub(super) fn starts(&self, begin: Date, zone: &Zone) -> Vec<DateTime> {
        if self.rule.frequency != Frequency::Hourly && !self.is_aligned(begin) {
            return Vec::new();
        }
        let end = self.next_period(begin).unwrap_or(Date::MAX);
        let days = std::iter::successors(Some(begin), |day| day.tomorrow().ok());
        let days: Vec<Date> =
            days.take_while(|day| *day < end).filter(|day| self.takes(*day)).collect();
        let mut starts = match self.rule.frequency {
            Frequency::Hourly => {
                days.iter().flat_map(|day| self.starts_by_hour(*day)).collect::<Vec<_>>()
            }
            Frequency::Daily | Frequency::Weekly | Frequency::Monthly | Frequency::Yearly => {
                self.picked(&days)
            }
        };
        starts.retain(|at| *at >= self.start && !self.is_after_end(*at, zone));
        starts
    }

    fn is_after_end(&self, at: DateTime, zone: &Zone) -> bool {
        let ended = match self.rule.end {
            End::Never | End::Count(_) => false,
            End::Local(last) => at > last,
            End::Utc(last) => zone.instant(at).is_none_or(|at: Timestamp| at > last),
        };
        ended || self.last.is_some_and(|last| at > last)
    }

    /// Days times times; of those, the positions that the rule wants.
    fn picked(&self, days: &[Date]) -> Vec<DateTime> {
        let all: Vec<DateTime> = days
            .iter()
            .flat_map(|day| self.times.iter().map(|time| day.to_datetime(*time)))
            .collect();
        positions(&self.rule.positions, all)
    }

    fn starts_by_hour(&self, day: Date) -> Vec<DateTime> {
        let hours = (0_i8..24).filter(|hour| {
            let wanted = &self.rule.hours;
            let fits = wanted.is_empty() || wanted.contains(&i16::from(*hour));
            fits && self.is_hour_aligned(day, *hour)
        });
        let at = |hour: i8, time: &Time| day.at(hour, time.minute(), time.second(), 0);
        hours
            .flat_map(|hour| {
                let all = self.times.iter().map(|time| at(hour, time)).collect();
                positions(&self.rule.positions, all)
            })
            .collect()
    }

    /// Whether the period is one of every `INTERVAL`.
    fn is_aligned(&self, begin: Date) -> bool {
        let first = self.period(self.start.date());
        let passed = match self.rule.frequency {
            Frequency::Hourly | Frequency::Daily => days_between(first, begin),
            Frequency::Weekly => days_between(first, begin) / 7,
            Frequency::Monthly => {
                i64::from(begin.year() - first.year()) * 12
                    + i64::from(begin.month() - first.month())
            }
            Frequency::Yearly => i64::from(begin.year() - first.year()),
        };
        passed % i64::from(self.rule.interval) == 0
    }

    fn is_hour_aligned(&self, day: Date, hour: i8) -> bool {
        let passed = days_between(self.start.date(), day) * 24 + i64::from(hour)
            - i64::from(self.start.hour());
        passed % i64::from(self.rule.interval) == 0
    }

    /// Whether the day fits every part of the rule that is about days.
    fn takes(&self, day: Date) -> bool {
        let rule = &self.rule;
        let month = rule.months.is_empty() || rule.months.contains(&i16::from(day.month()));
        month
            && among(&rule.month_days, i16::from(day.day()), i16::from(day.days_in_month()))
            && among(&rule.year_days, day.day_of_year(), day.days_in_year())
            && (rule.week_numbers.is_empty() || self.takes_week(day))
            && (rule.days.is_empty() || rule.days.iter().any(|wanted| self.takes_day(*wanted, day)))
    }

    fn takes_day(&self, wanted: Day, day: Date) -> bool {
        if wanted.weekday != day.weekday() {
            return false;
        }
        let Some(nth) = wanted.nth else { return true };
        let in_month = self.rule.frequency == Frequency::Monthly || !self.rule.months.is_empty();
        let (position, length) = if in_month {
            (i16::from(day.day()), i16::from(day.days_in_month()))
        } else {
            (day.day_of_year(), day.days_in_year())
        };
        nth == (position - 1) / 7 + 1 || nth == -((length - position) / 7 + 1)
    }

    fn takes_week(&self, day: Date) -> bool {
        let (number, of) = week_number(day, self.rule.week_start);
        among(&self.rule.week_numbers, number, of)
    }
}

/// What the RFC takes from the start where a rule does not say it.
fn with_defaults(mut rule: Rule, start: DateTime) -> Rule {
    let weekday = Day { nth: None, weekday: start.weekday() };
    let has_day =
        !rule.days.is_empty() || !rule.month_days.is_empty() || !rule.year_days.is_empty();
    match rule.frequency {
        Frequency::Hourly | Frequency::Daily => {}
        Frequency::Weekly if rule.days.is_empty() => rule.days.push(weekday),
        Frequency::Monthly if !has_day => rule.month_days.push(i16::from(start.day())),
        Frequency::Yearly if !has_day && !rule.week_numbers.is_empty() => rule.days.push(weekday),
        Frequency::Yearly if !has_day => {
            rule.month_days.push(i16::from(start.day()));
            if rule.months.is_empty() {
                rule.months.push(i16::from(start.month()));
            }
        }
        // Without a month, a day of the month is one of each month.
        Frequency::Weekly | Frequency::Monthly | Frequency::Yearly => {}
    }
    let fill = |part: &mut Vec<i16>, value: i8| {
        if part.is_empty() {
            part.push(i16::from(value));
        }
    };
    if rule.frequency != Frequency::Hourly {
        fill(&mut rule.hours, start.hour());
    }
    fill(&mut rule.minutes, start.minute());
    fill(&mut rule.seconds, start.second());
    rule
}

fn times(rule: &Rule) -> Vec<Time> {
    let hours: &[i16] = if rule.frequency == Frequency::Hourly { &[0] } else { &rule.hours };
    let small = |number: i16| i8::try_from(number).expect("checked when the rule was parsed");
    let mut times = Vec::new();
    for hour in hours {
        for minute in &rule.minutes {
            for second in &rule.seconds {
                times.push(Time::constant(small(*hour), small(*minute), small(*second), 0));
            }
        }
    }
    times
}

/// The wanted positions of a sorted set, counted from 1, or from its end where negative.
fn positions(wanted: &[i16], all: Vec<DateTime>) -> Vec<DateTime> {
    if wanted.is_empty() {
        return all;
    }
    let at = |position: &i16| {
        let position = isize::from(*position);
        let index = if position > 0 { position - 1 } else { all.len() as isize + position };
        usize::try_from(index).ok().and_then(|index| all.get(index).copied())
    };
    wanted.iter().filter_map(at).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a position of so many is wanted; one may be wanted from the end.
fn among(wanted: &[i16], position: i16, of: i16) -> bool {
    wanted.is_empty() || wanted.contains(&position) || wanted.contains(&(position - of - 1))
}

fn days_between(from: Date, to: Date) -> i64 {
    to.duration_since(from).as_hours() / 24
}

/// The number of a week in its year and how many that year has. The first week is the one with at
/// least four days in the year.
fn week_number(day: Date, week_start: Weekday) -> (i16, i16) {
    let first = |year: i16| {
        let new_year = Date::constant(year, 1, 1);
        let offset = i16::from(new_year.weekday().since(week_start));
        // Days from the new year to the first day of its first week.
        if offset <= 3 { -offset } else { 7 - offset }
    };
    let position = day.day_of_year() - 1;
    let year = day.year();
    let length = |year: i16| Date::constant(year, 1, 1).days_in_year();
    let (from, weeks_year) = if position < first(year) {
        (position + length(year - 1), year - 1)
    } else if position >= length(year) + first(year + 1) {
        (position - length(year), year + 1)
    } else {
        (position, year)
    };
    let begin = first(weeks_year);
    let weeks = (length(weeks_year) + first(weeks_year + 1) - begin) / 7;
    ((from - begin) / 7 + 1, weeks)
}
