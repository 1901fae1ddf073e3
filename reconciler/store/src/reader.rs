//! A few connections that only read. Each piece of work sees one moment of the database.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::error::StoreError;
use crate::open::open_reader;
use crate::sql::Sql;

const READERS: usize = 4;

/// The pool; connections are opened when first needed.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs the work inside one read transaction, on a thread that may block.
    pub(crate) async fn read<T, E>(
        self: Arc<Self>,
        work: impl FnOnce(Sql<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let run = tokio::task::spawn_blocking(move || {
            let result = self.run(work);
            // The work goes on when its caller is gone; so does its permit.
            drop(permit);
            result
        });
        run.await.map_err(|_| StoreError::Interrupted)?
    }

    /// Refuses further work and closes what is idle.
    pub(crate) async fn close(&self) {
        // All permits back means that nothing reads any more.
        let all = self.permits.acquire_many(u32::try_from(READERS).expect("few readers")).await;
        self.permits.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn run<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let connection = match taken {
            Some(connection) => connection,
            None => open_reader(&self.path).map_err(StoreError::from)?,
        };
        let transaction = connection.unchecked_transaction().map_err(StoreError::from)?;
        let result = work(Sql(&transaction));
        transaction.finish().map_err(StoreError::from)?;
        idle().push(connection);
        result
    }
}
