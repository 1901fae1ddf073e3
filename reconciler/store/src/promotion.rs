//! Promotions: the row that never changes, made and listed. Their logs are in `append`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use reconciler_domain::id::{
    FreightId, Principal, ProjectName, PromotionId, StageName, WarehouseName,
};
use reconciler_domain::promotion::{BypassRequest, Ending, Entry, Event, Phase, Promotion, State};
use reconciler_domain::snapshot::Committed;
use rusqlite::{Row, params};
use serde_json::json;

use crate::Store;
use crate::append::{self, Addition};
use crate::counter::{raise_counter, raise_revision, revision};
use crate::definition::{self, Kind};
use crate::error::{StoreError, Unreadable};
use crate::fold::{self, Folded};
use crate::hold;
use crate::ledger::{Happened, Subject};
use crate::page::{Page, Paged};
use crate::sql::{Sql, instant, json, name, parsed, signed, unsigned, whole_micros};
use crate::wake::{WakeKey, wake};
use crate::writer::Write;

/// A promotion to be made, and what comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPromotion {
    /// Where to.
    pub stage: StageName,
    /// What.
    pub freight: FreightId,
    /// The freight's warehouse.
    pub warehouse: WarehouseName,
    /// Freight of other warehouses that it brings along.
    pub along: BTreeMap<WarehouseName, FreightId>,
    /// Who asks for it.
    pub requester: Principal,
    /// Their groups; automation has none.
    pub groups: BTreeSet<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Variables of the stage that have another value in this promotion.
    pub vars: BTreeMap<String, String>,
    /// Gates that the requester skips by right.
    pub bypass: Option<BypassRequest>,
    /// Whether it goes back to what was there before.
    pub rollback: bool,
    /// Whether it only shows what it would do.
    pub rehearsal: bool,
    /// Promotions that end because of it; none of them may have committed.
    pub supersedes: Vec<PromotionId>,
    /// A hold that the stage gets.
    pub hold: Option<String>,
    /// Whether the stage's hold is lifted.
    pub release_hold: bool,
    /// The revision of the project that the decision was made from; absent: any.
    pub revision: Option<u64>,
}

/// Why a promotion was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreatePromotionError {
    /// Its stage is not there.
    #[error("there is no stage {stage}")]
    NoStage {
        /// The stage.
        stage: StageName,
    },
    /// Freight that it brings is not there, or is of another warehouse.
    #[error("there is no freight {freight} of the warehouse that was named")]
    NoFreight {
        /// The freight.
        freight: FreightId,
    },
    /// The project changed since the decision.
    #[error("the project changed meanwhile (revision {revision}); decide again")]
    Moved {
        /// The present revision.
        revision: u64,
    },
    /// A promotion that was to be superseded is beyond that, or does not exist.
    #[error("promotion {promotion} cannot be superseded any more: it is {phase}")]
    TooLate {
        /// The promotion.
        promotion: PromotionId,
        /// Where it is.
        phase: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which promotions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromotionFilter {
    /// To this stage.
    pub stage: Option<StageName>,
    /// That bring this freight.
    pub freight: Option<FreightId>,
    /// Those that are not over (`true`) or are (`false`).
    pub active: Option<bool>,
    /// Only rehearsals (`true`), or none (`false`).
    pub rehearsal: Option<bool>,
}

/// A promotion in a list. The phase repeats what its log folds to; decisions fold the log.
#[derive(Debug, Clone, PartialEq)]
pub struct PromotionRow {
    /// The promotion.
    pub promotion: Promotion,
    /// Where it is.
    pub phase: Phase,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Entries of its log.
    pub last_seq: u64,
}

impl Store {
    /// Makes a promotion, ends those that it supersedes, and puts or lifts a hold, at once.
    ///
    /// # Errors
    /// The stage or freight is gone, the project changed since the decision, a promotion to be
    /// superseded has committed, or the database failed.
    pub async fn create_promotion(
        &self,
        project: &ProjectName,
        new: &NewPromotion,
        now: Timestamp,
    ) -> Result<Promotion, CreatePromotionError> {
        let (project, new) = (project.clone(), new.clone());
        self.write(move |write| create(write, &project, &new, whole_micros(now))).await
    }

    /// A promotion and its whole log.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn promotion(
        &self,
        project: &ProjectName,
        id: &PromotionId,
    ) -> Result<Option<(Promotion, Vec<Entry>)>, StoreError> {
        let (project, id) = (project.clone(), id.clone());
        self.read(move |sql| {
            let Some(promotion) = fold::fixed(sql, &project, &id)? else { return Ok(None) };
            Ok(Some((promotion, fold::entries(sql, &project, &id, 0, u32::MAX)?)))
        })
        .await
    }

    /// Entries of a promotion's log after this position.
    ///
    /// # Errors
    /// One of them cannot be read, or the database failed.
    pub async fn log(
        &self,
        project: &ProjectName,
        id: &PromotionId,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let (project, id) = (project.clone(), id.clone());
        self.read(move |sql| fold::entries(sql, &project, &id, after_seq, limit)).await
    }

    /// Promotions, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_promotions(
        &self,
        project: &ProjectName,
        filter: &PromotionFilter,
        page: Page,
    ) -> Result<Paged<PromotionRow>, StoreError> {
        let (project, filter) = (project.clone(), filter.clone());
        self.read(move |sql| list(sql, &project, &filter, page)).await
    }
}

fn create(
    write: &mut Write<'_>,
    project: &ProjectName,
    new: &NewPromotion,
    now: Timestamp,
) -> Result<Promotion, CreatePromotionError> {
    check(write.sql, project, new)?;
    let counter = format!("promotion/{}", new.stage);
    let number = raise_counter(write, project.as_str(), &counter)?;
    let promotion = Promotion {
        id: PromotionId::new(&new.stage, number),
        stage: new.stage.clone(),
        freight: new.freight.clone(),
        warehouse: new.warehouse.clone(),
        along: new.along.clone(),
        requester: new.requester.clone(),
        groups: new.groups.clone(),
        reason: new.reason.clone(),
        vars: new.vars.clone(),
        bypass: new.bypass.clone(),
        rollback: new.rollback,
        rehearsal: new.rehearsal,
        created_at: now,
    };
    for superseded in &new.supersedes {
        supersede(write, project, superseded, &promotion)?;
    }
    insert(write, project, &promotion, number)?;
    if let Some(reason) = &new.hold {
        hold::put_automatic(write, project, &new.stage, reason, &new.requester, now)?;
    } else if new.release_hold {
        hold::drop_automatic(write, project, &new.stage)?;
    }
    raise_revision(write, project)?;
    let by = &promotion.requester;
    let verb = if new.rehearsal { "rehearses" } else { "promotes" };
    let mut touches = vec![Subject::Project, Subject::Stage(new.stage.clone())];
    touches.extend(promotion.promoted().map(|(_, freight)| Subject::Freight(freight.clone())));
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Promotion(promotion.id.clone()),
        touches,
        kind: "promotion.created",
        actor: by,
        summary: format!(
            "{by} {verb} freight {} to {}{}",
            promotion.brings_in_short(),
            new.stage,
            new.bypass.as_ref().map(skips).unwrap_or_default()
        ),
        body: json!({
            "promotion": promotion,
            "supersedes": new.supersedes,
            "hold": new.hold,
            "release_hold": new.release_hold,
        }),
    })?;
    wake(write, &WakeKey::Promotion(project.clone(), promotion.id.clone()), now)?;
    wake(write, &WakeKey::Stage(project.clone(), new.stage.clone()), now)?;
    Ok(promotion)
}

/// What a promotion is to skip, at the end of the sentence that it was asked for.
fn skips(bypass: &BypassRequest) -> String {
    let gates: Vec<&str> = bypass.gates.iter().map(|gate| gate.name()).collect();
    let until = bypass.expires.map(|end| format!(" until {end}")).unwrap_or_default();
    format!(" and skips {}{until}: {}", gates.join(", "), bypass.reason)
}

fn check(
    sql: Sql<'_>,
    project: &ProjectName,
    new: &NewPromotion,
) -> Result<(), CreatePromotionError> {
    let present = revision(sql, project)?;
    if new.revision.is_some_and(|meant| meant != present) {
        return Err(CreatePromotionError::Moved { revision: present });
    }
    if definition::row(sql, project, Kind::Stage, new.stage.as_str())?.is_none() {
        return Err(CreatePromotionError::NoStage { stage: new.stage.clone() });
    }
    for (wanted, freight) in std::iter::once((&new.warehouse, &new.freight)).chain(&new.along) {
        let warehouse: Option<String> = sql.row(
            "SELECT warehouse FROM freight WHERE project = $1 AND id = $2",
            params![project.as_str(), freight.as_str()],
            |row| row.get(0),
        )?;
        if warehouse.as_deref() != Some(wanted.as_str()) {
            return Err(CreatePromotionError::NoFreight { freight: freight.clone() });
        }
    }
    Ok(())
}

fn insert(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &Promotion,
    number: u64,
) -> Result<(), StoreError> {
    let place = raise_counter(write, project.as_str(), "promotion")?;
    write.sql.execute(
        "INSERT INTO promotion (project, id, stage, number, freight, place, fixed, last_seq, \
         phase, ended_at, slot, rehearsal) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, NULL, 0, $9)",
        params![
            project.as_str(),
            promotion.id.as_str(),
            promotion.stage.as_str(),
            signed(number),
            promotion.freight.as_str(),
            signed(place),
            json(promotion),
            State::default().phase().label(),
            promotion.rehearsal
        ],
    )?;
    for (_, freight) in promotion.promoted() {
        write.sql.execute(
            "INSERT INTO brought (project, freight, stage, number, promotion) \
             VALUES ($1, $2, $3, $4, $5)",
            params![
                project.as_str(),
                freight.as_str(),
                promotion.stage.as_str(),
                signed(number),
                promotion.id.as_str()
            ],
        )?;
    }
    Ok(())
}

fn supersede(
    write: &mut Write<'_>,
    project: &ProjectName,
    id: &PromotionId,
    by: &Promotion,
) -> Result<(), CreatePromotionError> {
    let too_late = |phase| CreatePromotionError::TooLate { promotion: id.clone(), phase };
    let folded: Option<Folded> = write.folds.take(write.sql, project, id)?;
    let Some(folded) = folded else { return Err(too_late("not there")) };
    match folded.state.phase() {
        Phase::Preparing | Phase::Waiting => {}
        phase @ (Phase::Committing | Phase::Verifying | Phase::Unwinding | Phase::Ended(_)) => {
            return Err(too_late(phase.label()));
        }
    }
    let event = Event::Finished(folded.promotion.superseded_by(by));
    let addition = Addition { actor: by.requester.clone(), event, now: by.created_at, own: false };
    match append::add(write, project, folded, addition) {
        Ok(_) => Ok(()),
        Err(append::AppendError::Store(error)) => Err(error.into()),
        Err(_) => Err(too_late("past that")),
    }
}

fn list(
    sql: Sql<'_>,
    project: &ProjectName,
    filter: &PromotionFilter,
    page: Page,
) -> Result<Paged<PromotionRow>, StoreError> {
    let rows = sql.rows(
        "SELECT id, fixed, phase, ended_at, last_seq, place FROM promotion \
         WHERE project = $1 AND place < $2 \
         AND ($3 IS NULL OR stage = $3) \
         AND ($4 IS NULL OR id IN (SELECT promotion FROM brought \
           WHERE brought.project = $1 AND brought.freight = $4)) \
         AND ($5 IS NULL OR (ended_at IS NULL) = ($5 = 1)) \
         AND ($6 IS NULL OR rehearsal = $6) \
         ORDER BY place DESC LIMIT $7",
        params![
            project.as_str(),
            page.after.map_or(i64::MAX, signed),
            filter.stage.as_ref().map(StageName::as_str),
            filter.freight.as_ref().map(FreightId::as_str),
            filter.active.map(i64::from),
            filter.rehearsal.map(i64::from),
            page.limit
        ],
        ListRow::read,
    )?;
    let full = rows.len() == page.limit as usize;
    let next = rows.last().filter(|_| full).map(|row| row.place);
    let mut paged = Paged { items: Vec::new(), unreadable: Vec::new(), next };
    for row in rows {
        match row.parse(project) {
            Ok(row) => paged.items.push(row),
            Err(error) => paged.unreadable.push(error),
        }
    }
    Ok(paged)
}

struct ListRow {
    id: String,
    fixed: String,
    phase: String,
    ended_at: Option<i64>,
    last_seq: u64,
    place: u64,
}

impl ListRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            fixed: row.get(1)?,
            phase: row.get(2)?,
            ended_at: row.get(3)?,
            last_seq: unsigned(row.get(4)?),
            place: unsigned(row.get(5)?),
        })
    }

    fn parse(self, project: &ProjectName) -> Result<PromotionRow, Unreadable> {
        let what = || format!("promotion {project}/{}", self.id);
        let phase = phase(&self.phase)
            .ok_or_else(|| Unreadable::new(what(), format!("unknown phase {:?}", self.phase)))?;
        Ok(PromotionRow {
            promotion: parsed(&self.fixed, what)?,
            phase,
            ended_at: self.ended_at.map(instant),
            last_seq: self.last_seq,
        })
    }
}

/// The phase of a promotion that is verified anew, as its row has it.
pub(crate) const REVERIFYING: &str = "reverifying";

/// The phase as the row repeats it. What succeeded and is verified anew is told apart, because it is
/// still the last one that succeeded.
pub(crate) fn row_phase(state: &State) -> &'static str {
    match state.phase() {
        Phase::Verifying if state.stands() => REVERIFYING,
        phase => phase.label(),
    }
}

fn phase(label: &str) -> Option<Phase> {
    if label == REVERIFYING {
        return Some(Phase::Verifying);
    }
    let under_way =
        [Phase::Preparing, Phase::Waiting, Phase::Committing, Phase::Verifying, Phase::Unwinding];
    let ended = Ending::ALL.into_iter().map(Phase::Ended);
    under_way.into_iter().chain(ended).find(|phase| phase.label() == label)
}

/// Ids of the promotions to a stage that are not over, oldest first; rehearsals are none.
pub(crate) fn running(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Vec<PromotionId>, StoreError> {
    let ids: Vec<String> = sql.rows(
        "SELECT id FROM promotion WHERE project = $1 AND stage = $2 AND ended_at IS NULL \
           AND rehearsal = 0 ORDER BY number",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("promotion to stage {project}/{stage}");
    Ok(ids.iter().map(|id| crate::sql::name(id, what)).collect::<Result<_, _>>()?)
}

/// How many rehearsals of a stage are not over.
pub(crate) fn rehearsals(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<usize, StoreError> {
    let counted: Option<i64> = sql.row(
        "SELECT COUNT(*) FROM promotion WHERE project = $1 AND stage = $2 AND ended_at IS NULL \
           AND rehearsal = 1",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    Ok(counted.and_then(|counted| usize::try_from(counted).ok()).unwrap_or(0))
}

/// The newest commits of promotions to a stage, and all that are under way.
pub(crate) fn committed(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
    newest: u32,
) -> Result<Vec<Committed>, StoreError> {
    let rows: Vec<(String, i64, bool)> = sql.rows(
        "SELECT id, committed_at, ended_at IS NOT NULL FROM promotion \
         WHERE project = $1 AND stage = $2 AND committed_at IS NOT NULL \
           AND (ended_at IS NULL OR id IN ( \
             SELECT id FROM promotion WHERE project = $1 AND stage = $2 \
               AND committed_at IS NOT NULL ORDER BY committed_at DESC LIMIT $3))",
        params![project.as_str(), stage.as_str(), newest],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut commits = Vec::with_capacity(rows.len());
    for (id, at, over) in rows {
        let promotion = name(&id, || format!("promotion {project}/{id}"))?;
        commits.push(Committed { promotion, stage: stage.clone(), at: instant(at), over });
    }
    Ok(commits)
}

/// The promotion that holds the stage's slot.
pub(crate) fn slot_holder(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<PromotionId>, StoreError> {
    let id: Option<String> = sql.row(
        "SELECT id FROM promotion WHERE project = $1 AND stage = $2 AND slot = 1",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("slot of stage {project}/{stage}");
    Ok(id.map(|id| crate::sql::name(&id, what)).transpose()?)
}
