//! `lockstep approve`: approves what a promotion will do, as shown.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use reconciler_api::v1::{ApprovePromotion, ChangeSet};

use crate::failure::Failure;
use crate::render::{changes, short};
use crate::session::Session;

/// Arguments of `lockstep approve`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
    /// Approve only if what it will do has this digest
    #[arg(long)]
    digest: Option<String>,
    /// What to say with it; it is recorded
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Do not ask at a terminal
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let promotion = session.client.promotion(&project, &arguments.promotion).await?;
    let Some(change_set) = &promotion.change_set else {
        return Err(Failure::NotPrepared { promotion: promotion.id, phase: promotion.phase });
    };
    check_digest(&promotion.id, change_set, arguments.digest)?;
    session.out.note(format_args!(
        "promotion {}: freight {} to {}, asked for by {}\n\n{}",
        promotion.id,
        short(&promotion.freight),
        promotion.stage,
        promotion.requester,
        changes::summary(change_set)
    ))?;
    if !arguments.yes && !confirmed()? {
        return Err(Failure::Declined);
    }
    // What was shown is what is approved: a change in between makes the daemon refuse.
    let approval =
        ApprovePromotion { digest: change_set.digest.clone(), comment: arguments.comment };
    let approved = session.client.approve(&project, &promotion.id, &approval).await?;
    session.out.answer(&approved, |it| {
        format!("approved promotion {} with digest {}, {}", it.id, approval.digest, it.phase)
    })
}

fn check_digest(
    promotion: &str,
    change_set: &ChangeSet,
    given: Option<String>,
) -> Result<(), Failure> {
    match given {
        Some(given) if given != change_set.digest => Err(Failure::OtherDigest {
            promotion: promotion.to_owned(),
            current: change_set.digest.clone(),
            given,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Asks, if a person is there to answer.
fn confirmed() -> Result<bool, Failure> {
    let mut stderr = io::stderr();
    if !io::stdin().is_terminal() || !stderr.is_terminal() {
        return Ok(true);
    }
    write!(stderr, "approve this? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
