//! Steps: what a stage's author may write, checked strictly, and the typed calls it becomes.
//!
//! A step is `{ name, uses, config, control }`: what it does, with what, and how it is carried out
//! ([`Control`]). [`expand`] gives the steps that a promotion carries out. [`fields`] holds one table per kind: names, types, which
//! strings are templates, which of those may wait for a later effect. The provider's functions,
//! the daemon's validation and the generated documentation all read that one table. [`Call`] is
//! the typed form that a fully rendered step becomes, which is all that effects ever see; [`Record`] is
//! what running it leaves behind.

mod ask;
mod build;
mod call;
mod check;
mod control;
mod expand;
mod fields;
mod file;
mod form;
mod infra;
mod keep;
mod lane;
mod oci;
mod outputs;
mod pull_request;
mod record;
mod render;
mod run;
mod schema;
mod unchanged;
mod wait;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use ask::{Answer, ApprovalCall, AskCall, InputCall, Said};
pub use build::{CallError, WorkdirContext, mark};
pub use call::{
    Asks, Call, Checkout, CheckoutAt, CloneCall, CommitCall, ConfirmCall, DownloadCall, HttpCall,
    IfMoved, Inside, Poll, PushCall, RevertCall, TagCall, TagNote, Unseen, UntagCall, UpdateCall,
};
pub(crate) use check::did_you_mean;
pub use check::{StepProblem, check_config, check_step};
pub use control::{CONTROL, Control, Retry, split_control};
pub use expand::{ExpandError, Expanded, Layer, Wanted, elements, expand};
pub use fields::{Field, FieldType, Place, Touch, fields, places};
pub use file::{FileCall, ImageCall, Language, ParseCall};
pub use form::{Form, Misfit};
pub use infra::{
    ApplyCall, ImportCall, LockFile, ModuleOptions, OutputCall, PlanCall, PlanGoal, StateKey,
    allows_version, plain_path, tool_versions,
};
pub use keep::{AuditCall, KeepCall, Kept, KeptAt, KeptChange, MetadataCall};
pub use lane::{Lane, Workdir, lanes, read_beside, seen_by, together, workdir};
pub use oci::{
    ArtifactAt, ArtifactLayer, OciAttach, OciCall, OciDetach, OciLook, OciPull, OciPush,
    OciPutBack, OciRecord, TagMove,
};
pub use outputs::{Output, OutputType};
pub(crate) use pull_request::is_same;
pub use pull_request::{
    AwaitCall, CloseCall, CommentCall, ForgeKind, MergeCall, MergeMethod, MergedRecord, OpenCall,
    OpenedRecord, PullRequestAt, PullRequestCall, PullRequestRecord,
};
pub use record::{
    Applied, CloneRecord, CommitRecord, FileChange, Interruption, OUTPUTS_MAX, PLAN_TEXT_MAX,
    PlanRecord, PlanText, PlannedOutput, PushRecord, Record, Seen, StepOutcome, TagRecord,
};

pub use render::{ChartCall, ChartsRecord, HelmTemplate, RenderCall, Renderer, top};
pub use run::{RanRecord, RunCall, RunEffect, RunNetwork};
pub use schema::schema;
pub use unchanged::SkipUnchanged;
pub use wait::{AtTimeout, ConditionCall, WaitCall};

use crate::id::StepName;

/// One step of a stage as written: its config still has templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the stage; later steps see its outputs as `steps.<name>`.
    pub name: StepName,
    /// What it does.
    pub uses: StepKind,
    /// Arguments, checked by [`check_config`].
    pub config: Value,
    /// How it is carried out.
    #[serde(default, skip_serializing_if = "Control::is_plain")]
    pub control: Control,
    /// What it was expanded from, outermost first. Empty in a definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Layer>,
    /// Where it stands among steps that are carried out side by side. Absent in a definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
}

impl Step {
    /// A step that is carried out like any other.
    #[must_use]
    pub fn new(name: StepName, uses: StepKind, config: Value) -> Self {
        Self { name, uses, config, control: Control::default(), within: Vec::new(), lane: None }
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Puts trees of a git repository into the working directory.
    GitClone,
    /// Sets values in a YAML file, keeping comments and formatting.
    YamlUpdate,
    /// Makes a commit of what changed in a checkout.
    GitCommit,
    /// Pushes the commit of a checkout to its branch.
    GitPush,
    /// Plans an infra module.
    TfPlan,
    /// Applies exactly a stored plan.
    TfApply,
    /// Reads the outputs of an infra module.
    TfOutput,
    /// Sends an HTTP request.
    Http,
    /// Empties a checkout.
    GitClear,
    /// Gives a commit a name.
    GitTag,
    /// Copies files inside the working directory.
    Copy,
    /// Deletes files of the working directory.
    Delete,
    /// Writes a text file.
    Write,
    /// Renders a file of templates.
    Template,
    /// Packs files into an archive.
    Tar,
    /// Unpacks an archive.
    Untar,
    /// Fetches a file by its checksum.
    Download,
    /// Merges YAML files.
    YamlMerge,
    /// Reads values from a YAML file.
    YamlParse,
    /// Sets values in a JSON file, keeping its formatting.
    JsonUpdate,
    /// Reads values from a JSON file.
    JsonParse,
    /// Sets values in a TOML file, keeping comments and formatting.
    TomlUpdate,
    /// Reads values from a TOML file.
    TomlParse,
    /// Sets literals in a file of an infra module, keeping comments and formatting.
    HclUpdate,
    /// Reads values from a file of an infra module.
    HclParse,
    /// Sets images of a `kustomization.yaml`.
    KustomizeSetImage,
    /// Puts a layer of an artifact into the working directory.
    OciPull,
    /// Copies an artifact to a repository and tag.
    OciPush,
    /// Attaches a file to an artifact.
    OciAttach,
    /// Renders a kustomization.
    KustomizeBuild,
    /// Renders a chart.
    HelmTemplate,
    /// Set versions of a chart's dependencies.
    HelmUpdateChart,
    /// Gives out values under names of its own.
    ComposeOutput,
    /// Fails.
    Fail,
    /// Waits.
    Wait,
    /// Stands for the steps of a task.
    Task,
    /// Opens a pull request.
    GitOpenPr,
    /// Waits until a pull request is merged.
    GitWaitForPr,
    /// Merges a pull request.
    GitMergePr,
    /// Closes a pull request.
    GitClosePr,
    /// Says something at a pull request.
    GitCommentPr,
    /// Waits until people approve.
    WaitForApproval,
    /// Waits until a person gives values.
    GetInput,
    /// Notes values about the stage or the freight.
    SetMetadata,
    /// Gives the freight a name.
    SetAlias,
    /// Adds an event to the ledger.
    AuditEvent,
    /// Runs a program over files of the working directory.
    Run,
    /// Runs a program with effects outside.
    RunEffect,
    /// Plans the destruction of what an infra module made.
    TfDestroy,
    /// Takes what exists into the state of an infra module.
    TfImport,
}

/// Whether running a step changes anything outside the working directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Only reads the outside and writes the working directory; may be repeated at will.
    Local,
    /// Changes the outside: runs once, between an intent and an outcome.
    Effect,
    /// Is replaced by other steps when a promotion is prepared, and never runs itself.
    Expanded,
}

impl StepKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 50] = [
        Self::GitClone,
        Self::YamlUpdate,
        Self::GitCommit,
        Self::GitPush,
        Self::TfPlan,
        Self::TfApply,
        Self::TfOutput,
        Self::Http,
        Self::GitClear,
        Self::GitTag,
        Self::Copy,
        Self::Delete,
        Self::Write,
        Self::Template,
        Self::Tar,
        Self::Untar,
        Self::Download,
        Self::YamlMerge,
        Self::YamlParse,
        Self::JsonUpdate,
        Self::JsonParse,
        Self::TomlUpdate,
        Self::TomlParse,
        Self::HclUpdate,
        Self::HclParse,
        Self::KustomizeSetImage,
        Self::OciPull,
        Self::OciPush,
        Self::OciAttach,
        Self::KustomizeBuild,
        Self::HelmTemplate,
        Self::HelmUpdateChart,
        Self::ComposeOutput,
        Self::Fail,
        Self::Wait,
        Self::Task,
        Self::GitOpenPr,
        Self::GitWaitForPr,
        Self::GitMergePr,
        Self::GitClosePr,
        Self::GitCommentPr,
        Self::WaitForApproval,
        Self::GetInput,
        Self::SetMetadata,
        Self::SetAlias,
        Self::AuditEvent,
        Self::Run,
        Self::RunEffect,
        Self::TfDestroy,
        Self::TfImport,
    ];

    /// The word in `uses`, and the name of the provider function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GitClone => "git_clone",
            Self::YamlUpdate => "yaml_update",
            Self::GitCommit => "git_commit",
            Self::GitPush => "git_push",
            Self::TfPlan => "tf_plan",
            Self::TfApply => "tf_apply",
            Self::TfOutput => "tf_output",
            Self::Http => "http",
            Self::GitClear => "git_clear",
            Self::GitTag => "git_tag",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::Write => "write",
            Self::Template => "template",
            Self::Tar => "tar",
            Self::Untar => "untar",
            Self::Download => "download",
            Self::YamlMerge => "yaml_merge",
            Self::YamlParse => "yaml_parse",
            Self::JsonUpdate => "json_update",
            Self::JsonParse => "json_parse",
            Self::TomlUpdate => "toml_update",
            Self::TomlParse => "toml_parse",
            Self::HclUpdate => "hcl_update",
            Self::HclParse => "hcl_parse",
            Self::KustomizeSetImage => "kustomize_set_image",
            Self::OciPull => "oci_pull",
            Self::OciPush => "oci_push",
            Self::OciAttach => "oci_attach",
            Self::KustomizeBuild => "kustomize_build",
            Self::HelmTemplate => "helm_template",
            Self::HelmUpdateChart => "helm_update_chart",
            Self::ComposeOutput => "compose_output",
            Self::Fail => "fail",
            Self::Wait => "wait",
            Self::Task => "task",
            Self::GitOpenPr => "git_open_pr",
            Self::GitWaitForPr => "git_wait_for_pr",
            Self::GitMergePr => "git_merge_pr",
            Self::GitClosePr => "git_close_pr",
            Self::GitCommentPr => "git_comment_pr",
            Self::WaitForApproval => "wait_for_approval",
            Self::GetInput => "get_input",
            Self::SetMetadata => "set_metadata",
            Self::SetAlias => "set_alias",
            Self::AuditEvent => "audit_event",
            Self::Run => "run",
            Self::RunEffect => "run_effect",
            Self::TfDestroy => "tf_destroy",
            Self::TfImport => "tf_import",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether running it changes the outside.
    #[must_use]
    pub fn nature(self) -> Nature {
        match self {
            Self::GitClone | Self::YamlUpdate | Self::GitCommit | Self::TfPlan | Self::TfOutput => {
                Nature::Local
            }
            Self::GitClear
            | Self::Tar
            | Self::Untar
            | Self::Download
            | Self::Copy
            | Self::Delete
            | Self::Write
            | Self::Template
            | Self::YamlMerge
            | Self::YamlParse
            | Self::JsonUpdate
            | Self::JsonParse
            | Self::TomlUpdate
            | Self::TomlParse
            | Self::HclUpdate
            | Self::HclParse
            | Self::KustomizeSetImage
            | Self::OciPull
            | Self::KustomizeBuild
            | Self::HelmTemplate
            | Self::HelmUpdateChart
            | Self::ComposeOutput
            | Self::Fail => Nature::Local,
            Self::GitPush
            | Self::GitTag
            | Self::TfApply
            | Self::Http
            | Self::OciPush
            | Self::OciAttach
            | Self::Wait => Nature::Effect,
            Self::GitOpenPr
            | Self::GitWaitForPr
            | Self::GitMergePr
            | Self::GitClosePr
            | Self::GitCommentPr => Nature::Effect,
            Self::WaitForApproval
            | Self::GetInput
            | Self::SetMetadata
            | Self::SetAlias
            | Self::AuditEvent => Nature::Effect,
            Self::Run => Nature::Local,
            Self::RunEffect => Nature::Effect,
            Self::TfDestroy | Self::TfImport => Nature::Local,
            Self::Task => Nature::Expanded,
        }
    }

    /// Whether an effect's outputs are known before the commit: from a look that its preparation takes.
    #[must_use]
    pub fn is_foreseen(self) -> bool {
        self == Self::OciPush
    }

    /// Whether it plans an infra module: what it leaves behind is a plan that can be applied.
    #[must_use]
    pub fn plans_infra(self) -> bool {
        matches!(self, Self::TfPlan | Self::TfDestroy)
    }

    /// Whether all that it does is to wait: it changes nothing, so there is nothing to undo.
    #[must_use]
    pub fn only_waits(self) -> bool {
        matches!(self, Self::Wait | Self::WaitForApproval | Self::GetInput)
    }

    /// One sentence for documentation.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::GitClone => "Puts trees of a git repository into the working directory.",
            Self::YamlUpdate => {
                "Sets values in a YAML file; comments, order and formatting of everything else stay."
            }
            Self::GitCommit => "Makes one commit of what changed in a checkout.",
            Self::GitPush => {
                "Pushes the commit of a checkout to its branch, exactly once; undone by a revert."
            }
            Self::TfPlan => "Plans an OpenTofu or Terraform module and stores the plan.",
            Self::TfApply => {
                "Applies exactly a stored plan; undone by applying the previous freight's module."
            }
            Self::TfOutput => "Reads the outputs of an OpenTofu or Terraform module.",
            Self::Http => "Sends an HTTP request with an idempotency key; has no undo.",
            Self::GitClear => {
                "Empties a checkout, so that a commit has what later steps put there and nothing else."
            }
            Self::GitTag => {
                "Gives a commit of a repository a tag, exactly once; undone by taking away a tag that this promotion made."
            }
            Self::Copy => {
                "Copies a file, or a directory with all that it holds but `.git`, inside the working directory."
            }
            Self::Delete => "Deletes files and directories of the working directory.",
            Self::Write => "Writes a text file into the working directory.",
            Self::Template => "Renders a text file whose `{{ }}` name the given `values`.",
            Self::Tar => {
                "Packs a file, or a directory with all that it holds but `.git`, into a tar archive; the same files give the same bytes."
            }
            Self::Untar => {
                "Unpacks a tar archive, compressed or not. Links, names that lead elsewhere, and archives that grow beyond all measure are refused."
            }
            Self::Download => {
                "Fetches a file into the working directory, if it is what its checksum says."
            }
            Self::YamlMerge => {
                "Merges YAML files key by key into one: later files win, lists are replaced, null removes. \
                 The first file stays as it is written, comments and all, but for what the others change in \
                 it. What an alias stands for is not changed. A change that cannot be made without writing \
                 anew what the others do not name is refused with its key."
            }
            Self::YamlParse => "Reads values from a YAML file.",
            Self::JsonUpdate => {
                "Sets values in a JSON file; order and formatting of everything else stay."
            }
            Self::JsonParse => "Reads values from a JSON file.",
            Self::TomlUpdate => {
                "Sets values in a TOML file; comments, order and formatting of everything else stay."
            }
            Self::TomlParse => "Reads values from a TOML file.",
            Self::HclUpdate => {
                "Sets literals in a file of OpenTofu or Terraform (`.tf`, `.tfvars`); comments, order and formatting of everything else stay."
            }
            Self::HclParse => {
                "Reads values from a file of OpenTofu or Terraform (`.tf`, `.tfvars`)."
            }
            Self::KustomizeSetImage => {
                "Sets images of a `kustomization.yaml` as `kustomize edit set image` does, without that program; comments, order and formatting of everything else stay."
            }
            Self::OciPull => {
                "Puts a layer of an artifact or image into the working directory as a file."
            }
            Self::OciPush => {
                "Copies an image, an index or an artifact by its digest to a repository and tag, exactly once; undone by putting the tag back."
            }
            Self::OciAttach => {
                "Attaches a file to an image or artifact in its registry, exactly once; undone by taking it away."
            }
            Self::KustomizeBuild => {
                "Renders a kustomization by `kustomize build`; nothing is fetched."
            }
            Self::HelmTemplate => {
                "Renders a chart by `helm template`; nothing is fetched, and no cluster is asked. A chart that draws random values or looks at the clock gives something else each time, and cannot be carried on after a crash."
            }
            Self::HelmUpdateChart => {
                "Sets versions of a chart's dependencies in its `Chart.yaml`, keeps its `Chart.lock` true, and fetches their archives where the chart holds them; without the program helm."
            }
            Self::ComposeOutput => "Gives out values under names of its own, for later steps.",
            Self::Fail => {
                "Fails the promotion, which its condition (`control.when`) decides; before the commit nothing is changed then."
            }
            Self::Wait => "Waits after the commit, for a time or until an instant.",
            Self::Task => "Stands for the steps of a task, which several stages share.",
            Self::GitOpenPr => {
                "Opens a pull request, exactly once; undone by closing it while it is open."
            }
            Self::GitWaitForPr => {
                "Waits until a pull request is merged; fails for good if it is closed. What was merged is undone by a revert."
            }
            Self::GitMergePr => {
                "Merges a pull request, and nothing but the commit that was approved; undone by a revert."
            }
            Self::GitClosePr => "Closes a pull request that is not merged; has no undo.",
            Self::GitCommentPr => "Says something at a pull request, exactly once; has no undo.",
            Self::WaitForApproval => {
                "Waits after the commit until people approve what it says (`lockstep approve PROMOTION --step NAME`); fails for good as soon as one of those who are asked refuses."
            }
            Self::GetInput => {
                "Waits after the commit until a person gives values (`lockstep input PROMOTION --step NAME KEY=VALUE`), which are held to a schema."
            }
            Self::SetMetadata => {
                "Notes values about the stage or the promoted freight, which expressions read; undone by putting the former ones back."
            }
            Self::SetAlias => {
                "Gives the promoted freight a name by which people and the API find it, and takes it from other freight; undone by giving it back."
            }
            Self::AuditEvent => "Adds an event to the ledger, exactly once; has no undo.",
            Self::Run => {
                "Runs a program, contained, over files of the working directory. It may be run again at any time, and has to make the same of the same files."
            }
            Self::RunEffect => {
                "Runs a program with effects outside, contained, after the commit; undone by its `undo` program, if it names one."
            }
            Self::TfDestroy => {
                "Plans the destruction of what an OpenTofu or Terraform module made, and stores the plan for a \
                 `tf_apply`."
            }
            Self::TfImport => {
                "Has the plans of a module that follow take existing objects into its state; no undo deletes \
                 them."
            }
        }
    }
}
