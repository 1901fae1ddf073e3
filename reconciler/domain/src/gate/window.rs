//! The gate of windows: whether it is the time for something.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Facts, Gate, Verdict, asking, gate as plain};
use crate::policy::{GateKind, Joined};
use crate::window::{Action, NextChange, Schedule, Window, WindowKind};

/// Why it is not the time for something, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// In one word: `WindowClosed` or `Frozen`.
    pub reason: &'static str,
    /// In one sentence: which windows and freezes, and when they open or end.
    pub message: String,
    /// When all of them do, or the earliest instant at which they can.
    pub until: Option<Timestamp>,
}

pub(super) fn gate(facts: &Facts<'_>, now: Timestamp) -> Option<Gate> {
    let asking = asking(facts, GateKind::Window);
    if asking.is_empty() {
        return None;
    }
    let kind = GateKind::Window;
    let goes_back = facts.promotion.is_some_and(|promotion| promotion.rollback);
    let action = if goes_back { Action::Rollback } else { Action::Promote };
    if let Some(Closed { message, until, .. }) = closed(facts.joined, action, facts.groups(), now) {
        return Some(Gate { until, ..plain(kind, asking, Verdict::Fail, message) });
    }
    let schedule = schedule(facts.joined, action, facts.groups());
    if schedule.is_empty() {
        let message = "no window is about this promotion".to_owned();
        return Some(plain(kind, asking, Verdict::Pass, message));
    }
    let (message, until) = match schedule.next_change(now) {
        NextChange::At(at) => (format!("open until {at}"), Some(at)),
        NextChange::NotBefore(at) => (format!("open until {at} at least"), Some(at)),
        NextChange::Never => ("open, and does not close".to_owned(), None),
    };
    Some(Gate { until, ..plain(kind, asking, Verdict::Pass, message) })
}

/// Why it is not the time for an action of a member of these groups; `None`: it is.
pub(super) fn closed(
    joined: &Joined<'_>,
    action: Action,
    groups: &BTreeSet<String>,
    now: Timestamp,
) -> Option<Closed> {
    let schedule = schedule(joined, action, groups);
    let closing = schedule.closed_by(now);
    if closing.is_empty() {
        return None;
    }
    let next = schedule.next_opening(now);
    let opens = match next {
        NextChange::At(at) => format!("opens at {at}"),
        NextChange::NotBefore(at) => format!("does not open before {at}"),
        NextChange::Never => "never opens again: change the windows".to_owned(),
    };
    let names = |kind| named(&closing, kind);
    let why = match (names(WindowKind::Deny), names(WindowKind::Allow)) {
        (Some(deny), None) => format!("denied by window {deny}"),
        (None, Some(allow)) => format!("outside of window {allow}"),
        (Some(deny), Some(allow)) => {
            format!("denied by window {deny} and outside of window {allow}")
        }
        (None, None) => "closed".to_owned(),
    };
    let message = format!("{why}; {opens}");
    Some(Closed { reason: "WindowClosed", message, until: next.earliest() })
}

fn schedule<'a>(joined: &Joined<'a>, action: Action, groups: &BTreeSet<String>) -> Schedule<'a> {
    let sets = joined.policies.iter().map(|policy| policy.windows.as_slice());
    Schedule::of(sets, action, groups)
}

fn named(closing: &[&Window], kind: WindowKind) -> Option<String> {
    let of_kind = closing.iter().filter(|window| window.spec().kind == kind);
    let names: Vec<&str> = of_kind.map(|window| window.name()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
