//! `lockstep freeze`: freezes a project or all of them, shows freezes and ends them.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reconciler_api::v1::{
    Freeze, FreezeExceptions, FreezeSpec, InstanceFreeze, InstanceFreezeSpec, Kind, Precondition,
    UnknownName, WindowAction,
};
use reconciler_domain::duration;
use serde::Serialize;

use crate::failure::Failure;
use crate::render::{self, table_of};
use crate::session::Session;

/// Arguments of `lockstep freeze`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show every freeze of the project, and of every project
    List(List),
    /// Show a freeze, and what it stops
    Show(Name),
    /// Let nothing happen in the project, or in any, for a time
    Create(Box<Create>),
    /// End a freeze
    End(Name),
}

#[derive(Args)]
struct List {
    /// Only those of every project
    #[arg(long)]
    instance: bool,
}

#[derive(Args)]
struct Name {
    /// The freeze
    name: String,
    /// One of every project
    #[arg(long)]
    instance: bool,
}

#[derive(Args)]
struct Create {
    /// Its name, unique in the project
    name: String,
    /// Freeze every project; takes an administrator's token
    #[arg(long)]
    instance: bool,
    /// Why; whoever it stops reads it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Begin at this instant, such as 2026-12-20T00:00:00Z; else at once
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
    /// End it by itself after this time, such as 12h, counted from its begin
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lasting: Option<Duration>,
    /// End it by itself at this instant
    #[arg(long, value_name = "INSTANT", conflicts_with = "lasting")]
    until: Option<Timestamp>,
    /// What it is about: promote, rollback, bypass; promotions and bypasses if left out
    #[arg(long, value_name = "ACTION", value_delimiter = ',', value_parser = action)]
    about: Vec<WindowAction>,
    #[command(flatten)]
    except: Except,
}

/// What goes on all the same.
#[derive(Args)]
struct Except {
    /// Let the projects of this name or glob go on; may be repeated
    #[arg(long = "except-project", value_name = "GLOB", requires = "instance")]
    projects: Vec<String>,
    /// Let the stages of this name or glob go on; may be repeated
    #[arg(long = "except-stage", value_name = "GLOB")]
    stages: Vec<String>,
    /// Let what this person or program asks for go on; may be repeated
    #[arg(long = "except-principal", value_name = "NAME")]
    principals: Vec<String>,
    /// Let what members of this group ask for go on; may be repeated
    #[arg(long = "except-group", value_name = "GROUP")]
    groups: Vec<String>,
}

fn action(word: &str) -> Result<WindowAction, UnknownName> {
    word.parse()
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.action {
        Action::List(arguments) => list(arguments, session).await,
        Action::Show(Name { name, instance: true }) => {
            let freeze = session.client.get::<InstanceFreeze>("", &name).await?;
            session.out.answer(&freeze, |freeze| render::one(freeze, session.now))
        }
        Action::Show(Name { name, instance: false }) => {
            let freeze = session.client.get::<Freeze>(&session.project()?, &name).await?;
            session.out.answer(&freeze, |freeze| render::one(freeze, session.now))
        }
        Action::Create(create) => self::create(*create, session).await,
        Action::End(Name { name, instance }) => {
            let (kind, project, what) = match instance {
                true => (Kind::InstanceFreeze, String::new(), "instance freeze"),
                false => (Kind::Freeze, session.project()?, "freeze"),
            };
            session.client.delete(kind, &project, &name, Precondition::None).await?;
            session.out.text(&format!("{what} {name} is ended"))
        }
    }
}

/// A freeze of the project, or of every project.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum AnyFreeze {
    /// Of the project.
    Own(Freeze),
    /// Of every project.
    Instance(InstanceFreeze),
}

async fn list(List { instance }: List, session: &Session) -> Result<(), Failure> {
    let client = &session.client;
    let mut freezes = Vec::new();
    if !instance {
        let own = client.list_all::<Freeze>(&session.project()?).await?;
        freezes.extend(own.into_iter().map(AnyFreeze::Own));
    }
    let of_all = client.list_all::<InstanceFreeze>("").await?;
    freezes.extend(of_all.into_iter().map(AnyFreeze::Instance));
    session.out.answer(&freezes, |freezes| table_of(freezes, session.now))
}

async fn create(create: Create, session: &Session) -> Result<(), Failure> {
    let (name, instance) = (create.name.clone(), create.instance);
    let projects = create.except.projects.clone();
    let spec = create.spec(session.now)?;
    if instance {
        let spec = InstanceFreezeSpec::new(spec, projects);
        let put = session.client.put::<InstanceFreeze>("", &name, &spec, Precondition::Absent);
        let freeze = put.await?;
        return session.out.answer(&freeze, |freeze| render::one(freeze, session.now));
    }
    let project = session.project()?;
    let put = session.client.put::<Freeze>(&project, &name, &spec, Precondition::Absent);
    let freeze = put.await?;
    session.out.answer(&freeze, |freeze| render::one(freeze, session.now))
}

impl Create {
    fn spec(self, now: Timestamp) -> Result<FreezeSpec, Failure> {
        let begins = self.from.unwrap_or(now);
        let until = match (self.lasting, self.until) {
            (Some(after), _) => {
                let end = begins.checked_add(after);
                Some(end.map_err(|_| Failure::ExpiryOutOfRange { after })?)
            }
            (None, until) => until,
        };
        if let Some(expires) = until.filter(|until| *until <= now) {
            return Err(Failure::ExpiryPassed { expires });
        }
        let Except { projects: _, stages, principals, groups } = self.except;
        let except = FreezeExceptions { stages, principals, groups };
        let mut spec = FreezeSpec {
            reason: self.reason,
            from: self.from,
            until,
            except,
            ..FreezeSpec::default()
        };
        if !self.about.is_empty() {
            spec.actions = self.about;
        }
        Ok(spec)
    }
}
