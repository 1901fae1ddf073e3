//! Freight: immutable bundles of one artifact per subscription.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An immutable bundle: exactly one artifact per subscription of one warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Freight {
    /// The hash of its content.
    pub id: String,
    /// The beginning of the id that people read and type; unique in the project when it was made.
    pub short_id: String,
    /// The project that owns it.
    pub project: String,
    /// The warehouse that made it.
    pub warehouse: String,
    /// Its artifacts, by subscription.
    pub artifacts: BTreeMap<String, Artifact>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it went through, by stage.
    pub stages: BTreeMap<String, FreightStage>,
    /// Its names: each is this freight's alone, and finds it where an id does.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What steps noted about it, by key.
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
}

/// One version that a subscription found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Artifact {
    /// A commit.
    Git(GitArtifact),
    /// An image.
    Image(ImageArtifact),
}

/// A commit of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitArtifact {
    /// The URL of the repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The full id of the commit.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it, as `Name <mail>`.
    pub author: String,
    /// When it was committed.
    pub committed_at: Timestamp,
}

/// A container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageArtifact {
    /// The repository.
    pub repo: String,
    /// The tag under which it was found.
    pub tag: String,
    /// The digest of its manifest or index.
    pub digest: String,
    /// When it was built, if it says so.
    pub created_at: Option<Timestamp>,
}

/// What a freight went through in one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreightStage {
    /// When it last came.
    pub entered_at: Option<Timestamp>,
    /// When it was replaced; null while it is there.
    pub left_at: Option<Timestamp>,
    /// When the stage verified it.
    pub verified_at: Option<Timestamp>,
    /// When a person made it available past the stage's upstream.
    pub approved_at: Option<Timestamp>,
}

/// Which freight to list, newest first: what fulfils all of what is given. What is said of artifacts
/// is said of one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreightQuery {
    /// Only freight of this warehouse.
    pub warehouse: Option<String>,
    /// Only freight that is available to this stage: of what is asked of such freight, only the
    /// newest 100 of each warehouse are looked at.
    pub stage: Option<String>,
    /// Only freight that this stage vouches for.
    pub verified_in: Option<String>,
    /// Only freight that is in this stage now.
    pub current_in: Option<String>,
    /// Only freight with an artifact of the subscription of this name.
    pub subscription: Option<String>,
    /// Only freight with an artifact of this repository.
    pub repo: Option<String>,
    /// Only freight with an artifact whose version is in this range, such as `>=1.4.0 <2`.
    pub version: Option<String>,
    /// Only freight with an image of this digest.
    pub digest: Option<String>,
    /// Only freight with a commit whose id begins so: 7 digits or more.
    pub commit: Option<String>,
    /// Only freight that was made at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Only freight that was made at this instant or earlier.
    pub created_until: Option<Timestamp>,
    /// How many at most: 100 when left out, never more than 500. A page may hold less and still
    /// have a next one, because so many freights are looked at for one page.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub page: Option<String>,
}

/// Makes freight available to a stage past its upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreightApproval {
    /// To which stage.
    pub stage: String,
    /// Why; it is recorded.
    pub reason: String,
}
