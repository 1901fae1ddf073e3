//! The gates of freezes: one for each that stops the promotion.

use jiff::Timestamp;

use super::window::{self, Closed};
use super::{Facts, Gate, Verdict, gate as plain};
use crate::freeze::{self, Asker, Freeze};
use crate::id::{Principal, StageName};
use crate::policy::{GateKind, Joined};
use crate::snapshot::Defined;
use crate::window::Action;

pub(super) fn gates(facts: &Facts<'_>, now: Timestamp) -> Vec<Gate> {
    let goes_back = facts.promotion.is_some_and(|promotion| promotion.rollback);
    let action = if goes_back { Action::Rollback } else { Action::Promote };
    let stopping = freeze::stopping(facts.freezes, &facts.stage.name, action, facts.asker(), now);
    let gate = |freeze: &Defined<Freeze>| Gate {
        until: freeze.spec.ends_after(now).earliest(),
        ..plain(GateKind::Freeze, Vec::new(), Verdict::Fail, freeze::describe(freeze, now))
    };
    stopping.map(gate).collect()
}

impl<'a> Facts<'a> {
    /// Whoever asked for the promotion; automation, if there is none yet.
    pub(super) fn asker(&self) -> Asker<'a> {
        static AUTOMATION: Principal = Principal::Automation;
        let name = self.promotion.map_or(&AUTOMATION, |promotion| &promotion.requester);
        Asker { name, groups: self.groups() }
    }
}

/// What stops an action, besides the gates: the windows of the policies and the freezes.
#[derive(Debug, Clone, Copy)]
pub struct Times<'a> {
    /// The stage.
    pub stage: &'a StageName,
    /// The policies that select it.
    pub joined: &'a Joined<'a>,
    /// The freezes of the project.
    pub freezes: &'a [Defined<Freeze>],
}

impl Times<'_> {
    /// Why it is not the time for an action of these people; absent: it is.
    #[must_use]
    pub fn closed(&self, action: Action, by: Asker<'_>, now: Timestamp) -> Option<Closed> {
        let windows = window::closed(self.joined, action, by.groups, now);
        let freezes = freeze::stopping(self.freezes, self.stage, action, by, now);
        let frozen = freezes.map(|freeze| Closed {
            reason: "Frozen",
            message: freeze::describe(freeze, now),
            until: freeze.spec.ends_after(now).earliest(),
        });
        frozen.chain(windows).reduce(|a, b| Closed {
            reason: a.reason,
            message: format!("{}; {}", a.message, b.message),
            // Both have to open; an end that nobody knows may come first.
            until: a.until.zip(b.until).map(|(a, b)| a.max(b)),
        })
    }
}
