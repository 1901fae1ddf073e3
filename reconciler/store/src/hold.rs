//! Holds: those that people put, which are definitions, and the automatic one of each stage.

use jiff::Timestamp;
use reconciler_domain::hold::{AutomaticHold, Hold, Target};
use reconciler_domain::id::{HoldName, Principal, ProjectName, StageName};
use reconciler_domain::snapshot::Defined;
use rusqlite::params;
use serde::Deserialize;
use serde_json::json;

use crate::counter::raise_revision;
use crate::definition::{
    self, Change, Definition, DefinitionRow, DeleteError, Kind, Put, PutError, Rows, Stored,
};
use crate::error::{StoreError, Unreadable};
use crate::ledger::{Happened, Subject};
use crate::page::Listed;
use crate::sql::{Sql, instant, json, micros, parsed};
use crate::wake::wake_stage;
use crate::writer::Write;
use crate::{Store, stop};

/// Why an automatic hold was not lifted.
#[derive(Debug, thiserror::Error)]
pub enum LiftError {
    /// No such stage.
    #[error("there is no stage {stage}")]
    NoStage {
        /// The stage.
        stage: StageName,
    },
    /// Nothing stops automation there.
    #[error("no automatic hold is on stage {stage}")]
    NotHeld {
        /// The stage.
        stage: StageName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Definition for Hold {
    const KIND: Kind = Kind::Hold;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Hold(self.name.clone())
    }

    fn touches(&self, sql: Sql<'_>, project: &ProjectName) -> Result<Vec<Subject>, StoreError> {
        let mut touches: Vec<Subject> =
            stop::concerned(sql, project, Some(self))?.into_iter().map(Subject::Stage).collect();
        if let Target::Freight(freight) = &self.target {
            touches.push(Subject::Freight(freight.clone()));
        }
        Ok(touches)
    }
}

impl Store {
    /// Puts or changes a hold.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_hold(
        &self,
        project: &ProjectName,
        spec: &Hold,
        change: &Change,
    ) -> Result<Put<Hold>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| stop::put(write, &project, &spec, &change)).await
    }

    /// A hold.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_hold(
        &self,
        project: &ProjectName,
        name: &HoldName,
    ) -> Result<Option<Stored<Hold>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every hold of a project, by name; those that are over, too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_holds(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Hold>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// It is not there, was changed, or the database failed.
    pub async fn delete_hold(
        &self,
        project: &ProjectName,
        name: &HoldName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| {
            let subject = Subject::Hold(name.clone());
            stop::delete::<Hold>(write, &project, name.as_str(), subject, &change)
        })
        .await
    }

    /// Lifts the automatic hold of a stage: automation goes on there.
    ///
    /// # Errors
    /// No such stage, nothing stops automation there, or the database failed.
    pub async fn lift_automatic_hold(
        &self,
        project: &ProjectName,
        stage: &StageName,
        by: &Principal,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LiftError> {
        let (project, stage) = (project.clone(), stage.clone());
        let (by, reason) = (by.clone(), reason.to_owned());
        self.write(move |write| lift(write, &project, &stage, &by, &reason, now)).await
    }
}

fn lift(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    by: &Principal,
    reason: &str,
    now: Timestamp,
) -> Result<(), LiftError> {
    if definition::row(write.sql, project, Kind::Stage, stage.as_str())?.is_none() {
        return Err(LiftError::NoStage { stage: stage.clone() });
    }
    if !drop_automatic(write, project, stage)? {
        return Err(LiftError::NotHeld { stage: stage.clone() });
    }
    raise_revision(write, project)?;
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Stage(stage.clone()),
        touches: vec![Subject::Project],
        kind: "stage.hold_lifted",
        actor: by,
        summary: format!("{by} lifted the automatic hold of stage {stage}: {reason}"),
        body: json!({ "reason": reason }),
    })?;
    wake_stage(write, project, stage, now)?;
    Ok(())
}

/// Puts an automatic hold on a stage, in place of the one that is there.
pub(crate) fn put_automatic(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    reason: &str,
    by: &Principal,
    at: Timestamp,
) -> Result<(), StoreError> {
    write.sql.execute(
        "INSERT INTO hold (project, stage, reason, held_by, held_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (project, stage) DO UPDATE SET reason = excluded.reason, \
         held_by = excluded.held_by, held_at = excluded.held_at",
        params![project.as_str(), stage.as_str(), reason, json(by), micros(at)],
    )?;
    Ok(())
}

/// Takes the automatic hold from a stage; whether there was one.
pub(crate) fn drop_automatic(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<bool, StoreError> {
    let gone = write.sql.execute(
        "DELETE FROM hold WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
    )?;
    Ok(gone > 0)
}

/// The automatic hold of a stage.
pub(crate) fn automatic(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<AutomaticHold>, StoreError> {
    let row: Option<(String, String, i64)> = sql.row(
        "SELECT reason, held_by, held_at FROM hold WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let Some((reason, by, at)) = row else { return Ok(None) };
    let by = parsed(&by, || format!("hold of stage {project}/{stage}"))?;
    Ok(Some(AutomaticHold { reason, by, at: instant(at) }))
}

/// The holds for a decision about a stage: all but those of other stages.
///
/// A hold that cannot be read is an error for the stages that it might concern: without it, what
/// somebody stopped would go on. For other stages it is left out and named.
pub(crate) fn holds_for(
    rows: &Rows<Hold>,
    stage: &StageName,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<Defined<Hold>>, Unreadable> {
    let mut holds = Vec::new();
    for (row, hold) in rows.iter() {
        let of_other = stage_of(row).is_some_and(|held| held != stage.as_str());
        match hold {
            Ok(_) if of_other => {}
            Ok(hold) => holds.push(Stored::defined(hold.clone())),
            Err(error) if of_other => unreadable.push(error.clone()),
            Err(error) => return Err(error.clone()),
        }
    }
    Ok(holds)
}

/// The stage that the hold is on, as far as its row can tell.
fn stage_of(row: &DefinitionRow) -> Option<String> {
    #[derive(Deserialize)]
    struct Held {
        target: Target,
    }
    #[derive(Deserialize)]
    struct Target {
        kind: String,
        of: serde_json::Value,
    }
    let Held { target } = serde_json::from_str(&row.spec).ok()?;
    let stage = target.of.as_str().filter(|_| target.kind == "stage")?;
    Some(stage.to_owned())
}
