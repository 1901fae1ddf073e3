//! Several windows together: open or closed, and until when.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::runs::{Run, Runs};
use super::{Action, Window, WindowKind};

/// Starts and ends of windows that a search for a change looks at.
pub const CHANGES_MAX: u32 = 1_000;

/// Sets of windows, one for each policy; open while each set is.
#[derive(Debug, Clone, Default)]
pub struct Schedule<'a> {
    sets: Vec<Vec<&'a Window>>,
}

/// When a schedule next changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextChange {
    /// Then.
    At(Timestamp),
    /// Not before then: the search ended there.
    NotBefore(Timestamp),
    /// Never.
    Never,
}

impl NextChange {
    /// The earliest instant at which it can change.
    #[must_use]
    pub fn earliest(self) -> Option<Timestamp> {
        match self {
            Self::At(at) | Self::NotBefore(at) => Some(at),
            Self::Never => None,
        }
    }
}

impl<'a> Schedule<'a> {
    /// The windows that concern an action of a member of these groups, by policy.
    #[must_use]
    pub fn of(
        sets: impl IntoIterator<Item = &'a [Window]>,
        action: Action,
        groups: &BTreeSet<String>,
    ) -> Self {
        let concerned = |set: &'a [Window]| -> Vec<&'a Window> {
            set.iter().filter(|window| window.concerns(action, groups)).collect()
        };
        Self { sets: sets.into_iter().map(concerned).filter(|set| !set.is_empty()).collect() }
    }

    /// Whether there is no window.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Whether it is open.
    #[must_use]
    pub fn open_at(&self, at: Timestamp) -> bool {
        self.sets.iter().all(|set| set_is_open(set.iter().map(|w| (w.spec.kind, w.runs_at(at)))))
    }

    /// The windows that keep it closed: deny windows that run, or allow windows that do not. Empty
    /// while it is open.
    #[must_use]
    pub fn closed_by(&self, at: Timestamp) -> Vec<&'a Window> {
        let mut closing = Vec::new();
        for set in &self.sets {
            let denying: Vec<&Window> = set
                .iter()
                .filter(|window| window.spec.kind == WindowKind::Deny && window.runs_at(at))
                .copied()
                .collect();
            if !denying.is_empty() {
                closing.extend(denying);
                continue;
            }
            let allowing = || set.iter().filter(|window| window.spec.kind == WindowKind::Allow);
            if !allowing().any(|window| window.runs_at(at)) {
                closing.extend(allowing().copied());
            }
        }
        closing
    }

    /// When it next opens or closes after this instant.
    #[must_use]
    pub fn next_change(&self, after: Timestamp) -> NextChange {
        let mut cursors = Cursors::new(&self.sets, after);
        let before = cursors.open_at(after);
        let mut at = after;
        for _ in 0..CHANGES_MAX {
            let Some(edge) = cursors.next_edge(at) else { return NextChange::Never };
            at = edge;
            cursors.advance(at);
            if cursors.open_at(at) != before {
                return NextChange::At(at);
            }
        }
        NextChange::NotBefore(at)
    }

    /// When it is next open: this instant if it is open now.
    #[must_use]
    pub fn next_opening(&self, from: Timestamp) -> NextChange {
        if self.open_at(from) { NextChange::At(from) } else { self.next_change(from) }
    }
}

fn set_is_open(windows: impl Iterator<Item = (WindowKind, bool)>) -> bool {
    let (mut allows, mut allowed) = (false, false);
    for (kind, runs) in windows {
        match kind {
            WindowKind::Deny if runs => return false,
            WindowKind::Deny => {}
            WindowKind::Allow => {
                allows = true;
                allowed |= runs;
            }
        }
    }
    allowed || !allows
}

/// One cursor for each window of each set.
struct Cursors<'a>(Vec<Vec<Cursor<'a>>>);

struct Cursor<'a> {
    kind: WindowKind,
    runs: Runs<'a>,
    /// The first run that is not over.
    run: Option<Run>,
}

impl<'a> Cursors<'a> {
    fn new(sets: &[Vec<&'a Window>], after: Timestamp) -> Self {
        let cursor = |window: &&'a Window| {
            let mut runs = Runs::after(window, after);
            Cursor { kind: window.spec.kind, run: runs.next(), runs }
        };
        Self(sets.iter().map(|set| set.iter().map(cursor).collect()).collect())
    }

    fn open_at(&self, at: Timestamp) -> bool {
        let runs = |cursor: &Cursor<'_>| cursor.run.is_some_and(|run| run.start <= at);
        self.0.iter().all(|set| set_is_open(set.iter().map(|c| (c.kind, runs(c)))))
    }

    fn next_edge(&self, after: Timestamp) -> Option<Timestamp> {
        let edge = |run: Run| if run.start > after { run.start } else { run.end };
        self.0.iter().flatten().filter_map(|cursor| cursor.run.map(edge)).min()
    }

    fn advance(&mut self, to: Timestamp) {
        for cursor in self.0.iter_mut().flatten() {
            while cursor.run.is_some_and(|run| run.end <= to) {
                cursor.run = cursor.runs.next();
            }
        }
    }
}
