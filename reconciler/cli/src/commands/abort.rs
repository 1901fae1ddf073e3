//! `lockstep abort`: ends a promotion.

use clap::Args;
use reconciler_api::v1::AbortPromotion;

use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `lockstep abort`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let abort = AbortPromotion { reason: arguments.reason };
    let promotion = session.client.abort(&project, &arguments.promotion, &abort).await?;
    session.out.answer(&promotion, |it| format!("promotion {} is {}", it.id, it.phase))
}
