//! API tokens. The store has the SHA-256 of the secret, never the secret.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::id::Principal;
use rusqlite::{Row, params};
use serde_json::json;

use crate::Store;
use crate::error::{StoreError, Unreadable};
use crate::ledger::{Happened, Subject};
use crate::sql::{Sql, instant, json, micros, parsed, whole_micros};
use crate::writer::Write;

/// How far apart the recorded uses of a token are at least.
const USE_RECORDED_EVERY: Duration = Duration::from_secs(60);

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Unique; the name that its holder acts under.
    pub name: String,
    /// Groups that its holder is in.
    pub groups: BTreeSet<String>,
    /// Whether its holder may administer the daemon.
    pub admin: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Principal,
    /// When it stops being good; absent: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
}

impl ApiToken {
    /// Whether it is no longer good.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// Groups that its holder is in.
    pub groups: BTreeSet<String>,
    /// Whether its holder may administer the daemon.
    pub admin: bool,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// When it stops being good; absent: never.
    pub expires_at: Option<Timestamp>,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    /// The name, or the secret, is taken.
    #[error("there is a token {name} already; revoke it first, or choose another name")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeTokenError {
    /// It is not there.
    #[error("there is no token {name}")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// Its name is taken, or the database failed.
    pub async fn create_token(
        &self,
        new: &NewToken,
        by: &Principal,
        now: Timestamp,
    ) -> Result<ApiToken, CreateTokenError> {
        let (new, by) = (new.clone(), by.clone());
        self.write(move |write| create(write, new, &by, whole_micros(now))).await
    }

    /// The token whose secret has this SHA-256, expired or not.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn find_token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError> {
        let hash = *hash;
        self.read(move |sql| {
            let text = format!("{COLUMNS} WHERE hash = $1");
            let row = sql.row(&text, params![hash.as_slice()], TokenRow::read)?;
            Ok(row.map(TokenRow::parse).transpose()?)
        })
        .await
    }

    /// Every token, by name.
    ///
    /// # Errors
    /// One cannot be read, or the database failed.
    pub async fn list_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.read(list).await
    }

    /// Revokes a token; it is good for nothing from now on.
    ///
    /// # Errors
    /// It is not there, or the database failed.
    pub async fn revoke_token(
        &self,
        name: &str,
        by: &Principal,
        now: Timestamp,
    ) -> Result<(), RevokeTokenError> {
        let (name, by) = (name.to_owned(), by.clone());
        self.write(move |write| revoke(write, name, &by, now)).await
    }

    /// Records a use of the token, unless one was recorded within the last minute.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token_used(&self, token: &ApiToken, now: Timestamp) -> Result<(), StoreError> {
        let recent = |at: Timestamp| now.duration_since(at).unsigned_abs() < USE_RECORDED_EVERY;
        if token.last_used_at.is_some_and(recent) {
            return Ok(());
        }
        let name = token.name.clone();
        self.write(move |write| {
            write.sql.execute(
                "UPDATE api_token SET last_used_at = $1 WHERE name = $2 \
                 AND (last_used_at IS NULL OR last_used_at < $1)",
                params![micros(now), name],
            )?;
            Ok(())
        })
        .await
    }
}

fn create(
    write: &mut Write<'_>,
    new: NewToken,
    by: &Principal,
    now: Timestamp,
) -> Result<ApiToken, CreateTokenError> {
    let made = write.sql.execute(
        "INSERT INTO api_token (name, hash, member_of, admin, created_at, created_by, \
         expires_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL) \
         ON CONFLICT DO NOTHING",
        params![
            new.name,
            new.hash.as_slice(),
            json(&new.groups),
            i64::from(new.admin),
            micros(now),
            json(by),
            new.expires_at.map(micros)
        ],
    )?;
    if made == 0 {
        return Err(CreateTokenError::AlreadyExists { name: new.name });
    }
    let name = &new.name;
    let body = json!({ "groups": new.groups, "admin": new.admin, "expires_at": new.expires_at });
    tell(write, name, "created", by, now, body)?;
    Ok(ApiToken {
        name: new.name,
        groups: new.groups,
        admin: new.admin,
        created_at: now,
        created_by: by.clone(),
        expires_at: new.expires_at.map(whole_micros),
        last_used_at: None,
    })
}

fn revoke(
    write: &mut Write<'_>,
    name: String,
    by: &Principal,
    now: Timestamp,
) -> Result<(), RevokeTokenError> {
    let gone = write.sql.execute("DELETE FROM api_token WHERE name = $1", params![name])?;
    if gone == 0 {
        return Err(RevokeTokenError::NotFound { name });
    }
    tell(write, &name, "revoked", by, now, json!({}))?;
    Ok(())
}

fn tell(
    write: &mut Write<'_>,
    name: &str,
    verb: &str,
    by: &Principal,
    at: Timestamp,
    body: serde_json::Value,
) -> Result<(), StoreError> {
    write.record(&Happened {
        at,
        project: None,
        subject: Subject::Token(name.to_owned()),
        touches: Vec::new(),
        kind: &format!("token.{verb}"),
        actor: by,
        summary: format!("{by} {verb} token {name}"),
        body,
    })?;
    Ok(())
}

fn list(sql: Sql<'_>) -> Result<Vec<ApiToken>, StoreError> {
    let rows = sql.rows(&format!("{COLUMNS} ORDER BY name"), [], TokenRow::read)?;
    Ok(rows.into_iter().map(TokenRow::parse).collect::<Result<_, _>>()?)
}

const COLUMNS: &str = "SELECT name, member_of, admin, created_at, created_by, expires_at, \
                       last_used_at FROM api_token";

struct TokenRow {
    name: String,
    groups: String,
    admin: bool,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TokenRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            groups: row.get(1)?,
            admin: row.get(2)?,
            created_at: row.get(3)?,
            created_by: row.get(4)?,
            expires_at: row.get(5)?,
            last_used_at: row.get(6)?,
        })
    }

    fn parse(self) -> Result<ApiToken, Unreadable> {
        let what = || format!("token {}", self.name);
        Ok(ApiToken {
            groups: parsed(&self.groups, what)?,
            admin: self.admin,
            created_at: instant(self.created_at),
            created_by: parsed(&self.created_by, what)?,
            expires_at: self.expires_at.map(instant),
            last_used_at: self.last_used_at.map(instant),
            name: self.name,
        })
    }
}
