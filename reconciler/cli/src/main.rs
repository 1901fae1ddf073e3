//! The lockstep command line.
//!
//! ```text
//! main         arguments in, exit code out
//! session      where the daemon is, who speaks, and where answers go
//! commands/    one file per command: its arguments, its calls, what it says
//! render/      objects as text for people; JSON is the wire types as they are
//! failure      why a command failed, with the exit code that says it to programs
//! ```
//!
//! It keeps no state and decides nothing: whatever it shows comes from the daemon.

use std::process::ExitCode;

use clap::Parser;

mod commands;
mod failure;
mod render;
mod session;

use commands::Command;
use failure::Failure;
use session::Connection;

/// What every command's help ends with.
const EXIT_CODES: &str = "\
Environment:
  LOCKSTEP_ENDPOINT    where lockstepd is
  LOCKSTEP_TOKEN       the token to send
  LOCKSTEP_TOKEN_FILE  a file that holds the token
  LOCKSTEP_PROJECT     the project

Exit codes:
  0  done
  1  refused, or the promotion did not succeed
  2  the command line is wrong
  3  lockstepd cannot be reached
  4  not finished in time
  5  a plan blocks what could go on, or went on in the past; infra has drifted
  6  it cannot be judged yet, or is not known";

/// Promotes infrastructure and application as one unit.
#[derive(Parser)]
#[command(name = "lockstep", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let CommandLine { connection, command } = CommandLine::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(command.run(&connection)),
        Err(error) => Err(Failure::Runtime(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
