//! The graph of a project's stages.

mod mermaid;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActivePromotion, Condition, CurrentFreight, Mode};

/// The graph of a project: warehouses, stages, which freight flows along which edge, and which
/// policies hold where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// The names of the warehouses, sorted.
    pub warehouses: Vec<String>,
    /// The stages, upstream before downstream, then by name.
    pub stages: Vec<PipelineStage>,
    /// The policies, by name.
    pub policies: Vec<PipelinePolicy>,
    /// The edges, sorted.
    pub edges: Vec<PipelineEdge>,
}

/// A stage of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStage {
    /// Its name.
    pub name: String,
    /// Whether it has no steps and only passes freight on.
    pub control_flow: bool,
    /// Who starts its promotions: what comes out of all its policies.
    pub mode: Mode,
    /// The policies that select it, sorted by name.
    pub policies: Vec<String>,
    /// The freight that it holds, by warehouse.
    pub current: BTreeMap<String, CurrentFreight>,
    /// The promotion that is on its way, if any.
    pub promotion: Option<ActivePromotion>,
    /// How it fares, sorted by type.
    pub conditions: Vec<Condition>,
}

/// A policy of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelinePolicy {
    /// Its name.
    pub name: String,
    /// Who starts promotions as far as it is concerned.
    pub mode: Mode,
    /// The stages that it selects, sorted.
    pub stages: Vec<String>,
}

/// Freight of one warehouse flows from here to there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PipelineEdge {
    /// Whose freight.
    pub warehouse: String,
    /// From which stage; null for straight from the warehouse.
    pub from: Option<String>,
    /// To which stage.
    pub to: String,
}
