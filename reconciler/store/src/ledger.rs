//! The ledger: who did what, append-only, each event chained to the one before by SHA-256.
//!
//! Beside the chain the store keeps, per subject, the number of the last event that touched it: a
//! cheap answer to "has anything of this changed since".

use jiff::Timestamp;
use reconciler_domain::id::{
    CredentialName, FreezeName, FreightId, HoldName, PolicyName, Principal, ProjectName,
    PromotionId, StageName, TaskName, VerificationName, WarehouseName,
};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::Store;
use crate::error::{StoreError, Unreadable};
use crate::sql::{Sql, instant, json, micros, name, parsed, signed, unsigned};
use crate::writer::Write;

/// One event of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEvent {
    /// Position, from 1, over all projects.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Where; absent: not in a project.
    pub project: Option<ProjectName>,
    /// What it is about.
    pub subject: Subject,
    /// A stable word: `stage.changed`, `promotion.approved`.
    pub kind: String,
    /// Who.
    pub actor: Principal,
    /// One sentence for people.
    pub summary: String,
    /// Details.
    pub body: Value,
    /// Hash of the event before; empty for the first.
    pub prev_hash: String,
    /// SHA-256 over everything above, in hexadecimal.
    pub hash: String,
}

/// What an event is about, inside its project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Subject {
    /// The project. Touched by everything that raises its revision.
    Project,
    /// A warehouse.
    Warehouse(WarehouseName),
    /// A stage.
    Stage(StageName),
    /// A verification template.
    Verification(VerificationName),
    /// A task.
    Task(TaskName),
    /// A policy.
    Policy(PolicyName),
    /// A hold.
    Hold(HoldName),
    /// A freeze.
    Freeze(FreezeName),
    /// A credential.
    Credential(CredentialName),
    /// Freight.
    Freight(FreightId),
    /// A promotion.
    Promotion(PromotionId),
    /// An API token, by name; in no project.
    Token(String),
    /// A freeze of every project; in none.
    InstanceFreeze(FreezeName),
}

impl Subject {
    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Warehouse(_) => "warehouse",
            Self::Stage(_) => "stage",
            Self::Verification(_) => "verification",
            Self::Task(_) => "task",
            Self::Policy(_) => "policy",
            Self::Hold(_) => "hold",
            Self::Freeze(_) => "freeze",
            Self::Credential(_) => "credential",
            Self::Freight(_) => "freight",
            Self::Promotion(_) => "promotion",
            Self::Token(_) => "token",
            Self::InstanceFreeze(_) => "instance_freeze",
        }
    }

    /// Its name; empty for the project, which the event names.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Project => "",
            Self::Warehouse(name) => name.as_str(),
            Self::Stage(name) => name.as_str(),
            Self::Verification(name) => name.as_str(),
            Self::Task(name) => name.as_str(),
            Self::Policy(name) => name.as_str(),
            Self::Hold(name) => name.as_str(),
            Self::Freeze(name) => name.as_str(),
            Self::Credential(name) => name.as_str(),
            Self::Freight(id) => id.as_str(),
            Self::Promotion(id) => id.as_str(),
            Self::Token(name) => name,
            Self::InstanceFreeze(name) => name.as_str(),
        }
    }

    fn read(kind: &str, text: &str, seq: u64) -> Result<Self, Unreadable> {
        let what = || format!("ledger event {seq}");
        Ok(match kind {
            "project" => Self::Project,
            "warehouse" => Self::Warehouse(name(text, what)?),
            "stage" => Self::Stage(name(text, what)?),
            "verification" => Self::Verification(name(text, what)?),
            "task" => Self::Task(name(text, what)?),
            "policy" => Self::Policy(name(text, what)?),
            "hold" => Self::Hold(name(text, what)?),
            "freeze" => Self::Freeze(name(text, what)?),
            "credential" => Self::Credential(name(text, what)?),
            "freight" => Self::Freight(name(text, what)?),
            "promotion" => Self::Promotion(name(text, what)?),
            "token" => Self::Token(text.to_owned()),
            "instance_freeze" => Self::InstanceFreeze(name(text, what)?),
            other => return Err(Unreadable::new(what(), format!("unknown subject {other:?}"))),
        })
    }
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the last event; 0: none.
    pub seq: u64,
    /// Its hash; empty: none.
    pub hash: String,
}

/// Why the ledger does not verify.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The chain breaks at an event.
    #[error("the ledger was tampered with or damaged at event {seq}: {reason}")]
    Broken {
        /// The first event that does not fit.
        seq: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The end of the chain as the writer has it. It is recorded once, at the end of each transaction,
/// however many events the transaction appends.
#[derive(Default)]
pub(crate) struct Chain {
    /// Absent: as recorded.
    head: Option<ChainHead>,
    /// What it was when the present piece of work began.
    before: Option<ChainHead>,
}

impl Chain {
    /// A piece of work begins.
    pub(crate) fn begin(&mut self) {
        self.before.clone_from(&self.head);
    }

    /// The piece of work is undone.
    pub(crate) fn undo(&mut self) {
        self.head = self.before.take();
    }

    /// Writes it down; nothing is appended in this transaction any more.
    pub(crate) fn record(&mut self, sql: Sql<'_>) -> Result<(), StoreError> {
        let Some(head) = self.head.take() else { return Ok(()) };
        sql.execute(
            "UPDATE ledger_head SET seq = $1, hash = $2 WHERE id = 1",
            params![signed(head.seq), head.hash],
        )?;
        Ok(())
    }

    /// Nothing is certain any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn head(&mut self, sql: Sql<'_>) -> Result<&ChainHead, StoreError> {
        if self.head.is_none() {
            self.head = Some(head(sql)?);
        }
        Ok(self.head.as_ref().expect("it was just read"))
    }

    fn grow(&mut self, head: ChainHead) {
        self.head = Some(head);
    }
}

/// An event to be appended.
pub(crate) struct Happened<'a> {
    pub(crate) at: Timestamp,
    pub(crate) project: Option<&'a ProjectName>,
    pub(crate) subject: Subject,
    /// Subjects whose world it changes, besides its own.
    pub(crate) touches: Vec<Subject>,
    pub(crate) kind: &'a str,
    pub(crate) actor: &'a Principal,
    pub(crate) summary: String,
    pub(crate) body: Value,
}

impl Write<'_> {
    /// Appends an event.
    pub(crate) fn record(&mut self, event: &Happened<'_>) -> Result<u64, StoreError> {
        let head = self.chain.head(self.sql)?;
        let seq = head.seq + 1;
        let row = Stored {
            seq,
            at: micros(event.at),
            project: event.project.map_or("", ProjectName::as_str).to_owned(),
            subject_kind: event.subject.kind().to_owned(),
            subject: event.subject.name().to_owned(),
            kind: event.kind.to_owned(),
            actor: json(event.actor),
            summary: event.summary.clone(),
            body: json(&event.body),
            prev_hash: head.hash.clone(),
            hash: String::new(),
        };
        let hash = row.computed_hash();
        self.sql.execute(
            "INSERT INTO ledger (seq, at, project, subject_kind, subject, kind, actor, summary, \
             body, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            params![
                signed(seq),
                row.at,
                row.project,
                row.subject_kind,
                row.subject,
                row.kind,
                row.actor,
                row.summary,
                row.body,
                row.prev_hash,
                hash
            ],
        )?;
        self.chain.grow(ChainHead { seq, hash });
        self.touch(&row.project, &event.subject, seq)?;
        for subject in &event.touches {
            self.touch(&row.project, subject, seq)?;
        }
        self.tell_ledger(seq);
        Ok(seq)
    }

    /// Notes that an event, which is written, changes the world of a subject of a project.
    pub(crate) fn touch(
        &mut self,
        project: &str,
        subject: &Subject,
        seq: u64,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO ledger_subject (project, kind, name, seq) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project, kind, name) DO UPDATE SET seq = excluded.seq",
            params![project, subject.kind(), subject.name(), signed(seq)],
        )?;
        Ok(())
    }
}

impl Store {
    /// The number of the last event that touched one of the subjects; 0: none did.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token(
        &self,
        project: &ProjectName,
        subjects: &[Subject],
    ) -> Result<u64, StoreError> {
        let (project, subjects) = (project.clone(), subjects.to_vec());
        self.read(move |sql| token(sql, &project, &subjects)).await
    }

    /// The number of the last event that touched a subject that is in no project; 0: none did.
    ///
    /// # Errors
    /// The database failed.
    pub async fn instance_token(&self, subject: &Subject) -> Result<u64, StoreError> {
        let subject = subject.clone();
        self.read(move |sql| last_touch(sql, "", &subject)).await
    }

    /// Events after this number, of one project or of all, oldest first.
    ///
    /// # Errors
    /// The database failed, or an event among these cannot be read.
    pub async fn events(
        &self,
        project: Option<&ProjectName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<LedgerEvent>, StoreError> {
        let project = project.cloned();
        self.read(move |sql| {
            let rows = page(sql, project.as_ref(), after, limit)?;
            rows.into_iter().map(|row| row.event().map_err(StoreError::from)).collect()
        })
        .await
    }

    /// Walks the whole chain.
    ///
    /// # Errors
    /// An event was changed, removed, inserted or moved, or the database failed.
    pub async fn verify_chain(&self) -> Result<ChainHead, ChainError> {
        self.read(verify).await
    }
}

fn token(sql: Sql<'_>, project: &ProjectName, subjects: &[Subject]) -> Result<u64, StoreError> {
    let mut last = 0;
    for subject in subjects {
        let project = match subject {
            Subject::Token(_) | Subject::InstanceFreeze(_) => "",
            Subject::Project
            | Subject::Warehouse(_)
            | Subject::Stage(_)
            | Subject::Verification(_)
            | Subject::Task(_)
            | Subject::Policy(_)
            | Subject::Hold(_)
            | Subject::Freeze(_)
            | Subject::Credential(_)
            | Subject::Freight(_)
            | Subject::Promotion(_) => project.as_str(),
        };
        last = last.max(last_touch(sql, project, subject)?);
    }
    Ok(last)
}

fn last_touch(sql: Sql<'_>, project: &str, subject: &Subject) -> Result<u64, StoreError> {
    let seq = sql.row(
        "SELECT seq FROM ledger_subject WHERE project = $1 AND kind = $2 AND name = $3",
        params![project, subject.kind(), subject.name()],
        |row| row.get(0),
    )?;
    Ok(unsigned(seq.unwrap_or(0)))
}

/// The end of the chain as recorded.
pub(crate) fn head(sql: Sql<'_>) -> Result<ChainHead, StoreError> {
    let head = sql.row("SELECT seq, hash FROM ledger_head WHERE id = 1", [], |row| {
        Ok(ChainHead { seq: unsigned(row.get(0)?), hash: row.get(1)? })
    })?;
    head.ok_or_else(|| Unreadable::new("end of the ledger", "it is missing").into())
}

const VERIFY_PAGE: u32 = 1_000;

fn verify(sql: Sql<'_>) -> Result<ChainHead, ChainError> {
    let mut last = ChainHead { seq: 0, hash: String::new() };
    loop {
        let rows = page(sql, None, last.seq, VERIFY_PAGE)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let seq = last.seq + 1;
            let broken = |reason| Err(ChainError::Broken { seq, reason });
            if row.seq != seq {
                return broken("it is missing");
            }
            if row.prev_hash != last.hash {
                return broken("it does not follow the event before it");
            }
            if row.computed_hash() != row.hash {
                return broken("its content does not match its hash");
            }
            last = ChainHead { seq, hash: row.hash };
        }
    }
    let recorded = head(sql)?;
    if recorded == last {
        return Ok(last);
    }
    let (seq, reason) = if recorded.seq > last.seq {
        (last.seq + 1, "it is missing at the end")
    } else {
        (last.seq, "the recorded end is another one")
    };
    Err(ChainError::Broken { seq, reason })
}

/// An event as its row has it.
struct Stored {
    seq: u64,
    at: i64,
    project: String,
    subject_kind: String,
    subject: String,
    kind: String,
    actor: String,
    summary: String,
    body: String,
    prev_hash: String,
    hash: String,
}

fn page(
    sql: Sql<'_>,
    project: Option<&ProjectName>,
    after: u64,
    limit: u32,
) -> Result<Vec<Stored>, StoreError> {
    const COLUMNS: &str = "SELECT seq, at, project, subject_kind, subject, kind, actor, summary, \
                           body, prev_hash, hash FROM ledger";
    match project {
        Some(project) => sql.rows(
            &format!("{COLUMNS} WHERE project = $1 AND seq > $2 ORDER BY seq LIMIT $3"),
            params![project.as_str(), signed(after), limit],
            Stored::read,
        ),
        None => sql.rows(
            &format!("{COLUMNS} WHERE seq > $1 ORDER BY seq LIMIT $2"),
            params![signed(after), limit],
            Stored::read,
        ),
    }
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: unsigned(row.get(0)?),
            at: row.get(1)?,
            project: row.get(2)?,
            subject_kind: row.get(3)?,
            subject: row.get(4)?,
            kind: row.get(5)?,
            actor: row.get(6)?,
            summary: row.get(7)?,
            body: row.get(8)?,
            prev_hash: row.get(9)?,
            hash: row.get(10)?,
        })
    }

    /// Every field is preceded by its length, so that no two events read the same.
    fn computed_hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        let texts = [
            &self.project,
            &self.subject_kind,
            &self.subject,
            &self.kind,
            &self.actor,
            &self.summary,
            &self.body,
            &self.prev_hash,
        ];
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hex(&hash.finalize())
    }

    fn event(self) -> Result<LedgerEvent, Unreadable> {
        let seq = self.seq;
        let what = || format!("ledger event {seq}");
        let project = (!self.project.is_empty()).then(|| name(&self.project, what)).transpose()?;
        Ok(LedgerEvent {
            seq,
            at: instant(self.at),
            project,
            subject: Subject::read(&self.subject_kind, &self.subject, seq)?,
            kind: self.kind,
            actor: parsed(&self.actor, what)?,
            summary: self.summary,
            body: parsed(&self.body, what)?,
            prev_hash: self.prev_hash,
            hash: self.hash,
        })
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| char::from(DIGITS[usize::from(four)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
