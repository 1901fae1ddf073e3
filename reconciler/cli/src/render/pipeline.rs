//! The graph of a project's stages.

use reconciler_api::v1::{ConditionStatus, Pipeline, PipelineStage};

use super::{joined, or_dash, short, table};

const HEADER: [&str; 7] =
    ["STAGE", "FROM", "MODE", "POLICIES", "FREIGHT", "PROMOTION", "WAITS FOR"];

/// The stages, upstream before downstream.
pub(crate) fn text(pipeline: &Pipeline) -> String {
    if pipeline.stages.is_empty() {
        return "no stages".to_owned();
    }
    table(&HEADER, pipeline.stages.iter().map(|stage| row(pipeline, stage)))
}

fn row(pipeline: &Pipeline, stage: &PipelineStage) -> Vec<String> {
    let edges = pipeline.edges.iter().filter(|edge| edge.to == stage.name);
    let from = edges.map(|edge| match &edge.from {
        Some(from) => from.clone(),
        None => format!("warehouse {}", edge.warehouse),
    });
    let mut from: Vec<String> = from.collect();
    from.sort();
    from.dedup();
    let fails = stage.conditions.iter().find(|condition| {
        condition.kind == "UpToDate" && condition.status == ConditionStatus::False
    });
    let promotion = stage.promotion.as_ref().map(|it| format!("{} {}", it.id, it.phase));
    vec![
        stage.name.clone(),
        joined(from),
        stage.mode.to_string(),
        joined(stage.policies.iter().cloned()),
        joined(stage.current.values().map(|it| short(&it.freight).to_owned())),
        or_dash(promotion),
        or_dash(fails.map(|condition| condition.reason.clone())),
    ]
}
