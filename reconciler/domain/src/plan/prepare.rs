//! Preparing: everything that has no outside effect and whose inputs are known is done, so that
//! people and policies judge what a promotion will do. The walk over the steps is `walk`.
//!
//! A preparation is made anew whenever what it was made from has changed, and after a failure that
//! may pass.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::promotion::{Act, Move};
use super::walk::{Progress, Walk};
use super::{Collection, Waiting};
use crate::id::{FreightId, StepName, WarehouseName};
use crate::promotion::{
    Ending, Event, Finish, Frozen, PrepareFailure, Previous, State, StepPrepared,
};
use crate::scope::{layered, scope};
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    Call, ExpandError, Interruption, Layer, Retry, Step, StepOutcome, Wanted, expand,
};
use crate::task::Tasks;
use crate::template::render_json;

/// How often a preparation that fails is made where its step does not say otherwise.
const RETRY: Retry =
    Retry { attempts: 8, backoff: Duration::from_secs(5), max: Duration::from_secs(20 * 60) };

pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let state = &snapshot.state;
    let Some(frozen) = &state.frozen else { return start(snapshot) };
    if is_outdated(snapshot, frozen) {
        return start(snapshot);
    }
    if let Some(failure) = &state.prepare_failure {
        return after_failure(snapshot, failure, now);
    }
    let mut walk = Walk::new(snapshot, frozen, now);
    for step in &frozen.stage.steps {
        match walk.step(step) {
            Ok(Progress::Passed) => {}
            Ok(Progress::Run(call)) => {
                let rebuild = state.rebuild(&step.name);
                let ends = deadline(step, now).map(|at| (at, Interruption::Timeout));
                let step = step.name.clone();
                return Move::act(Act::Prepare { step, call, rebuild, ends });
            }
            Ok(Progress::Follows(prepared)) => {
                return Move::append(Event::StepPrepared(prepared));
            }
            Ok(Progress::PassOver(message)) => {
                let (step, failed) = (step.name.clone(), false);
                return Move::append(Event::PassedOver { step, failed, message });
            }
            Err(message) => {
                let step = Some(step.name.clone());
                let (retry, retry_after) = (false, None);
                return Move::append(Event::PrepareFailed { step, message, retry, retry_after });
            }
        }
    }
    Move::append(Event::Prepared(Box::new(walk.change_set())))
}

/// What is appended once a local step ran; `None`: nothing, because the next decision ends the
/// promotion.
#[must_use]
pub fn prepared(step: StepName, call: Call, outcome: StepOutcome) -> Option<Event> {
    let failed = |step, message, retry, retry_after| {
        Some(Event::PrepareFailed { step: Some(step), message, retry, retry_after })
    };
    match outcome {
        StepOutcome::Done { outputs, record } => {
            let (call, unknown) = (Some(call), BTreeSet::new());
            let done = StepPrepared { step, call, outputs, unknown, record };
            Some(Event::StepPrepared(Box::new(done)))
        }
        StepOutcome::Failed { message, retry, retry_after, .. } => {
            failed(step, message, retry, retry_after)
        }
        StepOutcome::Uncertain { message } => failed(step, message, false, None),
        StepOutcome::Interrupted { by: Interruption::Timeout } => {
            let message = "it was broken off: it took longer than it may".to_owned();
            failed(step, message, true, None)
        }
        StepOutcome::Interrupted { by: Interruption::Abort | Interruption::Beside } => None,
    }
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
    let mut frozen = Frozen {
        attempt,
        project: snapshot.project.clone(),
        generation: stage.generation,
        stage: stage.spec.clone(),
        templates: snapshot.templates.clone(),
        tasks: snapshot.tasks.clone(),
        collection,
        metadata: snapshot.metadata(),
        previous: snapshot.previous.clone(),
    };
    match stage.spec.vars_with(&snapshot.promotion.vars) {
        Ok(vars) => frozen.stage.vars = vars,
        Err(name) => {
            let stage = &stage.spec.name;
            return fails_early(&format!(
                "it sets variable {name}, which stage {stage} does not let a promotion set any more"
            ));
        }
    }
    match expanded(snapshot, &frozen) {
        Ok(steps) => {
            frozen.stage.steps = steps;
            Move::append(Event::PrepareStarted(Box::new(frozen)))
        }
        Err(error) => fails_early(&error.to_string()),
    }
}

/// The end of a promotion that cannot even be prepared.
fn fails_early(why: &str) -> Move {
    let message = format!("failed before anything was changed: {why}");
    Move::append(Event::Finished(Finish::new(Ending::Failed, message, Vec::new())))
}

/// The steps that are carried out: what people wrote, for this freight.
fn expanded(snapshot: &PromotionSnapshot, frozen: &Frozen) -> Result<Vec<Step>, ExpandError> {
    let scope = scope(&snapshot.promotion, frozen, &State::default());
    let resolve = |_: Wanted, value: &Value, within: &[Layer]| {
        let scope = layered(&scope, within)?;
        render_json(value, &scope).map_err(|error| error.to_string())
    };
    let tasks: Tasks<'_> = frozen.tasks.iter().map(|task| (task.name.as_str(), task)).collect();
    let steps = expand(&frozen.stage.steps, &tasks, &resolve)?;
    Ok(steps.into_iter().map(|expanded| expanded.step).collect())
}

/// When an attempt of a step that starts now is broken off.
pub(super) fn deadline(step: &Step, now: Timestamp) -> Option<Timestamp> {
    let timeout = step.control.timeout?;
    Some(now.checked_add(timeout).unwrap_or(Timestamp::MAX))
}

/// Whether what a preparation is made from has changed: the stage, its templates and tasks, metadata, the
/// freight that goes with the promoted one, or what an undo would go back to.
pub(super) fn is_outdated(snapshot: &PromotionSnapshot, frozen: &Frozen) -> bool {
    let ids = |collection: &Collection| -> Vec<FreightId> {
        collection.values().map(|freight| freight.id.clone()).collect()
    };
    let promotion = |previous: &Option<Previous>| previous.as_ref().map(|p| p.promotion.clone());
    snapshot.stage.as_ref().map(|stage| stage.generation) != Some(frozen.generation)
        || snapshot.templates != frozen.templates
        || snapshot.tasks != frozen.tasks
        || snapshot.metadata() != frozen.metadata
        || promotion(&snapshot.previous) != promotion(&frozen.previous)
        || collection(snapshot).is_ok_and(|now| ids(&now) != ids(&frozen.collection))
}

/// What is promoted, and of every other requested warehouse the freight that is in the stage.
fn collection(snapshot: &PromotionSnapshot) -> Result<Collection, WarehouseName> {
    let mut collection = Collection::new();
    let stage = snapshot.stage.as_ref().map(|stage| &stage.spec);
    for request in stage.into_iter().flat_map(|stage| &stage.requests) {
        let mut promoted = snapshot.promoted().map(|facts| &facts.freight);
        let freight = promoted
            .find(|freight| freight.warehouse == request.warehouse)
            .or_else(|| snapshot.current.get(&request.warehouse))
            .ok_or_else(|| request.warehouse.clone())?;
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
    let control = failed_step(snapshot, failure).map(|step| &step.control);
    let retry = control.and_then(|control| control.retry).unwrap_or(RETRY);
    let due = retry.due(failures, failure.at, failure.retry_after).filter(|_| failure.retry);
    match due {
        // What failed later than now, failed before the clock was put back.
        Some(due) if due <= now || failure.at > now => start(snapshot),
        Some(due) => Move::wait(Waiting {
            subject: format!("promotion {}", snapshot.promotion.id),
            reason: "PrepareFailed",
            message: format!("{place} failed and is tried again at {due}: {}", failure.message),
            until: Some(due),
        }),
        None => {
            match failed_step(snapshot, failure).filter(|step| step.control.continue_on_error) {
                Some(step) => Move::append(Event::PassedOver {
                    step: step.name.clone(),
                    failed: true,
                    message: failure.message.clone(),
                }),
                None => Move::append(Event::Finished(Finish {
                    ending: Ending::Failed,
                    message: format!(
                        "{place} failed before anything was changed: {}",
                        failure.message
                    ),
                    remaining: Vec::new(),
                    as_before: false,
                })),
            }
        }
    }
}

fn failed_step<'a>(snapshot: &'a PromotionSnapshot, failure: &PrepareFailure) -> Option<&'a Step> {
    let frozen = snapshot.state.frozen.as_ref()?;
    frozen.stage.steps.iter().find(|step| Some(&step.name) == failure.step.as_ref())
}
