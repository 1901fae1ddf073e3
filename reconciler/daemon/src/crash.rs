//! Crashes on order: the process aborts at a named boundary, as a power cut would end it there.
//!
//! `LOCKSTEP_CRASH=BOUNDARY[/NODE][:N]` aborts at the N-th time (the first, if not given) that the
//! boundary is passed. Boundaries are `before_intent`, `after_intent`, `after_effect` and
//! `after_outcome`; NODE is a step's name, `undo-plan-NAME` or `undo-NAME`. Unset, as in production,
//! passing a boundary costs one comparison.

use std::sync::atomic::{AtomicU32, Ordering};

use reconciler_domain::promotion::Node;

/// A point between the log and the outside at which a crash must do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// Nothing is written, nothing is done.
    BeforeIntent,
    /// The intent is written.
    AfterIntent,
    /// The effect is done, but not written down.
    AfterEffect,
    /// The outcome is written.
    AfterOutcome,
}

/// When to abort.
#[derive(Debug)]
pub struct Crash {
    at: Option<(Boundary, Option<String>)>,
    left: AtomicU32,
}

/// A value of `LOCKSTEP_CRASH` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "LOCKSTEP_CRASH={0:?} names no boundary; use \
     before_intent, after_intent, after_effect or after_outcome, then /NODE and :N if wanted"
)]
pub struct CrashError(String);

impl Crash {
    /// Never.
    #[must_use]
    pub fn never() -> Self {
        Self { at: None, left: AtomicU32::new(0) }
    }

    /// As `LOCKSTEP_CRASH` says.
    ///
    /// # Errors
    /// The text names no boundary.
    pub fn parse(text: &str) -> Result<Self, CrashError> {
        let refuse = || CrashError(text.to_owned());
        let (place, count) = match text.rsplit_once(':') {
            Some((place, count)) => (place, count.parse().map_err(|_| refuse())?),
            None => (text, 1),
        };
        let (boundary, node) = match place.split_once('/') {
            Some((boundary, node)) => (boundary, Some(node.to_owned())),
            None => (place, None),
        };
        let boundary = match boundary {
            "before_intent" => Boundary::BeforeIntent,
            "after_intent" => Boundary::AfterIntent,
            "after_effect" => Boundary::AfterEffect,
            "after_outcome" => Boundary::AfterOutcome,
            _ => return Err(refuse()),
        };
        Ok(Self { at: Some((boundary, node)), left: AtomicU32::new(count) })
    }

    /// Passes a boundary, or does not.
    pub(crate) fn pass(&self, boundary: Boundary, node: &Node) {
        let Some((at, only)) = &self.at else { return };
        if *at != boundary || only.as_ref().is_some_and(|only| *only != label(node)) {
            return;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    }
}

fn label(node: &Node) -> String {
    match node {
        Node::Step(step) => step.to_string(),
        Node::Replan(step) => format!("replan-{step}"),
        Node::Excess(step) => format!("excess-{step}"),
        Node::UndoPlan(step) => format!("undo-plan-{step}"),
        Node::Undo(step) => format!("undo-{step}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_nonsense_is_refused() {
        let crash = Crash::parse("after_effect/push:2").expect("well formed");
        assert_eq!(crash.at, Some((Boundary::AfterEffect, Some("push".to_owned()))));
        assert_eq!(crash.left.load(Ordering::SeqCst), 2);
        assert!(Crash::parse("after_intent").is_ok());
        for bad in ["", "now", "after_intent:x", "after/push"] {
            assert_eq!(Crash::parse(bad).err(), Some(CrashError(bad.to_owned())));
        }
    }
}
