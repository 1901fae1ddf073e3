//! Lists of freight, newest first, in pages that read a bounded number of rows whatever they admit.

use jiff::Timestamp;
use reconciler_domain::freight::{FreightFacts, FreightFilter};
use reconciler_domain::id::{FreightId, ProjectName, StageName};
use rusqlite::params;

use super::{COLUMNS, FreightRow, of_warehouse};
use crate::error::StoreError;
use crate::page::{Page, Paged};
use crate::sql::{Sql, micros, signed, unsigned};

/// Freight that one page looks at. Beyond it the next page goes on.
const LOOKED_AT_MAX: u32 = 2_000;

/// Rows that are read at once where not every row is what is wanted.
const CHUNK: u32 = 200;

pub(super) fn list(
    sql: Sql<'_>,
    project: &ProjectName,
    filter: &FreightFilter,
    page: Page,
) -> Result<Paged<FreightFacts>, StoreError> {
    let walk = Walk { sql, project, filter };
    let mut paged = Paged { items: Vec::new(), unreadable: Vec::new(), next: page.after };
    let mut left = page.limit;
    let mut looked_at = 0;
    loop {
        let most = if walk.admits_every_row() { left } else { CHUNK };
        let rows = walk.rows(paged.next, most)?;
        let is_last = rows.len() < most as usize;
        for row in rows {
            paged.next = Some(unsigned(row.sequence));
            looked_at += 1;
            match walk.admitted(&row) {
                Ok(None) => continue,
                Ok(Some(facts)) => paged.items.push(facts),
                Err(StoreError::Unreadable(error)) => paged.unreadable.push(error),
                Err(error) => return Err(error),
            }
            left -= 1;
            if left == 0 {
                return Ok(paged);
            }
        }
        if is_last {
            return Ok(Paged { next: None, ..paged });
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok(paged);
        }
    }
}

/// A way through the freight of a project, along the index that fits what is asked.
struct Walk<'a> {
    sql: Sql<'a>,
    project: &'a ProjectName,
    filter: &'a FreightFilter,
}

impl Walk<'_> {
    /// Whether the rows are chosen by their warehouse alone, which their index does.
    fn admits_every_row(&self) -> bool {
        let warehouse = self.filter.warehouse.clone();
        *self.filter == FreightFilter { warehouse, ..FreightFilter::default() }
    }

    /// The rows behind the one with this sequence.
    fn rows(&self, after: Option<u64>, most: u32) -> Result<Vec<FreightRow>, StoreError> {
        let FreightFilter { warehouse, current_in, created_from, created_until, .. } = self.filter;
        let before = after.map_or(i64::MAX, signed);
        if let Some(stage) = current_in {
            return self.current(stage, before, most);
        }
        if created_from.is_some() || created_until.is_some() {
            return self.created(after, most);
        }
        match warehouse {
            Some(warehouse) => of_warehouse(self.sql, self.project, warehouse, before, most),
            None => self.sql.rows(
                &format!(
                    "{COLUMNS} WHERE project = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3"
                ),
                params![self.project.as_str(), before, most],
                FreightRow::read,
            ),
        }
    }

    /// What is in a stage is little.
    fn current(
        &self,
        stage: &StageName,
        before: i64,
        most: u32,
    ) -> Result<Vec<FreightRow>, StoreError> {
        self.sql.rows(
            &format!(
                "{COLUMNS} WHERE project = $1 AND sequence < $2 AND id IN (\
                 SELECT freight FROM stay WHERE project = $1 AND stage = $3 AND left_at IS NULL) \
                 ORDER BY sequence DESC LIMIT $4"
            ),
            params![self.project.as_str(), before, stage.as_str(), most],
            FreightRow::read,
        )
    }

    /// Along the instants at which freight was made. They rise with the sequence, unless the clock
    /// was set back.
    fn created(&self, after: Option<u64>, most: u32) -> Result<Vec<FreightRow>, StoreError> {
        let FreightFilter { created_from, created_until, .. } = self.filter;
        let from = micros(created_from.unwrap_or(Timestamp::MIN));
        let mut until = (micros(created_until.unwrap_or(Timestamp::MAX)), i64::MAX);
        if let Some(after) = after {
            let at: Option<i64> = self.sql.row(
                "SELECT created_at FROM freight WHERE project = $1 AND sequence = $2",
                params![self.project.as_str(), signed(after)],
                |row| row.get(0),
            )?;
            let Some(at) = at else { return Ok(Vec::new()) };
            until = until.min((at, signed(after)));
        }
        self.sql.rows(
            &format!(
                "{COLUMNS} WHERE project = $1 AND created_at >= $2 \
                 AND (created_at, sequence) < ($3, $4) \
                 ORDER BY created_at DESC, sequence DESC LIMIT $5"
            ),
            params![self.project.as_str(), from, until.0, until.1, most],
            FreightRow::read,
        )
    }

    /// The freight of a row and what happened to it, if that is what is asked.
    fn admitted(&self, row: &FreightRow) -> Result<Option<FreightFacts>, StoreError> {
        let freight = row.freight(self.project)?;
        if !self.filter.admits(&freight) {
            return Ok(None);
        }
        if let Some(stage) = &self.filter.verified_in
            && !self.is_verified(&freight.id, stage)?
        {
            return Ok(None);
        }
        let facts = row.facts(self.sql, self.project)?;
        Ok(Some(facts).filter(|facts| self.filter.admits_facts(facts)))
    }

    fn is_verified(&self, freight: &FreightId, stage: &StageName) -> Result<bool, StoreError> {
        self.sql.exists(
            "SELECT 1 FROM verified WHERE project = $1 AND freight = $2 AND stage = $3",
            params![self.project.as_str(), freight.as_str(), stage.as_str()],
        )
    }
}
