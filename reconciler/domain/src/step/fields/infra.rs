//! Steps about infra modules.

use super::{Field, FieldType, LockFile, Touch, may_hold_secret, optional, required, touches};

const DIR: Field = touches(
    Touch::Edits,
    required("dir", FieldType::Text, "Directory of the module, below the working directory."),
);

const VARS: Field = optional(
    "vars",
    FieldType::Map(&FieldType::Any),
    "Input variables of the module; values keep their type. They are shown and approved as they are: a variable \
     that is a secret comes through `secrets`, as `TF_VAR_NAME`.",
);

const VAR_FILES: Field = optional(
    "var_files",
    FieldType::List(&FieldType::Text),
    "Variable files, below the module's directory.",
);

const STATE: Field = optional(
    "state",
    FieldType::Text,
    "Name of the embedded state inside the stage, for a module without a backend of its own. Steps with the \
     same one, the same workspace and the same `backend_config` work on one state. Default: the module's \
     directory.",
);

const WORKSPACE: Field = optional(
    "workspace",
    FieldType::Text,
    "The workspace, which is made if there is none. Default: the default one.",
);

const BACKEND_CONFIG: Field = may_hold_secret(optional(
    "backend_config",
    FieldType::Map(&FieldType::Any),
    "Settings of the backend that the module declares. `{{ secret(\"NAME\", \"KEY\") }}` stands for a secret \
     of the project. A module that declares none takes none.",
));

const ENV: Field = optional(
    "env",
    FieldType::Map(&FieldType::Text),
    "Environment of the tool and its providers, beside what the daemon's configuration gives all. No secrets: \
     it is shown and approved as it is.",
);

const SECRETS: Field = optional(
    "secrets",
    FieldType::Map(&FieldType::Text),
    "Variables of the environment that hold secrets of the project's credentials, as `CREDENTIAL/KEY`. What \
     the tool says is kept without them.",
);

const APPLY_SECRETS: Field = optional(
    "apply_secrets",
    FieldType::Map(&FieldType::Text),
    "The same for the apply alone, its undo included: credentials that may change things, where those of `secrets` \
     may only look. The plan runs without them. Of a name in both, the apply has this one.",
);

const TARGETS: Field = optional(
    "targets",
    FieldType::List(&FieldType::Text),
    "Addresses to which the plan, and its undo, is limited. Default: the whole module.",
);

const REPLACE: Field = optional(
    "replace",
    FieldType::List(&FieldType::Text),
    "Addresses of resources that are made anew, whether they changed or not.",
);

const TOOL: Field = optional(
    "tool",
    FieldType::OneOf(&["tofu", "terraform"]),
    "The tool. Default: `tofu` where it is installed, else `terraform`.",
);

const VERSION: Field = optional(
    "version",
    FieldType::Text,
    "The versions of the tool that may run it, such as `>= 1.8, < 2` or `~> 1.8`. Another one is a failure \
     before anything runs. Default: any.",
);

const LOCK_FILE: Field = optional(
    "lock_file",
    FieldType::OneOf(LockFile::WORDS),
    "What is done with `.terraform.lock.hcl`: `update` adds what is missing, with `readonly` a provider that \
     is not in it is a failure. Either way the apply has what the plan was made with. Default `update`.",
);

const LOCK_TIMEOUT: Field = optional(
    "lock_timeout",
    FieldType::Duration,
    "How long to wait for the state's lock. Default `60s`.",
);

const TIMEOUT: Field =
    optional("timeout", FieldType::Duration, "Time for the plan, and for the apply. Default `1h`.");

pub(super) const PLAN: &[Field] = &[
    DIR,
    VARS,
    VAR_FILES,
    STATE,
    WORKSPACE,
    BACKEND_CONFIG,
    ENV,
    SECRETS,
    APPLY_SECRETS,
    TARGETS,
    REPLACE,
    TOOL,
    VERSION,
    LOCK_FILE,
    LOCK_TIMEOUT,
    TIMEOUT,
];

pub(super) const DESTROY: &[Field] = &[
    DIR,
    VARS,
    VAR_FILES,
    STATE,
    WORKSPACE,
    BACKEND_CONFIG,
    ENV,
    SECRETS,
    APPLY_SECRETS,
    TARGETS,
    TOOL,
    VERSION,
    LOCK_FILE,
    LOCK_TIMEOUT,
    TIMEOUT,
];

pub(super) const IMPORT: &[Field] = &[
    // What a plan of it will do depends on whether this step is done.
    touches(
        Touch::Edits,
        required(
            "dir",
            FieldType::Text,
            "Directory of the module, below the working directory. The `tf_plan` steps after this one that plan \
             it show what is imported, and their applies do it.",
        ),
    ),
    required(
        "imports",
        FieldType::Map(&FieldType::Text),
        "Ids of existing objects, as the provider knows them, by the address that each gets. The module has to \
         have a resource for it. What is in the state already stays as it is.",
    ),
];

pub(super) const APPLY: &[Field] = &[required(
    "plan",
    FieldType::Text,
    "Name of the `tf_plan` or `tf_destroy` step whose plan is applied. If somebody wrote the state after it was made, it \
         is made anew: one that would do the same is applied with its approvals; with any other the promotion \
         goes back to its gates, unless it had changed something already: then it fails.",
)];

pub(super) const OUTPUT: &[Field] = &[
    touches(
        Touch::Reads,
        required(
            "dir",
            FieldType::Text,
            "Directory of the module. The outputs become the step's outputs, by name.",
        ),
    ),
    optional(
        "plan",
        FieldType::Text,
        "Name of the `tf_plan` step whose workspace, backend and options are meant. Default: the last one \
         before this step that plans `dir`.",
    ),
];
