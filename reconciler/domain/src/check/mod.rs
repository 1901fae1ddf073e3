//! Checks of definitions with the rest of the project at hand: what can be known to be wrong before
//! anything runs. Syntax is checked where a definition is parsed; here are names, references and the
//! shape of the graph. Every problem has the path of the field that causes it.

mod graph;

use std::collections::{BTreeMap, BTreeSet};

use crate::expression::{Expression, ExpressionError, Names, Shape};
use crate::id::{StageName, VerificationName, WarehouseName};
use crate::policy::{Mode, Policy};
use crate::scope::{step_names, verification_names, warehouse_names};
use crate::stage::Stage;
use crate::step::{StepKind, check_config, did_you_mean};
use crate::template::{Template, check_json};
use crate::verification::{Check, Verification};
use crate::warehouse::Warehouse;

pub use graph::{cycle_through, reachable};

/// Something wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Where: `requests[0].from[1]`, `steps[2].config.updates`.
    pub path: String,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// A required thing is missing or empty.
    Missing,
    /// A value is not allowed.
    Invalid,
    /// The same name stands twice.
    Duplicate,
    /// A name that nothing has.
    Unknown,
    /// An expression or template that cannot work.
    Expression,
    /// Stages that wait for each other in a circle.
    Cycle,
}

/// The other definitions of the project, as far as checks look at them.
#[derive(Debug, Clone, Default)]
pub struct Surroundings<'a> {
    /// Warehouses.
    pub warehouses: BTreeMap<&'a WarehouseName, &'a Warehouse>,
    /// Stages.
    pub stages: BTreeMap<&'a StageName, &'a Stage>,
    /// Verification templates.
    pub verifications: BTreeMap<&'a VerificationName, &'a Verification>,
}

impl<'a> Surroundings<'a> {
    /// The definitions of a project.
    #[must_use]
    pub fn of(definitions: &'a crate::snapshot::Definitions) -> Self {
        Self {
            warehouses: definitions.warehouses.iter().map(|(n, d)| (n, &d.spec)).collect(),
            stages: definitions.stages.iter().map(|(n, d)| (n, &d.spec)).collect(),
            verifications: definitions.verifications.iter().map(|(n, d)| (n, &d.spec)).collect(),
        }
    }
}

/// Checks a warehouse.
#[must_use]
pub fn check_warehouse(warehouse: &Warehouse) -> Vec<Problem> {
    let mut problems = Vec::new();
    if warehouse.subscriptions.is_empty() {
        let message = "a warehouse needs at least one subscription".to_owned();
        problems.push(Problem { path: String::new(), kind: ProblemKind::Missing, message });
    }
    if let Some(require) = &warehouse.require {
        expression(require, &warehouse_names(warehouse), "require", &mut problems);
    }
    problems
}

/// Checks a stage against the rest of its project.
#[must_use]
pub fn check_stage(stage: &Stage, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_requests(stage, around, &mut problems);
    check_steps(stage, around, &mut problems);
    check_verification_uses(stage, around, &mut problems);
    if let Some(cycle) = cycle_through(stage, &around.stages) {
        let names: Vec<&str> = cycle.iter().map(|name| name.as_str()).collect();
        problems.push(Problem {
            path: cycle_path(stage, cycle.get(1).copied()),
            kind: ProblemKind::Cycle,
            message: format!("stages wait for each other in a circle: {}", names.join(" -> ")),
        });
    }
    problems
}

/// The request that leads into the cycle.
fn cycle_path(stage: &Stage, upstream: Option<&StageName>) -> String {
    for (at, request) in stage.requests.iter().enumerate() {
        for (which, from) in request.from.iter().enumerate() {
            if Some(from) == upstream {
                return format!("requests[{at}].from[{which}]");
            }
        }
    }
    "requests".to_owned()
}

fn check_requests(stage: &Stage, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    if stage.requests.is_empty() {
        problems.push(Problem {
            path: "requests".to_owned(),
            kind: ProblemKind::Missing,
            message: "a stage requests freight of at least one warehouse".to_owned(),
        });
    }
    let mut seen = BTreeSet::new();
    for (at, request) in stage.requests.iter().enumerate() {
        let path = format!("requests[{at}].warehouse");
        if !seen.insert(&request.warehouse) {
            let message = format!("warehouse {} is requested twice", request.warehouse);
            problems.push(Problem { path: path.clone(), kind: ProblemKind::Duplicate, message });
        }
        let known: Vec<&str> = around.warehouses.keys().map(|name| name.as_str()).collect();
        unknown("warehouse", request.warehouse.as_str(), &known, path, problems);
        for (which, from) in request.from.iter().enumerate() {
            let path = format!("requests[{at}].from[{which}]");
            if *from == stage.name {
                continue;
            }
            let known: Vec<&str> = around.stages.keys().map(|name| name.as_str()).collect();
            unknown("stage", from.as_str(), &known, path.clone(), problems);
            passes_on(request, from, around, path, problems);
        }
    }
}

/// An upstream stage must itself request the warehouse whose freight it is to pass on.
fn passes_on(
    request: &crate::stage::Request,
    from: &StageName,
    around: &Surroundings<'_>,
    path: String,
    problems: &mut Vec<Problem>,
) {
    let Some(upstream) = around.stages.get(from) else { return };
    if upstream.request(&request.warehouse).is_none() {
        problems.push(Problem {
            path,
            kind: ProblemKind::Invalid,
            message: format!(
                "stage {from} does not request warehouse {}, so its freight never gets there",
                request.warehouse
            ),
        });
    }
}

fn unknown(what: &str, name: &str, known: &[&str], path: String, problems: &mut Vec<Problem>) {
    if known.contains(&name) {
        return;
    }
    let hint =
        if known.is_empty() { "there is none yet".to_owned() } else { did_you_mean(name, known) };
    let message = format!("there is no {what} {name:?}; {hint}");
    problems.push(Problem { path, kind: ProblemKind::Unknown, message });
}

fn check_steps(stage: &Stage, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (at, step) in stage.steps.iter().enumerate() {
        if !seen.insert(&step.name) {
            problems.push(Problem {
                path: format!("steps[{at}].name"),
                kind: ProblemKind::Duplicate,
                message: format!("two steps are named {}", step.name),
            });
        }
        let arguments = check_config(step.uses, &step.config);
        let malformed = !arguments.is_empty();
        problems.extend(arguments.into_iter().map(|problem| Problem {
            path: join(&format!("steps[{at}].config"), &problem.path),
            kind: ProblemKind::Invalid,
            message: problem.message,
        }));
        if malformed {
            continue;
        }
        let names = step_names(stage, at, &around.warehouses);
        if knows_freight(stage, around)
            && let Err(errors) = check_json(&step.config, &names)
        {
            problems.extend(errors.into_iter().map(|found| Problem {
                path: format!("steps[{at}].config{}", dotted(&found.path)),
                kind: ProblemKind::Expression,
                message: found.error.to_string(),
            }));
        }
        if step.uses == StepKind::TfApply {
            check_plan_reference(stage, at, problems);
        }
    }
}

/// With an unknown warehouse every `freight.…` would be a second report of the same mistake.
fn knows_freight(stage: &Stage, around: &Surroundings<'_>) -> bool {
    stage.requests.iter().all(|request| around.warehouses.contains_key(&request.warehouse))
}

fn check_plan_reference(stage: &Stage, at: usize, problems: &mut Vec<Problem>) {
    let Some(plan) = stage.steps[at].config.get("plan").and_then(serde_json::Value::as_str) else {
        return;
    };
    let plans: Vec<&str> = stage.steps[..at]
        .iter()
        .filter(|step| step.uses == StepKind::TfPlan)
        .map(|step| step.name.as_str())
        .collect();
    if !plan.contains("{{") {
        unknown("tf_plan step", plan, &plans, format!("steps[{at}].config.plan"), problems);
    }
}

fn check_verification_uses(stage: &Stage, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (at, used) in stage.verifications.iter().enumerate() {
        if !seen.insert(&used.name) {
            problems.push(Problem {
                path: format!("verifications[{at}].name"),
                kind: ProblemKind::Duplicate,
                message: format!("two verifications are named {:?}", used.name),
            });
        }
        let Some(template) = around.verifications.get(&used.template) else {
            let known: Vec<&str> = around.verifications.keys().map(|n| n.as_str()).collect();
            let path = format!("verifications[{at}].template");
            unknown("verification", used.template.as_str(), &known, path, problems);
            continue;
        };
        let given = used.args.keys().map(|name| (name.clone(), Shape::Scalar));
        let names = verification_names(stage, Shape::Object(given.collect()), &around.warehouses);
        if !knows_freight(stage, around) {
            continue;
        }
        for (check, text) in texts(template) {
            let errors = Template::parse(text).map(|template| template.check(&names));
            for error in errors.ok().and_then(Result::err).into_iter().flatten() {
                problems.push(Problem {
                    path: format!("verifications[{at}].args"),
                    kind: ProblemKind::Expression,
                    message: format!("check {check} of verification {}: {error}", used.template),
                });
            }
        }
    }
}

/// Checks a verification template by itself.
#[must_use]
pub fn check_verification(verification: &Verification) -> Vec<Problem> {
    let mut problems = Vec::new();
    if verification.checks.is_empty() {
        let message = "a verification needs at least one check".to_owned();
        problems.push(Problem { path: String::new(), kind: ProblemKind::Missing, message });
    }
    for (name, check) in &verification.checks {
        let (kind, names) = match check {
            Check::Http(_) => ("http", response_names()),
            Check::Prometheus(_) => ("prometheus", result_names()),
        };
        let path = format!("{kind}[{name:?}].success");
        expression(check.success(), &names, &path, &mut problems);
    }
    problems.extend(texts(verification).into_iter().filter_map(|(check, text)| {
        let error = Template::parse(text).err()?;
        let path = format!("check {check}");
        let kind = ProblemKind::Expression;
        Some(Problem { path, kind, message: error.to_string() })
    }));
    problems
}

/// Names that the condition on an HTTP answer may use.
#[must_use]
pub fn response_names() -> Names {
    let response = Shape::object([
        ("status", Shape::Scalar),
        ("headers", Shape::open::<String>([])),
        ("body", Shape::Scalar),
        ("json", Shape::Any),
    ]);
    Names::new().name("response", response)
}

/// Names that the condition on a query's result may use.
#[must_use]
pub fn result_names() -> Names {
    let sample = Shape::object([("value", Shape::Scalar), ("labels", Shape::open::<String>([]))]);
    let result = Shape::object([("value", Shape::Scalar), ("samples", Shape::list(sample))]);
    Names::new().name("result", result)
}

/// The templates of a verification, with the check that they belong to.
fn texts(verification: &Verification) -> Vec<(&str, &str)> {
    let mut texts = Vec::new();
    for (name, check) in &verification.checks {
        match check {
            Check::Http(http) => {
                texts.push((name.as_str(), http.url.as_str()));
                texts.extend(http.headers.values().map(|value| (name.as_str(), value.as_str())));
                texts.extend(http.body.as_deref().map(|body| (name.as_str(), body)));
            }
            Check::Prometheus(query) => {
                texts.push((name.as_str(), query.address.as_str()));
                texts.push((name.as_str(), query.query.as_str()));
            }
        }
    }
    texts
}

/// Checks a policy by itself.
#[must_use]
pub fn check_policy(policy: &Policy) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |path: &str, kind, message: String| {
        problems.push(Problem { path: path.to_owned(), kind, message });
    };
    if policy.stages.is_empty() {
        let message = "a policy selects at least one stage, by name or glob".to_owned();
        add("stages.names", ProblemKind::Missing, message);
    }
    for (at, pattern) in policy.stages.iter().enumerate() {
        if let Err(error) = globset::Glob::new(pattern) {
            add(&format!("stages.names[{at}]"), ProblemKind::Invalid, error.to_string());
        }
    }
    if policy.mode == Mode::Automatic && policy.has_gates() {
        let message = "a policy of mode automatic has no gates; use mode gated to let automation \
                       promote once every gate passes"
            .to_owned();
        add("mode", ProblemKind::Invalid, message);
    }
    let mut groups = BTreeSet::new();
    for (at, approvals) in policy.approvals.iter().enumerate() {
        if !groups.insert(&approvals.group) {
            let message = format!("group {:?} is asked twice", approvals.group);
            add(&format!("approvals[{at}].group"), ProblemKind::Duplicate, message);
        }
        if approvals.count == 0 {
            let message = "at least one approval, or no gate at all".to_owned();
            add(&format!("approvals[{at}].count"), ProblemKind::Invalid, message);
        }
    }
    let mut names = BTreeSet::new();
    for (at, bypass) in policy.bypass.iter().enumerate() {
        if !names.insert(&bypass.name) {
            let message = format!("two bypass rights are named {:?}", bypass.name);
            add(&format!("bypass[{at}].name"), ProblemKind::Duplicate, message);
        }
        if bypass.groups.is_empty() || bypass.gates.is_empty() {
            let message = "a bypass right names groups and gates".to_owned();
            add(&format!("bypass[{at}]"), ProblemKind::Missing, message);
        }
    }
    problems
}

fn expression(text: &str, names: &Names, path: &str, problems: &mut Vec<Problem>) {
    let errors: Vec<ExpressionError> = match Expression::parse(text) {
        Ok(parsed) => parsed.check(names).err().unwrap_or_default(),
        Err(error) => vec![error],
    };
    problems.extend(errors.into_iter().map(|error| Problem {
        path: path.to_owned(),
        kind: ProblemKind::Expression,
        message: error.to_string(),
    }));
}

fn join(base: &str, path: &str) -> String {
    match path {
        "" => base.to_owned(),
        path => format!("{base}.{path}"),
    }
}

/// A JSON pointer as a dotted path: `/updates/image.tag` becomes `.updates.image.tag`.
fn dotted(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) => format!("{path}.{part}"),
        }
    })
}
