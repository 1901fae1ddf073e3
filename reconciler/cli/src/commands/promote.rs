//! `lockstep promote`: asks for a promotion.

use clap::Args;
use reconciler_api::v1::{Bypass, BypassGate, CreatePromotion, FreightSelector};

use super::watch::{self, Patience};
use crate::failure::Failure;
use crate::render::short;
use crate::session::Session;

/// Arguments of `lockstep promote`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage to promote to
    stage: String,
    /// The freight to promote; a unique beginning of its id is enough
    #[arg(long, value_name = "FREIGHT", required_unless_present = "newest")]
    freight: Option<String>,
    /// Promote the newest freight that is available to the stage
    #[arg(long, conflicts_with = "freight")]
    newest: bool,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Gates to skip, where a policy grants it: soak, approvals, infra, upstream
    #[arg(long, value_name = "GATE,…", value_delimiter = ',', requires = "reason")]
    bypass: Vec<BypassGate>,
    /// Follow the promotion until it ends
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Arguments { stage, freight, reason, bypass, watch, patience, .. } = arguments;
    let freight = freight.map_or(FreightSelector::Newest, FreightSelector::Id);
    let bypass = (!bypass.is_empty())
        .then(|| Bypass { gates: bypass, reason: reason.clone().unwrap_or_default() });
    let request = CreatePromotion { stage, freight, reason, bypass, ensure: false };
    let promotion = session.client.promote(&project, &request).await?;
    session.out.item(&promotion, |it| {
        format!("promotion {}: freight {} to {}, {}", it.id, short(&it.freight), it.stage, it.phase)
    })?;
    if watch {
        return watch::follow(session, &project, &promotion.id, patience).await;
    }
    session.out.note(format_args!("follow it: lockstep watch {}", promotion.id))
}
