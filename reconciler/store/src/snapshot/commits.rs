//! Commits that rates count.

use std::collections::BTreeSet;

use reconciler_domain::id::{ProjectName, StageName};
use reconciler_domain::policy::{Across, Policy};
use reconciler_domain::snapshot::Committed;
use rusqlite::{Row, params};

use crate::definition::{self, Kind};
use crate::error::{StoreError, Unreadable};
use crate::promotion::committed;
use crate::sql::{Sql, instant, name};

/// Commits of a project, newest first, that are looked at before its stages are asked one by one.
const LOOKED_AT: u32 = 2_000;

/// The commits that the rates of the stage's policies count: the newest ones, as many as they can count
/// to, and all that are under way.
pub(super) fn counted(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
    policies: &[Policy],
) -> Result<Vec<Committed>, StoreError> {
    let selecting = policies.iter().filter(|policy| policy.selects(stage));
    let rated: Vec<&Policy> = selecting.filter(|policy| !policy.rates.is_empty()).collect();
    if rated.is_empty() {
        return Ok(Vec::new());
    }
    let rates = rated.iter().flat_map(|policy| &policy.rates);
    let most = rates.filter_map(|rate| rate.most).map(|most| most.count);
    // The promotion that is judged is not counted, and may be among them.
    let newest = most.fold(1, u32::max).saturating_add(1);
    let mut commits = committed(sql, project, stage, newest)?;
    let is_wide = |policy: &&Policy| policy.rates.iter().any(|rate| rate.across == Across::Policy);
    let wide: Vec<&Policy> = rated.into_iter().filter(is_wide).collect();
    if !wide.is_empty() {
        let others = match of_project(sql, project, &wide, newest)? {
            Some(found) => found,
            None => of_each_stage(sql, project, &wide, newest)?,
        };
        commits.extend(others.into_iter().filter(|commit| commit.stage != *stage));
    }
    Ok(commits)
}

/// From the order of the commits of the project: as much is read as is counted, however many stages
/// there are. `None`: the stages that count do not commit often enough among the others.
fn of_project(
    sql: Sql<'_>,
    project: &ProjectName,
    policies: &[&Policy],
    newest: u32,
) -> Result<Option<Vec<Committed>>, StoreError> {
    let enough = usize::try_from(newest).unwrap_or(usize::MAX);
    let counts = |commit: &Committed| policies.iter().any(|it| it.selects(&commit.stage));
    for limit in [newest, newest.max(LOOKED_AT)] {
        let last = last_commits(sql, project, limit)?;
        let is_all = last.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let is_enough = |policy: &&Policy| {
            last.iter().filter(|commit| policy.selects(&commit.stage)).count() >= enough
        };
        if is_all || policies.iter().all(is_enough) {
            let seen: BTreeSet<_> = last.iter().map(|commit| commit.promotion.clone()).collect();
            let under_way = under_way(sql, project)?.into_iter();
            let longer = under_way.filter(|commit| !seen.contains(&commit.promotion));
            return Ok(Some(last.into_iter().chain(longer).filter(counts).collect()));
        }
    }
    Ok(None)
}

/// Those of stages that are gone are not counted any more.
const COMMITS: &str = "SELECT id, stage, committed_at, ended_at IS NOT NULL FROM promotion \
     WHERE project = $1 AND committed_at IS NOT NULL AND EXISTS (SELECT 1 FROM definition \
       WHERE definition.project = $1 AND kind = 'stage' AND definition.name = promotion.stage)";

fn last_commits(
    sql: Sql<'_>,
    project: &ProjectName,
    limit: u32,
) -> Result<Vec<Committed>, StoreError> {
    let text = format!("{COMMITS} ORDER BY committed_at DESC, place DESC LIMIT $2");
    let rows = sql.rows(&text, params![project.as_str(), limit], read)?;
    Ok(rows.into_iter().map(|row| parse(project, row)).collect::<Result<_, _>>()?)
}

fn under_way(sql: Sql<'_>, project: &ProjectName) -> Result<Vec<Committed>, StoreError> {
    // By the index of the slots: there are as many as there are stages, and commits grow for ever.
    let text = COMMITS.replace("FROM promotion ", "FROM promotion INDEXED BY promotion_slot ");
    let text = format!("{text} AND slot = 1 AND ended_at IS NULL");
    let rows = sql.rows(&text, params![project.as_str()], read)?;
    Ok(rows.into_iter().map(|row| parse(project, row)).collect::<Result<_, _>>()?)
}

type Found = (String, String, i64, bool);

fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn parse(project: &ProjectName, (id, stage, at, over): Found) -> Result<Committed, Unreadable> {
    let what = || format!("promotion {project}/{id}");
    let (promotion, stage) = (name(&id, what)?, name(&stage, what)?);
    Ok(Committed { promotion, stage, at: instant(at), over })
}

/// Of each stage that counts, one after the other.
fn of_each_stage(
    sql: Sql<'_>,
    project: &ProjectName,
    policies: &[&Policy],
    newest: u32,
) -> Result<Vec<Committed>, StoreError> {
    let mut commits = Vec::new();
    for row in definition::rows(sql, project, Kind::Stage)? {
        let Ok(stage) = row.name.parse::<StageName>() else { continue };
        if policies.iter().any(|policy| policy.selects(&stage)) {
            commits.extend(committed(sql, project, &stage, newest)?);
        }
    }
    Ok(commits)
}
