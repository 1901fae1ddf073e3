//! Functions. Those over texts and policies are below; here is one per kind of step, which checks its
//! arguments strictly, and makes the step.
//!
//! A nested object of a resource would lose what is misspelt in it without a word; a function
//! sees all of it. It is called while values are unknown too, and then checks what is known.

mod policy;
mod text;

pub(crate) use policy::{EvaluatePolicy, WindowOpen, policy_spec};
pub(crate) use text::{ParseDuration, ParseImage, SemverMatch};

use provider_protocol::cty::{Type, Value, json};
use provider_protocol::provider::{Function, FunctionError, Parameter, Signature};
use reconciler_domain::id::StepName;
use reconciler_domain::step::{CONTROL, Field, FieldType, Output, StepKind, check_step, fields};
use std::fmt::Write as _;

use crate::resources::{inexact, step_type};
use crate::words::sentence;

/// The function of a kind of step.
pub(crate) struct StepFunction {
    kind: StepKind,
}

impl StepFunction {
    pub(crate) const fn new(kind: StepKind) -> Self {
        Self { kind }
    }
}

impl Function for StepFunction {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn signature(&self) -> Signature {
        let name = Parameter::new("name", Type::String).allow_unknown().describe(
            "The name of the step, unique in its stage: lower-case letters, digits and `_`. Later \
             steps read its outputs as `steps.<name>`.",
        );
        let config = Parameter::new("config", Type::Dynamic)
            .allow_unknown()
            .describe("The arguments of the step, an object.");
        Signature::new([name, config], step_type())
            .describe(self.kind.summary(), description(self.kind))
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let [name, config] = arguments else {
            return Err(FunctionError::new("Write it as (name, { … })."));
        };
        if let Some(text) = name.as_str() {
            text.parse::<StepName>()
                .map_err(|error| FunctionError::argument(0, sentence(&error.to_string())))?;
        }
        let config = self.config(config).map_err(|text| FunctionError::argument(1, text))?;
        Ok(Value::object([
            ("name", name.clone()),
            ("uses", Value::from(self.kind.name())),
            ("config", config),
        ]))
    }
}

impl StepFunction {
    /// The arguments as JSON text; unknown while something in them is.
    fn config(&self, config: &Value) -> Result<Value, String> {
        if config.is_unknown() {
            return Ok(Value::unknown());
        }
        let mut partial = Partial { unknown: Vec::new(), complete: true, inexact: Vec::new() };
        let arguments = partial.json(config, "", Place::Step(self.kind));
        let Partial { unknown, complete, inexact } = partial;
        let problems = check_step(self.kind, &arguments);
        let judged = problems
            .iter()
            .filter(|problem| !unknown.iter().any(|place| is_at_or_below(&problem.path, place)))
            .map(|problem| {
                let text = sentence(&problem.message);
                if problem.path.is_empty() { text } else { format!("{}: {text}", problem.path) }
            });
        let lines: Vec<String> = inexact.into_iter().chain(judged).collect();
        if !lines.is_empty() {
            return Err(lines.join("\n"));
        }
        if complete { Ok(Value::from(arguments.to_string())) } else { Ok(Value::unknown()) }
    }
}

/// A value as JSON with null for what is unknown.
struct Partial {
    /// Where something is unknown, in the words of the check. A place that no argument has is
    /// not among them: it is a mistake whatever its value will be.
    unknown: Vec<String>,
    /// Whether everything is known.
    complete: bool,
    /// What is wrong with whole numbers that JSON here cannot hold.
    inexact: Vec<String>,
}

impl Partial {
    fn json(&mut self, value: &Value, place: &str, holds: Place<'_>) -> serde_json::Value {
        match value.undynamic() {
            Value::Unknown(_) => {
                self.complete = false;
                self.unknown.extend(holds.is_known().then(|| place.to_owned()));
                serde_json::Value::Null
            }
            Value::List(elements) => {
                let elements = elements.iter().enumerate();
                let element = |(at, element): (usize, &Value)| {
                    self.json(element, &format!("{place}[{at}]"), holds.below(""))
                };
                elements.map(element).collect()
            }
            Value::Map(elements) => {
                let element = |(name, element): (&String, &Value)| {
                    let dot = if place.is_empty() { "" } else { "." };
                    let place = format!("{place}{dot}{name}");
                    (name.clone(), self.json(element, &place, holds.below(name)))
                };
                elements.iter().map(element).collect()
            }
            known @ Value::Number(number) => {
                let plain = json::to_plain(known);
                // A fraction that was computed has no end: it goes as text, as far as it is known.
                if let Some(number) = plain.as_str().filter(|_| number.is_integer()) {
                    self.inexact.push(format!("{place}: {}", inexact(number)));
                }
                plain
            }
            known @ (Value::Null | Value::Bool(_) | Value::String(_) | Value::Dynamic(_)) => {
                json::to_plain(known)
            }
        }
    }
}

/// A place in the arguments of a step.
#[derive(Clone, Copy)]
enum Place<'t> {
    /// The arguments as a whole.
    Step(StepKind),
    /// An argument, or something in it.
    Holds(&'t FieldType),
    /// One of these arguments.
    Table(&'t [Field]),
    /// Nothing can be there.
    Nowhere,
}

impl<'t> Place<'t> {
    fn is_known(self) -> bool {
        !matches!(self, Self::Nowhere)
    }

    /// The place below this one, by name.
    fn below(self, name: &str) -> Self {
        match self {
            Self::Step(_) if name == "control" => Self::Table(CONTROL),
            Self::Step(kind) => Self::of(fields(kind), name),
            Self::Table(table) => Self::of(table, name),
            Self::Nowhere => Self::Nowhere,
            Self::Holds(holds) => match holds {
                FieldType::Object(table) => Self::of(table, name),
                FieldType::Map(inner) | FieldType::List(inner) => Self::Holds(inner),
                FieldType::Any => self,
                FieldType::Text
                | FieldType::Bool
                | FieldType::Integer
                | FieldType::Duration
                | FieldType::OneOf(_)
                | FieldType::Condition => Self::Nowhere,
            },
        }
    }

    fn of(table: &'t [Field], name: &str) -> Self {
        let field = table.iter().find(|field| field.name == name);
        field.map_or(Self::Nowhere, |field| Self::Holds(&field.holds))
    }
}

fn is_at_or_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || place.is_empty() || rest.starts_with(['.', '[']))
}

fn description(kind: StepKind) -> String {
    let mut text = format!("{}\n\nArguments of the step:\n\n", kind.summary());
    list_fields(fields(kind), "", &mut text);
    text.push_str("- `control` (object, optional) How the step is carried out.\n");
    list_fields(CONTROL, "  ", &mut text);
    match kind.outputs() {
        Some([]) => text.push_str("\nIt has no outputs.\n"),
        Some(outputs) => {
            text.push_str("\nOutputs:\n\n");
            for Output { name, holds, doc } in outputs {
                writeln!(text, "- `{name}` ({}) {doc}", holds.word())
                    .expect("writing to a text cannot fail");
            }
        }
        None => text.push_str("\nIts outputs have names of their own, known only when it runs.\n"),
    }
    text
}

fn list_fields(table: &[Field], indent: &str, text: &mut String) {
    for field in table {
        let need = if field.required { "required" } else { "optional" };
        let waits =
            if field.may_wait { " May use outputs that are known only after apply." } else { "" };
        let Field { name, holds, doc, .. } = field;
        writeln!(text, "{indent}- `{name}` ({}, {need}) {doc}{waits}", type_words(holds))
            .expect("writing to a text cannot fail");
        if let Some(inner) = inner_fields(holds) {
            list_fields(inner, &format!("{indent}  "), text);
        }
    }
}

fn inner_fields(holds: &FieldType) -> Option<&'static [Field]> {
    match holds {
        FieldType::Object(table) => Some(table),
        FieldType::List(inner) | FieldType::Map(inner) => inner_fields(inner),
        FieldType::Text
        | FieldType::Bool
        | FieldType::Integer
        | FieldType::Duration
        | FieldType::OneOf(_)
        | FieldType::Condition
        | FieldType::Any => None,
    }
}

fn type_words(holds: &FieldType) -> String {
    match holds {
        FieldType::Text => "text".to_owned(),
        FieldType::Bool => "true or false".to_owned(),
        FieldType::Integer => "whole number".to_owned(),
        FieldType::Duration => "duration".to_owned(),
        FieldType::OneOf(words) => format!("`{}`", words.join("` or `")),
        FieldType::Condition => "CEL".to_owned(),
        FieldType::Any => "any".to_owned(),
        FieldType::List(inner) => format!("list of {}", type_words(inner)),
        FieldType::Map(inner) => format!("map of {}", type_words(inner)),
        FieldType::Object(_) => "object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(kind: StepKind, name: impl Into<Value>, config: Value) -> Result<Value, FunctionError> {
        StepFunction::new(kind).call(&[name.into(), config.into_dynamic()])
    }

    #[track_caller]
    fn refused(kind: StepKind, config: &serde_json::Value, text: &str) {
        let error = call(kind, "step", Value::from(config)).err();
        assert_eq!(error, Some(FunctionError::argument(1, text)), "{config}");
    }

    #[test]
    fn a_call_makes_a_step() {
        let config = json!({ "repo": "https://example.com/x",
            "checkout": { "src": { "commit": "{{ freight.infra.commit }}" } } });
        let step = call(StepKind::GitClone, "src", Value::from(&config));
        let expected = Value::object([
            ("name", Value::from("src")),
            ("uses", "git_clone".into()),
            (
                "config",
                r#"{"checkout":{"src":{"commit":"{{ freight.infra.commit }}"}},"repo":"https://example.com/x"}"#.into(),
            ),
        ]);
        assert_eq!(step, Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_argument() {
        refused(
            StepKind::GitClone,
            &json!({ "repo": "x", "checkout": { "src": { "comit": "a" } } }),
            "checkout.src.comit: There is no argument \"comit\"; did you mean \"commit\"?",
        );
        refused(StepKind::TfApply, &json!({}), "plan: Is required.");
        refused(StepKind::TfApply, &json!([]), "Expected an object, found a list.");
        let name = call(StepKind::TfApply, "Apply", Value::from(&json!({ "plan": "p" })));
        assert!(name.is_err_and(|error| error.argument == Some(0)));
    }

    #[test]
    fn a_control_stands_among_the_arguments() {
        let config = |control| json!({ "plan": "plan", "control": control });
        let good = config(json!({ "when": "vars.x == 'y'" }));
        let step = call(StepKind::TfApply, "apply", Value::from(&good)).expect("a step");
        let text = r#"{"control":{"when":"vars.x == 'y'"},"plan":"plan"}"#;
        assert_eq!(step.get("config"), Some(&text.into()));
        refused(
            StepKind::TfApply,
            &config(json!({ "wen": "true", "timeout": "soon" })),
            &format!(
                "control.wen: There is no argument \"wen\"; did you mean \"when\"?\n\
                 control.timeout: {}",
                sentence(
                    &reconciler_domain::duration::parse("soon")
                        .expect_err("no duration")
                        .to_string()
                ),
            ),
        );
        let unknown = Value::object([
            ("plan", Value::from("plan")),
            ("control", Value::object([("timeout", Value::unknown())])),
        ]);
        let step = call(StepKind::TfApply, "apply", unknown);
        assert_eq!(step.map(|step| step.get("config").cloned()), Ok(Some(Value::unknown())));
    }

    #[test]
    fn what_is_not_known_yet_is_not_judged() {
        let config = Value::object([("dir", Value::unknown()), ("vars", Value::unknown())]);
        let step = call(StepKind::TfPlan, "plan", config);
        assert_eq!(step.map(|step| step.get("config").cloned()), Ok(Some(Value::unknown())));
        let config = Value::object([("dri", Value::unknown()), ("dir", Value::from("x"))]);
        let step = call(StepKind::TfPlan, "plan", config);
        assert!(step.is_err(), "a misspelt name is a mistake whatever its value will be");
        let step = call(StepKind::TfPlan, Value::unknown(), Value::unknown());
        assert_eq!(step.map(|step| step.get("uses").cloned()), Ok(Some("tf_plan".into())));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let precise: Value = Value::Number("0.1".parse().expect("a number"));
        let vars = Value::object([("ratio", precise)]);
        let config = Value::object([("dir", Value::from("x")), ("vars", vars)]);
        let step = call(StepKind::TfPlan, "plan", config).expect("a step");
        assert_eq!(step.get("config"), Some(&r#"{"dir":"x","vars":{"ratio":0.1}}"#.into()));
    }

    #[test]
    fn a_number_that_cannot_keep_its_digits_is_refused() {
        let number = "123456789012345678901";
        let long = || Value::Number(number.parse().expect("a number"));
        let config = |value: Value| {
            let vars = Value::object([("account", value)]);
            Value::object([("dir", Value::from("x")), ("vars", vars)])
        };
        let refused = call(StepKind::TfPlan, "plan", config(long())).expect_err("it is too long");
        let text = format!(
            "vars.account: {number} has more digits than a number can keep: write it as text, \
             \"{number}\"."
        );
        assert_eq!(refused, FunctionError::argument(1, text));
        assert!(call(StepKind::TfPlan, "plan", config(number.into())).is_ok());
        // 1 / 3, as the client computes it.
        let third = format!("0.{}", "3".repeat(154));
        let computed = Value::Number(third.parse().expect("a number"));
        let step = call(StepKind::TfPlan, "plan", config(computed)).expect("a step");
        let text = format!(r#"{{"dir":"x","vars":{{"account":"{third}"}}}}"#);
        assert_eq!(step.get("config"), Some(&text.into()));
    }
}
