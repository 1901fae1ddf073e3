//! One table per step kind: the names, types and meaning of its arguments.

mod ask;
mod git;
mod infra;
mod keep;
mod oci;
mod pull_request;
mod render;
mod run;
mod wait;

use serde_json::Value;

use super::{LockFile, SkipUnchanged, StepKind};

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
    /// Whether its templates may name secrets.
    pub may_hold_secret: bool,
    /// What it means, in one or two sentences.
    pub doc: &'static str,
    /// What is done to the file or directory that it names; absent: it names none.
    pub touches: Option<Touch>,
}

/// What a step does to a file or directory of the working directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Names it: something is known of it.
    Names,
    /// Reads it.
    Reads,
    /// Reads it, and perhaps anything else in the same directory right below the working directory.
    ReadsAround,
    /// Makes it, or makes it anew.
    Writes,
    /// Changes it.
    Edits,
}

/// One file or directory that a step names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// Where in the arguments: `from`, `paths[1]`.
    pub argument: String,
    /// The path, below the working directory; may be a template.
    pub path: &'a str,
    /// What is done to it.
    pub touch: Touch,
}

impl Touch {
    /// Whether it must be there before.
    #[must_use]
    pub fn needs(self) -> bool {
        match self {
            Self::Reads | Self::ReadsAround | Self::Edits => true,
            Self::Names | Self::Writes => false,
        }
    }

    /// Whether it is another afterwards.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::Writes | Self::Edits => true,
            Self::Names | Self::Reads | Self::ReadsAround => false,
        }
    }
}

/// The files and directories that a step names, as written.
#[must_use]
pub fn places(kind: StepKind, config: &Value) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for field in fields(kind) {
        let (Some(touch), Some(value)) = (field.touches, config.get(field.name)) else { continue };
        match value {
            Value::String(path) => {
                places.push(Place { argument: field.name.to_owned(), path, touch });
            }
            Value::Array(items) => {
                for (at, path) in items.iter().enumerate() {
                    let Some(path) = path.as_str() else { continue };
                    places.push(Place { argument: format!("{}[{at}]", field.name), path, touch });
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
    }
    places
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
    Field {
        name,
        holds,
        required: true,
        may_wait: false,
        may_hold_secret: false,
        doc,
        touches: None,
    }
}

pub(super) const fn optional(name: &'static str, holds: FieldType, doc: &'static str) -> Field {
    Field {
        name,
        holds,
        required: false,
        may_wait: false,
        may_hold_secret: false,
        doc,
        touches: None,
    }
}

const fn may_wait(field: Field) -> Field {
    Field { may_wait: true, ..field }
}

const fn may_hold_secret(field: Field) -> Field {
    Field { may_hold_secret: true, ..field }
}

const fn touches(touch: Touch, field: Field) -> Field {
    Field { touches: Some(touch), ..field }
}

const YAML_UPDATE: &[Field] = &[
    touches(
        Touch::Edits,
        required("path", FieldType::Text, "The file, below the working directory."),
    ),
    may_wait(required(
        "updates",
        FieldType::Map(&FieldType::Any),
        "Values by key. A key is a path of parts joined by dots; a number indexes a list; `\\.` is a \
         dot inside a part. The keys must exist and hold scalars.",
    )),
];

const POLL: &[Field] = &[
    optional(
        "interval",
        FieldType::Duration,
        "Pause between an answer and the next request, at least `1s`. Default `10s`.",
    ),
    required(
        "timeout",
        FieldType::Duration,
        "Time for all of it. Where `success` does not hold by then, the step failed for good.",
    ),
];

const CONFIRM: &[Field] = &[
    required("url", FieldType::Text, "Where to ask."),
    optional(
        "method",
        FieldType::OneOf(&["GET", "HEAD", "POST"]),
        "The method. It must change nothing by being repeated. Default `GET`.",
    ),
    optional(
        "headers",
        FieldType::Map(&FieldType::Text),
        "Request headers. A credential of kind `http` for the address is used without being named.",
    ),
    optional(
        "success",
        FieldType::Condition,
        "CEL over `response`: the request of the step has happened. Default `response.status >= 200 && \
         response.status < 300`.",
    ),
    required(
        "failure",
        FieldType::Condition,
        "CEL over `response`: it has not. It is looked at first, and must be sure: some receivers answer 404 to \
         who may not look, too.",
    ),
];

const HTTP: &[Field] = &[
    required("url", FieldType::Text, "Where to send the request."),
    optional(
        "method",
        FieldType::OneOf(&["GET", "POST", "PUT", "PATCH", "DELETE"]),
        "The method. Default `GET`.",
    ),
    may_hold_secret(may_wait(optional(
        "headers",
        FieldType::Map(&FieldType::Text),
        "Request headers. `{{ secret(\"NAME\", \"KEY\") }}` stands for a secret of a credential of kind `http` \
         whose address the request is sent below.",
    ))),
    may_hold_secret(may_wait(optional(
        "body",
        FieldType::Any,
        "The body: text is sent as it is, anything else as JSON. Secrets as in `headers`.",
    ))),
    optional("timeout", FieldType::Duration, "Time for the whole exchange. Default `30s`."),
    optional(
        "success",
        FieldType::Condition,
        "CEL over `response.status`, `response.headers`, `response.body` and `response.json`. \
         Default `response.status >= 200 && response.status < 300`.",
    ),
    optional(
        "failure",
        FieldType::Condition,
        "CEL over `response`: where it holds, the step failed for good, whatever `success` says.",
    ),
    optional(
        "poll",
        FieldType::Object(POLL),
        "Asks again until `success` holds. Only of a `GET`, which changes nothing by being repeated. An \
         answer for which neither condition holds, or none at all, says that it is not so yet.",
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
    optional(
        "confirm",
        FieldType::Object(CONFIRM),
        "A second request, which tells whether the first one has happened. It is asked before anything is \
         sent again that may have arrived, and before a person is asked. Where it has happened, the step is done, \
         with `outputs` of this answer; where it has not, it is sent again; where neither `success` nor \
         `failure` holds for twenty times the `timeout`, a person is asked. Not together with `poll`.",
    ),
];

const TAR: &[Field] = &[
    touches(
        Touch::Reads,
        required("from", FieldType::Text, "The file or directory, below the working directory."),
    ),
    touches(
        Touch::Writes,
        required("to", FieldType::Text, "The archive, below the working directory."),
    ),
    optional(
        "gzip",
        FieldType::Bool,
        "Whether it is compressed. Default: whether its name ends in `.gz` or `.tgz`.",
    ),
];

const UNTAR: &[Field] = &[
    touches(
        Touch::Reads,
        required(
            "from",
            FieldType::Text,
            "The archive, below the working directory, at most 256 MiB.",
        ),
    ),
    touches(
        Touch::Writes,
        required(
            "to",
            FieldType::Text,
            "The directory that it is unpacked into. What that holds beside stays.",
        ),
    ),
    optional(
        "strip",
        FieldType::Integer,
        "How many parts are taken off the beginning of each name. Default `0`.",
    ),
];

const DOWNLOAD: &[Field] = &[
    required("url", FieldType::Text, "Where the file is. The daemon's egress policy holds."),
    touches(
        Touch::Writes,
        required("to", FieldType::Text, "Where it goes, below the working directory."),
    ),
    required(
        "checksum",
        FieldType::Text,
        "What it has to be: `sha256:` and 64 hexadecimal digits.",
    ),
    may_hold_secret(optional(
        "headers",
        FieldType::Map(&FieldType::Text),
        "Request headers. `{{ secret(\"NAME\", \"KEY\") }}` stands for a secret of a credential of kind `http` \
         whose address the file is below.",
    )),
    optional(
        "max_bytes",
        FieldType::Integer,
        "Most bytes that are taken. Default `67108864` (64 MiB), at most `268435456` (256 MiB).",
    ),
    optional("timeout", FieldType::Duration, "Time for the whole download. Default `5m`."),
];

const COPY: &[Field] = &[
    touches(
        Touch::Reads,
        required("from", FieldType::Text, "The file or directory, below the working directory."),
    ),
    touches(
        Touch::Writes,
        required(
            "to",
            FieldType::Text,
            "Where it goes, below the working directory. What a directory there holds beside stays.",
        ),
    ),
];

const DELETE: &[Field] = &[
    touches(
        Touch::Writes,
        required(
            "paths",
            FieldType::List(&FieldType::Text),
            "Files and directories, below the working directory.",
        ),
    ),
    optional(
        "strict",
        FieldType::Bool,
        "Whether one that is not there is a failure. Default `false`.",
    ),
];

const WRITE: &[Field] = &[
    touches(
        Touch::Writes,
        required("path", FieldType::Text, "The file, below the working directory."),
    ),
    may_wait(required("text", FieldType::Text, "What it holds.")),
    optional(
        "overwrite",
        FieldType::Bool,
        "Whether a file that is there is replaced. Default `false`: it is a failure.",
    ),
];

const TEMPLATE: &[Field] = &[
    touches(
        Touch::Reads,
        required(
            "path",
            FieldType::Text,
            "The file with the templates, below the working directory, at most 256 KiB. Its `{{ }}` \
             may name `values` and nothing else.",
        ),
    ),
    touches(
        Touch::Writes,
        required("to", FieldType::Text, "Where the rendered text goes; a file there is replaced."),
    ),
    may_wait(optional(
        "values",
        FieldType::Map(&FieldType::Any),
        "What the templates may name, as `values.<name>`.",
    )),
];

const YAML_MERGE: &[Field] = &[
    touches(
        Touch::Reads,
        required(
            "from",
            FieldType::List(&FieldType::Text),
            "The files, below the working directory. Later ones win.",
        ),
    ),
    touches(
        Touch::Writes,
        required("to", FieldType::Text, "Where the merged file goes; a file there is replaced."),
    ),
    optional(
        "ignore_missing",
        FieldType::Bool,
        "Whether a file that is not there counts as empty. Default `false`.",
    ),
];

const PARSE: &[Field] = &[
    touches(
        Touch::Reads,
        required("path", FieldType::Text, "The file, below the working directory."),
    ),
    required(
        "outputs",
        FieldType::Map(&FieldType::Condition),
        "CEL over `document`, the file as data, by output name.",
    ),
];

const UPDATE: &[Field] = &[
    touches(
        Touch::Edits,
        required("path", FieldType::Text, "The file, below the working directory."),
    ),
    may_wait(required(
        "updates",
        FieldType::Map(&FieldType::Any),
        "Values by key. A key is a path of parts joined by dots; a number indexes a list; `\\.` is a \
         dot inside a part. The keys must exist and hold scalars.",
    )),
];

const HCL_UPDATE: &[Field] = &[
    touches(
        Touch::Edits,
        required("path", FieldType::Text, "The file, below the working directory."),
    ),
    may_wait(required(
        "updates",
        FieldType::Map(&FieldType::Any),
        "Values by key. A key is a path of parts joined by dots: attributes, keys of objects, indices \
         of lists; in front of them the type and the labels of each block, as in \
         `module.network.source`. `\\.` is a dot inside a part. The keys must exist and hold literals.",
    )),
];

const IMAGE: &[Field] = &[
    optional("new_name", FieldType::Text, "Another name for it, such as that of a mirror."),
    optional(
        "tag",
        FieldType::Text,
        "Its tag. A digest that is there is removed unless one is given: kustomize would prefer it.",
    ),
    optional(
        "digest",
        FieldType::Text,
        "Its digest. A tag that is there is removed unless one is given.",
    ),
];

const KUSTOMIZE_SET_IMAGE: &[Field] = &[
    touches(
        Touch::Edits,
        required(
            "path",
            FieldType::Text,
            "The `kustomization.yaml`, below the working directory. Its `images` have one key per line.",
        ),
    ),
    may_wait(required(
        "images",
        FieldType::Map(&FieldType::Object(IMAGE)),
        "What is set, by the name that the manifests have the image by. An entry that is missing is \
         added.",
    )),
];

const COMPOSE_OUTPUT: &[Field] = &[may_wait(required(
    "outputs",
    FieldType::Map(&FieldType::Any),
    "The values by output name; they keep their type.",
))];

const FAIL: &[Field] =
    &[may_wait(optional("message", FieldType::Text, "Why. Default `the step says so`."))];

const TASK: &[Field] = &[
    required(
        "task",
        FieldType::Text,
        "The task. Its steps are carried out as `NAME.STEP`, and later steps read their outputs as \
         `steps.<name>.<step>.<output>`.",
    ),
    may_wait(optional(
        "inputs",
        FieldType::Map(&FieldType::Any),
        "What the task's steps see as `inputs`, by name. Nothing else of the stage but the freight, \
         `stage`, `project` and `promotion` is known to them.",
    )),
];

/// The arguments of a kind of step.
#[must_use]
pub fn fields(kind: StepKind) -> &'static [Field] {
    match kind {
        StepKind::GitClone => git::GIT_CLONE,
        StepKind::YamlUpdate => YAML_UPDATE,
        StepKind::GitCommit => git::GIT_COMMIT,
        StepKind::GitPush => git::GIT_PUSH,
        StepKind::TfPlan => infra::PLAN,
        StepKind::TfApply => infra::APPLY,
        StepKind::TfDestroy => infra::DESTROY,
        StepKind::TfImport => infra::IMPORT,
        StepKind::TfOutput => infra::OUTPUT,
        StepKind::Http => HTTP,
        StepKind::GitClear => git::GIT_CLEAR,
        StepKind::GitTag => git::GIT_TAG,
        StepKind::Tar => TAR,
        StepKind::Untar => UNTAR,
        StepKind::Download => DOWNLOAD,
        StepKind::Copy => COPY,
        StepKind::Delete => DELETE,
        StepKind::Write => WRITE,
        StepKind::Template => TEMPLATE,
        StepKind::YamlMerge => YAML_MERGE,
        StepKind::YamlParse | StepKind::JsonParse | StepKind::TomlParse | StepKind::HclParse => {
            PARSE
        }
        StepKind::JsonUpdate | StepKind::TomlUpdate => UPDATE,
        StepKind::HclUpdate => HCL_UPDATE,
        StepKind::KustomizeSetImage => KUSTOMIZE_SET_IMAGE,
        StepKind::OciPull => oci::OCI_PULL,
        StepKind::OciPush => oci::OCI_PUSH,
        StepKind::OciAttach => oci::OCI_ATTACH,
        StepKind::KustomizeBuild => render::KUSTOMIZE_BUILD,
        StepKind::HelmTemplate => render::HELM_TEMPLATE,
        StepKind::HelmUpdateChart => render::HELM_UPDATE_CHART,
        StepKind::ComposeOutput => COMPOSE_OUTPUT,
        StepKind::Fail => FAIL,
        StepKind::Wait => wait::WAIT,
        StepKind::Task => TASK,
        StepKind::GitOpenPr => pull_request::OPEN,
        StepKind::GitWaitForPr => pull_request::AWAIT,
        StepKind::GitMergePr => pull_request::MERGE,
        StepKind::GitClosePr => pull_request::CLOSE,
        StepKind::GitCommentPr => pull_request::COMMENT,
        StepKind::WaitForApproval => ask::APPROVAL,
        StepKind::GetInput => ask::INPUT,
        StepKind::SetMetadata => keep::METADATA,
        StepKind::SetAlias => keep::ALIAS,
        StepKind::AuditEvent => keep::AUDIT,
        StepKind::Run => run::RUN,
        StepKind::RunEffect => run::RUN_EFFECT,
    }
}
