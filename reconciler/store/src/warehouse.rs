//! Warehouses. A change wakes the warehouse and the stages that request it, and forgets what a
//! subscription found whose source is another one now.

use reconciler_domain::id::{ProjectName, WarehouseName};
use reconciler_domain::warehouse::Warehouse;
use rusqlite::params;

use crate::Store;
use crate::definition::{
    self, Before, Change, Definition, DeleteError, Kind, Outcome, Put, PutError, Stored,
};
use crate::error::StoreError;
use crate::ledger::Subject;
use crate::page::Listed;
use crate::wake::{WakeKey, wake, wake_users};
use crate::writer::Write;

impl Definition for Warehouse {
    const KIND: Kind = Kind::Warehouse;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Warehouse(self.name.clone())
    }

    fn is_protected(&self) -> bool {
        self.deletion_protection
    }
}

impl Store {
    /// Makes or changes a warehouse.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_warehouse(
        &self,
        project: &ProjectName,
        spec: &Warehouse,
        change: &Change,
    ) -> Result<Put<Warehouse>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| put(write, &project, &spec, &change)).await
    }

    /// A warehouse.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_warehouse(
        &self,
        project: &ProjectName,
        name: &WarehouseName,
    ) -> Result<Option<Stored<Warehouse>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every warehouse of a project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_warehouses(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Warehouse>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Deletes a warehouse that no stage requests. Its freight stays.
    ///
    /// # Errors
    /// It is not there, requested by stages, was changed, or the database failed.
    pub async fn delete_warehouse(
        &self,
        project: &ProjectName,
        name: &WarehouseName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| delete(write, &project, &name, &change)).await
    }
}

fn put(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &Warehouse,
    change: &Change,
) -> Result<Put<Warehouse>, PutError> {
    let (put, before) = definition::put(write, project, spec, change)?;
    if put.outcome == Outcome::Unchanged {
        return Ok(put);
    }
    forget_replaced(write, project, spec, &before)?;
    wake(write, &WakeKey::Warehouse(project.clone(), spec.name.clone()), change.at)?;
    wake_users(write, project, Kind::Warehouse, spec.name.as_str(), change.at)?;
    Ok(put)
}

fn forget_replaced(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &Warehouse,
    before: &Before<Warehouse>,
) -> Result<(), StoreError> {
    let known: Vec<String> = write.sql.rows(
        "SELECT subscription FROM discovery WHERE project = $1 AND warehouse = $2",
        params![project.as_str(), spec.name.as_str()],
        |row| row.get(0),
    )?;
    for subscription in known {
        let source = spec.subscriptions.get(subscription.as_str());
        let same = match before {
            Before::Spec(before) => {
                source.is_some() && before.subscriptions.get(subscription.as_str()) == source
            }
            Before::Nothing | Before::Unreadable => false,
        };
        if !same {
            write.sql.execute(
                "DELETE FROM discovery \
                 WHERE project = $1 AND warehouse = $2 AND subscription = $3",
                params![project.as_str(), spec.name.as_str(), subscription],
            )?;
        }
    }
    Ok(())
}

fn delete(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &WarehouseName,
    change: &Change,
) -> Result<(), DeleteError> {
    let users = crate::stage::users(write.sql, project, Kind::Warehouse, name.as_str())?;
    let needed_by = users.iter().map(|stage| format!("stage {stage}")).collect();
    let subject = Subject::Warehouse(name.clone());
    definition::delete::<Warehouse>(write, project, name.as_str(), subject, change, needed_by)?;
    for text in [
        "DELETE FROM discovery WHERE project = $1 AND warehouse = $2",
        "DELETE FROM refresh WHERE project = $1 AND warehouse = $2",
    ] {
        write.sql.execute(text, params![project.as_str(), name.as_str()])?;
    }
    Ok(())
}
