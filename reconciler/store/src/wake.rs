//! Wake-ups: what is to be looked at, when, and by whom.
//!
//! A wake-up carries a key, never data. Whoever claims it holds it until the lease ends, under an
//! epoch that no other claim ever has; a write that names an epoch fails once the key was claimed
//! again. A wake-up that comes in meanwhile is not lost: it makes the key due again at its release.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::id::{NameError, ProjectName, PromotionId, StageName, WarehouseName};
use reconciler_domain::plan::{Load, Wake, shares};
use rusqlite::params;

use crate::Store;
use crate::counter::raise_counter;
use crate::error::StoreError;
use crate::sql::{Sql, instant, micros, signed, unsigned};
use crate::writer::Write;

/// What is to be looked at: `stage/shop/prod`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WakeKey {
    /// `warehouse/PROJECT/NAME`
    Warehouse(ProjectName, WarehouseName),
    /// `stage/PROJECT/NAME`
    Stage(ProjectName, StageName),
    /// `promotion/PROJECT/ID`
    Promotion(ProjectName, PromotionId),
    /// `drift/PROJECT/STAGE`: whether the infra of a stage is to be looked at. Claimed apart from the others.
    Drift(ProjectName, StageName),
}

impl WakeKey {
    /// The key of something in a project.
    #[must_use]
    pub fn new(project: &ProjectName, wake: Wake) -> Self {
        let project = project.clone();
        match wake {
            Wake::Warehouse(name) => Self::Warehouse(project, name),
            Wake::Stage(name) => Self::Stage(project, name),
            Wake::Promotion(id) => Self::Promotion(project, id),
        }
    }

    /// The project that it is in.
    #[must_use]
    pub fn project(&self) -> &ProjectName {
        match self {
            Self::Warehouse(project, _)
            | Self::Stage(project, _)
            | Self::Promotion(project, _)
            | Self::Drift(project, _) => project,
        }
    }
}

impl fmt::Display for WakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warehouse(project, name) => write!(f, "warehouse/{project}/{name}"),
            Self::Stage(project, name) => write!(f, "stage/{project}/{name}"),
            Self::Promotion(project, id) => write!(f, "promotion/{project}/{id}"),
            Self::Drift(project, name) => write!(f, "drift/{project}/{name}"),
        }
    }
}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WakeKeyError {
    /// It has another form.
    #[error("{text:?} is not a wake-up key: use KIND/PROJECT/NAME")]
    Malformed {
        /// The text.
        text: String,
    },
    /// A name in it is not one.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for WakeKey {
    type Err = WakeKeyError;

    fn from_str(text: &str) -> Result<Self, WakeKeyError> {
        let malformed = || WakeKeyError::Malformed { text: text.to_owned() };
        let (kind, rest) = text.split_once('/').ok_or_else(malformed)?;
        let (project, name) = rest.split_once('/').ok_or_else(malformed)?;
        match kind {
            "warehouse" => Ok(Self::Warehouse(project.parse()?, name.parse()?)),
            "stage" => Ok(Self::Stage(project.parse()?, name.parse()?)),
            "promotion" => Ok(Self::Promotion(project.parse()?, name.parse()?)),
            "drift" => Ok(Self::Drift(project.parse()?, name.parse()?)),
            _ => Err(malformed()),
        }
    }
}

/// The right to act on a key, until the lease ends or is released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is about.
    pub key: WakeKey,
    /// Never given out twice; larger is later.
    pub epoch: u64,
    /// Who holds it.
    pub owner: String,
}

/// Why a lease could not be kept or given back.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Someone else has the key by now.
    #[error("the lease of {key} is lost: stop working on it")]
    Lost {
        /// The key.
        key: WakeKey,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes the key due at this time, if it is not due earlier anyway.
    ///
    /// # Errors
    /// The database failed.
    pub async fn wake(&self, key: &WakeKey, at: Timestamp) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(move |write| wake(write, &key, at)).await
    }

    /// Makes every key due at once that nobody works on: where the wall clock was put back, when they are due
    /// says nothing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn wake_all(&self) -> Result<(), StoreError> {
        self.write(|write| {
            let sql = "UPDATE wakeup SET due_at = 0 WHERE lease_owner IS NULL";
            write.sql.execute(sql, params![])?;
            Ok(())
        })
        .await
    }

    /// Leases up to `limit` keys that are due, those waiting longest first, and none of looks at drift
    /// ([`Self::claim_looks`]). What the owner still works on (`held`) is not among them, however late it is by `now`: its leases last for another `lease`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim(
        &self,
        owner: &str,
        held: &[Lease],
        lease: Duration,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Lease>, StoreError> {
        let (owner, held) = (owner.to_owned(), held.to_vec());
        self.write(move |write| claim(write, &owner, &held, lease, now, limit)).await
    }

    /// The same for looks at drift alone: they have places of their own, so that they take none from anything else.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_looks(
        &self,
        owner: &str,
        held: &[Lease],
        lease: Duration,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Lease>, StoreError> {
        let (owner, held) = (owner.to_owned(), held.to_vec());
        self.write(move |write| claim_looks(write, &owner, &held, lease, now, limit)).await
    }

    /// Lets the lease end this much after now.
    ///
    /// # Errors
    /// It is lost, or the database failed.
    pub async fn renew(
        &self,
        lease: &Lease,
        duration: Duration,
        now: Timestamp,
    ) -> Result<(), LeaseError> {
        let lease = lease.clone();
        self.write(move |write| {
            let changed = write.sql.execute(
                "UPDATE wakeup SET due_at = $1 WHERE key = $2 AND epoch = $3 \
                 AND lease_owner IS NOT NULL",
                params![micros(end(now, duration)), lease.key.to_string(), signed(lease.epoch)],
            )?;
            if changed == 0 { Err(LeaseError::Lost { key: lease.key }) } else { Ok(()) }
        })
        .await
    }

    /// Gives the key back. It is due next at `next_due`, or at the time that a wake-up asked for
    /// meanwhile, whichever is earlier; without either it is forgotten.
    ///
    /// # Errors
    /// It is lost, or the database failed.
    pub async fn release(
        &self,
        lease: &Lease,
        next_due: Option<Timestamp>,
    ) -> Result<(), LeaseError> {
        let lease = lease.clone();
        self.write(move |write| release(write, lease, next_due)).await
    }

    /// When the next key is due or the next lease ends, later than `after`. Whatever was due by the time of a claim
    /// and was not leased then waits for a lease to end or for a wake-up, not for a time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |sql| {
            let due: Option<Option<i64>> = sql.row(
                "SELECT MIN(due_at) FROM wakeup WHERE due_at > $1",
                params![micros(after)],
                |row| row.get(0),
            )?;
            Ok(due.flatten().map(instant))
        })
        .await
    }
}

pub(crate) fn wake(write: &mut Write<'_>, key: &WakeKey, at: Timestamp) -> Result<(), StoreError> {
    write.sql.execute(
        "INSERT INTO wakeup (key, due_at, lease_owner, epoch, woken_at) \
         VALUES ($1, $2, NULL, 0, NULL) ON CONFLICT (key) DO UPDATE SET \
         due_at = CASE WHEN wakeup.lease_owner IS NULL AND excluded.due_at < wakeup.due_at \
           THEN excluded.due_at ELSE wakeup.due_at END, \
         woken_at = CASE WHEN wakeup.lease_owner IS NULL THEN NULL \
           WHEN wakeup.woken_at < excluded.due_at THEN wakeup.woken_at ELSE excluded.due_at END",
        params![key.to_string(), micros(at)],
    )?;
    write.tell_woken();
    Ok(())
}

fn claim(
    write: &mut Write<'_>,
    owner: &str,
    held: &[Lease],
    lease: Duration,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Lease>, StoreError> {
    let is_due = "SELECT 1 FROM wakeup WHERE due_at <= $1 AND key NOT LIKE 'drift/%' LIMIT 1";
    if !write.sql.exists(is_due, params![micros(now)])? {
        return Ok(Vec::new());
    }
    keep(write, held, now, end(now, lease))?;
    if !write.sql.exists(is_due, params![micros(now)])? {
        return Ok(Vec::new());
    }
    let loads = loads(write, now, end(now, lease), limit)?;
    let shares = shares(limit, &loads);
    if shares.is_empty() {
        // The places left are for others: nothing is written, and nothing waits for the disk.
        return Ok(Vec::new());
    }
    let epoch = raise_counter(write, "", "epoch")?;
    let mut keys: Vec<(String, i64)> = Vec::new();
    for (project, share) in shares {
        keys.extend(write.sql.rows(
            "UPDATE wakeup SET lease_owner = $1, due_at = $2, epoch = $3, woken_at = NULL \
             WHERE key IN (SELECT key FROM wakeup WHERE project = $4 AND due_at <= $5 \
               AND key NOT LIKE 'drift/%' ORDER BY due_at LIMIT $6) \
             RETURNING key, epoch",
            params![
                owner,
                micros(end(now, lease)),
                signed(epoch),
                project.as_str(),
                micros(now),
                share
            ],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
        )?);
    }
    Ok(leased(keys, owner))
}

fn claim_looks(
    write: &mut Write<'_>,
    owner: &str,
    held: &[Lease],
    lease: Duration,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Lease>, StoreError> {
    let is_due = "SELECT 1 FROM wakeup WHERE due_at <= $1 AND key LIKE 'drift/%' LIMIT 1";
    if !write.sql.exists(is_due, params![micros(now)])? {
        return Ok(Vec::new());
    }
    keep(write, held, now, end(now, lease))?;
    if limit == 0 || !write.sql.exists(is_due, params![micros(now)])? {
        return Ok(Vec::new());
    }
    let epoch = raise_counter(write, "", "epoch")?;
    let keys = write.sql.rows(
        "UPDATE wakeup SET lease_owner = $1, due_at = $2, epoch = $3, woken_at = NULL \
         WHERE key IN (SELECT key FROM wakeup WHERE due_at <= $4 AND key LIKE 'drift/%' \
           ORDER BY due_at LIMIT $5) \
         RETURNING key, epoch",
        params![owner, micros(end(now, lease)), signed(epoch), micros(now), limit],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
    )?;
    Ok(leased(keys, owner))
}

fn leased(keys: Vec<(String, i64)>, owner: &str) -> Vec<Lease> {
    let mut leases = Vec::with_capacity(keys.len());
    for (key, epoch) in keys {
        match key.parse() {
            Ok(key) => leases.push(Lease { key, epoch: unsigned(epoch), owner: owner.to_owned() }),
            // It comes up again when its lease ends, without harm to the others.
            Err(error) => tracing::error!(key, %error, "a wake-up has a damaged key"),
        }
    }
    leases
}

/// Lets leases last until `later` that are over by `now`, as they are for everybody once the wall clock jumps.
/// Their holder measures by another clock, and says that it still works on their keys.
fn keep(
    write: &mut Write<'_>,
    held: &[Lease],
    now: Timestamp,
    later: Timestamp,
) -> Result<(), StoreError> {
    for lease in held {
        write.sql.execute(
            "UPDATE wakeup SET due_at = $1 WHERE key = $2 AND epoch = $3 \
             AND lease_owner IS NOT NULL AND due_at <= $4",
            params![micros(later), lease.key.to_string(), signed(lease.epoch), micros(now)],
        )?;
    }
    Ok(())
}

/// What each project has to do, up to `most` of it; whoever waits longest first. Looks at the projects
/// one after the other by their index, not at everything that is due.
fn loads(
    write: &mut Write<'_>,
    now: Timestamp,
    later: Timestamp,
    most: u32,
) -> Result<Vec<Load>, StoreError> {
    let rows: Vec<(String, u32, u32)> = write.sql.rows(
        "WITH RECURSIVE known(project) AS ( \
           SELECT MIN(project) FROM wakeup UNION ALL \
           SELECT (SELECT MIN(project) FROM wakeup WHERE project > known.project) \
           FROM known WHERE known.project IS NOT NULL) \
         SELECT project, \
           (SELECT COUNT(*) FROM (SELECT 1 FROM wakeup WHERE wakeup.project = known.project \
             AND due_at <= $1 AND key NOT LIKE 'drift/%' LIMIT $2)), \
           (SELECT COUNT(*) FROM wakeup WHERE wakeup.project = known.project \
             AND lease_owner IS NOT NULL AND due_at > $1 AND key NOT LIKE 'drift/%') \
         FROM known WHERE project IS NOT NULL ORDER BY (SELECT MIN(due_at) FROM wakeup \
           WHERE wakeup.project = known.project AND key NOT LIKE 'drift/%')",
        params![micros(now), most],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut loads = Vec::with_capacity(rows.len());
    for (project, due, held) in rows {
        match project.parse() {
            Ok(project) => loads.push(Load { project, due, held }),
            // They come up again later, without harm to the others.
            Err(error) => {
                tracing::error!(project, %error, "wake-ups have damaged keys");
                write.sql.execute(
                    "UPDATE wakeup SET due_at = $1 WHERE project = $2 AND due_at <= $3",
                    params![micros(later), project, micros(now)],
                )?;
            }
        }
    }
    Ok(loads)
}

fn release(
    write: &mut Write<'_>,
    lease: Lease,
    next_due: Option<Timestamp>,
) -> Result<(), LeaseError> {
    let key = lease.key.to_string();
    let held = write.sql.row(
        "SELECT woken_at FROM wakeup WHERE key = $1 AND epoch = $2 AND lease_owner IS NOT NULL",
        params![key, signed(lease.epoch)],
        |row| row.get::<_, Option<i64>>(0),
    )?;
    let Some(woken_at) = held else { return Err(LeaseError::Lost { key: lease.key }) };
    let due = match (woken_at, next_due.map(micros)) {
        (Some(woken_at), Some(next_due)) => Some(woken_at.min(next_due)),
        (only, None) | (None, only) => only,
    };
    match due {
        Some(due) => {
            write.sql.execute(
                "UPDATE wakeup SET lease_owner = NULL, woken_at = NULL, due_at = $1 \
                 WHERE key = $2",
                params![due, key],
            )?;
            write.tell_woken();
        }
        None => {
            write.sql.execute("DELETE FROM wakeup WHERE key = $1", params![key])?;
        }
    }
    Ok(())
}

/// Whether the lease is the last one given out for its key and was not given back.
pub(crate) fn is_held(sql: Sql<'_>, key: &WakeKey, epoch: u64) -> Result<bool, StoreError> {
    sql.exists(
        "SELECT 1 FROM wakeup WHERE key = $1 AND epoch = $2 AND lease_owner IS NOT NULL",
        params![key.to_string(), signed(epoch)],
    )
}

fn end(now: Timestamp, lease: Duration) -> Timestamp {
    now.checked_add(lease).unwrap_or(Timestamp::MAX)
}

/// Wakes the stage and its promotions that are not over.
pub(crate) fn wake_stage(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    at: Timestamp,
) -> Result<(), StoreError> {
    wake(write, &WakeKey::Stage(project.clone(), stage.clone()), at)?;
    wake_running(write, project, stage, at)?;
    Ok(())
}

/// Wakes the promotions to the stage that are not over. Whether there are any.
pub(crate) fn wake_running(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let running: Vec<String> = write.sql.rows(
        "SELECT id FROM promotion WHERE project = $1 AND stage = $2 AND ended_at IS NULL",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )?;
    for id in running.iter().filter_map(|id| id.parse().ok()) {
        wake(write, &WakeKey::Promotion(project.clone(), id), at)?;
    }
    Ok(!running.is_empty())
}

/// Wakes the stages that name this warehouse, stage or template.
pub(crate) fn wake_users(
    write: &mut Write<'_>,
    project: &ProjectName,
    kind: crate::definition::Kind,
    name: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    for stage in crate::stage::users(write.sql, project, kind, name)? {
        wake_stage(write, project, &stage, at)?;
    }
    Ok(())
}
