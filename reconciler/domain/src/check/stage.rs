//! Checks of stages against the rest of their project.

use std::collections::BTreeSet;

use serde_json::Value;

use super::order::check_order;
use super::secret::check_secrets;
use super::task::{check_inside, check_use};
use super::verification::{response_names, texts};
use super::{Problem, ProblemKind, Surroundings, cycle_through, dotted, expression, join, unknown};
use crate::drift::Watch;
use crate::duration;
use crate::expression::{Names, Shape};
use crate::id::StageName;
use crate::scope::{elements_names, look_names, step_names, verification_names};
use crate::secret::with_secret;
use crate::stage::{Matching, Request, Stage};
use crate::step::{Field, FieldType, Step, StepKind, check_config, fields};
use crate::template::{Template, TemplateError, check_json};
use crate::verification::Verification;

/// Checks a stage against the rest of its project.
#[must_use]
pub fn check_stage(stage: &Stage, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_requests(stage, around, &mut problems);
    check_settable(stage, &mut problems);
    check_steps(stage, around, &mut problems);
    check_verification_uses(stage, around, &mut problems);
    problems.extend(check_drift(stage));
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

/// Looks that come too often, too seldom, or find nothing to look at.
fn check_drift(stage: &Stage) -> Option<Problem> {
    let watch = stage.drift?;
    let (path, message) = if stage.is_control_flow() {
        ("drift", "a stage without steps has no infra to look at".to_owned())
    } else if watch.is_in_bounds() {
        return None;
    } else {
        let (least, most) = (duration::print(Watch::LEAST), duration::print(Watch::MOST));
        ("drift.every", format!("between {least} and {most}"))
    };
    Some(Problem { path: path.to_owned(), kind: ProblemKind::Invalid, message })
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
        if !request.direct && request.from.is_empty() {
            problems.push(Problem {
                path: format!("requests[{at}]"),
                kind: ProblemKind::Missing,
                message: "freight comes straight from the warehouse (direct) or from upstream \
                          stages (from); this says neither"
                    .to_owned(),
            });
        }
        problems.extend(check_quorum(request, at));
        for (which, from) in request.from.iter().enumerate() {
            let path = format!("requests[{at}].from[{which}]");
            if request.from[..which].contains(from) {
                let message = format!("stage {from} is named twice");
                problems.push(Problem {
                    path: path.clone(),
                    kind: ProblemKind::Duplicate,
                    message,
                });
            }
            if *from == stage.name {
                continue;
            }
            let known: Vec<&str> = around.stages.keys().map(|name| name.as_str()).collect();
            unknown("stage", from.as_str(), &known, path.clone(), problems);
            passes_on(request, from, around, path, problems);
        }
    }
}

/// A quorum is some of the upstream stages.
fn check_quorum(request: &Request, at: usize) -> Option<Problem> {
    let Matching::AtLeast(count) = request.matching else { return None };
    let path = format!("requests[{at}].at_least");
    let of = request.from.len();
    if count == 0 {
        let message = "at least one stage has to vouch for freight";
        return Some(Problem::new(path, ProblemKind::Invalid, message));
    }
    let message = format!("{count} stages can never vouch for freight: `from` names {of}");
    (request.matching.needed(of) > of).then(|| Problem::new(path, ProblemKind::Never, message))
}

/// Only a variable that has a value can get another.
fn check_settable(stage: &Stage, problems: &mut Vec<Problem>) {
    let known: Vec<&str> = stage.vars.keys().map(String::as_str).collect();
    for (at, name) in stage.settable_vars.iter().enumerate() {
        unknown("variable", name, &known, format!("settable_vars[{at}]"), problems);
    }
}

/// An upstream stage must itself request the warehouse whose freight it is to pass on.
fn passes_on(
    request: &Request,
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

fn check_steps(stage: &Stage, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    let mut well_formed = true;
    for (at, step) in stage.steps.iter().enumerate() {
        if !seen.insert(&step.name) {
            problems.push(Problem {
                path: format!("steps[{at}].name"),
                kind: ProblemKind::Duplicate,
                message: format!("two steps are named {}", step.name),
            });
        }
        if !check_step_arguments(step, at, problems) {
            well_formed = false;
            continue;
        }
        well_formed &= check_use(step, at, around, problems);
        if knows_freight(stage, around) {
            let names = step_names(stage, at, &around.warehouses, &around.tasks);
            let elements = elements_names(stage, &around.warehouses);
            check_step_names(step, at, &names, &elements, around, problems);
            check_inside(step, at, &names, around, problems);
        }
    }
    // What a malformed step would have left behind is not known.
    if well_formed {
        check_order(stage, &around.tasks, problems);
    }
}

/// Checks the arguments of a step, and what its control asks. Whether they are well formed.
pub(super) fn check_step_arguments(step: &Step, at: usize, problems: &mut Vec<Problem>) -> bool {
    let arguments = check_config(step.uses, &step.config);
    let control = step.control.check_for(step.uses);
    let well_formed = arguments.is_empty() && control.is_empty();
    problems.extend(arguments.into_iter().map(|problem| Problem {
        path: join(&format!("steps[{at}].config"), &problem.path),
        kind: problem.kind,
        message: problem.message,
    }));
    problems.extend(control.into_iter().map(|problem| Problem {
        path: format!("steps[{at}].{}", problem.path),
        kind: problem.kind,
        message: problem.message,
    }));
    well_formed
}

/// Names in the templates and conditions of a step; `elements` are those that its `for_each` may use.
pub(super) fn check_step_names(
    step: &Step,
    at: usize,
    names: &Names,
    elements: &Names,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    let conditions = condition_names(step.uses, names, around);
    let secret_names = with_secret(names);
    for (argument, value) in step.config.as_object().into_iter().flatten() {
        let path = format!("steps[{at}].config.{argument}");
        let is_it = |field: &&Field| field.name == argument && field.may_hold_secret;
        if fields(step.uses).iter().any(|field| is_it(&field)) {
            check_texts(value, &path, &secret_names, problems);
            check_secrets(step, value, &path, around, problems);
        } else {
            check_texts(value, &path, names, problems);
        }
    }
    if let Some(for_each) = &step.control.for_each {
        check_texts(for_each, &format!("steps[{at}].control.for_each"), elements, problems);
    }
    if let Some(when) = &step.control.when {
        expression(when.source(), names, &format!("steps[{at}].control.when"), problems);
    }
    let path = format!("steps[{at}].config");
    check_conditions(fields(step.uses), &step.config, &path, &conditions, problems);
}

/// The arguments that are conditions, wherever they stand.
fn check_conditions(
    fields: &[Field],
    config: &Value,
    place: &str,
    conditions: &Names,
    problems: &mut Vec<Problem>,
) {
    for field in fields {
        let Some(given) = config.get(field.name) else { continue };
        let path = format!("{place}.{}", field.name);
        match (field.holds, given) {
            (FieldType::Condition, Value::String(text)) => {
                expression(text, conditions, &path, problems);
            }
            (FieldType::Map(FieldType::Condition), Value::Object(entries)) => {
                for (name, text) in entries {
                    let text = text.as_str().unwrap_or_default();
                    expression(text, conditions, &format!("{path}.{name}"), problems);
                }
            }
            (FieldType::Object(inner), Value::Object(_)) => {
                check_conditions(inner, given, &path, conditions, problems);
            }
            (
                FieldType::Text
                | FieldType::Bool
                | FieldType::Integer
                | FieldType::Duration
                | FieldType::OneOf(_)
                | FieldType::Condition
                | FieldType::Any
                | FieldType::List(_)
                | FieldType::Map(_)
                | FieldType::Object(_),
                _,
            ) => {}
        }
    }
}

pub(super) fn check_texts(value: &Value, place: &str, names: &Names, problems: &mut Vec<Problem>) {
    let errors = check_json(value, names).err().unwrap_or_default();
    problems.extend(errors.into_iter().map(|found| Problem {
        path: format!("{place}{}", dotted(&found.path)),
        kind: ProblemKind::Expression,
        message: found.error.to_string(),
    }));
}

/// Names that the conditions of a step may use: of what it finds, not of what came before it, unless it
/// waits for what it knows to change.
fn condition_names(kind: StepKind, names: &Names, around: &Surroundings<'_>) -> Names {
    match kind {
        StepKind::Wait => look_names(names, around.stages.keys().copied()),
        StepKind::YamlParse | StepKind::JsonParse | StepKind::TomlParse | StepKind::HclParse => {
            Names::new().name("document", Shape::Any)
        }
        StepKind::Http
        | StepKind::GitClone
        | StepKind::YamlUpdate
        | StepKind::GitCommit
        | StepKind::GitPush
        | StepKind::TfPlan
        | StepKind::TfDestroy
        | StepKind::TfImport
        | StepKind::TfApply
        | StepKind::TfOutput
        | StepKind::GitClear
        | StepKind::GitTag
        | StepKind::Tar
        | StepKind::Untar
        | StepKind::Download
        | StepKind::Copy
        | StepKind::Delete
        | StepKind::Write
        | StepKind::Template
        | StepKind::YamlMerge
        | StepKind::JsonUpdate
        | StepKind::TomlUpdate
        | StepKind::HclUpdate
        | StepKind::KustomizeSetImage
        | StepKind::OciPull
        | StepKind::OciPush
        | StepKind::OciAttach
        | StepKind::KustomizeBuild
        | StepKind::HelmTemplate
        | StepKind::HelmUpdateChart
        | StepKind::Run
        | StepKind::RunEffect
        | StepKind::ComposeOutput
        | StepKind::Fail
        | StepKind::GitOpenPr
        | StepKind::GitWaitForPr
        | StepKind::GitMergePr
        | StepKind::GitClosePr
        | StepKind::GitCommentPr
        | StepKind::WaitForApproval
        | StepKind::GetInput
        | StepKind::SetMetadata
        | StepKind::SetAlias
        | StepKind::AuditEvent
        | StepKind::Task => response_names(),
    }
}

/// With an unknown warehouse every `freight.…` would be a second report of the same mistake.
fn knows_freight(stage: &Stage, around: &Surroundings<'_>) -> bool {
    stage.requests.iter().all(|request| around.warehouses.contains_key(&request.warehouse))
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
        if knows_freight(stage, around) {
            check_arguments(stage, at, template, around, problems);
        }
    }
}

/// The arguments of a verification, and the names that its template uses with them.
fn check_arguments(
    stage: &Stage,
    at: usize,
    template: &Verification,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    let used = &stage.verifications[at];
    let mistakes = |text: &str, names: &Names| match Template::parse(text) {
        Ok(template) => template.check(names).err().unwrap_or_default(),
        Err(TemplateError::Malformed(error)) => vec![error],
        // Parsing has no other errors.
        Err(
            TemplateError::Evaluation(_) | TemplateError::NoText { .. } | TemplateError::At { .. },
        ) => Vec::new(),
    };
    let names = step_names(stage, stage.steps.len(), &around.warehouses, &around.tasks);
    for (name, text) in &used.args {
        problems.extend(mistakes(text, &names).into_iter().map(|error| Problem {
            path: format!("verifications[{at}].args.{name}"),
            kind: ProblemKind::Expression,
            message: error.to_string(),
        }));
    }
    let given = used.args.keys().map(|name| (name.clone(), Shape::Scalar));
    let given = Shape::Object(given.collect());
    let names = verification_names(stage, given, &around.warehouses, &around.tasks);
    for (path, text) in texts(template) {
        problems.extend(mistakes(text, &names).into_iter().map(|error| Problem {
            path: format!("verifications[{at}].args"),
            kind: ProblemKind::Expression,
            message: format!("{path} of verification {}: {error}", used.template),
        }));
    }
}
