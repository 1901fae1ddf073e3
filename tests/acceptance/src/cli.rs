//! The `lockstep` command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::{self, Run};
use crate::{At as _, Outcome};

/// `lockstep watch` may follow a promotion for a while.
const DEADLINE: Duration = Duration::from_secs(120);

/// The command line as one person uses it.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    endpoint: String,
    token_file: PathBuf,
    project: String,
}

impl Cli {
    /// The command line towards one daemon, with the token in a file, for one project.
    ///
    /// # Errors
    /// It is not built.
    pub fn new(endpoint: &str, token_file: &Path, project: &str) -> Outcome<Self> {
        let (endpoint, token_file) = (endpoint.to_owned(), token_file.to_owned());
        let program = process::binary("lockstep")?;
        Ok(Self { program, endpoint, token_file, project: project.to_owned() })
    }

    /// The same command line in the hands of who has the token in this file.
    #[must_use]
    pub fn as_bearer_of(&self, token_file: &Path) -> Self {
        Self { token_file: token_file.to_owned(), ..self.clone() }
    }

    /// Runs it, whatever its exit code.
    ///
    /// # Errors
    /// It does not end.
    pub async fn run(&self, arguments: &[&str]) -> Outcome<Run> {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        command.env("LOCKSTEP_ENDPOINT", &self.endpoint).env("LOCKSTEP_PROJECT", &self.project);
        command.env("LOCKSTEP_TOKEN_FILE", &self.token_file).env_remove("LOCKSTEP_TOKEN");
        process::run(&command, DEADLINE).await
    }

    /// What it writes to stdout.
    ///
    /// # Errors
    /// It refuses.
    pub async fn ok(&self, arguments: &[&str]) -> Outcome<String> {
        Ok(self.run(arguments).await?.ok()?.stdout)
    }

    /// What it writes to stdout with `-o json`.
    ///
    /// # Errors
    /// It refuses, or writes no JSON.
    pub async fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        let text = self.ok(&arguments).await?;
        serde_json::from_str(&text).at(format_args!("the answer to {arguments:?}: {text}"))
    }

    /// What it writes to stderr when it ends with this exit code.
    ///
    /// # Errors
    /// It ends otherwise.
    pub async fn refused(&self, code: i32, arguments: &[&str]) -> Outcome<String> {
        Ok(self.run(arguments).await?.ended_with(code)?.stderr)
    }
}
