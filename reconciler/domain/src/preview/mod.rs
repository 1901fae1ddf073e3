//! Preview: what a change of one definition would do to live freight. It runs the same functions
//! as the reconciler, once with the definitions as they are and once as they would be, and tells the
//! difference. Instants are absolute, so that the answer stays true while it is read.

mod warning;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::availability::Availability;
use crate::check::reachable;
use crate::duration;
use crate::gate::{Facts, Gate, gates};
use crate::id::{FreightId, PolicyName, PromotionId, StageName};
use crate::plan::{Candidate, StageAct, candidates, stage};
use crate::policy::{GateKind, Joined, Mode, Policy};
use crate::snapshot::{Defined, Definitions, PromotionSnapshot, StageSnapshot};
use crate::stage::Stage;

/// A definition as it would be.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A policy; absent: removed.
    Policy(PolicyName, Option<Policy>),
    /// A stage; absent: removed.
    Stage(StageName, Option<Stage>),
}

/// The live world, as far as the change may reach.
#[derive(Debug, Clone)]
pub struct World {
    /// Every definition.
    pub definitions: Definitions,
    /// The stages that the change may reach, with the freight of the warehouses that they request
    /// before or after it.
    pub stages: Vec<StageSnapshot>,
    /// Their promotions that wait at gates.
    pub waiting: Vec<PromotionSnapshot>,
}

/// What a change would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// What would happen, sorted.
    pub effects: Vec<Effect>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
}

/// One thing that would happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// The stage.
    pub stage: StageName,
    /// The freight, if one.
    pub freight: Option<FreightId>,
    /// The promotion, if one.
    pub promotion: Option<PromotionId>,
    /// What.
    pub kind: EffectKind,
    /// Why, in one sentence.
    pub reason: String,
    /// When it ends or begins by time alone, if it does.
    pub until: Option<Timestamp>,
}

/// A kind of effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectKind {
    /// A promotion would start, or commit, by itself.
    WouldPromote,
    /// Freight that could not be promoted could be.
    BecomesPromotable,
    /// Freight that could be promoted could not be.
    BecomesBlocked,
    /// A gate that did not pass would.
    GatePasses,
    /// A gate that passed would not.
    GateBlocks,
    /// A waiting promotion would be superseded.
    Supersedes,
    /// No freight could ever reach the stage.
    Unreachable,
    /// Approvals that were given would not be enough any more.
    NeedsApprovalAgain,
}

/// Something that the author of a change should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The field that causes it.
    pub path: String,
    /// What, in a few words.
    pub summary: String,
    /// What and why.
    pub detail: String,
}

/// Tells what the change would do to the world at this instant.
#[must_use]
pub fn preview(world: &World, change: &Change, now: Timestamp) -> Preview {
    let mut preview = Preview::default();
    for before in &world.stages {
        let Some(after) = changed(before, change) else { continue };
        compare_stage(before, &after, now, &mut preview.effects);
    }
    if let Change::Policy(name, new) = change {
        for waiting in &world.waiting {
            compare_gates(waiting, name, new.as_ref(), now, &mut preview.effects);
        }
        preview.warnings.extend(warning::given_up(&world.definitions, name, new.as_ref()));
    }
    if let Change::Stage(name, new) = change {
        lost_stages(&world.definitions, name, new.as_ref(), &mut preview.effects);
        let old = world.definitions.stages.get(name).map(|old| &old.spec);
        if let Some(new) = new
            && old != Some(new)
        {
            prepared_anew(&world.waiting, name, &mut preview.effects);
        }
    }
    preview.effects.sort();
    preview.effects.dedup();
    preview.warnings.extend(warning::of_effects(&preview.effects, change, &world.definitions));
    preview
}

/// The snapshot as it would be; absent: the change does not concern the stage.
fn changed(before: &StageSnapshot, change: &Change) -> Option<StageSnapshot> {
    let mut after = before.clone();
    match change {
        Change::Policy(name, new) => {
            let selected = |policy: &Policy| policy.selects(&before.stage.spec.name);
            let was = before.policies.iter().any(|p| p.name == *name && selected(p));
            if !was && !new.as_ref().is_some_and(selected) {
                return None;
            }
            after.policies.retain(|policy| policy.name != *name);
            after.policies.extend(new.clone());
        }
        Change::Stage(name, new) => {
            if before.stage.spec.name != *name {
                return None;
            }
            after.stage.spec = new.clone()?;
        }
    }
    Some(after)
}

fn compare_stage(
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
    for candidate in open {
        let was = old.get(&candidate.freight).is_some_and(|c| c.availability.is_available());
        let is = candidate.availability.is_available();
        let kind = match (was, is) {
            (false, true) => EffectKind::BecomesPromotable,
            (true, false) => EffectKind::BecomesBlocked,
            (true, true) | (false, false) => continue,
        };
        effects.push(Effect {
            stage: name.clone(),
            freight: Some(candidate.freight),
            promotion: None,
            kind,
            reason: availability_reason(&candidate.availability, &new_joined),
            until: match candidate.availability {
                Availability::NotSoaked { until, .. } => until,
                Availability::Available { .. }
                | Availability::NotRequested
                | Availability::NotVerified { .. } => None,
            },
        });
    }
    compare_automation(before, after, &new_joined, now, effects);
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
            format!("has to soak for {} upstream", duration::print(joined.soak))
        }
    }
}

/// What automation would start that it does not start now. The change itself makes automation wait
/// for the settle time, so both sides are looked at as if that were over.
fn compare_automation(
    before: &StageSnapshot,
    after: &StageSnapshot,
    joined: &Joined<'_>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let settled = |snapshot: &StageSnapshot| StageSnapshot {
        definitions_changed_at: Timestamp::MIN,
        ..snapshot.clone()
    };
    let old: Vec<StageAct> = stage(&settled(before), now).acts;
    for act in stage(&settled(after), now).acts {
        if old.contains(&act) {
            continue;
        }
        let StageAct::Promote { freight, supersedes } = act else { continue };
        let name = &after.stage.spec.name;
        let gated = match joined.mode {
            Mode::Automatic => "at once",
            Mode::Gated | Mode::Manual => "once every gate passes",
        };
        effects.push(Effect {
            stage: name.clone(),
            freight: Some(freight),
            promotion: None,
            kind: EffectKind::WouldPromote,
            reason: format!(
                "automation would start a promotion {} after the change; it commits {gated}",
                duration::print(joined.settle)
            ),
            until: None,
        });
        effects.extend(supersedes.into_iter().map(|promotion| Effect {
            stage: name.clone(),
            freight: None,
            promotion: Some(promotion),
            kind: EffectKind::Supersedes,
            reason: "newer freight would take its place".to_owned(),
            until: None,
        }));
    }
}

/// How the gates of a waiting promotion would change.
fn compare_gates(
    waiting: &PromotionSnapshot,
    name: &PolicyName,
    new: Option<&Policy>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let Some(stage) = &waiting.stage else { return };
    let mut policies = waiting.policies.clone();
    let old = policies.iter().find(|policy| policy.spec.name == *name).cloned();
    policies.retain(|policy| policy.spec.name != *name);
    policies.extend(new.map(|spec| match &old {
        Some(old) => Defined { spec: spec.clone(), ..old.clone() },
        None => Defined {
            spec: spec.clone(),
            generation: 0,
            changed_at: now,
            changed_by: waiting.promotion.requester.clone(),
        },
    }));
    let before = gates_with(waiting, &stage.spec, &waiting.policies, now);
    let after = gates_with(waiting, &stage.spec, &policies, now);
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
}

fn passes(gates: &[Gate], kind: GateKind) -> bool {
    gates.iter().filter(|gate| gate.kind == kind).all(Gate::lets_pass)
}

fn gates_with(
    waiting: &PromotionSnapshot,
    stage: &Stage,
    policies: &[Defined<Policy>],
    now: Timestamp,
) -> Vec<Gate> {
    let specs: Vec<Policy> = policies.iter().map(|policy| policy.spec.clone()).collect();
    let joined = Joined::of(&specs, &stage.name);
    let facts = Facts {
        stage,
        joined: &joined,
        policies,
        freight: &waiting.facts,
        promotion: Some(&waiting.promotion),
        change_set: waiting.state.change_set.as_ref(),
        approvals: &waiting.state.approvals,
        hold: waiting.facts.held_for.get(&stage.name),
    };
    gates(&facts, now)
}

/// Stages that freight can reach now and could not reach any more.
fn lost_stages(
    definitions: &Definitions,
    name: &StageName,
    new: Option<&Stage>,
    effects: &mut Vec<Effect>,
) {
    let before: BTreeMap<&StageName, &Stage> =
        definitions.stages.iter().map(|(name, stage)| (name, &stage.spec)).collect();
    let mut after = before.clone();
    after.remove(name);
    after.extend(new.map(|new| (name, new)));
    let still = reachable(&after);
    for lost in reachable(&before).into_iter().filter(|s| *s != name && !still.contains(s)) {
        effects.push(Effect {
            stage: lost.clone(),
            freight: None,
            promotion: None,
            kind: EffectKind::Unreachable,
            reason: format!("no freight could reach it once stage {name} is changed"),
            until: None,
        });
    }
}

/// Promotions that wait at gates are prepared anew for an edited stage. Whether they then do the same
/// is not known before, so approvals that were given may not be enough.
fn prepared_anew(waiting: &[PromotionSnapshot], stage: &StageName, effects: &mut Vec<Effect>) {
    for waiting in waiting.iter().filter(|waiting| waiting.promotion.stage == *stage) {
        let Some(change_set) = &waiting.state.change_set else { continue };
        let given = waiting.state.approvals.iter().any(|a| a.digest == change_set.digest);
        effects.extend(given.then(|| {
            Effect {
                stage: stage.clone(),
                freight: Some(waiting.promotion.freight.clone()),
                promotion: Some(waiting.promotion.id.clone()),
                kind: EffectKind::NeedsApprovalAgain,
                reason:
                    "it is prepared anew; where it would then do something else, approvals are \
                     asked again"
                        .to_owned(),
                until: None,
            }
        }));
    }
}
