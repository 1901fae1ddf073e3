//! How promotions to a stage ended, and what the last one that succeeded left.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{FreightId, StageName, WarehouseName};
use reconciler_domain::promotion::{Ended, Ending, Event, Phase, Previous, Promotion};
use rusqlite::{Row, params};

use super::Loader;
use crate::error::{StoreError, Unreadable};
use crate::fold::{self, Folded};
use crate::promotion::REVERIFYING;
use crate::sql::{name, parsed};

/// Promotions of `$1` that are over and brought freight `$2`, each with the last entry of its log.
const OVER: &str = "SELECT promotion.stage, promotion.id, promotion.fixed, promotion_event.event \
     FROM brought \
     JOIN promotion ON promotion.project = brought.project \
       AND promotion.id = brought.promotion \
     JOIN promotion_event ON promotion_event.project = promotion.project \
       AND promotion_event.promotion = promotion.id \
       AND promotion_event.seq = promotion.last_seq \
     WHERE brought.project = $1 AND brought.freight = $2 \
       AND promotion.ended_at IS NOT NULL AND promotion.rehearsal = 0";

/// A promotion that is over, with the last entry of its log.
struct LastRow {
    stage: String,
    id: String,
    fixed: String,
    event: String,
}

impl LastRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { stage: row.get(0)?, id: row.get(1)?, fixed: row.get(2)?, event: row.get(3)? })
    }
}

impl Loader<'_> {
    /// How the last promotion of each of these to the stage ended: what its log says, not its row.
    pub(super) fn ended(
        &mut self,
        stage: &StageName,
        freight: &[Arc<FreightFacts>],
    ) -> Result<BTreeMap<FreightId, Ended>, StoreError> {
        let mut ended = BTreeMap::new();
        if let Some(mut known) = self.shared.ended.take() {
            for id in freight.iter().map(|facts| &facts.freight.id) {
                if !known.contains_key(id) {
                    known.insert(id.clone(), self.ended_anywhere(id)?);
                }
                let ending = known.get(id).and_then(|by_stage| by_stage.get(stage));
                ended.extend(ending.map(|ended| (id.clone(), ended.clone())));
            }
            self.shared.ended = Some(known);
            return Ok(ended);
        }
        for facts in freight {
            let last: Option<LastRow> = self.sql.row(
                &format!("{OVER} AND brought.stage = $3 ORDER BY brought.number DESC LIMIT 1"),
                params![self.project.as_str(), facts.freight.id.as_str(), stage.as_str()],
                LastRow::read,
            )?;
            let Some(last) = last else { continue };
            let id = &facts.freight.id;
            ended.extend(self.how_it_ended(id, &last)?.map(|ended| (id.clone(), ended)));
        }
        Ok(ended)
    }

    /// How the last promotion of the freight to each stage ended.
    fn ended_anywhere(&self, freight: &FreightId) -> Result<HashMap<StageName, Ended>, StoreError> {
        let rows: Vec<LastRow> = self.sql.rows(
            &format!("{OVER} ORDER BY brought.stage, brought.number"),
            params![self.project.as_str(), freight.as_str()],
            LastRow::read,
        )?;
        let mut ended = HashMap::new();
        for last in rows {
            let what = || format!("promotion {}/{}", self.project, last.id);
            let stage = name(&last.stage, what)?;
            ended.extend(self.how_it_ended(freight, &last)?.map(|ended| (stage, ended)));
        }
        Ok(ended)
    }

    /// How a promotion ended for freight that it brought.
    fn how_it_ended(
        &self,
        freight: &FreightId,
        last: &LastRow,
    ) -> Result<Option<Ended>, Unreadable> {
        let ending = self.ending(&last.id, &last.event)?;
        // Most bring nothing along: there are as many to read as there is freight.
        if !last.fixed.contains("\"along\":{") {
            return Ok(Some(Ended { ending, beside: BTreeMap::new() }));
        }
        let what = || format!("promotion {}/{}", self.project, last.id);
        let promotion: Promotion = parsed(&last.fixed, what)?;
        let mut brought = Ended::of(&promotion, ending);
        Ok(brought.find_map(|(id, ended)| (id == *freight).then_some(ended)))
    }

    /// What the last entry of a log that is over says.
    fn ending(&self, id: &str, event: &str) -> Result<Ending, Unreadable> {
        let what = || format!("log of promotion {}/{id}", self.project);
        match parsed(event, what)? {
            Event::Finished(finish) => Ok(finish.ending),
            other => {
                let reason = format!("it ended, but its last entry is {}", other.label());
                Err(Unreadable::new(what(), reason))
            }
        }
    }

    /// The last succeeded promotion of the stage, or of one freight to it.
    pub(super) fn last_succeeded(
        &self,
        stage: &StageName,
        freight: Option<&FreightId>,
    ) -> Result<Option<Folded>, StoreError> {
        // Each half is one step in an index, however many promotions there were.
        let half = |phase: &str| {
            format!(
                "SELECT * FROM (SELECT id, number FROM promotion WHERE project = $1 \
                 AND stage = $2 AND phase = {phase} AND ($4 IS NULL OR id IN \
                   (SELECT promotion FROM brought WHERE project = $1 AND freight = $4 AND stage = $2)) \
                 ORDER BY number DESC LIMIT 1) AS half"
            )
        };
        let id: Option<String> = self.sql.row(
            &format!(
                "SELECT id FROM ({} UNION ALL {}) AS found ORDER BY number DESC LIMIT 1",
                half("$3"),
                half("$5")
            ),
            params![
                self.project.as_str(),
                stage.as_str(),
                Phase::Ended(Ending::Succeeded).label(),
                freight.map(FreightId::as_str),
                REVERIFYING
            ],
            |row| row.get(0),
        )?;
        let Some(id) = id else { return Ok(None) };
        let what = || format!("promotion {}/{id}", self.project);
        let folded = fold::load(self.sql, self.project, &name(&id, what)?)?;
        match folded {
            Some(folded) if folded.state.stands() => Ok(Some(folded)),
            Some(_) | None => {
                Err(Unreadable::new(what(), "its row says succeeded, its log does not").into())
            }
        }
    }

    /// How the infra of what is in the stage now is made again: from the last promotion that
    /// succeeded with freight that is still there.
    pub(super) fn previous(
        &self,
        there: &BTreeMap<WarehouseName, FreightId>,
        stage: &StageName,
        succeeded: Option<Folded>,
    ) -> Result<Option<Previous>, StoreError> {
        let Some(succeeded) = succeeded else { return Ok(None) };
        let mut last: Option<Folded> = None;
        if there.values().any(|freight| succeeded.promotion.brings(freight)) {
            last = Some(succeeded);
        } else {
            for freight in there.values() {
                let found = self.last_succeeded(stage, Some(freight))?;
                let number = |folded: &Folded| folded.promotion.id.number();
                if found.as_ref().map(number) > last.as_ref().map(number) {
                    last = found;
                }
            }
        }
        Ok(last.and_then(|last| last.state.as_previous(&last.promotion)))
    }
}
