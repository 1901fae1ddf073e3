//! Freight and what happened to it: approvals past the upstream, stages that vouch for it. Its stays
//! are written by `stay`; lists of it are read by `listing`.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::artifact::Artifact;
use reconciler_domain::freight::{Freight, FreightFacts, FreightFilter, Stay};
use reconciler_domain::id::{
    Alias, FreightId, Principal, ProjectName, StageName, SubscriptionName, WarehouseName,
};
use rusqlite::{Row, params};
use serde_json::json;

use crate::Store;
use crate::counter::{raise_counter, raise_revision};
use crate::definition::{self, Kind};
use crate::error::{StoreError, Unreadable};
use crate::kept;
use crate::ledger::{Happened, Subject};
use crate::page::{Page, Paged};
use crate::sql::{Sql, instant, json, micros, name, parsed, signed, whole_micros};
use crate::wake::{wake_stage, wake_users};
use crate::writer::Write;

mod listing;

/// Digits of an id that are enough to look freight up by.
pub const PREFIX_MIN: usize = 4;

/// Why freight was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateFreightError {
    /// Its warehouse is gone.
    #[error("there is no warehouse {warehouse}; it was deleted meanwhile")]
    NoWarehouse {
        /// The warehouse.
        warehouse: WarehouseName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why freight was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindFreightError {
    /// The text says too little, or is no part of an id.
    #[error(
        "{text:?} does not name freight: give an alias, or at least {PREFIX_MIN} digits of its id"
    )]
    TooShort {
        /// The text.
        text: String,
    },
    /// None has such an id.
    #[error("there is no freight {text}")]
    NotFound {
        /// The text.
        text: String,
    },
    /// Several have such an id.
    #[error("{text} is the beginning of several ids; give more digits")]
    Ambiguous {
        /// The text.
        text: String,
        /// Some of them.
        ids: Vec<FreightId>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why something was not noted about freight.
#[derive(Debug, thiserror::Error)]
pub enum FreightError {
    /// No such freight.
    #[error("there is no freight {freight}")]
    NoFreight {
        /// The freight.
        freight: FreightId,
    },
    /// No such stage.
    #[error("there is no stage {stage}")]
    NoStage {
        /// The stage.
        stage: StageName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes freight and wakes the stages that request it. `None`: it exists already.
    ///
    /// # Errors
    /// The warehouse is gone, or the database failed.
    pub async fn create_freight(
        &self,
        project: &ProjectName,
        warehouse: &WarehouseName,
        id: &FreightId,
        artifacts: &IndexMap<SubscriptionName, Artifact>,
        now: Timestamp,
    ) -> Result<Option<Freight>, CreateFreightError> {
        let project = project.clone();
        let freight = Freight {
            id: id.clone(),
            warehouse: warehouse.clone(),
            artifacts: artifacts.clone(),
            created_at: whole_micros(now),
            sequence: 0,
        };
        self.write(move |write| create(write, &project, freight)).await
    }

    /// Freight by its id or the beginning of it.
    ///
    /// # Errors
    /// None or several match, it cannot be read, or the database failed.
    pub async fn find_freight(
        &self,
        project: &ProjectName,
        id_or_prefix: &str,
    ) -> Result<FreightFacts, FindFreightError> {
        let (project, text) = (project.clone(), id_or_prefix.to_owned());
        self.read(move |sql| find(sql, &project, text)).await
    }

    /// Freight by its id.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn freight(
        &self,
        project: &ProjectName,
        id: &FreightId,
    ) -> Result<Option<FreightFacts>, StoreError> {
        let (project, id) = (project.clone(), id.clone());
        self.read(move |sql| facts(sql, &project, &id)).await
    }

    /// Freight of a project that a filter admits, newest first. However little it admits, a page
    /// looks at so many at most: it may hold less than its limit, and there is a next one all the
    /// same.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_freight(
        &self,
        project: &ProjectName,
        filter: &FreightFilter,
        page: Page,
    ) -> Result<Paged<FreightFacts>, StoreError> {
        let (project, filter) = (project.clone(), filter.clone());
        self.read(move |sql| listing::list(sql, &project, &filter, page)).await
    }

    /// Opens a stage for freight past its upstream. Once is enough: later calls change nothing.
    ///
    /// # Errors
    /// No such freight or stage, or the database failed.
    pub async fn approve_freight(
        &self,
        project: &ProjectName,
        freight: &FreightId,
        stage: &StageName,
        by: &Principal,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), FreightError> {
        let (project, freight, stage) = (project.clone(), freight.clone(), stage.clone());
        let (by, reason) = (by.clone(), reason.to_owned());
        self.write(move |write| approve(write, &project, &freight, &stage, &by, &reason, now)).await
    }

    /// Notes that a stage vouches for freight that no promotion brings there: a stage without
    /// steps. Once is enough: later calls change nothing.
    ///
    /// # Errors
    /// No such freight or stage, or the database failed.
    pub async fn mark_verified(
        &self,
        project: &ProjectName,
        freight: &FreightId,
        stage: &StageName,
        now: Timestamp,
    ) -> Result<(), FreightError> {
        let (project, freight, stage) = (project.clone(), freight.clone(), stage.clone());
        self.write(move |write| pass(write, &project, &freight, &stage, now)).await
    }
}

fn create(
    write: &mut Write<'_>,
    project: &ProjectName,
    mut freight: Freight,
) -> Result<Option<Freight>, CreateFreightError> {
    let warehouse = freight.warehouse.as_str();
    if definition::row(write.sql, project, Kind::Warehouse, warehouse)?.is_none() {
        return Err(CreateFreightError::NoWarehouse { warehouse: freight.warehouse });
    }
    if exists(write.sql, project, &freight.id)? {
        return Ok(None);
    }
    freight.sequence = signed(raise_counter(write, project.as_str(), "freight")?);
    write.sql.execute(
        "INSERT INTO freight (project, id, warehouse, sequence, artifacts, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            project.as_str(),
            freight.id.as_str(),
            warehouse,
            freight.sequence,
            json(&freight.artifacts),
            micros(freight.created_at)
        ],
    )?;
    raise_revision(write, project)?;
    write.record(&Happened {
        at: freight.created_at,
        project: Some(project),
        subject: Subject::Freight(freight.id.clone()),
        touches: vec![Subject::Project, Subject::Warehouse(freight.warehouse.clone())],
        kind: "freight.created",
        actor: &Principal::Automation,
        summary: format!("freight {} of {warehouse}: {}", freight.id.short(), freight.summary()),
        body: json!({ "warehouse": warehouse, "artifacts": freight.artifacts }),
    })?;
    wake_users(write, project, Kind::Warehouse, warehouse, freight.created_at)?;
    Ok(Some(freight))
}

fn approve(
    write: &mut Write<'_>,
    project: &ProjectName,
    freight: &FreightId,
    stage: &StageName,
    by: &Principal,
    reason: &str,
    now: Timestamp,
) -> Result<(), FreightError> {
    check_both(write.sql, project, freight, stage)?;
    let new = write.sql.execute(
        "INSERT INTO freight_approval (project, freight, stage, approved_by, reason, approved_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project, freight, stage) DO NOTHING",
        params![project.as_str(), freight.as_str(), stage.as_str(), json(by), reason, micros(now)],
    )?;
    if new == 0 {
        return Ok(());
    }
    raise_revision(write, project)?;
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Freight(freight.clone()),
        touches: vec![Subject::Project, Subject::Stage(stage.clone())],
        kind: "freight.approved",
        actor: by,
        summary: format!("{by} opened {stage} for freight {}: {reason}", freight.short()),
        body: json!({ "stage": stage, "reason": reason }),
    })?;
    wake_stage(write, project, stage, now)?;
    Ok(())
}

fn pass(
    write: &mut Write<'_>,
    project: &ProjectName,
    freight: &FreightId,
    stage: &StageName,
    now: Timestamp,
) -> Result<(), FreightError> {
    check_both(write.sql, project, freight, stage)?;
    if !vouch(write, project, freight, stage, now)? {
        return Ok(());
    }
    raise_revision(write, project)?;
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Freight(freight.clone()),
        touches: vec![Subject::Project, Subject::Stage(stage.clone())],
        kind: "freight.passed",
        actor: &Principal::Automation,
        summary: format!("freight {} passed {stage}, which has no steps", freight.short()),
        body: json!({ "stage": stage }),
    })?;
    wake_users(write, project, Kind::Stage, stage.as_str(), now)?;
    Ok(())
}

fn check_both(
    sql: Sql<'_>,
    project: &ProjectName,
    freight: &FreightId,
    stage: &StageName,
) -> Result<(), FreightError> {
    if !exists(sql, project, freight)? {
        return Err(FreightError::NoFreight { freight: freight.clone() });
    }
    if definition::row(sql, project, Kind::Stage, stage.as_str())?.is_none() {
        return Err(FreightError::NoStage { stage: stage.clone() });
    }
    Ok(())
}

/// Notes that the stage vouches for the freight; whether it did not before.
pub(crate) fn vouch(
    write: &mut Write<'_>,
    project: &ProjectName,
    freight: &FreightId,
    stage: &StageName,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let new = write.sql.execute(
        "INSERT INTO verified (project, freight, stage, verified_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (project, freight, stage) DO NOTHING",
        params![project.as_str(), freight.as_str(), stage.as_str(), micros(at)],
    )?;
    Ok(new == 1)
}

/// Takes back that the stage vouches for the freight. Where it is beyond that stage is told, and left
/// as it is.
pub(crate) fn withdraw(
    write: &mut Write<'_>,
    project: &ProjectName,
    freight: &FreightId,
    stage: &StageName,
    at: Timestamp,
) -> Result<(), StoreError> {
    let gone = write.sql.execute(
        "DELETE FROM verified WHERE project = $1 AND freight = $2 AND stage = $3",
        params![project.as_str(), freight.as_str(), stage.as_str()],
    )?;
    if gone == 0 {
        return Ok(());
    }
    let elsewhere: Vec<String> = write.sql.rows(
        "SELECT DISTINCT stage FROM stay WHERE project = $1 AND freight = $2 AND stage <> $3 \
         AND left_at IS NULL ORDER BY stage",
        params![project.as_str(), freight.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    let beyond = match elsewhere.as_slice() {
        [] => String::new(),
        elsewhere => format!("; it is in {} too", elsewhere.join(", ")),
    };
    write.record(&Happened {
        at,
        project: Some(project),
        subject: Subject::Freight(freight.clone()),
        touches: vec![Subject::Stage(stage.clone())],
        kind: "freight.withdrawn",
        actor: &Principal::Automation,
        summary: format!("stage {stage} no longer vouches for freight {}{beyond}", freight.short()),
        body: json!({ "stage": stage, "elsewhere": elsewhere }),
    })?;
    Ok(())
}

pub(crate) fn exists(
    sql: Sql<'_>,
    project: &ProjectName,
    id: &FreightId,
) -> Result<bool, StoreError> {
    sql.exists(
        "SELECT 1 FROM freight WHERE project = $1 AND id = $2",
        params![project.as_str(), id.as_str()],
    )
}

fn find(
    sql: Sql<'_>,
    project: &ProjectName,
    text: String,
) -> Result<FreightFacts, FindFreightError> {
    const SHOWN: u32 = 5;
    if let Ok(alias) = text.parse::<Alias>()
        && let Some(id) = kept::freight_of(sql, project, &alias)?
    {
        return facts(sql, project, &id)?.ok_or(FindFreightError::NotFound { text });
    }
    let digits = text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    if !digits || text.len() < PREFIX_MIN {
        return Err(FindFreightError::TooShort { text });
    }
    // `g` follows every digit, so this is the range of ids that begin with the text.
    let ids: Vec<String> = sql.rows(
        "SELECT id FROM freight WHERE project = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT $4",
        params![project.as_str(), text, format!("{text}g"), SHOWN],
        |row| row.get(0),
    )?;
    let ids: Vec<FreightId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    match ids.as_slice() {
        [] => Err(FindFreightError::NotFound { text }),
        [id] => facts(sql, project, id)?.ok_or(FindFreightError::NotFound { text }),
        [_, _, ..] => Err(FindFreightError::Ambiguous { text, ids }),
    }
}

/// Freight of a warehouse with a smaller sequence, newest first.
pub(crate) fn of_warehouse(
    sql: Sql<'_>,
    project: &ProjectName,
    warehouse: &WarehouseName,
    before: i64,
    limit: u32,
) -> Result<Vec<FreightRow>, StoreError> {
    sql.rows(
        &format!(
            "{COLUMNS} WHERE project = $1 AND warehouse = $2 AND sequence < $3 \
             ORDER BY sequence DESC LIMIT $4"
        ),
        params![project.as_str(), warehouse.as_str(), before, limit],
        FreightRow::read,
    )
}

/// Ids of every freight of a warehouse.
pub(crate) fn ids_of_warehouse(
    sql: Sql<'_>,
    project: &ProjectName,
    warehouse: &WarehouseName,
) -> Result<BTreeSet<FreightId>, StoreError> {
    let ids: Vec<String> = sql.rows(
        "SELECT id FROM freight WHERE project = $1 AND warehouse = $2",
        params![project.as_str(), warehouse.as_str()],
        |row| row.get(0),
    )?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// One freight and what happened to it.
pub(crate) fn facts(
    sql: Sql<'_>,
    project: &ProjectName,
    id: &FreightId,
) -> Result<Option<FreightFacts>, StoreError> {
    let row = sql.row(
        &format!("{COLUMNS} WHERE project = $1 AND id = $2"),
        params![project.as_str(), id.as_str()],
        FreightRow::read,
    )?;
    row.map(|row| row.facts(sql, project)).transpose()
}

pub(crate) const COLUMNS: &str =
    "SELECT id, warehouse, sequence, artifacts, created_at, metadata FROM freight";

/// A freight's row.
pub(crate) struct FreightRow {
    pub(crate) id: String,
    warehouse: String,
    sequence: i64,
    artifacts: String,
    created_at: i64,
    metadata: String,
}

impl FreightRow {
    /// Reads the columns of freight, which come first.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            warehouse: row.get(1)?,
            sequence: row.get(2)?,
            artifacts: row.get(3)?,
            created_at: row.get(4)?,
            metadata: row.get(5)?,
        })
    }

    /// The freight itself.
    pub(crate) fn freight(&self, project: &ProjectName) -> Result<Freight, Unreadable> {
        let what = || format!("freight {project}/{}", self.id);
        Ok(Freight {
            id: name(&self.id, what)?,
            warehouse: name(&self.warehouse, what)?,
            artifacts: parsed(&self.artifacts, what)?,
            created_at: instant(self.created_at),
            sequence: self.sequence,
        })
    }

    /// The freight and what happened to it.
    pub(crate) fn facts(
        &self,
        sql: Sql<'_>,
        project: &ProjectName,
    ) -> Result<FreightFacts, StoreError> {
        let what = || format!("freight {project}/{}", self.id);
        let freight = self.freight(project)?;
        let key = params![project.as_str(), self.id];
        let approved: Vec<(String, i64)> = sql.rows(
            "SELECT stage, approved_at FROM freight_approval WHERE project = $1 AND freight = $2",
            key,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let verified: Vec<(String, i64)> = sql.rows(
            "SELECT stage, verified_at FROM verified WHERE project = $1 AND freight = $2",
            key,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let stays: Vec<(String, i64, Option<i64>)> = sql.rows(
            "SELECT stage, entered_at, left_at FROM stay WHERE project = $1 AND freight = $2 \
             ORDER BY stage, entered_at",
            key,
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let aliases: Vec<String> = sql.rows(
            "SELECT alias FROM freight_alias WHERE project = $1 AND freight = $2",
            key,
            |row| row.get(0),
        )?;
        let mut facts = FreightFacts::new(freight);
        facts.metadata = parsed(&self.metadata, what)?;
        for alias in aliases {
            facts.aliases.insert(name(&alias, what)?);
        }
        for (stage, at) in approved {
            facts.approved_for.insert(name(&stage, what)?, instant(at));
        }
        for (stage, at) in verified {
            facts.verified_in.insert(name(&stage, what)?, instant(at));
        }
        for (stage, entered_at, left_at) in stays {
            let stay = Stay { entered_at: instant(entered_at), left_at: left_at.map(instant) };
            facts.stays.entry(name(&stage, what)?).or_default().push(stay);
        }
        Ok(facts)
    }
}
