//! One table per step kind: the names, types and meaning of its arguments.

use super::StepKind;

/// One argument of a step.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub holds: FieldType,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its templates may wait for an output of a later effect. What decides *where* a step
    /// acts may not wait: it is part of what is approved.
    pub may_wait: bool,
    /// What it means, in one or two sentences.
    pub doc: &'static str,
}

/// What an argument may hold. Where a scalar is expected, a string with `{{ }}` is accepted and the
/// rendered value is checked again.
#[derive(Debug, Clone, Copy)]
pub enum FieldType {
    /// Text; a template.
    Text,
    /// True or false.
    Bool,
    /// A whole number.
    Integer,
    /// A duration such as `30s`.
    Duration,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// CEL without `{{ }}`.
    Condition,
    /// Any value; strings inside are templates.
    Any,
    /// A list.
    List(&'static Self),
    /// A map with free keys.
    Map(&'static Self),
    /// An object with these fields.
    Object(&'static [Field]),
}

const fn required(name: &'static str, holds: FieldType, doc: &'static str) -> Field {
    Field { name, holds, required: true, may_wait: false, doc }
}

pub(super) const fn optional(name: &'static str, holds: FieldType, doc: &'static str) -> Field {
    Field { name, holds, required: false, may_wait: false, doc }
}

const fn may_wait(field: Field) -> Field {
    Field { may_wait: true, ..field }
}

const CHECKOUT: &[Field] = &[
    optional("commit", FieldType::Text, "The commit to check out. Give this or `branch`."),
    optional(
        "branch",
        FieldType::Text,
        "The branch whose tip is checked out; also where `git_push` pushes to.",
    ),
];

const GIT_CLONE: &[Field] = &[
    required("repo", FieldType::Text, "URL of the repository."),
    required(
        "checkout",
        FieldType::Map(&FieldType::Object(CHECKOUT)),
        "What to check out, by directory below the working directory.",
    ),
];

const YAML_UPDATE: &[Field] = &[
    required("path", FieldType::Text, "The file, below the working directory."),
    may_wait(required(
        "updates",
        FieldType::Map(&FieldType::Any),
        "Values by key. A key is a path of parts joined by dots; a number indexes a list; `\\.` is a \
         dot inside a part. The keys must exist and hold scalars.",
    )),
];

const GIT_COMMIT: &[Field] = &[
    required("dir", FieldType::Text, "Directory of a checkout made by `git_clone`."),
    may_wait(required("message", FieldType::Text, "The commit message.")),
    optional("author_name", FieldType::Text, "The author's name. Default `Lockstep`."),
    optional(
        "author_email",
        FieldType::Text,
        "The author's e-mail address. Default `lockstep@localhost`.",
    ),
];

const GIT_PUSH: &[Field] = &[
    required("dir", FieldType::Text, "Directory of a checkout with a commit made by `git_commit`."),
    optional(
        "branch",
        FieldType::Text,
        "The branch to push to. Default: the branch that the directory was checked out from.",
    ),
];

const TF_PLAN: &[Field] = &[
    required("dir", FieldType::Text, "Directory of the module, below the working directory."),
    optional(
        "vars",
        FieldType::Map(&FieldType::Any),
        "Input variables of the module; values keep their type.",
    ),
    optional(
        "var_files",
        FieldType::List(&FieldType::Text),
        "Variable files, below the module's directory.",
    ),
    optional(
        "state",
        FieldType::Text,
        "Name of the embedded state inside the stage, for a module without a backend of its own. \
         Default: the module's directory.",
    ),
    optional(
        "tool",
        FieldType::OneOf(&["tofu", "terraform"]),
        "The tool. Default: `tofu` where it is installed, else `terraform`.",
    ),
    optional(
        "lock_timeout",
        FieldType::Duration,
        "How long to wait for the state's lock. Default `60s`.",
    ),
    optional("timeout", FieldType::Duration, "Time for the plan, and for the apply. Default `1h`."),
];

const TF_APPLY: &[Field] =
    &[required("plan", FieldType::Text, "Name of the `tf_plan` step whose plan is applied.")];

const TF_OUTPUT: &[Field] = &[required(
    "dir",
    FieldType::Text,
    "Directory of the module. The outputs become the step's outputs, by name.",
)];

const HTTP: &[Field] = &[
    required("url", FieldType::Text, "Where to send the request."),
    optional(
        "method",
        FieldType::OneOf(&["GET", "POST", "PUT", "PATCH", "DELETE"]),
        "The method. Default `GET`.",
    ),
    may_wait(optional("headers", FieldType::Map(&FieldType::Text), "Request headers.")),
    may_wait(optional(
        "body",
        FieldType::Any,
        "The body: text is sent as it is, anything else as JSON.",
    )),
    optional("timeout", FieldType::Duration, "Time for the whole exchange. Default `30s`."),
    optional(
        "success",
        FieldType::Condition,
        "CEL over `response.status`, `response.headers`, `response.body` and `response.json`. \
         Default `response.status >= 200 && response.status < 300`.",
    ),
    optional(
        "outputs",
        FieldType::Map(&FieldType::Condition),
        "CEL over `response`, by output name.",
    ),
    optional(
        "delivery",
        FieldType::OneOf(&["at_least_once", "at_most_once"]),
        "What happens when it is not known whether the request was sent before a crash: send it \
         again with the same `Idempotency-Key`, or stop and ask a person. Default `at_least_once` \
         for GET, PUT and DELETE, else `at_most_once`.",
    ),
];

/// The arguments of a kind of step.
#[must_use]
pub fn fields(kind: StepKind) -> &'static [Field] {
    match kind {
        StepKind::GitClone => GIT_CLONE,
        StepKind::YamlUpdate => YAML_UPDATE,
        StepKind::GitCommit => GIT_COMMIT,
        StepKind::GitPush => GIT_PUSH,
        StepKind::TfPlan => TF_PLAN,
        StepKind::TfApply => TF_APPLY,
        StepKind::TfOutput => TF_OUTPUT,
        StepKind::Http => HTTP,
    }
}
