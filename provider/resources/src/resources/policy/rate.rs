//! The blocks `rate` and `condition` of a policy.

use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use provider_protocol::schema::Block;
use reconciler_api::v1::{ConditionRule, RateRule, RateScope};
use reconciler_domain::expression::Expression;

use crate::attribute::{count, filled, parsed, span, word, words};
use crate::form::Read as _;
use crate::managed::block;

/// The block `rate`.
pub(super) fn rate() -> Block {
    let scopes = words(RateScope::ALL, RateScope::as_str);
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        ("max", count(1).describe("The most commits within `per`, up to 1000.").into()),
        ("per", span().describe("The sliding length of time that `max` is counted in.").into()),
        ("cooldown", span().describe("Quiet time after a commit.").into()),
        (
            "concurrent",
            count(1)
                .describe("The most promotions under way at once: committed and not over.")
                .into(),
        ),
        (
            "across",
            word(scopes)
                .default(RateRule::ACROSS_DEFAULT.as_str())
                .describe(
                    "What is counted together: promotions to one `stage`, or to every stage that \
                     the `policy` selects.",
                )
                .into(),
        ),
    ])
    .describe("A gate: how often promotions may commit. Each limit that is set holds.")
}

/// The block `condition`.
pub(super) fn condition() -> Block {
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        (
            "when",
            parsed::<Expression>()
                .required()
                .describe(
                    "What must hold, in CEL: over `freight.SUBSCRIPTION` (or \
                     `freight_from(\"WAREHOUSE\")` where a stage requests several), `stage.name`, \
                     `stage.vars`, and `upstream[\"STAGE\"]` with `verified`, `verified_at`, \
                     `there` and `entered_at`. It is checked against every stage that the policy \
                     selects.",
                )
                .into(),
        ),
    ])
    .describe("A gate: something that must hold of freight, stage and upstream state.")
}

pub(super) fn rate_rule(rate: &Reader<'_>) -> RateRule {
    RateRule {
        name: rate.required("name"),
        max: rate.count("max"),
        per: rate.text("per"),
        cooldown: rate.text("cooldown"),
        concurrent: rate.count("concurrent"),
        across: rate
            .text("across")
            .and_then(|across| across.parse().ok())
            .unwrap_or(RateRule::ACROSS_DEFAULT),
    }
}

pub(super) fn rate_value(rate: &RateRule) -> Value {
    let RateRule { name, max, per, cooldown, concurrent, across } = rate;
    Value::object([
        ("name", Value::from(name)),
        ("max", (*max).into()),
        ("per", per.clone().into()),
        ("cooldown", cooldown.clone().into()),
        ("concurrent", (*concurrent).into()),
        ("across", across.as_str().into()),
    ])
}

pub(super) fn condition_rule(condition: &Reader<'_>) -> ConditionRule {
    ConditionRule { name: condition.required("name"), when: condition.required("when") }
}

pub(super) fn condition_value(condition: &ConditionRule) -> Value {
    let ConditionRule { name, when } = condition;
    Value::object([("name", Value::from(name)), ("when", when.into())])
}
