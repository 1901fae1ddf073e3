//! What people do with embedded states, for the ledger. The states themselves are files.

use jiff::Timestamp;
use reconciler_domain::id::{Principal, ProjectName, StageName};
use serde_json::Value;

use crate::Store;
use crate::definition::{self, Kind};
use crate::error::StoreError;
use crate::ledger::{Happened, Subject};

/// Something that a person or a program does with a state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDeed {
    /// The project.
    pub project: ProjectName,
    /// The stage.
    pub stage: StageName,
    /// A stable word: `state.restored`.
    pub kind: &'static str,
    /// Who.
    pub by: Principal,
    /// One sentence for people, without anything of what is in the state.
    pub summary: String,
    /// Details, of the same kind.
    pub body: Value,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Records a deed in the ledger. Nothing that a decision could see is changed.
    ///
    /// # Errors
    /// The database failed, and nothing is recorded.
    pub async fn record_state_deed(&self, deed: StateDeed) -> Result<(), StoreError> {
        self.write(move |write| {
            write.record(&Happened {
                at: deed.at,
                project: Some(&deed.project),
                subject: Subject::Stage(deed.stage.clone()),
                touches: Vec::new(),
                kind: deed.kind,
                actor: &deed.by,
                summary: deed.summary.clone(),
                body: deed.body.clone(),
            })?;
            Ok(())
        })
        .await
    }

    /// Whether a project, or a stage in it, is defined.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_defined(
        &self,
        project: &ProjectName,
        stage: Option<&StageName>,
    ) -> Result<bool, StoreError> {
        let (project, stage) = (project.clone(), stage.cloned());
        self.read(move |sql| {
            let (kind, name) = match &stage {
                Some(stage) => (Kind::Stage, stage.as_str()),
                None => (Kind::Project, project.as_str()),
            };
            Ok(definition::row(sql, &project, kind, name)?.is_some())
        })
        .await
    }
}
