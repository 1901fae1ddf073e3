//! Steps about infra modules.

use crate::infra::Envelope;

use super::{
    Field, FieldType, LockFile, SkipUnchanged, Touch, may_hold_secret, may_wait, optional,
    required, touches,
};

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

const SKIP_UNCHANGED: Field = optional(
    "skip_unchanged",
    FieldType::OneOf(SkipUnchanged::WORDS),
    "Whether the module is not planned where everything that its plan is made of, and its embedded state, are as \
     the last apply of it left them: `watched` on a stage with a `drift` block whose last look at this state found \
     it as it was left, `always` also where nobody looks (but not where a policy says `on_drift`), `never`. What reads \
     more than its own files (data sources, modules from elsewhere, the clock) is always planned, and so is a \
     module with a backend of its own. Default `watched`.",
);

const TIMEOUT: Field =
    optional("timeout", FieldType::Duration, "Time for the plan, and for the apply. Default `1h`.");

const BOUNDS: &[Field] = &[
    required(
        "actions",
        FieldType::List(&FieldType::OneOf(Envelope::ACTIONS)),
        "What the plan may do to resources. `replace` is not said by `create` and `delete`.",
    ),
    optional(
        "addresses",
        FieldType::List(&FieldType::Text),
        "Where it may do that, as patterns such as `module.queue.**`; not an empty list. Default: anywhere.",
    ),
    optional("max_changes", FieldType::Integer, "The most resources that it may change."),
    optional(
        "max_deletes",
        FieldType::Integer,
        "The most resources that it may delete, those included that it makes anew.",
    ),
    optional(
        "timeout",
        FieldType::Duration,
        "How long people are asked about a plan that is outside. Default `24h`.",
    ),
];

const ENVELOPE: Field = optional(
    "envelope",
    FieldType::Object(BOUNDS),
    "Bounds of a plan that can be made only after an earlier effect, so that nobody sees it before the commit. They are \
     part of what is approved. A plan inside them is applied; about one that is outside, those are asked whose approvals \
     the policies want, with what is outside, and without their yes the step fails. The infra rules count all the \
     same. A plan that can be made before the commit is judged and approved itself, and needs none.",
);

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
    SKIP_UNCHANGED,
    ENVELOPE,
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
    ENVELOPE,
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

const COST: &[Field] = &[
    optional(
        "monthly",
        FieldType::Text,
        "What everything costs in a month once the plan is applied, a number.",
    ),
    optional("increase", FieldType::Text, "How much more in a month that is than now, a number."),
];

pub(super) const APPLY: &[Field] = &[
    required(
        "plan",
        FieldType::Text,
        "Name of the `tf_plan` or `tf_destroy` step whose plan is applied. If somebody wrote the state after it was made, it \
         is made anew: one that would do the same is applied with its approvals; with any other the promotion \
         goes back to its gates, unless it had changed something already: then it fails.",
    ),
    may_wait(optional(
        "cost",
        FieldType::Object(COST),
        "An estimate of what the plan costs, such as the outputs of a `run` step before this one. The infra rules \
         `max_monthly_cost` and `max_cost_increase` judge it, and people see it with what they approve; where it is missing, \
         or waits for an effect, those rules do not pass.",
    )),
];

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
