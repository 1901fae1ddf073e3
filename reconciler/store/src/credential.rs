//! Credentials, and their secrets as the daemon sealed them. The store cannot open them.
//!
//! A change lets warehouses whose last look failed look again at once: that is what most people
//! change a credential for.

use jiff::Timestamp;
use reconciler_domain::credential::Credential;
use reconciler_domain::id::{CredentialName, ProjectName, WarehouseName};
use rusqlite::{Row, params};

use crate::Store;
use crate::definition::{
    self, Change, Definition, DeleteError, Kind, Outcome, Put, PutError, Stored,
};
use crate::discovery;
use crate::error::{StoreError, Unreadable};
use crate::ledger::Subject;
use crate::page::Listed;
use crate::sql::{Sql, instant, micros, name};
use crate::wake::{WakeKey, wake, wake_users};
use crate::writer::Write;

/// Secrets that only the holder of a key can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Under which key.
    pub key_id: String,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// What a write does to the secrets that are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretChange {
    /// They stay.
    Keep,
    /// These take their place.
    Replace(Sealed),
    /// Nothing is stored any more.
    Remove,
}

/// A credential with what is stored of its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedCredential {
    /// Its project.
    pub project: ProjectName,
    /// The credential.
    pub credential: Credential,
    /// Its stored secrets; absent: all come from elsewhere.
    pub sealed: Option<Sealed>,
}

impl Definition for Credential {
    const KIND: Kind = Kind::Credential;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Credential(self.name.clone())
    }
}

impl Store {
    /// Makes or changes a credential, and its secrets with it.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_credential(
        &self,
        project: &ProjectName,
        spec: &Credential,
        secrets: SecretChange,
        change: &Change,
    ) -> Result<Put<Credential>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| put(write, &project, &spec, &secrets, &change)).await
    }

    /// A credential.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_credential(
        &self,
        project: &ProjectName,
        name: &CredentialName,
    ) -> Result<Option<Stored<Credential>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every credential of a project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_credentials(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Credential>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// When the stored secrets of a credential were given; absent: none are stored.
    ///
    /// # Errors
    /// The database failed.
    pub async fn secrets_stored_at(
        &self,
        project: &ProjectName,
        name: &CredentialName,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| {
            let at: Option<i64> = sql.row(
                "SELECT stored_at FROM secret WHERE project = $1 AND credential = $2",
                params![project.as_str(), name.as_str()],
                |row| row.get(0),
            )?;
            Ok(at.map(instant))
        })
        .await
    }

    /// The credentials of a project with their sealed secrets, as of one moment. Those that cannot
    /// be read are left out and named.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sealed_credentials(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<SealedCredential>, StoreError> {
        let project = project.clone();
        self.read(move |sql| sealed_of(sql, &project)).await
    }

    /// Every credential of every project that has sealed secrets.
    ///
    /// # Errors
    /// One cannot be read, or the database failed.
    pub async fn all_sealed_credentials(&self) -> Result<Vec<SealedCredential>, StoreError> {
        self.read(all_sealed).await
    }

    /// Puts secrets in the place of the same ones sealed under another key, all or none. What was
    /// removed meanwhile stays removed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reseal(
        &self,
        secrets: Vec<(ProjectName, CredentialName, Sealed)>,
    ) -> Result<(), StoreError> {
        self.write(move |write| {
            for (project, credential, Sealed { key_id, bytes }) in &secrets {
                write.sql.execute(
                    "UPDATE secret SET key_id = $3, sealed = $4 \
                     WHERE project = $1 AND credential = $2",
                    params![project.as_str(), credential.as_str(), key_id, bytes],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes a credential that no stage names, and its secrets.
    ///
    /// # Errors
    /// It is not there, named by stages, was changed, or the database failed.
    pub async fn delete_credential(
        &self,
        project: &ProjectName,
        name: &CredentialName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| delete(write, &project, &name, &change)).await
    }
}

fn put(
    write: &mut Write<'_>,
    project: &ProjectName,
    spec: &Credential,
    secrets: &SecretChange,
    change: &Change,
) -> Result<Put<Credential>, PutError> {
    let (put, _) = definition::put(write, project, spec, change)?;
    // The spec holds a fingerprint of each stored secret: the same spec has the same secrets.
    if put.outcome == Outcome::Unchanged {
        return Ok(put);
    }
    match secrets {
        SecretChange::Keep => {}
        SecretChange::Replace(Sealed { key_id, bytes }) => {
            write.sql.execute(
                "INSERT INTO secret (project, credential, key_id, sealed, stored_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (project, credential) DO UPDATE SET \
                 key_id = excluded.key_id, sealed = excluded.sealed, \
                 stored_at = excluded.stored_at",
                params![project.as_str(), spec.name.as_str(), key_id, bytes, micros(change.at)],
            )?;
        }
        SecretChange::Remove => forget(write, project, &spec.name)?,
    }
    look_again(write, project, change.at)?;
    wake_users(write, project, Kind::Credential, spec.name.as_str(), change.at)?;
    Ok(put)
}

fn forget(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &CredentialName,
) -> Result<(), StoreError> {
    write.sql.execute(
        "DELETE FROM secret WHERE project = $1 AND credential = $2",
        params![project.as_str(), name.as_str()],
    )?;
    Ok(())
}

/// Has warehouses whose last look failed look again.
fn look_again(
    write: &mut Write<'_>,
    project: &ProjectName,
    now: Timestamp,
) -> Result<(), StoreError> {
    for row in definition::rows(write.sql, project, Kind::Warehouse)? {
        let Ok(warehouse) = row.name.parse::<WarehouseName>() else { continue };
        let found = discovery::load(write.sql, project, &warehouse, &mut Vec::new())?;
        if found.values().all(|found| found.error.is_none()) {
            continue;
        }
        write.sql.execute(
            "INSERT INTO refresh (project, warehouse, asked_at) VALUES ($1, $2, $3) \
             ON CONFLICT (project, warehouse) DO UPDATE SET asked_at = excluded.asked_at",
            params![project.as_str(), warehouse.as_str(), micros(now)],
        )?;
        wake(write, &WakeKey::Warehouse(project.clone(), warehouse), now)?;
    }
    Ok(())
}

fn delete(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &CredentialName,
    change: &Change,
) -> Result<(), DeleteError> {
    let users = crate::stage::users(write.sql, project, Kind::Credential, name.as_str())?;
    let needed_by = users.iter().map(|stage| format!("stage {stage}")).collect();
    let subject = Subject::Credential(name.clone());
    definition::delete::<Credential>(write, project, name.as_str(), subject, change, needed_by)?;
    forget(write, project, name)?;
    Ok(())
}

fn read_sealed(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    Ok(Sealed { key_id: row.get(0)?, bytes: row.get(1)? })
}

fn sealed_of(sql: Sql<'_>, project: &ProjectName) -> Result<Listed<SealedCredential>, StoreError> {
    let listed = definition::list::<Credential>(sql, project)?;
    let mut items = Vec::with_capacity(listed.items.len());
    for stored in listed.items {
        let sealed = sql.row(
            "SELECT key_id, sealed FROM secret WHERE project = $1 AND credential = $2",
            params![project.as_str(), stored.spec.name.as_str()],
            read_sealed,
        )?;
        let credential = stored.spec;
        items.push(SealedCredential { project: project.clone(), credential, sealed });
    }
    Ok(Listed { items, unreadable: listed.unreadable })
}

fn all_sealed(sql: Sql<'_>) -> Result<Vec<SealedCredential>, StoreError> {
    let projects: Vec<String> =
        sql.rows("SELECT DISTINCT project FROM secret ORDER BY project", [], |row| row.get(0))?;
    let mut all = Vec::new();
    for project in projects {
        let project = name(&project, || format!("project {project}"))?;
        let listed = sealed_of(sql, &project)?;
        if let Some(unreadable) = listed.unreadable.into_iter().next() {
            return Err(StoreError::from(Unreadable::clone(&unreadable)));
        }
        all.extend(listed.items.into_iter().filter(|item| item.sealed.is_some()));
    }
    Ok(all)
}
