//! The world as it would be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Change, Changes, World};
use crate::freeze::Freeze;
use crate::freight::FreightFacts;
use crate::hold::Hold;
use crate::id::{ProjectName, StageName};
use crate::policy::Policy;
use crate::snapshot::{Defined, Definitions, PromotionSnapshot, StageSnapshot};
use crate::stage::{Request, Stage};
use crate::task::{Task, used};

/// The world once the changes are made.
pub(super) struct After<'a> {
    pub(super) definitions: Definitions,
    before: &'a Definitions,
    changes: &'a Changes,
    /// Whether stages change: freight may then be passed on otherwise.
    rewired: bool,
    now: Timestamp,
}

/// How a promotion that waits at its gates fares.
pub(super) enum Judged {
    /// Its gates are judged by what is there then.
    Anew(Box<PromotionSnapshot>),
    /// Its stage is edited: it is prepared anew.
    Prepared,
    /// Its stage is gone.
    Gone,
}

impl<'a> After<'a> {
    pub(super) fn of(world: &'a World, changes: &'a Changes, now: Timestamp) -> Self {
        Self {
            definitions: changes.apply(&world.definitions, now),
            before: &world.definitions,
            changes,
            rewired: changes.all.iter().any(|change| matches!(change, Change::Stage(..))),
            now,
        }
    }

    /// The snapshot as it would be; absent: the stage is removed.
    pub(super) fn stage(&self, before: &StageSnapshot) -> Option<StageSnapshot> {
        let name = &before.stage.spec.name;
        let policies = self.definitions.policies.iter().map(|policy| &policy.spec);
        let mut after = StageSnapshot {
            stage: self.definitions.stages.get(name)?.clone(),
            policies: policies.filter(|policy| policy.selects(name)).cloned().collect(),
            ..before.clone()
        };
        self.replace_holds(&mut after.holds);
        self.replace_freezes(&before.project, &mut after.freezes);
        if self.rewired {
            for facts in &mut after.freight {
                self.pass_on(facts);
            }
        }
        Some(after)
    }

    pub(super) fn promotion(&self, before: &PromotionSnapshot) -> Judged {
        let name = &before.promotion.stage;
        let spec = |definitions: &'a Definitions| definitions.stages.get(name).map(|s| &s.spec);
        let Some(stage) = self.definitions.stages.get(name) else { return Judged::Gone };
        let tasks = |definitions| used_by(&stage.spec, definitions);
        if spec(self.before) != Some(&stage.spec) || tasks(self.before) != tasks(&self.definitions)
        {
            return Judged::Prepared;
        }
        let mut after =
            PromotionSnapshot { policies: self.definitions.policies.clone(), ..before.clone() };
        self.replace_holds(&mut after.holds);
        self.replace_freezes(&before.project, &mut after.freezes);
        if self.rewired {
            for facts in std::iter::once(&mut after.facts).chain(&mut after.along) {
                facts.passed_on = self.passed_on(facts);
            }
        }
        Judged::Anew(Box::new(after))
    }

    fn replace_holds(&self, holds: &mut Vec<Defined<Hold>>) {
        for change in &self.changes.all {
            let Change::Hold(name, new) = change else { continue };
            let generation = holds.iter().find(|hold| hold.spec.name == *name);
            let generation = generation.map_or(0, |hold| hold.generation);
            holds.retain(|hold| hold.spec.name != *name);
            holds.extend(new.clone().map(|new| defined(new, generation, self.changes, self.now)));
        }
    }

    /// A freeze of the project and one of every project may have the same name.
    fn replace_freezes(&self, project: &ProjectName, freezes: &mut Vec<Defined<Freeze>>) {
        for change in &self.changes.all {
            let Change::Freeze(reach, name, new) = change else { continue };
            let is_it =
                |freeze: &Defined<Freeze>| freeze.spec.reach == *reach && freeze.spec.name == *name;
            let generation = freezes.iter().find(|freeze| is_it(freeze));
            let generation = generation.map_or(0, |freeze| freeze.generation);
            freezes.retain(|freeze| !is_it(freeze));
            let new = new.clone().filter(|new| new.concerns_project(project));
            freezes.extend(new.map(|new| defined(new, generation, self.changes, self.now)));
        }
    }

    /// Notes through which control-flow stages the freight would come.
    fn pass_on(&self, facts: &mut Arc<FreightFacts>) {
        let passed_on = self.passed_on(facts);
        if facts.passed_on != passed_on {
            Arc::make_mut(facts).passed_on = passed_on;
        }
    }

    fn passed_on(&self, facts: &FreightFacts) -> BTreeMap<StageName, Request> {
        let warehouse = &facts.freight.warehouse;
        let passing =
            self.definitions.stages.iter().filter(|(_, stage)| stage.spec.is_control_flow());
        let requests = passing.filter_map(|(name, stage)| {
            Some((name.clone(), stage.spec.request(warehouse)?.clone()))
        });
        requests.collect()
    }
}

fn defined<T>(spec: T, generation: u64, changes: &Changes, now: Timestamp) -> Defined<T> {
    let changed_by = changes.by.clone();
    Defined { spec, generation: generation + 1, changed_at: now, changed_by }
}

/// The definitions with the changes made.
pub(super) fn definitions(before: &Definitions, changes: &Changes, now: Timestamp) -> Definitions {
    let mut after = before.clone();
    for change in &changes.all {
        match change {
            Change::Policy(name, new) => {
                let at = after.policies.iter().position(|policy| policy.spec.name == *name);
                let generation = at.map_or(0, |at| after.policies.remove(at).generation);
                let new = new.clone().map(|new| defined(new, generation, changes, now));
                after.policies.extend(new);
            }
            Change::Stage(name, new) => {
                let generation = after.stages.remove(name).map_or(0, |old| old.generation);
                let new = new.clone().map(|new| defined(new, generation, changes, now));
                after.stages.extend(new.map(|new| (name.clone(), new)));
            }
            Change::Warehouse(name, new) => {
                let generation = after.warehouses.remove(name).map_or(0, |old| old.generation);
                let new = new.clone().map(|new| defined(new, generation, changes, now));
                after.warehouses.extend(new.map(|new| (name.clone(), new)));
            }
            Change::Verification(name, new) => {
                let generation = after.verifications.remove(name).map_or(0, |old| old.generation);
                let new = new.clone().map(|new| defined(new, generation, changes, now));
                after.verifications.extend(new.map(|new| (name.clone(), new)));
            }
            Change::Task(name, new) => {
                let generation = after.tasks.remove(name).map_or(0, |old| old.generation);
                let new = new.clone().map(|new| defined(new, generation, changes, now));
                after.tasks.extend(new.map(|new| (name.clone(), new)));
            }
            Change::Hold(..) | Change::Freeze(..) => {}
        }
    }
    after
}

/// The tasks that a stage uses, those that they use among them.
fn used_by<'a>(stage: &Stage, definitions: &'a Definitions) -> Vec<&'a Task> {
    let find = |name: &str| {
        let mut tasks = definitions.tasks.iter();
        tasks.find(|(known, _)| known.as_str() == name).map(|(_, task)| &task.spec)
    };
    used(&stage.steps, find)
}

/// The stages that the changes may reach.
pub(super) fn reach(
    changes: &Changes,
    definitions: &Definitions,
    held: &[Hold],
) -> BTreeSet<StageName> {
    let mut reached = BTreeSet::new();
    for change in &changes.all {
        match change {
            Change::Stage(name, new) => {
                let old = definitions.stages.get(name).map(|old| &old.spec);
                reached.insert(name.clone());
                if old.into_iter().chain(new).any(Stage::is_control_flow) {
                    downstream(name, definitions, &mut reached);
                }
            }
            Change::Policy(name, new) => {
                let old = definitions.policies.iter().find(|policy| policy.spec.name == *name);
                let either: Vec<&Policy> =
                    old.map(|old| &old.spec).into_iter().chain(new).collect();
                let new_stages = changes.all.iter().filter_map(|change| match change {
                    Change::Stage(name, Some(_)) => Some(name),
                    Change::Stage(_, None)
                    | Change::Policy(..)
                    | Change::Warehouse(..)
                    | Change::Verification(..)
                    | Change::Task(..)
                    | Change::Hold(..)
                    | Change::Freeze(..) => None,
                });
                let stages = definitions.stages.keys().chain(new_stages);
                let selected = stages.filter(|stage| either.iter().any(|p| p.selects(stage)));
                reached.extend(selected.cloned());
            }
            Change::Hold(name, new) => {
                let old = held.iter().filter(|hold| hold.name == *name);
                let either: Vec<&Hold> = old.chain(new).collect();
                let stages = definitions.stages.keys();
                let stages = stages.filter(|stage| either.iter().any(|hold| hold.concerns(stage)));
                reached.extend(stages.cloned());
            }
            Change::Freeze(..) => reached.extend(definitions.stages.keys().cloned()),
            Change::Task(name, _) => {
                let using = definitions.stages.iter().filter(|(_, stage)| {
                    used_by(&stage.spec, definitions).iter().any(|task| task.name == *name)
                });
                reached.extend(using.map(|(stage, _)| stage.clone()));
            }
            Change::Warehouse(..) | Change::Verification(..) => {}
        }
    }
    reached
}

/// The stages that freight comes to from this one, straight or through control-flow stages.
fn downstream(stage: &StageName, definitions: &Definitions, reached: &mut BTreeSet<StageName>) {
    let mut from = vec![stage.clone()];
    let mut seen = BTreeSet::new();
    while let Some(stage) = from.pop() {
        for (name, other) in &definitions.stages {
            if other.spec.upstreams().contains(&&stage) && seen.insert(name.clone()) {
                reached.insert(name.clone());
                if other.spec.is_control_flow() {
                    from.push(name.clone());
                }
            }
        }
    }
}
