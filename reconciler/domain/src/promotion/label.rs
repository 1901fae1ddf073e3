//! The words for phases, endings and events: in logs, errors and the store.

use super::{Ending, Event, Node, Phase};
use crate::id::StepName;

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Waiting => "waiting",
            Self::Committing => "committing",
            Self::Verifying => "verifying",
            Self::Unwinding => "unwinding",
            Self::Ended(ending) => ending.label(),
        }
    }

    /// Whether the promotion holds its stage's slot.
    #[must_use]
    pub fn holds_slot(self) -> bool {
        match self {
            Self::Committing | Self::Verifying | Self::Unwinding => true,
            Self::Preparing | Self::Waiting | Self::Ended(_) => false,
        }
    }
}

impl Ending {
    /// The word for it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Stuck => "stuck",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Inconclusive => "inconclusive",
            Self::Rehearsed => "rehearsed",
        }
    }
}

impl Event {
    /// The word for it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::PrepareStarted(_) => "prepare_started",
            Self::StepPrepared(_) => "step_prepared",
            Self::PassedOver { .. } => "passed_over",
            Self::PrepareFailed { .. } => "prepare_failed",
            Self::Prepared(_) => "prepared",
            Self::Approved(_) => "approved",
            Self::Probed { .. } => "probed",
            Self::Committed { .. } => "committed",
            Self::SentBack { .. } => "sent_back",
            Self::Intent { .. } => "intent",
            Self::Outcome { .. } => "outcome",
            Self::Answered(_) => "answered",
            Self::Verifying { .. } => "verifying",
            Self::Reverifying { .. } => "reverifying",
            Self::Measured(_) => "measured",
            Self::Unwinding { .. } => "unwinding",
            Self::AbortRequested { .. } => "abort_requested",
            Self::Finished(_) => "finished",
        }
    }

    /// The epoch of the lease under which a node is begun.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        if let Self::Intent { epoch, .. } = self { *epoch } else { None }
    }
}

impl Node {
    /// The step that it belongs to.
    #[must_use]
    pub fn step(&self) -> &StepName {
        match self {
            Self::Step(step)
            | Self::Replan(step)
            | Self::Excess(step)
            | Self::UndoPlan(step)
            | Self::Undo(step) => step,
        }
    }
}
