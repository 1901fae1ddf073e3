//! What looks at the infra of stages found, and who asked for one.
//!
//! A look is work on a key like any other (`drift/PROJECT/STAGE`), under a lease that ends. Its result is taken only
//! from whoever holds that lease, of a stage that is still there, and only while no promotion has moved since.

use jiff::Timestamp;
use reconciler_domain::drift::{
    Basis, DriftRecord, DriftSnapshot, HISTORY_MAX, Search, Standing, StateDrift, Unsure,
};
use reconciler_domain::id::{Principal, ProjectName, PromotionId, StageName};
use reconciler_domain::stage::Stage;
use rusqlite::params;
use serde_json::{Value, json};

use crate::Store;
use crate::counter::raise_revision;
use crate::definition::{self, Kind};
use crate::error::{StoreError, Unreadable};
use crate::fold::{self, Folded};
use crate::ledger::{Happened, Subject};
use crate::promotion::slot_holder;
use crate::sql::{Sql, instant, json as text, micros, name, parsed};
use crate::wake::{Lease, WakeKey, is_held, wake, wake_running};
use crate::writer::Write;

/// Why a look was not asked for.
#[derive(Debug, thiserror::Error)]
pub enum AskLookError {
    /// It is not there.
    #[error("there is no stage {stage}")]
    NotFound {
        /// The stage.
        stage: StageName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why what a look found was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordDriftError {
    /// Somebody else works on the stage by now, or it is gone.
    #[error("the look at stage {stage} is no longer ours, or the stage is gone")]
    Lost {
        /// The stage.
        stage: StageName,
    },
    /// A promotion changed the infra meanwhile, or is about to.
    #[error("a promotion moved while stage {stage} was looked at")]
    Overtaken {
        /// The stage.
        stage: StageName,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// What the decision about looks at a stage sees; none: there is no such stage.
    ///
    /// # Errors
    /// The stage or the log of a promotion to it cannot be read, or the database failed.
    pub async fn drift_snapshot(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Option<DriftSnapshot>, StoreError> {
        let (project, stage) = (project.clone(), stage.clone());
        self.read(move |sql| snapshot(sql, &project, &stage)).await
    }

    /// What the last look at a stage found; none: there was none, or it cannot be read.
    ///
    /// # Errors
    /// The database failed.
    pub async fn drift_record(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Option<DriftRecord>, StoreError> {
        let (project, stage) = (project.clone(), stage.clone());
        self.read(move |sql| record(sql, &project, &stage)).await
    }

    /// The promotion that has the slot of a stage.
    ///
    /// # Errors
    /// The database failed.
    pub async fn slot_of(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Option<PromotionId>, StoreError> {
        let (project, stage) = (project.clone(), stage.clone());
        self.read(move |sql| slot_holder(sql, &project, &stage)).await
    }

    /// Notes that someone wants the infra of a stage to be looked at now, and wakes it.
    ///
    /// # Errors
    /// No such stage, or the database failed.
    pub async fn ask_look(
        &self,
        project: &ProjectName,
        stage: &StageName,
        by: &Principal,
        now: Timestamp,
    ) -> Result<(), AskLookError> {
        let (project, stage, by) = (project.clone(), stage.clone(), by.clone());
        self.write(move |write| ask(write, &project, &stage, &by, now)).await
    }

    /// Records what a look under this lease found, which was decided on this snapshot: no promotion may have
    /// committed since, and who had asked for it by then is answered. The ledger hears of it only if it is news.
    ///
    /// # Errors
    /// It no longer counts, or the database failed.
    pub async fn record_drift(
        &self,
        lease: &Lease,
        seen: &DriftSnapshot,
        record: &DriftRecord,
    ) -> Result<(), RecordDriftError> {
        let look = Look {
            project: seen.project.clone(),
            stage: seen.stage.name.clone(),
            epoch: lease.epoch,
            settled: seen.settled.clone(),
            asked_at: seen.asked_at,
            record: record.clone(),
        };
        self.write(move |write| look.record(write)).await
    }
}

struct Look {
    project: ProjectName,
    stage: StageName,
    epoch: u64,
    settled: Option<PromotionId>,
    asked_at: Option<Timestamp>,
    record: DriftRecord,
}

impl Look {
    fn record(&self, write: &mut Write<'_>) -> Result<(), RecordDriftError> {
        let Self { project, stage, record, .. } = self;
        let key = WakeKey::Drift(project.clone(), stage.clone());
        let there = definition::row(write.sql, project, Kind::Stage, stage.as_str())?.is_some();
        if !there || !is_held(write.sql, &key, self.epoch)? {
            return Err(RecordDriftError::Lost { stage: stage.clone() });
        }
        let moved = slot_holder(write.sql, project, stage)?.is_some()
            || newest_committed(write.sql, project, stage)? != self.settled;
        if moved {
            return Err(RecordDriftError::Overtaken { stage: stage.clone() });
        }
        let before = self::record(write.sql, project, stage)?;
        put(write, project, stage, record)?;
        if let Some(asked_at) = self.asked_at {
            answered(write, project, stage, asked_at)?;
        }
        let is_news = before.is_none_or(|before| record.differs(&before));
        if is_news {
            self.tell(write)?;
            wake(write, &WakeKey::Stage(project.clone(), stage.clone()), record.ended_at)?;
        }
        // Gates ask when it was looked: one that says the same as before may open them all the same.
        let waits = wake_running(write, project, stage, record.ended_at)?;
        if is_news || waits {
            raise_revision(write, project)?;
        }
        Ok(())
    }

    fn tell(&self, write: &mut Write<'_>) -> Result<(), StoreError> {
        let Self { project, stage, record, .. } = self;
        let kind = match record.standing() {
            Standing::Clean => "stage.drift_none",
            Standing::Drifted => "stage.drifted",
            Standing::Unknown => "stage.drift_unknown",
        };
        write.record(&Happened {
            at: record.ended_at,
            project: Some(project),
            subject: Subject::Stage(stage.clone()),
            touches: Vec::new(),
            kind,
            actor: &Principal::Automation,
            summary: format!("the infra of stage {stage} was looked at: {}", record.describe()),
            body: json!({ "states": record.states.iter().map(outline).collect::<Vec<_>>() }),
        })?;
        Ok(())
    }
}

/// A state in the ledger: the record has what was found, and is replaced; this stays.
fn outline(state: &StateDrift) -> Value {
    let drifted = state.drifted().map_or(0, |it| it.resources.len() + it.more);
    json!({
        "state": state.state.shown(), "dir": state.dir, "promotion": state.promotion,
        "drifted": drifted, "message": state.describe(),
    })
}

fn ask(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    by: &Principal,
    now: Timestamp,
) -> Result<(), AskLookError> {
    if definition::row(write.sql, project, Kind::Stage, stage.as_str())?.is_none() {
        return Err(AskLookError::NotFound { stage: stage.clone() });
    }
    write.sql.execute(
        "INSERT INTO drift (project, stage, found, asked_at) VALUES ($1, $2, NULL, $3) \
         ON CONFLICT (project, stage) DO UPDATE SET asked_at = excluded.asked_at",
        params![project.as_str(), stage.as_str(), micros(now)],
    )?;
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Stage(stage.clone()),
        touches: Vec::new(),
        kind: "stage.look_asked",
        actor: by,
        summary: format!("{by} asked to look at the infra of stage {stage} now"),
        body: json!({}),
    })?;
    wake(write, &WakeKey::Drift(project.clone(), stage.clone()), now)?;
    Ok(())
}

/// Forgets that a look was asked for, unless somebody asked once more since.
fn answered(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    asked_at: Timestamp,
) -> Result<(), StoreError> {
    write.sql.execute(
        "UPDATE drift SET asked_at = NULL WHERE project = $1 AND stage = $2 AND asked_at = $3",
        params![project.as_str(), stage.as_str(), micros(asked_at)],
    )?;
    Ok(())
}

fn put(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    record: &DriftRecord,
) -> Result<(), StoreError> {
    write.sql.execute(
        "INSERT INTO drift (project, stage, found, asked_at) VALUES ($1, $2, $3, NULL) \
         ON CONFLICT (project, stage) DO UPDATE SET found = excluded.found",
        params![project.as_str(), stage.as_str(), text(record)],
    )?;
    Ok(())
}

/// What the last look found. What cannot be read is replaced by the next one, which mends it.
pub(crate) fn record(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<DriftRecord>, StoreError> {
    let found: Option<Option<String>> = sql.row(
        "SELECT found FROM drift WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    Ok(found.flatten().and_then(|found| serde_json::from_str(&found).ok()))
}

fn asked_at(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<Timestamp>, StoreError> {
    let asked: Option<Option<i64>> = sql.row(
        "SELECT asked_at FROM drift WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    Ok(asked.flatten().map(instant))
}

fn snapshot(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<DriftSnapshot>, StoreError> {
    let found = definition::get::<Stage>(sql, project, stage.as_str())?;
    let Some(defined) = found else { return Ok(None) };
    let History { newest, bases, .. } = history(sql, project, stage)?;
    let settled_at = newest.as_ref().and_then(|newest| newest.state.finish.as_ref());
    let settled_at = settled_at.map(|(at, _)| *at);
    Ok(Some(DriftSnapshot {
        project: project.clone(),
        stage: defined.spec,
        bases,
        settled: newest.map(|newest| newest.promotion.id),
        settled_at,
        slot: slot_holder(sql, project, stage)?,
        record: record(sql, project, stage)?,
        asked_at: asked_at(sql, project, stage)?,
    }))
}

/// What the promotions to a stage that committed tell.
struct History {
    newest: Option<Folded>,
    bases: Vec<Basis>,
    unsure: Vec<Unsure>,
}

/// Reads the promotions to the stage that committed, newest first, as far as they tell of its states.
fn history(sql: Sql<'_>, project: &ProjectName, stage: &StageName) -> Result<History, StoreError> {
    let ids: Vec<String> = sql.rows(
        "SELECT id FROM promotion WHERE project = $1 AND stage = $2 AND committed_at IS NOT NULL \
         ORDER BY committed_at DESC, place DESC LIMIT $3",
        params![project.as_str(), stage.as_str(), HISTORY_MAX],
        |row| row.get(0),
    )?;
    let mut newest = None;
    let mut search = Search::default();
    for id in ids {
        let what = || format!("promotion {project}/{id}");
        let Some(folded) = fold::load(sql, project, &name(&id, what)?)? else { continue };
        let goes_on = search.take(&folded.promotion, &folded.state);
        newest = newest.or(Some(folded));
        if !goes_on {
            break;
        }
    }
    Ok(History { newest, unsure: search.unsure(), bases: search.bases() })
}

fn newest_committed(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<PromotionId>, StoreError> {
    let id: Option<String> = sql.row(
        "SELECT id FROM promotion WHERE project = $1 AND stage = $2 AND committed_at IS NOT NULL \
         ORDER BY committed_at DESC, place DESC LIMIT 1",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("promotion of stage {project}/{stage}");
    Ok(id.map(|id| name(&id, what)).transpose()?)
}

/// A promotion gave the slot of its stage back: what it applied is no longer what was looked at, and looks that were
/// put off are due again.
pub(crate) fn slot_given_back(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    by: &PromotionId,
    now: Timestamp,
) -> Result<(), StoreError> {
    if let Some(mut found) = record(write.sql, project, stage)? {
        let changed = match history(write.sql, project, stage) {
            Ok(history) => found.outdate(&history.bases, &history.unsure, by),
            // A log that cannot be read says nothing of what was applied.
            Err(StoreError::Unreadable(_)) => found.outdate_all(by),
            Err(error) => return Err(error),
        };
        if changed {
            put(write, project, stage, &found)?;
        }
    }
    if asked_at(write.sql, project, stage)?.is_some() || is_watched(write.sql, project, stage)? {
        wake(write, &WakeKey::Drift(project.clone(), stage.clone()), now)?;
    }
    Ok(())
}

fn is_watched(sql: Sql<'_>, project: &ProjectName, stage: &StageName) -> Result<bool, StoreError> {
    let row = definition::row(sql, project, Kind::Stage, stage.as_str())?;
    let spec: Option<Result<Stage, Unreadable>> =
        row.map(|row| parsed(&row.spec, || format!("stage {project}/{stage}")));
    Ok(matches!(spec, Some(Ok(stage)) if stage.drift.is_some()))
}

/// Forgets what was found of a stage that goes.
pub(crate) fn forget_stage(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<(), StoreError> {
    write.sql.execute(
        "DELETE FROM drift WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
    )?;
    Ok(())
}
