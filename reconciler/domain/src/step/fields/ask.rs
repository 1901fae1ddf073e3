//! Tables of the steps that ask people.

use super::{Field, FieldType, may_wait, optional, required};
use crate::step::AtTimeout;

const MESSAGE: Field = may_wait(required(
    "message",
    FieldType::Text,
    "What is asked, for the people who answer. It is part of what they answer.",
));

const TIMEOUT: Field = required("timeout", FieldType::Duration, "Time for all answers together.");

pub(super) const APPROVAL: &[Field] = &[
    MESSAGE,
    optional(
        "groups",
        FieldType::Map(&FieldType::Integer),
        "How many distinct people of each group have to approve, by group. Default: anybody, once.",
    ),
    optional(
        "exclude",
        FieldType::List(&FieldType::OneOf(&["requester", "commit_author"])),
        "Whose approval is refused: who asked for the promotion, who wrote a commit of the freight.",
    ),
    TIMEOUT,
    optional(
        "at_timeout",
        FieldType::OneOf(AtTimeout::WORDS),
        "Whether the step has failed for good where approvals are missing by then, or the promotion goes \
         on with `approved` false. Default `fail`.",
    ),
];

pub(super) const INPUT: &[Field] = &[
    MESSAGE,
    required(
        "schema",
        FieldType::Any,
        "What may be given, as JSON Schema: an object whose `properties` are `string` (`minLength`, \
         `maxLength`, `pattern`), `integer` or `number` (`minimum`, `maximum`), `boolean`, or an `array` of \
         those (`items`, `minItems`, `maxItems`), each with `enum`, `default`, `title` and `description`; \
         beside them `required` and `additionalProperties` (default `false`). Other keywords are refused. \
         The values become the step's outputs, by name.",
    ),
    optional(
        "groups",
        FieldType::List(&FieldType::Text),
        "Groups whose people may answer. Default: anybody.",
    ),
    TIMEOUT,
    optional(
        "at_timeout",
        FieldType::OneOf(AtTimeout::WORDS),
        "Whether the step has failed for good where nobody answered by then, or the promotion goes on with \
         the defaults of the schema, which everything required then needs. Default `fail`.",
    ),
];
