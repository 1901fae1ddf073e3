//! Appending to the log of a promotion: the event, what follows from it, and who has to look again,
//! in one transaction.

use jiff::Timestamp;
use reconciler_domain::id::{Principal, ProjectName, PromotionId};
use reconciler_domain::plan::{Consequences, consequences};
use reconciler_domain::promotion::{Entry, Event, IllegalEvent, Promotion, Skipped, State};
use reconciler_domain::step::Said;
use rusqlite::params;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::Store;
use crate::counter::{raise_revision, revision};
use crate::definition::Kind;
use crate::drift;
use crate::error::StoreError;
use crate::fold::Folded;
use crate::freight;
use crate::hold;
use crate::kept;
use crate::ledger::{Happened, Subject, hex};
use crate::policy::wake_limited;
use crate::promotion::{row_phase, slot_holder};
use crate::sql::{is_constraint, json, micros, signed, whole_micros};
use crate::stay;
use crate::wake::{Lease, WakeKey, is_held, wake, wake_stage, wake_users};
use crate::writer::Write;

/// Why an event was not appended. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It is not there.
    #[error("there is no promotion {promotion}")]
    NotFound {
        /// The promotion.
        promotion: PromotionId,
    },
    /// Someone else works on the promotion by now.
    #[error("the lease of promotion {promotion} is lost: stop working on it")]
    Fenced {
        /// The promotion.
        promotion: PromotionId,
    },
    /// The log grew since it was read.
    #[error("the log of promotion {promotion} goes on to entry {last_seq} by now; look again")]
    Moved {
        /// The promotion.
        promotion: PromotionId,
        /// Its last entry.
        last_seq: u64,
    },
    /// The project changed since the decision to commit.
    #[error("the project changed meanwhile (revision {revision}); judge the gates again")]
    Revision {
        /// The present revision.
        revision: u64,
    },
    /// Another promotion holds the slot of the stage.
    #[error("promotion {holder} is under way in that stage; wait for it to end")]
    SlotTaken {
        /// The other promotion.
        holder: PromotionId,
    },
    /// What the event changes beside the log is not as it was when that was decided.
    #[error("what promotion {promotion} is to change was changed meanwhile; look again")]
    Changed {
        /// The promotion.
        promotion: PromotionId,
    },
    /// The commit must name the revision that it was decided from.
    #[error("promotion {promotion} can only be committed against a revision of its project")]
    Guarded {
        /// The promotion.
        promotion: PromotionId,
    },
    /// The event cannot follow those before it.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An entry that was appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The entry.
    pub entry: Entry,
    /// The revision of the project from then on. If it is that of a snapshot, nothing that the
    /// snapshot shows has changed since but the log.
    pub revision: u64,
}

impl Store {
    /// Appends an event and writes what follows from it.
    ///
    /// `lease` is the worker's right to the promotion; absent for what people do (approve, abort).
    /// `expected_seq` is the last entry that the decision saw, 0 for none.
    ///
    /// # Errors
    /// The lease is lost, the log grew meanwhile, the event cannot happen now, the event is a
    /// commit, or the database failed.
    pub async fn append(
        &self,
        project: &ProjectName,
        id: &PromotionId,
        lease: Option<&Lease>,
        expected_seq: u64,
        event: Event,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        if matches!(event, Event::Committed { .. }) {
            return Err(AppendError::Guarded { promotion: id.clone() });
        }
        let (project, id, epoch) = (project.clone(), id.clone(), lease.map(|lease| lease.epoch));
        self.write(move |write| {
            let folded = ready(write, &project, &id, epoch, expected_seq)?;
            let own = epoch.is_some();
            let addition = Addition { actor: actor(&event), event, now: whole_micros(now), own };
            let entry = add(write, &project, folded, addition)?;
            Ok(Appended { entry, revision: revision(write.sql, &project)? })
        })
        .await
    }

    /// Appends what was decided, if nothing that the decision looked at has changed: the project must still have this
    /// revision.
    ///
    /// # Errors
    /// As for [`append`](Self::append); the project changed.
    // Each is told by its name and its type.
    #[expect(clippy::too_many_arguments, reason = "what is appended, by whom, and what was seen")]
    pub async fn append_judged(
        &self,
        project: &ProjectName,
        id: &PromotionId,
        lease: &Lease,
        expected_seq: u64,
        judged_at: u64,
        event: Event,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let (project, id, epoch) = (project.clone(), id.clone(), lease.epoch);
        self.write(move |write| {
            let folded = ready(write, &project, &id, Some(epoch), expected_seq)?;
            let present = revision(write.sql, &project)?;
            if present != judged_at {
                write.folds.keep(&project, folded);
                return Err(AppendError::Revision { revision: present });
            }
            let addition =
                Addition { actor: actor(&event), event, now: whole_micros(now), own: true };
            let entry = add(write, &project, folded, addition)?;
            Ok(Appended { entry, revision: revision(write.sql, &project)? })
        })
        .await
    }

    /// Takes the slot of the stage, if nothing that the decision looked at has changed: the
    /// project must still have this revision.
    ///
    /// # Errors
    /// As for [`append`](Self::append); the project changed, or the slot is taken.
    // Each is told by its name and its type.
    #[expect(clippy::too_many_arguments, reason = "what is committed, by whom, and what was seen")]
    pub async fn commit_promotion(
        &self,
        project: &ProjectName,
        id: &PromotionId,
        lease: &Lease,
        expected_seq: u64,
        revision: u64,
        skipped: Vec<Skipped>,
        now: Timestamp,
    ) -> Result<Entry, AppendError> {
        let event = Event::Committed { skipped };
        let committed =
            self.append_judged(project, id, lease, expected_seq, revision, event, now).await?;
        Ok(committed.entry)
    }
}

/// An event to be appended.
pub(crate) struct Addition {
    pub(crate) actor: Principal,
    pub(crate) event: Event,
    pub(crate) now: Timestamp,
    /// Whether it comes from who holds the promotion's lease, and so looks again anyway.
    pub(crate) own: bool,
}

/// The promotion, if whoever asks may append and has seen all of its log.
fn ready(
    write: &mut Write<'_>,
    project: &ProjectName,
    id: &PromotionId,
    epoch: Option<u64>,
    expected_seq: u64,
) -> Result<Folded, AppendError> {
    if let Some(epoch) = epoch {
        let key = WakeKey::Promotion(project.clone(), id.clone());
        if !is_held(write.sql, &key, epoch)? {
            return Err(AppendError::Fenced { promotion: id.clone() });
        }
    }
    let folded = write.folds.take(write.sql, project, id)?;
    let folded = folded.ok_or_else(|| AppendError::NotFound { promotion: id.clone() })?;
    if folded.last_seq != expected_seq {
        return Err(AppendError::Moved { promotion: id.clone(), last_seq: folded.last_seq });
    }
    Ok(folded)
}

/// Appends to a folded promotion.
pub(crate) fn add(
    write: &mut Write<'_>,
    project: &ProjectName,
    folded: Folded,
    addition: Addition,
) -> Result<Entry, AppendError> {
    let Folded { promotion, mut state, last_seq } = folded;
    let Addition { actor, event, now, own } = addition;
    let after = consequences(&promotion, &state, &event);
    let entry = Entry { seq: last_seq + 1, at: now, event };
    state.apply(&entry)?;
    let text = json(&entry.event);
    write.sql.execute(
        "INSERT INTO promotion_event (project, promotion, seq, at, event) \
         VALUES ($1, $2, $3, $4, $5)",
        params![project.as_str(), promotion.id.as_str(), signed(entry.seq), micros(now), text],
    )?;
    update_row(write, project, &promotion, &state, &entry, after.slot)?;
    let context = Context { project, promotion: &promotion, now };
    context.follow(write, &after)?;
    context.tell(write, &actor, &entry, &text, &after)?;
    context.wake(write, &after, own)?;
    write.folds.keep(project, Folded { promotion, state, last_seq: entry.seq });
    Ok(entry)
}

/// Writes what the row repeats of the log, and the slot.
fn update_row(
    write: &mut Write<'_>,
    project: &ProjectName,
    promotion: &Promotion,
    state: &State,
    entry: &Entry,
    slot: Option<bool>,
) -> Result<(), AppendError> {
    let is_commit = matches!(entry.event, Event::Committed { .. });
    let committed_at = is_commit.then(|| micros(entry.at));
    let updated = write.sql.execute(
        "UPDATE promotion SET last_seq = $1, phase = $2, ended_at = $3, \
         slot = COALESCE($4, slot), \
         committed_at = CASE WHEN $5 THEN NULL ELSE COALESCE($6, committed_at) END \
         WHERE project = $7 AND id = $8",
        params![
            signed(entry.seq),
            row_phase(state),
            state.finish.as_ref().map(|(at, _)| micros(*at)),
            slot.map(i64::from),
            matches!(entry.event, Event::SentBack { .. }),
            committed_at,
            project.as_str(),
            promotion.id.as_str()
        ],
    );
    match updated {
        Ok(_) => Ok(()),
        Err(error) if is_constraint(&error) => {
            match slot_holder(write.sql, project, &promotion.stage)? {
                Some(holder) => Err(AppendError::SlotTaken { holder }),
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Who did what an event says.
fn actor(event: &Event) -> Principal {
    match event {
        Event::Approved(approval) => Principal::Named(approval.by.clone()),
        Event::Answered(answer) => Principal::Named(answer.by.clone()),
        Event::AbortRequested { by, .. } | Event::Reverifying { by, .. } => by.clone(),
        Event::PrepareStarted(_)
        | Event::StepPrepared(_)
        | Event::PassedOver { .. }
        | Event::PrepareFailed { .. }
        | Event::Prepared(_)
        | Event::Probed { .. }
        | Event::Committed { .. }
        | Event::SentBack { .. }
        | Event::Intent { .. }
        | Event::Outcome { .. }
        | Event::Verifying { .. }
        | Event::Measured(_)
        | Event::Unwinding { .. }
        | Event::Finished(_) => Principal::Automation,
    }
}

/// What an event happened to.
struct Context<'a> {
    project: &'a ProjectName,
    promotion: &'a Promotion,
    now: Timestamp,
}

impl Context<'_> {
    /// Writes what follows.
    fn follow(&self, write: &mut Write<'_>, after: &Consequences) -> Result<(), AppendError> {
        let stage = &self.promotion.stage;
        if let Some(entered) = &after.enter {
            stay::enter(write, self.project, &self.promotion.id, stage, entered, self.now)?;
        }
        for verified in &after.verify {
            freight::vouch(write, self.project, verified, stage, self.now)?;
        }
        for withdrawn in &after.withdraw {
            freight::withdraw(write, self.project, withdrawn, stage, self.now)?;
        }
        if let Some(kept) = &after.keep
            && !kept::change(write, self.project, self.promotion, &kept.changes)?
        {
            return Err(AppendError::Changed { promotion: self.promotion.id.clone() });
        }
        if let Some(reason) = &after.hold {
            let by = &Principal::Automation;
            hold::put_automatic(write, self.project, stage, reason, by, self.now)?;
        }
        Ok(())
    }

    /// Writes the ledger event. The log has the details; the ledger binds them by their hash.
    fn tell(
        &self,
        write: &mut Write<'_>,
        actor: &Principal,
        entry: &Entry,
        text: &str,
        after: &Consequences,
    ) -> Result<(), StoreError> {
        let id = &self.promotion.id;
        let label = entry.event.label();
        let mut body = json!({ "entry": entry.seq, "sha256": hex(&Sha256::digest(text)) });
        let summary = match &entry.event {
            Event::Approved(approval) => {
                body["approval"] = json!(approval);
                format!("{actor} approved promotion {id} ({})", approval.digest)
            }
            Event::Answered(answer) => {
                body["question"] = json!(answer.question);
                body["signed"] = json!(answer.signed);
                let what = match answer.said {
                    Said::Approved => "approved",
                    Said::Refused => "refused",
                    Said::Given(_) => "gave the values of",
                };
                format!("{actor} {what} step {} of promotion {id}", answer.step)
            }
            Event::AbortRequested { reason, .. } => {
                format!("{actor} asked to stop promotion {id}: {reason}")
            }
            Event::Reverifying { reason, .. } => {
                body["reason"] = json!(reason);
                format!("{actor} had what promotion {id} brought verified anew")
            }
            Event::Intent { node, .. } | Event::Outcome { node, .. } => {
                format!("promotion {id}: {label} of step {}", node.step())
            }
            Event::PassedOver { step, message, .. } => {
                format!("promotion {id}: step {step} is passed over: {message}")
            }
            Event::Finished(finish) => {
                body["finish"] = json!(finish);
                format!("promotion {id} {}: {}", finish.ending.label(), finish.message)
            }
            Event::SentBack { why } => format!("promotion {id} goes back to its gates: {why}"),
            Event::PrepareStarted(_)
            | Event::StepPrepared(_)
            | Event::PrepareFailed { .. }
            | Event::Prepared(_)
            | Event::Probed { .. }
            | Event::Committed { .. }
            | Event::Verifying { .. }
            | Event::Measured(_)
            | Event::Unwinding { .. } => format!("promotion {id}: {label}"),
        };
        let mut touches = Vec::new();
        if is_seen(&entry.event, after) {
            raise_revision(write, self.project)?;
            touches = vec![Subject::Project, Subject::Stage(self.promotion.stage.clone())];
            let promoted = self.promotion.promoted();
            touches.extend(promoted.map(|(_, freight)| Subject::Freight(freight.clone())));
        }
        write.record(&Happened {
            at: self.now,
            project: Some(self.project),
            subject: Subject::Promotion(id.clone()),
            touches,
            kind: &format!("promotion.{label}"),
            actor,
            summary,
            body,
        })?;
        self.tell_of_bypass(write, &entry.event)?;
        self.audit(write, entry, after)
    }

    /// What was skipped at the commit has an event of its own: whoever reads the ledger for it need not
    /// read logs.
    fn tell_of_bypass(&self, write: &mut Write<'_>, event: &Event) -> Result<(), StoreError> {
        let Event::Committed { skipped } = event else { return Ok(()) };
        if skipped.is_empty() {
            return Ok(());
        }
        let Promotion { id, stage, requester, bypass, .. } = self.promotion;
        let gates: Vec<&str> = skipped.iter().map(|skipped| skipped.gate.name()).collect();
        let reason = bypass.as_ref().map_or("", |bypass| &bypass.reason);
        write.record(&Happened {
            at: self.now,
            project: Some(self.project),
            subject: Subject::Promotion(id.clone()),
            touches: Vec::new(),
            kind: "promotion.bypassed",
            actor: requester,
            summary: format!(
                "{requester} had promotion {id} to {stage} committed past {}: {reason}",
                gates.join(", ")
            ),
            body: json!({ "skipped": skipped, "bypass": bypass }),
        })?;
        Ok(())
    }

    /// Writes the event that a step adds to the ledger.
    fn audit(
        &self,
        write: &mut Write<'_>,
        entry: &Entry,
        after: &Consequences,
    ) -> Result<(), StoreError> {
        let Some(audit) = after.keep.as_ref().and_then(|kept| kept.audit.as_ref()) else {
            return Ok(());
        };
        let id = &self.promotion.id;
        let step = match &entry.event {
            Event::Outcome { node, .. } => Some(node.step()),
            _ => None,
        };
        write.record(&Happened {
            at: self.now,
            project: Some(self.project),
            subject: Subject::Promotion(id.clone()),
            touches: Vec::new(),
            kind: "audit",
            // Words of whoever wrote the step, not of whoever asked for the promotion.
            actor: &Principal::Automation,
            summary: audit.message.clone(),
            body: json!({
                "step": step,
                "fields": audit.fields,
                "requester": self.promotion.requester,
            }),
        })?;
        Ok(())
    }

    /// Wakes whoever sees the difference.
    fn wake(
        &self,
        write: &mut Write<'_>,
        after: &Consequences,
        own: bool,
    ) -> Result<(), StoreError> {
        let stage = &self.promotion.stage;
        if !after.are_none() {
            wake_stage(write, self.project, stage, self.now)?;
            wake_users(write, self.project, Kind::Stage, stage.as_str(), self.now)?;
        }
        if after.slot == Some(false) {
            wake_limited(write, self.project, stage, self.now)?;
            drift::slot_given_back(write, self.project, stage, &self.promotion.id, self.now)?;
        }
        if !own {
            let key = WakeKey::Promotion(self.project.clone(), self.promotion.id.clone());
            wake(write, &key, self.now)?;
        }
        Ok(())
    }
}

/// Whether decisions about others see the difference.
fn is_seen(event: &Event, after: &Consequences) -> bool {
    !after.are_none() || matches!(event, Event::Approved(_) | Event::AbortRequested { .. })
}
