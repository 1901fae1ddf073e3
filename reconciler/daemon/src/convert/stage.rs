//! Stages.

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, StageSpec};
use reconciler_domain::drift::Watch;
use reconciler_domain::duration;
use reconciler_domain::id::{StageName, WarehouseName};
use reconciler_domain::stage::{Choose, Matching, Request, Stage, VerificationUse};
use reconciler_domain::step::{Control, Step, StepKind};

use super::{Fields, field_code};

/// Reads a stage.
pub(crate) fn parse_stage(name: StageName, spec: &StageSpec) -> Result<Stage, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let mut requests = Vec::new();
    for (at, request) in spec.requests.iter().enumerate() {
        requests.extend(parse_request(&mut fields, &format!("requests[{at}]"), request));
    }
    let mut steps = Vec::new();
    for (at, step) in spec.steps.iter().enumerate() {
        steps.extend(parse_step(&mut fields, &format!("steps[{at}]"), step));
    }
    let mut verifications = Vec::new();
    for (at, used) in spec.verifications.iter().enumerate() {
        let template = fields.name(&format!("verifications[{at}].template"), &used.template);
        verifications.extend(template.map(|template| VerificationUse {
            name: used.name.clone(),
            template,
            args: used.args.clone(),
        }));
    }
    let every = spec.drift.as_ref().and_then(|drift| fields.duration("drift.every", &drift.every));
    fields.finish(Some(Stage {
        name,
        labels: spec.labels.clone(),
        vars: spec.vars.clone(),
        settable_vars: spec.settable_vars.clone(),
        requests,
        steps,
        verifications,
        choose: match spec.choose {
            v1::Choose::Latest => Choose::Latest,
            v1::Choose::Queue => Choose::Queue,
            v1::Choose::MatchUpstream => Choose::MatchUpstream,
        },
        deletion_protection: spec.deletion_protection,
        drift: every.map(|every| Watch { every }),
    }))
}

fn parse_request(fields: &mut Fields, path: &str, request: &v1::Request) -> Option<Request> {
    let warehouse = fields.name::<WarehouseName>(&format!("{path}.warehouse"), &request.warehouse);
    let mut from = Vec::new();
    for (at, upstream) in request.from.iter().enumerate() {
        from.extend(fields.name::<StageName>(&format!("{path}.from[{at}]"), upstream));
    }
    Some(Request {
        warehouse: warehouse?,
        direct: request.from.is_empty(),
        from,
        matching: parse_matching(fields, path, request)?,
    })
}

fn parse_matching(fields: &mut Fields, path: &str, request: &v1::Request) -> Option<Matching> {
    match (request.matching, request.at_least) {
        (v1::RequestMatch::Any, Some(count)) => Some(Matching::AtLeast(count)),
        (v1::RequestMatch::All, Some(_)) => {
            let message = "all of them, or at least so many: set `match` or `at_least`";
            fields.add(&format!("{path}.at_least"), FieldCode::Conflicting, message);
            None
        }
        (v1::RequestMatch::Any, None) => Some(Matching::Any),
        (v1::RequestMatch::All, None) => Some(Matching::All),
    }
}

pub(super) fn parse_step(fields: &mut Fields, path: &str, step: &v1::Step) -> Option<Step> {
    let name = fields.name(&format!("{path}.name"), &step.name);
    let uses = StepKind::from_name(&step.uses);
    if uses.is_none() {
        let known: Vec<&str> = StepKind::ALL.iter().map(|kind| kind.name()).collect();
        let message = format!("there is no step {:?}; known: {}", step.uses, known.join(", "));
        fields.add(&format!("{path}.uses"), FieldCode::UnknownStep, message);
    }
    let control = parse_control(fields, path, step);
    Some(Step { control: control?, ..Step::new(name?, uses?, step.config.clone()) })
}

fn parse_control(fields: &mut Fields, path: &str, step: &v1::Step) -> Option<Control> {
    let Some(control) = &step.control else { return Some(Control::default()) };
    match Control::read(&serde_json::json!(control)) {
        Ok(control) => Some(control),
        Err(problems) => {
            for problem in problems {
                let code = field_code(problem.kind, &problem.path);
                fields.add(&format!("{path}.{}", problem.path), code, problem.message);
            }
            None
        }
    }
}

/// Says a stage on the wire.
pub(crate) fn stage_spec(stage: &Stage) -> StageSpec {
    StageSpec {
        vars: stage.vars.clone(),
        settable_vars: stage.settable_vars.clone(),
        labels: stage.labels.clone(),
        requests: stage
            .requests
            .iter()
            .map(|request| v1::Request {
                warehouse: request.warehouse.to_string(),
                from: request.from.iter().map(ToString::to_string).collect(),
                matching: match request.matching {
                    Matching::Any | Matching::AtLeast(_) => v1::RequestMatch::Any,
                    Matching::All => v1::RequestMatch::All,
                },
                at_least: match request.matching {
                    Matching::AtLeast(count) => Some(count),
                    Matching::Any | Matching::All => None,
                },
            })
            .collect(),
        steps: stage.steps.iter().map(wire_step).collect(),
        verifications: stage
            .verifications
            .iter()
            .map(|used| v1::VerificationUse {
                name: used.name.clone(),
                template: used.template.to_string(),
                args: used.args.clone(),
            })
            .collect(),
        choose: match stage.choose {
            Choose::Latest => v1::Choose::Latest,
            Choose::Queue => v1::Choose::Queue,
            Choose::MatchUpstream => v1::Choose::MatchUpstream,
        },
        deletion_protection: stage.deletion_protection,
        drift: stage.drift.map(|watch| v1::DriftWatch { every: duration::print(watch.every) }),
    }
}

/// Says a step on the wire.
pub(super) fn wire_step(step: &Step) -> v1::Step {
    v1::Step {
        name: step.name.to_string(),
        uses: step.uses.name().to_owned(),
        config: step.config.clone(),
        control: wire_control(&step.control),
    }
}

fn wire_control(control: &Control) -> Option<v1::StepControl> {
    (!control.is_plain()).then(|| v1::StepControl {
        when: control.when.as_ref().map(|when| when.source().to_owned()),
        retry: control.retry.map(|retry| v1::StepRetry {
            attempts: Some(retry.attempts),
            backoff: Some(duration::print(retry.backoff)),
            max: Some(duration::print(retry.max)),
        }),
        timeout: control.timeout.map(duration::print),
        continue_on_error: control.continue_on_error,
        for_each: control.for_each.clone(),
        parallel: control.parallel.as_ref().map(ToString::to_string),
    })
}
