//! Stays: which freight is in which stage, since when, until when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconciler_domain::freight::Freight;
use reconciler_domain::id::{FreightId, ProjectName, PromotionId, StageName, WarehouseName};
use reconciler_domain::promotion::Promotion;
use rusqlite::params;

use crate::Store;
use crate::error::StoreError;
use crate::freight::FreightRow;
use crate::sql::{Sql, instant, micros, name, parsed};
use crate::writer::Write;

/// Freight that is in a stage now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The freight.
    pub freight: FreightId,
    /// Its warehouse.
    pub warehouse: WarehouseName,
    /// The promotion that brought it.
    pub promotion: PromotionId,
    /// Since when.
    pub entered_at: Timestamp,
    /// Since when the stage vouches for it.
    pub verified_at: Option<Timestamp>,
}

impl Store {
    /// What is in a stage now, by warehouse.
    ///
    /// # Errors
    /// A row cannot be read, or the database failed.
    pub async fn occupants(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Vec<Occupant>, StoreError> {
        let (project, stage) = (project.clone(), stage.clone());
        self.read(move |sql| occupants(sql, &project, &stage)).await
    }

    /// Where all freight of a project is and goes.
    ///
    /// # Errors
    /// A row cannot be read, or the database failed.
    pub async fn whereabouts(&self, project: &ProjectName) -> Result<Whereabouts, StoreError> {
        let project = project.clone();
        self.read(move |sql| whereabouts(sql, &project)).await
    }
}

/// Where freight is, and where it is on its way to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Whereabouts {
    /// What is in each stage now.
    pub there: Vec<(StageName, Freight)>,
    /// What promotions that are not over bring, one by one.
    pub coming: Vec<Coming>,
}

/// A promotion that is not over, with freight that it brings.
#[derive(Debug, Clone, PartialEq)]
pub struct Coming {
    /// The promotion.
    pub promotion: Promotion,
    /// Its freight.
    pub freight: Freight,
    /// Whether it has taken the slot of the stage.
    pub committed: bool,
}

/// Makes these the freight in the stage. Stays that go on are not interrupted.
pub(crate) fn enter(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &PromotionId,
    stage: &StageName,
    freight: &[FreightId],
    at: Timestamp,
) -> Result<(), StoreError> {
    let there: Vec<String> = write.sql.rows(
        "SELECT freight FROM stay WHERE project = $1 AND stage = $2 AND left_at IS NULL",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    for gone in there.iter().filter(|id| !freight.iter().any(|f| f.as_str() == id.as_str())) {
        write.sql.execute(
            "UPDATE stay SET left_at = $1 \
             WHERE project = $2 AND stage = $3 AND freight = $4 AND left_at IS NULL",
            params![micros(at), project.as_str(), stage.as_str(), gone],
        )?;
    }
    for new in freight.iter().filter(|id| !there.iter().any(|there| there == id.as_str())) {
        write.sql.execute(
            "INSERT INTO stay (project, freight, stage, promotion, entered_at, left_at) \
             VALUES ($1, $2, $3, $4, $5, NULL)",
            params![project.as_str(), new.as_str(), stage.as_str(), promotion.as_str(), micros(at)],
        )?;
    }
    Ok(())
}

fn occupants(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Vec<Occupant>, StoreError> {
    let rows: Vec<(String, String, String, i64, Option<i64>)> = sql.rows(
        "SELECT freight.id, freight.warehouse, stay.promotion, stay.entered_at, \
           verified.verified_at \
         FROM stay JOIN freight ON freight.project = stay.project AND freight.id = stay.freight \
         LEFT JOIN verified ON verified.project = stay.project \
           AND verified.freight = stay.freight AND verified.stage = stay.stage \
         WHERE stay.project = $1 AND stay.stage = $2 AND stay.left_at IS NULL \
         ORDER BY freight.warehouse, stay.entered_at",
        params![project.as_str(), stage.as_str()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
    )?;
    let what = || format!("stay in stage {project}/{stage}");
    let mut occupants = Vec::with_capacity(rows.len());
    for (freight, warehouse, promotion, entered_at, verified_at) in rows {
        occupants.push(Occupant {
            freight: name(&freight, what)?,
            warehouse: name(&warehouse, what)?,
            promotion: name(&promotion, what)?,
            entered_at: instant(entered_at),
            verified_at: verified_at.map(instant),
        });
    }
    Ok(occupants)
}

/// Freight that is in the stage now, by warehouse.
pub(crate) fn current(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<BTreeMap<WarehouseName, FreightId>, StoreError> {
    let there = occupants(sql, project, stage)?;
    Ok(there.into_iter().map(|occupant| (occupant.warehouse, occupant.freight)).collect())
}

fn whereabouts(sql: Sql<'_>, project: &ProjectName) -> Result<Whereabouts, StoreError> {
    const FREIGHT: &str = "SELECT freight.id, freight.warehouse, freight.sequence, \
                           freight.artifacts, freight.created_at, freight.metadata";
    let stays: Vec<(FreightRow, String)> = sql.rows(
        &format!(
            "{FREIGHT}, stay.stage FROM stay \
             JOIN freight ON freight.project = stay.project AND freight.id = stay.freight \
             WHERE stay.project = $1 AND stay.left_at IS NULL \
             ORDER BY stay.stage, freight.warehouse"
        ),
        params![project.as_str()],
        |row| Ok((FreightRow::read(row)?, row.get(6)?)),
    )?;
    let running: Vec<(FreightRow, String, String, bool)> = sql.rows(
        &format!(
            "{FREIGHT}, promotion.id, promotion.fixed, promotion.slot FROM promotion \
             JOIN brought ON brought.project = promotion.project \
               AND brought.promotion = promotion.id \
             JOIN freight ON freight.project = promotion.project \
               AND freight.id = brought.freight \
             WHERE promotion.project = $1 AND promotion.ended_at IS NULL AND promotion.rehearsal = 0 \
             ORDER BY promotion.place, freight.sequence"
        ),
        params![project.as_str()],
        |row| Ok((FreightRow::read(row)?, row.get(6)?, row.get(7)?, row.get(8)?)),
    )?;
    let what = || format!("whereabouts of freight of {project}");
    let mut found = Whereabouts::default();
    for (freight, stage) in stays {
        found.there.push((name(&stage, what)?, freight.freight(project)?));
    }
    for (freight, id, fixed, committed) in running {
        found.coming.push(Coming {
            promotion: parsed(&fixed, || format!("promotion {project}/{id}"))?,
            freight: freight.freight(project)?,
            committed,
        });
    }
    Ok(found)
}
