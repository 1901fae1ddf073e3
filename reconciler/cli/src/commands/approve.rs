//! `lockstep approve`: approves what a promotion will do, or what a step of it asks, as shown.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use reconciler_api::v1::{AnswerStep, ApprovePromotion, ChangeSet, Promotion, Question};

use crate::failure::Failure;
use crate::render::{brought, changes};
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
    /// Approve what this step asks (`wait_for_approval`), instead of the change set
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Say no to what the step asks: the step fails
    #[arg(long, requires = "step")]
    refuse: bool,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    if let Some(step) = &arguments.step {
        return approve_step(&arguments, step, session).await;
    }
    let promotion = session.client.promotion(&project, &arguments.promotion).await?;
    let Some(change_set) = &promotion.change_set else {
        return Err(Failure::NotPrepared { promotion: promotion.id, phase: promotion.phase });
    };
    check_digest(&promotion.id, change_set, arguments.digest)?;
    session.out.note(format_args!(
        "promotion {}: freight {} to {}, asked for by {}\n\n{}",
        promotion.id,
        brought(&promotion),
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

/// Says yes or no to what a step asks, as shown.
async fn approve_step(arguments: &Arguments, step: &str, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let promotion = session.client.promotion(&project, &arguments.promotion).await?;
    let question = question(&promotion, step)?;
    check_question(&promotion.id, question, arguments.digest.as_deref())?;
    session.out.note(format_args!("step {step} of {}: {}\n", promotion.id, question.message))?;
    if !arguments.refuse && !arguments.yes && !confirmed()? {
        return Err(Failure::Declined);
    }
    let answer = AnswerStep {
        digest: question.digest.clone(),
        approve: Some(!arguments.refuse),
        values: None,
        comment: arguments.comment.clone(),
    };
    let answered = session.client.answer_step(&project, &promotion.id, step, &answer).await?;
    let said = if arguments.refuse { "refused" } else { "approved" };
    session.out.answer(&answered, |it| format!("{said} step {step} of promotion {}", it.id))
}

/// What a step asks at this moment.
pub(super) fn question<'p>(promotion: &'p Promotion, step: &str) -> Result<&'p Question, Failure> {
    let found = promotion.steps.iter().find(|run| run.name == step);
    let question = found.and_then(|run| run.question.as_ref());
    question.ok_or_else(|| {
        let asking = promotion.steps.iter().filter(|run| run.question.is_some());
        Failure::NotAsked {
            promotion: promotion.id.clone(),
            step: step.to_owned(),
            asking: asking.map(|run| run.name.clone()).collect(),
        }
    })
}

/// Refuses another question than the one that was named.
fn check_question(
    promotion: &str,
    question: &Question,
    given: Option<&str>,
) -> Result<(), Failure> {
    match given {
        Some(given) if given != question.digest => Err(Failure::OtherDigest {
            promotion: promotion.to_owned(),
            current: question.digest.clone(),
            given: given.to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
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
