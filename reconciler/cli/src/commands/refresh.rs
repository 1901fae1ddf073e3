//! `lockstep refresh`: has the sources of a warehouse asked now.

use clap::Args;

use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `lockstep refresh`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The warehouse
    warehouse: String,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let warehouse = session.client.refresh_warehouse(&project, &arguments.warehouse).await?;
    session.out.answer(&warehouse, |it| {
        format!("the sources of warehouse {} are being asked", it.meta.name)
    })
}
