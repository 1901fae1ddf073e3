//! The graph of a project's stages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActivePromotion, CurrentFreight};

/// The graph of a project: warehouses, stages, and which freight flows along which edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// The names of the warehouses, sorted.
    pub warehouses: Vec<String>,
    /// The stages, upstream before downstream, then by name.
    pub stages: Vec<PipelineStage>,
    /// The edges, sorted.
    pub edges: Vec<PipelineEdge>,
}

/// A stage of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStage {
    /// Its name.
    pub name: String,
    /// The freight that it holds, by warehouse.
    pub current: BTreeMap<String, CurrentFreight>,
    /// The promotion that is on its way, if any.
    pub promotion: Option<ActivePromotion>,
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
