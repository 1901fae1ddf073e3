//! `lockstep explain`: why a stage does or does not get freight, and when it can.

use clap::Args;

use crate::failure::Failure;
use crate::render::{explain, forecast};
use crate::session::Session;

/// Arguments of `lockstep explain`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage
    stage: String,
    /// Say when this freight can be there at the earliest, and what decides that; a unique
    /// beginning of its id is enough
    #[arg(long)]
    freight: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Arguments { stage, freight } = arguments;
    if let Some(freight) = freight {
        let found = session.client.forecast(&project, &stage, &freight).await?;
        return session.out.answer(&found, |it| forecast::text(it, session.now));
    }
    let explained = session.client.explain(&project, &stage).await?;
    session.out.answer(&explained, |it| explain::text(it, session.now))
}
