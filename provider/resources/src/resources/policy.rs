//! `lockstep_promotion_policy`.

mod infra;
mod inquiry;
mod rate;
mod window;

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::{Block, NestedBlock};
use reconciler_api::problem::FieldCode;
use reconciler_api::v1::{
    self, ApprovalRule, BypassGate, BypassRule, Exclusion, InfraAction, InfraRules, Mode, OnDrift,
    PolicySpec, RollbackRule, RollbackTrigger, StageSelector,
};
use reconciler_convert::{Fields, parse_windows};
use reconciler_domain::check::{ProblemKind, check_windows};
use reconciler_domain::id::{PolicyName, StageName};

use crate::attribute::{
    address_globs, count, filled, filled_list, instant, span, span_map, stage_globs, word,
    word_list, words,
};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::{Moved, attribute_path};
use crate::words::sentence;

use inquiry::{
    attestation, attestation_rule, attestation_value, check_attestations, ticket, ticket_rule,
    ticket_value,
};
use rate::{condition, condition_rule, condition_value, rate, rate_rule, rate_value};
use window::{window, window_rule, window_value};

const INFRA_RULES: [&str; 7] = [
    "forbid",
    "protect",
    "max_changes",
    "max_deletes",
    "max_monthly_cost",
    "max_cost_increase",
    "on_drift",
];

pub(crate) struct Policy;

impl Definition for Policy {
    type Object = v1::Policy;
    type Name = PolicyName;

    const TYPE_NAME: &'static str = "lockstep_promotion_policy";
    const DESCRIPTION: &'static str = "Whether and when stages are promoted to: selects stages, \
        and holds gates. Every policy that selects a stage counts, the strictest mode and all of \
        the gates; a stage without a policy is manual.";
    const RENAMES: bool = true;
    const KEYED: Keyed = &[
        (&["approval"], "group"),
        (&["attestation"], "name"),
        (&["bypass"], "name"),
        (&["condition"], "name"),
        (&["rate"], "name"),
        (&["ticket"], "name"),
        (&["window"], "name"),
    ];
    const MOVED: Moved = &[
        ("stages", "stages[0]"),
        ("approvals", "approval"),
        ("conditions", "condition"),
        ("rates", "rate"),
        ("tickets", "ticket"),
        ("attestations", "attestation"),
        ("windows", "window"),
        ("infra.rules", "infra[0].rule"),
        ("infra", "infra[0]"),
        ("rollback", "rollback[0]"),
    ];

    fn fields() -> Vec<(&'static str, Item)> {
        let mode = word(words(Mode::ALL, Mode::as_str)).required().describe(
            "Who starts a promotion. `automatic`: automation, as soon as freight is available; has \
             no gates. `gated`: automation, once every gate passes. `manual`: a person; the gates \
             still hold.",
        );
        let soak = span().describe(
            "How long freight must have been verified in its upstream stages, a duration such as \
             `24h`.",
        );
        let soak_in = span_map::<StageName>().describe(
            "How long instead in some of the upstream stages: durations by name of the stage, such \
             as `{ (lockstep_stage.canary.name) = \"1h\" }`.",
        );
        let max_age = span().describe(
            "The oldest that freight may be, counted from when it was made, a duration such as \
             `14d`.",
        );
        let max_wait = span().describe(
            "The longest that a promotion may wait before it commits, for gates, for the stage or for its \
             preparation, counted from when it was asked for or went back to its gates: a duration such as \
             `7d`. It then ends as `expired`, says which gates it waited for, and the next freight can go; \
             automation does not bring the same freight again. The smallest of several policies counts; \
             without one, 30 days.",
        );
        let max_undo_wait = span().describe(
            "The longest that an undo may wait for a window or a freeze, counted from when it was decided: a \
             duration such as `12h`. The promotion is then `stuck`, with what remains. The smallest of several \
             policies counts; without one, 30 days.",
        );
        let settle = span().describe(
            "How long no definition around a stage may have changed before automation acts. The \
             daemon's default is `30s`.",
        );
        vec![
            ("mode", mode.into()),
            ("soak", soak.into()),
            ("soak_in", soak_in.into()),
            ("max_age", max_age.into()),
            ("max_wait", max_wait.into()),
            ("max_undo_wait", max_undo_wait.into()),
            ("settle", settle.into()),
            ("stages", NestedBlock::list(stages()).min(1).max(1).into()),
            ("condition", NestedBlock::list(condition()).into()),
            ("window", NestedBlock::list(window()).into()),
            ("rate", NestedBlock::list(rate()).into()),
            ("ticket", NestedBlock::list(ticket()).into()),
            ("attestation", NestedBlock::list(attestation()).into()),
            ("approval", NestedBlock::list(approval()).into()),
            ("infra", NestedBlock::list(infra()).max(1).into()),
            ("rollback", NestedBlock::list(rollback()).max(1).into()),
            ("bypass", NestedBlock::list(bypass()).into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let list = |block: &Reader<'_>, name: &str, text: &str, diags: &mut Diagnostics| {
            if block.get(name).as_list().is_some_and(<[Value]>::is_empty) {
                diags.error_at(block.path_of(name), "Empty list", text);
            }
        };
        for stages in config.blocks("stages") {
            list(&stages, "names", "A policy selects at least one stage, by name or glob.", diags);
        }
        for rollback in config.blocks("rollback") {
            list(&rollback, "on", "Name what sets it off, or leave the block out.", diags);
        }
        for bypass in config.blocks("bypass") {
            list(&bypass, "groups", "A right that nobody has skips nothing.", diags);
            list(&bypass, "gates", "Name the gates that may be skipped.", diags);
        }
        for infra in config.blocks("infra") {
            let sets_none = INFRA_RULES.iter().all(|rule| infra.get(rule).is_null());
            if sets_none && infra.blocks("rule").is_empty() {
                let text = "Set `forbid`, `protect`, `max_changes`, `max_deletes`, a limit of cost, `on_drift` or a `rule`, or leave the \
                            block out.";
                diags.error_at(infra.path().clone(), "No rule", text);
            }
        }
        infra::check_rules(config, diags);
        check_attestations(config, diags);
        windows_open(config, diags);
        if config.string("mode") == Field::Known(Mode::Automatic.as_str()) {
            automatic_has_no_gates(config, diags);
        }
    }

    fn is_of_this_version(value: &Reader<'_>) -> bool {
        value.text("mode").is_some_and(|mode| mode.parse::<Mode>().is_ok())
    }

    fn spec(value: &Reader<'_>) -> PolicySpec {
        let names = value.block("stages").map(|stages| stages.texts("names"));
        let rollback = |rollback: Reader<'_>| RollbackRule { on: rollback.words("on") };
        PolicySpec {
            mode: value
                .string("mode")
                .known()
                .and_then(|mode| mode.parse().ok())
                .expect("it is of this version, so its mode is one"),
            stages: StageSelector { names: names.unwrap_or_default() },
            soak: value.text("soak"),
            soak_in: value.text_map("soak_in"),
            settle: value.text("settle"),
            max_age: value.text("max_age"),
            max_wait: value.text("max_wait"),
            max_undo_wait: value.text("max_undo_wait"),
            conditions: value.blocks("condition").iter().map(condition_rule).collect(),
            windows: value.blocks("window").iter().map(window_rule).collect(),
            rates: value.blocks("rate").iter().map(rate_rule).collect(),
            tickets: value.blocks("ticket").iter().map(ticket_rule).collect(),
            attestations: value.blocks("attestation").iter().map(attestation_rule).collect(),
            approvals: value.blocks("approval").iter().map(approval_spec).collect(),
            infra: value.block("infra").map(|infra| infra_spec(&infra)),
            rollback: value.block("rollback").map(rollback),
            bypass: value.blocks("bypass").iter().map(bypass_spec).collect(),
        }
    }

    fn value(object: &v1::Policy) -> Value {
        let PolicySpec {
            mode,
            stages,
            soak,
            soak_in,
            settle,
            max_age,
            max_wait,
            max_undo_wait,
            conditions,
            windows,
            rates,
            tickets,
            attestations,
            approvals,
            infra,
            rollback,
            bypass,
        } = &object.spec;
        // These two lists are required: empty ones are there, and no null.
        let stages = Value::object([("names", stages.names.clone().into())]);
        let on = |rule: &RollbackRule| {
            Value::object([("on", Value::list(rule.on.iter().map(|on| on.as_str())))])
        };
        Value::object([
            ("mode", mode.as_str().into()),
            ("soak", soak.clone().into()),
            ("soak_in", form::text_map(soak_in)),
            ("settle", settle.clone().into()),
            ("max_age", max_age.clone().into()),
            ("max_wait", max_wait.clone().into()),
            ("max_undo_wait", max_undo_wait.clone().into()),
            ("condition", Value::list(conditions.iter().map(condition_value))),
            ("window", Value::list(windows.iter().map(window_value))),
            ("rate", Value::list(rates.iter().map(rate_value))),
            ("ticket", Value::list(tickets.iter().map(ticket_value))),
            ("attestation", Value::list(attestations.iter().map(attestation_value))),
            ("stages", Value::List(vec![stages])),
            ("approval", Value::list(approvals.iter().map(approval_value))),
            ("infra", Value::list(infra.iter().map(infra_value))),
            ("rollback", Value::list(rollback.iter().map(on))),
            ("bypass", Value::list(bypass.iter().map(bypass_value))),
        ])
    }

    fn definition(spec: PolicySpec) -> Option<v1::Definition> {
        Some(v1::Definition::Policy(spec))
    }
}

fn automatic_has_no_gates(config: &Reader<'_>, diags: &mut Diagnostics) {
    // The client shows an attribute better than the block around it.
    let mut gates = Vec::new();
    for gate in ["soak", "max_age"] {
        if !config.get(gate).is_null() {
            gates.push(config.path_of(gate));
        }
    }
    let soaks = config.get("soak_in");
    if soaks.is_unknown() || soaks.as_map().is_some_and(|soaks| !soaks.is_empty()) {
        gates.push(config.path_of("soak_in"));
    }
    for gate in ["condition", "window", "rate", "ticket", "attestation"] {
        gates.extend(config.blocks(gate).first().map(|block| block.path_of("name")));
    }
    gates.extend(config.blocks("approval").first().map(|block| block.path_of("group")));
    gates.extend(config.block("infra").filter(|infra| !only_ignores_drift(infra)).map(|infra| {
        let set = INFRA_RULES.iter().find(|rule| !infra.get(rule).is_null());
        set.map_or_else(|| infra.path().clone(), |rule| infra.path_of(rule))
    }));
    for path in gates {
        diags.error_at(
            path,
            "Mode automatic has no gates",
            "A policy of mode `automatic` promotes as soon as freight is available. With gates the \
             mode is `gated`: automation promotes once every gate passes.",
        );
    }
}

/// Whether infra rules say that drift holds nothing back, and no more: that is no gate.
fn only_ignores_drift(infra: &Reader<'_>) -> bool {
    let ignores = infra.string("on_drift") == Field::Known(OnDrift::Ignore.as_str());
    let others = INFRA_RULES.iter().filter(|rule| **rule != "on_drift");
    ignores
        && others.into_iter().all(|rule| infra.get(rule).is_null())
        && infra.blocks("rule").is_empty()
}

/// What is wrong with the windows, as the daemon would say it: each by itself as soon as it is known,
/// and whether they open at all once every one is.
fn windows_open(config: &Reader<'_>, diags: &mut Diagnostics) {
    let blocks = config.blocks("window");
    let known: Vec<&Reader<'_>> =
        blocks.iter().filter(|block| block.value().is_wholly_known()).collect();
    let mut windows = Vec::new();
    for block in &known {
        let mut fields = Fields::default();
        windows.extend(parse_windows(&mut fields, &[window_rule(block)]));
        for problem in fields.finish(None::<()>).err().into_iter().flatten() {
            let field = problem.path.trim_start_matches("windows[0].").to_owned();
            let attribute = block.get(&field);
            // What a parser refuses is told by the schema's own check.
            let own = matches!(problem.code, FieldCode::BadRecurrence | FieldCode::BadTimezone);
            let told = own || problem.code == FieldCode::BadDuration;
            if !told || attribute.is_null() {
                let text = sentence(&problem.message);
                diags.error_at(block.path_of(&field), "Window cannot be", text);
            }
        }
    }
    if windows.len() < blocks.len() {
        return;
    }
    for problem in check_windows(&windows) {
        if problem.kind == ProblemKind::Never {
            let ty = Type::list(Type::object::<&str>([]));
            let ty = Type::object([("window", ty)]);
            let path = attribute_path(&problem.path, Policy::MOVED, &ty);
            diags.error_at(path, "Windows never open", sentence(&problem.message));
        }
    }
}

fn stages() -> Block {
    block(vec![(
        "names",
        stage_globs()
            .required()
            .describe("Globs over the names of stages, such as `prod*`; one match is enough.")
            .into(),
    )])
    .describe("The stages that the policy speaks about.")
}

fn approval() -> Block {
    let exclusions = words(Exclusion::ALL, Exclusion::as_str);
    block(vec![
        ("group", filled().required().describe("Whose approval counts.").into()),
        (
            "count",
            count(1)
                .default(ApprovalRule::COUNT_DEFAULT)
                .describe("How many distinct people must approve.")
                .into(),
        ),
        (
            "exclude",
            word_list(exclusions)
                .describe(
                    "Whose approval does not count, though they are in the group: `requester`, \
                     `commit_author`, `policy_author`.",
                )
                .into(),
        ),
    ])
    .describe("A gate: people must approve the change set of a promotion. One block per group.")
}

fn infra() -> Block {
    let actions = words(InfraAction::ALL, InfraAction::as_str);
    block(vec![
        (
            "forbid",
            word_list(actions)
                .describe(
                    "Actions that no resource may see: `create`, `update`, `replace`, `delete`.",
                )
                .into(),
        ),
        (
            "protect",
            address_globs()
                .describe(
                    "Patterns of resource addresses that may be neither deleted nor replaced, such \
                     as `aws_db_instance.*`. `*` is any part of one segment, `**` any number of \
                     segments.",
                )
                .into(),
        ),
        ("max_changes", count(0).describe("How many resources one plan may change at most.").into()),
        (
            "max_deletes",
            count(0)
                .describe(
                    "How many resources one plan may delete at most, those that it replaces included.",
                )
                .into(),
        ),
        (
            "max_monthly_cost",
            count(0)
                .describe(
                    "What that which one plan leaves may cost in a month at most, in the currency of the estimate that its \
                     `tf_apply` step has as `cost`. Where there is no estimate the gate does not pass. An undo has none.",
                )
                .into(),
        ),
        (
            "max_cost_increase",
            count(0).describe("By how much one plan may raise the monthly cost at most.").into(),
        ),
        (
            "on_drift",
            word(words(OnDrift::ALL, OnDrift::as_str))
                .describe(
                    "Which drift of the stage's infra holds promotions back. `intersecting`: what changed outside, \
                     where the promotion's plan would write over it, and what is gone, where it would make it anew; \
                     not what only a provider computes. `any`: any, in any state of the stage. `ignore`: none. Of \
                     several policies the strictest counts. Default: `intersecting` on stages with a `drift` block, \
                     else `ignore`.",
                )
                .into(),
        ),
        ("rule", NestedBlock::list(infra::rule()).into()),
    ])
    .describe("A gate: what a promotion may do to infrastructure, judged on its plans.")
}

fn rollback() -> Block {
    let triggers = words(RollbackTrigger::ALL, RollbackTrigger::as_str);
    block(vec![(
        "on",
        word_list(triggers)
            .required()
            .describe("What sets it off: `promotion_failed`, `verification_failed`.")
            .into(),
    )])
    .describe("Undoes a failed promotion: application and infrastructure together.")
}

fn bypass() -> Block {
    let gates = words(BypassGate::ALL, BypassGate::as_str);
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        ("groups", filled_list().required().describe("Who has the right.").into()),
        (
            "expires",
            instant()
                .describe("When the right ends, such as `2030-01-02T00:00:00Z`. Without it: never.")
                .into(),
        ),
        (
            "gates",
            word_list(gates)
                .required()
                .describe(
                    "The gates that may be skipped: `soak`, `age`, `condition`, `window`, `rate`, \
                     `ticket`, `attestation`, `approvals`, `infra`, `drift`, `upstream`.",
                )
                .into(),
        ),
    ])
    .describe("The right of some groups to skip some gates, with a reason that is recorded.")
}

fn approval_spec(approval: &Reader<'_>) -> ApprovalRule {
    ApprovalRule {
        group: approval.required("group"),
        count: approval.count("count").unwrap_or(ApprovalRule::COUNT_DEFAULT),
        exclude: approval.words("exclude"),
    }
}

fn approval_value(approval: &ApprovalRule) -> Value {
    let ApprovalRule { group, count, exclude } = approval;
    Value::object([
        ("group", group.into()),
        ("count", (*count).into()),
        ("exclude", form::texts(exclude)),
    ])
}

fn infra_spec(infra: &Reader<'_>) -> InfraRules {
    InfraRules {
        forbid: infra.words("forbid"),
        protect: infra.texts("protect"),
        max_changes: infra.count("max_changes"),
        max_deletes: infra.count("max_deletes"),
        max_monthly_cost: infra.count("max_monthly_cost"),
        max_cost_increase: infra.count("max_cost_increase"),
        on_drift: infra.text("on_drift").and_then(|word| word.parse().ok()),
        rules: infra.blocks("rule").iter().map(infra::rule_spec).collect(),
    }
}

fn infra_value(infra: &InfraRules) -> Value {
    let InfraRules { forbid, protect, max_changes, max_deletes, rules, on_drift, .. } = infra;
    Value::object([
        ("forbid", form::texts(forbid)),
        ("protect", form::texts(protect)),
        ("max_changes", (*max_changes).into()),
        ("max_deletes", (*max_deletes).into()),
        ("max_monthly_cost", infra.max_monthly_cost.into()),
        ("max_cost_increase", infra.max_cost_increase.into()),
        ("on_drift", on_drift.map(OnDrift::as_str).map(Value::from).into()),
        ("rule", Value::list(rules.iter().map(infra::rule_value))),
    ])
}

fn bypass_spec(bypass: &Reader<'_>) -> BypassRule {
    BypassRule {
        name: bypass.required("name"),
        groups: bypass.texts("groups"),
        gates: bypass.words("gates"),
        expires: bypass.instant("expires"),
    }
}

fn bypass_value(bypass: &BypassRule) -> Value {
    let BypassRule { name, groups, gates, expires } = bypass;
    Value::object([
        ("name", name.into()),
        ("groups", groups.clone().into()),
        ("gates", Value::list(gates.iter().map(|gate| gate.as_str()))),
        ("expires", form::instant(*expires)),
    ])
}
