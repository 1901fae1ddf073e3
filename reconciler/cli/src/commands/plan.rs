//! `lockstep plan`: what a promotion would do and what its gates would say, before there is one.
//!
//! The daemon rehearses it: prepares it as any other, in nobody's way, and never commits it.

use std::time::Duration;

use clap::Args;
use reconciler_api::v1::{
    AbortPromotion, CreatePromotion, EventsQuery, FreightSelector, Phase, Promotion,
};
use reconciler_domain::duration;
use tokio::time::Instant;

use super::promote::variable;
use crate::failure::Failure;
use crate::render::plan;
use crate::session::Session;

/// Arguments of `lockstep plan`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to
    stage: String,
    /// The freight: its id, or a beginning that is unique; the newest if absent, whether it may go there or not. More
    /// than one, of several warehouses, go as one unit
    #[arg(long)]
    freight: Vec<String>,
    /// Another value for a variable of the stage; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, String)>,
    /// How long it may take to be prepared
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10m")]
    timeout: Duration,
}

/// How long the daemon is asked to wait for an event.
const LONG_POLL: Duration = Duration::from_secs(20);

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Arguments { stage, freight, var, timeout } = arguments;
    let mut named = freight.into_iter();
    let request = CreatePromotion {
        stage,
        freight: named.next().map_or(FreightSelector::Newest, FreightSelector::Id),
        along: named.collect(),
        reason: None,
        vars: var.into_iter().collect(),
        bypass: None,
        ensure: false,
        rehearsal: true,
    };
    let begun = session.client.promote(&project, &request).await?;
    let seen = prepared(session, &project, &begun.id, timeout).await;
    if !matches!(&seen, Ok(seen) if seen.phase.is_finished()) {
        let seen = AbortPromotion { reason: "lockstep plan".to_owned() };
        // It ends by itself, too; what was to be shown is known, or why it is not.
        let _ended = session.client.abort(&project, &begun.id, &seen).await;
    }
    let seen = seen?;
    if seen.change_set.is_none() {
        return Err(Failure::NotSucceeded { promotion: seen.id, error: seen.error });
    }
    session.out.answer(&seen, plan::text)
}

/// The rehearsal once its change set is known, or once it is over.
async fn prepared(
    session: &Session,
    project: &str,
    id: &str,
    timeout: Duration,
) -> Result<Promotion, Failure> {
    let began = Instant::now();
    let (mut after, mut said) = (None, None);
    loop {
        let seen = session.client.promotion(project, id).await?;
        if seen.phase == Phase::Waiting || seen.phase.is_finished() {
            return Ok(seen);
        }
        let why = seen.waiting.first().map(|waiting| waiting.message.clone());
        if why != said {
            why.iter().try_for_each(|why| session.out.note(format_args!("waiting: {why}")))?;
            said = why;
        }
        let Some(left) = timeout.checked_sub(began.elapsed()) else {
            return Err(Failure::Unfinished {
                promotion: seen.id,
                phase: seen.phase,
                after: timeout,
            });
        };
        let wait = left.clamp(Duration::from_secs(1), LONG_POLL).as_secs();
        let query = EventsQuery { after, wait: u32::try_from(wait).ok() };
        let events = session.client.promotion_events(project, id, &query).await?;
        after = events.last().map(|event| event.seq).or(after);
    }
}
