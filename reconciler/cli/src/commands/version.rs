//! `lockstep version`: both halves.

use reconciler_api::VERSION;

use crate::failure::Failure;
use crate::session::Session;

pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    session.out.note(format_args!("lockstep {VERSION}"))?;
    let server = session.client.version().await?;
    session
        .out
        .answer(&server, |it| format!("lockstepd {} at {}", it.version, session.client.endpoint()))
}
