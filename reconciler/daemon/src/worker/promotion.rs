//! Carries out the moves of one promotion.
//!
//! The bracket round every effect: append the intent, run, append the outcome, each append fenced
//! by the lease. Where the daemon dies inside the bracket, the next worker finds the intent without
//! an outcome and runs the same call again; effects see for themselves what is done already.

use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId, StepName};
use reconciler_domain::plan::{self, Act, Base};
use reconciler_domain::promotion::{Event, Node, Phase};
use reconciler_domain::snapshot::PromotionSnapshot;
use reconciler_domain::step::{Call, Interruption, StepOutcome};
use reconciler_effects::{Halted, RunContext, WorkdirKind};
use reconciler_store::{AppendError, Lease};
use tokio_util::sync::CancellationToken;

use super::{WorkError, Worker};
use crate::crash::Boundary;

/// A promotion at one point of its log.
struct At<'a> {
    lease: &'a Lease,
    project: &'a ProjectName,
    snapshot: &'a PromotionSnapshot,
    /// Last entry that the decision saw.
    seq: u64,
    /// Revision of the project that the decision saw.
    revision: u64,
}

/// What to run between an intent and an outcome.
struct Run {
    call: Box<Call>,
    rebuild: Vec<(StepName, Call)>,
    resumed: bool,
    deadline: Option<Timestamp>,
}

/// Entries that are looked through at a time for one that breaks off what runs.
const LOG_PAGE: u32 = 100;

impl Worker {
    /// Makes moves until the promotion waits or is over.
    pub(super) async fn promotion(
        &self,
        lease: &Lease,
        project: &ProjectName,
        id: &PromotionId,
    ) -> Result<Option<Timestamp>, WorkError> {
        loop {
            let Some(found) = self.store.promotion_snapshot(project, id).await? else {
                return Ok(None);
            };
            let (snapshot, seq) = found.value;
            if let Phase::Ended(_) = snapshot.state.phase() {
                let cleaned = self.effects.clean(project, id, self.clock.now()).await;
                cleaned.map_err(WorkError::Unusable)?;
                return Ok(None);
            }
            let next = plan::promotion(&snapshot, self.clock.now());
            let Some(act) = next.act else { return Ok(next.wake_at) };
            let at = At { lease, project, snapshot: &snapshot, seq, revision: found.revision };
            if let Some(again) = self.act(&at, act).await? {
                return Ok(Some(again));
            }
        }
    }

    /// Makes one move; gives the time at which the same one is to be made again, where it came to nothing
    /// yet.
    async fn act(&self, at: &At<'_>, act: Act) -> Result<Option<Timestamp>, WorkError> {
        let made = match act {
            Act::Append(event) => self.append(at, at.seq, *event).await.map(drop),
            Act::Prepare { step, call, rebuild, deadline } => {
                self.prepare(at, step, *call, &rebuild, deadline).await
            }
            Act::Probe { bases } => self.probe(at, &bases).await,
            Act::Commit => self.commit(at).await,
            Act::Run { node, call, rebuild, resumed, deadline } => {
                let run = Run { call, rebuild, resumed, deadline };
                return self.run_node(at, &node, run).await;
            }
            Act::Measure(check) => {
                let taken = self.effects.measure(at.project, &check, self.clock.now()).await;
                self.append(at, at.seq, Event::Measured(taken)).await.map(drop)
            }
        };
        made.map(|()| None)
    }

    async fn prepare(
        &self,
        at: &At<'_>,
        step: StepName,
        call: Call,
        rebuild: &[(StepName, Call)],
        deadline: Option<Timestamp>,
    ) -> Result<(), WorkError> {
        let context = self.context(at, WorkdirKind::Main);
        let broken = self.broken_off(at, at.seq, None, deadline);
        let interrupt = CancellationToken::new();
        let run = self.effects.run(&context, &step, &call, rebuild, &interrupt);
        let outcome = match interruptible(run, broken, &interrupt).await? {
            Ran::Ended(outcome) => *outcome,
            Ran::NotYet { message, .. } => {
                return Err(WorkError::Unusable(format!(
                    "step {step} waits before the commit: {message}"
                )));
            }
        };
        match plan::prepared(step, call, outcome) {
            Some(event) => self.append(at, at.seq, event).await.map(drop),
            None => Ok(()),
        }
    }

    async fn probe(&self, at: &At<'_>, bases: &[Base]) -> Result<(), WorkError> {
        let context = self.context(at, WorkdirKind::Main);
        match self.effects.probe(&context, bases).await {
            Ok(moved) => self.append(at, at.seq, Event::Probed { moved }).await.map(drop),
            Err(message) => Err(WorkError::Unusable(format!(
                "what the change set was made against could not be looked at: {message}"
            ))),
        }
    }

    async fn commit(&self, at: &At<'_>) -> Result<(), WorkError> {
        let id = &at.snapshot.promotion.id;
        let committed = self
            .store
            .commit_promotion(at.project, id, at.lease, at.seq, at.revision, self.clock.now())
            .await;
        match committed {
            Ok(_) => {
                tracing::info!(promotion = %id, "committed");
                Ok(())
            }
            // Something that the gates looked at changed in between: judge again.
            Err(AppendError::Revision { .. } | AppendError::SlotTaken { .. }) => Ok(()),
            Err(error) => refused(error),
        }
    }

    /// Runs a node in its bracket. What is not so yet leaves the bracket open, as a crash would: whoever
    /// comes next runs the same call again, and the log does not grow by looks.
    async fn run_node(
        &self,
        at: &At<'_>,
        node: &Node,
        run: Run,
    ) -> Result<Option<Timestamp>, WorkError> {
        let mut seq = at.seq;
        if !run.resumed {
            self.crash.pass(Boundary::BeforeIntent, node);
            let intent = Event::Intent { node: node.clone(), call: run.call.clone() };
            let Some(appended) = self.append(at, seq, intent).await? else { return Ok(None) };
            seq = appended;
        }
        self.crash.pass(Boundary::AfterIntent, node);
        let workdir = match node {
            Node::Step(_) => WorkdirKind::Main,
            Node::UndoPlan(_) | Node::Undo(_) => WorkdirKind::Undo,
        };
        let context = self.context(at, workdir);
        let broken = self.broken_off(at, seq, Some(node), run.deadline);
        let interrupt = CancellationToken::new();
        let ran = self.effects.run(&context, node.step(), &run.call, &run.rebuild, &interrupt);
        let outcome = match interruptible(ran, broken, &interrupt).await? {
            Ran::Ended(outcome) => *outcome,
            Ran::NotYet { message, again } => {
                tracing::debug!(promotion = %context.promotion, ?node, message, "not yet");
                let due = self.clock.now().checked_add(again).unwrap_or(Timestamp::MAX);
                return Ok(Some(run.deadline.map_or(due, |deadline| due.min(deadline))));
            }
        };
        self.crash.pass(Boundary::AfterEffect, node);
        let outcome = Event::Outcome { node: node.clone(), outcome: Box::new(outcome) };
        self.append(at, seq, outcome).await?;
        self.crash.pass(Boundary::AfterOutcome, node);
        Ok(None)
    }

    /// Ends when what runs is to be broken off, and says by what.
    async fn broken_off(
        &self,
        at: &At<'_>,
        seq: u64,
        running: Option<&Node>,
        deadline: Option<Timestamp>,
    ) -> Interruption {
        let overdue = async {
            match deadline {
                Some(deadline) => {
                    let left = deadline.duration_since(self.clock.now());
                    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.asked_to_stop(at, seq, running) => Interruption::Abort,
            () = overdue => Interruption::Timeout,
        }
    }

    /// Ends when an entry after `seq` asks for the end of what runs.
    async fn asked_to_stop(&self, at: &At<'_>, mut seq: u64, running: Option<&Node>) {
        let id = &at.snapshot.promotion.id;
        let asked = |event: &Event| plan::breaks_off(running, event);
        let state = &at.snapshot.state;
        if let Some((by, reason)) = state.abort.clone()
            && asked(&Event::AbortRequested { by, reason })
        {
            return;
        }
        let mut changes = self.store.changes();
        loop {
            match self.store.log(at.project, id, seq, LOG_PAGE).await {
                Ok(entries) if entries.iter().any(|entry| asked(&entry.event)) => return,
                Ok(entries) => seq = entries.last().map_or(seq, |entry| entry.seq),
                Err(error) => tracing::warn!(%error, "the log of promotion {id} cannot be read"),
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn context(&self, at: &At<'_>, workdir: WorkdirKind) -> RunContext {
        RunContext {
            project: at.project.clone(),
            stage: at.snapshot.promotion.stage.clone(),
            promotion: at.snapshot.promotion.id.clone(),
            workdir,
            now: self.clock.now(),
        }
    }

    /// Appends and gives the entry's number; `None` if a person's entry came first, so that the
    /// decision has to be made again. An outcome is never given up for that: it is appended behind.
    async fn append(
        &self,
        at: &At<'_>,
        mut seq: u64,
        event: Event,
    ) -> Result<Option<u64>, WorkError> {
        let id = &at.snapshot.promotion.id;
        let happened = matches!(event, Event::Outcome { .. });
        loop {
            let now = self.clock.now();
            let appended =
                self.store.append(at.project, id, Some(at.lease), seq, event.clone(), now).await;
            match appended {
                Ok(entry) => return Ok(Some(entry.seq)),
                Err(AppendError::Moved { last_seq, .. }) if happened => seq = last_seq,
                Err(AppendError::Moved { .. }) => return Ok(None),
                Err(error) => return refused(error).map(|()| None),
            }
        }
    }
}

/// What running a call came to.
enum Ran {
    Ended(Box<StepOutcome>),
    /// It is to be run again after a while.
    NotYet {
        message: String,
        again: Duration,
    },
}

/// Waits for a call, and breaks it off when `broken` ends first.
async fn interruptible(
    run: impl Future<Output = Result<StepOutcome, Halted>>,
    broken: impl Future<Output = Interruption>,
    interrupt: &CancellationToken,
) -> Result<Ran, WorkError> {
    tokio::pin!(run);
    let (ran, by) = tokio::select! {
        biased;
        ran = &mut run => (ran, Interruption::Abort),
        by = broken => {
            interrupt.cancel();
            (run.await, by)
        }
    };
    match ran {
        Ok(outcome) => Ok(Ran::Ended(Box::new(outcome))),
        Err(Halted::Interrupted) => Ok(Ran::Ended(Box::new(StepOutcome::Interrupted { by }))),
        Err(Halted::NotYet { message, again }) => Ok(Ran::NotYet { message, again }),
        Err(Halted::Stopping) => Err(WorkError::LeaseLost),
    }
}

fn refused(error: AppendError) -> Result<(), WorkError> {
    match error {
        AppendError::Fenced { .. } => Err(WorkError::LeaseLost),
        AppendError::Moved { .. } => Ok(()),
        AppendError::Store(error) => Err(error.into()),
        other => Err(WorkError::Unusable(other.to_string())),
    }
}
