//! Preview: what a change of one definition would do to live freight. It runs the same functions
//! as the reconciler, once with the definitions as they are and once as they would be, and tells the
//! difference. Instants are absolute, so that the answer stays true while it is read.

mod warning;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::availability::Availability;
use crate::check::reachable;
use crate::duration;
use crate::gate::Gate;
use crate::hold::{self, Hold};
use crate::id::{FreightId, HoldName, PolicyName, PromotionId, StageName};
use crate::plan::{Candidate, StageAct, candidates, promotion_gates, stage};
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
    /// A hold, with who puts it; absent: lifted.
    Hold(HoldName, Option<Defined<Hold>>),
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
    for before in &world.waiting {
        let Some(after) = judged_anew(before, change, now) else { continue };
        compare_gates(before, &after, now, &mut preview.effects);
    }
    if let Change::Policy(name, new) = change {
        preview.warnings.extend(warning::given_up(&world.definitions, name, new.as_ref()));
        preview.warnings.extend(warning::of_windows(new.as_ref(), now));
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
    if let Change::Hold(_, Some(new)) = change {
        preview.warnings.extend(warning::idle(&world.definitions, &new.spec));
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
        Change::Hold(name, new) => replace_hold(&mut after.holds, name, new.as_ref()),
    }
    Some(after)
}

/// A promotion at its gates as it would be judged; absent: the change does not concern its gates.
fn judged_anew(
    before: &PromotionSnapshot,
    change: &Change,
    now: Timestamp,
) -> Option<PromotionSnapshot> {
    let mut after = before.clone();
    match change {
        Change::Policy(name, new) => {
            let old = before.policies.iter().find(|policy| policy.spec.name == *name);
            after.policies.retain(|policy| policy.spec.name != *name);
            after.policies.extend(new.clone().map(|spec| match old {
                Some(old) => Defined { spec, ..old.clone() },
                None => Defined {
                    spec,
                    generation: 0,
                    changed_at: now,
                    changed_by: before.promotion.requester.clone(),
                },
            }));
        }
        Change::Hold(name, new) => replace_hold(&mut after.holds, name, new.as_ref()),
        Change::Stage(..) => return None,
    }
    Some(after)
}

fn replace_hold(holds: &mut Vec<Defined<Hold>>, name: &HoldName, new: Option<&Defined<Hold>>) {
    holds.retain(|hold| hold.spec.name != *name);
    holds.extend(new.cloned());
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
    let promotable = |c: &Candidate| c.availability.is_available() && c.held.is_empty();
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
            freight: Some(candidate.freight),
            promotion: None,
            kind,
            reason: match candidate.held.first() {
                Some(hold) => hold::describe(hold),
                None => availability_reason(&candidate.availability, &new_joined),
            },
            until: match (candidate.held.first(), candidate.availability) {
                (Some(hold), _) => hold.spec.expires,
                (None, Availability::NotSoaked { until, .. }) => until,
                (
                    None,
                    Availability::Available { .. }
                    | Availability::NotRequested
                    | Availability::NotVerified { .. },
                ) => None,
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
}

fn passes(gates: &[Gate], kind: GateKind) -> bool {
    gates.iter().filter(|gate| gate.kind == kind).all(Gate::lets_pass)
}

fn gates_of(waiting: &PromotionSnapshot, stage: &Stage, now: Timestamp) -> Vec<Gate> {
    let specs: Vec<Policy> = waiting.policies.iter().map(|policy| policy.spec.clone()).collect();
    promotion_gates(waiting, stage, &Joined::of(&specs, &stage.name), now)
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
