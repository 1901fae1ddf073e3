//! One file per command.

use clap::Subcommand;

use crate::failure::Failure;
use crate::session::Connection;

mod abort;
mod approve;
mod completion;
mod credential;
mod diff;
mod drift;
mod evidence;
mod explain;
mod freeze;
mod freight;
mod get;
mod hold;
mod input;
mod keys;
mod pipeline;
mod plan;
mod preview;
mod promote;
mod refresh;
mod rerun;
mod reverify;
mod rollback;
mod state;
mod token;
mod verify;
mod version;
mod watch;

pub(crate) use freeze::AnyFreeze;
pub(crate) use preview::Judged;
pub(crate) use verify::Verdict;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show objects
    Get(get::Arguments),
    /// Show what a promotion would do and what its gates would say, and change nothing
    Plan(plan::Arguments),
    /// Ask for a promotion
    Promote(promote::Arguments),
    /// Have a stage go back to what it vouched for before
    Rollback(rollback::Arguments),
    /// Ask for a promotion once more that is over
    Rerun(rerun::Arguments),
    /// Approve what a promotion will do
    Approve(approve::Arguments),
    /// Give the values that a step asks for
    Input(input::Arguments),
    /// Act on freight
    Freight(freight::Arguments),
    /// End a promotion
    Abort(abort::Arguments),
    /// Verify anew what is in a stage
    Reverify(reverify::Arguments),
    /// Stop stages, freight or artifacts, and let them go
    Hold(hold::Arguments),
    /// Let nothing happen in a project, or in any, for a time
    Freeze(freeze::Arguments),
    /// Say why a stage does or does not get freight
    Explain(explain::Arguments),
    /// Show what differs in the infra of stages from what promotions left there, and look now
    Drift(drift::Arguments),
    /// Show the graph of the stages
    Pipeline(pipeline::Arguments),
    /// Say what the changes of a plan do to live freight, and would have done in the past
    Preview(preview::Arguments),
    /// Follow a promotion until it ends
    Watch(watch::Arguments),
    /// Show what a promotion will do, or did
    Diff(diff::Arguments),
    /// Show what people agreed to, signed; as JSON it is what `verify` takes
    Evidence(evidence::Arguments),
    /// Check evidence against keys, without lockstepd
    Verify(verify::Arguments),
    /// Show the keys under which evidence holds, in PEM
    Keys,
    /// Have the sources of a warehouse asked now
    Refresh(refresh::Arguments),
    /// Show embedded infrastructure states and their versions, and restore them
    State(state::Arguments),
    /// Create, rotate and revoke tokens, and mint short-lived ones
    Token(token::Arguments),
    /// Define, list and delete credentials
    Credential(credential::Arguments),
    /// Show the versions of the command line and of lockstepd
    Version,
    /// Write a completion script for a shell
    Completion(completion::Arguments),
}

impl Command {
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        match self {
            Self::Get(arguments) => get::run(arguments, &connection.open()?).await,
            Self::Plan(arguments) => plan::run(arguments, &connection.open()?).await,
            Self::Promote(arguments) => promote::run(arguments, &connection.open()?).await,
            Self::Rollback(arguments) => rollback::run(arguments, &connection.open()?).await,
            Self::Rerun(arguments) => rerun::run(arguments, &connection.open()?).await,
            Self::Approve(arguments) => approve::run(arguments, &connection.open()?).await,
            Self::Input(arguments) => input::run(arguments, &connection.open()?).await,
            Self::Freight(arguments) => freight::run(arguments, &connection.open()?).await,
            Self::Abort(arguments) => abort::run(arguments, &connection.open()?).await,
            Self::Reverify(arguments) => reverify::run(arguments, &connection.open()?).await,
            Self::Hold(arguments) => hold::run(arguments, &connection.open()?).await,
            Self::Freeze(arguments) => freeze::run(arguments, &connection.open()?).await,
            Self::Explain(arguments) => explain::run(arguments, &connection.open()?).await,
            Self::Drift(arguments) => drift::run(arguments, &connection.open()?).await,
            Self::Pipeline(arguments) => pipeline::run(arguments, &connection.open()?).await,
            Self::Preview(arguments) => preview::run(arguments, &connection.open()?).await,
            Self::Watch(arguments) => watch::run(arguments, &connection.open()?).await,
            Self::Diff(arguments) => diff::run(arguments, &connection.open()?).await,
            Self::Evidence(arguments) => evidence::run(arguments, &connection.open()?).await,
            Self::Verify(arguments) => verify::run(&arguments, &connection.output()),
            Self::Keys => keys::run(&connection.open_public()?).await,
            Self::Refresh(arguments) => refresh::run(arguments, &connection.open()?).await,
            Self::State(arguments) => state::run(arguments, &connection.open()?).await,
            Self::Token(arguments) => token::run(arguments, &connection.open()?).await,
            Self::Credential(arguments) => credential::run(arguments, &connection.open()?).await,
            Self::Version => version::run(&connection.open_public()?).await,
            Self::Completion(arguments) => completion::run(&arguments),
        }
    }
}
