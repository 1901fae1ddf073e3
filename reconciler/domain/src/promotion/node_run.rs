//! The runs of one node of a promotion, and what they may have changed outside.

use std::time::Duration;

use jiff::Timestamp;

use crate::step::{Call, Record, Seen, StepOutcome, Unseen};

/// What was on its way when nobody listened any more gets this long to arrive, before its absence counts.
pub(crate) const ARRIVES: Duration = Duration::from_secs(30);

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
    /// When a run was last broken off, or what it sent was not answered; absent: none was, or it was seen since
    /// whether it had happened.
    pub unseen: Option<Timestamp>,
    /// What an earlier run changed outside that failed all the same; the last of them.
    pub left: Option<Record>,
    /// How the last run ended; absent: it runs, or whoever ran it is gone.
    pub outcome: Option<(Timestamp, StepOutcome)>,
    /// How the last run ended that was more than a look.
    pub own_end: Option<StepOutcome>,
}

impl NodeRun {
    /// Notes how the run ended, and what that says of it and those before.
    pub(super) fn end(&mut self, at: Timestamp, outcome: StepOutcome) {
        if let StepOutcome::Failed { seen, .. } = &outcome {
            match seen {
                Seen::Perhaps => self.unseen = Some(at),
                Seen::No if self.has_arrived(at) => self.unseen = None,
                Seen::No => {}
                // Before it was said so, what failed where asking tells had not happened.
                Seen::Unsaid if self.call.fails_undone() => self.unseen = None,
                Seen::Unsaid => {}
            }
        }
        if !self.call.only_asks() {
            self.own_end = Some(outcome.clone());
        }
        self.outcome = Some((at, outcome));
    }

    /// Whether what a run before may have sent would be there by now. Looks wait for that, and the receiver of a
    /// request is asked until it tells.
    fn has_arrived(&self, now: Timestamp) -> bool {
        let tells = self.call.only_asks() || matches!(self.call, Call::Http(_));
        let due = self.unseen.and_then(|since| since.checked_add(ARRIVES).ok());
        tells || due.is_none_or(|due| due <= now)
    }

    /// What it changed outside, whether it ended well or not: by its last run that names something.
    #[must_use]
    pub fn changed(&self) -> Option<&Record> {
        match &self.outcome.as_ref().map(|(_, outcome)| outcome) {
            Some(StepOutcome::Done { record, .. }) => Some(record),
            // What has not happened has not, whatever was thought before.
            Some(StepOutcome::Failed { record: Record::None, seen: Seen::No, .. })
                if self.unseen.is_none() =>
            {
                None
            }
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
            )) => self.unseen.is_some(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Asks, IfMoved, PushCall};

    fn failed(seen: Seen) -> StepOutcome {
        let message = "it failed".to_owned();
        StepOutcome::Failed { message, retry: true, retry_after: None, record: Record::None, seen }
    }

    fn push(asks: Asks) -> NodeRun {
        let call = Call::GitPush(PushCall {
            repo: "https://git.example/app".to_owned(),
            branch: "main".to_owned(),
            commit: Some("1".repeat(40)),
            mark: "dev.1/commit".to_owned(),
            if_moved: IfMoved::Rebase,
            stands_on: None,
            own: Vec::new(),
            asks,
        });
        NodeRun {
            attempts: 1,
            looks: 0,
            done_before: 0,
            started_at: Timestamp::UNIX_EPOCH,
            call,
            unseen: None,
            left: Some(Record::Sent),
            outcome: None,
            own_end: None,
        }
    }

    #[test]
    fn what_was_on_its_way_is_not_forgotten_before_it_may_have_arrived() {
        let after = |seconds: u64| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let check = |asks, waited: u64, doubted: bool| {
            let mut run = push(asks);
            run.end(after(10), failed(Seen::Perhaps));
            assert!(run.may_have_happened());
            run.end(after(10 + waited), failed(Seen::No));
            assert_eq!(run.may_have_happened(), doubted, "{asks:?} after {waited} s");
            assert_eq!(run.changed().is_some(), doubted, "{asks:?} after {waited} s");
        };
        check(Asks::No, 5, true);
        check(Asks::First, 29, true);
        check(Asks::No, 30, false);
        // Looks wait for that themselves.
        check(Asks::Only, 5, false);
    }
}
