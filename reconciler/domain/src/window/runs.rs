//! The occurrences of one window as instants, merged where they touch.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::Window;

/// Occurrences that are merged at most: a window that never pauses comes in pieces that touch.
const MERGED_MAX: usize = 100;
/// Periods without a start after which a rule is taken to have ended: four centuries of days.
const EMPTY_MAX: u32 = 146_097;

/// A time in which a window runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Its first instant.
    pub(super) start: Timestamp,
    /// The first instant after it.
    pub(super) end: Timestamp,
}

/// The runs of a window, in order.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    window: &'a Window,
    /// Runs that end before are left out.
    after: Timestamp,
    /// The period to look at next; absent: there is none.
    period: Option<Date>,
    /// Starts of periods that were looked at.
    starts: BTreeSet<Timestamp>,
}

impl<'a> Runs<'a> {
    /// Runs that end after the instant.
    pub(super) fn after(window: &'a Window, after: Timestamp) -> Self {
        let spec = window.spec();
        let earliest = after.checked_sub(spec.duration).unwrap_or(Timestamp::MIN);
        // A start may have moved over a gap of the clocks from the day before.
        let day = spec.timezone.local(earliest).date();
        let day = day.checked_sub(1.day()).unwrap_or(day);
        let period = Some(window.calendar.period(day));
        Self { window, after, period, starts: BTreeSet::new() }
    }

    fn next_start(&mut self) -> Option<Timestamp> {
        let zone = &self.window.spec.timezone;
        for _ in 0..EMPTY_MAX {
            let Some(period) = self.period else { break };
            let begins = zone.instant(period.to_datetime(Time::midnight()));
            if self.starts.first().is_some_and(|first| begins.is_some_and(|at| *first < at)) {
                break;
            }
            let calendar = &self.window.calendar;
            let local = calendar.starts(period, zone);
            self.starts.extend(local.into_iter().filter_map(|at| zone.instant(at)));
            self.period = calendar.next_period(period).filter(|p| !calendar.is_over(*p, zone));
        }
        self.starts.pop_first()
    }

    fn run(&self, start: Timestamp) -> Option<Run> {
        let length = SignedDuration::try_from(self.window.spec.duration).ok()?;
        Some(Run { start, end: start.checked_add(length).ok()? })
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let mut run = loop {
            let start = self.next_start()?;
            let run = self.run(start)?;
            if run.end > self.after {
                break run;
            }
        };
        for _ in 0..MERGED_MAX {
            let Some(start) = self.next_start() else { break };
            if start > run.end {
                self.starts.insert(start);
                break;
            }
            match self.run(start) {
                Some(next) => run.end = run.end.max(next.end),
                None => break,
            }
        }
        Some(run)
    }
}
