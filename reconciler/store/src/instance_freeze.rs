//! Freezes of every project. They are in none: a table of their own, generations that go on as those of
//! definitions do, and events of the ledger that belong to no project.
//!
//! Whoever writes one raises the revision of the instance, which is part of that of every project
//! ([`crate::counter::revision`]): no promotion commits or starts on what was judged without it. The
//! stages that it concerns or concerned are touched and woken in the same transaction.

use std::collections::{BTreeMap, BTreeSet};

use reconciler_domain::freeze::{Freeze, Reach};
use reconciler_domain::id::{FreezeName, ProjectName, StageName};
use reconciler_domain::promotion::Promotion;
use rusqlite::params;
use serde_json::json;

use crate::Store;
use crate::counter::raise_instance_revision;
use crate::definition::{
    Before, Change, DefinitionRow, DeleteError, Outcome, Precondition, Put, PutError, Refused,
    Stored, check_precondition,
};
use crate::error::{StoreError, Unreadable};
use crate::ledger::{Happened, Subject};
use crate::page::Listed;
use crate::sql::{Sql, json, micros, name, parsed, signed, unsigned, whole_micros};
use crate::stop;
use crate::wake::wake_stage;
use crate::writer::Write;

/// What it is called where it is told.
const WHAT: &str = "instance freeze";

/// A promotion of any project that has not taken the slot of its stage.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingAnywhere {
    /// The project.
    pub project: ProjectName,
    /// The promotion.
    pub promotion: Promotion,
}

impl Store {
    /// Puts or changes a freeze of every project.
    ///
    /// # Errors
    /// The precondition does not hold, or the database failed.
    pub async fn put_instance_freeze(
        &self,
        spec: &Freeze,
        change: &Change,
    ) -> Result<Put<Freeze>, PutError> {
        let (spec, change) = (spec.clone(), change.clone());
        self.write(move |write| put(write, &spec, &change)).await
    }

    /// A freeze of every project.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_instance_freeze(
        &self,
        name: &FreezeName,
    ) -> Result<Option<Stored<Freeze>>, StoreError> {
        let name = name.clone();
        self.read(move |sql| match row(sql, name.as_str())? {
            Some(row) => Ok(Some(read(&row)?)),
            None => Ok(None),
        })
        .await
    }

    /// Every freeze of every project, by name; those that do not run, too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_instance_freezes(&self) -> Result<Listed<Stored<Freeze>>, StoreError> {
        self.read(|sql| {
            let mut listed = Listed { items: Vec::new(), unreadable: Vec::new() };
            for freeze in all(sql)? {
                match freeze {
                    Ok(stored) => listed.items.push(stored),
                    Err(unreadable) => listed.unreadable.push(unreadable),
                }
            }
            Ok(listed)
        })
        .await
    }

    /// Ends a freeze of every project; one that cannot be read, too.
    ///
    /// # Errors
    /// It is not there, was changed, or the database failed.
    pub async fn delete_instance_freeze(
        &self,
        name: &FreezeName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (name, change) = (name.clone(), change.clone());
        self.write(move |write| delete(write, &name, &change)).await
    }

    /// The promotions of every project that have not committed and could, by project, oldest first. One
    /// that cannot be read is left out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn waiting_anywhere(&self) -> Result<Vec<WaitingAnywhere>, StoreError> {
        self.read(waiting_anywhere).await
    }
}

const COLUMNS: &str =
    "SELECT name, spec, generation, created_at, changed_at, changed_by FROM instance_freeze";

fn row(sql: Sql<'_>, name: &str) -> Result<Option<DefinitionRow>, StoreError> {
    sql.row(&format!("{COLUMNS} WHERE name = $1"), params![name], DefinitionRow::read)
}

fn read(row: &DefinitionRow) -> Result<Stored<Freeze>, Unreadable> {
    let what = || format!("{WHAT} {}", row.name);
    let stored: Stored<Freeze> = row.said(what)?;
    match stored.spec.reach {
        Reach::Instance => Ok(stored),
        Reach::Project => Err(Unreadable::new(what(), "it says that it is of one project")),
    }
}

/// Every one of them, by name: what it says.
pub(crate) fn all(sql: Sql<'_>) -> Result<Vec<Result<Stored<Freeze>, Unreadable>>, StoreError> {
    let rows = sql.rows(&format!("{COLUMNS} ORDER BY name"), [], DefinitionRow::read)?;
    Ok(rows.iter().map(read).collect())
}

fn put(write: &mut Write<'_>, spec: &Freeze, change: &Change) -> Result<Put<Freeze>, PutError> {
    let name = spec.name.as_str();
    let refuse = |refused: Refused| refused.put(WHAT, name.to_owned());
    let there = row(write.sql, name)?;
    match (&there, change.precondition) {
        (Some(_), Precondition::MustNotExist) => {
            return Err(PutError::AlreadyExists { what: WHAT, name: name.to_owned() });
        }
        (None, Precondition::Generation(_)) => return Err(refuse(Refused::NotFound)),
        (None, Precondition::Any | Precondition::MustNotExist) => {}
        (Some(there), precondition) => check_precondition(there, precondition).map_err(refuse)?,
    }
    let before = there.as_ref().map(read);
    if let Some(Ok(stored)) = &before
        && json(&stored.spec) == json(spec)
    {
        return Ok(Put { stored: stored.clone(), outcome: Outcome::Unchanged });
    }
    let stored = write_row(write, spec, there.as_ref(), change)?;
    let (outcome, verb) = match there {
        Some(_) => (Outcome::Changed, "changed"),
        None => (Outcome::Created, "created"),
    };
    let before = match before {
        None => Before::Nothing,
        Some(Err(_)) => Before::Unreadable,
        Some(Ok(stored)) => Before::Spec(stored.spec),
    };
    let body = json!({ "generation": stored.generation, "spec": spec });
    tell(write, &spec.name, verb, change, body, &concerned(write.sql, &before, Some(spec))?)?;
    Ok(Put { stored, outcome })
}

fn write_row(
    write: &mut Write<'_>,
    spec: &Freeze,
    there: Option<&DefinitionRow>,
    change: &Change,
) -> Result<Stored<Freeze>, StoreError> {
    let last = match there {
        Some(row) => row.generation,
        None => retired_generation(write.sql, spec.name.as_str())?,
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
        "INSERT INTO instance_freeze (name, spec, generation, created_at, changed_at, changed_by) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET \
         spec = excluded.spec, generation = excluded.generation, \
         changed_at = excluded.changed_at, changed_by = excluded.changed_by",
        params![
            spec.name.as_str(),
            json(spec),
            signed(stored.generation),
            micros(stored.created_at),
            micros(at),
            json(&change.by)
        ],
    )?;
    Ok(stored)
}

fn delete(write: &mut Write<'_>, name: &FreezeName, change: &Change) -> Result<(), DeleteError> {
    let refuse = |refused: Refused| refused.delete(WHAT, name.to_string());
    let Some(there) = row(write.sql, name.as_str())? else {
        return Err(refuse(Refused::NotFound));
    };
    check_precondition(&there, change.precondition).map_err(refuse)?;
    let before = read(&there).map_or(Before::Unreadable, |stored| Before::Spec(stored.spec));
    write.sql.execute(
        "INSERT INTO retired (project, kind, name, generation) \
         VALUES ('', 'instance_freeze', $1, $2) \
         ON CONFLICT (project, kind, name) DO UPDATE SET generation = excluded.generation",
        params![name.as_str(), signed(there.generation)],
    )?;
    write.sql.execute("DELETE FROM instance_freeze WHERE name = $1", params![name.as_str()])?;
    let body = json!({ "generation": there.generation });
    tell(write, name, "deleted", change, body, &concerned(write.sql, &before, None)?)?;
    Ok(())
}

fn retired_generation(sql: Sql<'_>, name: &str) -> Result<u64, StoreError> {
    let generation = sql.row(
        "SELECT generation FROM retired \
         WHERE project = '' AND kind = 'instance_freeze' AND name = $1",
        params![name],
        |row| row.get(0),
    )?;
    Ok(unsigned(generation.unwrap_or(0)))
}

/// The stages of each project that it concerns or concerned; of one that could not be read, all.
type Concerned = BTreeMap<ProjectName, BTreeSet<StageName>>;

fn concerned(
    sql: Sql<'_>,
    before: &Before<Freeze>,
    after: Option<&Freeze>,
) -> Result<Concerned, StoreError> {
    let before = match before {
        Before::Nothing => None,
        Before::Unreadable => Some(None),
        Before::Spec(before) => Some(Some(before)),
    };
    let names: Vec<String> =
        sql.rows("SELECT name FROM project ORDER BY name", [], |r| r.get(0))?;
    let mut found = Concerned::new();
    for project in names.iter().filter_map(|name| name.parse::<ProjectName>().ok()) {
        for freeze in before.into_iter().chain(after.map(Some)) {
            if freeze.is_none_or(|freeze| freeze.concerns_project(&project)) {
                let stages = stop::concerned::<Freeze>(sql, &project, freeze)?;
                found.entry(project.clone()).or_default().extend(stages);
            }
        }
    }
    Ok(found)
}

/// Raises the revision, writes the event, and touches and wakes what is concerned.
fn tell(
    write: &mut Write<'_>,
    name: &FreezeName,
    verb: &str,
    change: &Change,
    body: serde_json::Value,
    concerned: &Concerned,
) -> Result<(), StoreError> {
    raise_instance_revision(write)?;
    let seq = write.record(&Happened {
        at: change.at,
        project: None,
        subject: Subject::InstanceFreeze(name.clone()),
        touches: Vec::new(),
        kind: &format!("instance_freeze.{verb}"),
        actor: &change.by,
        summary: format!("{} {verb} {WHAT} {name}", change.by),
        body,
    })?;
    for (project, stages) in concerned {
        write.touch(project.as_str(), &Subject::Project, seq)?;
        for stage in stages {
            write.touch(project.as_str(), &Subject::Stage(stage.clone()), seq)?;
            wake_stage(write, project, stage, change.at)?;
        }
    }
    Ok(())
}

fn waiting_anywhere(sql: Sql<'_>) -> Result<Vec<WaitingAnywhere>, StoreError> {
    let rows: Vec<(String, String, String)> = sql.rows(
        "SELECT project, id, fixed FROM promotion \
         WHERE ended_at IS NULL AND slot = 0 AND rehearsal = 0 ORDER BY project, place",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let one = |(project, id, fixed): &(String, String, String)| {
        let what = || format!("promotion {project}/{id}");
        let (project, promotion) = (name(project, what)?, parsed(fixed, what)?);
        Ok::<_, Unreadable>(WaitingAnywhere { project, promotion })
    };
    Ok(rows.iter().filter_map(|row| one(row).ok()).collect())
}
