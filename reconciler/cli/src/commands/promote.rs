//! `lockstep promote`: asks for a promotion, or for one in every stage further down.

use clap::Args;
use jiff::Timestamp;
use reconciler_api::client::ClientError;
use reconciler_api::v1::{
    Bypass, BypassGate, CreatePromotion, FreightSelector, PromoteDownstream, StartedDownstream,
};

use super::watch::{self, Patience};
use crate::failure::Failure;
use crate::render::brought;
use crate::session::Session;

/// Arguments of `lockstep promote`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage to promote to; with `--downstream` the one to promote from
    stage: String,
    /// The freight to promote; a unique beginning of its id is enough. More than one, of several warehouses, go as
    /// one unit
    #[arg(long, value_name = "FREIGHT", required_unless_present_any = ["newest", "downstream"])]
    freight: Vec<String>,
    /// Promote the newest freight that is available to the stage
    #[arg(long, conflicts_with = "freight")]
    newest: bool,
    /// Promote to every stage that takes freight from this one; what is there now, unless freight is named
    #[arg(long, conflicts_with_all = ["newest", "bypass", "var", "watch"])]
    downstream: bool,
    /// Another value for a variable that the stage lets promotions set
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, String)>,
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
    let Arguments {
        stage,
        freight,
        downstream,
        var,
        reason,
        bypass,
        bypass_until,
        watch,
        patience,
        ..
    } = arguments;
    let mut named = freight.into_iter();
    let freight = named.next();
    let along: Vec<String> = named.collect();
    if downstream {
        if !along.is_empty() {
            return Err(Failure::OneFreight);
        }
        return further_down(session, &project, &stage, PromoteDownstream { freight, reason })
            .await;
    }
    let freight = freight.map_or(FreightSelector::Newest, FreightSelector::Id);
    let bypass = (!bypass.is_empty()).then(|| Bypass {
        gates: bypass,
        reason: reason.clone().unwrap_or_default(),
        expires: bypass_until,
    });
    let vars = var.into_iter().collect();
    let (ensure, rehearsal) = (false, false);
    let request =
        CreatePromotion { stage, freight, along, reason, vars, bypass, ensure, rehearsal };
    let promotion = session.client.promote(&project, &request).await?;
    session.out.item(&promotion, |it| {
        format!("promotion {}: freight {} to {}, {}", it.id, brought(it), it.stage, it.phase)
    })?;
    if watch {
        return watch::follow(session, &project, &promotion.id, patience).await;
    }
    session.out.note(format_args!("follow it: lockstep watch {}", promotion.id))
}

/// Asks each stage further down. What one refuses is told, and makes the command fail at its end.
async fn further_down(
    session: &Session,
    project: &str,
    from: &str,
    wish: PromoteDownstream,
) -> Result<(), Failure> {
    let started = session.client.promote_downstream(project, from, &wish).await?;
    session.out.item(&started, |started| {
        let line = |it: &StartedDownstream| match (&it.promotion, &it.refused) {
            (Some(promotion), _) => format!(
                "promotion {}: freight {} to {}, {}",
                promotion.id,
                brought(promotion),
                it.stage,
                promotion.phase
            ),
            (None, refused) => {
                let why = refused.as_ref().and_then(|problem| problem.detail.as_deref());
                format!("{}: refused: {}", it.stage, why.unwrap_or("the daemon does not say why"))
            }
        };
        started.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    match started.into_iter().find_map(|it| it.refused) {
        Some(refused) => Err(Failure::Client(ClientError::Problem(Box::new(refused)))),
        None => Ok(()),
    }
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}
