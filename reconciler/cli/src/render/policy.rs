//! Promotion policies.

use std::fmt::Display;

use jiff::Timestamp;
use reconciler_api::v1::{ApprovalRule, InfraRules, Policy, PolicySpec};

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
            format!("{}: {groups} may skip {gates}", it.name)
        });
        let infra: Vec<String> = spec.infra.iter().flat_map(infra).collect();
        vec![
            list("infrastructure", &infra),
            list("bypass", &bypass.collect::<Vec<_>>()),
            definition(&self.meta, now),
            conditions(&self.meta),
        ]
    }
}

fn gates(spec: &PolicySpec) -> Vec<String> {
    let soak = spec.soak.iter().map(|it| format!("soak {it}"));
    let approvals = spec
        .approvals
        .iter()
        .map(|ApprovalRule { group, count, .. }| format!("{count} of {group}"));
    let infra = spec.infra.iter().map(|_| "infra".to_owned());
    soak.chain(approvals).chain(infra).collect()
}

fn infra(rules: &InfraRules) -> Vec<String> {
    let InfraRules { forbid, protect, max_changes } = rules;
    let forbid = (!forbid.is_empty()).then(|| format!("never {}", words(forbid)));
    let protect = (!protect.is_empty()).then(|| format!("keeps {}", protect.join(", ")));
    let max_changes = max_changes.map(|it| format!("changes at most {it} resources"));
    [forbid, protect, max_changes].into_iter().flatten().collect()
}

fn words(items: &[impl Display]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    words.join(", ")
}
