//! Steps that nobody carries out: what they wait for is in the log or in the rest of the snapshot, so
//! each decision is a look, no worker is held between two of them, and no look is written down.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::commit::{describe, is_step, step_of};
use super::prepare::deadline;
use super::promotion::Move;
use super::{Waiting, earlier, keep};
use crate::promotion::{Event, Node};
use crate::scope::{layered, look_scope};
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    Answer, AskCall, AtTimeout, ConditionCall, Form, Inside, Interruption, KeepCall, Layer, Record,
    Said, Seen, StepOutcome, WaitCall,
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

/// The next move of a step that began then and that nobody carries out.
pub(super) fn next(
    snapshot: &PromotionSnapshot,
    node: &Node,
    call: Inside<'_>,
    began: Timestamp,
    now: Timestamp,
) -> Move {
    let step = step_of(snapshot, node);
    let deadline = step.and_then(|step| deadline(step, began));
    // What is half undone is worse than either.
    let is_asked_to_stop = snapshot.state.abort.is_some() && is_step(node);
    let look = if is_asked_to_stop {
        over(StepOutcome::Interrupted { by: Interruption::Abort })
    } else {
        look(snapshot, node, call, began, now)
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

fn look(
    snapshot: &PromotionSnapshot,
    node: &Node,
    call: Inside<'_>,
    began: Timestamp,
    now: Timestamp,
) -> Look {
    match call {
        Inside::Keep(call) => kept(snapshot, call),
        Inside::Ask(ask) => asked(snapshot, node, ask, now),
        Inside::Wait(WaitCall::Duration(duration)) => {
            wait(began.checked_add(*duration).unwrap_or(Timestamp::MAX), now)
        }
        Inside::Wait(WaitCall::Until(until)) => wait(*until, now),
        Inside::Wait(WaitCall::Condition(call)) => {
            let within = step_of(snapshot, node).map_or(&[][..], |step| &step.within);
            condition(snapshot, within, call, now)
        }
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

/// What is written with the outcome.
fn kept(snapshot: &PromotionSnapshot, call: &KeepCall) -> Look {
    match keep::kept(snapshot, call) {
        Ok((kept, outputs)) => over(StepOutcome::Done { outputs, record: Record::Kept(kept) }),
        Err(message) => failed(message),
    }
}

/// What people said to a question by now.
fn asked(snapshot: &PromotionSnapshot, node: &Node, ask: &AskCall, now: Timestamp) -> Look {
    let question = snapshot.state.question(node.step()).map(|(_, question)| question);
    let answers = question.map(|question| snapshot.state.answers_to(&question));
    let answers = answers.unwrap_or_default();
    if let Some(no) = answers.iter().find(|answer| answer.said == Said::Refused) {
        let why = no.comment.as_ref().map_or_else(String::new, |comment| format!(": {comment}"));
        return failed(format!("{} refused it{why}", no.by));
    }
    let missing = match ask {
        AskCall::Approval(call) => {
            let missing = call.missing(&answers);
            if missing.is_empty() {
                return approved(&answers, true);
            }
            missing_people(&missing)
        }
        AskCall::Input(_) => {
            let given = answers.iter().rev().find_map(|answer| match &answer.said {
                Said::Given(values) => Some(values.clone()),
                Said::Approved | Said::Refused => None,
            });
            match given {
                Some(outputs) => return done(outputs),
                None => "values".to_owned(),
            }
        }
    };
    let until = ask.until();
    if until > now {
        let what = format!("waits for {missing}, until {until}: {}", ask.message());
        return Look::Waits { what, until };
    }
    match ask {
        AskCall::Approval(call) if call.at_timeout == AtTimeout::Continue => {
            approved(&answers, false)
        }
        AskCall::Input(call) if call.at_timeout == AtTimeout::Continue => {
            let form = Form::parse(&call.schema).and_then(|form| form.fill(&Map::new()));
            form.map_or_else(
                |misfits| {
                    failed(format!("nobody answered, and the defaults do not do: {}", misfits[0]))
                },
                done,
            )
        }
        AskCall::Approval(_) | AskCall::Input(_) => {
            failed(format!("{missing} did not come in its time"))
        }
    }
}

fn missing_people(missing: &BTreeMap<&str, u32>) -> String {
    let people = missing.iter().map(|(group, count)| match (*group, count) {
        ("", _) => "an approval".to_owned(),
        (group, 1) => format!("1 approval of {group}"),
        (group, count) => format!("{count} approvals of {group}"),
    });
    people.collect::<Vec<_>>().join(", ")
}

fn approved(answers: &[Answer], approved: bool) -> Look {
    let said = |answer: &Answer| {
        (answer.by.clone(), Value::String(answer.comment.clone().unwrap_or_default()))
    };
    let by = answers.iter().filter(|answer| answer.said == Said::Approved).map(said).collect();
    done(Map::from_iter([
        ("approved".to_owned(), Value::Bool(approved)),
        ("by".to_owned(), Value::Object(by)),
    ]))
}

fn done(outputs: Map<String, Value>) -> Look {
    let outcome = StepOutcome::Done { outputs, record: Record::None };
    over(outcome.within_limits())
}

fn held(held: bool) -> Look {
    done(Map::from_iter([("held".to_owned(), Value::Bool(held))]))
}

fn failed(message: String) -> Look {
    let (retry, retry_after, record, seen) = (false, None, Record::None, Seen::Unsaid);
    over(StepOutcome::Failed { message, retry, retry_after, record, seen })
}

fn over(outcome: StepOutcome) -> Look {
    Look::Over(Box::new(outcome))
}
