//! Stages.

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, StageSpec};
use reconciler_domain::id::{StageName, WarehouseName};
use reconciler_domain::stage::{Choose, Matching, Request, Stage, VerificationUse};
use reconciler_domain::step::{Step, StepKind};

use super::Fields;

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
    fields.finish(Some(Stage {
        name,
        labels: spec.labels.clone(),
        vars: spec.vars.clone(),
        requests,
        steps,
        verifications,
        choose: match spec.choose {
            v1::Choose::Latest => Choose::Latest,
            v1::Choose::Queue => Choose::Queue,
            v1::Choose::MatchUpstream => Choose::MatchUpstream,
        },
        deletion_protection: spec.deletion_protection,
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
        matching: match request.matching {
            v1::RequestMatch::Any => Matching::Any,
            v1::RequestMatch::All => Matching::All,
        },
    })
}

fn parse_step(fields: &mut Fields, path: &str, step: &v1::Step) -> Option<Step> {
    let name = fields.name(&format!("{path}.name"), &step.name);
    let uses = StepKind::from_name(&step.uses);
    if uses.is_none() {
        let known: Vec<&str> = StepKind::ALL.iter().map(|kind| kind.name()).collect();
        let message = format!("there is no step {:?}; known: {}", step.uses, known.join(", "));
        fields.add(&format!("{path}.uses"), FieldCode::UnknownStep, message);
    }
    Some(Step { name: name?, uses: uses?, config: step.config.clone() })
}

/// Says a stage on the wire.
pub(crate) fn stage_spec(stage: &Stage) -> StageSpec {
    StageSpec {
        vars: stage.vars.clone(),
        labels: stage.labels.clone(),
        requests: stage
            .requests
            .iter()
            .map(|request| v1::Request {
                warehouse: request.warehouse.to_string(),
                from: request.from.iter().map(ToString::to_string).collect(),
                matching: match request.matching {
                    Matching::Any => v1::RequestMatch::Any,
                    Matching::All => v1::RequestMatch::All,
                },
            })
            .collect(),
        steps: stage
            .steps
            .iter()
            .map(|step| v1::Step {
                name: step.name.to_string(),
                uses: step.uses.name().to_owned(),
                config: step.config.clone(),
            })
            .collect(),
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
    }
}
