//! Freezes: times in which nothing may happen in a project, or in every project of the daemon, with a
//! reason, and with exceptions.
//!
//! A freeze is one stretch of time, from and until instants that may be absent, or the occurrences of
//! a [`Window`] inside of it. It is about actions as windows are: where nothing else is said, about
//! promotions and about skipping gates, and not about the undo of what fails. What is frozen may be
//! prepared and approved; it waits at its gates. Unlike a window, a freeze is nobody's policy: it
//! holds for all that it reaches, whatever the policies say, and no right skips it. Who may go on is an
//! exception that it names.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::glob::matches_name;
use crate::id::{FreezeName, Principal, ProjectName, StageName};
use crate::snapshot::Defined;
use crate::window::{
    Action, NextChange, Recurrence, Schedule, Window, WindowError, WindowKind, WindowSpec, Zone,
};

/// A time in which nothing may happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    /// Unique in what it reaches.
    pub name: FreezeName,
    /// Where it holds.
    #[serde(default, skip_serializing_if = "Reach::is_project")]
    pub reach: Reach,
    /// Why; mandatory.
    pub reason: String,
    /// When it begins; absent: it has begun.
    pub from: Option<Timestamp>,
    /// When it ends by itself; absent: when somebody ends it.
    pub until: Option<Timestamp>,
    /// When it runs between these; absent: all the time.
    pub window: Option<Box<Window>>,
    /// What it is about; at least one.
    pub actions: BTreeSet<Action>,
    /// What it is not about.
    #[serde(default)]
    pub except: Exceptions,
}

/// Where a freeze holds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// In the project that it is in.
    #[default]
    Project,
    /// In every project of the daemon; it is in none.
    Instance,
}

impl Reach {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_project(&self) -> bool {
        *self == Self::Project
    }
}

/// What a freeze lets go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exceptions {
    /// Globs over names of projects; only of a freeze that reaches them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
    /// Globs over stage names.
    pub stages: Vec<String>,
    /// Whoever of this name asked for the promotion.
    pub principals: BTreeSet<String>,
    /// Members of any of these groups.
    pub groups: BTreeSet<String>,
}

/// Who wants something done.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Their name.
    pub name: &'a Principal,
    /// Their groups; automation is in none.
    pub groups: &'a BTreeSet<String>,
}

/// What a freeze is about where nothing is said: not the undo of what fails.
#[must_use]
pub fn actions_default() -> BTreeSet<Action> {
    BTreeSet::from([Action::Promote, Action::Bypass])
}

/// A window in which a freeze runs.
///
/// # Errors
/// As [`Window::new`].
pub fn window(
    rule: Recurrence,
    start: Option<DateTime>,
    duration: Duration,
    timezone: Zone,
) -> Result<Window, WindowError> {
    Window::new(WindowSpec {
        name: "freeze".to_owned(),
        kind: WindowKind::Deny,
        rule,
        start,
        duration,
        timezone,
        actions: BTreeSet::from([Action::Promote]),
        groups: BTreeSet::new(),
        exempt: BTreeSet::new(),
    })
}

impl Freeze {
    /// Whether it runs at this instant.
    #[must_use]
    pub fn runs_at(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at)
            && !self.is_over(at)
            && self.window.as_ref().is_none_or(|window| window.runs_at(at))
    }

    /// Whether it has ended for good.
    #[must_use]
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }

    /// When it ends, of one that runs; never: when somebody ends it.
    #[must_use]
    pub fn ends_after(&self, at: Timestamp) -> NextChange {
        let occurrence = match &self.window {
            Some(window) => recurring(window).next_opening(at),
            None => NextChange::Never,
        };
        match (occurrence, self.until) {
            (NextChange::At(end) | NextChange::NotBefore(end), Some(until)) if until <= end => {
                NextChange::At(until)
            }
            (NextChange::Never, Some(until)) => NextChange::At(until),
            (occurrence, _) => occurrence,
        }
    }

    /// When it begins next, of one that does not run; absent: not again.
    #[must_use]
    pub fn begins_after(&self, at: Timestamp) -> Option<Timestamp> {
        let from = self.from.map_or(at, |from| from.max(at));
        let begins = match &self.window {
            Some(window) if !window.runs_at(from) => window.next_start(from)?,
            Some(_) | None => from,
        };
        Some(begins).filter(|begins| !self.is_over(*begins))
    }

    /// Whether it could keep anything from the project. Who loads freezes for a decision asks this, so
    /// that decisions are about what concerns their project.
    #[must_use]
    pub fn concerns_project(&self, project: &ProjectName) -> bool {
        !self.except.projects.iter().any(|pattern| matches_name(pattern, project.as_str()))
    }

    /// Whether it could keep anything from the stage, in a project that it concerns.
    #[must_use]
    pub fn concerns(&self, stage: &StageName) -> bool {
        !self.except.stages.iter().any(|pattern| matches_name(pattern, stage.as_str()))
    }

    /// Whether it is about the action of these people in the stage, while it runs.
    #[must_use]
    pub fn covers(&self, stage: &StageName, action: Action, by: Asker<'_>) -> bool {
        let is_excepted = match by.name {
            Principal::Named(name) => self.except.principals.contains(name),
            Principal::Automation => false,
        };
        self.actions.contains(&action)
            && self.concerns(stage)
            && !is_excepted
            && self.except.groups.is_disjoint(by.groups)
    }
}

/// A schedule that is closed while the window runs.
fn recurring(window: &Window) -> Schedule<'_> {
    Schedule::of([std::slice::from_ref(window)], Action::Promote, &BTreeSet::new())
}

/// The freezes that keep the action of these people from the stage now.
pub fn stopping<'a>(
    freezes: &'a [Defined<Freeze>],
    stage: &'a StageName,
    action: Action,
    by: Asker<'a>,
    now: Timestamp,
) -> impl Iterator<Item = &'a Defined<Freeze>> {
    let stops = move |freeze: &Freeze| freeze.covers(stage, action, by) && freeze.runs_at(now);
    freezes.iter().filter(move |freeze| stops(&freeze.spec))
}

/// A freeze that runs, in one phrase: `freeze audit of ann: …; ends at …`, or `instance freeze …`.
#[must_use]
pub fn describe(freeze: &Defined<Freeze>, now: Timestamp) -> String {
    let Defined { spec, changed_by, .. } = freeze;
    let ends = match spec.ends_after(now) {
        NextChange::At(at) => format!("ends at {at}"),
        NextChange::NotBefore(at) => format!("does not end before {at}"),
        NextChange::Never => "lasts until somebody ends it".to_owned(),
    };
    let what = match spec.reach {
        Reach::Project => "freeze",
        Reach::Instance => "instance freeze",
    };
    format!("{what} {} of {changed_by}: {}; {ends}", spec.name, spec.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn freeze(from: Option<&str>, until: Option<&str>) -> Freeze {
        Freeze {
            name: "audit".parse().expect("a name"),
            reach: Reach::Project,
            reason: "books close".to_owned(),
            from: from.map(at),
            until: until.map(at),
            window: None,
            actions: actions_default(),
            except: Exceptions::default(),
        }
    }

    fn weekends(from: Option<&str>, until: Option<&str>) -> Freeze {
        let rule = "FREQ=WEEKLY;BYDAY=SA".parse().expect("a rule");
        let start = "2026-01-03T00:00:00".parse().ok();
        let zone = "UTC".parse().expect("a zone");
        let weekend = window(rule, start, Duration::from_secs(48 * 60 * 60), zone);
        Freeze { window: weekend.ok().map(Box::new), ..freeze(from, until) }
    }

    /// At an instant: when a freeze that runs ends, or when one that does not begins.
    fn check(freeze: &Freeze, when: &str, expected: &str) {
        let now = at(when);
        let said = match (freeze.runs_at(now), freeze.ends_after(now), freeze.begins_after(now)) {
            (true, NextChange::At(at), _) => format!("until {at}"),
            (true, NextChange::NotBefore(at), _) => format!("at least until {at}"),
            (true, NextChange::Never, _) => "for good".to_owned(),
            (false, _, Some(at)) => format!("from {at}"),
            (false, _, None) => "over".to_owned(),
        };
        assert_eq!(said, expected, "{freeze:?} at {when}");
    }

    #[test]
    fn a_freeze_begins_and_ends() {
        let (from, until) = (Some("2026-12-20T00:00:00Z"), Some("2027-01-02T00:00:00Z"));
        check(&freeze(None, None), "2026-12-19T00:00:00Z", "for good");
        check(&freeze(from, None), "2026-12-19T00:00:00Z", "from 2026-12-20T00:00:00Z");
        check(&freeze(from, until), "2026-12-20T00:00:00Z", "until 2027-01-02T00:00:00Z");
        check(&freeze(from, until), "2027-01-02T00:00:00Z", "over");
        // Saturdays: 2026-12-19, 2026-12-26, 2027-01-02.
        check(&weekends(None, None), "2026-12-22T00:00:00Z", "from 2026-12-26T00:00:00Z");
        check(&weekends(None, None), "2026-12-26T01:00:00Z", "until 2026-12-28T00:00:00Z");
        check(&weekends(from, None), "2026-12-19T01:00:00Z", "from 2026-12-20T00:00:00Z");
        check(&weekends(from, until), "2026-12-20T01:00:00Z", "until 2026-12-21T00:00:00Z");
        check(&weekends(None, until), "2026-12-29T00:00:00Z", "over");
        let sunday = Some("2026-12-27T00:00:00Z");
        check(&weekends(None, sunday), "2026-12-26T01:00:00Z", "until 2026-12-27T00:00:00Z");
    }

    #[test]
    fn a_freeze_lets_its_exceptions_go_on() {
        let except = Exceptions {
            projects: Vec::new(),
            stages: vec!["dev*".to_owned()],
            principals: BTreeSet::from(["ann".to_owned()]),
            groups: BTreeSet::from(["oncall".to_owned()]),
        };
        let freeze = Freeze { except, ..freeze(None, None) };
        let covers = |stage: &str, action, name: Option<&str>, group: &str| {
            let name = name.map_or(Principal::Automation, |it| Principal::Named(it.to_owned()));
            let groups = BTreeSet::from([group.to_owned()]);
            let stage = stage.parse().expect("a stage");
            freeze.covers(&stage, action, Asker { name: &name, groups: &groups })
        };
        assert!(covers("prod", Action::Promote, None, ""));
        assert!(covers("prod", Action::Bypass, Some("bob"), "sre"));
        assert!(!covers("prod", Action::Rollback, None, ""), "undo goes on where nothing is said");
        assert!(!covers("prod", Action::Promote, Some("ann"), "sre"));
        assert!(!covers("prod", Action::Promote, Some("bob"), "oncall"));
        assert!(!covers("dev-eu", Action::Promote, None, ""));
    }

    #[test]
    fn a_freeze_of_all_projects_excepts_some() {
        let except = Exceptions { projects: vec!["lab-*".to_owned()], ..Exceptions::default() };
        let freeze = Freeze { reach: Reach::Instance, except, ..freeze(None, None) };
        let concerns = |project: &str| freeze.concerns_project(&project.parse().expect("a name"));
        assert!(concerns("shop"));
        assert!(!concerns("lab-eu"));
    }

    #[test]
    fn a_freeze_of_a_project_is_written_as_ever() {
        let written = serde_json::to_value(freeze(None, None)).expect("a freeze");
        assert_eq!(
            written,
            serde_json::json!({
                "name": "audit", "reason": "books close", "from": null, "until": null,
                "window": null, "actions": ["promote", "bypass"],
                "except": { "stages": [], "principals": [], "groups": [] },
            })
        );
        let read: Freeze = serde_json::from_value(written).expect("a freeze");
        assert_eq!(read, freeze(None, None));
    }
}
