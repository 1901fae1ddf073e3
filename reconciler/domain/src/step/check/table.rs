//! Whether a value is what a table says: names, types, what is required, syntax of templates and CEL.

use serde_json::Value;

use super::StepProblem;
use crate::check::ProblemKind;
use crate::duration;
use crate::expression::Expression;
use crate::near;
use crate::step::fields::{Field, FieldType};
use crate::template::Template;

/// Checks a value against a table; problems are told at paths below `path`.
pub(in crate::step) fn check_table(
    table: &[Field],
    value: &Value,
    path: &str,
    problems: &mut Vec<StepProblem>,
) {
    let Some(given) = value.as_object() else {
        problems.push(unexpected(path, "an object", value));
        return;
    };
    for name in given.keys() {
        if !table.iter().any(|field| field.name == name) {
            let names: Vec<&str> = table.iter().map(|field| field.name).collect();
            let message = format!("there is no argument {name:?}; {}", did_you_mean(name, &names));
            let path = join(path, name);
            problems.push(StepProblem { path, kind: ProblemKind::Argument, message });
        }
    }
    for field in table {
        let at = join(path, field.name);
        match given.get(field.name) {
            None | Some(Value::Null) if field.required => {
                let message = "is required".to_owned();
                problems.push(StepProblem { path: at, kind: ProblemKind::Missing, message });
            }
            None | Some(Value::Null) => {}
            Some(value) => typed(&field.holds, value, &at, problems),
        }
    }
}

fn typed(holds: &FieldType, value: &Value, path: &str, problems: &mut Vec<StepProblem>) {
    if let Value::String(text) = value {
        let is_condition = matches!(holds, FieldType::Condition);
        if !is_condition && text.contains("{{") {
            syntax(Template::parse(text).map(drop), ProblemKind::Expression, path, problems);
            let takes_template =
                !matches!(holds, FieldType::List(_) | FieldType::Map(_) | FieldType::Object(_));
            if !takes_template {
                problems.push(unexpected(path, expected(holds), value));
            }
            return;
        }
    }
    match holds {
        FieldType::Text if value.is_string() => {}
        FieldType::Bool if value.is_boolean() => {}
        FieldType::Integer if value.is_i64() || value.is_u64() => {}
        FieldType::Any => any(value, path, problems),
        FieldType::Duration => match value.as_str() {
            Some(text) => {
                syntax(duration::parse(text).map(drop), ProblemKind::Duration, path, problems);
            }
            None => problems.push(unexpected(path, expected(holds), value)),
        },
        FieldType::Condition => match value.as_str() {
            Some(text) => {
                syntax(Expression::parse(text).map(drop), ProblemKind::Expression, path, problems);
            }
            None => problems.push(unexpected(path, expected(holds), value)),
        },
        FieldType::OneOf(words) => match value.as_str() {
            Some(word) if words.contains(&word) => {}
            Some(word) => problems.push(StepProblem {
                path: path.to_owned(),
                kind: ProblemKind::Invalid,
                message: format!("{word:?} is not allowed; {}", did_you_mean(word, words)),
            }),
            None => problems.push(unexpected(path, expected(holds), value)),
        },
        FieldType::List(inner) => match value.as_array() {
            Some(items) => {
                for (at, item) in items.iter().enumerate() {
                    typed(inner, item, &format!("{path}[{at}]"), problems);
                }
            }
            None => problems.push(unexpected(path, expected(holds), value)),
        },
        FieldType::Map(inner) => match value.as_object() {
            Some(entries) => {
                for (name, entry) in entries {
                    typed(inner, entry, &join(path, name), problems);
                }
            }
            None => problems.push(unexpected(path, expected(holds), value)),
        },
        FieldType::Object(table) => check_table(table, value, path, problems),
        FieldType::Text | FieldType::Bool | FieldType::Integer => {
            problems.push(unexpected(path, expected(holds), value));
        }
    }
}

/// Any value is fine; the templates inside must be well formed.
fn any(value: &Value, path: &str, problems: &mut Vec<StepProblem>) {
    match value {
        Value::String(text) if text.contains("{{") => {
            syntax(Template::parse(text).map(drop), ProblemKind::Expression, path, problems);
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                any(item, &format!("{path}[{at}]"), problems);
            }
        }
        Value::Object(entries) => {
            for (name, entry) in entries {
                any(entry, &join(path, name), problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn syntax<E: std::fmt::Display>(
    parsed: Result<(), E>,
    kind: ProblemKind,
    path: &str,
    problems: &mut Vec<StepProblem>,
) {
    if let Err(error) = parsed {
        problems.push(StepProblem { path: path.to_owned(), kind, message: error.to_string() });
    }
}

fn unexpected(path: &str, expected: &str, found: &Value) -> StepProblem {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => format!("the text {value:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    let message = format!("expected {expected}, found {found}");
    StepProblem { path: path.to_owned(), kind: ProblemKind::Invalid, message }
}

fn expected(holds: &FieldType) -> &'static str {
    match holds {
        FieldType::Text => "text",
        FieldType::Bool => "true or false",
        FieldType::Integer => "a whole number",
        FieldType::Duration => "a duration such as \"30s\"",
        FieldType::OneOf(_) => "one of the allowed words",
        FieldType::Condition => "a CEL expression as text",
        FieldType::Any => "any value",
        FieldType::List(_) => "a list",
        FieldType::Map(_) => "a map",
        FieldType::Object(_) => "an object",
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `did you mean "branch"?` where a known name is near, else the list of them.
pub(crate) fn did_you_mean(name: &str, known: &[&str]) -> String {
    match near::nearest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean {candidate:?}?"),
        None => format!("known: {}", known.join(", ")),
    }
}
