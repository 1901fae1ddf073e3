//! `lockstep hold`: puts, shows and lifts holds.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reconciler_api::v1::{
    ArtifactSelector, Hold, HoldSpec, Kind, LiftHold, Precondition, Stage, StageHold,
};
use reconciler_domain::duration;
use serde::Serialize;

use crate::failure::Failure;
use crate::render::{self, table_of};
use crate::session::Session;

/// Arguments of `lockstep hold`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show every hold, the automatic ones of stages too
    List,
    /// Show a hold, what it stops, and where that is already
    Show(Name),
    /// Stop a stage, a freight or artifacts, for automation and for people
    Create(Box<Create>),
    /// End a hold, or with --stage the automatic one of a stage
    Lift(Lift),
}

#[derive(Args)]
struct Name {
    /// The hold
    name: String,
}

#[derive(Args)]
struct Create {
    /// Its name, unique in the project
    name: String,
    /// Why; whoever it stops reads it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Stop every promotion to this stage
    #[arg(long, conflicts_with_all = ["freight", "artifacts"])]
    stage: Option<String>,
    /// Stop every promotion of this freight; a unique beginning of its id is enough
    #[arg(long, conflicts_with = "artifacts")]
    freight: Option<String>,
    #[command(flatten)]
    artifacts: Artifacts,
    /// End it by itself after this time, such as 12h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lasting: Option<Duration>,
    /// End it by itself at this instant, such as 2026-12-01T08:00:00Z
    #[arg(long, value_name = "INSTANT", conflicts_with = "lasting")]
    until: Option<Timestamp>,
}

/// Which artifacts are stopped: those that fulfil all of what is given.
#[derive(Args)]
#[group(id = "artifacts", multiple = true)]
struct Artifacts {
    /// Stop artifacts that this subscription found
    #[arg(long, help_heading = "Artifacts")]
    subscription: Option<String>,
    /// Stop artifacts of this repository
    #[arg(long, value_name = "REPOSITORY", help_heading = "Artifacts")]
    repo: Option<String>,
    /// Stop images of this digest
    #[arg(long, help_heading = "Artifacts")]
    digest: Option<String>,
    /// Stop versions in this range, such as ">=1.4.0 <1.4.3"
    #[arg(long, value_name = "RANGE", help_heading = "Artifacts")]
    version: Option<String>,
    /// Stop the commit whose id begins so
    #[arg(long, help_heading = "Artifacts")]
    commit: Option<String>,
    /// Stop commits made at this instant or later
    #[arg(long, value_name = "INSTANT", help_heading = "Artifacts")]
    committed_from: Option<Timestamp>,
    /// Stop commits made at this instant or earlier
    #[arg(long, value_name = "INSTANT", help_heading = "Artifacts")]
    committed_until: Option<Timestamp>,
}

#[derive(Args)]
struct Lift {
    /// The hold
    #[arg(required_unless_present = "stage")]
    name: Option<String>,
    /// Lift the automatic hold of this stage instead: automation goes on there
    #[arg(long, conflicts_with = "name", requires = "reason")]
    stage: Option<String>,
    /// Why an automatic hold is lifted; it is recorded
    #[arg(long, value_name = "TEXT", requires = "stage")]
    reason: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.action {
        Action::List => list(session).await,
        Action::Show(Name { name }) => show(&name, session).await,
        Action::Create(create) => put(*create, session).await,
        Action::Lift(Lift { name, stage, reason }) => match (name, stage) {
            (Some(name), _) => lift(&name, session).await,
            (None, stage) => {
                let stage = stage.unwrap_or_default();
                lift_automatic(&stage, reason.unwrap_or_default(), session).await
            }
        },
    }
}

/// What `lockstep hold list` answers.
#[derive(Serialize)]
struct Holds {
    holds: Vec<Hold>,
    /// The automatic holds, by stage.
    automatic: Vec<Automatic>,
}

#[derive(Serialize)]
struct Automatic {
    stage: String,
    hold: StageHold,
}

async fn list(session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let holds = session.client.list_all::<Hold>(&project).await?;
    let stages = session.client.list_all::<Stage>(&project).await?;
    let automatic = stages.into_iter().filter_map(|stage| {
        let hold = stage.status.holds.into_iter().find(|hold| hold.name.is_none())?;
        Some(Automatic { stage: stage.meta.name, hold })
    });
    let holds = Holds { holds, automatic: automatic.collect() };
    session.out.answer(&holds, |Holds { holds, automatic }| {
        let named =
            (!holds.is_empty() || automatic.is_empty()).then(|| table_of(holds, session.now));
        let automatic = automatic.iter().map(|it| {
            format!("stage {}: automation is {}", it.stage, render::stage_hold(&it.hold))
        });
        named.into_iter().chain(automatic).collect::<Vec<_>>().join("\n")
    })
}

async fn show(name: &str, session: &Session) -> Result<(), Failure> {
    let hold = session.client.get::<Hold>(&session.project()?, name).await?;
    session.out.answer(&hold, |hold| render::one(hold, session.now))
}

async fn put(create: Create, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let expires = match (create.lasting, create.until) {
        (Some(after), _) => {
            Some(session.now.checked_add(after).map_err(|_| Failure::ExpiryOutOfRange { after })?)
        }
        (None, until) => until,
    };
    if let Some(expires) = expires.filter(|expires| *expires <= session.now) {
        return Err(Failure::ExpiryPassed { expires });
    }
    let freight = match create.freight {
        Some(freight) => Some(session.client.freight(&project, &freight).await?.id),
        None => None,
    };
    let artifacts = create.artifacts.selector();
    let Create { name, reason, stage, .. } = create;
    let spec = HoldSpec { reason, stage, freight, artifacts, expires };
    let hold = session.client.put::<Hold>(&project, &name, &spec, Precondition::Absent).await?;
    session.out.answer(&hold, |hold| render::one(hold, session.now))
}

impl Artifacts {
    /// What is given; none if nothing is.
    fn selector(self) -> Option<ArtifactSelector> {
        let Self { subscription, repo, digest, version, commit, committed_from, committed_until } =
            self;
        let selector = ArtifactSelector {
            subscription,
            repo,
            digest,
            version,
            commit,
            committed_from,
            committed_until,
        };
        (selector != ArtifactSelector::default()).then_some(selector)
    }
}

async fn lift(name: &str, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    session.client.delete(Kind::Hold, &project, name, Precondition::None).await?;
    session.out.text(&format!("hold {name} is lifted"))
}

async fn lift_automatic(stage: &str, reason: String, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let stage = session.client.lift_stage_hold(&project, stage, &LiftHold { reason }).await?;
    session.out.answer(&stage, |it| format!("automation goes on in stage {}", it.meta.name))
}
