//! Change sets: what a promotion will do, known before it does any of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a promotion will do. Approvals bind to its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeSet {
    /// The digest over all of it, with the collection.
    pub digest: String,
    /// Files that change.
    pub files: Vec<FileChange>,
    /// Infrastructure plans.
    pub infra: Vec<InfraPlan>,
    /// Calls to the outside.
    pub calls: Vec<PlannedCall>,
    /// Steps that wait for outputs of earlier effects.
    pub deferred: Vec<DeferredStep>,
    /// What an undo would do, in its order.
    pub undo: Vec<UndoDescription>,
}

/// One file that changes on one branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// The URL of the repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The path in the repository.
    pub path: String,
    /// The blob before; null if the file is new.
    pub old_blob: Option<String>,
    /// The blob after; null if the file goes.
    pub new_blob: Option<String>,
    /// The change as a unified diff; left out of lists.
    pub patch: Option<String>,
}

/// The plan of one infrastructure step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InfraPlan {
    /// The step that made it.
    pub step: String,
    /// The directory of the module.
    pub dir: String,
    /// How many resources are created.
    pub create: u32,
    /// How many are changed in place.
    pub update: u32,
    /// How many are destroyed and created.
    pub replace: u32,
    /// How many are destroyed.
    pub delete: u32,
    /// One line for each change, sensitive values masked.
    pub lines: Vec<String>,
    /// The semantic digest of the plan.
    pub digest: String,
}

/// One infrastructure plan in full: as its tool shows it, and as rules see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FullPlan {
    /// The step that made it, or the apply that it undoes.
    pub step: String,
    /// The directory of the module.
    pub dir: String,
    /// The workspace; null: the default one.
    pub workspace: Option<String>,
    /// The semantic digest of the plan.
    pub digest: String,
    /// What the tool says of it, with sensitive values masked; null: it was made before that was kept.
    pub text: Option<String>,
    /// Bytes of the whole text.
    pub text_bytes: u64,
    /// Whether only the beginning of the text is kept.
    pub cut: bool,
    /// What infra rules see of it, sensitive values masked: `create`, `update`, `replace`, `delete`, `no_op`,
    /// `addresses`, `changes`, `outputs`, `drift`, `has_changes`, and `unchanged`, which says since what nothing was planned.
    pub summary: serde_json::Value,
}

/// A call that a step will make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedCall {
    /// The step.
    pub step: String,
    /// The method.
    pub method: String,
    /// Where it goes.
    pub url: String,
}

/// A step that waits for outputs of earlier effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeferredStep {
    /// The step.
    pub step: String,
    /// What the step does, such as `yaml_update`.
    pub uses: String,
    /// Its arguments, one `name = value` each. They are fixed but for the values of expressions
    /// that are still written as `{{ }}`.
    pub arguments: Vec<String>,
    /// What it waits for: outputs of later effects, and files that other deferred steps write.
    pub expressions: Vec<String>,
}

/// What the undo of one step would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoDescription {
    /// The step.
    pub step: String,
    /// What it would do, or why it can do nothing.
    pub description: String,
    /// Whether it can be undone.
    pub possible: bool,
}
