//! What every RPC has around it: a span, its duration in the log, and a net under panics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::BoxFuture;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::Server;
use crate::diagnostic::Diagnostics;
use crate::plugin::panics::{Panic, catch};
use crate::provider::{Context, Provider};
use crate::wire::tfplugin6 as wire;

/// An answer that can say what went wrong. Its default is one that says nothing else.
pub(super) trait Reply: Default + Send {
    fn tell(&mut self, diags: &Diagnostics);
}

macro_rules! replies {
    ($($message:ident),+) => {$(
        impl Reply for wire::$message::Response {
            fn tell(&mut self, diags: &Diagnostics) {
                self.diagnostics = diags.to_wire();
            }
        }
    )+};
}

replies!(
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    get_functions,
    validate_provider_config,
    validate_resource_config,
    validate_data_resource_config,
    configure_provider,
    upgrade_resource_state,
    read_resource,
    plan_resource_change,
    apply_resource_change,
    import_resource_state,
    move_resource_state,
    read_data_source
);

impl Reply for wire::stop_provider::Response {
    fn tell(&mut self, diags: &Diagnostics) {
        self.error = texts(diags);
    }
}

impl Reply for wire::call_function::Response {
    fn tell(&mut self, diags: &Diagnostics) {
        // A function that fails says so in its own error; what is told here is told beside it.
        if diags.has_errors() {
            let error = wire::FunctionError { text: texts(diags), function_argument: None };
            self.error = Some(error);
        }
    }
}

fn texts(diags: &Diagnostics) -> String {
    let texts: Vec<String> =
        diags.iter().map(|diag| format!("{}: {}", diag.summary, diag.detail)).collect();
    texts.join("\n")
}

/// Numbers the requests of this process; with its id, names them in logs.
static REQUESTS: AtomicU64 = AtomicU64::new(1);

impl<P: Provider> Server<P> {
    /// Answers one RPC. `subject` is the resource type or function it is about.
    pub(super) async fn answer<Q, R: Reply>(
        &self,
        rpc: &'static str,
        subject: impl Fn(&Q) -> &str,
        request: Request<Q>,
        body: impl for<'c> FnOnce(
            &'c Self,
            Q,
            &'c Context<P::Client>,
            &'c mut Diagnostics,
        ) -> BoxFuture<'c, Option<R>>,
    ) -> Result<Response<R>, Status> {
        let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let context = self.context(format!("{:x}-{number:x}", std::process::id()));
        let request = request.into_inner();
        let subject = subject(&request).to_owned();
        let span = tracing::debug_span!(
            "rpc",
            tf_rpc = rpc,
            tf_req_id = context.request_id,
            tf_resource_type = subject,
            tf_provider_addr = self.provider.address(),
            tf_proto_version = "6",
        );
        let answer = async {
            let started = Instant::now();
            let mut diags = Diagnostics::new();
            let caught = catch(body(self, request, &context, &mut diags)).await;
            let mut reply = match caught {
                Ok(reply) => reply.unwrap_or_default(),
                Err(panic) => {
                    tracing::error!(panic = %panic, backtrace = panic.backtrace, "panic");
                    diags.push(crash(rpc, &subject, &context.request_id, &panic));
                    R::default()
                }
            };
            reply.tell(&diags);
            let errors = diags.has_errors();
            let duration = started.elapsed().as_millis();
            tracing::debug!(tf_req_duration_ms = duration, failed = errors, "served");
            Ok(Response::new(reply))
        };
        answer.instrument(span).await
    }
}

fn crash(rpc: &str, subject: &str, request_id: &str, panic: &Panic) -> crate::Diagnostic {
    let about = if subject.is_empty() { String::new() } else { format!(" of {subject}") };
    crate::Diagnostic {
        severity: crate::Severity::Error,
        summary: "Bug in the provider".to_owned(),
        detail: format!(
            "The provider failed in {rpc}{about}: {panic}. This is never the fault of the \
             configuration: please report it, with the log of a run with TF_LOG=debug. \
             The request is {request_id}."
        ),
        path: crate::cty::Path::root(),
    }
}
