//! `lockstep reverify`: has what is in a stage verified anew.

use clap::Args;
use reconciler_api::v1::Reverify;

use super::watch::{self, Patience};
use crate::failure::Failure;
use crate::render::short;
use crate::session::Session;

/// Arguments of `lockstep reverify`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage
    stage: String,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Follow the verification until it ends
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Arguments { stage, reason, wait, patience } = arguments;
    let promotion = session.client.reverify_stage(&project, &stage, &Reverify { reason }).await?;
    session.out.item(&promotion, |it| {
        format!(
            "freight {} in {} is verified anew, by promotion {}",
            short(&it.freight),
            it.stage,
            it.id
        )
    })?;
    if wait {
        return watch::follow(session, &project, &promotion.id, patience).await;
    }
    session.out.note(format_args!("follow it: lockstep watch {}", promotion.id))
}
