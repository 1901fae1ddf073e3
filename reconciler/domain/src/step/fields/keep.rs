//! Tables of the steps that write into the daemon's own store.

use super::{Field, FieldType, may_wait, optional, required};

pub(super) const METADATA: &[Field] = &[
    may_wait(optional(
        "stage",
        FieldType::Map(&FieldType::Any),
        "Values to note about the stage, by key: expressions read them as `stage.metadata.KEY`. They keep \
         their type; null takes one away. Give this, `freight`, or both.",
    )),
    may_wait(optional(
        "freight",
        FieldType::Map(&FieldType::Any),
        "Values to note about the promoted freight, by key: expressions of every stage read them as \
         `freight_metadata.KEY`. At most 8 KiB each, 64 KiB together.",
    )),
];

pub(super) const ALIAS: &[Field] = &[required(
    "alias",
    FieldType::Text,
    "The alias of the promoted freight: lower-case letters, digits and `-`, not hexadecimal digits alone. \
     Freight that has it loses it.",
)];

pub(super) const AUDIT: &[Field] = &[
    may_wait(required("message", FieldType::Text, "What happened, in one sentence.")),
    may_wait(optional(
        "fields",
        FieldType::Map(&FieldType::Any),
        "What belongs to it, by name; values keep their type. At most 8 KiB together.",
    )),
];
