//! API tokens. The store has the SHA-256 of the secret, never the secret.
//!
//! - here: tokens as definitions, which have a generation and belong to no project
//! - `minted`: tokens that bearers made from theirs; they go when that goes

mod minted;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::id::{Principal, TokenName};
use reconciler_domain::token::{SecretOrigin, Token};
use rusqlite::{Row, params};
use serde_json::json;

pub use minted::NewMinted;

use crate::Store;
use crate::definition::{Change, DeleteError, Outcome, Precondition, PutError};
use crate::error::{StoreError, Unreadable};
use crate::ledger::{Happened, Subject};
use crate::sql::{Sql, instant, json, micros, parsed, signed, unsigned, whole_micros};
use crate::writer::Write;

/// How far apart the recorded uses of a token are at least.
const USE_RECORDED_EVERY: Duration = Duration::from_secs(60);

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Unique.
    pub name: String,
    /// Groups that its holder is in.
    pub groups: BTreeSet<String>,
    /// Whether its holder may administer the daemon.
    pub admin: bool,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Where the secret comes from.
    pub origin: SecretOrigin,
    /// The token that minted it; absent: none did.
    pub parent: Option<String>,
    /// Rises with every change.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Principal,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Who changed it last.
    pub changed_by: Principal,
    /// When it stops being good; absent: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
}

impl ApiToken {
    /// What rights depend on.
    #[must_use]
    pub fn rights(&self) -> Token {
        Token {
            name: self.name.clone(),
            groups: self.groups.clone(),
            admin: self.admin,
            expires_at: self.expires_at,
        }
    }
}

/// A token that somebody sent, and behind it those that it was minted from, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentToken {
    /// The token.
    pub token: ApiToken,
    /// The one that minted it, the one that minted that, and so on.
    pub behind: Vec<ApiToken>,
}

/// A token to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name.
    pub name: TokenName,
    /// Groups that its holder is in.
    pub groups: BTreeSet<String>,
    /// Whether its holder may administer the daemon.
    pub admin: bool,
    /// Its secret; absent: the one that it has.
    pub secret: Option<NewSecret>,
    /// When it stops being good; absent: never.
    pub expires_at: Option<Timestamp>,
}

/// The secret of a token to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSecret {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// Where it comes from.
    pub origin: SecretOrigin,
}

/// Why a token was not written.
#[derive(Debug, thiserror::Error)]
pub enum PutTokenError {
    /// Another token has this secret.
    #[error("the secret is another token's; choose a random one")]
    SecretTaken,
    /// As with any definition.
    #[error(transparent)]
    Put(#[from] PutError),
}

impl From<StoreError> for PutTokenError {
    fn from(error: StoreError) -> Self {
        Self::Put(error.into())
    }
}

impl Store {
    /// Writes a token. A new secret takes effect at once, and the old one is good for nothing.
    ///
    /// # Errors
    /// The precondition does not hold, a new token has no secret, another one has it, or the
    /// database failed.
    pub async fn put_token(
        &self,
        new: &NewToken,
        change: &Change,
    ) -> Result<(ApiToken, Outcome), PutTokenError> {
        let (new, change) = (new.clone(), change.clone());
        self.write(move |write| put(write, new, &change)).await
    }

    /// The token whose secret has this SHA-256, expired or not.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn find_token(&self, hash: &[u8; 32]) -> Result<Option<SentToken>, StoreError> {
        let hash = *hash;
        self.read(move |sql| find(sql, &hash)).await
    }

    /// A token by its name, minted or not.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_token(&self, name: &str) -> Result<Option<ApiToken>, StoreError> {
        let name = name.to_owned();
        self.read(move |sql| get(sql, &name)).await
    }

    /// Every token that was not minted, or every one that was, by name.
    ///
    /// # Errors
    /// One cannot be read, or the database failed.
    pub async fn list_tokens(&self, minted: bool) -> Result<Vec<ApiToken>, StoreError> {
        self.read(move |sql| list(sql, minted)).await
    }

    /// Revokes a token, and all that were minted from it; they are good for nothing from now on.
    ///
    /// # Errors
    /// It is not there, was changed, or the database failed.
    pub async fn revoke_token(&self, name: &str, change: &Change) -> Result<(), DeleteError> {
        let (name, change) = (name.to_owned(), change.clone());
        self.write(move |write| revoke(write, &name, &change)).await
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

fn put(
    write: &mut Write<'_>,
    new: NewToken,
    change: &Change,
) -> Result<(ApiToken, Outcome), PutTokenError> {
    let (what, name) = ("token", new.name.to_string());
    let there = get(write.sql, &name)?;
    match (&there, change.precondition) {
        (Some(_), Precondition::MustNotExist) => {
            return Err(PutError::AlreadyExists { what, name }.into());
        }
        (None, Precondition::Generation(_)) => {
            return Err(PutError::NotFound { what, name }.into());
        }
        (Some(there), Precondition::Generation(meant)) if there.generation != meant => {
            return Err(PutError::Conflict {
                what,
                name,
                generation: there.generation,
                changed_by: there.changed_by.clone(),
                changed_at: there.changed_at,
            }
            .into());
        }
        (Some(_), Precondition::Any | Precondition::Generation(_))
        | (None, Precondition::Any | Precondition::MustNotExist) => {}
    }
    let kept = there.as_ref().map(|it| NewSecret { hash: it.hash, origin: it.origin });
    // Without a secret it was to be changed, and is gone.
    let Some(secret) = new.secret.or(kept) else {
        return Err(PutError::NotFound { what, name }.into());
    };
    let at = whole_micros(change.at);
    let wanted = ApiToken {
        generation: 1 + match &there {
            Some(there) => there.generation,
            None => retired_generation(write.sql, &name)?,
        },
        name,
        groups: new.groups,
        admin: new.admin,
        hash: secret.hash,
        origin: secret.origin,
        parent: None,
        created_at: there.as_ref().map_or(at, |it| it.created_at),
        created_by: there.as_ref().map_or_else(|| change.by.clone(), |it| it.created_by.clone()),
        changed_at: at,
        changed_by: change.by.clone(),
        expires_at: new.expires_at.map(whole_micros),
        last_used_at: there.as_ref().and_then(|it| it.last_used_at),
    };
    if let Some(there) = there.as_ref().filter(|there| says_the_same(there, &wanted)) {
        return Ok((there.clone(), Outcome::Unchanged));
    }
    if !insert(write, &wanted)? {
        return Err(PutTokenError::SecretTaken);
    }
    let (outcome, verb) = match &there {
        None => (Outcome::Created, "created"),
        Some(there) if there.hash != wanted.hash => {
            // Whoever had the old secret may have minted from it.
            let name = params![wanted.name];
            write.sql.execute("DELETE FROM api_token WHERE parent = $1", name)?;
            (Outcome::Changed, "rotated")
        }
        Some(_) => (Outcome::Changed, "changed"),
    };
    let body = json!({
        "generation": wanted.generation, "groups": wanted.groups, "admin": wanted.admin,
        "expires_at": wanted.expires_at, "secret": wanted.origin,
    });
    tell(write, &wanted.name, verb, change, body)?;
    Ok((wanted, outcome))
}

fn says_the_same(there: &ApiToken, wanted: &ApiToken) -> bool {
    there.groups == wanted.groups
        && there.admin == wanted.admin
        && there.expires_at == wanted.expires_at
        && there.hash == wanted.hash
        && there.origin == wanted.origin
}

/// Writes the row; false if another token has its secret.
fn insert(write: &mut Write<'_>, token: &ApiToken) -> Result<bool, StoreError> {
    let taken = write.sql.exists(
        "SELECT 1 FROM api_token WHERE hash = $1 AND name <> $2",
        params![token.hash.as_slice(), token.name],
    )?;
    if taken {
        return Ok(false);
    }
    write.sql.execute(
        "INSERT INTO api_token (name, hash, member_of, admin, created_at, created_by, \
         expires_at, last_used_at, parent, origin, generation, changed_at, changed_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $10, $11, $12) \
         ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, member_of = excluded.member_of, \
         admin = excluded.admin, expires_at = excluded.expires_at, origin = excluded.origin, \
         generation = excluded.generation, changed_at = excluded.changed_at, \
         changed_by = excluded.changed_by",
        params![
            token.name,
            token.hash.as_slice(),
            json(&token.groups),
            i64::from(token.admin),
            micros(token.created_at),
            json(&token.created_by),
            token.expires_at.map(micros),
            token.parent,
            json(&token.origin),
            signed(token.generation),
            micros(token.changed_at),
            json(&token.changed_by)
        ],
    )?;
    Ok(true)
}

fn revoke(write: &mut Write<'_>, name: &str, change: &Change) -> Result<(), DeleteError> {
    let (what, owned) = ("token", name.to_owned());
    let Some(there) = get(write.sql, name)? else {
        return Err(DeleteError::NotFound { what, name: owned });
    };
    if let Precondition::Generation(meant) = change.precondition
        && there.generation != meant
    {
        return Err(DeleteError::Conflict {
            what,
            name: owned,
            generation: there.generation,
            changed_by: there.changed_by,
            changed_at: there.changed_at,
        });
    }
    remove(write, name)?;
    if there.parent.is_none() {
        write.sql.execute(
            "INSERT INTO retired (project, kind, name, generation) VALUES ('', 'token', $1, $2) \
             ON CONFLICT (project, kind, name) DO UPDATE SET generation = excluded.generation",
            params![name, signed(there.generation)],
        )?;
    }
    tell(write, name, "revoked", change, json!({ "generation": there.generation }))?;
    Ok(())
}

/// Removes a token, and with it all that were minted from it.
fn remove(write: &mut Write<'_>, name: &str) -> Result<(), StoreError> {
    write.sql.execute("DELETE FROM api_token WHERE name = $1", params![name])?;
    Ok(())
}

/// The last generation of a token of this name that was revoked; 0: none.
fn retired_generation(sql: Sql<'_>, name: &str) -> Result<u64, StoreError> {
    let generation = sql.row(
        "SELECT generation FROM retired WHERE project = '' AND kind = 'token' AND name = $1",
        params![name],
        |row| row.get(0),
    )?;
    Ok(unsigned(generation.unwrap_or(0)))
}

fn tell(
    write: &mut Write<'_>,
    name: &str,
    verb: &str,
    change: &Change,
    body: serde_json::Value,
) -> Result<(), StoreError> {
    write.record(&Happened {
        at: change.at,
        project: None,
        subject: Subject::Token(name.to_owned()),
        touches: Vec::new(),
        kind: &format!("token.{verb}"),
        actor: &change.by,
        summary: format!("{} {verb} token {name}", change.by),
        body,
    })?;
    Ok(())
}

const COLUMNS: &str = "SELECT name, hash, member_of, admin, origin, parent, generation, \
                       created_at, created_by, changed_at, changed_by, expires_at, last_used_at \
                       FROM api_token";

fn get(sql: Sql<'_>, name: &str) -> Result<Option<ApiToken>, StoreError> {
    let row = sql.row(&format!("{COLUMNS} WHERE name = $1"), params![name], TokenRow::read)?;
    Ok(row.map(TokenRow::parse).transpose()?)
}

fn find(sql: Sql<'_>, hash: &[u8; 32]) -> Result<Option<SentToken>, StoreError> {
    let text = format!("{COLUMNS} WHERE hash = $1");
    let row = sql.row(&text, params![hash.as_slice()], TokenRow::read)?;
    let Some(token) = row.map(TokenRow::parse).transpose()? else { return Ok(None) };
    let mut behind: Vec<ApiToken> = Vec::new();
    // A parent is older than what it minted, so this ends.
    while let Some(parent) = &behind.last().unwrap_or(&token).parent {
        let Some(parent) = get(sql, parent)? else {
            return Err(
                Unreadable::new(format!("token {}", token.name), "its parent is gone").into()
            );
        };
        behind.push(parent);
    }
    Ok(Some(SentToken { token, behind }))
}

fn list(sql: Sql<'_>, minted: bool) -> Result<Vec<ApiToken>, StoreError> {
    let which = if minted { "IS NOT NULL" } else { "IS NULL" };
    let text = format!("{COLUMNS} WHERE parent {which} ORDER BY name");
    let rows = sql.rows(&text, [], TokenRow::read)?;
    Ok(rows.into_iter().map(TokenRow::parse).collect::<Result<_, _>>()?)
}

struct TokenRow {
    name: String,
    hash: Vec<u8>,
    groups: String,
    admin: bool,
    origin: String,
    parent: Option<String>,
    generation: i64,
    created_at: i64,
    created_by: String,
    changed_at: i64,
    changed_by: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TokenRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            hash: row.get(1)?,
            groups: row.get(2)?,
            admin: row.get(3)?,
            origin: row.get(4)?,
            parent: row.get(5)?,
            generation: row.get(6)?,
            created_at: row.get(7)?,
            created_by: row.get(8)?,
            changed_at: row.get(9)?,
            changed_by: row.get(10)?,
            expires_at: row.get(11)?,
            last_used_at: row.get(12)?,
        })
    }

    fn parse(self) -> Result<ApiToken, Unreadable> {
        let what = || format!("token {}", self.name);
        let hash = self.hash.try_into();
        Ok(ApiToken {
            hash: hash.map_err(|_| Unreadable::new(what(), "its hash is no SHA-256"))?,
            groups: parsed(&self.groups, what)?,
            admin: self.admin,
            origin: parsed(&self.origin, what)?,
            parent: self.parent,
            generation: unsigned(self.generation),
            created_at: instant(self.created_at),
            created_by: parsed(&self.created_by, what)?,
            changed_at: instant(self.changed_at),
            changed_by: parsed(&self.changed_by, what)?,
            expires_at: self.expires_at.map(instant),
            last_used_at: self.last_used_at.map(instant),
            name: self.name,
        })
    }
}
