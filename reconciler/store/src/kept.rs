//! What steps note about stages and freight, and aliases of freight. Written with the outcome of the step,
//! and only where what was there when that was decided is still there.

use std::collections::{BTreeMap, BTreeSet};

use reconciler_domain::id::{Alias, FreightId, ProjectName, StageName};
use reconciler_domain::promotion::Promotion;
use reconciler_domain::step::{KeptAt, KeptChange};
use rusqlite::params;
use serde_json::{Map, Value};

use crate::Store;
use crate::error::StoreError;
use crate::sql::{Sql, json, name, parsed};
use crate::writer::Write;

impl Store {
    /// What is noted about a stage, by key.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn stage_metadata(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Map<String, Value>, StoreError> {
        let (project, stage) = (project.clone(), stage.clone());
        self.read(move |sql| of_stage(sql, &project, &stage)).await
    }
}

/// Makes the changes, if each finds what was there before; `false`: one does not, and what was made of
/// the others has to be undone with the transaction.
pub(crate) fn change(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &Promotion,
    changes: &[KeptChange],
) -> Result<bool, StoreError> {
    let stage = &promotion.stage;
    let mut noted =
        (of_stage(write.sql, project, stage)?, of_freight(write.sql, project, promotion)?);
    let before = noted.clone();
    for KeptChange { at, before, after } in changes {
        let stands = match at {
            KeptAt::Stage(key) => swap(&mut noted.0, key, before.as_ref(), after.as_ref()),
            KeptAt::Freight(key) => swap(&mut noted.1, key, before.as_ref(), after.as_ref()),
            KeptAt::Alias(alias) => {
                swap_alias(write, project, alias, before.as_ref(), after.as_ref())?
            }
        };
        if !stands {
            return Ok(false);
        }
    }
    if noted.0 != before.0 {
        write.sql.execute(
            "INSERT INTO stage_metadata (project, stage, metadata) VALUES ($1, $2, $3) \
             ON CONFLICT (project, stage) DO UPDATE SET metadata = excluded.metadata",
            params![project.as_str(), stage.as_str(), json(&noted.0)],
        )?;
    }
    if noted.1 != before.1 {
        write.sql.execute(
            "UPDATE freight SET metadata = $1 WHERE project = $2 AND id = $3",
            params![json(&noted.1), project.as_str(), promotion.freight.as_str()],
        )?;
    }
    Ok(true)
}

/// Puts a value in the place of another; `false`: there is a third one.
fn swap(
    noted: &mut Map<String, Value>,
    key: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> bool {
    if noted.get(key) != before {
        return false;
    }
    match after {
        Some(value) => drop(noted.insert(key.to_owned(), value.clone())),
        None => drop(noted.shift_remove(key)),
    }
    true
}

fn swap_alias(
    write: &mut Write<'_>,
    project: &ProjectName,
    alias: &Alias,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<bool, StoreError> {
    let present = freight_of(write.sql, project, alias)?;
    if present.as_ref().map(FreightId::as_str) != before.and_then(Value::as_str) {
        return Ok(false);
    }
    match after.and_then(Value::as_str) {
        Some(freight) => write.sql.execute(
            "INSERT INTO freight_alias (project, alias, freight) VALUES ($1, $2, $3) \
             ON CONFLICT (project, alias) DO UPDATE SET freight = excluded.freight",
            params![project.as_str(), alias.as_str(), freight],
        )?,
        None => write.sql.execute(
            "DELETE FROM freight_alias WHERE project = $1 AND alias = $2",
            params![project.as_str(), alias.as_str()],
        )?,
    };
    Ok(true)
}

/// What is noted about a stage.
pub(crate) fn of_stage(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Map<String, Value>, StoreError> {
    let text: Option<String> = sql.row(
        "SELECT metadata FROM stage_metadata WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("metadata of stage {project}/{stage}");
    Ok(text.map(|text| parsed(&text, what)).transpose()?.unwrap_or_default())
}

fn of_freight(
    sql: Sql<'_>,
    project: &ProjectName,
    promotion: &Promotion,
) -> Result<Map<String, Value>, StoreError> {
    let freight = &promotion.freight;
    let text: Option<String> = sql.row(
        "SELECT metadata FROM freight WHERE project = $1 AND id = $2",
        params![project.as_str(), freight.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("metadata of freight {project}/{freight}");
    Ok(text.map(|text| parsed(&text, what)).transpose()?.unwrap_or_default())
}

/// Forgets what is noted about a stage that goes.
pub(crate) fn forget_stage(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<(), StoreError> {
    write.sql.execute(
        "DELETE FROM stage_metadata WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
    )?;
    Ok(())
}

/// The freight that has an alias.
pub(crate) fn freight_of(
    sql: Sql<'_>,
    project: &ProjectName,
    alias: &Alias,
) -> Result<Option<FreightId>, StoreError> {
    let id: Option<String> = sql.row(
        "SELECT freight FROM freight_alias WHERE project = $1 AND alias = $2",
        params![project.as_str(), alias.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("alias {project}/{alias}");
    Ok(id.map(|id| name(&id, what)).transpose()?)
}

/// Freight by those of these aliases that it has.
pub(crate) fn named(
    sql: Sql<'_>,
    project: &ProjectName,
    aliases: BTreeSet<Alias>,
) -> Result<BTreeMap<Alias, FreightId>, StoreError> {
    let mut found = BTreeMap::new();
    for alias in aliases {
        let freight = freight_of(sql, project, &alias)?;
        found.extend(freight.map(|freight| (alias, freight)));
    }
    Ok(found)
}
