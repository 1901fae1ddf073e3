//! Drift: how the infra of a stage differs from what its promotions left there.
//!
//! ```text
//! basis    which states a stage has, and how the last apply of each was planned
//! look     when they are looked at
//! found    what one look says of one state
//! ```
//!
//! A look plans with `-refresh-only`, from the very files and values of the last apply. It changes nothing, locks
//! nothing, and is put off while a promotion has the stage's slot. What it finds is recorded, is a condition of
//! the stage, and may hold a promotion back: [`crate::gate`].

mod basis;
mod found;
mod look;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ProjectName, PromotionId, StepName};
use crate::infra::{Action, Address, Drift};
use crate::stage::Stage;
use crate::step::StateKey;

pub use basis::{Basis, HISTORY_MAX, LEFT_OUT_MAX, Left, Search, Unsure};
pub use found::{found, lost};
pub use look::{Allowance, LookPlan, next};

/// That a stage is looked at by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Time from the end of a look, or of a promotion, to the next look.
    pub every: Duration,
}

impl Watch {
    /// The shortest time between two looks.
    pub const LEAST: Duration = Duration::from_secs(60);
    /// The longest one.
    pub const MOST: Duration = Duration::from_secs(30 * 24 * 3600);
}

/// What the last look at a stage found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftRecord {
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Looks in a row, this one included, that could not tell of every state.
    pub failures: u32,
    /// What it found, state by state.
    pub states: Vec<StateDrift>,
}

/// What a look found of one state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateDrift {
    /// Which state.
    pub state: StateKey,
    /// The module's directory.
    pub dir: String,
    /// The promotion that applied it last.
    pub promotion: PromotionId,
    /// The step that did.
    pub step: StepName,
    /// When that was done.
    pub applied_at: Timestamp,
    /// What was found.
    pub found: Found,
    /// The promotion that changed the state since: what was found counts no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated_by: Option<PromotionId>,
}

/// What a look says of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Found {
    /// Everything is as the last apply left it.
    Clean,
    /// Something is not.
    Drifted(DriftSummary),
    /// It could not be told.
    Unknown {
        /// Why.
        why: String,
        /// What had drifted when it last could: nobody knows that it was mended since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<DriftSummary>,
    },
}

impl Found {
    /// It could not be told, for this reason.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into(), before: None }
    }

    /// Keeps no more of it than a record holds.
    fn cap(&mut self) {
        match self {
            Self::Clean => {}
            Self::Drifted(summary) => summary.cap(),
            Self::Unknown { why, before } => {
                if let Some((end, _)) = why.char_indices().nth(WHY_MAX) {
                    why.truncate(end);
                    why.push('…');
                }
                before.iter_mut().for_each(DriftSummary::cap);
            }
        }
    }

    /// What is news if it is another: neither reasons nor values, which may be other ones at every look.
    fn said(&self) -> Said<'_> {
        let (outcome, summary) = match self {
            Self::Clean => (Standing::Clean, None),
            Self::Drifted(summary) => (Standing::Drifted, Some(summary)),
            Self::Unknown { before, .. } => (Standing::Unknown, before.as_ref()),
        };
        Said { outcome, more: summary.map_or(0, |it| it.more), resources: resources(summary) }
    }
}

/// What a look says of a state, without what differs from look to look.
#[derive(PartialEq)]
struct Said<'a> {
    outcome: Standing,
    resources: Vec<SaidResource<'a>>,
    more: usize,
}

#[derive(PartialEq)]
struct SaidResource<'a> {
    address: &'a Address,
    action: Action,
    configured: bool,
    attributes: Vec<&'a str>,
}

fn resources(summary: Option<&DriftSummary>) -> Vec<SaidResource<'_>> {
    let drifts = summary.into_iter().flat_map(|summary| &summary.resources);
    let said = drifts.map(|drift| SaidResource {
        address: &drift.address,
        action: drift.action,
        configured: drift.configured,
        attributes: drift.attributes.iter().map(|it| it.name.as_str()).collect(),
    });
    said.collect()
}

/// What is not as the last apply left it. Holds no sensitive value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftSummary {
    /// Resource instances, by address: changed, deleted, or no longer in the state. At most [`KEPT_MAX`].
    pub resources: Vec<Drift>,
    /// How many there are beside these.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more: usize,
    /// Outputs of the root module that are other ones with it.
    pub outputs: BTreeSet<String>,
}

/// The most resource instances that are kept of a state.
pub const KEPT_MAX: usize = 200;
/// The longest reason that is kept, in characters.
const WHY_MAX: usize = 1000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(more: &usize) -> bool {
    *more == 0
}

/// What the decision about looks at a stage sees.
#[derive(Debug, Clone)]
pub struct DriftSnapshot {
    /// The project.
    pub project: ProjectName,
    /// The stage.
    pub stage: Stage,
    /// Its states.
    pub bases: Vec<Basis>,
    /// The newest promotion to it that committed.
    pub settled: Option<PromotionId>,
    /// When that one ended.
    pub settled_at: Option<Timestamp>,
    /// The promotion that has its slot.
    pub slot: Option<PromotionId>,
    /// What the last look found.
    pub record: Option<DriftRecord>,
    /// When somebody last asked for a look, until the next one is recorded that knew of it.
    pub asked_at: Option<Timestamp>,
}

/// What is known of a stage's drift, over all its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Every state is as it was left.
    Clean,
    /// Of some state it is not known.
    Unknown,
    /// Some state is not as it was left.
    Drifted,
}

impl StateDrift {
    /// What was found of a state as this basis has it.
    #[must_use]
    pub fn of(basis: &Basis, found: Found) -> Self {
        Self {
            state: basis.plan.state_key(),
            dir: basis.plan.dir.clone(),
            promotion: basis.promotion.clone(),
            step: basis.step.clone(),
            applied_at: basis.applied_at,
            found,
            outdated_by: None,
        }
    }

    /// Whether it was found of the state as this basis has it.
    #[must_use]
    pub fn is_of(&self, basis: &Basis) -> bool {
        self.state == basis.plan.state_key()
            && self.promotion == basis.promotion
            && self.step == basis.step
            && self.applied_at == basis.applied_at
    }

    /// What drifted, as far as it still counts.
    #[must_use]
    pub fn drifted(&self) -> Option<&DriftSummary> {
        match &self.found {
            Found::Drifted(summary) if self.outdated_by.is_none() => Some(summary),
            Found::Unknown { before, .. } if self.outdated_by.is_none() => before.as_ref(),
            Found::Drifted(_) | Found::Clean | Found::Unknown { .. } => None,
        }
    }

    /// Has a look that could not tell remember what an earlier one had found of the same.
    fn remember(&mut self, earlier: &Self) {
        let same = self.state == earlier.state && self.applied_at == earlier.applied_at;
        if let (Found::Unknown { before, .. }, true) = (&mut self.found, same) {
            *before = earlier.drifted().cloned();
        }
    }

    fn standing(&self) -> Standing {
        match &self.found {
            _ if self.outdated_by.is_some() => Standing::Unknown,
            Found::Clean => Standing::Clean,
            Found::Drifted(_) => Standing::Drifted,
            Found::Unknown { .. } => Standing::Unknown,
        }
    }
}

impl DriftRecord {
    /// Puts a look together; `before` is the record that it replaces.
    #[must_use]
    pub fn new(
        before: Option<&Self>,
        began_at: Timestamp,
        ended_at: Timestamp,
        mut states: Vec<StateDrift>,
    ) -> Self {
        for earlier in before.iter().flat_map(|before| &before.states) {
            states.iter_mut().for_each(|state| state.remember(earlier));
        }
        states.iter_mut().for_each(|state| state.found.cap());
        let failed = states.iter().any(|state| matches!(state.found, Found::Unknown { .. }));
        let earlier = before.map_or(0, |before| before.failures);
        let failures = if failed { earlier.saturating_add(1) } else { 0 };
        Self { began_at, ended_at, failures, states }
    }

    /// Over all states; one that is known to have drifted is said first.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.states.iter().map(StateDrift::standing).max().unwrap_or(Standing::Clean)
    }

    /// Whether another record says something else of the states, whenever it was made.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        fn said(record: &DriftRecord) -> Vec<(&StateKey, Said<'_>, Option<&PromotionId>)> {
            let states = record.states.iter();
            states.map(|it| (&it.state, it.found.said(), it.outdated_by.as_ref())).collect()
        }
        said(self) != said(other)
    }

    /// Drops what is none of these states any more, and marks what this promotion, which ended, applied since, or
    /// may have. Whether it says something else by that.
    pub fn outdate(&mut self, bases: &[Basis], unsure: &[Unsure], by: &PromotionId) -> bool {
        let all = self.states.len();
        self.states.retain(|state| bases.iter().any(|it| it.plan.state_key() == state.state));
        let mut changed = self.states.len() < all;
        for state in self.states.iter_mut().filter(|state| state.outdated_by.is_none()) {
            let applied = bases.iter().filter(|basis| basis.promotion == *by);
            let mut applied = applied.filter(|basis| basis.plan.state_key() == state.state);
            let mut unsure = unsure.iter().filter(|unsure| unsure.promotion == *by);
            if applied.any(|basis| !state.is_of(basis)) || unsure.any(|it| it.state == state.state)
            {
                state.outdated_by = Some(by.clone());
                changed = true;
            }
        }
        changed
    }

    /// Marks everything, where nobody can tell what this promotion applied. Whether anything was marked.
    pub fn outdate_all(&mut self, by: &PromotionId) -> bool {
        let mut marked = false;
        for state in self.states.iter_mut().filter(|state| state.outdated_by.is_none()) {
            state.outdated_by = Some(by.clone());
            marked = true;
        }
        marked
    }

    /// What was found, in one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        let told: Vec<String> = self.states.iter().filter_map(StateDrift::describe).collect();
        if told.is_empty() {
            return "everything is as the last promotions left it".to_owned();
        }
        told.join("; ")
    }
}

impl StateDrift {
    /// What is not as it should be, in one clause; absent: nothing.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let what = match (&self.found, &self.outdated_by) {
            (_, Some(by)) => format!("not looked at since promotion {by} changed it"),
            (Found::Clean, None) => return None,
            (Found::Drifted(summary), None) => summary.describe(),
            (Found::Unknown { why, before }, None) => {
                let before = before.as_ref().map(|it| format!("; before, {}", it.describe()));
                format!("could not be looked at: {why}{}", before.unwrap_or_default())
            }
        };
        Some(format!("{}: {what}", self.state.shown()))
    }
}

/// Resources that are told one by one; of more only the number is.
const TOLD_MAX: usize = 5;

impl DriftSummary {
    /// What of it the configuration says something about; absent: nothing of it.
    #[must_use]
    pub fn configured(&self) -> Option<Self> {
        let mut configured = Self { more: self.unkept(), ..self.clone() };
        configured.resources.retain(|drift| drift.configured);
        (!configured.resources.is_empty()).then_some(configured)
    }

    /// How many were not kept that the configuration may say something about: those are kept first.
    #[must_use]
    pub fn unkept(&self) -> usize {
        if self.resources.iter().all(|drift| drift.configured) { self.more } else { 0 }
    }

    /// Keeps [`KEPT_MAX`] of them, and rather those that a plan may write over.
    fn cap(&mut self) {
        let more = self.resources.len().saturating_sub(KEPT_MAX);
        if more > 0 {
            self.resources.sort_by_key(|drift| !drift.configured);
            self.resources.truncate(KEPT_MAX);
            self.resources.sort_by(|a, b| a.address.cmp(&b.address));
            self.more += more;
        }
    }

    /// What drifted, in one clause.
    #[must_use]
    pub fn describe(&self) -> String {
        let told = self.resources.iter().take(TOLD_MAX).map(Drift::describe);
        let mut told: Vec<String> = told.collect();
        let more = self.resources.len().saturating_sub(TOLD_MAX) + self.more;
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        told.join(", ")
    }
}

#[cfg(test)]
mod tests;
