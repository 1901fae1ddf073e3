//! Steps that run programs, contained.

use super::{Field, FieldType, Touch, may_wait, optional, required, touches};

const COMMAND: Field = required(
    "command",
    FieldType::List(&FieldType::Text),
    "The program and its arguments, each by itself. No shell reads them, unless one is named.",
);

const READS: Field = touches(
    Touch::Reads,
    optional(
        "reads",
        FieldType::List(&FieldType::Text),
        "Files and directories below the working directory that it sees beside `dir`. They are where they \
         are seen from `dir`.",
    ),
);

const ENV: Field = may_wait(optional(
    "env",
    FieldType::Map(&FieldType::Text),
    "Its environment, beside `PATH`, `HOME`, `TMPDIR`, `LANG` and what begins with `LOCKSTEP_`: \
     `LOCKSTEP_PROJECT`, `_STAGE`, `_PROMOTION`, `_STEP`, and `LOCKSTEP_EFFECT_KEY`, which names this \
     run and is the same each time. No secrets: they are shown and approved as they are.",
));

const SECRETS: Field = optional(
    "secrets",
    FieldType::Map(&FieldType::Text),
    "Variables that hold secrets of the project's credentials, as `CREDENTIAL/KEY`. What it prints is \
     kept without them.",
);

const NETWORK: Field = optional(
    "network",
    FieldType::OneOf(&["none", "egress", "host"]),
    "What it may reach: nothing; what the daemon's egress policy opens, over HTTP and HTTPS and by the \
     proxy that `HTTPS_PROXY` names; or all that the daemon's machine reaches, where the daemon allows \
     that. Default `none`.",
);

const MEMORY: Field = optional(
    "memory_mib",
    FieldType::Integer,
    "Most memory that it may use, with all that it starts, in MiB. Default `1024`.",
);

const DISK: Field = optional(
    "disk_mib",
    FieldType::Integer,
    "Most that it may write, in MiB; no file may be larger. Default `1024`.",
);

const PROCESSES: Field =
    optional("processes", FieldType::Integer, "Most processes and threads at once. Default `256`.");

const TIMEOUT: Field = optional("timeout", FieldType::Duration, "Time for it. Default `10m`.");

const OUTPUTS: Field = optional(
    "outputs",
    FieldType::Text,
    "Where the step's outputs are, one JSON object: `stdout`, or a file below `dir`. At most 256 KiB. \
     Default: the end of what it prints is the output `stdout`.",
);

pub(super) const RUN: &[Field] = &[
    COMMAND,
    touches(
        Touch::Edits,
        required(
            "dir",
            FieldType::Text,
            "The directory that it runs in, below the working directory.",
        ),
    ),
    READS,
    touches(
        Touch::Writes,
        optional(
            "writes",
            FieldType::List(&FieldType::Text),
            "Files that are there, and directories, which are made if they are missing, below the working \
             directory: what it may change. Default: `dir`, which else it only reads.",
        ),
    ),
    ENV,
    SECRETS,
    NETWORK,
    MEMORY,
    DISK,
    PROCESSES,
    TIMEOUT,
    OUTPUTS,
];

pub(super) const RUN_EFFECT: &[Field] = &[
    COMMAND,
    required(
        "delivery",
        FieldType::OneOf(&["at_least_once", "at_most_once"]),
        "What happens when nobody saw its end: run it again, with the same `LOCKSTEP_EFFECT_KEY`, or stop \
         and ask a person.",
    ),
    optional(
        "undo",
        FieldType::List(&FieldType::Text),
        "The program, with its arguments, that takes back what it did: run in the same way, with \
         `LOCKSTEP_EFFECT_KEY` ending in `/undo`. Default: it has no undo.",
    ),
    touches(
        Touch::Reads,
        optional(
            "dir",
            FieldType::Text,
            "The directory that it runs in, below the working directory; what it changes there is thrown \
             away. Default: an empty one.",
        ),
    ),
    READS,
    ENV,
    SECRETS,
    NETWORK,
    MEMORY,
    DISK,
    PROCESSES,
    TIMEOUT,
    OUTPUTS,
];
