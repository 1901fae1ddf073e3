//! Tables of the steps that wait.

use super::{Field, FieldType, may_wait, optional};
use crate::step::AtTimeout;

pub(super) const WAIT: &[Field] = &[
    optional(
        "duration",
        FieldType::Duration,
        "How long, from the moment at which the step begins. Give this, `until` or `condition`.",
    ),
    may_wait(optional(
        "until",
        FieldType::Text,
        "Until when, such as `2026-11-21T16:00:00Z`. An instant that has passed is not waited for.",
    )),
    optional(
        "condition",
        FieldType::Condition,
        "CEL without `{{ }}` that has to hold, over what the step's templates may name, `now`, and \
         `in_stage(\"NAME\")`: how the freight stands in another stage (`there`, `entered_at`, \
         `verified`, `verified_at`). What has no value yet does not hold yet.",
    ),
    optional(
        "interval",
        FieldType::Duration,
        "Of a `condition`: pause between two looks, at least `1s`. Default `30s`.",
    ),
    optional("timeout", FieldType::Duration, "Of a `condition`, required: time for all of it."),
    optional(
        "at_timeout",
        FieldType::OneOf(AtTimeout::WORDS),
        "Of a `condition`: whether the step has then failed for good, or the promotion goes on with \
         `held` false. Default `fail`.",
    ),
];
