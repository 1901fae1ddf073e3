//! `lockstep rerun`: asks for a promotion once more.

use clap::Args;
use jiff::Timestamp;
use reconciler_api::v1::{Bypass, BypassGate, Rerun};

use super::watch::{self, Patience};
use crate::failure::Failure;
use crate::render::brought;
use crate::session::Session;

/// Arguments of `lockstep rerun`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion that is over: its freight goes to its stage once more, with its variables
    promotion: String,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Gates to skip, where a policy grants it: soak, approvals, infra, upstream
    #[arg(long, value_name = "GATE,…", value_delimiter = ',', requires = "reason")]
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
    let Arguments { promotion, reason, bypass, bypass_until, watch, patience } = arguments;
    let bypass = (!bypass.is_empty()).then(|| Bypass {
        gates: bypass,
        reason: reason.clone().unwrap_or_default(),
        expires: bypass_until,
    });
    let started = session.client.rerun(&project, &promotion, &Rerun { reason, bypass }).await?;
    session.out.item(&started, |it| {
        let freight = brought(it);
        format!("promotion {}: freight {freight} to {} once more, {}", it.id, it.stage, it.phase)
    })?;
    if watch {
        return watch::follow(session, &project, &started.id, patience).await;
    }
    session.out.note(format_args!("follow it: lockstep watch {}", started.id))
}
