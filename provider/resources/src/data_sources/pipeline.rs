//! `data "lockstep_pipeline"`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, Nesting, Schema};
use reconciler_api::v1::{ActivePromotion, Pipeline, PipelineEdge, PipelinePolicy, PipelineStage};

use super::stage::{CURRENT, PROMOTION, current_value, promotion_value};
use super::{
    by_name, conditions_attribute, conditions_value, given, project, project_attribute, read,
    read_only,
};
use crate::session::Session;

/// The graph of a project: warehouses, stages, policies, and what is where.
pub(crate) struct PipelineData;

const POLICY: [(&str, &str); 2] =
    [("name", "Its name."), ("mode", "Who starts promotions as far as it is concerned.")];

const EDGE: [(&str, &str); 3] = [
    ("warehouse", "Whose freight flows."),
    ("from", "From which stage; null for straight from the warehouse."),
    ("to", "To which stage."),
];

#[async_trait]
impl DataSource<Session> for PipelineData {
    fn type_name(&self) -> &'static str {
        "lockstep_pipeline"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "The graph of a project: which freight flows where, which policies hold, what is \
                 in each stage and what waits. For documentation, dashboards and checks.",
            )
            .attribute("project", project_attribute())
            .attribute("warehouses", texts("The names of the warehouses, sorted."))
            .attribute(
                "stages",
                stages().describe("The stages, upstream before downstream, then by name."),
            )
            .attribute("policies", policies().describe("The policies, by name."))
            .attribute(
                "edges",
                read_only(Nesting::List, &EDGE)
                    .describe("Where freight flows, sorted by warehouse, `from` and `to`."),
            )
            .attribute("json", given("All of it as JSON, as the API has it."))
            .attribute("mermaid", given("All of it as a Mermaid flowchart."));
        Schema::new(block)
    }

    async fn read(
        &self,
        cx: &Context<Session>,
        config: &Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let session = cx.client(diags)?;
        let project = project(&Reader::root(config), &session, diags)?;
        let what = format!("read the pipeline of {project}");
        let call = session.api.pipeline(&project);
        let pipeline = read(cx, &session, &what, call, diags).await?;
        Some(value(&project, &pipeline))
    }
}

fn texts(text: &str) -> Attribute {
    Attribute::list(Type::String).computed().describe(text)
}

fn stages() -> Attribute {
    let fields = [
        ("name", given("Its name.")),
        (
            "control_flow",
            Attribute::bool()
                .computed()
                .describe("Whether it has no steps and only passes freight on."),
        ),
        ("mode", given("Who starts its promotions: what comes out of all its policies.")),
        ("policies", texts("The policies that select it, sorted.")),
        (
            "current",
            read_only(Nesting::Map, &CURRENT).describe("The freight that it holds, by warehouse."),
        ),
        (
            "promotion",
            read_only(Nesting::Single, &PROMOTION)
                .describe("The promotion that is on its way; null if there is none."),
        ),
        ("conditions", conditions_attribute()),
    ];
    Attribute::nested(Nesting::List, fields).computed()
}

fn policies() -> Attribute {
    let named = POLICY.map(|(name, text)| (name, given(text)));
    let selected = ("stages", texts("The stages that it selects, sorted."));
    Attribute::nested(Nesting::List, named.into_iter().chain([selected])).computed()
}

fn value(project: &str, pipeline: &Pipeline) -> Value {
    let Pipeline { warehouses, stages, policies, edges } = pipeline;
    let json = serde_json::to_string(pipeline).unwrap_or_default();
    Value::object([
        ("project", Value::from(project)),
        ("warehouses", warehouses.clone().into()),
        ("stages", Value::List(stages.iter().map(stage).collect())),
        ("policies", Value::List(policies.iter().map(policy).collect())),
        ("edges", Value::List(edges.iter().map(edge).collect())),
        ("json", json.into()),
        ("mermaid", pipeline.to_mermaid().into()),
    ])
}

fn stage(stage: &PipelineStage) -> Value {
    let PipelineStage { name, control_flow, mode, policies, current, promotion, conditions } =
        stage;
    let promotion: Option<&ActivePromotion> = promotion.as_ref();
    Value::object([
        ("name", Value::from(name)),
        ("control_flow", (*control_flow).into()),
        ("mode", mode.as_str().into()),
        ("policies", policies.clone().into()),
        ("current", by_name(current, current_value)),
        ("promotion", promotion.map(promotion_value).into()),
        ("conditions", conditions_value(conditions)),
    ])
}

fn policy(policy: &PipelinePolicy) -> Value {
    let PipelinePolicy { name, mode, stages } = policy;
    Value::object([
        ("name", Value::from(name)),
        ("mode", mode.as_str().into()),
        ("stages", stages.clone().into()),
    ])
}

fn edge(edge: &PipelineEdge) -> Value {
    let PipelineEdge { warehouse, from, to } = edge;
    Value::object([
        ("warehouse", Value::from(warehouse)),
        ("from", from.clone().into()),
        ("to", to.into()),
    ])
}
