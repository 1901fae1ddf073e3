//! The world as it is and as it would be, side by side.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Change, Changes, Effect, EffectKind};
use crate::availability::Availability;
use crate::check::reachable;
use crate::duration;
use crate::freeze;
use crate::gate::Gate;
use crate::hold;
use crate::id::{FreightId, PromotionId, StageName};
use crate::plan::{Candidate, StageAct, candidates, promotion_gates, stage_at_rest, waits_until};
use crate::policy::{GateKind, Joined, Mode, Policy};
use crate::snapshot::{Definitions, PromotionSnapshot, RunningPromotion, StageSnapshot};
use crate::stage::Stage;

/// What could be promoted to a stage and could not any more, and the other way round.
pub(super) fn stages(
    before: &StageSnapshot,
    after: &StageSnapshot,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let name = &after.stage.spec.name;
    let (old_joined, new_joined) =
        (Joined::of(&before.policies, name), Joined::of(&after.policies, name));
    let old: BTreeMap<FreightId, Candidate> = candidates(before, &old_joined, now)
        .into_iter()
        .map(|candidate| (candidate.freight.clone(), candidate))
        .collect();
    // What is in the stage, on its way or behind it comes no closer and goes no further away.
    let open = candidates(after, &new_joined, now).into_iter().filter(|c| c.passed_over.is_none());
    let promotable =
        |c: &Candidate| c.availability.is_available() && c.held.is_empty() && c.frozen.is_empty();
    for candidate in open {
        let was = old.get(&candidate.freight).is_some_and(promotable);
        let is = promotable(&candidate);
        let kind = match (was, is) {
            (false, true) => EffectKind::BecomesPromotable,
            (true, false) => EffectKind::BecomesBlocked,
            (true, true) | (false, false) => continue,
        };
        effects.push(Effect {
            stage: name.clone(),
            freight: Some(candidate.freight.clone()),
            promotion: None,
            kind,
            reason: match (candidate.held.first(), candidate.frozen.first()) {
                (Some(hold), _) => hold::describe(hold),
                (None, Some(freeze)) => freeze::describe(freeze, now),
                (None, None) => availability_reason(&candidate.availability, &new_joined),
            },
            until: blocked_until(&candidate, now),
        });
    }
    automation(Some(before), after, now, effects);
}

/// When time alone ends what is told of the candidate.
fn blocked_until(candidate: &Candidate, now: Timestamp) -> Option<Timestamp> {
    match (candidate.held.first(), candidate.frozen.first(), &candidate.availability) {
        (Some(hold), _, _) => hold.spec.expires,
        (None, Some(freeze), _) => freeze.spec.ends_after(now).earliest(),
        (None, None, Availability::NotSoaked { until, .. }) => *until,
        (
            None,
            None,
            Availability::Available { .. }
            | Availability::NotRequested
            | Availability::NotVerified { .. },
        ) => None,
    }
}

fn availability_reason(availability: &Availability, joined: &Joined<'_>) -> String {
    match availability {
        Availability::Available { because, .. } => because.describe().to_owned(),
        Availability::NotRequested => "the stage no longer requests its warehouse".to_owned(),
        Availability::NotVerified { missing } => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            format!("not verified upstream in {}", names.join(", "))
        }
        Availability::NotSoaked { .. } => {
            format!("has to soak for {} upstream", joined.soak.print(&[]))
        }
    }
}

/// What automation would start that it does not start now. The changes themselves make automation
/// wait for the settle time, so both sides are looked at as if that were over.
pub(super) fn automation(
    before: Option<&StageSnapshot>,
    after: &StageSnapshot,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let old = before.map(|before| stage_at_rest(before, now).acts).unwrap_or_default();
    let name = &after.stage.spec.name;
    for act in stage_at_rest(after, now).acts {
        if old.contains(&act) {
            continue;
        }
        let StageAct::Promote { freight, along, supersedes } = act else { continue };
        let joined = Joined::of(&after.policies, name);
        let gated = match joined.mode {
            Mode::Automatic => "at once",
            Mode::Gated | Mode::Manual => "once every gate passes",
        };
        let settle = duration::print(joined.settle);
        let unit = match along.len() {
            0 => String::new(),
            others => format!(" of {} freight as one unit", others + 1),
        };
        let reason = format!(
            "automation would start a promotion{unit} {settle} after the change; it commits {gated}"
        );
        let brought: Vec<FreightId> = std::iter::once(freight).chain(along.into_values()).collect();
        effects.extend(brought.iter().map(|freight| Effect {
            stage: name.clone(),
            freight: Some(freight.clone()),
            promotion: None,
            kind: EffectKind::WouldPromote,
            reason: reason.clone(),
            until: None,
        }));
        effects.extend(supersedes.into_iter().map(|promotion| Effect {
            stage: name.clone(),
            freight: None,
            reason: in_whose_place(after, &promotion, &brought).to_owned(),
            promotion: Some(promotion),
            kind: EffectKind::Supersedes,
            until: None,
        }));
    }
}

/// Why a promotion would be superseded by one that brings this.
fn in_whose_place(
    stage: &StageSnapshot,
    superseded: &PromotionId,
    brought: &[FreightId],
) -> &'static str {
    let running = stage.running.iter().find(|running| running.promotion.id == *superseded);
    let goes_on = |running: &RunningPromotion| {
        running.promotion.promoted().all(|(_, freight)| brought.contains(freight))
    };
    match running.is_some_and(goes_on) {
        true => "what it brings would go on as one unit with freight of other warehouses",
        false => "newer freight would take its place",
    }
}

/// How the gates of a waiting promotion would change.
pub(super) fn gates(
    waiting: &PromotionSnapshot,
    changed: &PromotionSnapshot,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let Some(stage) = &waiting.stage else { return };
    let before = gates_of(waiting, &stage.spec, now);
    let after = gates_of(changed, &stage.spec, now);
    let effect = |kind, reason: String, until| Effect {
        stage: stage.spec.name.clone(),
        freight: Some(waiting.promotion.freight.clone()),
        promotion: Some(waiting.promotion.id.clone()),
        kind,
        reason,
        until,
    };
    let kinds: BTreeSet<GateKind> = before.iter().chain(&after).map(|gate| gate.kind).collect();
    for kind in kinds {
        if !passes(&before, kind) && passes(&after, kind) {
            let reason = format!("gate {} would pass", kind.name());
            effects.push(effect(EffectKind::GatePasses, reason, None));
        }
    }
    let given = !waiting.state.approvals.is_empty();
    let blocks = |gate: &&Gate| !gate.lets_pass();
    let said: BTreeSet<&str> = before.iter().filter(blocks).map(|g| g.message.as_str()).collect();
    for gate in after.iter().filter(blocks).filter(|gate| !said.contains(gate.message.as_str())) {
        let kind = if gate.kind == GateKind::Approvals && given {
            EffectKind::NeedsApprovalAgain
        } else {
            EffectKind::GateBlocks
        };
        effects.push(effect(kind, gate.message.clone(), gate.until));
    }
    let all = |gates: &[Gate]| gates.iter().all(Gate::lets_pass);
    if !all(&before) && all(&after) {
        let reason = format!("promotion {} would commit: every gate passes", waiting.promotion.id);
        effects.push(effect(EffectKind::WouldPromote, reason, None));
    }
    let over = |snapshot: &PromotionSnapshot| waits_until(snapshot).filter(|until| *until <= now);
    if let (None, Some(until), false) = (over(waiting), over(changed), all(&after)) {
        let id = &waiting.promotion.id;
        let reason = format!("promotion {id} would expire: it may wait until {until} only");
        effects.push(effect(EffectKind::Expires, reason, None));
    }
}

fn passes(gates: &[Gate], kind: GateKind) -> bool {
    gates.iter().filter(|gate| gate.kind == kind).all(Gate::lets_pass)
}

fn gates_of(waiting: &PromotionSnapshot, stage: &Stage, now: Timestamp) -> Vec<Gate> {
    let specs: Vec<Policy> = waiting.policies.iter().map(|policy| policy.spec.clone()).collect();
    promotion_gates(waiting, stage, &Joined::of(&specs, &stage.name), now)
}

/// Stages that freight can reach now and could not reach any more.
pub(super) fn lost_stages(
    before: &Definitions,
    after: &Definitions,
    changes: &Changes,
) -> Vec<Effect> {
    let changed: Vec<&StageName> = changes.all.iter().filter_map(changed_stage).collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = changed.iter().map(|name| name.as_str()).collect();
    let (stages, are) = match names.as_slice() {
        [one] => (format!("stage {one}"), "is"),
        several => (format!("stages {}", several.join(", ")), "are"),
    };
    let still = specs(after);
    let still = reachable(&still);
    let lost = |stage: &&StageName| {
        let alone = changed.as_slice() == [*stage];
        after.stages.contains_key(*stage) && !alone && !still.contains(*stage)
    };
    let lost: Vec<&StageName> = reachable(&specs(before)).into_iter().filter(lost).collect();
    let effect = |stage: &StageName| Effect {
        stage: stage.clone(),
        freight: None,
        promotion: None,
        kind: EffectKind::Unreachable,
        reason: format!("no freight could reach it once {stages} {are} changed"),
        until: None,
    };
    lost.into_iter().map(effect).collect()
}

fn specs(definitions: &Definitions) -> BTreeMap<&StageName, &Stage> {
    definitions.stages.iter().map(|(name, stage)| (name, &stage.spec)).collect()
}

fn changed_stage(change: &Change) -> Option<&StageName> {
    match change {
        Change::Stage(name, _) => Some(name),
        Change::Policy(..)
        | Change::Warehouse(..)
        | Change::Verification(..)
        | Change::Task(..)
        | Change::Hold(..)
        | Change::Freeze(..) => None,
    }
}

/// A promotion that waits at gates is prepared anew for an edited stage. Whether it then does the
/// same is not known before, so approvals that were given may not be enough.
pub(super) fn prepared_anew(waiting: &PromotionSnapshot) -> Option<Effect> {
    let change_set = waiting.state.change_set.as_ref()?;
    let given = waiting.state.approvals.iter().any(|a| a.digest == change_set.digest);
    given.then(|| Effect {
        stage: waiting.promotion.stage.clone(),
        freight: Some(waiting.promotion.freight.clone()),
        promotion: Some(waiting.promotion.id.clone()),
        kind: EffectKind::NeedsApprovalAgain,
        reason: "it is prepared anew; where it would then do something else, approvals are asked \
                 again"
            .to_owned(),
        until: None,
    })
}
