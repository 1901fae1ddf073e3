//! Warnings: what the author of a change should know, at the field that causes it.

use super::{Change, Effect, EffectKind, Warning};
use crate::duration;
use crate::hold::{Hold, Target};
use crate::id::{PolicyName, StageName};
use crate::infra::InfraRules;
use crate::policy::Policy;
use crate::snapshot::Definitions;

/// What a change of a policy gives up, whatever freight there is.
pub(super) fn given_up(
    definitions: &Definitions,
    name: &PolicyName,
    new: Option<&Policy>,
) -> Vec<Warning> {
    let old = definitions.policies.iter().find(|policy| policy.spec.name == *name);
    let Some(old) = old.map(|old| &old.spec) else { return Vec::new() };
    let mut warnings = Vec::new();
    let mut dropped = |path: &str, what: String| {
        warnings.push(Warning {
            path: path.to_owned(),
            summary: "A gate is dropped".to_owned(),
            detail: format!("Policy {name} would no longer ask for {what}."),
        });
    };
    if let Some(soak) = old.soak
        && new.and_then(|new| new.soak).is_none()
    {
        dropped("soak", format!("a soak of {}", duration::print(soak)));
    }
    for asked in &old.approvals {
        let kept = new.is_some_and(|new| new.approvals.iter().any(|a| a.group == asked.group));
        if !kept {
            dropped("approvals", format!("approval by group {}", asked.group));
        }
    }
    if old.infra.as_ref().is_some_and(|rules| !rules.is_empty())
        && new.is_none_or(|new| new.infra.as_ref().is_none_or(InfraRules::is_empty))
    {
        dropped("infra", "its infra rules".to_owned());
    }
    if !old.rollback.is_empty() && new.is_none_or(|new| new.rollback.is_empty()) {
        warnings.push(Warning {
            path: "rollback".to_owned(),
            summary: "Failed promotions stay".to_owned(),
            detail: format!("Policy {name} would no longer undo promotions that fail."),
        });
    }
    warnings.extend(new.and_then(|new| let_go(definitions, old, new)));
    warnings
}

/// A hold on what no warehouse looks for stops nothing.
pub(super) fn idle(definitions: &Definitions, hold: &Hold) -> Option<Warning> {
    let Target::Artifacts(artifacts) = &hold.target else { return None };
    let name = artifacts.subscription.as_ref()?;
    let mut warehouses = definitions.warehouses.values();
    let found = warehouses.any(|warehouse| warehouse.spec.subscriptions.contains_key(name));
    (!found).then(|| Warning {
        path: "artifacts.subscription".to_owned(),
        summary: "This hold stops nothing yet".to_owned(),
        detail: format!("No warehouse of the project has a subscription {name}."),
    })
}

/// Stages that the policy guards and would not guard any more.
fn let_go(definitions: &Definitions, old: &Policy, new: &Policy) -> Option<Warning> {
    let lost = definitions.stages.keys().filter(|stage| old.selects(stage) && !new.selects(stage));
    let names: Vec<&str> = lost.map(StageName::as_str).collect();
    let guards = old.has_gates() || !old.rollback.is_empty();
    (guards && !names.is_empty()).then(|| Warning {
        path: "stages".to_owned(),
        summary: "A stage is let go".to_owned(),
        detail: format!("Policy {} would no longer hold for {}.", old.name, names.join(", ")),
    })
}

/// Warnings for what would happen by itself, at the field that causes it.
pub(super) fn of_effects(
    effects: &[Effect],
    change: &Change,
    definitions: &Definitions,
) -> Vec<Warning> {
    let path = cause(change, definitions);
    effects
        .iter()
        .filter_map(|effect| {
            let subject = match (&effect.promotion, &effect.freight) {
                (Some(promotion), _) => format!("Promotion {promotion} to stage {}", effect.stage),
                (None, Some(freight)) => {
                    format!("Freight {} to stage {}", freight.short(), effect.stage)
                }
                (None, None) => format!("Stage {}", effect.stage),
            };
            let summary = match effect.kind {
                EffectKind::WouldPromote => "This change promotes freight",
                EffectKind::Supersedes => "This change supersedes a promotion",
                EffectKind::Unreachable => "This change cuts off a stage",
                EffectKind::BecomesPromotable
                | EffectKind::BecomesBlocked
                | EffectKind::GatePasses
                | EffectKind::GateBlocks
                | EffectKind::NeedsApprovalAgain => return None,
            };
            Some(Warning {
                path: path.clone(),
                summary: summary.to_owned(),
                detail: format!("{subject}: {}.", effect.reason),
            })
        })
        .collect()
}

/// The field of the changed definition that most likely causes its effects.
fn cause(change: &Change, definitions: &Definitions) -> String {
    let field = match change {
        Change::Policy(name, Some(new)) => {
            let old = definitions.policies.iter().find(|policy| policy.spec.name == *name);
            match old.map(|old| &old.spec) {
                None => "mode",
                Some(old) if old.mode != new.mode => "mode",
                Some(old) if old.soak != new.soak => "soak",
                Some(old) if old.approvals != new.approvals => "approvals",
                Some(old) if old.infra != new.infra => "infra",
                Some(old) if old.stages != new.stages => "stages",
                Some(_) => "",
            }
        }
        Change::Stage(_, Some(_)) => "requests",
        Change::Policy(_, None) | Change::Stage(_, None) | Change::Hold(..) => "",
    };
    field.to_owned()
}
