//! Windows: when something may happen, and when it must not.
//!
//! A window recurs by a rule of RFC 5545 in the wall clock of a zone ([`Recurrence`], [`Zone`]). Each
//! occurrence lasts its duration of *elapsed* time, start included, end excluded. A start that a
//! change of the clocks skips moves forward by the gap; one that occurs twice is the first.
//!
//! Several windows are open ([`Schedule`]) while no deny window runs, and some allow window runs or
//! there is none.
//!
//! Work is bounded: a rule is evaluated one calendar period at a time, from the instant that is asked
//! about and never from its start; a rule that fires on no day of four centuries (the cycle of the
//! calendar) is an error where it is defined; and a search for the next change ends after
//! [`CHANGES_MAX`] starts and ends, with the instant up to which there is none.
//!
//! - `recurrence`: the text of a rule and what it says
//! - `calendar`: on which days and at what times it fires
//! - `zone`: zones by their IANA names, from data that is compiled in
//! - `runs`: occurrences as instants, merged where they touch
//! - `schedule`: several windows together

mod calendar;
mod recurrence;
mod runs;
mod schedule;
mod zone;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

pub use recurrence::{Recurrence, RecurrenceError};
pub use schedule::{CHANGES_MAX, NextChange, Schedule};
pub use zone::{Zone, ZoneError};

use calendar::Calendar;

/// The longest duration of one occurrence: 366 days.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The most occurrences that a rule may count.
pub const COUNT_MAX: u32 = 366;

/// A recurring time in which something may or must not happen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WindowSpec", into = "WindowSpec")]
pub struct Window {
    spec: WindowSpec,
    calendar: Calendar,
}

/// What a window is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSpec {
    /// Unique in the policy.
    pub name: String,
    /// Whether it opens or closes.
    pub kind: WindowKind,
    /// When it recurs.
    pub rule: Recurrence,
    /// From when on, in local time; where absent, since long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime>,
    /// How long each occurrence lasts, in elapsed time.
    pub duration: Duration,
    /// Whose wall clock the rule is about.
    pub timezone: Zone,
    /// What it is about.
    pub actions: BTreeSet<Action>,
    /// Whom it is about: promotions that a member of one of these groups asked for. Empty: all,
    /// those of automation too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Whom it is not about, though it would be.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exempt: BTreeSet<String>,
}

/// What a window does while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// Opens: outside of it, and of every other allow window, it is closed.
    Allow,
    /// Closes, whatever allow windows say.
    Deny,
}

/// What a window can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The commit of a promotion.
    Promote,
    /// The undo of a failed one, and a promotion that goes back.
    Rollback,
    /// Skipping a gate by right.
    Bypass,
}

impl Action {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Bypass => "bypass",
        }
    }
}

/// Why something is no window. The field that is at fault is named like that of [`WindowSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WindowError {
    /// The field.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Whether the fault is that it never runs.
    pub never: bool,
}

/// Reads the reading of a wall clock, such as `2026-01-05T09:00:00`.
///
/// # Errors
/// In words, with what would be right; an offset or zone is refused, since the window has one.
pub fn local(text: &str) -> Result<DateTime, String> {
    let has_offset = text.parse::<Timestamp>().is_ok();
    text.parse().ok().filter(|_| !has_offset).ok_or_else(|| {
        format!(
            "{text:?} is not a local time such as 2026-01-05T09:00:00; its zone is that of the \
             window"
        )
    })
}

impl Window {
    /// A window.
    ///
    /// # Errors
    /// The duration is out of bounds, the rule needs a start that is not given, or it never fires.
    pub fn new(spec: WindowSpec) -> Result<Self, WindowError> {
        let refuse = |field, message: String| WindowError { field, message, never: false };
        if spec.duration.is_zero() || spec.duration > DURATION_MAX {
            let message = "an occurrence lasts longer than 0s and at most 366d".to_owned();
            return Err(refuse("duration", message));
        }
        if spec.actions.is_empty() {
            let message = "a window is about at least one of promote, rollback, bypass".to_owned();
            return Err(refuse("actions", message));
        }
        if spec.start.is_none()
            && let Some(message) = spec.rule.needs_start()
        {
            return Err(refuse("rule", message));
        }
        let calendar = Calendar::new(&spec.rule, spec.start, &spec.timezone)
            .map_err(|message| WindowError { field: "rule", message, never: true })?;
        Ok(Self { spec, calendar })
    }

    /// What it is made of.
    #[must_use]
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Whether it is about this action of a member of these groups; automation is in none.
    #[must_use]
    pub fn concerns(&self, action: Action, groups: &BTreeSet<String>) -> bool {
        let spec = &self.spec;
        spec.actions.contains(&action)
            && (spec.groups.is_empty() || !spec.groups.is_disjoint(groups))
            && spec.exempt.is_disjoint(groups)
    }

    /// Whether an occurrence runs at this instant.
    #[must_use]
    pub fn runs_at(&self, at: Timestamp) -> bool {
        runs::Runs::after(self, at).next().is_some_and(|run| run.start <= at)
    }

    /// When its rule begins, if it says so.
    #[must_use]
    pub fn starts_at(&self) -> Option<Timestamp> {
        self.spec.timezone.instant(self.spec.start?)
    }

    /// When it next starts after this instant.
    #[must_use]
    pub fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        runs::Runs::after(self, after).map(|run| run.start).find(|start| *start > after)
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for Window {}

impl TryFrom<WindowSpec> for Window {
    type Error = WindowError;

    fn try_from(spec: WindowSpec) -> Result<Self, WindowError> {
        Self::new(spec)
    }
}

impl From<Window> for WindowSpec {
    fn from(window: Window) -> Self {
        window.spec
    }
}

#[cfg(test)]
mod tests;
