//! `lockstep explain`: why a stage does or does not get freight.

use clap::Args;

use crate::failure::Failure;
use crate::render::explain;
use crate::session::Session;

/// Arguments of `lockstep explain`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage
    stage: String,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let explained = session.client.explain(&project, &arguments.stage).await?;
    session.out.answer(&explained, |it| explain::text(it, session.now))
}
