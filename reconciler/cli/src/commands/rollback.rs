//! `lockstep rollback`: asks a stage to go back.

use clap::Args;
use jiff::Timestamp;
use reconciler_api::v1::{Bypass, BypassGate, CreatePromotion, FreightSelector};

use super::watch::{self, Patience};
use crate::failure::Failure;
use crate::render::brought;
use crate::session::Session;

/// Arguments of `lockstep rollback`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage that goes back to what it vouched for before
    stage: String,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Gates to skip, where a policy grants it: soak, approvals, infra, upstream
    #[arg(long, value_name = "GATE,…", value_delimiter = ',')]
    bypass: Vec<BypassGate>,
    /// Skip them until this instant only, such as 2026-12-20T00:00:00Z
    #[arg(long, value_name = "INSTANT", requires = "bypass")]
    bypass_until: Option<Timestamp>,
    /// Follow the promotion until it ends
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Arguments { stage, reason, bypass, bypass_until, watch, patience } = arguments;
    let bypass = (!bypass.is_empty()).then(|| Bypass {
        gates: bypass,
        reason: reason.clone(),
        expires: bypass_until,
    });
    let (freight, reason) = (FreightSelector::Previous, Some(reason));
    let (ensure, rehearsal, vars) = (false, false, [].into());
    let along = Vec::new();
    let request =
        CreatePromotion { stage, freight, along, reason, vars, bypass, ensure, rehearsal };
    let promotion = session.client.promote(&project, &request).await?;
    session.out.item(&promotion, |it| {
        format!(
            "promotion {}: {} goes back to freight {}, {}",
            it.id,
            it.stage,
            brought(it),
            it.phase
        )
    })?;
    if watch {
        return watch::follow(session, &project, &promotion.id, patience).await;
    }
    session.out.note(format_args!("follow it: lockstep watch {}", promotion.id))
}
