//! Calls that wait.

use std::time::Duration;

use super::arguments::Arguments;
use super::{CallError, WorkdirContext};
use crate::expression::Expression;
use crate::step::{AtTimeout, ConditionCall, StepKind, WaitCall};

/// Longest pause between two looks of what does not say otherwise.
const INTERVAL: Duration = Duration::from_secs(30);
/// Shortest pause between two looks.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

pub(super) fn wait(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<WaitCall, CallError> {
    if let Some(duration) = arguments.duration("duration")? {
        return Ok(WaitCall::Duration(duration));
    }
    if let Some(text) = arguments.optional_text("condition")? {
        return condition(arguments, context, &text).map(WaitCall::Condition);
    }
    let text = arguments.text("until")?;
    text.parse().map(WaitCall::Until).map_err(|_| CallError::Type {
        path: "until".to_owned(),
        expected: "an instant such as \"2026-11-21T16:00:00Z\"",
        found: text,
    })
}

fn condition(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
    text: &str,
) -> Result<ConditionCall, CallError> {
    let condition = Expression::parse(text).map_err(|_| CallError::Type {
        path: "condition".to_owned(),
        expected: "an expression",
        found: text.to_owned(),
    })?;
    Ok(ConditionCall {
        condition,
        interval: arguments.duration("interval")?.unwrap_or(INTERVAL).max(INTERVAL_MIN),
        until: context.after(arguments.duration("timeout")?.unwrap_or_default()),
        at_timeout: at_timeout(arguments, StepKind::Wait)?,
    })
}

/// What happens where what is waited for has not come in its time.
pub(super) fn at_timeout(
    arguments: &Arguments<'_>,
    kind: StepKind,
) -> Result<AtTimeout, CallError> {
    let word = arguments.word(kind, "at_timeout")?;
    Ok(word.as_deref().and_then(AtTimeout::from_word).unwrap_or(AtTimeout::Fail))
}
