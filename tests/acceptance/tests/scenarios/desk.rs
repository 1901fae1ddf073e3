//! A desk that takes requests: counts them, answers as it was told, and lets them wait.

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acceptance::{At as _, Outcome};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running desk; dropping it closes it.
pub(crate) struct Desk {
    port: u16,
    book: Arc<Book>,
    task: JoinHandle<std::io::Result<()>>,
}

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The `Idempotency-Key`.
    pub(crate) key: Option<String>,
    pub(crate) body: String,
}

#[derive(Default)]
struct Book {
    taken: Mutex<Vec<Taken>>,
    answers: Mutex<BTreeMap<String, StatusCode>>,
    bodies: Mutex<BTreeMap<String, String>>,
    held: watch::Sender<BTreeSet<String>>,
}

impl Desk {
    pub(crate) async fn open() -> Outcome<Self> {
        let book = Arc::new(Book::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&book));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.at("listening on loopback")?;
        let port = listener.local_addr().at("the address listened on")?.port();
        let task = tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { port, book, task })
    }

    /// Where a path of it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What came in at a path, in order.
    pub(crate) fn taken(&self, path: &str) -> Vec<Taken> {
        let taken = lock(&self.book.taken);
        taken.iter().filter(|taken| taken.path == path).cloned().collect()
    }

    /// The different keys of what came in at a path.
    pub(crate) fn keys(&self, path: &str) -> BTreeSet<Option<String>> {
        self.taken(path).into_iter().map(|taken| taken.key).collect()
    }

    /// From now on a path is answered with this status. Unless told otherwise that is 200.
    pub(crate) fn answer(&self, path: &str, status: StatusCode) {
        lock(&self.book.answers).insert(path.to_owned(), status);
    }

    /// From now on a path is answered with status 200 and this body. Unless told otherwise there is none.
    pub(crate) fn say(&self, path: &str, body: &Value) {
        self.answer(path, StatusCode::OK);
        lock(&self.book.bodies).insert(path.to_owned(), body.to_string());
    }

    /// From now on requests at a path wait.
    pub(crate) fn hold(&self, path: &str) {
        self.book.held.send_if_modified(|held| held.insert(path.to_owned()));
    }

    /// Requests at a path wait no longer.
    pub(crate) fn release(&self, path: &str) {
        self.book.held.send_if_modified(|held| held.remove(path));
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(book): State<Arc<Book>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let path = uri.path().to_owned();
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    lock(&book.taken).push(Taken {
        method: method.to_string(),
        path: path.clone(),
        key: key.map(str::to_owned),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let mut held = book.held.subscribe();
    // The sender is in the book that this holds.
    drop(held.wait_for(|held| !held.contains(&path)).await);
    let status = lock(&book.answers).get(&path).copied().unwrap_or(StatusCode::OK);
    (status, lock(&book.bodies).get(&path).cloned().unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
