//! `lockstep freight`: acts on freight.

use clap::{Args, Subcommand};
use reconciler_api::v1::FreightApproval;

use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `lockstep freight`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make freight available to a stage past its upstream
    Approve(Approve),
}

#[derive(Args)]
struct Approve {
    /// The freight; a unique beginning of its id is enough
    freight: String,
    /// The stage that it becomes available to
    #[arg(long)]
    stage: String,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.action {
        Action::Approve(approve) => approve_freight(approve, session).await,
    }
}

async fn approve_freight(arguments: Approve, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Approve { freight, stage, reason } = arguments;
    let approval = FreightApproval { stage, reason };
    let freight = session.client.approve_freight(&project, &freight, &approval).await?;
    session.out.answer(&freight, |it| {
        format!("freight {} is available to stage {}", it.short_id, approval.stage)
    })
}
