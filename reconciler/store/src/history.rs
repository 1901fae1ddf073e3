//! What was recorded of promotions that committed, for replays. Every query is bounded; what is left
//! out for it is said.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{FreightId, ProjectName, PromotionId, StageName};
use reconciler_domain::preview::{Counted, History, Past, PastCommit, Unjudged, Wanted};
use reconciler_domain::promotion::{Entry, Event, Promotion, State};
use rusqlite::{Row, params};

use crate::Store;
use crate::error::{StoreError, Unreadable};
use crate::freight;
use crate::sql::{Sql, instant, micros, name, parsed, unsigned};

/// Of so many stages each is looked up by itself; of more, the whole project is walked through.
const FEW_STAGES: usize = 16;

/// Commits of a project that are looked at to find those of many stages.
const LOOKED_AT_MAX: usize = 10_000;
const CHUNK: u32 = 500;

/// Commits that rates count, at most.
const COUNTED_MAX: u32 = 10_000;

const COLUMNS: &str =
    "SELECT id, stage, freight, fixed, committed_at, place, ended_at FROM promotion";

impl Store {
    /// What was recorded of the newest promotions that committed.
    ///
    /// # Errors
    /// A row of a promotion cannot be read, or the database failed. A log or freight that cannot be
    /// read is told in the history.
    pub async fn history(
        &self,
        project: &ProjectName,
        wanted: &Wanted,
    ) -> Result<History, StoreError> {
        let (project, wanted) = (project.clone(), wanted.clone());
        self.read(move |sql| Reader { sql, project: &project }.history(&wanted)).await
    }
}

struct Reader<'a> {
    sql: Sql<'a>,
    project: &'a ProjectName,
}

/// A promotion that committed.
struct CommitRow {
    id: PromotionId,
    stage: StageName,
    freight: String,
    fixed: String,
    at: i64,
    place: i64,
    ended_at: Option<i64>,
}

impl Reader<'_> {
    fn history(&self, wanted: &Wanted) -> Result<History, StoreError> {
        let (rows, is_whole) = self.newest(&wanted.stages, wanted.limit as usize)?;
        let mut history = History { is_whole, ..History::default() };
        let oldest = rows.last().map(|row| instant(row.at));
        let mut freight = HashMap::new();
        for row in rows {
            let at = instant(row.at);
            match self.past(&row, &mut freight) {
                Ok(past) => history.past.push(past),
                Err(StoreError::Unreadable(error)) => history.unreadable.push(Unjudged {
                    promotion: row.id,
                    stage: row.stage,
                    freight: name(&row.freight, || format!("freight {}", row.freight))?,
                    committed_at: at,
                    why: error.to_string(),
                }),
                Err(error) => return Err(error),
            }
        }
        if let (Some(oldest), Some(counted)) = (oldest, &wanted.counted) {
            self.counted(counted, oldest, &mut history)?;
        }
        Ok(history)
    }

    /// The newest commits to the stages, and whether there are no others.
    fn newest(
        &self,
        stages: &BTreeSet<StageName>,
        limit: usize,
    ) -> Result<(Vec<CommitRow>, bool), StoreError> {
        let mut found = Vec::new();
        let mut is_whole = true;
        if stages.len() <= FEW_STAGES {
            let one_more = u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1);
            for stage in stages {
                found.extend(self.rows(
                    "WHERE project = $1 AND stage = $2 AND committed_at IS NOT NULL \
                     ORDER BY committed_at DESC LIMIT $3",
                    params![self.project.as_str(), stage.as_str(), one_more],
                )?);
            }
            found.sort_by_key(|row| std::cmp::Reverse((row.at, row.place)));
        } else {
            let mut before = (i64::MAX, i64::MAX);
            let mut looked_at = 0;
            loop {
                let rows = self.rows(
                    "WHERE project = $1 AND committed_at IS NOT NULL \
                     AND (committed_at, place) < ($2, $3) \
                     ORDER BY committed_at DESC, place DESC LIMIT $4",
                    params![self.project.as_str(), before.0, before.1, CHUNK],
                )?;
                let is_last = rows.len() < CHUNK as usize;
                looked_at += rows.len();
                before = rows.last().map_or(before, |row| (row.at, row.place));
                found.extend(rows.into_iter().filter(|row| stages.contains(&row.stage)));
                if is_last || found.len() > limit {
                    break;
                }
                if looked_at >= LOOKED_AT_MAX {
                    is_whole = false;
                    break;
                }
            }
        }
        is_whole &= found.len() <= limit;
        found.truncate(limit);
        Ok((found, is_whole))
    }

    fn rows(
        &self,
        rest: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<CommitRow>, StoreError> {
        let rows = self.sql.rows(&format!("{COLUMNS} {rest}"), params, RawRow::read)?;
        let rows = rows.into_iter().map(|row| row.named(self.project));
        Ok(rows.collect::<Result<_, Unreadable>>()?)
    }

    fn past(
        &self,
        row: &CommitRow,
        freight: &mut HashMap<FreightId, Arc<FreightFacts>>,
    ) -> Result<Past, StoreError> {
        let what = || format!("promotion {}/{}", self.project, row.id);
        let promotion: Promotion = parsed(&row.fixed, what)?;
        let state = State::fold(&self.until_commit(&row.id)?)
            .map_err(|error| Unreadable::new(format!("log of {}", what()), error))?;
        for (_, id) in promotion.promoted() {
            if !freight.contains_key(id) {
                let facts = freight::facts(self.sql, self.project, id)?;
                let missing = || Unreadable::new(format!("freight {id}"), "it is missing");
                freight.insert(id.clone(), Arc::new(facts.ok_or_else(missing)?));
            }
        }
        let facts = Arc::clone(&freight[&promotion.freight]);
        let along = promotion.along.values().map(|id| Arc::clone(&freight[id])).collect();
        Ok(Past { promotion, state, facts, along })
    }

    /// The entries of a log that say what was decided about at the commit, the last one if it was sent back;
    /// the many others are not read.
    fn until_commit(&self, id: &PromotionId) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<(i64, i64, String)> = self.sql.rows(
            "SELECT seq, at, event FROM promotion_event \
             WHERE project = $1 AND promotion = $2 AND (event LIKE '{\"event\":\"prepare_started\"%' \
               OR event LIKE '{\"event\":\"prepared\"%' OR event LIKE '{\"event\":\"approved\"%' \
               OR event LIKE '{\"event\":\"committed\"%' \
               OR event LIKE '{\"event\":\"sent_back\"%') ORDER BY seq",
            params![self.project.as_str(), id.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let mut entries = Vec::with_capacity(rows.len());
        for (seq, at, event) in rows {
            let what = || format!("log of promotion {}/{id}, entry {seq}", self.project);
            let event: Event = parsed(&event, what)?;
            entries.push(Entry { seq: unsigned(seq), at: instant(at), event });
        }
        let commit =
            entries.iter().rposition(|entry| matches!(entry.event, Event::Committed { .. }));
        entries.truncate(commit.map_or(0, |commit| commit + 1));
        Ok(entries)
    }

    /// The commits that rates count: since long enough before the oldest that is judged, and what
    /// was under way then.
    fn counted(
        &self,
        counted: &Counted,
        oldest: Timestamp,
        history: &mut History,
    ) -> Result<(), StoreError> {
        let before = SignedDuration::try_from(counted.before).unwrap_or(SignedDuration::MAX);
        let mut since = oldest.checked_sub(before).unwrap_or(Timestamp::MIN);
        let rows = self.rows(
            "WHERE project = $1 AND committed_at >= $2 \
             ORDER BY committed_at DESC, place DESC LIMIT $3",
            params![self.project.as_str(), micros(since), COUNTED_MAX],
        )?;
        if rows.len() == COUNTED_MAX as usize
            && let Some(last) = rows.last()
        {
            // Others may have committed at the same instant.
            since = instant(last.at.saturating_add(1));
        }
        let of_stages = rows.into_iter().filter(|row| counted.stages.contains(&row.stage));
        history.commits.extend(of_stages.map(CommitRow::into_commit));
        let mut known: BTreeSet<PromotionId> =
            history.commits.iter().map(|commit| commit.promotion.clone()).collect();
        for stage in &counted.stages {
            // One promotion at a time holds the slot of a stage: it is the newest before.
            let under_way = self.rows(
                "WHERE project = $1 AND stage = $2 AND committed_at < $3 \
                 ORDER BY committed_at DESC LIMIT 1",
                params![self.project.as_str(), stage.as_str(), micros(since)],
            )?;
            let new = under_way.into_iter().filter(|row| known.insert(row.id.clone()));
            history.commits.extend(new.map(CommitRow::into_commit));
        }
        history.commits_since = Some(since);
        Ok(())
    }
}

/// A row as it is stored.
struct RawRow {
    id: String,
    stage: String,
    freight: String,
    fixed: String,
    at: i64,
    place: i64,
    ended_at: Option<i64>,
}

impl RawRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            stage: row.get(1)?,
            freight: row.get(2)?,
            fixed: row.get(3)?,
            at: row.get(4)?,
            place: row.get(5)?,
            ended_at: row.get(6)?,
        })
    }

    fn named(self, project: &ProjectName) -> Result<CommitRow, Unreadable> {
        let what = || format!("promotion {project}/{}", self.id);
        Ok(CommitRow {
            id: name(&self.id, what)?,
            stage: name(&self.stage, what)?,
            freight: self.freight,
            fixed: self.fixed,
            at: self.at,
            place: self.place,
            ended_at: self.ended_at,
        })
    }
}

impl CommitRow {
    fn into_commit(self) -> PastCommit {
        PastCommit {
            promotion: self.id,
            stage: self.stage,
            at: instant(self.at),
            ended_at: self.ended_at.map(instant),
        }
    }
}
