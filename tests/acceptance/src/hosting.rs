//! Where servers inside this process run: threads of their own, so that a test that blocks its own
//! run time still gets answers.

use std::future::Future;
use std::sync::OnceLock;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

use crate::{At as _, Outcome};

fn handle() -> Outcome<Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hosting")
        .enable_all()
        .build()
        .at("starting the threads of the test servers")?;
    // Who came second drops its own, which has run nothing.
    if let Err(second) = RUNTIME.set(made) {
        second.shutdown_background();
    }
    Ok(RUNTIME.get().expect("set just now").handle().clone())
}

/// Runs a future over there and waits for it here.
pub(crate) async fn run<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Outcome<T> {
    handle()?.spawn(future).await.at("a test server")
}

/// A router that is served on a free port of loopback until it is dropped.
pub(crate) struct Hosted {
    pub(crate) port: u16,
    task: JoinHandle<std::io::Result<()>>,
}

impl Hosted {
    pub(crate) async fn start(router: Router) -> Outcome<Self> {
        let bind = async { TcpListener::bind(("127.0.0.1", 0)).await };
        let listener = run(bind).await?.at("listening on loopback")?;
        let port = listener.local_addr().at("the address listened on")?.port();
        let task = handle()?.spawn(axum::serve(listener, router).into_future());
        Ok(Self { port, task })
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.task.abort();
    }
}
