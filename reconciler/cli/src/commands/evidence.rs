//! `lockstep evidence`: what people agreed to for a promotion, signed.

use clap::Args;

use crate::failure::Failure;
use crate::render::evidence;
use crate::session::Session;

/// Arguments of `lockstep evidence`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let found = session.client.evidence(&project, &arguments.promotion).await?;
    session.out.answer(&found, evidence::said)
}
