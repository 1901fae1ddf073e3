//! `lockstep drift`: what differs in the infra of stages from what their promotions left there.

use std::time::Duration;

use clap::Args;
use reconciler_api::v1::{DriftStanding, StageDrift};
use reconciler_domain::duration;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::render::drift;
use crate::session::Session;

/// Arguments of `lockstep drift`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stage; without one, every stage with steps
    stage: Option<String>,
    /// Look now, and wait for what is found
    #[arg(long, requires = "stage")]
    look: bool,
    /// How long to wait for it, such as 30m; it goes on after that
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "look")]
    timeout: Option<Duration>,
}

/// How often a look that was asked for is asked after.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Some(stage) = arguments.stage else {
        let found = session.client.drift(&project).await?;
        session.out.answer(&found, |it| drift::table(it, session.now))?;
        // Stages at which nobody looks say nothing.
        let seen = found.iter().filter(|it| it.standing != DriftStanding::Unseen);
        return told(seen);
    };
    let found = if arguments.look {
        look(session, &project, &stage, arguments.timeout).await?
    } else {
        session.client.stage_drift(&project, &stage).await?
    };
    session.out.answer(&found, |it| drift::one(it, session.now))?;
    told([&found])
}

/// Asks for a look and waits until it is over.
async fn look(
    session: &Session,
    project: &str,
    stage: &str,
    timeout: Option<Duration>,
) -> Result<StageDrift, Failure> {
    let began = Instant::now();
    let mut found = session.client.look_for_drift(project, stage).await?;
    let mut waits_for = None;
    while found.asked {
        if found.waits_for.is_some() && found.waits_for != waits_for {
            waits_for.clone_from(&found.waits_for);
            let promotion = waits_for.as_deref().unwrap_or_default();
            session.out.note(format_args!("waits for promotion {promotion} to end"))?;
        }
        if let Some(after) = timeout.filter(|timeout| began.elapsed() >= *timeout) {
            return Err(Failure::NotLooked { stage: stage.to_owned(), after });
        }
        tokio::time::sleep(ASK_AGAIN).await;
        found = session.client.stage_drift(project, stage).await?;
    }
    Ok(found)
}

/// Fails if something drifted, or if it cannot be told.
fn told<'a>(found: impl IntoIterator<Item = &'a StageDrift>) -> Result<(), Failure> {
    let (mut drifted, mut unknown) = (Vec::new(), Vec::new());
    for stage in found {
        match stage.standing {
            DriftStanding::Clean => {}
            DriftStanding::Drifted => drifted.push(stage.stage.clone()),
            DriftStanding::Unknown | DriftStanding::Unseen => unknown.push(stage.stage.clone()),
        }
    }
    if !drifted.is_empty() {
        return Err(Failure::Drifted { stages: drifted });
    }
    if !unknown.is_empty() {
        return Err(Failure::DriftUnknown { stages: unknown });
    }
    Ok(())
}
