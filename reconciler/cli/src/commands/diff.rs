//! `lockstep diff`: what a promotion will do, or did, in full.

use clap::Args;

use crate::failure::Failure;
use crate::render::changes;
use crate::session::Session;

/// Arguments of `lockstep diff`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let promotion = session.client.promotion(&project, &arguments.promotion).await?;
    match &promotion.change_set {
        Some(change_set) => session.out.answer(change_set, changes::full),
        None => Err(Failure::NotPrepared { promotion: promotion.id, phase: promotion.phase }),
    }
}
