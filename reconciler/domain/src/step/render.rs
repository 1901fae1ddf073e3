//! Manifests rendered by other people's programs, and the charts that they are rendered from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Record;

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

/// Dependencies of a chart, set to exact versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartCall {
    /// The directory of the chart, below the working directory.
    pub path: String,
    /// Exact versions by the name that the chart has a dependency by: its alias, if it has one.
    pub versions: BTreeMap<String, String>,
    /// Whether the archives of all dependencies are put into `charts/`, not only of those that one is of.
    pub vendor: bool,
    /// What the archives were when they were fetched first, by their name: they may be nothing else when
    /// the directory is made again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

/// Archives that were fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartsRecord {
    /// Their SHA-256 in hexadecimal digits, by their name.
    pub sha256: BTreeMap<String, String>,
}

impl ChartCall {
    /// The same call for a rebuild.
    #[must_use]
    pub fn pinned(mut self, record: &Record) -> Self {
        if let Record::Charts(found) = record {
            self.sha256.clone_from(&found.sha256);
        }
        self
    }
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
