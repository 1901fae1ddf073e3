//! What every RPC has around it: a span, its duration in the log, and a net under panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::Server;
use super::message::{Ask, Event, Reply};
use crate::diagnostic::Diagnostics;
use crate::plugin::panics::{Panic, catch};
use crate::provider::{Context, Provider};

/// Numbers the requests of this process; with its id, names them in logs.
static REQUESTS: AtomicU64 = AtomicU64::new(1);
/// Events of a stream that wait for the client to read them.
const BACKLOG: usize = 1;

/// Where the events of a stream go. An error is told when the client reads them no more.
pub(super) type Outlet<E> = mpsc::Sender<Result<E, Status>>;

/// One RPC.
struct Call<C> {
    rpc: &'static str,
    /// The resource type or function that it is about.
    subject: String,
    cx: Context<C>,
}

impl<P: Provider> Server<P> {
    fn call<Q: Ask>(&self, rpc: &'static str, request: &Q) -> Call<P::Client> {
        let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("{:x}-{number:x}", std::process::id());
        let cx = self.context(request_id, request.capabilities());
        Call { rpc, subject: request.subject().to_owned(), cx }
    }

    fn span(&self, call: &Call<P::Client>) -> tracing::Span {
        tracing::debug_span!(
            "rpc",
            tf_rpc = call.rpc,
            tf_req_id = call.cx.request_id,
            tf_resource_type = call.subject,
            tf_provider_addr = self.provider.address(),
            tf_proto_version = "6",
        )
    }

    /// Answers an RPC that has one answer.
    pub(super) async fn answer<Q: Ask, R: Reply>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
        body: impl for<'c> FnOnce(
            &'c Self,
            Q,
            &'c Context<P::Client>,
            &'c mut Diagnostics,
        ) -> BoxFuture<'c, Option<R>>,
    ) -> Result<Response<R>, Status> {
        let request = request.into_inner();
        let call = self.call(rpc, &request);
        let span = self.span(&call);
        let answer = async {
            let mut diags = Diagnostics::new();
            let reply = call.run(body(self, request, &call.cx, &mut diags)).await;
            let reply = reply.unwrap_or_else(|crash| {
                diags.push(crash);
                None
            });
            let mut reply = reply.unwrap_or_default();
            reply.tell(&diags);
            Ok(Response::new(reply))
        };
        answer.instrument(span).await
    }

    /// Answers an RPC that has a stream of answers. It goes on when the client reads no more,
    /// with its context cancelled, so that it can end as it should.
    pub(super) fn stream<Q: Ask, E: Event>(
        self: &Arc<Self>,
        rpc: &'static str,
        request: Request<Q>,
        body: impl for<'c> FnOnce(
            &'c Self,
            Q,
            &'c Context<P::Client>,
            &'c Outlet<E>,
            &'c mut Diagnostics,
        ) -> BoxFuture<'c, ()>
        + Send
        + 'static,
    ) -> Result<Response<BoxStream<E>>, Status> {
        let request = request.into_inner();
        let mut call = self.call(rpc, &request);
        let span = self.span(&call);
        let cancel = call.cx.cancel.child_token();
        call.cx.cancel = cancel.clone();
        let (outlet, events) = mpsc::channel(BACKLOG);
        let server = Arc::clone(self);
        let answer = async move {
            let mut diags = Diagnostics::new();
            let done = call.run(body(&server, request, &call.cx, &outlet, &mut diags)).await;
            if let Err(crash) = done {
                diags.push(crash);
            }
            if let Some(last) = E::last(&diags) {
                // A client that is gone needs no last word.
                drop(outlet.send(Ok(last)).await);
            }
        };
        tokio::spawn(answer.instrument(span));
        let events = until_dropped(ReceiverStream::new(events), cancel.drop_guard());
        Ok(Response::new(events.boxed()))
    }
}

/// The events, with something that is dropped when nobody reads them any more.
fn until_dropped<S: Stream>(events: S, guard: impl Send) -> impl Stream<Item = S::Item> {
    events.map(move |event| {
        let _kept: &_ = &guard;
        event
    })
}

impl<C> Call<C> {
    /// Runs it to its end, or to its panic.
    async fn run<T>(&self, body: impl Future<Output = T>) -> Result<T, crate::Diagnostic> {
        let started = Instant::now();
        let caught = catch(body).await;
        let duration = started.elapsed().as_millis();
        tracing::debug!(tf_req_duration_ms = duration, panicked = caught.is_err(), "served");
        caught.map_err(|panic| {
            tracing::error!(%panic, backtrace = panic.backtrace, "panic");
            self.crash(&panic)
        })
    }

    fn crash(&self, panic: &Panic) -> crate::Diagnostic {
        let Self { rpc, subject, cx } = self;
        let about = if subject.is_empty() { String::new() } else { format!(" of {subject}") };
        crate::Diagnostic {
            severity: crate::Severity::Error,
            summary: "Bug in the provider".to_owned(),
            detail: format!(
                "The provider failed in {rpc}{about}: {panic}. This is never the fault of the \
                 configuration: please report it, with the log of a run with TF_LOG=debug. \
                 The request is {}.",
                cx.request_id
            ),
            path: crate::cty::Path::root(),
        }
    }
}
