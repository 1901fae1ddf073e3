//! State stores are not offered: the schema has none, so no client that reads it asks for one.
//! One that asks all the same is told so, and not by a broken call.

use tonic::{Request, Response, Status};

use super::Server;
use super::message::{Ask, Reply};
use crate::diagnostic::Diagnostics;
use crate::provider::Provider;

impl<P: Provider> Server<P> {
    /// Answers an RPC of a state store.
    pub(super) async fn no_store<Q: Ask, R: Reply + 'static>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
    ) -> Result<Response<R>, Status> {
        self.answer(rpc, request, |_, request, _, diags| {
            refuse(&request, diags);
            Box::pin(async { None })
        })
        .await
    }
}

/// The one answer of a call that streams its request.
pub(super) fn no_upload<R: Reply>() -> Response<R> {
    let (mut reply, mut diags) = (R::default(), Diagnostics::new());
    say(&mut diags, "");
    reply.tell(&diags);
    Response::new(reply)
}

/// Says that there is none.
pub(super) fn refuse<Q: Ask>(request: &Q, diags: &mut Diagnostics) {
    say(diags, request.subject());
}

fn say(diags: &mut Diagnostics, name: &str) {
    let detail = format!(
        "This provider keeps no states, and has no state store {name:?}. Choose another backend."
    );
    diags.error("No such state store", detail);
}
