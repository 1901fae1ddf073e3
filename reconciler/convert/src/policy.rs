//! Promotion policies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, PolicySpec};
use reconciler_domain::duration;
use reconciler_domain::expression::Expression;
use reconciler_domain::id::{PolicyName, StageName};
use reconciler_domain::infra::{AddressGlob, ForbiddenAction, InfraRules, OnDrift, PlanRule};
use reconciler_domain::policy::{
    Across, Approvals, Bypass, Condition, Excluded, GateKind, Mode, Most, Policy, Rate, RollbackOn,
};

use crate::Fields;
use crate::inquiry::{parse_attestations, parse_tickets, wire_attestation, wire_ticket};
use crate::window::{parse_windows, window_rule};

/// Reads a policy.
pub fn parse_policy(name: PolicyName, spec: &PolicySpec) -> Result<Policy, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let soak = fields.optional_duration("soak", spec.soak.as_deref());
    let soak_in = parse_soaks(&mut fields, &spec.soak_in);
    let settle = fields.optional_duration("settle", spec.settle.as_deref());
    let max_age = fields.optional_duration("max_age", spec.max_age.as_deref());
    let max_wait = fields.optional_duration("max_wait", spec.max_wait.as_deref());
    let undo_wait = fields.optional_duration("max_undo_wait", spec.max_undo_wait.as_deref());
    let conditions = parse_conditions(&mut fields, &spec.conditions);
    let windows = parse_windows(&mut fields, &spec.windows);
    let rates = parse_rates(&mut fields, &spec.rates);
    let tickets = parse_tickets(&mut fields, &spec.tickets);
    let attestations = parse_attestations(&mut fields, &spec.attestations);
    let infra = spec.infra.as_ref().map(|rules| parse_infra(&mut fields, rules));
    let policy = (|| {
        Some(Policy {
            name,
            mode: domain_mode(spec.mode),
            stages: spec.stages.names.clone(),
            soak: soak?,
            soak_in,
            settle: settle?,
            max_age: max_age?,
            max_wait: max_wait?,
            max_undo_wait: undo_wait?,
            conditions,
            windows,
            rates,
            tickets,
            attestations,
            approvals: spec.approvals.iter().map(parse_approvals).collect(),
            infra,
            rollback: spec.rollback.iter().flat_map(|rule| &rule.on).map(parse_trigger).collect(),
            bypass: spec.bypass.iter().map(parse_bypass).collect(),
        })
    })();
    fields.finish(policy)
}

fn parse_soaks(
    fields: &mut Fields,
    given: &BTreeMap<String, String>,
) -> BTreeMap<StageName, Duration> {
    let mut soaks = BTreeMap::new();
    for (stage, text) in given {
        let path = format!("soak_in.{stage}");
        let (stage, soak) = (fields.name(&path, stage), fields.duration(&path, text));
        soaks.extend(stage.zip(soak));
    }
    soaks
}

fn parse_conditions(fields: &mut Fields, rules: &[v1::ConditionRule]) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let path = format!("conditions[{at}].when");
        let when = fields.parse::<Expression>(&path, FieldCode::BadExpression, &rule.when);
        conditions.extend(when.map(|when| Condition { name: rule.name.clone(), when }));
    }
    conditions
}

fn parse_rates(fields: &mut Fields, rules: &[v1::RateRule]) -> Vec<Rate> {
    let parse = |(at, rule): (usize, &v1::RateRule)| {
        let path = |field: &str| format!("rates[{at}].{field}");
        let per = fields.optional_duration(&path("per"), rule.per.as_deref());
        let cooldown = fields.optional_duration(&path("cooldown"), rule.cooldown.as_deref());
        let most = match (rule.max, per?) {
            (Some(count), Some(per)) => Some(Most { count, per }),
            (None, None) => None,
            (Some(_), None) => {
                fields.add(&path("per"), FieldCode::Missing, "max counts within a time: set per");
                return None;
            }
            (None, Some(_)) => {
                fields.add(&path("max"), FieldCode::Missing, "per is how long max counts: set max");
                return None;
            }
        };
        let across = match rule.across {
            v1::RateScope::Stage => Across::Stage,
            v1::RateScope::Policy => Across::Policy,
        };
        let (name, concurrent) = (rule.name.clone(), rule.concurrent);
        Some(Rate { name, most, cooldown: cooldown?, concurrent, across })
    };
    rules.iter().enumerate().filter_map(parse).collect()
}

fn parse_infra(fields: &mut Fields, rules: &v1::InfraRules) -> InfraRules {
    let mut protect = Vec::new();
    for (at, pattern) in rules.protect.iter().enumerate() {
        protect.extend(fields.parse::<AddressGlob>(
            &format!("infra.protect[{at}]"),
            FieldCode::BadGlob,
            pattern,
        ));
    }
    let forbid = rules.forbid.iter().map(|action| match action {
        v1::InfraAction::Create => ForbiddenAction::Create,
        v1::InfraAction::Update => ForbiddenAction::Update,
        v1::InfraAction::Replace => ForbiddenAction::Replace,
        v1::InfraAction::Delete => ForbiddenAction::Delete,
    });
    let mut conditions = Vec::new();
    for (at, rule) in rules.rules.iter().enumerate() {
        let path = format!("infra.rules[{at}].when");
        let when = fields.parse::<Expression>(&path, FieldCode::BadExpression, &rule.when);
        let (name, message) = (rule.name.clone(), rule.message.clone());
        conditions.extend(when.map(|when| PlanRule { name, when, message }));
    }
    InfraRules {
        forbid: forbid.collect(),
        protect,
        max_changes: rules.max_changes,
        max_deletes: rules.max_deletes,
        max_monthly_cost: rules.max_monthly_cost,
        max_cost_increase: rules.max_cost_increase,
        rules: conditions,
        on_drift: rules.on_drift.as_ref().map(parse_on_drift),
    }
}

fn parse_on_drift(on_drift: &v1::OnDrift) -> OnDrift {
    match on_drift {
        v1::OnDrift::Ignore => OnDrift::Ignore,
        v1::OnDrift::Intersecting => OnDrift::Intersecting,
        v1::OnDrift::Any => OnDrift::Any,
    }
}

fn parse_approvals(rule: &v1::ApprovalRule) -> Approvals {
    let exclude = rule.exclude.iter().map(|excluded| match excluded {
        v1::Exclusion::Requester => Excluded::Requester,
        v1::Exclusion::CommitAuthor => Excluded::CommitAuthor,
        v1::Exclusion::PolicyAuthor => Excluded::PolicyAuthor,
    });
    Approvals { group: rule.group.clone(), count: rule.count, exclude: exclude.collect() }
}

fn parse_trigger(trigger: &v1::RollbackTrigger) -> RollbackOn {
    match trigger {
        v1::RollbackTrigger::PromotionFailed => RollbackOn::PromotionFailed,
        v1::RollbackTrigger::VerificationFailed => RollbackOn::VerificationFailed,
    }
}

fn parse_bypass(rule: &v1::BypassRule) -> Bypass {
    let gates: BTreeSet<GateKind> = rule.gates.iter().map(bypass_gate).collect();
    Bypass {
        name: rule.name.clone(),
        groups: rule.groups.iter().cloned().collect(),
        gates,
        expires: rule.expires,
    }
}

/// The domain's name of a gate that a bypass may skip.
pub fn bypass_gate(gate: &v1::BypassGate) -> GateKind {
    match gate {
        v1::BypassGate::Soak => GateKind::Soak,
        v1::BypassGate::Age => GateKind::Age,
        v1::BypassGate::Condition => GateKind::Condition,
        v1::BypassGate::Window => GateKind::Window,
        v1::BypassGate::Rate => GateKind::Rate,
        v1::BypassGate::Ticket => GateKind::Ticket,
        v1::BypassGate::Attestation => GateKind::Attestation,
        v1::BypassGate::Approvals => GateKind::Approvals,
        v1::BypassGate::Infra => GateKind::Infra,
        v1::BypassGate::Drift => GateKind::Drift,
        v1::BypassGate::Upstream => GateKind::Upstream,
    }
}

/// The wire's name of a gate that a bypass may skip; `None` for one that nobody may skip.
pub fn wire_bypass_gate(gate: GateKind) -> Option<v1::BypassGate> {
    match gate {
        GateKind::Soak => Some(v1::BypassGate::Soak),
        GateKind::Age => Some(v1::BypassGate::Age),
        GateKind::Condition => Some(v1::BypassGate::Condition),
        GateKind::Window => Some(v1::BypassGate::Window),
        GateKind::Rate => Some(v1::BypassGate::Rate),
        GateKind::Ticket => Some(v1::BypassGate::Ticket),
        GateKind::Attestation => Some(v1::BypassGate::Attestation),
        GateKind::Approvals => Some(v1::BypassGate::Approvals),
        GateKind::Infra => Some(v1::BypassGate::Infra),
        GateKind::Drift => Some(v1::BypassGate::Drift),
        GateKind::Upstream => Some(v1::BypassGate::Upstream),
        GateKind::Mode | GateKind::Hold | GateKind::Freeze => None,
    }
}

fn domain_mode(mode: v1::Mode) -> Mode {
    match mode {
        v1::Mode::Automatic => Mode::Automatic,
        v1::Mode::Gated => Mode::Gated,
        v1::Mode::Manual => Mode::Manual,
    }
}

/// Says a mode on the wire.
pub fn wire_mode(mode: Mode) -> v1::Mode {
    match mode {
        Mode::Automatic => v1::Mode::Automatic,
        Mode::Gated => v1::Mode::Gated,
        Mode::Manual => v1::Mode::Manual,
    }
}

/// Says a policy on the wire.
pub fn policy_spec(policy: &Policy) -> PolicySpec {
    PolicySpec {
        mode: wire_mode(policy.mode),
        stages: v1::StageSelector { names: policy.stages.clone() },
        soak: policy.soak.map(duration::print),
        soak_in: policy
            .soak_in
            .iter()
            .map(|(stage, soak)| (stage.to_string(), duration::print(*soak)))
            .collect(),
        settle: policy.settle.map(duration::print),
        max_age: policy.max_age.map(duration::print),
        max_wait: policy.max_wait.map(duration::print),
        max_undo_wait: policy.max_undo_wait.map(duration::print),
        conditions: policy.conditions.iter().map(wire_condition).collect(),
        windows: policy.windows.iter().map(window_rule).collect(),
        rates: policy.rates.iter().map(wire_rate).collect(),
        tickets: policy.tickets.iter().map(wire_ticket).collect(),
        attestations: policy.attestations.iter().map(wire_attestation).collect(),
        approvals: policy.approvals.iter().map(wire_approvals).collect(),
        infra: policy.infra.as_ref().map(wire_infra),
        rollback: (!policy.rollback.is_empty())
            .then(|| v1::RollbackRule { on: policy.rollback.iter().map(wire_trigger).collect() }),
        bypass: policy
            .bypass
            .iter()
            .map(|bypass| v1::BypassRule {
                name: bypass.name.clone(),
                groups: bypass.groups.iter().cloned().collect(),
                gates: bypass.gates.iter().filter_map(|gate| wire_bypass_gate(*gate)).collect(),
                expires: bypass.expires,
            })
            .collect(),
    }
}

fn wire_condition(condition: &Condition) -> v1::ConditionRule {
    v1::ConditionRule { name: condition.name.clone(), when: condition.when.source().to_owned() }
}

fn wire_rate(rate: &Rate) -> v1::RateRule {
    v1::RateRule {
        name: rate.name.clone(),
        max: rate.most.map(|most| most.count),
        per: rate.most.map(|most| duration::print(most.per)),
        cooldown: rate.cooldown.map(duration::print),
        concurrent: rate.concurrent,
        across: match rate.across {
            Across::Stage => v1::RateScope::Stage,
            Across::Policy => v1::RateScope::Policy,
        },
    }
}

fn wire_approvals(approvals: &Approvals) -> v1::ApprovalRule {
    let exclude = approvals.exclude.iter().map(|excluded| match excluded {
        Excluded::Requester => v1::Exclusion::Requester,
        Excluded::CommitAuthor => v1::Exclusion::CommitAuthor,
        Excluded::PolicyAuthor => v1::Exclusion::PolicyAuthor,
    });
    v1::ApprovalRule {
        group: approvals.group.clone(),
        count: approvals.count,
        exclude: exclude.collect(),
    }
}

fn wire_infra(rules: &InfraRules) -> v1::InfraRules {
    let forbid = rules.forbid.iter().map(|action| match action {
        ForbiddenAction::Create => v1::InfraAction::Create,
        ForbiddenAction::Update => v1::InfraAction::Update,
        ForbiddenAction::Replace => v1::InfraAction::Replace,
        ForbiddenAction::Delete => v1::InfraAction::Delete,
    });
    v1::InfraRules {
        forbid: forbid.collect(),
        protect: rules.protect.iter().map(ToString::to_string).collect(),
        max_changes: rules.max_changes,
        max_deletes: rules.max_deletes,
        max_monthly_cost: rules.max_monthly_cost,
        max_cost_increase: rules.max_cost_increase,
        rules: rules.rules.iter().map(wire_rule).collect(),
        on_drift: rules.on_drift.map(|on_drift| match on_drift {
            OnDrift::Ignore => v1::OnDrift::Ignore,
            OnDrift::Intersecting => v1::OnDrift::Intersecting,
            OnDrift::Any => v1::OnDrift::Any,
        }),
    }
}

fn wire_rule(rule: &PlanRule) -> v1::InfraRule {
    let PlanRule { name, when, message } = rule.clone();
    v1::InfraRule { name, when: when.to_string(), message }
}

fn wire_trigger(trigger: &RollbackOn) -> v1::RollbackTrigger {
    match trigger {
        RollbackOn::PromotionFailed => v1::RollbackTrigger::PromotionFailed,
        RollbackOn::VerificationFailed => v1::RollbackTrigger::VerificationFailed,
    }
}
