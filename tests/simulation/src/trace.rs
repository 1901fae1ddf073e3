//! The story of a run, for whoever replays a seed.

use reconciler_domain::promotion::Event;

use crate::world::World;

impl World {
    /// Prints a line, if the run is one that is told.
    #[expect(clippy::print_stdout, reason = "a traced run speaks to whoever started it")]
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.traced {
            println!("{} {}", self.now, line());
        }
    }
}

/// An event in a few words.
pub(crate) fn told(event: &Event) -> String {
    let label = event.label();
    match event {
        Event::Finished(finish) => format!("{label} {}: {}", finish.ending.label(), finish.message),
        Event::Intent { node, .. } => format!("{label} {node:?}"),
        Event::Outcome { node, outcome } => format!("{label} {node:?} {}", short(outcome)),
        Event::StepPrepared(done) => format!("{label} {}", done.step),
        Event::PassedOver { step, .. } => format!("{label} {step}"),
        Event::PrepareFailed { message, .. } => format!("{label}: {message}"),
        Event::Probed { moved } => format!("{label} {moved:?}"),
        Event::Prepared(change_set) => format!("{label} {}", change_set.digest),
        Event::Approved(approval) => format!("{label} by {}", approval.by),
        Event::Answered(answer) => format!("{label} {} by {}", answer.step, answer.by),
        Event::Measured(taken) => format!("{label} {:?}", taken.measured),
        Event::SentBack { why } => format!("{label}: {why}"),
        Event::Unwinding { cause } => format!("{label}: {cause}"),
        Event::AbortRequested { by, .. } | Event::Reverifying { by, .. } => {
            format!("{label} by {by}")
        }
        Event::PrepareStarted(_) | Event::Committed { .. } | Event::Verifying { .. } => {
            label.to_owned()
        }
    }
}

fn short(outcome: &impl std::fmt::Debug) -> String {
    let text = format!("{outcome:?}");
    text.chars().take(100).collect()
}
