//! What survives a crash: definitions, freight, promotion logs, wake-ups, the ledger.
//!
//! The store decides nothing about freight, stages or policy. It is given values and writes them;
//! what an event of a promotion means for the world around it comes from
//! [`reconciler_domain::plan::consequences`] and is written in the transaction of the event. It reads
//! no clock either: the present is an argument.
//!
//! ```text
//!  engine      open (file, lock, checks)  migrate  writer (one thread, group commit)  reader  sql
//!              counter  page
//!  nouns       definition: project warehouse stage task verification policy hold freeze credential
//!              instance_freeze (of every project; in none)
//!              discovery  drift  freight  stay  promotion (+ append, fold, reply)  preview  token (+ minted)
//!  for plans   snapshot (one read transaction each)  history (what was, for replays)
//!  the loop    wake (wake-ups, leases, epochs)
//!  the record  ledger (hash chain, world tokens)
//! ```
//!
//! Every write is one transaction: rows, generation, ledger event, wake-ups. An answer means that it
//! is on the disk. A row that no longer parses is an error of that one object ([`Unreadable`]).

mod append;
mod counter;
mod credential;
mod definition;
mod discovery;
mod drift;
mod error;
mod fold;
mod freeze;
mod freight;
mod history;
mod hold;
mod instance_freeze;
mod kept;
mod known;
mod ledger;
mod migrate;
mod open;
mod page;
mod policy;
mod preview;
mod project;
mod promotion;
mod reader;
mod reply;
mod snapshot;
mod sql;
mod stage;
mod state;
mod stay;
mod stop;
mod task;
mod token;
mod verification;
mod wake;
mod warehouse;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

pub use append::{AppendError, Appended};
pub use counter::DefinitionsRevision;
pub use credential::{Sealed, SealedCredential, SecretChange};
pub use definition::{
    Change, DeleteError, Outcome, Precondition, Put, PutError, RenameError, Stored,
};
pub use discovery::{RecordError, RefreshError};
pub use drift::{AskLookError, RecordDriftError};
pub use error::{StoreError, Unreadable};
pub use freight::{CreateFreightError, FindFreightError, FreightError, PREFIX_MIN};
pub use hold::LiftError;
pub use instance_freeze::WaitingAnywhere;
pub use known::KnownDefinitions;
pub use ledger::{ChainError, ChainHead, LedgerEvent, Subject};
pub use open::OpenError;
pub use page::{Listed, Page, Paged};
pub use preview::PREVIEWS_KEPT;
pub use project::Project;
pub use promotion::{CreatePromotionError, NewPromotion, PromotionFilter, PromotionRow};
pub use reply::RecordRepliesError;
pub use snapshot::Snapshot;
pub use state::StateDeed;
pub use stay::{Coming, Occupant, Whereabouts};
pub use token::{ApiToken, NewMinted, NewSecret, NewToken, PutTokenError, SentToken};
pub use wake::{Lease, LeaseError, WakeKey, WakeKeyError};

use known::Known;
use reader::Readers;
use sql::Sql;
use writer::{Listeners, Write, Writer};

/// The door to everything that is stored. Clones share one database.
#[derive(Clone)]
pub struct Store {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    listeners: Arc<Listeners>,
    known: Arc<Known>,
}

impl Store {
    /// Opens the database at this path, creating it if there is none, and brings it to the present
    /// schema. After an unclean stop it is checked first.
    ///
    /// # Errors
    /// Others have access to the file or have it open, it is not ours, newer, or damaged.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        let shown = path.display().to_string();
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(path));
        opening.await.unwrap_or_else(|ended| {
            Err(OpenError::Io { path: shown, source: std::io::Error::other(ended) })
        })
    }

    fn open_blocking(path: PathBuf) -> Result<Self, OpenError> {
        let opened = open::open_writer(&path)?;
        let last = ledger::head(Sql(&opened.connection)).map_err(|error| OpenError::Damaged {
            path: path.display().to_string(),
            problem: error.to_string(),
        })?;
        let (ledger, _) = watch::channel(last.seq);
        let listeners = Arc::new(Listeners { ledger, woken: Notify::new() });
        let writer = Writer::start(opened, Arc::clone(&listeners))
            .map_err(|source| OpenError::Io { path: path.display().to_string(), source })?;
        let (writer, known) = (Arc::new(writer), Arc::default());
        Ok(Self { writer, readers: Readers::new(path), listeners, known })
    }

    /// Waits until everything that was asked for is written, and gives the file free for another
    /// process. Later operations fail with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.stop().await;
    }

    /// The number of the last ledger event. Whoever waits for a change of anything that people can
    /// see awaits [`watch::Receiver::changed`] and looks again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.listeners.ledger.subscribe()
    }

    /// Tells one listener, the loop, that a wake-up came in. A wake-up between two waits is not
    /// lost: the next wait ends at once.
    #[must_use]
    pub fn woken(&self) -> &Notify {
        &self.listeners.woken
    }

    async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Write<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write(work).await
    }

    async fn read<T, E>(
        &self,
        work: impl FnOnce(Sql<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        Arc::clone(&self.readers).read(work).await
    }
}
