//! What happened, in words.

use reconciler_domain::promotion::{Event, Node, StepPlan};
use reconciler_domain::step::{Interruption, StepOutcome};
use reconciler_domain::verification::Measured;

use super::world::Saga;

/// Lines for an event of a promotion. What always follows is left out.
pub(crate) fn event(saga: &Saga, event: &Event) -> Vec<String> {
    match event {
        Event::PrepareStarted(frozen) if frozen.attempt == 1 => Vec::new(),
        Event::PrepareStarted(_) => vec!["is prepared again".to_owned()],
        Event::StepPrepared(_) | Event::Intent { .. } => Vec::new(),
        Event::PassedOver { step, message, .. } => vec![format!("passes {step} over: {message}")],
        Event::PrepareFailed { message, retry, .. } => {
            vec![format!(
                "could not be prepared{}: {message}",
                if *retry { ", may pass" } else { "" }
            )]
        }
        Event::Prepared(change_set) => {
            let mut lines = vec!["is prepared".to_owned()];
            for step in &change_set.steps {
                if let StepPlan::Deferred { waits_for } = &step.plan {
                    lines.push(format!("  {} waits for {}", step.name, waits_for.join(", ")));
                }
            }
            lines
        }
        Event::Approved(approval) => vec![format!("is approved by {}", approval.by)],
        Event::Answered(answer) => vec![format!("is answered by {}", answer.by)],
        Event::Probed { moved } => moved.clone(),
        Event::Committed { skipped } if skipped.is_empty() => vec!["commits".to_owned()],
        Event::Committed { skipped } => {
            let gates: Vec<&str> = skipped.iter().map(|it| it.gate.name()).collect();
            vec![format!("commits past {}", gates.join(", "))]
        }
        Event::SentBack { why } => vec![format!("goes back to its gates: {why}")],
        Event::Outcome { node, outcome } => vec![ran(saga, node, outcome)],
        Event::Verifying { checks, .. } if checks.is_empty() => Vec::new(),
        Event::Verifying { .. } => vec!["verifies".to_owned()],
        Event::Reverifying { by, .. } => vec![format!("verifies anew, says {by}")],
        Event::Measured(measurement) => {
            let measured = match measurement.measured {
                Measured::Pass => "pass",
                Measured::Fail => "fail",
                Measured::Unknown => "unknown",
            };
            vec![format!("measures {}: {measured}", measurement.check)]
        }
        Event::Unwinding { cause } => vec![format!("unwinds: {cause}")],
        Event::AbortRequested { by, .. } => vec![format!("is to stop, says {by}")],
        Event::Finished(finish) => {
            let mut lines = vec![format!("{}: {}", finish.ending.label(), finish.message)];
            lines.extend(finish.remaining.iter().map(|what| format!("  remains: {what}")));
            lines
        }
    }
}

fn ran(saga: &Saga, node: &Node, outcome: &StepOutcome) -> String {
    let what = match node {
        Node::Step(step) => format!("runs {step}"),
        Node::Replan(step) => format!("plans anew for {step}"),
        Node::UndoPlan(step) => format!("plans the undo of {step}"),
        Node::Excess(step) => format!("asks about the plan of {step}"),
        Node::Undo(step) => format!("undoes {step}"),
    };
    let attempts = saga.state.nodes[node].attempts;
    let again = if attempts > 1 { format!(" (attempt {attempts})") } else { String::new() };
    match outcome {
        StepOutcome::Done { .. } => format!("{what}{again}"),
        StepOutcome::Failed { message, .. } => format!("{what}{again}: failed: {message}"),
        StepOutcome::Uncertain { message } => format!("{what}{again}: uncertain: {message}"),
        StepOutcome::Interrupted { by: Interruption::Timeout } => {
            format!("{what}{again}: out of time")
        }
        StepOutcome::Interrupted { by: Interruption::Abort } => format!("{what}{again}: aborted"),
        StepOutcome::Interrupted { by: Interruption::Beside } => {
            format!("{what}{again}: broken off for one beside it")
        }
    }
}
