//! Promotions with their logs folded, kept by the writer between appends, so that an append costs
//! the same however long the log is.
//!
//! A kept state is used only if the promotion's row has the same last entry, and is forgotten when
//! the work that changed it is undone.

use std::collections::HashMap;

use reconciler_domain::id::{ProjectName, PromotionId};
use reconciler_domain::promotion::{Entry, Event, Promotion, State};
use rusqlite::params;

use crate::error::{StoreError, Unreadable};
use crate::sql::{Sql, instant, parsed, signed, unsigned};

/// A promotion and what its log amounts to.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    pub(crate) promotion: Promotion,
    pub(crate) state: State,
    pub(crate) last_seq: u64,
}

type Key = (ProjectName, PromotionId);

/// Folded promotions by id.
#[derive(Default)]
pub(crate) struct Folds {
    kept: HashMap<Key, Folded>,
    touched: Vec<Key>,
}

/// Promotions kept at most; beyond it all are forgotten and folded anew when needed.
const KEPT_MAX: usize = 512;

impl Folds {
    /// A piece of work begins.
    pub(crate) fn begin(&mut self) {
        self.touched.clear();
    }

    /// The piece of work is undone.
    pub(crate) fn forget_touched(&mut self) {
        for key in self.touched.drain(..) {
            self.kept.remove(&key);
        }
    }

    /// Nothing is certain any more.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Takes a promotion out to work on it; `None`: it does not exist.
    pub(crate) fn take(
        &mut self,
        sql: Sql<'_>,
        project: &ProjectName,
        id: &PromotionId,
    ) -> Result<Option<Folded>, StoreError> {
        let kept = self.kept.remove(&(project.clone(), id.clone()));
        let last: Option<i64> = sql.row(
            "SELECT last_seq FROM promotion WHERE project = $1 AND id = $2",
            params![project.as_str(), id.as_str()],
            |row| row.get(0),
        )?;
        match (kept, last) {
            (_, None) => Ok(None),
            (Some(kept), Some(last)) if kept.last_seq == unsigned(last) => Ok(Some(kept)),
            (Some(_) | None, Some(_)) => load(sql, project, id),
        }
    }

    /// Puts a promotion back after work on it.
    pub(crate) fn keep(&mut self, project: &ProjectName, folded: Folded) {
        if folded.state.finish.is_some() {
            return;
        }
        if self.kept.len() >= KEPT_MAX {
            self.kept.clear();
        }
        let key = (project.clone(), folded.promotion.id.clone());
        self.touched.push(key.clone());
        self.kept.insert(key, folded);
    }
}

/// Reads a promotion and folds its log.
pub(crate) fn load(
    sql: Sql<'_>,
    project: &ProjectName,
    id: &PromotionId,
) -> Result<Option<Folded>, StoreError> {
    let Some(promotion) = fixed(sql, project, id)? else { return Ok(None) };
    let log = entries(sql, project, id, 0, u32::MAX)?;
    let state = State::fold(&log)
        .map_err(|error| Unreadable::new(format!("log of promotion {project}/{id}"), error))?;
    let last_seq = log.last().map_or(0, |entry| entry.seq);
    Ok(Some(Folded { promotion, state, last_seq }))
}

/// The part of a promotion that never changes.
pub(crate) fn fixed(
    sql: Sql<'_>,
    project: &ProjectName,
    id: &PromotionId,
) -> Result<Option<Promotion>, StoreError> {
    let text: Option<String> = sql.row(
        "SELECT fixed FROM promotion WHERE project = $1 AND id = $2",
        params![project.as_str(), id.as_str()],
        |row| row.get(0),
    )?;
    let what = || format!("promotion {project}/{id}");
    Ok(text.map(|text| parsed(&text, what)).transpose()?)
}

/// Entries of a log after this position. They are numbered without gaps.
pub(crate) fn entries(
    sql: Sql<'_>,
    project: &ProjectName,
    id: &PromotionId,
    after: u64,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<(i64, i64, String)> = sql.rows(
        "SELECT seq, at, event FROM promotion_event \
         WHERE project = $1 AND promotion = $2 AND seq > $3 ORDER BY seq LIMIT $4",
        params![project.as_str(), id.as_str(), signed(after), limit],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut entries = Vec::with_capacity(rows.len());
    for (expected, (seq, at, event)) in (after + 1..).zip(rows) {
        let what = || format!("log of promotion {project}/{id}, entry {expected}");
        if unsigned(seq) != expected {
            return Err(Unreadable::new(what(), "it is missing").into());
        }
        let event: Event = parsed(&event, what)?;
        entries.push(Entry { seq: expected, at: instant(at), event });
    }
    Ok(entries)
}
