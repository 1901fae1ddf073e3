//! What people define to stop stages: holds and freezes. Each that comes, changes or goes wakes every stage
//! that it concerns or concerned, with their promotions that are not over.

use jiff::Timestamp;
use reconciler_domain::freeze::Freeze;
use reconciler_domain::hold::Hold;
use reconciler_domain::id::{ProjectName, StageName};

use crate::definition::{
    self, Before, Change, Definition, DeleteError, Kind, Outcome, Put, PutError,
};
use crate::error::StoreError;
use crate::ledger::Subject;
use crate::sql::Sql;
use crate::wake::wake_stage;
use crate::writer::Write;

/// A definition that stops stages.
pub(crate) trait Stop: Definition {
    /// Whether a stage may be stopped by it.
    fn concerns(&self, stage: &StageName) -> bool;
}

impl Stop for Hold {
    fn concerns(&self, stage: &StageName) -> bool {
        self.concerns(stage)
    }
}

impl Stop for Freeze {
    fn concerns(&self, stage: &StageName) -> bool {
        self.concerns(stage)
    }
}

/// Puts or changes it.
pub(crate) fn put<T: Stop>(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &T,
    change: &Change,
) -> Result<Put<T>, PutError> {
    let (put, before) = definition::put(write, project, spec, change)?;
    if put.outcome != Outcome::Unchanged {
        wake(write, project, &before, Some(spec), change.at)?;
    }
    Ok(put)
}

/// Takes it away.
pub(crate) fn delete<T: Stop>(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &str,
    subject: Subject,
    change: &Change,
) -> Result<(), DeleteError> {
    let before = definition::delete::<T>(write, project, name, subject, change, Vec::new())?;
    wake(write, project, &before, None, change.at)?;
    Ok(())
}

/// The stages that it concerns; of one that cannot be read, all.
pub(crate) fn concerned<T: Stop>(
    sql: Sql<'_>,
    project: &ProjectName,
    stop: Option<&T>,
) -> Result<Vec<StageName>, StoreError> {
    let rows = definition::rows(sql, project, Kind::Stage)?;
    let stages = rows.iter().filter_map(|row| row.name.parse().ok());
    Ok(stages.filter(|stage| stop.is_none_or(|stop| stop.concerns(stage))).collect())
}

/// Wakes what it stops or stopped.
fn wake<T: Stop>(
    write: &mut Write<'_>,
    project: &ProjectName,
    before: &Before<T>,
    after: Option<&T>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut stages = match before {
        Before::Nothing => Vec::new(),
        Before::Unreadable => concerned::<T>(write.sql, project, None)?,
        Before::Spec(before) => concerned(write.sql, project, Some(before))?,
    };
    if let Some(after) = after {
        stages.extend(concerned(write.sql, project, Some(after))?);
    }
    stages.sort();
    stages.dedup();
    for stage in stages {
        wake_stage(write, project, &stage, at)?;
    }
    Ok(())
}
