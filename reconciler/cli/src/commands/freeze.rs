//! `lockstep freeze`: freezes a project, shows freezes and ends them.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reconciler_api::v1::{
    Freeze, FreezeExceptions, FreezeSpec, Kind, Precondition, UnknownName, WindowAction,
};
use reconciler_domain::duration;

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
    /// Show every freeze
    List,
    /// Show a freeze, and what it stops
    Show(Name),
    /// Let nothing happen in the project for a time
    Create(Create),
    /// End a freeze
    End(Name),
}

#[derive(Args)]
struct Name {
    /// The freeze
    name: String,
}

#[derive(Args)]
struct Create {
    /// Its name, unique in the project
    name: String,
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
    let project = session.project()?;
    let client = &session.client;
    match arguments.action {
        Action::List => {
            let freezes = client.list_all::<Freeze>(&project).await?;
            session.out.answer(&freezes, |freezes| table_of(freezes, session.now))
        }
        Action::Show(Name { name }) => {
            let freeze = client.get::<Freeze>(&project, &name).await?;
            session.out.answer(&freeze, |freeze| render::one(freeze, session.now))
        }
        Action::Create(create) => {
            let name = create.name.clone();
            let spec = create.spec(session.now)?;
            let put = client.put::<Freeze>(&project, &name, &spec, Precondition::Absent);
            let freeze = put.await?;
            session.out.answer(&freeze, |freeze| render::one(freeze, session.now))
        }
        Action::End(Name { name }) => {
            client.delete(Kind::Freeze, &project, &name, Precondition::None).await?;
            session.out.text(&format!("freeze {name} is ended"))
        }
    }
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
        let Except { stages, principals, groups } = self.except;
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
