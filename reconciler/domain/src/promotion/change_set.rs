//! The change set: what a promotion will do, shown and approved before it does it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::freight::hex;
use crate::id::{FreightId, StepName, WarehouseName};
use crate::infra::{PlanDigest, PlanSummary};
use crate::step::{FileChange, Lane, Layer, StepKind};

/// What a promotion will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Names exactly this change set; what an approval binds to.
    pub digest: String,
    /// Freight by warehouse.
    pub collection: IndexMap<WarehouseName, FreightId>,
    /// Every step with its arguments.
    pub steps: Vec<PlannedStep>,
    /// Changed files, by the commit step that changes them.
    pub files: Vec<FilesOf>,
    /// Infra plans.
    pub infra: Vec<InfraChange>,
    /// What an undo would do, in its order.
    pub undo: Vec<UndoPlan>,
}

/// One step of a change set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Which.
    pub name: StepName,
    /// What it does.
    pub uses: StepKind,
    /// Its rendered arguments; what must wait is `{"$deferred": TEXT}`.
    pub config: Value,
    /// Whether it has run, will run, or must wait.
    pub plan: StepPlan,
    /// The condition on which it runs, where that waits for a later effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What it was expanded from, where something of it must wait: its expressions read that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Layer>,
    /// Where it stands among steps that are carried out side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
}

/// Where a step stands when the change set is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum StepPlan {
    /// It ran while preparing.
    Prepared,
    /// It is an effect and will run after the commit.
    Effect,
    /// It is passed over.
    PassedOver {
        /// Why.
        why: String,
    },
    /// It needs what a later effect gives; only values may vary.
    Deferred {
        /// The outputs it waits for, as in `steps.out.url`.
        waits_for: Vec<String>,
    },
}

/// Files that one commit step changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesOf {
    /// The commit step.
    pub step: StepName,
    /// The repository.
    pub repo: String,
    /// The branch it is pushed to, if a step does.
    pub branch: Option<String>,
    /// The files.
    pub files: Vec<FileChange>,
}

/// What one infra plan would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InfraChange {
    /// The plan step.
    pub step: StepName,
    /// The module's directory.
    pub dir: String,
    /// Counts and addresses.
    pub summary: PlanSummary,
    /// The same for an identical re-plan.
    pub digest: PlanDigest,
}

/// How one step would be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoPlan {
    /// The step.
    pub step: StepName,
    /// What the undo does, or why there is none.
    pub description: String,
    /// Whether there is one.
    pub possible: bool,
}

impl ChangeSet {
    /// Puts a change set together and names it.
    ///
    /// The digest covers the collection, the rendered steps, the old and new object of every file
    /// and the semantic digest of every infra plan. It leaves out commit ids: when a branch moved
    /// and the same files change in the same way, the promotion does what was approved.
    #[must_use]
    pub fn new(
        collection: IndexMap<WarehouseName, FreightId>,
        steps: Vec<PlannedStep>,
        files: Vec<FilesOf>,
        infra: Vec<InfraChange>,
        undo: Vec<UndoPlan>,
    ) -> Self {
        let digest = digest_of(&content(&collection, &steps, &files, &infra));
        Self { digest, collection, steps, files, infra, undo }
    }

    /// All that people agree to when they agree to the digest, as JSON: the digest is the SHA-256 of this text. What is
    /// only for the eye (patches, counts, the words of the undo) is not in it.
    #[must_use]
    pub fn content(&self) -> String {
        content(&self.collection, &self.steps, &self.files, &self.infra)
    }
}

/// The digest of a change set with this content.
pub(super) fn digest_of(content: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

fn content(
    collection: &IndexMap<WarehouseName, FreightId>,
    steps: &[PlannedStep],
    files: &[FilesOf],
    infra: &[InfraChange],
) -> String {
    let files: Vec<Value> = files
        .iter()
        .flat_map(|of| of.files.iter().map(move |file| (of, file)))
        .map(|(of, file)| json!([of.repo, of.branch, file.path, file.old_blob, file.new_blob]))
        .collect();
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| {
            let mut parts = vec![json!(step.name), json!(step.uses), canonical(&step.config)];
            parts.extend(step.when.as_ref().map(|when| json!(when)));
            if !step.within.is_empty() {
                parts.push(canonical(&json!({ "within": step.within })));
            }
            parts.extend(step.lane.as_ref().map(|lane| json!({ "lane": lane })));
            Value::Array(parts)
        })
        .collect();
    let infra: Vec<Value> =
        infra.iter().map(|change| json!([change.step, change.dir, change.digest])).collect();
    let mut collection: Vec<Value> = collection.iter().map(|pair| json!(pair)).collect();
    collection.sort_by_key(ToString::to_string);
    json!([collection, steps, files, infra]).to_string()
}

/// The same value with the keys of every object in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            let entries = sorted.into_iter().map(|(key, value)| (key.clone(), canonical(value)));
            Value::Object(entries.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
