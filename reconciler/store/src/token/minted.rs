//! Tokens that bearers minted from theirs. They are for a short time, and what is over is forgotten
//! when another one is minted. In the ledger they belong to the token that they act as.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reconciler_domain::token::SecretOrigin;
use rusqlite::params;
use serde_json::json;

use super::{ApiToken, PutTokenError, get, insert, remove};
use crate::Store;
use crate::definition::{Change, DeleteError, PutError};
use crate::error::StoreError;
use crate::ledger::{Happened, Subject};
use crate::sql::{micros, whole_micros};
use crate::writer::Write;

/// A token to be minted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMinted {
    /// Its name, which no other token has.
    pub name: String,
    /// The token that mints it.
    pub parent: String,
    /// Groups that its holder is in.
    pub groups: BTreeSet<String>,
    /// Whether its holder may administer the daemon.
    pub admin: bool,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// When it stops being good.
    pub expires_at: Timestamp,
}

impl Store {
    /// Keeps a minted token, and forgets those that are over.
    ///
    /// # Errors
    /// What mints it was revoked meanwhile, its name or secret is taken, or the database failed.
    pub async fn mint_token(
        &self,
        new: &NewMinted,
        change: &Change,
    ) -> Result<ApiToken, PutTokenError> {
        let (new, change) = (new.clone(), change.clone());
        self.write(move |write| mint(write, new, &change)).await
    }

    /// Lets a token that `parent` minted end at another time.
    ///
    /// # Errors
    /// `parent` minted no such token, or it is over; or the database failed.
    pub async fn renew_token(
        &self,
        name: &str,
        parent: &str,
        expires_at: Timestamp,
        change: &Change,
    ) -> Result<ApiToken, PutError> {
        let (name, parent, change) = (name.to_owned(), parent.to_owned(), change.clone());
        self.write(move |write| renew(write, &name, &parent, expires_at, &change)).await
    }

    /// Ends a token that `parent` minted, and all that were minted from it.
    ///
    /// # Errors
    /// `parent` minted no such token, or it is over; or the database failed.
    pub async fn end_token(
        &self,
        name: &str,
        parent: &str,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (name, parent, change) = (name.to_owned(), parent.to_owned(), change.clone());
        self.write(move |write| end(write, &name, &parent, &change)).await
    }
}

fn mint(write: &mut Write<'_>, new: NewMinted, change: &Change) -> Result<ApiToken, PutTokenError> {
    write.sql.execute(
        "DELETE FROM api_token WHERE parent IS NOT NULL AND expires_at <= $1",
        params![micros(change.at)],
    )?;
    if get(write.sql, &new.parent)?.is_none() {
        return Err(PutError::NotFound { what: "token", name: new.parent }.into());
    }
    if get(write.sql, &new.name)?.is_some() {
        return Err(PutError::AlreadyExists { what: "token", name: new.name }.into());
    }
    let at = whole_micros(change.at);
    let token = ApiToken {
        name: new.name,
        groups: new.groups,
        admin: new.admin,
        hash: new.hash,
        origin: SecretOrigin::Daemon,
        parent: Some(new.parent),
        generation: 1,
        created_at: at,
        created_by: change.by.clone(),
        changed_at: at,
        changed_by: change.by.clone(),
        expires_at: Some(whole_micros(new.expires_at)),
        last_used_at: None,
    };
    if !insert(write, &token)? {
        return Err(PutTokenError::SecretTaken);
    }
    tell(write, &token, "minted", change)?;
    Ok(token)
}

fn renew(
    write: &mut Write<'_>,
    name: &str,
    parent: &str,
    expires_at: Timestamp,
    change: &Change,
) -> Result<ApiToken, PutError> {
    let Some(mut token) = minted(write, name, parent, change)? else {
        return Err(PutError::NotFound { what: "token", name: name.to_owned() });
    };
    token.expires_at = Some(whole_micros(expires_at));
    token.generation += 1;
    token.changed_at = whole_micros(change.at);
    token.changed_by = change.by.clone();
    insert(write, &token)?;
    tell(write, &token, "renewed", change)?;
    Ok(token)
}

fn end(
    write: &mut Write<'_>,
    name: &str,
    parent: &str,
    change: &Change,
) -> Result<(), DeleteError> {
    let Some(token) = minted(write, name, parent, change)? else {
        return Err(DeleteError::NotFound { what: "token", name: name.to_owned() });
    };
    remove(write, name)?;
    tell(write, &token, "ended", change)?;
    Ok(())
}

/// A token that is not over, if this one minted it.
fn minted(
    write: &Write<'_>,
    name: &str,
    parent: &str,
    change: &Change,
) -> Result<Option<ApiToken>, StoreError> {
    let fits = |token: &ApiToken| {
        token.parent.as_deref() == Some(parent) && token.expires_at.is_some_and(|at| at > change.at)
    };
    Ok(get(write.sql, name)?.filter(fits))
}

fn tell(
    write: &mut Write<'_>,
    token: &ApiToken,
    verb: &str,
    change: &Change,
) -> Result<(), StoreError> {
    write.record(&Happened {
        at: change.at,
        project: None,
        subject: Subject::Token(change.by.to_string()),
        touches: Vec::new(),
        kind: &format!("token.{verb}"),
        actor: &change.by,
        summary: format!("{} {verb} token {}", change.by, token.name),
        body: json!({
            "token": token.name, "from": token.parent, "groups": token.groups,
            "admin": token.admin, "expires_at": token.expires_at,
        }),
    })?;
    Ok(())
}
