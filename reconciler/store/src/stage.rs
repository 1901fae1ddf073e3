//! Stages. A change wakes the stage, its promotions that are not over, and the stages downstream.

use reconciler_domain::id::{ProjectName, StageName};
use reconciler_domain::secret::credentials_of;
use reconciler_domain::stage::Stage;
use reconciler_domain::task::task_of;
use rusqlite::params;

use crate::Store;
use crate::definition::{
    self, Change, Definition, DeleteError, Kind, Outcome, Put, PutError, Stored,
};
use crate::drift;
use crate::error::StoreError;
use crate::kept::forget_stage;
use crate::ledger::Subject;
use crate::page::Listed;
use crate::sql::Sql;
use crate::wake::{WakeKey, wake, wake_running, wake_stage, wake_users};
use crate::writer::Write;

impl Definition for Stage {
    const KIND: Kind = Kind::Stage;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Stage(self.name.clone())
    }

    fn is_protected(&self) -> bool {
        self.deletion_protection
    }
}

impl Store {
    /// Makes or changes a stage.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_stage(
        &self,
        project: &ProjectName,
        spec: &Stage,
        change: &Change,
    ) -> Result<Put<Stage>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| put(write, &project, &spec, &change)).await
    }

    /// A stage.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_stage(
        &self,
        project: &ProjectName,
        name: &StageName,
    ) -> Result<Option<Stored<Stage>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every stage of a project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_stages(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Stage>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Deletes a stage that has no promotion under way and feeds no other stage. What is in it
    /// stays known, as do its promotions.
    ///
    /// # Errors
    /// It is not there, in use, was changed, or the database failed.
    pub async fn delete_stage(
        &self,
        project: &ProjectName,
        name: &StageName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| delete(write, &project, &name, &change)).await
    }
}

fn put(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &Stage,
    change: &Change,
) -> Result<Put<Stage>, PutError> {
    let (put, _) = definition::put(write, project, spec, change)?;
    if put.outcome == Outcome::Unchanged {
        return Ok(put);
    }
    forget_uses(write, project, &spec.name)?;
    let warehouses = spec.requests.iter().map(|r| (Kind::Warehouse, r.warehouse.as_str()));
    let upstreams = spec.upstreams().into_iter().map(|stage| (Kind::Stage, stage.as_str()));
    let templates = spec.verifications.iter().map(|v| (Kind::Verification, v.template.as_str()));
    let tasks = spec.steps.iter().filter_map(task_of).map(|task| (Kind::Task, task));
    let credentials = credentials_of(&spec.steps);
    let credentials = credentials.iter().map(|name| (Kind::Credential, name.as_str()));
    let used = warehouses.chain(upstreams).chain(templates).chain(tasks).chain(credentials);
    for (kind, name) in used {
        write.sql.execute(
            "INSERT INTO stage_use (project, kind, name, stage) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project, kind, name, stage) DO NOTHING",
            params![project.as_str(), kind.word(), name, spec.name.as_str()],
        )?;
    }
    wake_stage(write, project, &spec.name, change.at)?;
    wake_users(write, project, Kind::Stage, spec.name.as_str(), change.at)?;
    if spec.drift.is_some() {
        wake(write, &WakeKey::Drift(project.clone(), spec.name.clone()), change.at)?;
    }
    Ok(put)
}

fn delete(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &StageName,
    change: &Change,
) -> Result<(), DeleteError> {
    let running: Vec<String> = write.sql.rows(
        "SELECT id FROM promotion WHERE project = $1 AND stage = $2 AND ended_at IS NULL \
           AND rehearsal = 0 ORDER BY number",
        params![project.as_str(), name.as_str()],
        |row| row.get(0),
    )?;
    let downstream = users(write.sql, project, Kind::Stage, name.as_str())?;
    let needed_by = running
        .iter()
        .map(|id| format!("promotion {id}"))
        .chain(downstream.iter().filter(|stage| *stage != name).map(|s| format!("stage {s}")))
        .collect();
    let subject = Subject::Stage(name.clone());
    definition::delete::<Stage>(write, project, name.as_str(), subject, change, needed_by)?;
    forget_uses(write, project, name)?;
    forget_stage(write, project, name)?;
    drift::forget_stage(write, project, name)?;
    // Rehearsals end with their stage.
    wake_running(write, project, name, change.at)?;
    Ok(())
}

fn forget_uses(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<(), StoreError> {
    write.sql.execute(
        "DELETE FROM stage_use WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
    )?;
    Ok(())
}

/// The stages that name this warehouse, upstream stage, verification template or task.
pub(crate) fn users(
    sql: Sql<'_>,
    project: &ProjectName,
    kind: Kind,
    name: &str,
) -> Result<Vec<StageName>, StoreError> {
    let stages: Vec<String> = sql.rows(
        "SELECT stage FROM stage_use WHERE project = $1 AND kind = $2 AND name = $3 \
         ORDER BY stage",
        params![project.as_str(), kind.word(), name],
        |row| row.get(0),
    )?;
    // Rows are written from parsed names; a damaged one names no stage that could be woken.
    Ok(stages.iter().filter_map(|stage| stage.parse().ok()).collect())
}
