//! How a step is carried out: whether, how often, how long, and for what.
//!
//! In HCL a control stands inside the step's config under the reserved key `control`; on the wire it
//! is a sibling of the config. Both are read by [`Control::read`], against one table ([`CONTROL`]).

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::StepKind;
use super::StepProblem;
use super::check::check_table;
use super::expand::elements;
use super::fields::{Field, FieldType};
use crate::check::ProblemKind;
use crate::duration;
use crate::expression::Expression;
use crate::id::StepName;
use crate::template::references_json;

/// The reserved key of a config.
const KEY: &str = "control";

/// Most attempts that a step may ask for.
const ATTEMPTS_MAX: u64 = 100;

/// How a step is carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// It is carried out only if this holds; absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// What happens after a failure that may pass; absent: the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Time for one attempt, after which it is broken off; absent: no limit but the step's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether the promotion goes on when the step failed for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
    /// A list or map, or a template that gives one: the step is carried out once for each element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Value>,
    /// A word: steps that follow one another with the same one are carried out side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<StepName>,
}

/// When a step that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each further one.
    pub backoff: Duration,
    /// Longest wait.
    pub max: Duration,
}

const RETRY: &[Field] = &[
    super::fields::optional(
        "attempts",
        FieldType::Integer,
        "Attempts in all, the first one included. Default 4.",
    ),
    super::fields::optional(
        "backoff",
        FieldType::Duration,
        "Wait after the first failure, doubled after each further one; a `Retry-After` of the other \
         side counts where it is longer. Default `5s`.",
    ),
    super::fields::optional("max", FieldType::Duration, "Longest wait of our own. Default `20m`."),
];

/// What a control may hold.
pub const CONTROL: &[Field] = &[
    super::fields::optional(
        "when",
        FieldType::Condition,
        "CEL without `{{ }}`, over what the step's templates may name: the step is passed over \
         where it does not hold, and then has no outputs (`has(steps.NAME)` tells).",
    ),
    super::fields::optional(
        "retry",
        FieldType::Object(RETRY),
        "What happens after a failure that may pass.",
    ),
    super::fields::optional(
        "timeout",
        FieldType::Duration,
        "Time for one attempt, after which it is broken off. If it cannot be known then whether an \
         effect happened, the next attempt looks first; after the last one it is looked for once more, and \
         what no look tells leaves the promotion stuck.",
    ),
    super::fields::optional(
        "continue_on_error",
        FieldType::Bool,
        "Whether the promotion goes on when the step failed for good. Default `false`.",
    ),
    super::fields::optional(
        "for_each",
        FieldType::Any,
        "A list or a map, or one `{{ }}` that gives one: the step is carried out once for each \
         element, as `NAME.KEY`, with `each.key` and `each.value` in its templates. It is expanded \
         before any step runs, so it cannot read `steps`.",
    ),
    super::fields::optional(
        "parallel",
        FieldType::Text,
        "A word. Steps that follow one another with the same one are carried out side by side after the \
         commit: each of them, each element of a `for_each`, each use of a task with all its steps. None \
         sees what another does: the working directory of each begins with what was made before them, and \
         outside nothing of it is seen but outputs. If one fails for good, the others begin nothing new.",
    ),
];

/// The config without its control, and the control.
#[must_use]
pub fn split_control(config: &Value) -> (Value, Option<Value>) {
    let mut config = config.clone();
    let control = config.as_object_mut().and_then(|entries| entries.shift_remove(KEY));
    (config, control.filter(|control| !control.is_null()))
}

impl Control {
    /// Reads a control strictly.
    ///
    /// # Errors
    /// Everything that is wrong with it, at paths that begin with `control`.
    pub fn read(value: &Value) -> Result<Self, Vec<StepProblem>> {
        let mut problems = Vec::new();
        check_table(CONTROL, value, KEY, &mut problems);
        if problems.is_empty() {
            no_templates(value, &mut problems);
            limits(value, &mut problems);
            check_for_each(value, &mut problems);
            check_word(value, &mut problems);
        }
        if problems.is_empty() { Ok(Self::of(value)) } else { Err(problems) }
    }

    /// What this control asks of a kind of step that has no such thing.
    ///
    /// A task is no attempt of its own: `when` and `for_each` are for all of its steps, `retry` for those
    /// that do not have one.
    #[must_use]
    pub fn check_for(&self, kind: StepKind) -> Vec<StepProblem> {
        if kind == StepKind::WaitForApproval && self.continue_on_error {
            let message = "a person's no is an answer, not an error to go on after; `at_timeout` says \
                           what happens where there is no answer";
            return vec![problem(&format!("{KEY}.continue_on_error"), message.to_owned())];
        }
        if kind != StepKind::Task {
            return Vec::new();
        }
        let asked =
            [("timeout", self.timeout.is_some()), ("continue_on_error", self.continue_on_error)];
        let asked = asked.into_iter().filter(|(_, is_asked)| *is_asked);
        asked
            .map(|(name, _)| {
                let message = "is for a single step: write it in the steps of the task".to_owned();
                problem(&format!("{KEY}.{name}"), message)
            })
            .collect()
    }

    /// The control as it is written; `None` if there is nothing to say.
    #[must_use]
    pub fn write(&self) -> Option<Value> {
        let mut written = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            written.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("when", self.when.as_ref().map(|when| json!(when.source())));
        put("retry", self.retry.map(Retry::write));
        put("timeout", self.timeout.map(|timeout| json!(duration::print(timeout))));
        put("continue_on_error", self.continue_on_error.then_some(Value::Bool(true)));
        put("for_each", self.for_each.clone());
        put("parallel", self.parallel.as_ref().map(|word| json!(word.as_str())));
        (!written.is_empty()).then_some(Value::Object(written))
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// A control that was checked.
    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let span = |value: &Value| text(value).and_then(|text| duration::parse(&text).ok());
        let given = |name: &str| value.get(name).filter(|value| !value.is_null());
        Self {
            when: given("when").and_then(text).and_then(|when| Expression::parse(&when).ok()),
            retry: given("retry").map(|retry| {
                let attempts = retry["attempts"].as_u64().and_then(|n| u32::try_from(n).ok());
                Retry {
                    attempts: attempts.unwrap_or(Retry::USUAL.attempts),
                    backoff: span(&retry["backoff"]).unwrap_or(Retry::USUAL.backoff),
                    max: span(&retry["max"]).unwrap_or(Retry::USUAL.max),
                }
            }),
            timeout: given("timeout").and_then(span),
            continue_on_error: given("continue_on_error").and_then(Value::as_bool) == Some(true),
            for_each: given("for_each").cloned(),
            parallel: given("parallel").and_then(text).and_then(|word| word.parse().ok()),
        }
    }
}

impl Retry {
    /// Of a step after the commit that does not say otherwise.
    pub const USUAL: Self =
        Self { attempts: 4, backoff: Duration::from_secs(5), max: Duration::from_secs(20 * 60) };

    /// Of an undo, at least: about a quarter of an hour, for a server that comes back. What an undo gives up is a
    /// person's to do.
    pub const OF_UNDO: Self =
        Self { attempts: 9, backoff: Duration::from_secs(5), max: Duration::from_secs(5 * 60) };

    /// When the next attempt is due after so many failures, the last one at `at`; `None`: there is
    /// none. The other side's own wish for a pause counts where it is longer.
    #[must_use]
    pub fn due(&self, failures: u32, at: Timestamp, wished: Option<Duration>) -> Option<Timestamp> {
        if failures >= self.attempts {
            return None;
        }
        let doubled = self.backoff.saturating_mul(1 << failures.saturating_sub(1).min(30));
        let pause = doubled.min(self.max).max(wished.unwrap_or_default());
        Some(at.checked_add(pause).unwrap_or(Timestamp::MAX))
    }

    fn write(self) -> Value {
        json!({
            "attempts": self.attempts,
            "backoff": duration::print(self.backoff),
            "max": duration::print(self.max),
        })
    }
}

/// What decides how a step is carried out is fixed when it is defined.
fn no_templates(value: &Value, problems: &mut Vec<StepProblem>) {
    let places = [
        ("control.retry.attempts", value.pointer("/retry/attempts")),
        ("control.retry.backoff", value.pointer("/retry/backoff")),
        ("control.retry.max", value.pointer("/retry/max")),
        ("control.timeout", value.get("timeout")),
        ("control.continue_on_error", value.get("continue_on_error")),
        ("control.parallel", value.get("parallel")),
    ];
    for (path, value) in places {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        if text.contains("{{") {
            let message = "is fixed when the step is defined: write a value, not a template";
            problems.push(problem(path, message.to_owned()));
        }
    }
}

fn limits(value: &Value, problems: &mut Vec<StepProblem>) {
    let attempts = value.pointer("/retry/attempts").filter(|attempts| !attempts.is_null());
    let in_range = |attempts: &Value| {
        attempts.as_u64().is_some_and(|count| (1..=ATTEMPTS_MAX).contains(&count))
    };
    if attempts.is_some_and(|attempts| attempts.is_number() && !in_range(attempts)) {
        let message = format!("expected 1 to {ATTEMPTS_MAX} attempts");
        problems.push(problem("control.retry.attempts", message));
    }
    let timeout = value.get("timeout").and_then(Value::as_str);
    if timeout.and_then(|text| duration::parse(text).ok()) == Some(Duration::ZERO) {
        problems.push(problem("control.timeout", "no attempt ends in no time".to_owned()));
    }
}

fn check_for_each(value: &Value, problems: &mut Vec<StepProblem>) {
    let path = "control.for_each";
    let Some(value) = value.get("for_each").filter(|value| !value.is_null()) else { return };
    let references = references_json(value).unwrap_or_default();
    if let Some(late) = references.iter().find(|reference| reference.root() == "steps") {
        let message = format!(
            "is expanded before any step runs, so it cannot read {late}, which exists only once a \
             step has run"
        );
        problems.push(problem(path, message));
    }
    let is_template = value.as_str().is_some_and(|text| text.contains("{{"));
    if let Err(message) = elements(value)
        && !is_template
    {
        problems.push(problem(path, message));
    }
}

fn check_word(value: &Value, problems: &mut Vec<StepProblem>) {
    let word = value.get("parallel").and_then(Value::as_str).filter(|word| !word.contains("{{"));
    if let Some(Err(error)) = word.map(str::parse::<StepName>) {
        problems.push(problem("control.parallel", error.to_string()));
    }
}

fn problem(path: &str, message: String) -> StepProblem {
    StepProblem { path: path.to_owned(), kind: ProblemKind::Invalid, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(control: &Value, expect: &[&str]) {
        let found: Vec<String> = match Control::read(control) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found, expect, "for {control}");
    }

    #[test]
    fn what_is_written_wrong_is_told_at_its_place() {
        check(&json!({ "when": "vars.x == 'y'", "retry": { "attempts": 3 } }), &[]);
        check(
            &json!({ "wen": "true", "retry": { "atempts": 3 } }),
            &[
                "control.wen: there is no argument \"wen\"; did you mean \"when\"?",
                "control.retry.atempts: there is no argument \"atempts\"; did you mean \"attempts\"?",
            ],
        );
        check(
            &json!({ "timeout": "{{ vars.t }}", "retry": { "attempts": 0 } }),
            &[
                "control.timeout: is fixed when the step is defined: write a value, not a template",
                "control.retry.attempts: expected 1 to 100 attempts",
            ],
        );
        check(
            &json!({ "for_each": "{{ steps.out.regions }}" }),
            &["control.for_each: is expanded before any step runs, so it cannot read \
               steps.out.regions, which exists only once a step has run"],
        );
        check(
            &json!({ "for_each": { "a b": 1 } }),
            &[
                "control.for_each: key \"a b\" cannot be part of a step's name: use letters, digits, \
               `_` and `-`, at most 63 of them",
            ],
        );
        check(
            &json!({ "parallel": "{{ vars.x }}" }),
            &["control.parallel: is fixed when the step is defined: write a value, not a template"],
        );
        check(&json!({ "for_each": 3 }), &["control.for_each: expected a list or a map, found 3"]);
        check(&json!({ "for_each": "{{ vars.regions.split(',') }}" }), &[]);
    }

    #[test]
    fn what_is_read_is_written_alike() {
        let written = json!({
            "when": "vars.x == 'y'",
            "retry": { "attempts": 3, "backoff": "10s", "max": "1m" },
            "timeout": "30s",
            "continue_on_error": true,
            "for_each": ["a", "b"],
            "parallel": "regions",
        });
        let control = Control::read(&written).expect("well formed");
        assert_eq!(control.write(), Some(written));
        let short = Control::read(&json!({ "retry": {} })).expect("well formed");
        assert_eq!(short.retry, Some(Retry::USUAL));
        assert_eq!(Control::default().write(), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry { attempts: 5, ..Retry::USUAL };
        let retry = Retry { max: Duration::from_secs(12), ..retry };
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("an instant");
        let due = |failures, wished: Option<u64>| {
            let due = retry.due(failures, start, wished.map(Duration::from_secs));
            due.map(|due| due.duration_since(start).as_secs())
        };
        assert_eq!([due(1, None), due(2, None), due(3, None)], [Some(5), Some(10), Some(12)]);
        assert_eq!([due(1, Some(90)), due(5, None)], [Some(90), None]);
    }
}
