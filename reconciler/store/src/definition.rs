//! Definitions of every kind: one table, one way to write them.
//!
//! A definition has a generation that rises with every change and with nothing else; it goes on
//! rising when the definition is deleted and made anew. Whoever writes says which generation they
//! mean to replace. What a change of each kind wakes is in the file of that kind.

mod error;

use jiff::Timestamp;
use reconciler_domain::id::{Principal, ProjectName};
use reconciler_domain::snapshot::Defined;
use rusqlite::{Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub(crate) use error::Refused;
pub use error::{DeleteError, PutError, RenameError};

use crate::counter::{DefinitionsRevision, definitions_revision, raise_definitions_revision};
use crate::error::{StoreError, Unreadable};
use crate::ledger::{Happened, Subject};
use crate::page::Listed;
use crate::sql::{Sql, instant, json, micros, parsed, signed, unsigned, whole_micros};
use crate::writer::Write;

/// A definition as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// The definition.
    pub spec: T,
    /// Rises with every change.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Who changed it last.
    pub changed_by: Principal,
}

impl<T> Stored<T> {
    /// The form that decisions see.
    #[must_use]
    pub fn defined(self) -> Defined<T> {
        Defined {
            spec: self.spec,
            generation: self.generation,
            changed_at: self.changed_at,
            changed_by: self.changed_by,
        }
    }
}

/// What must be there for a change to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever is there.
    #[default]
    Any,
    /// Nothing.
    MustNotExist,
    /// Exactly this generation.
    Generation(u64),
}

/// Who changes something, when, and on what condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What must be there.
    pub precondition: Precondition,
    /// The definitions that the change was checked against; absent: any.
    pub revision: Option<DefinitionsRevision>,
    /// Who.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
}

impl Change {
    /// A change without conditions.
    #[must_use]
    pub fn by(by: &Principal, at: Timestamp) -> Self {
        Self { precondition: Precondition::Any, revision: None, by: by.clone(), at }
    }

    /// On this condition.
    #[must_use]
    pub fn precondition(self, precondition: Precondition) -> Self {
        Self { precondition, ..self }
    }

    /// Only while the definitions of the project have this revision.
    #[must_use]
    pub fn revision(self, revision: DefinitionsRevision) -> Self {
        Self { revision: Some(revision), ..self }
    }
}

/// What a write of a definition did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there before.
    Created,
    /// It has a new generation.
    Changed,
    /// It said the same before; nothing was written.
    Unchanged,
}

/// A written definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Put<T> {
    /// As it is stored now.
    pub stored: Stored<T>,
    /// What the write did.
    pub outcome: Outcome,
}

/// The kinds of definitions; also what a stage can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Project,
    Warehouse,
    Stage,
    Verification,
    Task,
    Policy,
    Hold,
    Freeze,
    Credential,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Warehouse => "warehouse",
            Self::Stage => "stage",
            Self::Verification => "verification",
            Self::Task => "task",
            Self::Policy => "policy",
            Self::Hold => "hold",
            Self::Freeze => "freeze",
            Self::Credential => "credential",
        }
    }
}

/// What the definitions of all kinds have in common.
pub(crate) trait Definition: Serialize + DeserializeOwned + Clone {
    const KIND: Kind;
    fn name(&self) -> &str;
    fn subject(&self) -> Subject;

    /// Whether it says of itself that it must not be removed.
    fn is_protected(&self) -> bool {
        false
    }

    /// What else sees a change of it, besides its project and itself.
    fn touches(&self, sql: Sql<'_>, project: &ProjectName) -> Result<Vec<Subject>, StoreError> {
        let _ = (sql, project);
        Ok(Vec::new())
    }
}

/// What was there before a change.
pub(crate) enum Before<T> {
    Nothing,
    Unreadable,
    Spec(T),
}

/// A definition's row.
pub(crate) struct DefinitionRow {
    pub(crate) name: String,
    pub(crate) spec: String,
    pub(crate) generation: u64,
    created_at: i64,
    changed_at: i64,
    changed_by: String,
}

const COLUMNS: &str =
    "SELECT name, spec, generation, created_at, changed_at, changed_by FROM definition";

impl DefinitionRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            spec: row.get(1)?,
            generation: unsigned(row.get(2)?),
            created_at: row.get(3)?,
            changed_at: row.get(4)?,
            changed_by: row.get(5)?,
        })
    }

    pub(crate) fn stored<T: Definition>(
        &self,
        project: &ProjectName,
    ) -> Result<Stored<T>, Unreadable> {
        let what = || match T::KIND {
            Kind::Project => format!("project {project}"),
            kind => format!("{} {project}/{}", kind.word(), self.name),
        };
        self.said(what)
    }

    /// What it says; `what` names it where it cannot be read.
    pub(crate) fn said<T: Definition>(
        &self,
        what: impl Fn() -> String + Copy,
    ) -> Result<Stored<T>, Unreadable> {
        let spec: T = parsed(&self.spec, what)?;
        if spec.name() != self.name {
            return Err(Unreadable::new(what(), "it names itself otherwise"));
        }
        Ok(Stored {
            spec,
            generation: self.generation,
            created_at: instant(self.created_at),
            changed_at: instant(self.changed_at),
            changed_by: parsed(&self.changed_by, what)?,
        })
    }

    /// When it was made.
    pub(crate) fn created_at(&self) -> Timestamp {
        instant(self.created_at)
    }

    /// When it last changed.
    pub(crate) fn changed_at(&self) -> Timestamp {
        instant(self.changed_at)
    }

    /// Who changed it last, as well as the row can tell.
    fn author(&self) -> Principal {
        serde_json::from_str(&self.changed_by).unwrap_or(Principal::Automation)
    }

    pub(crate) fn conflict(&self) -> Refused {
        Refused::Conflict {
            generation: self.generation,
            changed_by: self.author(),
            changed_at: instant(self.changed_at),
        }
    }
}

/// Reads one definition's row.
pub(crate) fn row(
    sql: Sql<'_>,
    project: &ProjectName,
    kind: Kind,
    name: &str,
) -> Result<Option<DefinitionRow>, StoreError> {
    sql.row(
        &format!("{COLUMNS} WHERE project = $1 AND kind = $2 AND name = $3"),
        params![project.as_str(), kind.word(), name],
        DefinitionRow::read,
    )
}

/// Reads every definition's row of a kind, by name.
pub(crate) fn rows(
    sql: Sql<'_>,
    project: &ProjectName,
    kind: Kind,
) -> Result<Vec<DefinitionRow>, StoreError> {
    sql.rows(
        &format!("{COLUMNS} WHERE project = $1 AND kind = $2 ORDER BY name"),
        params![project.as_str(), kind.word()],
        DefinitionRow::read,
    )
}

/// Every definition of a kind, by name: the row, and what it says.
pub(crate) struct Rows<T>(Vec<(DefinitionRow, Result<Stored<T>, Unreadable>)>);

impl<T: Definition> Rows<T> {
    /// Reads them.
    pub(crate) fn read(sql: Sql<'_>, project: &ProjectName) -> Result<Self, StoreError> {
        let rows = rows(sql, project, T::KIND)?.into_iter();
        Ok(Self(
            rows.map(|row| (row.stored(project), row)).map(|(said, row)| (row, said)).collect(),
        ))
    }

    pub(crate) fn iter(
        &self,
    ) -> impl Iterator<Item = &(DefinitionRow, Result<Stored<T>, Unreadable>)> {
        self.0.iter()
    }
}

/// Reads the row of every project, by name.
pub(crate) fn project_rows(sql: Sql<'_>) -> Result<Vec<DefinitionRow>, StoreError> {
    sql.rows(&format!("{COLUMNS} WHERE kind = 'project' ORDER BY name"), [], DefinitionRow::read)
}

/// Reads one definition.
pub(crate) fn get<T: Definition>(
    sql: Sql<'_>,
    project: &ProjectName,
    name: &str,
) -> Result<Option<Stored<T>>, StoreError> {
    match row(sql, project, T::KIND, name)? {
        Some(row) => Ok(Some(row.stored(project)?)),
        None => Ok(None),
    }
}

/// Reads every definition of a kind.
pub(crate) fn list<T: Definition>(
    sql: Sql<'_>,
    project: &ProjectName,
) -> Result<Listed<Stored<T>>, StoreError> {
    let mut listed = Listed { items: Vec::new(), unreadable: Vec::new() };
    for row in rows(sql, project, T::KIND)? {
        match row.stored(project) {
            Ok(stored) => listed.items.push(stored),
            Err(unreadable) => listed.unreadable.push(unreadable),
        }
    }
    Ok(listed)
}

/// Writes one definition, its generation and its ledger event. The caller wakes whom it concerns.
pub(crate) fn put<T: Definition>(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &T,
    change: &Change,
) -> Result<(Put<T>, Before<T>), PutError> {
    if !project_exists(write.sql, project)? {
        return Err(PutError::NoProject { project: project.to_string() });
    }
    let refuse = |refused: Refused| refused.put(T::KIND.word(), spec.name().to_owned());
    check_revision(write.sql, project, change).map_err(refuse)?;
    let there = row(write.sql, project, T::KIND, spec.name())?;
    match (&there, change.precondition) {
        (Some(_), Precondition::MustNotExist) => {
            return Err(PutError::AlreadyExists {
                what: T::KIND.word(),
                name: spec.name().to_owned(),
            });
        }
        (None, Precondition::Generation(_)) => return Err(refuse(Refused::NotFound)),
        (None, Precondition::Any | Precondition::MustNotExist) => {}
        (Some(there), precondition) => {
            check_precondition(there, precondition).map_err(refuse)?;
        }
    }
    let before = there.as_ref().map(|row| row.stored::<T>(project));
    if let Some(Ok(stored)) = &before
        && json(&stored.spec) == json(spec)
    {
        let put = Put { stored: stored.clone(), outcome: Outcome::Unchanged };
        return Ok((put, Before::Spec(stored.spec.clone())));
    }
    let stored = write_row(write, project, spec, there.as_ref(), change)?;
    let (outcome, verb) = match there {
        Some(_) => (Outcome::Changed, "changed"),
        None => (Outcome::Created, "created"),
    };
    let body = json!({ "generation": stored.generation, "spec": spec });
    record::<T>(write, project, spec, verb, change, body)?;
    let before = match before {
        None => Before::Nothing,
        Some(Err(_)) => Before::Unreadable,
        Some(Ok(stored)) => Before::Spec(stored.spec),
    };
    Ok((Put { stored, outcome }, before))
}

fn write_row<T: Definition>(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &T,
    there: Option<&DefinitionRow>,
    change: &Change,
) -> Result<Stored<T>, StoreError> {
    let last = match there {
        Some(row) => row.generation,
        None => retired_generation(write.sql, project, T::KIND, spec.name())?,
    };
    let at = whole_micros(change.at);
    let stored = Stored {
        spec: spec.clone(),
        generation: last + 1,
        created_at: there.map_or(at, DefinitionRow::created_at),
        changed_at: at,
        changed_by: change.by.clone(),
    };
    write.sql.execute(
        "INSERT INTO definition \
         (project, kind, name, spec, generation, created_at, changed_at, changed_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (project, kind, name) DO UPDATE SET \
         spec = excluded.spec, generation = excluded.generation, \
         changed_at = excluded.changed_at, changed_by = excluded.changed_by",
        params![
            project.as_str(),
            T::KIND.word(),
            spec.name(),
            json(spec),
            signed(stored.generation),
            micros(stored.created_at),
            micros(at),
            json(&change.by)
        ],
    )?;
    Ok(stored)
}

/// Deletes one definition that nothing needs and that is not protected, and writes its ledger event. `subject` is for rows
/// that cannot be read. Gives what was there.
pub(crate) fn delete<T: Definition>(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &str,
    subject: Subject,
    change: &Change,
    needed_by: Vec<String>,
) -> Result<Before<T>, DeleteError> {
    let what = T::KIND.word();
    let refuse = |refused: Refused| refused.delete(what, name.to_owned());
    check_revision(write.sql, project, change).map_err(refuse)?;
    let there = row(write.sql, project, T::KIND, name)?;
    let Some(there) = there else { return Err(refuse(Refused::NotFound)) };
    check_precondition(&there, change.precondition).map_err(refuse)?;
    // What cannot be read protects nothing: its removal is how it is got rid of.
    let before = there.stored::<T>(project);
    if let Ok(stored) = &before
        && stored.spec.is_protected()
    {
        return Err(DeleteError::Protected {
            what,
            name: name.to_owned(),
            changed_by: stored.changed_by.clone(),
            changed_at: stored.changed_at,
        });
    }
    if !needed_by.is_empty() {
        return Err(DeleteError::InUse { what, name: name.to_owned(), by: needed_by });
    }
    retire(write, project, T::KIND, &there)?;
    write.sql.execute(
        "DELETE FROM definition WHERE project = $1 AND kind = $2 AND name = $3",
        params![project.as_str(), what, name],
    )?;
    raise_definitions_revision(write, project)?;
    let mut touches = vec![Subject::Project];
    if let Ok(before) = &before {
        touches.extend(before.spec.touches(write.sql, project)?);
    }
    write.record(&Happened {
        at: change.at,
        project: Some(project),
        subject,
        touches,
        kind: &format!("{what}.deleted"),
        actor: &change.by,
        summary: format!("{} deleted {what} {name}", change.by),
        body: json!({ "generation": there.generation }),
    })?;
    Ok(match before {
        Ok(stored) => Before::Spec(stored.spec),
        Err(_) => Before::Unreadable,
    })
}

/// Raises the revisions and writes the ledger event of a changed definition.
pub(crate) fn record<T: Definition>(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &T,
    verb: &str,
    change: &Change,
    body: serde_json::Value,
) -> Result<(), StoreError> {
    raise_definitions_revision(write, project)?;
    let (what, name) = (T::KIND.word(), spec.name());
    let mut touches = vec![Subject::Project];
    touches.extend(spec.touches(write.sql, project)?);
    write.record(&Happened {
        at: change.at,
        project: Some(project),
        subject: spec.subject(),
        touches,
        kind: &format!("{what}.{verb}"),
        actor: &change.by,
        summary: format!("{} {verb} {what} {name}", change.by),
        body,
    })?;
    Ok(())
}

/// Whether what is there is what was meant. To mean that nothing is there is a conflict, too.
pub(crate) fn check_precondition(
    there: &DefinitionRow,
    precondition: Precondition,
) -> Result<(), Refused> {
    match precondition {
        Precondition::Any => Ok(()),
        Precondition::Generation(meant) if there.generation == meant => Ok(()),
        Precondition::Generation(_) | Precondition::MustNotExist => Err(there.conflict()),
    }
}

/// Whether a definition of a certain generation is there, for changes other than `put`.
pub(crate) fn check_change(
    sql: Sql<'_>,
    project: &ProjectName,
    there: &DefinitionRow,
    change: &Change,
) -> Result<(), Refused> {
    check_revision(sql, project, change)?;
    check_precondition(there, change.precondition)
}

fn check_revision(sql: Sql<'_>, project: &ProjectName, change: &Change) -> Result<(), Refused> {
    let Some(meant) = change.revision else { return Ok(()) };
    let revision = definitions_revision(sql, project)?;
    if revision == meant { Ok(()) } else { Err(Refused::Moved { revision }) }
}

/// Keeps the generation of a name that is given up, for when it is taken again.
pub(crate) fn retire(
    write: &mut Write<'_>,
    project: &ProjectName,
    kind: Kind,
    row: &DefinitionRow,
) -> Result<(), StoreError> {
    write.sql.execute(
        "INSERT INTO retired (project, kind, name, generation) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (project, kind, name) DO UPDATE SET generation = excluded.generation",
        params![project.as_str(), kind.word(), row.name, signed(row.generation)],
    )?;
    Ok(())
}

/// The last generation that the name had before it was given up; 0: none.
pub(crate) fn retired_generation(
    sql: Sql<'_>,
    project: &ProjectName,
    kind: Kind,
    name: &str,
) -> Result<u64, StoreError> {
    let generation = sql.row(
        "SELECT generation FROM retired WHERE project = $1 AND kind = $2 AND name = $3",
        params![project.as_str(), kind.word(), name],
        |row| row.get(0),
    )?;
    Ok(unsigned(generation.unwrap_or(0)))
}

/// Whether the project is there.
pub(crate) fn project_exists(sql: Sql<'_>, project: &ProjectName) -> Result<bool, StoreError> {
    sql.exists("SELECT 1 FROM project WHERE name = $1", params![project.as_str()])
}
