//! What differs between the kinds of definitions.

use std::collections::BTreeSet;

use reconciler_api::problem::FieldProblem;
use reconciler_api::v1::{
    self, Condition, ConditionStatus, CredentialSpec, DriftStanding, HoldSpec, Kind, Meta,
    PolicySpec, StageSpec, StageStatus, TaskSpec, VerificationSpec, WarehouseSpec, WarehouseStatus,
};
use reconciler_domain::check::{
    Surroundings, check_hold, check_policy, check_stage, check_task, check_verification,
    check_warehouse,
};
use reconciler_domain::credential::Credential;
use reconciler_domain::freight::FreightFilter;
use reconciler_domain::hold::Hold;
use reconciler_domain::id::CredentialName;
use reconciler_domain::id::{
    HoldName, PolicyName, ProjectName, StageName, TaskName, VerificationName, WarehouseName,
};
use reconciler_domain::plan;
use reconciler_domain::policy::Policy;
use reconciler_domain::snapshot::Definitions;
use reconciler_domain::stage::Stage;
use reconciler_domain::task::{Task, used};
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::Warehouse;
use reconciler_effects::Holdings as _;
use reconciler_store::{
    Change, DeleteError, Listed, Page, Put, PutError, SecretChange, Store, StoreError, Stored,
    Subject,
};

use super::super::Server;
use super::super::answer::Answer;
use super::super::stages::stage_status;
use super::{Answering, Definition};
use crate::convert::{
    credential_outline, credential_status, field_problems, hold_spec, hold_status,
    parse_credential, parse_hold, parse_policy, parse_stage, parse_task, parse_verification,
    parse_warehouse, policy_spec, stage_spec, task_spec, verification_spec, warehouse_spec,
};

/// The calls that differ only in the kind's name.
macro_rules! store_calls {
    ($name:ty, $put:ident, $get:ident, $list:ident, $delete:ident) => {
        async fn put(
            &self,
            store: &Store,
            project: &ProjectName,
            change: &Change,
        ) -> Result<Put<Self>, PutError> {
            store.$put(project, self, change).await
        }

        async fn get(
            store: &Store,
            project: &ProjectName,
            name: &$name,
        ) -> Result<Option<Stored<Self>>, StoreError> {
            store.$get(project, name).await
        }

        async fn list(
            store: &Store,
            project: &ProjectName,
        ) -> Result<Listed<Stored<Self>>, StoreError> {
            store.$list(project).await
        }

        async fn delete(
            store: &Store,
            project: &ProjectName,
            name: &$name,
            change: &Change,
        ) -> Result<(), DeleteError> {
            store.$delete(project, name, change).await
        }
    };
}

pub(super) use store_calls;

impl Definition for Warehouse {
    type Name = WarehouseName;
    type Spec = WarehouseSpec;
    type Wire = v1::Warehouse;
    const KIND: Kind = Kind::Warehouse;

    fn parse(name: WarehouseName, spec: &WarehouseSpec) -> Result<Self, Vec<FieldProblem>> {
        parse_warehouse(name, spec)
    }

    fn check(&self, definitions: &Definitions) -> Vec<FieldProblem> {
        let mut problems = check_warehouse(self);
        // A subscription that stages use by name must not vanish under them.
        let mut around = Surroundings::of(definitions);
        around.warehouses.insert(&self.name, self);
        for (name, stage) in &definitions.stages {
            let asks = stage.spec.request(&self.name).is_some();
            let broken = if asks { check_stage(&stage.spec, &around) } else { Vec::new() };
            let before = if broken.is_empty() {
                Vec::new()
            } else {
                check_stage(&stage.spec, &Surroundings::of(definitions))
            };
            problems.extend(broken.into_iter().filter(|p| !before.contains(p)).map(|problem| {
                reconciler_domain::check::Problem {
                    path: String::new(),
                    message: format!("stage {name} would break at {problem}"),
                    ..problem
                }
            }));
        }
        field_problems(problems)
    }

    fn name(&self) -> &WarehouseName {
        &self.name
    }

    fn subjects(&self, _: &Definitions) -> Vec<Subject> {
        vec![Subject::Warehouse(self.name.clone())]
    }

    store_calls!(WarehouseName, put_warehouse, get_warehouse, list_warehouses, delete_warehouse);

    async fn wire(
        answering: &Answering<'_>,
        mut meta: Meta,
        stored: &Self,
    ) -> Answer<v1::Warehouse> {
        let Answering { server, project, .. } = *answering;
        let mut status = WarehouseStatus::default();
        if let Some(snapshot) = server.store.warehouse_snapshot(project, &stored.name).await? {
            let found = plan::condition(&snapshot.value);
            let waiting = plan::warehouse(&snapshot.value, server.clock.now());
            meta.conditions = found
                .into_iter()
                .map(|look| match look.error {
                    Some(error) => condition(
                        format!("Discovered/{}", look.subscription),
                        ConditionStatus::False,
                        "DiscoveryFailed",
                        error,
                    ),
                    None => condition(
                        format!("Discovered/{}", look.subscription),
                        if look.versions > 0 {
                            ConditionStatus::True
                        } else {
                            ConditionStatus::Unknown
                        },
                        if look.versions > 0 { "Found" } else { "NothingFound" },
                        format!("{} versions", look.versions),
                    ),
                })
                .collect();
            meta.conditions.push(freight_condition(&waiting.waiting));
            let looks = snapshot.value.discovered.values();
            status.checked_at = looks.filter_map(|found| found.looked_at).max();
            status.next_check_at = Some(waiting.wake_at);
        }
        let newest = Page { after: None, limit: 1 };
        let own = FreightFilter::of_warehouse(stored.name.clone());
        let newest = server.store.list_freight(project, &own, newest).await?;
        status.newest_freight = newest.items.first().map(|facts| facts.freight.id.to_string());
        Ok(v1::Warehouse { meta, spec: warehouse_spec(stored), status })
    }
}

fn freight_condition(waiting: &[plan::Waiting]) -> Condition {
    let kind = "FreightCurrent".to_owned();
    match waiting.iter().find(|w| w.subject.starts_with("warehouse ")) {
        Some(waiting) => {
            condition(kind, ConditionStatus::False, waiting.reason, waiting.message.clone())
        }
        None => {
            let message = "the newest combination is freight".to_owned();
            condition(kind, ConditionStatus::True, "UpToDate", message)
        }
    }
}

pub(super) fn condition(
    kind: String,
    status: ConditionStatus,
    reason: &str,
    message: String,
) -> Condition {
    Condition { kind, status, reason: reason.to_owned(), message }
}

impl Definition for Stage {
    type Name = StageName;
    type Spec = StageSpec;
    type Wire = v1::Stage;
    const KIND: Kind = Kind::Stage;

    fn parse(name: StageName, spec: &StageSpec) -> Result<Self, Vec<FieldProblem>> {
        parse_stage(name, spec)
    }

    fn check(&self, definitions: &Definitions) -> Vec<FieldProblem> {
        field_problems(check_stage(self, &Surroundings::of(definitions)))
    }

    fn name(&self) -> &StageName {
        &self.name
    }

    fn subjects(&self, definitions: &Definitions) -> Vec<Subject> {
        around(self, definitions).into_iter().collect()
    }

    store_calls!(StageName, put_stage, get_stage, list_stages, delete_stage);

    async fn wire(answering: &Answering<'_>, mut meta: Meta, stored: &Self) -> Answer<v1::Stage> {
        let Answering { server, project, .. } = *answering;
        let status = stage_status(server, project, &stored.name).await?;
        meta.conditions = stage_conditions(&status);
        Ok(v1::Stage { meta, spec: stage_spec(stored), status })
    }
}

/// How a stage fares, sorted by type.
pub(in crate::server) fn stage_conditions(status: &StageStatus) -> Vec<Condition> {
    undrifted(status).into_iter().chain([up_to_date(status), verified(status)]).collect()
}

/// Whether its infra is as its promotions left it; absent: nobody looks, and nobody did.
fn undrifted(status: &StageStatus) -> Option<Condition> {
    let drift = status.drift.as_ref()?;
    let (status, reason) = match drift.standing {
        DriftStanding::Clean => (ConditionStatus::True, "AsApplied"),
        DriftStanding::Drifted => (ConditionStatus::False, "Drifted"),
        DriftStanding::Unknown => (ConditionStatus::Unknown, "LookFailed"),
        DriftStanding::Unseen => (ConditionStatus::Unknown, "NotLookedAt"),
    };
    Some(condition("Undrifted".to_owned(), status, reason, drift.message.clone()))
}

/// Whether the stage vouches for what it holds.
fn verified(status: &StageStatus) -> Condition {
    let kind = "Verified".to_owned();
    let unverified = status.current.values().find(|held| held.verified_at.is_none());
    match unverified {
        _ if status.current.is_empty() => {
            let message = "no freight has been promoted here".to_owned();
            condition(kind, ConditionStatus::Unknown, "NoFreight", message)
        }
        Some(held) => {
            let message = format!("freight {} is here but not verified", held.freight);
            condition(kind, ConditionStatus::False, "NotVerified", message)
        }
        None => {
            let message = "every freight here is verified".to_owned();
            condition(kind, ConditionStatus::True, "Verified", message)
        }
    }
}

/// Whether something waits to come here, and for what.
fn up_to_date(status: &StageStatus) -> Condition {
    let kind = "UpToDate".to_owned();
    match status.waiting.first() {
        Some(waiting) => {
            let message = format!("{}: {}", waiting.subject, waiting.message);
            condition(kind, ConditionStatus::False, &waiting.reason, message)
        }
        None => condition(kind, ConditionStatus::True, "NothingWaits", "nothing waits".to_owned()),
    }
}

impl Definition for Credential {
    type Name = CredentialName;
    type Spec = CredentialSpec;
    type Wire = v1::Credential;
    const KIND: Kind = Kind::Credential;

    fn parse(name: CredentialName, spec: &CredentialSpec) -> Result<Self, Vec<FieldProblem>> {
        // Without its secrets; `credentials::write` reads them.
        parse_credential(name, spec, |_, _| Err("a secret cannot be read here".to_owned()))
    }

    fn check(&self, _: &Definitions) -> Vec<FieldProblem> {
        Vec::new()
    }

    fn name(&self) -> &CredentialName {
        &self.name
    }

    fn subjects(&self, _: &Definitions) -> Vec<Subject> {
        vec![Subject::Credential(self.name.clone())]
    }

    async fn put(
        &self,
        store: &Store,
        project: &ProjectName,
        change: &Change,
    ) -> Result<Put<Self>, PutError> {
        store.put_credential(project, self, SecretChange::Keep, change).await
    }

    async fn get(
        store: &Store,
        project: &ProjectName,
        name: &CredentialName,
    ) -> Result<Option<Stored<Self>>, StoreError> {
        store.get_credential(project, name).await
    }

    async fn list(
        store: &Store,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Self>>, StoreError> {
        store.list_credentials(project).await
    }

    async fn delete(
        store: &Store,
        project: &ProjectName,
        name: &CredentialName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        store.delete_credential(project, name, change).await
    }

    async fn wire(
        answering: &Answering<'_>,
        mut meta: Meta,
        stored: &Self,
    ) -> Answer<v1::Credential> {
        let Answering { server, project, .. } = *answering;
        let stored_at = server.store.secrets_stored_at(project, &stored.name).await?;
        meta.conditions = vec![usable(server, project, stored).await];
        let (spec, status) = (credential_outline(stored), credential_status(stored, stored_at));
        Ok(v1::Credential { meta, spec, status })
    }
}

/// Whether its secrets can be had now.
async fn usable(server: &Server, project: &ProjectName, credential: &Credential) -> Condition {
    let kind = "Usable".to_owned();
    let held = match server.safe.of(project).await {
        Ok(held) => held,
        Err(why) => return condition(kind, ConditionStatus::Unknown, "Unreadable", why),
    };
    let mut secrets = held.iter().filter(|held| held.name == credential.name);
    let missing = secrets.next().into_iter().flat_map(|held| &held.secrets);
    let why: Vec<String> = missing
        .filter_map(|(key, secret)| Some(format!("{key}: {}", secret.as_ref().err()?)))
        .collect();
    if why.is_empty() {
        let message = "every secret can be had".to_owned();
        return condition(kind, ConditionStatus::True, "SecretsThere", message);
    }
    condition(kind, ConditionStatus::False, "SecretMissing", why.join("; "))
}

/// A stage, what feeds it, and the tasks that it uses.
pub(super) fn around(stage: &Stage, definitions: &Definitions) -> BTreeSet<Subject> {
    let mut subjects = BTreeSet::from([Subject::Stage(stage.name.clone())]);
    let task = |name: &str| Some(&definitions.tasks.get(name)?.spec);
    subjects.extend(used(&stage.steps, task).into_iter().map(|it| Subject::Task(it.name.clone())));
    subjects.extend(stage.upstreams().into_iter().cloned().map(Subject::Stage));
    let warehouses = stage.requests.iter().map(|request| request.warehouse.clone());
    subjects.extend(warehouses.map(Subject::Warehouse));
    subjects
}

impl Definition for Verification {
    type Name = VerificationName;
    type Spec = VerificationSpec;
    type Wire = v1::Verification;
    const KIND: Kind = Kind::Verification;

    fn parse(name: VerificationName, spec: &VerificationSpec) -> Result<Self, Vec<FieldProblem>> {
        parse_verification(name, spec)
    }

    fn check(&self, _: &Definitions) -> Vec<FieldProblem> {
        field_problems(check_verification(self))
    }

    fn name(&self) -> &VerificationName {
        &self.name
    }

    fn subjects(&self, _: &Definitions) -> Vec<Subject> {
        vec![Subject::Verification(self.name.clone())]
    }

    store_calls!(
        VerificationName,
        put_verification,
        get_verification,
        list_verifications,
        delete_verification
    );

    async fn wire(_: &Answering<'_>, meta: Meta, stored: &Self) -> Answer<v1::Verification> {
        Ok(v1::Verification { meta, spec: verification_spec(stored) })
    }
}

impl Definition for Task {
    type Name = TaskName;
    type Spec = TaskSpec;
    type Wire = v1::Task;
    const KIND: Kind = Kind::Task;

    fn parse(name: TaskName, spec: &TaskSpec) -> Result<Self, Vec<FieldProblem>> {
        parse_task(name, spec)
    }

    /// The task alone. A stage that it no longer fits may be about to change with it, so that is told when
    /// the stage is defined, and when a promotion is prepared.
    fn check(&self, definitions: &Definitions) -> Vec<FieldProblem> {
        field_problems(check_task(self, &Surroundings::of(definitions)))
    }

    fn name(&self) -> &TaskName {
        &self.name
    }

    fn subjects(&self, _: &Definitions) -> Vec<Subject> {
        vec![Subject::Task(self.name.clone())]
    }

    store_calls!(TaskName, put_task, get_task, list_tasks, delete_task);

    async fn wire(_: &Answering<'_>, meta: Meta, stored: &Self) -> Answer<v1::Task> {
        Ok(v1::Task { meta, spec: task_spec(stored) })
    }
}

impl Definition for Policy {
    type Name = PolicyName;
    type Spec = PolicySpec;
    type Wire = v1::Policy;
    const KIND: Kind = Kind::Policy;

    fn parse(name: PolicyName, spec: &PolicySpec) -> Result<Self, Vec<FieldProblem>> {
        parse_policy(name, spec)
    }

    fn check(&self, definitions: &Definitions) -> Vec<FieldProblem> {
        field_problems(check_policy(self, &Surroundings::of(definitions)))
    }

    fn name(&self) -> &PolicyName {
        &self.name
    }

    /// The policy and every stage that it selects, with what feeds it.
    fn subjects(&self, definitions: &Definitions) -> Vec<Subject> {
        let mut subjects = BTreeSet::from([Subject::Policy(self.name.clone())]);
        for (name, stage) in &definitions.stages {
            if self.selects(name) {
                subjects.extend(around(&stage.spec, definitions));
            }
        }
        subjects.into_iter().collect()
    }

    store_calls!(PolicyName, put_policy, get_policy, list_policies, delete_policy);

    async fn wire(_: &Answering<'_>, meta: Meta, stored: &Self) -> Answer<v1::Policy> {
        Ok(v1::Policy { meta, spec: policy_spec(stored) })
    }
}

impl Definition for Hold {
    type Name = HoldName;
    type Spec = HoldSpec;
    type Wire = v1::Hold;
    const KIND: Kind = Kind::Hold;

    fn parse(name: HoldName, spec: &HoldSpec) -> Result<Self, Vec<FieldProblem>> {
        parse_hold(name, spec)
    }

    fn check(&self, definitions: &Definitions) -> Vec<FieldProblem> {
        field_problems(check_hold(self, &Surroundings::of(definitions)))
    }

    fn name(&self) -> &HoldName {
        &self.name
    }

    /// The hold and every stage that it concerns, with what feeds it.
    fn subjects(&self, definitions: &Definitions) -> Vec<Subject> {
        let mut subjects = BTreeSet::from([Subject::Hold(self.name.clone())]);
        for (name, stage) in &definitions.stages {
            if self.concerns(name) {
                subjects.extend(around(&stage.spec, definitions));
            }
        }
        subjects.into_iter().collect()
    }

    store_calls!(HoldName, put_hold, get_hold, list_holds, delete_hold);

    async fn wire(answering: &Answering<'_>, mut meta: Meta, stored: &Self) -> Answer<v1::Hold> {
        let found = answering.whereabouts().await?;
        let status = hold_status(stored, found, answering.server.clock.now());
        let kind = "Active".to_owned();
        meta.conditions = vec![if status.active {
            let message = "it stops what it names".to_owned();
            condition(kind, ConditionStatus::True, "Holds", message)
        } else {
            condition(kind, ConditionStatus::False, "Expired", "it ended by itself".to_owned())
        }];
        Ok(v1::Hold { meta, spec: hold_spec(stored), status })
    }
}
