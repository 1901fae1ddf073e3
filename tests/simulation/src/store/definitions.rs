//! Definitions, and whom their change wakes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_domain::id::{PolicyName, Principal, ProjectName, StageName, WarehouseName};
use reconciler_domain::policy::Policy;
use reconciler_domain::snapshot::Defined;
use reconciler_domain::stage::{Request, Stage};
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::WakeKey;

use super::snapshot::policies_of;
use super::{Project, Store};

/// Who changes a definition, and when.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) by: Principal,
    pub(crate) at: Timestamp,
}

impl Edit {
    fn defined<T>(&self, spec: T, before: Option<u64>) -> Defined<T> {
        let generation = before.unwrap_or(0) + 1;
        Defined { spec, generation, changed_at: self.at, changed_by: self.by.clone() }
    }
}

impl Store {
    pub(crate) fn put_project(&mut self, name: &ProjectName) {
        self.projects.insert(name.clone(), Project::new());
    }

    pub(crate) fn put_warehouse(&mut self, project: &ProjectName, spec: Warehouse, edit: &Edit) {
        let found = self.projects.get_mut(project).expect("the project is there");
        let name = spec.name.clone();
        let before = found.definitions.warehouses.get(&name);
        if before.is_some_and(|before| before.spec == spec) {
            return;
        }
        let defined = edit.defined(spec, before.map(|before| before.generation));
        found.definitions.warehouses.insert(name.clone(), defined);
        found.revision += 1;
        self.wakeups.wake(WakeKey::Warehouse(project.clone(), name.clone()), edit.at);
        self.wake_requesting(project, &name, edit.at);
    }

    pub(crate) fn put_verification(
        &mut self,
        project: &ProjectName,
        spec: Verification,
        edit: &Edit,
    ) {
        let found = self.projects.get_mut(project).expect("the project is there");
        let name = spec.name.clone();
        let before = found.definitions.verifications.get(&name);
        if before.is_some_and(|before| before.spec == spec) {
            return;
        }
        let generation = before.map(|before| before.generation);
        found.definitions.verifications.insert(name.clone(), edit.defined(spec, generation));
        found.revision += 1;
        let stages = found.definitions.stages.values();
        let using =
            stages.filter(|stage| stage.spec.verifications.iter().any(|v| v.template == name));
        let names: Vec<StageName> = using.map(|stage| stage.spec.name.clone()).collect();
        for stage in names {
            self.wake_stage(project, &stage, edit.at);
        }
    }

    pub(crate) fn put_stage(&mut self, project: &ProjectName, spec: Stage, edit: &Edit) {
        let found = self.projects.get_mut(project).expect("the project is there");
        let name = spec.name.clone();
        let before = found.definitions.stages.get(&name);
        if before.is_some_and(|before| before.spec == spec) {
            return;
        }
        let defined = edit.defined(spec, before.map(|before| before.generation));
        found.definitions.stages.insert(name.clone(), defined);
        found.stages.entry(name.clone()).or_default();
        found.pass_on_anew();
        found.revision += 1;
        self.wake_stage(project, &name, edit.at);
        self.wake_downstream(project, &name, edit.at);
    }

    pub(crate) fn put_policy(&mut self, project: &ProjectName, spec: &Policy, edit: &Edit) {
        let found = self.projects.get_mut(project).expect("the project is there");
        let policies = &mut found.definitions.policies;
        let at = policies.iter().position(|policy| policy.spec.name == spec.name);
        let before = at.map(|at| policies[at].clone());
        if before.as_ref().is_some_and(|before| before.spec == *spec) {
            return;
        }
        let defined = edit.defined(spec.clone(), before.as_ref().map(|before| before.generation));
        match at {
            Some(at) => policies[at] = defined,
            None => policies.push(defined),
        }
        policies.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        self.policy_changed(project, before.as_ref().map(|b| &b.spec), Some(spec), edit.at);
    }

    pub(crate) fn delete_policy(&mut self, project: &ProjectName, name: &PolicyName, edit: &Edit) {
        let found = self.projects.get_mut(project).expect("the project is there");
        let policies = &mut found.definitions.policies;
        let Some(at) = policies.iter().position(|policy| policy.spec.name == *name) else { return };
        let before = policies.remove(at);
        self.policy_changed(project, Some(&before.spec), None, edit.at);
    }

    /// Notes the change at every stage that the policy selects or selected, and wakes it.
    fn policy_changed(
        &mut self,
        project: &ProjectName,
        before: Option<&Policy>,
        after: Option<&Policy>,
        at: Timestamp,
    ) {
        let found = self.projects.get_mut(project).expect("the project is there");
        found.policies = policies_of(found);
        found.revision += 1;
        let names = found.definitions.stages.keys();
        let selected = |stage: &&StageName| {
            [before, after].into_iter().flatten().any(|policy| policy.selects(stage))
        };
        let names: Vec<StageName> = names.filter(selected).cloned().collect();
        for stage in names {
            let found = self.projects.get_mut(project).expect("the project is there");
            found.policy_changes.insert(stage.clone(), at);
            self.wake_stage(project, &stage, at);
        }
    }

    /// Notes that someone wants the sources of a warehouse to be looked at now.
    pub(crate) fn ask_refresh(
        &mut self,
        project: &ProjectName,
        warehouse: &WarehouseName,
        now: Timestamp,
    ) {
        let found = self.projects.get_mut(project).expect("the project is there");
        found.refresh_asked.insert(warehouse.clone(), now);
        self.wakeups.wake(WakeKey::Warehouse(project.clone(), warehouse.clone()), now);
    }
}

impl Project {
    /// The control-flow stages that pass on freight of a warehouse.
    pub(super) fn passed_on(&self, warehouse: &WarehouseName) -> BTreeMap<StageName, Request> {
        let stages = self.definitions.stages.values().map(|stage| &stage.spec);
        let passing = stages
            .filter(|stage| stage.is_control_flow())
            .filter_map(|stage| Some((stage.name.clone(), stage.request(warehouse)?.clone())));
        passing.collect()
    }

    fn pass_on_anew(&mut self) {
        let names: Vec<WarehouseName> = self.warehouses.keys().cloned().collect();
        for warehouse in names {
            let passed_on = self.passed_on(&warehouse);
            let shelf = self.warehouses.get_mut(&warehouse).expect("listed above");
            for facts in &mut shelf.freight {
                Arc::make_mut(facts).passed_on.clone_from(&passed_on);
            }
        }
    }
}
