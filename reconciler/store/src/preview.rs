//! Previews: answers that must stay the same when they are asked for again between a plan and its
//! apply. Whoever stores an answer first has given it.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::params;

use crate::Store;
use crate::error::StoreError;
use crate::sql::micros;

/// How long a preview is kept.
pub const PREVIEWS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Store {
    /// The answer that was given before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preview_get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.read(move |sql| {
            sql.row("SELECT body FROM preview WHERE key = $1", params![key], |row| row.get(0))
        })
        .await
    }

    /// Stores an answer, unless there is one. Gives what is stored.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preview_put(
        &self,
        key: &str,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<u8>, StoreError> {
        let key = key.to_owned();
        self.write(move |write| {
            let new = write.sql.execute(
                "INSERT INTO preview (key, body, made_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (key) DO NOTHING",
                params![key, body, micros(now)],
            )?;
            if new == 1 {
                return Ok(body);
            }
            let stored =
                write.sql.row("SELECT body FROM preview WHERE key = $1", params![key], |row| {
                    row.get(0)
                })?;
            Ok(stored.unwrap_or(body))
        })
        .await
    }

    /// Forgets previews older than [`PREVIEWS_KEPT`]; gives their number.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preview_prune(&self, now: Timestamp) -> Result<usize, StoreError> {
        let oldest = now.checked_sub(PREVIEWS_KEPT).unwrap_or(Timestamp::MIN);
        self.write(move |write| {
            write.sql.execute("DELETE FROM preview WHERE made_at < $1", params![micros(oldest)])
        })
        .await
    }
}
