//! The one thread that writes, with group commit.
//!
//! It drains what is queued into one transaction, each piece of work in a savepoint of its own: work
//! that fails is undone alone. Answers go out after the commit, so what was answered is on the disk.
//! Whoever listens hears of ledger events and wake-ups after the commit, too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::error::StoreError;
use crate::fold::Folds;
use crate::ledger::Chain;
use crate::open::Opened;
use crate::sql::Sql;

/// Work that waits in the queue at most; whoever brings more waits.
const QUEUE: usize = 1024;
/// Work in one transaction at most, which bounds the time until the first answer.
const BATCH: usize = 256;

/// What a piece of work writes with.
pub(crate) struct Write<'c> {
    pub(crate) sql: Sql<'c>,
    pub(crate) folds: &'c mut Folds,
    pub(crate) chain: &'c mut Chain,
    heard: &'c mut Heard,
}

/// What the writer knows between two pieces of work.
#[derive(Default)]
struct Memory {
    folds: Folds,
    chain: Chain,
}

impl Memory {
    /// A piece of work begins.
    fn begin(&mut self) {
        self.folds.begin();
        self.chain.begin();
    }

    /// The piece of work is undone.
    fn undo(&mut self) {
        self.folds.forget_touched();
        self.chain.undo();
    }

    /// Nothing is certain any more.
    fn clear(&mut self) {
        self.folds.clear();
        self.chain.clear();
    }
}

/// What others are told once it is committed.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    ledger: Option<u64>,
    woken: bool,
}

impl Write<'_> {
    /// Tells listeners that the ledger grew to this event.
    pub(crate) fn tell_ledger(&mut self, seq: u64) {
        self.heard.ledger = Some(seq);
    }

    /// Tells the loop that a wake-up came in.
    pub(crate) fn tell_woken(&mut self) {
        self.heard.woken = true;
    }
}

/// Who hears of commits.
pub(crate) struct Listeners {
    pub(crate) ledger: watch::Sender<u64>,
    pub(crate) woken: Notify,
}

enum Message {
    Work(Work),
    Stop(oneshot::Sender<()>),
}

/// Work gets the open transaction, or why there is none.
type Work = Box<dyn FnOnce(Result<&mut Write<'_>, StoreError>) -> Done + Send>;

/// Gives the caller its answer once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

/// Work that ran.
struct Done {
    keep: bool,
    answer: Answer,
}

/// The way to the writer.
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread. It ends, and gives up the lock, when the last sender is gone.
    pub(crate) fn start(opened: Opened, listeners: Arc<Listeners>) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(opened, work, &listeners))?;
        Ok(Self { queue })
    }

    /// Queues work and waits until what it wrote is durable.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Write<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |write| {
            let result = write.map_err(E::from).and_then(work);
            let keep = result.is_ok();
            let answer = Box::new(move |committed: Result<(), StoreError>| {
                let result = match (result, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Ok(_), Err(error)) => Err(E::from(error)),
                    (Err(error), _) => Err(error),
                };
                // Nobody waits any more if the caller was cancelled; the work is done all the same.
                drop(answer.send(result));
            });
            Done { keep, answer }
        });
        let queued = self.queue.send(Message::Work(work)).await;
        queued.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Interrupted)?
    }

    /// Waits until everything queued so far is written and the database is closed.
    pub(crate) async fn stop(&self) {
        let (stop, stopped) = oneshot::channel();
        if self.queue.send(Message::Stop(stop)).await.is_ok() {
            // An error means that another call stopped it first.
            drop(stopped.await);
        }
    }
}

fn run(opened: Opened, mut queue: mpsc::Receiver<Message>, listeners: &Listeners) {
    let Opened { connection, lock } = opened;
    let mut memory = Memory::default();
    let mut stop = None;
    while stop.is_none() {
        let Some(first) = queue.blocking_recv() else { break };
        stop = batch(&connection, &mut queue, first, &mut memory, listeners);
    }
    queue.close();
    if let Err((_, error)) = connection.close() {
        tracing::error!(%error, "the database did not close cleanly; the next start will check it");
    }
    drop(lock);
    if let Some(stop) = stop {
        let _ = stop.send(());
    }
}

/// Writes one batch; gives who asked to stop, if someone did.
fn batch(
    connection: &Connection,
    queue: &mut mpsc::Receiver<Message>,
    first: Message,
    memory: &mut Memory,
    listeners: &Listeners,
) -> Option<oneshot::Sender<()>> {
    let mut stop = None;
    let mut next = Some(first);
    let mut answers = Vec::new();
    let mut heard = Heard::default();
    let mut outcome = execute(connection, "BEGIN IMMEDIATE");
    while let Some(message) = next.take() {
        let work = match message {
            Message::Work(work) => work,
            Message::Stop(sender) => {
                stop = Some(sender);
                break;
            }
        };
        match &outcome {
            Ok(()) => answers.extend(one(connection, work, memory, &mut heard)),
            Err(reason) => answers.push(refuse(work, reason)),
        }
        if outcome.is_ok() && connection.is_autocommit() {
            outcome = Err("the database rolled the transaction back".to_owned());
        }
        if outcome.is_ok() && answers.len() < BATCH {
            next = queue.try_recv().ok();
        }
    }
    finish(connection, outcome, answers, memory, heard, listeners);
    stop
}

/// Runs one piece of work in its savepoint. `None`: it panicked, and its caller hears of that by
/// the loss of its channel.
fn one(
    connection: &Connection,
    work: Work,
    memory: &mut Memory,
    heard: &mut Heard,
) -> Option<Answer> {
    if let Err(reason) = execute(connection, "SAVEPOINT work") {
        return Some(refuse(work, &reason));
    }
    let before = *heard;
    memory.begin();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let Memory { folds, chain } = &mut *memory;
        work(Ok(&mut Write { sql: Sql(connection), folds, chain, heard }))
    }));
    let keep = ran.as_ref().is_ok_and(|done| done.keep);
    if !keep {
        *heard = before;
        memory.undo();
    }
    // Some errors make SQLite roll everything back by itself; then no savepoint is left.
    if !connection.is_autocommit() && end(connection, keep).is_err() {
        drop(execute(connection, "ROLLBACK"));
    }
    ran.ok().map(|done| done.answer)
}

fn end(connection: &Connection, keep: bool) -> Result<(), String> {
    if !keep {
        execute(connection, "ROLLBACK TO work")?;
    }
    execute(connection, "RELEASE work")
}

/// The answer to work that cannot even begin.
fn refuse(work: Work, reason: &str) -> Answer {
    work(Err(StoreError::NotCommitted { reason: reason.to_owned() })).answer
}

/// Commits and tells everyone.
fn finish(
    connection: &Connection,
    outcome: Result<(), String>,
    answers: Vec<Answer>,
    memory: &mut Memory,
    heard: Heard,
    listeners: &Listeners,
) {
    let in_transaction = !connection.is_autocommit();
    let outcome = match outcome {
        Ok(()) if in_transaction => {
            let recorded = memory.chain.record(Sql(connection)).map_err(|error| error.to_string());
            recorded.and_then(|()| execute(connection, "COMMIT"))
        }
        other => other,
    };
    if let Err(reason) = &outcome {
        tracing::error!(reason, "a transaction was not committed");
        memory.clear();
        if !connection.is_autocommit() {
            drop(execute(connection, "ROLLBACK"));
        }
    } else {
        if let Some(seq) = heard.ledger {
            listeners.ledger.send_replace(seq);
        }
        if heard.woken {
            listeners.woken.notify_one();
        }
    }
    for answer in answers {
        let outcome = outcome.clone();
        answer(outcome.map_err(|reason| StoreError::NotCommitted { reason }));
    }
}

fn execute(connection: &Connection, text: &str) -> Result<(), String> {
    let mut statement = connection.prepare_cached(text).map_err(|error| error.to_string())?;
    statement.execute([]).map_err(|error| error.to_string())?;
    Ok(())
}
