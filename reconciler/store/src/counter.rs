//! Numbers that only rise and outlive what they count.

use std::fmt;

use reconciler_domain::id::ProjectName;
use rusqlite::params;

use crate::error::StoreError;
use crate::sql::{Sql, unsigned};
use crate::writer::Write;

/// The project of counters that are of all of them.
const INSTANCE: &str = "";

/// The number that rises with everything in the project that decisions look at, and with what they look at
/// that is in no project: its own number and that of the instance, neither of which ever falls.
pub(crate) fn revision(sql: Sql<'_>, project: &ProjectName) -> Result<u64, StoreError> {
    let value = sql.row(
        "SELECT COALESCE(SUM(value), 0) FROM counter WHERE project IN ($1, $2) AND name = 'revision'",
        params![project.as_str(), INSTANCE],
        |row| row.get(0),
    )?;
    Ok(unsigned(value.unwrap_or(0)))
}

/// Raises the revision of every project, those that are yet to come among them.
pub(crate) fn raise_instance_revision(write: &mut Write<'_>) -> Result<(), StoreError> {
    raise_counter(write, INSTANCE, "revision")?;
    Ok(())
}

/// Raises the revision of the project.
pub(crate) fn raise_revision(
    write: &mut Write<'_>,
    project: &ProjectName,
) -> Result<(), StoreError> {
    raise_counter(write, project.as_str(), "revision")?;
    Ok(())
}

/// The number that rises with every definition of a project that is made, changed or removed, and
/// with nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefinitionsRevision(u64);

impl fmt::Display for DefinitionsRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The revision of the project's definitions.
pub(crate) fn definitions_revision(
    sql: Sql<'_>,
    project: &ProjectName,
) -> Result<DefinitionsRevision, StoreError> {
    let value = sql.row(
        "SELECT value FROM counter WHERE project = $1 AND name = 'definitions'",
        params![project.as_str()],
        |row| row.get(0),
    )?;
    Ok(DefinitionsRevision(unsigned(value.unwrap_or(0))))
}

/// Raises both revisions of the project: one of its definitions is another now.
pub(crate) fn raise_definitions_revision(
    write: &mut Write<'_>,
    project: &ProjectName,
) -> Result<(), StoreError> {
    raise_counter(write, project.as_str(), "definitions")?;
    raise_revision(write, project)
}

/// Raises a counter that outlives its project; gives its new value.
pub(crate) fn raise_counter(
    write: &mut Write<'_>,
    project: &str,
    name: &str,
) -> Result<u64, StoreError> {
    let value = write.sql.row(
        "INSERT INTO counter (project, name, value) VALUES ($1, $2, 1) \
         ON CONFLICT (project, name) DO UPDATE SET value = counter.value + 1 RETURNING value",
        params![project, name],
        |row| row.get(0),
    )?;
    Ok(unsigned(value.unwrap_or(0)))
}
