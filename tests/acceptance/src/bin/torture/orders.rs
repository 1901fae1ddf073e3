//! Who takes requests and counts them: a stand-in for any service that is called.
//!
//! ```text
//! POST|PUT /WHAT/ID    200; counted, with its Idempotency-Key
//! GET      /WHAT/ID    200 if anything came in there, else 404
//! ```

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acceptance::{At as _, Outcome};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Requests by path, each as its key.
type Book = Arc<Mutex<BTreeMap<String, Vec<Option<String>>>>>;

/// A desk for orders that is open until it is dropped.
pub(crate) struct Orders {
    port: u16,
    book: Book,
    task: JoinHandle<std::io::Result<()>>,
}

impl Orders {
    pub(crate) async fn open() -> Outcome<Self> {
        let book = Book::default();
        let router = Router::new().fallback(take).with_state(Arc::clone(&book));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.at("listening on loopback")?;
        let port = listener.local_addr().at("the address listened on")?.port();
        let task = tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { port, book, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The key of each request that came in at a path, in order.
    pub(crate) fn taken(&self, path: &str) -> Vec<Option<String>> {
        lock(&self.book).get(path).cloned().unwrap_or_default()
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State(book): State<Book>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> StatusCode {
    let mut book = lock(&book);
    if method == Method::GET {
        return if book.contains_key(uri.path()) { StatusCode::OK } else { StatusCode::NOT_FOUND };
    }
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    book.entry(uri.path().to_owned()).or_default().push(key.map(str::to_owned));
    StatusCode::OK
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
