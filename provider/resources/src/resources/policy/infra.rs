//! The block `rule` of the infra rules of a policy.

use std::collections::BTreeSet;

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::Block;
use reconciler_api::v1::InfraRule;
use reconciler_domain::expression::Expression;
use reconciler_domain::infra::plan_names;

use crate::attribute::{filled, parsed};
use crate::form::Read as _;
use crate::managed::block;
use crate::words::sentence;

/// The block `rule`.
pub(super) fn rule() -> Block {
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        (
            "when",
            parsed::<Expression>()
                .required()
                .describe(
                    "What must hold of each plan, in CEL: over `summary` (`create`, `update`, `replace`, `delete`, \
                     `no_op`, `total`, `has_changes`), `changes` (each with `address`, `action`, `type`, `module`, \
                     `reason`, `previous_address`, `importing`, `deposed`, `create_first`, and `attributes` with \
                     `name`, `before`, `after`), `outputs` by name (`action`, `unknown`, `sensitive`) and `drift`. No \
                     sensitive value is in it. Of `changes.all(c, …)` the changes that break it are named.",
                )
                .into(),
        ),
        ("message", filled().describe("What people are told where it does not hold.").into()),
    ])
    .describe("Something that must hold of each infra plan. What cannot be judged does not pass.")
}

/// Checks the names of every rule that is known: what a plan has is no definition's to say.
pub(super) fn check_rules(config: &Reader<'_>, diags: &mut Diagnostics) {
    let mut names = BTreeSet::new();
    for rule in config.blocks("infra").iter().flat_map(|infra| infra.blocks("rule")) {
        if let Some(name) = rule.text("name")
            && !names.insert(name.clone())
        {
            let text = format!("Two infra rules are named {name:?}.");
            diags.error_at(rule.path_of("name"), "Duplicate name", text);
        }
        let Field::Known(text) = rule.string("when") else { continue };
        let Ok(when) = Expression::parse(text) else { continue };
        for error in when.check(&plan_names()).err().unwrap_or_default() {
            diags.error_at(
                rule.path_of("when"),
                "Invalid expression",
                sentence(&error.to_string()),
            );
        }
    }
}

pub(super) fn rule_spec(rule: &Reader<'_>) -> InfraRule {
    InfraRule {
        name: rule.required("name"),
        when: rule.required("when"),
        message: rule.text("message"),
    }
}

pub(super) fn rule_value(rule: &InfraRule) -> Value {
    let InfraRule { name, when, message } = rule;
    Value::object([
        ("name", Value::from(name)),
        ("when", when.into()),
        ("message", message.clone().into()),
    ])
}
