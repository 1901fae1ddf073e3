//! The runs of one node of a promotion, and what they may have changed outside.

use jiff::Timestamp;

use crate::step::{Call, Record, Seen, StepOutcome, Unseen};

/// The runs of one node.
#[derive(Debug, Clone)]
pub struct NodeRun {
    /// How often it started since it last came to an end that is no failure of its own.
    pub attempts: u32,
    /// How many of the last of these, in a row, were only looks for what may have happened.
    pub looks: u32,
    /// How often it was done before: a plan is, that is made anew.
    pub done_before: u32,
    /// When it last started.
    pub started_at: Timestamp,
    /// What it does.
    pub call: Call,
    /// Whether a run before was broken off, or what it sent was not answered, and nobody saw since whether it
    /// had happened.
    pub unseen: bool,
    /// What an earlier run changed outside that failed all the same; the last of them.
    pub left: Option<Record>,
    /// How the last run ended; absent: it runs, or whoever ran it is gone.
    pub outcome: Option<(Timestamp, StepOutcome)>,
}

impl NodeRun {
    /// Notes how the run ended, and what that says of it and those before.
    pub(super) fn end(&mut self, at: Timestamp, outcome: StepOutcome) {
        if let StepOutcome::Failed { seen, .. } = &outcome {
            match seen {
                Seen::Perhaps => self.unseen = true,
                Seen::No => self.unseen = false,
                // Before it was said so, what failed where asking tells had not happened.
                Seen::Unsaid if self.call.fails_undone() => self.unseen = false,
                Seen::Unsaid => {}
            }
        }
        self.outcome = Some((at, outcome));
    }

    /// What it changed outside, whether it ended well or not: by its last run that names something.
    #[must_use]
    pub fn changed(&self) -> Option<&Record> {
        match &self.outcome.as_ref().map(|(_, outcome)| outcome) {
            Some(StepOutcome::Done { record, .. }) => Some(record),
            // What has not happened has not, whatever was thought before.
            Some(StepOutcome::Failed { record: Record::None, seen: Seen::No, .. }) => None,
            Some(StepOutcome::Failed { record: Record::None, seen: Seen::Unsaid, .. })
                if self.call.fails_undone() =>
            {
                None
            }
            Some(StepOutcome::Failed { record, .. }) if *record != Record::None => Some(record),
            Some(
                StepOutcome::Failed { .. }
                | StepOutcome::Uncertain { .. }
                | StepOutcome::Interrupted { .. },
            )
            | None => self.left.as_ref(),
        }
    }

    /// Whether a run of it may have had its effect although nobody saw it.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match &self.outcome {
            None | Some((_, StepOutcome::Interrupted { .. })) => true,
            Some((
                _,
                StepOutcome::Failed { .. }
                | StepOutcome::Uncertain { .. }
                | StepOutcome::Done { .. },
            )) => self.unseen,
        }
    }

    /// Whether it has ended, names nothing that it changed, and may have changed something nevertheless.
    #[must_use]
    pub fn may_have_changed(&self) -> bool {
        self.outcome.is_some()
            && self.changed().is_none()
            && self.may_have_happened()
            && self.call.unseen() != Unseen::Nothing
    }
}
