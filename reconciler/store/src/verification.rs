//! Verification templates. A change wakes the stages that use the template.

use reconciler_domain::id::{ProjectName, VerificationName};
use reconciler_domain::verification::Verification;

use crate::Store;
use crate::definition::{
    self, Change, Definition, DeleteError, Kind, Outcome, Put, PutError, Stored,
};
use crate::error::StoreError;
use crate::ledger::Subject;
use crate::page::Listed;
use crate::wake::wake_users;
use crate::writer::Write;

impl Definition for Verification {
    const KIND: Kind = Kind::Verification;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Verification(self.name.clone())
    }
}

impl Store {
    /// Makes or changes a verification template.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_verification(
        &self,
        project: &ProjectName,
        spec: &Verification,
        change: &Change,
    ) -> Result<Put<Verification>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| {
            let (put, _) = definition::put(write, &project, &spec, &change)?;
            if put.outcome != Outcome::Unchanged {
                let name = spec.name.as_str();
                wake_users(write, &project, Kind::Verification, name, change.at)?;
            }
            Ok(put)
        })
        .await
    }

    /// A verification template.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_verification(
        &self,
        project: &ProjectName,
        name: &VerificationName,
    ) -> Result<Option<Stored<Verification>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every verification template of a project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_verifications(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Verification>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Deletes a verification template that no stage uses.
    ///
    /// # Errors
    /// It is not there, used by stages, was changed, or the database failed.
    pub async fn delete_verification(
        &self,
        project: &ProjectName,
        name: &VerificationName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| delete(write, &project, &name, &change)).await
    }
}

fn delete(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &VerificationName,
    change: &Change,
) -> Result<(), DeleteError> {
    let users = crate::stage::users(write.sql, project, Kind::Verification, name.as_str())?;
    let needed_by = users.iter().map(|stage| format!("stage {stage}")).collect();
    let subject = Subject::Verification(name.clone());
    definition::delete::<Verification>(write, project, name.as_str(), subject, change, needed_by)?;
    Ok(())
}
