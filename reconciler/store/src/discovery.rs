//! What subscriptions found when they were last looked at.

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::id::{Principal, ProjectName, SubscriptionName, WarehouseName};
use reconciler_domain::warehouse::{Discovery, Warehouse};
use rusqlite::params;
use serde_json::json;

use crate::Store;
use crate::definition;
use crate::error::{StoreError, Unreadable};
use crate::ledger::{Happened, Subject};
use crate::sql::{Sql, json, micros, name, parsed};
use crate::wake::{WakeKey, wake};
use crate::writer::Write;

/// Why a look at a source was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The warehouse changed or went while its source was looked at; what was found may be of
    /// another source.
    #[error("warehouse {warehouse} changed while its sources were looked at; look again")]
    Stale {
        /// The warehouse.
        warehouse: WarehouseName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a refresh was not asked for.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It is not there.
    #[error("there is no warehouse {warehouse}")]
    NotFound {
        /// The warehouse.
        warehouse: WarehouseName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Records what a look at a source gave, if the warehouse still has the generation that was
    /// read. The ledger hears of it only if the versions changed, or failing began or ended.
    ///
    /// # Errors
    /// The warehouse changed meanwhile, or the database failed.
    pub async fn record_discovery(
        &self,
        project: &ProjectName,
        warehouse: &WarehouseName,
        subscription: &SubscriptionName,
        generation: u64,
        discovery: &Discovery,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let look = Look {
            project: project.clone(),
            warehouse: warehouse.clone(),
            subscription: subscription.clone(),
            discovery: discovery.clone(),
        };
        self.write(move |write| look.record(write, generation, now)).await
    }

    /// Notes that someone wants the sources of a warehouse to be looked at now, and wakes it.
    ///
    /// # Errors
    /// No such warehouse, or the database failed.
    pub async fn ask_refresh(
        &self,
        project: &ProjectName,
        warehouse: &WarehouseName,
        by: &Principal,
        now: Timestamp,
    ) -> Result<(), RefreshError> {
        let (project, warehouse, by) = (project.clone(), warehouse.clone(), by.clone());
        self.write(move |write| ask_refresh(write, &project, &warehouse, &by, now)).await
    }

    /// What the subscriptions of a warehouse found; one whose row cannot be read is absent.
    ///
    /// # Errors
    /// The database failed.
    pub async fn discoveries(
        &self,
        project: &ProjectName,
        warehouse: &WarehouseName,
    ) -> Result<IndexMap<SubscriptionName, Discovery>, StoreError> {
        let (project, warehouse) = (project.clone(), warehouse.clone());
        self.read(move |sql| load(sql, &project, &warehouse, &mut Vec::new())).await
    }
}

struct Look {
    project: ProjectName,
    warehouse: WarehouseName,
    subscription: SubscriptionName,
    discovery: Discovery,
}

impl Look {
    fn record(
        &self,
        write: &mut Write<'_>,
        generation: u64,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let defined =
            definition::get::<Warehouse>(write.sql, &self.project, self.warehouse.as_str())?;
        if defined.is_none_or(|defined| defined.generation != generation) {
            return Err(RecordError::Stale { warehouse: self.warehouse.clone() });
        }
        let before = self.before(write.sql)?;
        write.sql.execute(
            "INSERT INTO discovery (project, warehouse, subscription, found) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (project, warehouse, subscription) \
             DO UPDATE SET found = excluded.found",
            params![
                self.project.as_str(),
                self.warehouse.as_str(),
                self.subscription.as_str(),
                json(&self.discovery)
            ],
        )?;
        let fails = |found: &Discovery| found.error.is_some();
        let news = match &before {
            Some(before) => {
                before.versions != self.discovery.versions
                    || fails(before) != fails(&self.discovery)
            }
            None => true,
        };
        if news {
            self.tell(write, now)?;
        }
        Ok(())
    }

    fn before(&self, sql: Sql<'_>) -> Result<Option<Discovery>, StoreError> {
        let text: Option<String> = sql.row(
            "SELECT found FROM discovery \
             WHERE project = $1 AND warehouse = $2 AND subscription = $3",
            params![self.project.as_str(), self.warehouse.as_str(), self.subscription.as_str()],
            |row| row.get(0),
        )?;
        // What cannot be read is replaced, which mends it.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    fn tell(&self, write: &mut Write<'_>, now: Timestamp) -> Result<(), StoreError> {
        let newest =
            self.discovery.versions.first().map(reconciler_domain::artifact::Artifact::summary);
        let error = self.discovery.error.as_ref().map(|error| error.message.clone());
        let what = match (&error, &newest) {
            (Some(error), _) => format!("could not look: {error}"),
            (None, Some(newest)) => format!("found {newest}"),
            (None, None) => "found nothing".to_owned(),
        };
        write.record(&Happened {
            at: now,
            project: Some(&self.project),
            subject: Subject::Warehouse(self.warehouse.clone()),
            touches: Vec::new(),
            kind: "warehouse.discovered",
            actor: &Principal::Automation,
            summary: format!("subscription {} of {} {what}", self.subscription, self.warehouse),
            body: json!({
                "subscription": self.subscription,
                "versions": self.discovery.versions.len(),
                "newest": newest,
                "error": error,
            }),
        })?;
        Ok(())
    }
}

fn ask_refresh(
    write: &mut Write<'_>,
    project: &ProjectName,
    warehouse: &WarehouseName,
    by: &Principal,
    now: Timestamp,
) -> Result<(), RefreshError> {
    let kind = definition::Kind::Warehouse;
    if definition::row(write.sql, project, kind, warehouse.as_str())?.is_none() {
        return Err(RefreshError::NotFound { warehouse: warehouse.clone() });
    }
    write.sql.execute(
        "INSERT INTO refresh (project, warehouse, asked_at) VALUES ($1, $2, $3) \
         ON CONFLICT (project, warehouse) DO UPDATE SET asked_at = excluded.asked_at",
        params![project.as_str(), warehouse.as_str(), micros(now)],
    )?;
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Warehouse(warehouse.clone()),
        touches: Vec::new(),
        kind: "warehouse.refresh_asked",
        actor: by,
        summary: format!("{by} asked to look at the sources of {warehouse} now"),
        body: json!({}),
    })?;
    wake(write, &WakeKey::Warehouse(project.clone(), warehouse.clone()), now)?;
    Ok(())
}

/// When a refresh was last asked for.
pub(crate) fn refresh_asked_at(
    sql: Sql<'_>,
    project: &ProjectName,
    warehouse: &WarehouseName,
) -> Result<Option<i64>, StoreError> {
    sql.row(
        "SELECT asked_at FROM refresh WHERE project = $1 AND warehouse = $2",
        params![project.as_str(), warehouse.as_str()],
        |row| row.get(0),
    )
}

/// What the subscriptions found, by name.
pub(crate) fn load(
    sql: Sql<'_>,
    project: &ProjectName,
    warehouse: &WarehouseName,
    unreadable: &mut Vec<Unreadable>,
) -> Result<IndexMap<SubscriptionName, Discovery>, StoreError> {
    let rows: Vec<(String, String)> = sql.rows(
        "SELECT subscription, found FROM discovery WHERE project = $1 AND warehouse = $2 \
         ORDER BY subscription",
        params![project.as_str(), warehouse.as_str()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut discovered = IndexMap::new();
    for (subscription, found) in rows {
        let what = || format!("discovery of {project}/{warehouse}, subscription {subscription}");
        let read = name(&subscription, what).and_then(|name| Ok((name, parsed(&found, what)?)));
        match read {
            Ok((name, found)) => {
                discovered.insert(name, found);
            }
            Err(error) => unreadable.push(error),
        }
    }
    Ok(discovered)
}
