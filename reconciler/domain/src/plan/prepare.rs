//! Preparing: everything that has no outside effect and whose inputs are known is done, so that
//! people and policies judge what a promotion will do. The walk over the steps is `walk`.
//!
//! A preparation is made anew whenever what it was made from has changed, and after a failure that
//! may pass.

use std::time::Duration;

use jiff::Timestamp;

use super::promotion::{Act, Move};
use super::walk::{Progress, Walk};
use super::{Collection, Waiting};
use crate::id::{FreightId, WarehouseName};
use crate::promotion::{Ending, Event, Finish, Frozen, PrepareFailure, Previous};
use crate::snapshot::PromotionSnapshot;

/// Failures of preparation in a row after which the promotion fails.
const FAILURES_MAX: u32 = 8;
/// Wait after the first failure; doubled after each further one.
const RETRY_MIN: Duration = Duration::from_secs(5);

pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let state = &snapshot.state;
    let Some(frozen) = &state.frozen else { return start(snapshot) };
    if is_outdated(snapshot, frozen) {
        return start(snapshot);
    }
    if let Some(failure) = &state.prepare_failure {
        return after_failure(snapshot, failure, now);
    }
    let mut walk = Walk::new(snapshot, frozen);
    for step in &frozen.stage.steps {
        match walk.step(step) {
            Ok(Progress::Passed) => {}
            Ok(Progress::Run(call)) => {
                let rebuild = state.rebuild();
                let step = step.name.clone();
                return Move::act(Act::Prepare { step, call, rebuild });
            }
            Ok(Progress::Follows(prepared)) => {
                return Move::append(Event::StepPrepared(prepared));
            }
            Err(message) => {
                let step = Some(step.name.clone());
                return Move::append(Event::PrepareFailed { step, message, retry: false });
            }
        }
    }
    Move::append(Event::Prepared(Box::new(walk.change_set())))
}

/// Begins a preparation, for the first time or anew.
pub(super) fn start(snapshot: &PromotionSnapshot) -> Move {
    let Some(stage) = &snapshot.stage else { return Move::default() };
    let collection = match collection(snapshot) {
        Ok(collection) => collection,
        Err(missing) => {
            return Move::wait(Waiting {
                subject: format!("promotion {}", snapshot.promotion.id),
                reason: "CollectionIncomplete",
                message: format!(
                    "the stage also requests freight of {missing}, and none has been promoted \
                     to it yet: promote some first"
                ),
                until: None,
            });
        }
    };
    let attempt = snapshot.state.frozen.as_ref().map_or(0, |frozen| frozen.attempt) + 1;
    Move::append(Event::PrepareStarted(Box::new(Frozen {
        attempt,
        project: snapshot.project.clone(),
        generation: stage.generation,
        stage: stage.spec.clone(),
        templates: snapshot.templates.clone(),
        collection,
        previous: snapshot.previous.clone(),
    })))
}

/// Whether what a preparation is made from has changed: the stage, its templates, the freight that
/// goes with the promoted one, or what an undo would go back to.
pub(super) fn is_outdated(snapshot: &PromotionSnapshot, frozen: &Frozen) -> bool {
    let ids = |collection: &Collection| -> Vec<FreightId> {
        collection.values().map(|freight| freight.id.clone()).collect()
    };
    let promotion = |previous: &Option<Previous>| previous.as_ref().map(|p| p.promotion.clone());
    snapshot.stage.as_ref().map(|stage| stage.generation) != Some(frozen.generation)
        || snapshot.templates != frozen.templates
        || promotion(&snapshot.previous) != promotion(&frozen.previous)
        || collection(snapshot).is_ok_and(|now| ids(&now) != ids(&frozen.collection))
}

/// The promoted freight, and of every other requested warehouse the freight that is in the stage.
fn collection(snapshot: &PromotionSnapshot) -> Result<Collection, WarehouseName> {
    let mut collection = Collection::new();
    let stage = snapshot.stage.as_ref().map(|stage| &stage.spec);
    for request in stage.into_iter().flat_map(|stage| &stage.requests) {
        let freight = if request.warehouse == snapshot.promotion.warehouse {
            Some(&snapshot.facts.freight)
        } else {
            snapshot.current.get(&request.warehouse)
        };
        let freight = freight.ok_or_else(|| request.warehouse.clone())?;
        collection.insert(request.warehouse.clone(), freight.clone());
    }
    Ok(collection)
}

fn after_failure(snapshot: &PromotionSnapshot, failure: &PrepareFailure, now: Timestamp) -> Move {
    let place = match &failure.step {
        Some(step) => format!("step {step}"),
        None => "preparation".to_owned(),
    };
    let failures = snapshot.state.prepare_failures;
    if !failure.retry || failures >= FAILURES_MAX {
        return Move::append(Event::Finished(Finish {
            ending: Ending::Failed,
            message: format!("{place} failed before anything was changed: {}", failure.message),
            remaining: Vec::new(),
        }));
    }
    let pause = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let due = failure.at.checked_add(pause).unwrap_or(Timestamp::MAX);
    if due <= now {
        return start(snapshot);
    }
    Move::wait(Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "PrepareFailed",
        message: format!("{place} failed and is tried again at {due}: {}", failure.message),
        until: Some(due),
    })
}
