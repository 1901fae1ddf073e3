//! What each kind of step gives later steps: names, types and meaning.

use super::{Form, Step, StepKind};
use crate::expression::Shape;

/// One output of a step.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Its name: later steps read `steps.<step>.<name>`.
    pub name: &'static str,
    /// What it holds.
    pub holds: OutputType,
    /// What it means.
    pub doc: &'static str,
}

/// What an output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputType {
    /// Text.
    Text,
    /// True or false.
    Bool,
    /// A whole number.
    Integer,
    /// A map of texts.
    Texts,
}

impl OutputType {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "true or false",
            Self::Integer => "whole number",
            Self::Texts => "map of text",
        }
    }

    /// What expressions may do with it.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::Text | Self::Bool | Self::Integer => Shape::Scalar,
            Self::Texts => Shape::Any,
        }
    }
}

const fn output(name: &'static str, holds: OutputType, doc: &'static str) -> Output {
    Output { name, holds, doc }
}

const GIT_CLONE: &[Output] =
    &[output("commits", OutputType::Texts, "The commit by directory of the checkout.")];

const CHANGED: Output =
    output("changed", OutputType::Bool, "Whether the file is another than before.");

const GIT_COMMIT: &[Output] = &[
    output("changed", OutputType::Bool, "Whether there was something to commit."),
    output("commit", OutputType::Text, "The commit; empty if there was nothing to commit."),
];

const GIT_PUSH: &[Output] = &[
    output("branch", OutputType::Text, "The branch."),
    output("commit", OutputType::Text, "The commit as it is on the branch."),
];

const TF_PLAN: &[Output] = &[
    output("create", OutputType::Integer, "Resources to create."),
    output("delete", OutputType::Integer, "Resources to delete."),
    output("digest", OutputType::Text, "Names what the plan does; the same for an identical plan."),
    output("has_changes", OutputType::Bool, "Whether the plan changes anything."),
    output("replace", OutputType::Integer, "Resources to replace."),
    output(
        "unchanged",
        OutputType::Bool,
        "Whether nothing was planned, because nothing that a plan is made of has changed.",
    ),
    output("update", OutputType::Integer, "Resources to update."),
];

const TF_APPLY: &[Output] =
    &[output("applied", OutputType::Bool, "True once the plan is applied.")];

const GIT_TAG: &[Output] = &[
    output("tag", OutputType::Text, "The tag."),
    output("made", OutputType::Bool, "Whether this promotion made it, as far as that is known."),
];

const TAR: &[Output] =
    &[output("digest", OutputType::Text, "Of the archive: `sha256:` and its hash.")];

const RENDERED: &[Output] =
    &[output("changed", OutputType::Bool, "Whether a file is another than before, or new.")];

const OCI_PULL: &[Output] = &[
    output("digest", OutputType::Text, "What the artifact is: `sha256:` and its hash."),
    output("size", OutputType::Integer, "Bytes of the file."),
];

const OCI_PUSH: &[Output] = &[
    output("digest", OutputType::Text, "What it is there: `sha256:` and its hash."),
    output("pinned", OutputType::Text, "Repository and digest, as `REPO@sha256:…`."),
    output("ref", OutputType::Text, "Repository and tag, as `REPO:TAG`."),
    output("repo", OutputType::Text, "The repository."),
    output("tag", OutputType::Text, "The tag."),
];

const OCI_ATTACH: &[Output] =
    &[output("digest", OutputType::Text, "What is attached: `sha256:` and its hash.")];

const DOWNLOAD: &[Output] = &[output("size", OutputType::Integer, "Bytes of the file.")];

const GIT_OPEN_PR: &[Output] = &[
    output("number", OutputType::Integer, "Its number; null if there was nothing to merge."),
    output("url", OutputType::Text, "Where people find it; null if there was nothing to merge."),
    output(
        "state",
        OutputType::Text,
        "`open`, `merged` or `closed`; `none` if there was nothing to merge.",
    ),
];

const MERGED: &[Output] = &[
    output(
        "commit",
        OutputType::Text,
        "The commit by which it was merged; null where the forge does not say, or nothing was merged.",
    ),
    output("merged", OutputType::Bool, "Whether there was something to merge."),
];

const GIT_COMMENT_PR: &[Output] = &[output(
    "url",
    OutputType::Text,
    "Where people find the comment; null if there was no pull request.",
)];

const WAIT: &[Output] = &[output(
    "held",
    OutputType::Bool,
    "Whether what was waited for came to be; false only where a `condition` ran out of time.",
)];

const APPROVAL: &[Output] = &[
    output(
        "approved",
        OutputType::Bool,
        "Whether everybody who was asked approved; false only where time ran out.",
    ),
    output("by", OutputType::Texts, "What those who approved had to say, by their name."),
];

const ALIAS: &[Output] = &[output(
    "before",
    OutputType::Text,
    "The id of the freight that had the alias; null if none had.",
)];

impl Step {
    /// What expressions may read of the step.
    #[must_use]
    pub fn output_shape(&self) -> Shape {
        let form = (self.uses == StepKind::GetInput).then(|| self.config.get("schema")).flatten();
        let Some(form) = form.and_then(|schema| Form::parse(schema).ok()) else {
            return self.uses.output_shape();
        };
        let values = form.names().map(|name| match form.is_list(name) {
            true => (name.to_owned(), Shape::list(Shape::Scalar)),
            false => (name.to_owned(), Shape::Scalar),
        });
        if form.is_open() { Shape::open(values) } else { Shape::object(values) }
    }
}

impl StepKind {
    /// The outputs that later steps can read; `None`: any name, known only at run time.
    #[must_use]
    pub fn outputs(self) -> Option<&'static [Output]> {
        match self {
            Self::GitClone => Some(GIT_CLONE),
            Self::YamlUpdate
            | Self::Write
            | Self::Template
            | Self::YamlMerge
            | Self::JsonUpdate
            | Self::TomlUpdate
            | Self::HclUpdate
            | Self::KustomizeSetImage
            | Self::HelmUpdateChart => Some(&[CHANGED]),
            Self::KustomizeBuild | Self::HelmTemplate => Some(RENDERED),
            Self::GitTag => Some(GIT_TAG),
            Self::Tar => Some(TAR),
            Self::Download => Some(DOWNLOAD),
            Self::OciPull => Some(OCI_PULL),
            Self::OciPush => Some(OCI_PUSH),
            Self::OciAttach => Some(OCI_ATTACH),
            Self::GitClear | Self::Untar | Self::Copy | Self::Delete | Self::Fail => Some(&[]),
            Self::Wait => Some(WAIT),
            Self::WaitForApproval => Some(APPROVAL),
            Self::SetMetadata | Self::AuditEvent | Self::TfImport => Some(&[]),
            Self::SetAlias => Some(ALIAS),
            Self::GitCommit => Some(GIT_COMMIT),
            Self::GitPush => Some(GIT_PUSH),
            Self::TfPlan | Self::TfDestroy => Some(TF_PLAN),
            Self::TfApply => Some(TF_APPLY),
            Self::GitOpenPr => Some(GIT_OPEN_PR),
            Self::GitWaitForPr | Self::GitMergePr => Some(MERGED),
            Self::GitClosePr => Some(&[]),
            Self::GitCommentPr => Some(GIT_COMMENT_PR),
            Self::TfOutput
            | Self::Http
            | Self::YamlParse
            | Self::JsonParse
            | Self::TomlParse
            | Self::HclParse
            | Self::ComposeOutput
            | Self::GetInput
            | Self::Run
            | Self::RunEffect
            | Self::Task => None,
        }
    }

    /// What expressions may read of a step of this kind.
    #[must_use]
    pub fn output_shape(self) -> Shape {
        match self.outputs() {
            None => Shape::open::<String>([]),
            Some(outputs) => {
                Shape::object(outputs.iter().map(|output| (output.name, output.holds.shape())))
            }
        }
    }
}
