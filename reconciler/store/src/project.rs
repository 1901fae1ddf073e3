//! Projects: they own everything else.

use std::collections::BTreeMap;

use reconciler_domain::id::ProjectName;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::counter::revision;
use crate::definition::{
    self, Change, Definition, DeleteError, Kind, Outcome, Put, PutError, Stored,
};
use crate::error::StoreError;
use crate::ledger::Subject;
use crate::page::Listed;
use crate::sql::{Sql, name};
use crate::writer::Write;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Unique in the store.
    pub name: ProjectName,
    /// What it is for, in a sentence; may be empty.
    pub description: String,
    /// Free names and values.
    pub labels: BTreeMap<String, String>,
    /// Whether it is refused to be removed. Absent in what was written before there was such a thing.
    #[serde(default)]
    pub deletion_protection: bool,
}

impl Definition for Project {
    const KIND: Kind = Kind::Project;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Project
    }

    fn is_protected(&self) -> bool {
        self.deletion_protection
    }
}

impl Store {
    /// Makes or changes a project.
    ///
    /// # Errors
    /// The precondition does not hold, or the database failed.
    pub async fn put_project(
        &self,
        spec: &Project,
        change: &Change,
    ) -> Result<Put<Project>, PutError> {
        let (spec, change) = (spec.clone(), change.clone());
        self.write(move |write| put(write, &spec, &change)).await
    }

    /// A project.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_project(
        &self,
        project: &ProjectName,
    ) -> Result<Option<Stored<Project>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::get(sql, &project, project.as_str())).await
    }

    /// Every project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_projects(&self) -> Result<Listed<Stored<Project>>, StoreError> {
        self.read(list).await
    }

    /// Deletes an empty project with its history of freight and promotions. The ledger keeps its
    /// events.
    ///
    /// # Errors
    /// It is not there, not empty, was changed, or the database failed.
    pub async fn delete_project(
        &self,
        project: &ProjectName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, change) = (project.clone(), change.clone());
        self.write(move |write| delete(write, &project, &change)).await
    }

    /// The number that rises with everything in the project that decisions look at.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revision(&self, project: &ProjectName) -> Result<u64, StoreError> {
        let project = project.clone();
        self.read(move |sql| revision(sql, &project)).await
    }
}

fn put(write: &mut Write<'_>, spec: &Project, change: &Change) -> Result<Put<Project>, PutError> {
    let created = write.sql.execute(
        "INSERT INTO project (name) VALUES ($1) ON CONFLICT (name) DO NOTHING",
        params![spec.name.as_str()],
    )? == 1;
    let (put, _) = definition::put(write, &spec.name, spec, change)?;
    debug_assert_eq!(created, put.outcome == Outcome::Created, "both rows come and go together");
    Ok(put)
}

fn list(sql: Sql<'_>) -> Result<Listed<Stored<Project>>, StoreError> {
    let mut listed = Listed { items: Vec::new(), unreadable: Vec::new() };
    for row in definition::project_rows(sql)? {
        let what = || format!("project {}", row.name);
        match name(&row.name, what).and_then(|project| row.stored(&project)) {
            Ok(stored) => listed.items.push(stored),
            Err(unreadable) => listed.unreadable.push(unreadable),
        }
    }
    Ok(listed)
}

fn delete(
    write: &mut Write<'_>,
    project: &ProjectName,
    change: &Change,
) -> Result<(), DeleteError> {
    let needed_by = write.sql.rows(
        "SELECT kind, name FROM definition WHERE project = $1 AND kind <> 'project' \
         ORDER BY kind, name",
        params![project.as_str()],
        |row| Ok(format!("{} {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
    )?;
    let (name, subject) = (project.as_str(), Subject::Project);
    definition::delete::<Project>(write, project, name, subject, change, needed_by)?;
    write.sql.execute("DELETE FROM project WHERE name = $1", params![name])?;
    write.folds.clear();
    Ok(())
}
