//! Carries out the moves of one promotion.
//!
//! The bracket round every effect: append the intent, run, append the outcome, each append fenced
//! by the lease. Effects of several lanes run side by side, each in a bracket of its own, and after each
//! end the decision is made anew. Where the daemon dies inside the bracket, the next worker finds the
//! intent without an outcome and runs the same call again; effects see for themselves what is done already.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId, StepName};
use reconciler_domain::inquiry::{Asking, Replies, Reply};
use reconciler_domain::plan::{self, Act, Base, Run};
use reconciler_domain::promotion::{Event, Node, Phase, Skipped};
use reconciler_domain::snapshot::PromotionSnapshot;
use reconciler_domain::step::{Call, Interruption, StepOutcome, Workdir};
use reconciler_effects::{Halted, Heard, RunContext};
use reconciler_store::{AppendError, Appended, RecordRepliesError, Snapshot};
use tokio_util::sync::CancellationToken;

use super::lease::Held;
use super::{WorkError, Worker};
use crate::crash::Boundary;

/// Whose log is appended to, and under which lease.
#[derive(Clone, Copy)]
struct Subject<'a> {
    held: &'a Held,
    project: &'a ProjectName,
    id: &'a PromotionId,
}

/// A promotion at one point of its log.
struct At<'a, 's> {
    subject: Subject<'a>,
    snapshot: &'s PromotionSnapshot,
    /// Last entry that the decision saw.
    seq: u64,
    /// Revision of the project that the decision saw.
    revision: u64,
}

/// What runs at this moment: one node, or those of several lanes side by side.
#[derive(Default)]
struct Air<'a> {
    flights: FuturesUnordered<BoxFuture<'a, Result<(Node, Landed), WorkError>>>,
    nodes: HashSet<Node>,
    /// When to look again at nodes that are not so yet.
    rests: HashMap<Node, Timestamp>,
}

/// How a run came back.
enum Landed {
    /// Its outcome is in the log; absent: it has to be decided anew.
    Ended(Option<Box<Appended>>),
    /// It is to be run again then.
    NotYet(Timestamp),
}

/// What came of setting off.
enum SetOff {
    /// Everything that is to run does; what rests is looked at again at this time.
    Done { begun: Vec<Appended>, due: Option<Timestamp> },
    /// Somebody else appended in between: the decision has to be made again.
    Overtaken,
}

/// What a decision looks at, and the last entry of the log.
type Seen = Snapshot<(PromotionSnapshot, u64)>;

/// Lanes of one promotion that run at the same time.
const LANES_MAX: usize = 8;
/// Entries that are looked through at a time for one that breaks off what runs.
const LOG_PAGE: u32 = 100;

impl Worker {
    /// Makes moves until the promotion waits or is over.
    pub(super) async fn promotion(
        &self,
        held: &Held,
        project: &ProjectName,
        id: &PromotionId,
    ) -> Result<Option<Timestamp>, WorkError> {
        let subject = Subject { held, project, id };
        let mut air = Air { rests: self.rests.take(project, id), ..Air::default() };
        let mut known = None;
        loop {
            let seen = match known.take() {
                Some(seen) => seen,
                None => match self.store.promotion_snapshot(project, id).await? {
                    Some(seen) => seen,
                    // Its stage and its project may go while a rehearsal is open.
                    None => {
                        self.clean(project, id).await?;
                        return Ok(None);
                    }
                },
            };
            let (snapshot, seq) = &seen.value;
            if let Phase::Ended(_) = snapshot.state.phase() {
                self.clean(project, id).await?;
                return Ok(None);
            }
            let next = plan::promotion(snapshot, self.clock.now());
            let at = At { subject, snapshot, seq: *seq, revision: seen.revision };
            let (mut written, due) = match next.act {
                Some(Act::Run(runs)) => match self.set_off(&at, runs, &mut air).await? {
                    SetOff::Done { begun, due } => (begun, due),
                    SetOff::Overtaken => continue,
                },
                Some(act) => {
                    let written = self.act(&at, act).await?;
                    known = written.and_then(|written| after(seen, &[written]));
                    continue;
                }
                None => (Vec::new(), None),
            };
            let wake_at = [next.wake_at, due].into_iter().flatten().min();
            if air.flights.is_empty() {
                self.rests.keep(project, id, air.rests);
                return Ok(wake_at);
            }
            let seq = written.last().map_or(at.seq, |last| last.entry.seq);
            if let Some(ended) = self.something_happens(subject, seq, &mut air, wake_at).await? {
                written.push(*ended);
                known = after(seen, &written);
            }
        }
    }

    /// Makes one move that is not a run. The entry that it wrote, if it is the next one of the log.
    async fn act(&self, at: &At<'_, '_>, act: Act) -> Result<Option<Appended>, WorkError> {
        match act {
            Act::Append(event) if plan::is_judged(&event) => {
                self.append_judged(at, *event).await.map(|()| None)
            }
            Act::Append(event) => self.append(at.subject, at.seq, *event).await,
            Act::Prepare { step, call, rebuild, ends } => {
                self.prepare(at, step, *call, &rebuild, ends).await
            }
            Act::Probe { bases, last } => self.probe(at, &bases, last).await,
            Act::Ask(asking) => self.ask(at, asking).await.map(|()| None),
            Act::Commit { skipped } => self.commit(at, skipped).await.map(|()| None),
            Act::Run(_) => Err(WorkError::Unusable("a run is set off, not made".to_owned())),
            Act::Measure(check) => {
                let project = at.subject.project;
                let measured = self.effects.measure(project, &check, self.clock.now());
                let Some(taken) = self.unless_aborted(at, measured).await else { return Ok(None) };
                self.append(at.subject, at.seq, Event::Measured(taken)).await
            }
        }
    }

    /// Removes what a promotion that is over, or gone, left on the disk.
    async fn clean(&self, project: &ProjectName, id: &PromotionId) -> Result<(), WorkError> {
        let cleaned = self.effects.clean(project, id, self.clock.now()).await;
        cleaned.map_err(WorkError::Unusable)
    }

    /// Begins what is to run and does not run yet: each with its intent first.
    async fn set_off<'a>(
        &'a self,
        at: &At<'a, '_>,
        runs: Vec<Run>,
        air: &mut Air<'a>,
    ) -> Result<SetOff, WorkError> {
        let (mut seq, mut due, mut begun) = (at.seq, None, Vec::new());
        for run in runs {
            if air.nodes.contains(&run.node) {
                continue;
            }
            if let Some(rest) = self.rest_of(at, &run, air) {
                due = [due, Some(rest)].into_iter().flatten().min();
                continue;
            }
            // Each may be a process of its own. What is left begins when one of these ended.
            if air.nodes.len() >= LANES_MAX {
                break;
            }
            // Nobody of this process runs it, so nobody does.
            if let Some(given_up) = plan::given_up(&run) {
                self.append(at.subject, seq, given_up).await?;
                return Ok(SetOff::Overtaken);
            }
            if !run.resumed {
                self.crash.pass(Boundary::BeforeIntent, &run.node);
                let (node, call) = (run.node.clone(), run.call.clone());
                let epoch = Some(at.subject.held.lease.epoch);
                let intent = Event::Intent { node, call, epoch };
                match self.append(at.subject, seq, intent).await? {
                    Some(appended) => {
                        seq = appended.entry.seq;
                        begun.push(appended);
                    }
                    None => return Ok(SetOff::Overtaken),
                }
            }
            air.nodes.insert(run.node.clone());
            let rested = air.rests.contains_key(&run.node);
            air.flights.push(self.fly(at, seq, run, rested).boxed());
        }
        Ok(SetOff::Done { begun, due })
    }

    /// When a run that was not so yet is looked at again; absent: now. What is to end is not waited for.
    fn rest_of(&self, at: &At<'_, '_>, run: &Run, air: &Air<'_>) -> Option<Timestamp> {
        if at.snapshot.state.abort.is_some() {
            return None;
        }
        let rest = *air.rests.get(&run.node)?;
        let due = run.deadline.map_or(rest, |deadline| rest.min(deadline));
        (due > self.clock.now()).then_some(due)
    }

    /// Ends when a run came back, with its outcome in the log, when it is time to look again, or when
    /// somebody appended something.
    async fn something_happens(
        &self,
        subject: Subject<'_>,
        seq: u64,
        air: &mut Air<'_>,
        wake_at: Option<Timestamp>,
    ) -> Result<Option<Box<Appended>>, WorkError> {
        let several = air.nodes.len() > 1;
        tokio::select! {
            biased;
            Some(landed) = air.flights.next() => {
                let (node, landed) = landed?;
                air.nodes.remove(&node);
                match landed {
                    Landed::Ended(outcome) => {
                        air.rests.remove(&node);
                        return Ok(outcome);
                    }
                    Landed::NotYet(due) => air.rests.insert(node, due),
                };
            }
            () = self.at(wake_at) => {}
            () = self.appended(subject, seq, |_| true), if several => {}
        }
        Ok(None)
    }

    async fn at(&self, instant: Option<Timestamp>) {
        match instant {
            Some(instant) => {
                let left = instant.duration_since(self.clock.now());
                tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    }

    async fn prepare(
        &self,
        at: &At<'_, '_>,
        step: StepName,
        call: Call,
        rebuild: &[(StepName, Call)],
        ends: Option<(Timestamp, Interruption)>,
    ) -> Result<Option<Appended>, WorkError> {
        let context = self.context(at, at.snapshot.state.workdir(&step));
        let broken = self.broken_off(at.subject, aborted(at), at.seq, None, ends);
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
            Some(event) => self.append(at.subject, at.seq, event).await,
            None => Ok(None),
        }
    }

    async fn probe(
        &self,
        at: &At<'_, '_>,
        bases: &[Base],
        last: bool,
    ) -> Result<Option<Appended>, WorkError> {
        let context = self.context(at, Workdir::Main);
        let probed = self.effects.probe(&context, bases);
        let Some(probed) = self.unless_aborted(at, probed).await else { return Ok(None) };
        let event = plan::probed(probed, last).map_err(WorkError::Unusable)?;
        self.append(at.subject, at.seq, event).await
    }

    /// Asks all of it at once, and keeps what came of each; the log does not hear of it.
    async fn ask(&self, at: &At<'_, '_>, asking: Vec<Asking>) -> Result<(), WorkError> {
        let Subject { held, project, id } = at.subject;
        let asked = asking.into_iter().map(|Asking { asker, inquiry }| async move {
            let Heard { measured, detail } = self.effects.ask(project, &inquiry).await?;
            let at = self.clock.now();
            Some((asker, Reply { inquiry: inquiry.digest(), at, measured, detail }))
        });
        let asked = futures::future::join_all(asked);
        let Some(heard) = self.unless_aborted(at, asked).await else { return Ok(()) };
        let replies: Option<Replies> = heard.into_iter().collect();
        let replies = replies.ok_or(WorkError::LeaseLost)?;
        held.check()?;
        let now = self.clock.now();
        match self.store.record_replies(project, id, &held.lease, replies, now).await {
            Ok(()) => Ok(()),
            Err(RecordRepliesError::Lost { .. }) => Err(WorkError::LeaseLost),
            Err(RecordRepliesError::Store(error)) => Err(error.into()),
        }
    }

    /// What a look that changes nothing shows; `None` if somebody asked for the end of the promotion meanwhile.
    async fn unless_aborted<T>(&self, at: &At<'_, '_>, look: impl Future<Output = T>) -> Option<T> {
        let asked = |event: &Event| plan::breaks_off(None, event, false);
        tokio::select! {
            biased;
            seen = look => Some(seen),
            () = self.appended(at.subject, at.seq, asked) => None,
        }
    }

    /// Appends what follows from policies and freezes as the decision saw them; nothing, if they changed in between.
    async fn append_judged(&self, at: &At<'_, '_>, event: Event) -> Result<(), WorkError> {
        let (Subject { held, project, id }, now) = (at.subject, self.clock.now());
        let (lease, seq, revision) = (&held.lease, at.seq, at.revision);
        match self.store.append_judged(project, id, lease, seq, revision, event, now).await {
            Ok(_) | Err(AppendError::Revision { .. } | AppendError::Changed { .. }) => Ok(()),
            Err(error) => refused(error),
        }
    }

    async fn commit(&self, at: &At<'_, '_>, skipped: Vec<Skipped>) -> Result<(), WorkError> {
        let Subject { held, project, id } = at.subject;
        let (now, lease, seq, revision) = (self.clock.now(), &held.lease, at.seq, at.revision);
        let past: Vec<&str> = skipped.iter().map(|skipped| skipped.gate.name()).collect();
        let past = past.join(", ");
        let committed =
            self.store.commit_promotion(project, id, lease, seq, revision, skipped, now).await;
        match committed {
            Ok(_) if !past.is_empty() => {
                tracing::warn!(promotion = %id, gates = past, "committed past gates, by right");
                Ok(())
            }
            Ok(_) => {
                tracing::info!(promotion = %id, "committed");
                Ok(())
            }
            // Something that the gates looked at changed in between: judge again.
            Err(AppendError::Revision { .. } | AppendError::SlotTaken { .. }) => Ok(()),
            Err(error) => refused(error),
        }
    }

    /// Runs a node in its bracket, after its intent. What is not so yet leaves the bracket open, as a
    /// crash would: whoever comes next runs the same call again, and the log does not grow by looks.
    fn fly<'a>(
        &'a self,
        at: &At<'a, '_>,
        seq: u64,
        run: Run,
        rested: bool,
    ) -> impl Future<Output = Result<(Node, Landed), WorkError>> + use<'a> {
        let (subject, aborted) = (at.subject, aborted(at));
        let context = self.context(at, at.snapshot.state.workdir_of(&run.node));
        async move {
            let Run { node, call, rebuild, deadline, .. } = &run;
            self.crash.pass(Boundary::AfterIntent, node);
            subject.held.check()?;
            let ends = deadline.map(|at| (at, Interruption::Timeout));
            let broken = self.broken_off(subject, aborted, seq, Some((node, call)), ends);
            let interrupt = CancellationToken::new();
            let ran = self.effects.run(&context, node.step(), call, rebuild, &interrupt);
            let outcome = match interruptible(ran, broken, &interrupt).await? {
                Ran::Ended(outcome) => outcome,
                Ran::NotYet { message, again } => {
                    tracing::debug!(promotion = %context.promotion, ?node, message, "not yet");
                    let due = self.clock.now().checked_add(again).unwrap_or(Timestamp::MAX);
                    return Ok((run.node, Landed::NotYet(due)));
                }
            };
            self.crash.pass(Boundary::AfterEffect, node);
            let ended = self.append(subject, seq, plan::ended(&run, rested, *outcome)).await?;
            self.crash.pass(Boundary::AfterOutcome, node);
            Ok((run.node, Landed::Ended(ended.map(Box::new))))
        }
    }

    /// Ends when what runs is to be broken off, and says by what.
    async fn broken_off(
        &self,
        subject: Subject<'_>,
        aborted: Option<Event>,
        seq: u64,
        running: Option<(&Node, &Call)>,
        ends: Option<(Timestamp, Interruption)>,
    ) -> Interruption {
        if aborted.as_ref().is_some_and(|asked| plan::breaks_off(running, asked, true)) {
            return Interruption::Abort;
        }
        let asked = |event: &Event| plan::breaks_off(running, event, false);
        tokio::select! {
            () = self.appended(subject, seq, asked) => Interruption::Abort,
            () = self.at(ends.map(|(at, _)| at)) => ends.map_or(Interruption::Timeout, |(_, by)| by),
        }
    }

    /// Ends when there is such an entry after `seq`.
    async fn appended(&self, subject: Subject<'_>, mut seq: u64, such: impl Fn(&Event) -> bool) {
        let Subject { project, id, .. } = subject;
        let mut changes = self.store.changes();
        loop {
            match self.store.log(project, id, seq, LOG_PAGE).await {
                Ok(entries) if entries.iter().any(|entry| such(&entry.event)) => return,
                Ok(entries) => seq = entries.last().map_or(seq, |entry| entry.seq),
                Err(error) => tracing::warn!(%error, "the log of promotion {id} cannot be read"),
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn context(&self, at: &At<'_, '_>, workdir: Workdir) -> RunContext {
        RunContext {
            project: at.subject.project.clone(),
            stage: at.snapshot.promotion.stage.clone(),
            promotion: at.snapshot.promotion.id.clone(),
            workdir,
            now: self.clock.now(),
        }
    }

    /// Appends and gives the entry; `None` if a person's entry came first, so that the
    /// decision has to be made again. An outcome is never given up for that: it is appended behind.
    async fn append(
        &self,
        Subject { held, project, id }: Subject<'_>,
        mut seq: u64,
        event: Event,
    ) -> Result<Option<Appended>, WorkError> {
        let happened = matches!(event, Event::Outcome { .. });
        loop {
            let now = self.clock.now();
            let appended =
                self.store.append(project, id, Some(&held.lease), seq, event.clone(), now).await;
            match appended {
                Ok(appended) => return Ok(Some(appended)),
                Err(AppendError::Moved { last_seq, .. }) if happened => seq = last_seq,
                Err(AppendError::Moved { .. } | AppendError::Changed { .. }) => return Ok(None),
                Err(error) => return refused(error).map(|()| None),
            }
        }
    }
}

/// What the next decision looks at, where these entries are all that has changed: another read would
/// show the same.
fn after(seen: Seen, written: &[Appended]) -> Option<Seen> {
    let Snapshot { revision, value: (mut snapshot, mut seq), unreadable } = seen;
    for Appended { entry, revision: present } in written {
        if *present != revision || entry.seq != seq + 1 {
            return None;
        }
        snapshot = snapshot.followed_by(entry)?;
        seq = entry.seq;
    }
    Some(Snapshot { revision, value: (snapshot, seq), unreadable })
}

/// What somebody asked for before the decision was made, if they want it to end.
fn aborted(at: &At<'_, '_>) -> Option<Event> {
    let (by, reason) = at.snapshot.state.abort.clone()?;
    Some(Event::AbortRequested { by, reason })
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
