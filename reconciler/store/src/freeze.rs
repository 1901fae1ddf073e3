//! Freezes of a project, and which ones decisions look at.

use reconciler_domain::freeze::Freeze;
use reconciler_domain::id::{FreezeName, ProjectName, StageName};
use reconciler_domain::snapshot::Defined;

use crate::definition::{self, Change, Definition, DeleteError, Kind, Put, PutError, Rows, Stored};
use crate::error::{StoreError, Unreadable};
use crate::instance_freeze;
use crate::ledger::Subject;
use crate::page::Listed;
use crate::sql::Sql;
use crate::{Store, stop};

impl Definition for Freeze {
    const KIND: Kind = Kind::Freeze;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Freeze(self.name.clone())
    }

    fn touches(&self, sql: Sql<'_>, project: &ProjectName) -> Result<Vec<Subject>, StoreError> {
        Ok(stop::concerned(sql, project, Some(self))?.into_iter().map(Subject::Stage).collect())
    }
}

impl Store {
    /// Puts or changes a freeze.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_freeze(
        &self,
        project: &ProjectName,
        spec: &Freeze,
        change: &Change,
    ) -> Result<Put<Freeze>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| stop::put(write, &project, &spec, &change)).await
    }

    /// A freeze.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_freeze(
        &self,
        project: &ProjectName,
        name: &FreezeName,
    ) -> Result<Option<Stored<Freeze>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every freeze of a project, by name; those that do not run, too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_freezes(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Freeze>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Ends a freeze.
    ///
    /// # Errors
    /// It is not there, was changed, or the database failed.
    pub async fn delete_freeze(
        &self,
        project: &ProjectName,
        name: &FreezeName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| {
            let subject = Subject::Freeze(name.clone());
            stop::delete::<Freeze>(write, &project, name.as_str(), subject, &change)
        })
        .await
    }
}

/// The freezes that decisions of a project look at: its own, and those of every project.
pub(crate) struct Freezes {
    own: Rows<Freeze>,
    instance: Vec<Result<Stored<Freeze>, Unreadable>>,
}

impl Freezes {
    /// Reads them.
    pub(crate) fn read(sql: Sql<'_>, project: &ProjectName) -> Result<Self, StoreError> {
        Ok(Self { own: Rows::read(sql, project)?, instance: instance_freeze::all(sql)? })
    }

    /// Those for a decision about a stage: all but those that except it or its project.
    ///
    /// A freeze that cannot be read is an error for every stage: without it, what somebody froze would go
    /// on.
    pub(crate) fn about(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Vec<Defined<Freeze>>, Unreadable> {
        let mut freezes = Vec::new();
        for freeze in self.own.iter().map(|(_, freeze)| freeze).chain(&self.instance) {
            let freeze = freeze.as_ref().map_err(Clone::clone)?;
            if freeze.spec.concerns_project(project) && freeze.spec.concerns(stage) {
                freezes.push(Stored::defined(freeze.clone()));
            }
        }
        Ok(freezes)
    }
}
