//! The thin layer over the driver: statements, instants, numbers, JSON.
//!
//! SQL text is written with `$1..$n`, as PostgreSQL counts parameters. SQLite would take `$1` for a
//! *name* and number it by first appearance, so the text is rewritten to `?1..?n`.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{StoreError, Unreadable};

/// Statements on one connection, inside one transaction.
#[derive(Clone, Copy)]
pub(crate) struct Sql<'c>(pub(crate) &'c Connection);

impl Sql<'_> {
    /// Runs a statement; gives the number of rows that it changed.
    pub(crate) fn execute(self, text: &str, params: impl Params) -> Result<usize, StoreError> {
        let mut statement = self.0.prepare_cached(&numbered(text))?;
        Ok(statement.execute(params)?)
    }

    /// The first row, if there is one.
    pub(crate) fn row<T>(
        self,
        text: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.0.prepare_cached(&numbered(text))?;
        Ok(statement.query_row(params, read).optional()?)
    }

    /// Every row.
    pub(crate) fn rows<T>(
        self,
        text: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.0.prepare_cached(&numbered(text))?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether there is a row.
    pub(crate) fn exists(self, text: &str, params: impl Params) -> Result<bool, StoreError> {
        Ok(self.row(text, params, |_| Ok(()))?.is_some())
    }
}

fn numbered(text: &str) -> String {
    text.replace('$', "?")
}

/// Whether the error is a violated constraint.
pub(crate) fn is_constraint(error: &StoreError) -> bool {
    match error {
        StoreError::Database { source } => {
            source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
        }
        StoreError::Unreadable(_)
        | StoreError::NotCommitted { .. }
        | StoreError::Closed
        | StoreError::Interrupted => false,
    }
}

/// An instant as it is stored.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// An instant as it comes back once stored.
pub(crate) fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Reads an instant; one that no calendar has becomes the nearest that one has.
pub(crate) fn instant(micros: i64) -> Timestamp {
    let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(nearest)
}

/// A counter as it is stored. Counters start at 0 and never come near the limit.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A counter as it was stored; a damaged one below 0 counts as 0.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// JSON text of a value of ours.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("our types have string keys and finite numbers")
}

/// Reads JSON text; `what` names the object in the error.
pub(crate) fn parsed<T: DeserializeOwned>(
    text: &str,
    what: impl FnOnce() -> String,
) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable::new(what(), error))
}

/// Reads a name or an id.
pub(crate) fn name<T>(text: &str, what: impl FnOnce() -> String) -> Result<T, Unreadable>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Unreadable::new(what(), error))
}
