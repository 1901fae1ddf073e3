//! Warnings: what the author of a change should know, at the field that causes it.

mod constant;
mod freeze;
mod groups;
mod overlap;
mod quorum;
mod starvation;

use std::collections::BTreeSet;

use jiff::Timestamp;

use self::overlap::Footprints;
use super::{Change, Changes, Effect, EffectKind, People, Warning};
use crate::duration;
use crate::hold::{Hold, Target};
use crate::id::{PolicyName, StageName};
use crate::infra::InfraRules;
use crate::policy::Policy;
use crate::snapshot::{Definitions, StageSnapshot};
use crate::window::{Action, NextChange, Schedule};

/// Openings and closings that are looked at for freight that grows too old: two weeks of days.
const STRETCHES: u32 = 28;

/// Stages that a warning names.
const NAMED_MAX: usize = 5;

/// Everything that the authors of the changes should know, by change.
pub(super) fn all(
    before: &Definitions,
    after: &Definitions,
    changes: &Changes,
    effects: &[Effect],
    stages: &[(Option<&StageSnapshot>, StageSnapshot)],
    people: Option<&People>,
    now: Timestamp,
) -> Vec<Warning> {
    let mut warnings = starvation::of_stages(stages, changes, now);
    let (old_prints, new_prints) = (Footprints::of(before), Footprints::of(after));
    for (at, change) in changes.all.iter().enumerate() {
        let found = match change {
            Change::Policy(name, new) => {
                let mut found = given_up(before, name, new.as_ref());
                found.extend(of_windows(new.as_ref(), now));
                found.extend(new.iter().flat_map(constant::of_policy));
                found.extend(new.as_ref().and_then(groups::unbound));
                for (new, people) in new.iter().zip(people) {
                    found.extend(quorum::of_policy(new, people));
                    found.extend(groups::of_policy(new, people));
                }
                found
            }
            Change::Stage(_, Some(new)) => {
                overlap::of_stage(&old_prints, &new_prints, new).into_iter().collect()
            }
            Change::Verification(_, Some(new)) => constant::of_verification(new),
            Change::Hold(_, Some(new)) => idle(after, new).into_iter().collect(),
            Change::Freeze(_, _, Some(new)) => {
                let project = stages.first().map(|(_, stage)| &stage.project);
                let mut found = freeze::of_freeze(after, project, new, now);
                found.extend(people.into_iter().flat_map(|it| groups::of_freeze(new, it)));
                found
            }
            Change::Hold(_, None)
            | Change::Freeze(_, _, None)
            | Change::Stage(_, None)
            | Change::Warehouse(..)
            | Change::Verification(_, None)
            | Change::Task(..) => Vec::new(),
        };
        warnings.extend(found.into_iter().map(|warning| Warning { change: at, ..warning }));
    }
    warnings.extend(of_effects(effects, changes, before));
    warnings.sort_by_key(|warning| warning.change);
    warnings
}

/// What a change of a policy gives up, whatever freight there is.
fn given_up(definitions: &Definitions, name: &PolicyName, new: Option<&Policy>) -> Vec<Warning> {
    let old = definitions.policies.iter().find(|policy| policy.spec.name == *name);
    let Some(old) = old.map(|old| &old.spec) else { return Vec::new() };
    let mut warnings = Vec::new();
    let mut dropped = |path: &str, what: String| {
        warnings.push(Warning {
            change: 0,
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
    for (stage, soak) in &old.soak_in {
        let kept =
            new.is_some_and(|new| new.soak_in.contains_key(stage) || new.soak >= Some(*soak));
        if !kept {
            dropped("soak_in", format!("a soak of {} in {stage}", duration::print(*soak)));
        }
    }
    if let Some(max_age) = old.max_age
        && new.and_then(|new| new.max_age).is_none()
    {
        dropped("max_age", format!("a maximum age of {}", duration::print(max_age)));
    }
    for window in &old.windows {
        let kept = new.is_some_and(|new| new.windows.iter().any(|w| w.name() == window.name()));
        if !kept {
            dropped("windows", format!("window {}", window.name()));
        }
    }
    for condition in &old.conditions {
        let kept = new.is_some_and(|new| new.conditions.iter().any(|c| c.name == condition.name));
        if !kept {
            dropped("conditions", format!("condition {}", condition.name));
        }
    }
    for rate in &old.rates {
        let kept = new.is_some_and(|new| new.rates.iter().any(|r| r.name == rate.name));
        if !kept {
            dropped("rates", format!("rate {}", rate.name));
        }
    }
    for ticket in &old.tickets {
        let kept = new.is_some_and(|new| new.tickets.iter().any(|it| it.name == ticket.name));
        if !kept {
            dropped("tickets", format!("ticket {}", ticket.name));
        }
    }
    for attestation in &old.attestations {
        let mut kept = new.iter().flat_map(|new| &new.attestations);
        if !kept.any(|it| it.name == attestation.name) {
            dropped("attestations", format!("attestation {}", attestation.name));
        }
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
    let rules = |policy: &Policy| {
        policy.infra.iter().flat_map(|infra| &infra.rules).map(|rule| rule.name.clone()).collect()
    };
    let kept: BTreeSet<String> = new.map(rules).unwrap_or_default();
    let old_rules: BTreeSet<String> = rules(old);
    for rule in old_rules.difference(&kept) {
        dropped("infra.rules", format!("infra rule {rule}"));
    }
    if !old.rollback.is_empty() && new.is_none_or(|new| new.rollback.is_empty()) {
        warnings.push(Warning {
            change: 0,
            path: "rollback".to_owned(),
            summary: "Failed promotions stay".to_owned(),
            detail: format!("Policy {name} would no longer undo promotions that fail."),
        });
    }
    warnings.extend(new.and_then(|new| let_go(definitions, old, new)));
    warnings
}

/// A hold on what no warehouse looks for stops nothing.
fn idle(definitions: &Definitions, hold: &Hold) -> Option<Warning> {
    let Target::Artifacts(artifacts) = &hold.target else { return None };
    let name = artifacts.subscription.as_ref()?;
    let mut warehouses = definitions.warehouses.values();
    let found = warehouses.any(|warehouse| warehouse.spec.subscriptions.contains_key(name));
    (!found).then(|| Warning {
        change: 0,
        path: "artifacts.subscription".to_owned(),
        summary: "This hold stops nothing yet".to_owned(),
        detail: format!("No warehouse of the project has a subscription {name}."),
    })
}

/// What the windows of a policy will do from now on, whatever freight there is.
fn of_windows(new: Option<&Policy>, now: Timestamp) -> Vec<Warning> {
    let Some(new) = new.filter(|new| !new.windows.is_empty()) else { return Vec::new() };
    let mut warnings = Vec::new();
    for action in [Action::Promote, Action::Rollback, Action::Bypass] {
        let schedule = Schedule::of([new.windows.as_slice()], action, &BTreeSet::new());
        let until = match schedule.next_opening(now) {
            NextChange::At(_) => continue,
            NextChange::NotBefore(until) => format!("before {until}"),
            NextChange::Never => "again".to_owned(),
        };
        warnings.push(Warning {
            change: 0,
            path: "windows".to_owned(),
            summary: "Windows do not open".to_owned(),
            detail: format!(
                "The windows of policy {} do not open {until} for {}.",
                new.name,
                action.name()
            ),
        });
    }
    let trapped = closed_at(new, Action::Rollback, now);
    warnings.extend(trapped.map(|trapped| Warning {
        change: 0,
        path: "windows".to_owned(),
        summary: "Undo waits for a window".to_owned(),
        detail: format!(
            "A promotion that fails now would not be undone before {trapped}: a window of policy \
             {} is about rollback.",
            new.name
        ),
    }));
    warnings.extend(too_old_before_open(new, now));
    warnings
}

fn closed_at(policy: &Policy, action: Action, now: Timestamp) -> Option<Timestamp> {
    let schedule = Schedule::of([policy.windows.as_slice()], action, &BTreeSet::new());
    if schedule.open_at(now) { None } else { schedule.next_opening(now).earliest() }
}

/// Freight that is made at the wrong time is too old when the windows open.
fn too_old_before_open(policy: &Policy, now: Timestamp) -> Option<Warning> {
    let max_age = policy.max_age?;
    let soak = policy.least_soak().unwrap_or_default();
    let schedule = Schedule::of([policy.windows.as_slice()], Action::Promote, &BTreeSet::new());
    let mut at = now;
    for _ in 0..STRETCHES {
        let NextChange::At(changes) = schedule.next_change(at) else { return None };
        if schedule.open_at(at) {
            at = changes;
            continue;
        }
        let made = at.checked_sub(soak).ok()?;
        if made.checked_add(max_age).is_ok_and(|end| end <= changes) {
            return Some(Warning {
                change: 0,
                path: "max_age".to_owned(),
                summary: "Freight can be too old when a window opens".to_owned(),
                detail: format!(
                    "Freight that is made at {made} may be promoted from {at} on, but the windows \
                     of policy {} do not open before {changes}, and it is then older than {}.",
                    policy.name,
                    duration::print(max_age),
                ),
            });
        }
        at = changes;
    }
    None
}

/// Stages that the policy guards and would not guard any more.
fn let_go(definitions: &Definitions, old: &Policy, new: &Policy) -> Option<Warning> {
    let lost = definitions.stages.keys().filter(|stage| old.selects(stage) && !new.selects(stage));
    let names: Vec<&str> = lost.map(StageName::as_str).collect();
    let guards = old.has_gates() || !old.rollback.is_empty();
    (guards && !names.is_empty()).then(|| Warning {
        change: 0,
        path: "stages".to_owned(),
        summary: "A stage is let go".to_owned(),
        detail: format!("Policy {} would no longer hold for {}.", old.name, names.join(", ")),
    })
}

/// Warnings for what would happen by itself, at the field that causes it.
fn of_effects(effects: &[Effect], changes: &Changes, definitions: &Definitions) -> Vec<Warning> {
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
                EffectKind::Expires => "This change ends a promotion",
                EffectKind::BecomesPromotable
                | EffectKind::BecomesBlocked
                | EffectKind::GatePasses
                | EffectKind::GateBlocks
                | EffectKind::NeedsApprovalAgain => return None,
            };
            let change = changed_by(effect, changes, definitions);
            Some(Warning {
                change,
                path: cause(changes.all.get(change)?, definitions),
                summary: summary.to_owned(),
                detail: format!("{subject}: {}.", effect.reason),
            })
        })
        .collect()
}

/// The change that most likely causes an effect.
fn changed_by(effect: &Effect, changes: &Changes, definitions: &Definitions) -> usize {
    let of_stage =
        |change: &Change| matches!(change, Change::Stage(name, _) if *name == effect.stage);
    let of_policy = |change: &Change| match change {
        Change::Policy(name, new) => {
            let old = definitions.policies.iter().find(|policy| policy.spec.name == *name);
            old.map(|old| &old.spec).into_iter().chain(new).any(|p| p.selects(&effect.stage))
        }
        Change::Stage(..)
        | Change::Warehouse(..)
        | Change::Verification(..)
        | Change::Task(..)
        | Change::Hold(..)
        | Change::Freeze(..) => false,
    };
    let of_hold = |change: &Change| matches!(change, Change::Hold(..) | Change::Freeze(..));
    let of_stages = |change: &Change| matches!(change, Change::Stage(..));
    let first = |of: &dyn Fn(&Change) -> bool| changes.all.iter().position(of);
    let cuts_off = effect.kind == EffectKind::Unreachable;
    let found = if cuts_off { first(&of_stages) } else { first(&of_stage) };
    found
        .or_else(|| first(&of_policy))
        .or_else(|| first(&of_hold))
        .or_else(|| first(&of_stages))
        .unwrap_or(0)
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
                Some(old) if old.soak_in != new.soak_in => "soak_in",
                Some(old) if old.max_age != new.max_age => "max_age",
                Some(old) if old.conditions != new.conditions => "conditions",
                Some(old) if old.windows != new.windows => "windows",
                Some(old) if old.rates != new.rates => "rates",
                Some(old) if old.tickets != new.tickets => "tickets",
                Some(old) if old.attestations != new.attestations => "attestations",
                Some(old) if old.approvals != new.approvals => "approvals",
                Some(old) if old.infra != new.infra => "infra",
                Some(old) if old.max_wait != new.max_wait => "max_wait",
                Some(old) if old.stages != new.stages => "stages",
                Some(_) => "",
            }
        }
        Change::Stage(_, Some(_)) => "requests",
        Change::Policy(_, None)
        | Change::Stage(_, None)
        | Change::Warehouse(..)
        | Change::Verification(..)
        | Change::Task(..)
        | Change::Hold(..)
        | Change::Freeze(..) => "",
    };
    field.to_owned()
}

fn named(stages: &[&StageName]) -> String {
    let shown: Vec<&str> = stages.iter().take(NAMED_MAX).map(|stage| stage.as_str()).collect();
    let more = stages.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}
