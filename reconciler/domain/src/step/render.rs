//! Manifests rendered by other people's programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Manifests to render.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderCall {
    /// By what, and how.
    pub by: Renderer,
    /// The directory that is rendered, below the working directory.
    pub path: String,
    /// Where the manifests go: a file for all of them if its name ends in `.yaml` or `.yml`, else a
    /// directory with a file for each.
    pub to: String,
    /// Time for the program.
    pub timeout: Duration,
}

/// What renders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renderer {
    /// `kustomize build`.
    Kustomize,
    /// `helm template`.
    Helm(HelmTemplate),
}

/// How a chart is rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HelmTemplate {
    /// Name of the release.
    pub release: String,
    /// Namespace of the release; absent: what helm takes.
    pub namespace: Option<String>,
    /// Files of values, below the working directory; later ones win.
    pub values_files: Vec<String>,
    /// Values that win over all files.
    pub values: Map<String, Value>,
    /// Version of Kubernetes that templates see; absent: what helm takes.
    pub kube_version: Option<String>,
    /// Versions of APIs that templates see beside it.
    pub api_versions: Vec<String>,
    /// Whether what the chart has below `crds/` is among the manifests.
    pub include_crds: bool,
    /// Whether hooks are.
    pub hooks: bool,
    /// Whether tests are.
    pub tests: bool,
}

impl RenderCall {
    /// Whether all manifests go into one file.
    #[must_use]
    pub fn is_one_file(&self) -> bool {
        let name = self.to.to_ascii_lowercase();
        name.ends_with(".yaml") || name.ends_with(".yml")
    }
}

/// The directory right below the working directory that a path is in: what a kustomization may read of.
#[must_use]
pub fn top(path: &str) -> &str {
    path.trim_start_matches("./").split('/').next().unwrap_or(path)
}
