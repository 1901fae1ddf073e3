//! Projects: tenants that own everything else.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object};

/// What a client says of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectSpec {
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Free names and values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it is refused to be removed.
    #[serde(default)]
    pub deletion_protection: bool,
}

/// A tenant: owns warehouses, stages, verifications, tasks, policies, freight and promotions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: ProjectSpec,
}

impl Object for Project {
    type Spec = ProjectSpec;

    const KIND: Kind = Kind::Project;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
