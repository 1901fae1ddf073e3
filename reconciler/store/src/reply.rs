//! What those said last whom the gates of promotions ask.
//!
//! A reply is written over by the next one: the log of a promotion does not grow by questions. Whoever holds the lease
//! of the promotion writes it. The ledger hears of one that says something else than the one before, and so does
//! everybody whose decision depends on it.

use jiff::Timestamp;
use reconciler_domain::id::{Principal, ProjectName, PromotionId};
use reconciler_domain::inquiry::{Asker, Replies, Reply};
use reconciler_domain::policy::GateKind;
use reconciler_domain::verification::Measured;
use rusqlite::params;
use serde_json::json;

use crate::Store;
use crate::counter::raise_revision;
use crate::error::StoreError;
use crate::ledger::{Happened, Subject};
use crate::sql::{Sql, json as text};
use crate::wake::{Lease, WakeKey, is_held};
use crate::writer::Write;

/// Why replies were not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordRepliesError {
    /// Somebody else works on the promotion by now.
    #[error("promotion {promotion} is no longer ours to ask about")]
    Lost {
        /// The promotion.
        promotion: PromotionId,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Records what was heard of questions that the gates of a promotion asked, under the lease of the promotion.
    ///
    /// # Errors
    /// The lease is lost, or the database failed.
    pub async fn record_replies(
        &self,
        project: &ProjectName,
        promotion: &PromotionId,
        lease: &Lease,
        replies: Replies,
        now: Timestamp,
    ) -> Result<(), RecordRepliesError> {
        let (project, promotion) = (project.clone(), promotion.clone());
        let epoch = lease.epoch;
        self.write(move |write| record(write, &project, &promotion, epoch, &replies, now)).await
    }
}

fn record(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &PromotionId,
    epoch: u64,
    replies: &Replies,
    now: Timestamp,
) -> Result<(), RecordRepliesError> {
    let key = WakeKey::Promotion(project.clone(), promotion.clone());
    if !is_held(write.sql, &key, epoch)? {
        return Err(RecordRepliesError::Lost { promotion: promotion.clone() });
    }
    let before = of_promotion(write.sql, project, promotion)?;
    let mut is_news = false;
    for (asker, reply) in replies {
        put(write, project, promotion, asker, reply)?;
        if before.get(asker).is_none_or(|before| !reply.says_as(before)) {
            is_news = true;
            tell(write, project, promotion, (asker, reply), now)?;
        }
    }
    if is_news {
        raise_revision(write, project)?;
    }
    Ok(())
}

fn put(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &PromotionId,
    asker: &Asker,
    reply: &Reply,
) -> Result<(), StoreError> {
    let Asker { policy, gate, name } = asker;
    write.sql.execute(
        "INSERT INTO reply (project, promotion, policy, gate, name, reply) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (project, promotion, policy, gate, name) DO UPDATE SET reply = excluded.reply",
        params![
            project.as_str(),
            promotion.to_string(),
            policy.as_str(),
            gate.name(),
            name,
            text(reply)
        ],
    )?;
    Ok(())
}

fn tell(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &PromotionId,
    (asker, reply): (&Asker, &Reply),
    now: Timestamp,
) -> Result<(), StoreError> {
    let says = match reply.measured {
        Measured::Pass => "passes",
        Measured::Fail => "fails",
        Measured::Unknown => "is unknown",
    };
    let (what, policy) = (asker.describe(), &asker.policy);
    write.record(&Happened {
        at: now,
        project: Some(project),
        subject: Subject::Promotion(promotion.clone()),
        touches: Vec::new(),
        kind: "promotion.reply",
        actor: &Principal::Automation,
        summary: format!(
            "promotion {promotion}: {what} of policy {policy} {says}: {}",
            reply.detail
        ),
        body: json!({
            "policy": policy, "gate": asker.gate.name(), "name": asker.name,
            "measured": reply.measured, "inquiry": reply.inquiry,
        }),
    })?;
    Ok(())
}

/// What was said last. What cannot be read is as good as not said: it is asked again, which mends it.
pub(crate) fn of_promotion(
    sql: Sql<'_>,
    project: &ProjectName,
    promotion: &PromotionId,
) -> Result<Replies, StoreError> {
    let rows: Vec<(String, String, String, String)> = sql.rows(
        "SELECT policy, gate, name, reply FROM reply WHERE project = $1 AND promotion = $2",
        params![project.as_str(), promotion.to_string()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let parsed = rows.into_iter().filter_map(|(policy, gate, name, reply)| {
        let asker =
            Asker { policy: policy.parse().ok()?, gate: GateKind::bypassable(&gate)?, name };
        Some((asker, serde_json::from_str(&reply).ok()?))
    });
    Ok(parsed.collect())
}
