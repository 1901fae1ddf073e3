//! Promotion policies.

use std::fmt::Display;

use jiff::Timestamp;
use reconciler_api::v1::{
    ApprovalRule, AttestationRule, InfraRule, InfraRules, Policy, PolicySpec, RateRule, RateScope,
    TicketRule, WindowRule,
};

use super::age::age;
use super::objects::{conditions, definition, ready};
use super::{Show, joined, list};

impl Show for Policy {
    const HEADER: &'static [&'static str] = &["NAME", "READY", "MODE", "STAGES", "GATES", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec } = self;
        vec![
            meta.name.clone(),
            ready(meta),
            spec.mode.to_string(),
            joined(spec.stages.names.clone()),
            joined(gates(spec)),
            age(meta.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let spec = &self.spec;
        let bypass = spec.bypass.iter().map(|it| {
            let (groups, gates) = (it.groups.join(" or "), words(&it.gates));
            let until = it.expires.map(|end| format!(" until {end}")).unwrap_or_default();
            format!("{}: {groups} may skip {gates}{until}", it.name)
        });
        let infra: Vec<String> = spec.infra.iter().flat_map(infra).collect();
        let most = |what: &str, given: &Option<String>| {
            given.as_ref().map(|it| format!("{what} {it} at most")).unwrap_or_default()
        };
        vec![
            most("waits before it commits", &spec.max_wait),
            most("waits before it is undone", &spec.max_undo_wait),
            list("windows", &spec.windows.iter().map(window).collect::<Vec<_>>()),
            list("conditions", &conditions_asked(spec)),
            list("rates", &spec.rates.iter().map(rate).collect::<Vec<_>>()),
            list("tickets", &spec.tickets.iter().map(ticket).collect::<Vec<_>>()),
            list("attestations", &spec.attestations.iter().map(attestation).collect::<Vec<_>>()),
            list("infrastructure", &infra),
            list("bypass", &bypass.collect::<Vec<_>>()),
            definition(&self.meta, now),
            conditions(&self.meta),
        ]
    }
}

fn gates(spec: &PolicySpec) -> Vec<String> {
    let soak = spec.soak.iter().map(|it| format!("soak {it}"));
    let soak_in = spec.soak_in.iter().map(|(stage, it)| format!("soak {it} in {stage}"));
    let approvals = spec
        .approvals
        .iter()
        .map(|ApprovalRule { group, count, .. }| format!("{count} of {group}"));
    let max_age = spec.max_age.iter().map(|it| format!("at most {it} old"));
    let conditions = spec.conditions.iter().map(|it| format!("condition {}", it.name));
    let windows = spec.windows.iter().map(|it| format!("window {}", it.name));
    let rates = spec.rates.iter().map(|it| format!("rate {}", it.name));
    let tickets = spec.tickets.iter().map(|it| format!("ticket {}", it.name));
    let attestations = spec.attestations.iter().map(|it| format!("attestation {}", it.name));
    let infra = spec.infra.iter().map(|_| "infra".to_owned());
    soak.chain(soak_in)
        .chain(max_age)
        .chain(conditions)
        .chain(windows)
        .chain(rates)
        .chain(tickets)
        .chain(attestations)
        .chain(approvals)
        .chain(infra)
        .collect()
}

fn window(window: &WindowRule) -> String {
    let WindowRule { name, allow, deny, duration, timezone, start, actions, groups, exempt } =
        window;
    let (verb, rule) = match (allow, deny) {
        (Some(rule), _) => ("allows", rule.as_str()),
        (None, rule) => ("denies", rule.as_deref().unwrap_or_default()),
    };
    let mut text =
        format!("{name}: {verb} {} for {duration} from {rule} in {timezone}", words(actions));
    if let Some(start) = start {
        text = format!("{text}, from {start} on");
    }
    if !groups.is_empty() {
        text = format!("{text}, to {}", groups.join(" or "));
    }
    if !exempt.is_empty() {
        text = format!("{text}, not to {}", exempt.join(" or "));
    }
    text
}

fn conditions_asked(spec: &PolicySpec) -> Vec<String> {
    spec.conditions.iter().map(|it| format!("{}: {}", it.name, it.when)).collect()
}

fn rate(rate: &RateRule) -> String {
    let RateRule { name, max, per, cooldown, concurrent, across } = rate;
    let limits = [
        max.zip(per.as_ref()).map(|(max, per)| format!("at most {max} in {per}")),
        cooldown.as_ref().map(|it| format!("{it} after each other")),
        concurrent.map(|it| format!("at most {it} at once")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let across = match across {
        RateScope::Stage => "in each stage",
        RateScope::Policy => "in all its stages",
    };
    format!("{name}: {} {across}", limits.join(", "))
}

fn ticket(ticket: &TicketRule) -> String {
    let TicketRule { name, url, method, success, failure, every, .. } = ticket;
    let failure = failure.as_ref().map(|it| format!(", refused where {it}")).unwrap_or_default();
    format!("{name}: {method} {url} every {every}, approved where {success}{failure}")
}

fn attestation(attestation: &AttestationRule) -> String {
    let AttestationRule { name, artifact, kind, key, url, success, every, .. } = attestation;
    let place = match (artifact, url) {
        (Some(artifact), _) => {
            let kind = kind.as_deref().unwrap_or_default();
            let signed = if key.is_some() { ", signed" } else { "" };
            format!("{kind} of {artifact}{signed}")
        }
        (None, url) => url.clone().unwrap_or_default(),
    };
    format!("{name}: {place}, every {every}: {success}")
}

fn infra(rules: &InfraRules) -> Vec<String> {
    let InfraRules {
        forbid,
        protect,
        max_changes,
        max_deletes,
        max_monthly_cost,
        max_cost_increase,
        rules,
        on_drift,
    } = rules;
    let monthly = max_monthly_cost.map(|it| format!("costs at most {it} a month"));
    let increase = max_cost_increase.map(|it| format!("costs at most {it} a month more"));
    let forbid = (!forbid.is_empty()).then(|| format!("never {}", words(forbid)));
    let protect = (!protect.is_empty()).then(|| format!("keeps {}", protect.join(", ")));
    let max_changes = max_changes.map(|it| format!("changes at most {it} resources"));
    let max_deletes = max_deletes.map(|it| format!("deletes at most {it} resources"));
    let rules = rules.iter().map(|InfraRule { name, when, message }| {
        let why = message.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{name}: {when}{why}")
    });
    let on_drift = on_drift.map(|it| format!("drift: {it}"));
    let limits = [forbid, protect, max_changes, max_deletes, monthly, increase, on_drift];
    let limits = limits.into_iter().flatten();
    limits.chain(rules).collect()
}

fn words(items: &[impl Display]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    words.join(", ")
}
