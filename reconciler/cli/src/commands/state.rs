//! `lockstep state`: shows embedded states and their versions, restores one, takes a lock away.

use clap::{Args, Subcommand};
use reconciler_api::v1::{RestoreState, StateQuery, UnlockState};

use crate::failure::Failure;
use crate::render;
use crate::session::Session;

/// Arguments of `lockstep state`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show every embedded state of the project, and who has its lock
    List {
        /// Only those of this stage
        #[arg(long)]
        stage: Option<String>,
    },
    /// Show what was kept of a state
    Versions(Name),
    /// Write a state to standard output, as it is or as it was: it holds secrets
    Show {
        #[command(flatten)]
        name: Name,
        /// A version, instead of what is there
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
    },
    /// Make an older version the state again
    Restore {
        #[command(flatten)]
        name: Name,
        /// The version
        version: u64,
        /// Why; it is recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take away the lock of somebody who is gone
    Unlock {
        #[command(flatten)]
        name: Name,
        /// The lock, as `state list` shows it
        id: String,
        /// Why; it is recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Write the backend block by which OpenTofu and Terraform use a state
    Backend(Name),
}

/// Which state.
#[derive(Args)]
struct Name {
    /// The stage
    stage: String,
    /// The state: what the steps give as `state`, by default the module's directory
    name: String,
    /// The workspace
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
}

impl Name {
    fn query(&self) -> StateQuery {
        StateQuery { workspace: self.workspace.clone() }
    }

    fn of<'a>(&'a self, project: &'a str) -> (&'a str, &'a str, &'a str) {
        (project, &self.stage, &self.name)
    }
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let (client, out, project) = (&session.client, &session.out, session.project()?);
    match arguments.action {
        Action::List { stage } => {
            let mut states = client.states(&project).await?;
            states.retain(|state| stage.as_ref().is_none_or(|stage| *stage == state.stage));
            out.answer(&states, |states| render::embedded_states(states, session.now))
        }
        Action::Versions(name) => {
            let versions = client.state_versions(name.of(&project), &name.query()).await?;
            out.answer(&versions, |versions| render::state_versions(versions, session.now))
        }
        Action::Show { name, version } => {
            let state = client.state(name.of(&project), &name.query(), version).await?;
            out.text(state.get())
        }
        Action::Restore { name, version, reason } => {
            let restore = RestoreState { version, reason };
            let made = client.restore_state(name.of(&project), &name.query(), &restore).await?;
            out.answer(&made, |made| {
                format!(
                    "version {version} is the state again, as version {} with serial {}",
                    made.version, made.serial
                )
            })
        }
        Action::Unlock { name, id, reason } => {
            let unlock = UnlockState { id, reason };
            let gone = client.unlock_state(name.of(&project), &name.query(), &unlock).await?;
            out.answer(&gone, |gone| format!("the lock of {} is taken away", gone.who))
        }
        Action::Backend(name) => {
            let address = client.state_address(name.of(&project), &name.query())?;
            out.text(&render::backend(&address))
        }
    }
}
