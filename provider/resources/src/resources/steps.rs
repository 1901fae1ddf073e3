//! Steps: a plain list of `{ name, uses, config }`, where `config` is JSON text.
//!
//! One function per kind of step makes such an object; written by hand it is checked as
//! strictly. Two texts of the same JSON are no change, and the user's text is kept.

use std::collections::{BTreeMap, HashMap};

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Number, Path, Type, Value, json};
use provider_protocol::provider::{Field, Reader, duplicates};
use provider_protocol::schema::Attribute;
use reconciler_api::v1::Step;
use reconciler_domain::expression::{Expression, ExpressionError, Names, Shape};
use reconciler_domain::id::StepName;
use reconciler_domain::scope::each_shape;
use reconciler_domain::step::{Control, StepKind, check_step as judge, split_control};
use reconciler_domain::template::check_json;
use serde_json::Value as Json;

use crate::form::Read as _;
use crate::words::{did_you_mean, sentence};

/// The type of one step, which the functions return.
pub(crate) fn step_type() -> Type {
    Type::object(["name", "uses", "config"].map(|name| (name, Type::String)))
}

/// The attribute; `given` are the names, for documentation, that whoever holds the steps gives them.
pub(super) fn attribute(given: &str) -> Attribute {
    let text = format!(
        "What a promotion does, in order. Each step is an object that a function of the provider \
         makes, such as `provider::lockstep::git_clone(name, {{ … }})`, or the same by hand: \
         `{{ name, uses, config }}`, with the kind of step in `uses` and its arguments as JSON text \
         in `config`. Texts inside may hold `{{{{ CEL }}}}` over `freight` (of several warehouses: \
         `freight_from(\"NAME\")`), {given}, `steps.<name>` of the steps before, `stage`, \
         `project` and `promotion`. Prefer the functions: they refuse whatever they do not know. Of \
         an object by hand the client drops every name besides these three without a word, so \
         that a misspelt one is lost; `control`, too, belongs into `config`.",
    );
    Attribute::list(step_type()).equal(same_steps).describe(text)
}

/// Whether two lists of steps mean the same.
fn same_steps(left: &Value, right: &Value) -> bool {
    let (Some(left), Some(right)) = (left.as_list(), right.as_list()) else { return false };
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_step(left, right))
}

fn same_step(left: &Value, right: &Value) -> bool {
    let text = |step: &Value, name| step.get(name).and_then(Value::as_str).map(str::to_owned);
    let json = |step: &Value| {
        text(step, "config").and_then(|config| serde_json::from_str::<Json>(&config).ok())
    };
    text(left, "name") == text(right, "name")
        && text(left, "uses") == text(right, "uses")
        && (text(left, "config") == text(right, "config")
            || (json(left).is_some() && json(left).map(meant) == json(right).map(meant)))
}

/// A config as it is meant: a control with what it leaves unsaid.
fn meant(config: Json) -> (Json, Option<Control>) {
    let (arguments, control) = split_control(&config);
    match control.as_ref().map(Control::read) {
        None => (arguments, Some(Control::default())),
        Some(Ok(control)) => (arguments, Some(control)),
        Some(Err(_)) => (config, None),
    }
}

pub(super) fn spec(step: &Reader<'_>) -> Step {
    let config: Json = serde_json::from_str(&step.required("config")).unwrap_or_default();
    let (config, control) = split_control(&config);
    Step {
        name: step.required("name"),
        uses: step.required("uses"),
        config,
        control: control.and_then(|control| serde_json::from_value(control).ok()),
    }
}

pub(super) fn value(steps: &[Step]) -> Value {
    if steps.is_empty() {
        return Value::Null;
    }
    Value::list(steps.iter().map(|step| {
        Value::object([
            ("name", Value::from(&step.name)),
            ("uses", step.uses.as_str().into()),
            ("config", config(step).to_string().into()),
        ])
    }))
}

/// The arguments with the control among them.
fn config(step: &Step) -> Json {
    let mut config = step.config.clone();
    if let (Some(arguments), Some(control)) = (config.as_object_mut(), &step.control) {
        arguments.insert("control".to_owned(), serde_json::json!(control));
    }
    config
}

/// The steps that were read, each in the text of the step of the same name before.
pub(super) fn keep_texts(read: Value, before: &Value) -> Value {
    let Value::List(read) = read else { return read };
    let name = |step: &Value| step.get("name").and_then(Value::as_str).map(str::to_owned);
    let before = before.as_list().unwrap_or_default();
    let named: HashMap<Option<String>, &Value> =
        before.iter().map(|step| (name(step), step)).collect();
    Value::list(read.into_iter().map(|step| match named.get(&name(&step)) {
        Some(before) if same_step(before, &step) => (*before).clone(),
        _ => step,
    }))
}

/// Checks every step as far as it is known, with what it may refer to: `given` by whoever holds the steps,
/// and the steps before. What is wrong is told at the element: of a place further inside the client
/// shows only the resource.
pub(super) fn validate(config: &Reader<'_>, given: Names, diags: &mut Diagnostics) {
    let steps = config.blocks("steps");
    duplicates(&steps, "name", diags);
    let mut before = Before { given, ..Before::default() };
    for step in &steps {
        let checked = check_step(step, diags);
        if let Some((kind, arguments)) = &checked {
            before.check(*kind, arguments, step.path(), diags);
        }
        let (kind, arguments) = checked.unzip();
        before.add(step, kind, arguments.as_ref());
    }
}

/// Checks a step by itself. None if something of it is wrong or not known.
fn check_step(step: &Reader<'_>, diags: &mut Diagnostics) -> Option<(StepKind, Json)> {
    let invalid_name = "Invalid name of a step";
    if step.parse("name", invalid_name, diags, str::parse::<StepName>).is_null()
        && step.get("name").is_null()
    {
        diags.error_at(step.path().clone(), invalid_name, "A step needs a name.");
    }
    let kind = kind(step, diags);
    let arguments = arguments(step, diags);
    let (kind, arguments) = (kind?, arguments?);
    let problems = judge(kind, &arguments);
    for problem in &problems {
        let text = sentence(&problem.message);
        let text = if problem.path.is_empty() { text } else { format!("{}: {text}", problem.path) };
        let summary = format!("Invalid arguments of {}", kind.name());
        diags.error_at(step.path().clone(), summary, text);
    }
    problems.is_empty().then_some((kind, arguments))
}

fn kind(step: &Reader<'_>, diags: &mut Diagnostics) -> Option<StepKind> {
    let name = match step.string("uses") {
        Field::Known(name) => name,
        Field::Unknown => return None,
        Field::Null => "",
    };
    let kind = StepKind::from_name(name);
    if kind.is_none() {
        let known = StepKind::ALL.map(StepKind::name);
        let text = format!("There is no kind of step {name:?}. {}", did_you_mean(name, known));
        diags.error_at(step.path().clone(), "Unknown kind of step", text);
    }
    kind
}

fn arguments(step: &Reader<'_>, diags: &mut Diagnostics) -> Option<Json> {
    let text = match step.string("config") {
        Field::Known(text) => text,
        Field::Unknown => return None,
        Field::Null => "",
    };
    let read = serde_json::from_str(text)
        .map_err(|error| format!("It is not JSON: {error}. Write it with jsonencode({{ … }})."));
    let exact = read.and_then(|read| match changed_number(text, &read) {
        None => Ok(read),
        Some(number) => Err(inexact(&number)),
    });
    diags.take(step.path().clone(), "Invalid arguments of a step", exact)
}

/// What is wrong with a whole number that no JSON number of the daemon holds: what was written would
/// become another one.
pub(crate) fn inexact(number: &str) -> String {
    format!("{number} has more digits than a number can keep: write it as text, {number:?}.")
}

/// A whole number of a text that became another one when it was read, as it was written. A fraction is
/// the nearest one, as everywhere in JSON: what was computed, such as 1 / 3, has no end.
fn changed_number(text: &str, read: &Json) -> Option<String> {
    fn differs(exact: &Json, read: &Json) -> Option<String> {
        match (exact, read) {
            (Json::String(written), Json::Number(_)) => {
                let is_whole = written.parse().is_ok_and(|number: Number| number.is_integer());
                is_whole.then(|| written.clone())
            }
            (Json::Array(exact), Json::Array(read)) => {
                exact.iter().zip(read).find_map(|(exact, read)| differs(exact, read))
            }
            (Json::Object(exact), Json::Object(read)) => exact
                .iter()
                .filter_map(|(name, exact)| Some((exact, read.get(name)?)))
                .find_map(|(exact, read)| differs(exact, read)),
            _ => None,
        }
    }
    // What cannot be read so nests too deep, which is told elsewhere.
    differs(&json::read_plain(text).ok()?, read)
}

/// What the steps before a step give it.
#[derive(Default)]
struct Before {
    given: Names,
    outputs: BTreeMap<String, Shape>,
    plans: Vec<String>,
    /// A step before is not known, so it may have any name.
    open: bool,
}

impl Before {
    fn add(&mut self, step: &Reader<'_>, kind: Option<StepKind>, arguments: Option<&Json>) {
        let Field::Known(name) = step.string("name") else {
            self.open = true;
            return;
        };
        let any = || Shape::open::<String>([]);
        let repeated = arguments.is_none_or(|arguments| each(arguments).is_some());
        let outputs = match kind {
            Some(kind) if !repeated => kind.output_shape(),
            Some(_) | None => any(),
        };
        self.outputs.insert(name.to_owned(), outputs);
        if kind.is_none_or(StepKind::plans_infra) {
            self.plans.push(name.to_owned());
        }
    }

    fn check(&self, kind: StepKind, arguments: &Json, path: &Path, diags: &mut Diagnostics) {
        let names = match each(arguments) {
            Some(_) => self.names().name("each", each_shape()),
            None => self.names(),
        };
        let mut invalid = |place: &str, error: &ExpressionError| {
            let text = format!("{place}: {}", sentence(&error.to_string()));
            diags.error_at(path.clone(), "Invalid expression", text);
        };
        for found in check_json(arguments, &names).err().unwrap_or_default() {
            invalid(&found.path.trim_start_matches('/').replace('/', "."), &found.error);
        }
        let when = arguments.pointer("/control/when").and_then(Json::as_str);
        if let Some(Ok(when)) = when.map(Expression::parse) {
            for error in when.check(&names).err().unwrap_or_default() {
                invalid("control.when", &error);
            }
        }
        let names_plan = arguments.get("plan").is_some_and(|plan| !plan.is_null());
        if kind == StepKind::TfApply || (kind == StepKind::TfOutput && names_plan) {
            self.check_plan(arguments, path, diags);
        }
    }

    fn check_plan(&self, arguments: &Json, path: &Path, diags: &mut Diagnostics) {
        let plan = arguments.get("plan").and_then(Json::as_str).unwrap_or_default();
        // An element of a step with `for_each` is known when it is expanded.
        let element = plan.split_once('.').is_some();
        if self.open || element || plan.contains("{{") || self.plans.iter().any(|name| name == plan)
        {
            return;
        }
        let text = format!(
            "plan: No `tf_plan` step before this one has the name {plan:?}. {}",
            did_you_mean(plan, self.plans.iter().map(String::as_str))
        );
        diags.error_at(path.clone(), "Unknown plan", text);
    }

    /// The names that a template may use here.
    fn names(&self) -> Names {
        let steps = if self.open {
            Shape::open(self.outputs.clone())
        } else {
            Shape::Object(self.outputs.clone())
        };
        self.given.clone().name("steps", steps)
    }
}

/// What every promotion gives its steps.
pub(super) fn given() -> Names {
    let fields = |names: &[&str]| Shape::object(names.iter().map(|name| (*name, Shape::Scalar)));
    Names::new()
        .name("stage", fields(&["name"]))
        .name("project", fields(&["name"]))
        .name("promotion", fields(&["id", "requester", "created_at"]))
}

/// What a step is carried out for each of, if it is.
fn each(arguments: &Json) -> Option<&Json> {
    arguments.pointer("/control/for_each").filter(|elements| !elements.is_null())
}
