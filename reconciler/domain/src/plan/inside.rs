//! Steps that nobody carries out: what they wait for is in the log or in the rest of the snapshot, so
//! each decision is a look, no worker is held between two of them, and no look is written down.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::commit::{describe, step_of};
use super::prepare::deadline;
use super::promotion::Move;
use super::{Waiting, earlier};
use crate::promotion::{Event, Node, NodeRun};
use crate::scope::{layered, look_scope};
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    AtTimeout, Call, ConditionCall, Interruption, Layer, Record, StepOutcome, WaitCall,
};

/// What a look at a step comes to.
enum Look {
    /// It is over.
    Over(Box<StepOutcome>),
    /// It is not so yet.
    Waits {
        /// For what, as in `waits until 12:00`.
        what: String,
        /// When to look again, though nothing happens.
        until: Timestamp,
    },
}

/// The next move of a step that began and that nobody carries out.
pub(super) fn next(
    snapshot: &PromotionSnapshot,
    node: &Node,
    run: &NodeRun,
    now: Timestamp,
) -> Move {
    let step = step_of(snapshot, node);
    let deadline = step.and_then(|step| deadline(step, run.started_at));
    let look = if snapshot.state.abort.is_some() {
        over(StepOutcome::Interrupted { by: Interruption::Abort })
    } else {
        look(snapshot, step.map_or(&[], |step| &step.within), run, now)
    };
    let outcome = match look {
        Look::Over(outcome) => outcome,
        Look::Waits { .. } if deadline.is_some_and(|deadline| deadline <= now) => {
            Box::new(StepOutcome::Interrupted { by: Interruption::Timeout })
        }
        Look::Waits { what, until } => {
            return Move::wait(Waiting {
                subject: format!("promotion {}", snapshot.promotion.id),
                reason: "Waiting",
                message: format!("{} {what}", describe(node)),
                until: earlier(Some(until), deadline),
            });
        }
    };
    Move::append(Event::Outcome { node: node.clone(), outcome })
}

fn look(snapshot: &PromotionSnapshot, within: &[Layer], run: &NodeRun, now: Timestamp) -> Look {
    match &run.call {
        Call::Wait(WaitCall::Duration(duration)) => {
            wait(run.started_at.checked_add(*duration).unwrap_or(Timestamp::MAX), now)
        }
        Call::Wait(WaitCall::Until(until)) => wait(*until, now),
        Call::Wait(WaitCall::Condition(call)) => condition(snapshot, within, call, now),
        Call::GitClone(_)
        | Call::YamlUpdate(_)
        | Call::GitCommit(_)
        | Call::GitPush(_)
        | Call::GitRevert(_)
        | Call::GitTag(_)
        | Call::GitUntag(_)
        | Call::TfPlan(_)
        | Call::TfApply(_)
        | Call::TfOutput(_)
        | Call::Http(_)
        | Call::File(_)
        | Call::Download(_)
        | Call::Oci(_)
        | Call::Render(_)
        | Call::Parse(_)
        | Call::PullRequest(_)
        | Call::Compose { .. }
        | Call::Fail { .. } => unreachable!("effects carry it out"),
    }
}

fn wait(until: Timestamp, now: Timestamp) -> Look {
    if until <= now {
        return held(true);
    }
    Look::Waits { what: format!("waits until {until}"), until }
}

/// Whether it holds by now. What cannot be evaluated may be so later: an answer that is not there yet
/// is no mistake, and a mistake in a name was found when the step was defined.
fn condition(
    snapshot: &PromotionSnapshot,
    within: &[Layer],
    call: &ConditionCall,
    now: Timestamp,
) -> Look {
    let holds = snapshot.state.frozen.as_ref().map_or(Ok(false), |frozen| {
        let scope = look_scope(snapshot, frozen, now);
        let scope = layered(&scope, within)?;
        call.condition.holds(&scope).map_err(|error| error.to_string())
    });
    let why = match holds {
        Ok(true) => return held(true),
        Ok(false) => format!("`{}` does not hold", call.condition),
        Err(message) => message,
    };
    if call.until > now {
        let again = now.checked_add(call.interval).unwrap_or(Timestamp::MAX);
        let what = format!("waits until {} at most: {why}", call.until);
        return Look::Waits { what, until: again.min(call.until) };
    }
    match call.at_timeout {
        AtTimeout::Continue => held(false),
        AtTimeout::Fail => failed(format!("it was not so in its time: {why}")),
    }
}

fn held(held: bool) -> Look {
    over(StepOutcome::Done {
        outputs: Map::from_iter([("held".to_owned(), Value::Bool(held))]),
        record: Record::None,
    })
}

fn failed(message: String) -> Look {
    let (retry, retry_after, record) = (false, None, Record::None);
    over(StepOutcome::Failed { message, retry, retry_after, record })
}

fn over(outcome: StepOutcome) -> Look {
    Look::Over(Box::new(outcome))
}
