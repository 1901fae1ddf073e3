//! `lockstep diff`: what a promotion will do, or did, in full.

use clap::Args;
use reconciler_api::v1::{ChangeSet, FullPlan};
use serde::Serialize;

use crate::failure::Failure;
use crate::render::changes;
use crate::session::Session;

/// Arguments of `lockstep diff`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
    /// Also each infra plan as its tool shows it
    #[arg(long)]
    full: bool,
}

/// A change set, and its plans as their tools show them.
#[derive(Serialize)]
struct Full {
    #[serde(flatten)]
    change_set: ChangeSet,
    plans: Vec<FullPlan>,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let promotion = session.client.promotion(&project, &arguments.promotion).await?;
    let Some(change_set) = promotion.change_set else {
        return Err(Failure::NotPrepared { promotion: promotion.id, phase: promotion.phase });
    };
    if !arguments.full {
        return session.out.answer(&change_set, changes::full);
    }
    let mut plans = Vec::new();
    for plan in &change_set.infra {
        plans.push(session.client.plan(&project, &promotion.id, &plan.step).await?);
    }
    session.out.answer(&Full { change_set, plans }, |full| {
        let texts = full.plans.iter().map(changes::plan_text);
        texts.chain([changes::full(&full.change_set)]).collect::<Vec<_>>().join("\n")
    })
}
