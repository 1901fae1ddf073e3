//! Freezes, as definitions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reconciler_api::problem::FieldProblem;
use reconciler_api::v1::{self, ConditionStatus, FreezeSpec, Kind, Meta};
use reconciler_domain::check::check_freeze;
use reconciler_domain::freeze::Freeze;
use reconciler_domain::id::{FreezeName, ProjectName};
use reconciler_domain::snapshot::Definitions;
use reconciler_store::{
    Change, DeleteError, Listed, Put, PutError, Store, StoreError, Stored, Subject,
};

use super::kinds::{around, condition, store_calls};
use super::{Answering, Definition};
use crate::convert::{field_problems, freeze_spec, freeze_status, parse_freeze};
use crate::server::answer::Answer;

impl Definition for Freeze {
    type Name = FreezeName;
    type Spec = FreezeSpec;
    type Wire = v1::Freeze;
    const KIND: Kind = Kind::Freeze;

    fn parse(name: FreezeName, spec: &FreezeSpec) -> Result<Self, Vec<FieldProblem>> {
        parse_freeze(name, spec)
    }

    fn check(&self, _: &Definitions) -> Vec<FieldProblem> {
        field_problems(check_freeze(self))
    }

    fn name(&self) -> &FreezeName {
        &self.name
    }

    /// The freeze and every stage that it concerns, with what feeds it.
    fn subjects(&self, definitions: &Definitions) -> Vec<Subject> {
        let mut subjects = BTreeSet::from([Subject::Freeze(self.name.clone())]);
        for (name, stage) in &definitions.stages {
            if self.concerns(name) {
                subjects.extend(around(&stage.spec, definitions));
            }
        }
        subjects.into_iter().collect()
    }

    store_calls!(FreezeName, put_freeze, get_freeze, list_freezes, delete_freeze);

    async fn wire(answering: &Answering<'_>, mut meta: Meta, stored: &Self) -> Answer<v1::Freeze> {
        let found = answering.whereabouts().await?;
        let status = freeze_status(stored, found, answering.server.clock.now());
        meta.conditions = vec![freeze_runs(status.active, status.begins_at)];
        Ok(v1::Freeze { meta, spec: freeze_spec(stored), status })
    }
}

/// Whether it runs.
pub(in crate::server) fn freeze_runs(active: bool, begins_at: Option<Timestamp>) -> v1::Condition {
    let (kind, no) = ("Active".to_owned(), ConditionStatus::False);
    match (active, begins_at) {
        (true, _) => {
            let message = "it stops what it is about".to_owned();
            condition(kind, ConditionStatus::True, "Freezes", message)
        }
        (false, Some(at)) => condition(kind, no, "NotBegun", format!("it begins at {at}")),
        (false, None) => condition(kind, no, "Over", "it does not run again".to_owned()),
    }
}
