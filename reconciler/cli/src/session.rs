//! Where the daemon is, who speaks, and where answers go.

use std::env;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use reconciler_api::client::Client;
use reconciler_api::v1::Secret;
use serde::Serialize;

use crate::failure::Failure;

const USER_AGENT: &str = concat!("lockstep/", env!("CARGO_PKG_VERSION"));

/// The options that every command takes.
#[derive(Args)]
pub(crate) struct Connection {
    /// Where lockstepd is
    #[arg(
        long,
        global = true,
        env = "LOCKSTEP_ENDPOINT",
        hide_env = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:7480"
    )]
    endpoint: String,

    // The token itself is no argument: every user of a machine can read the arguments of all.
    /// A file that holds the token, instead of the one in the environment
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The project
    #[arg(
        short,
        long,
        global = true,
        env = "LOCKSTEP_PROJECT",
        hide_env = true,
        value_name = "NAME"
    )]
    project: Option<String>,

    /// How answers are written
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// How answers are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: the objects as the API answers them
    Json,
}

impl Connection {
    /// A session with a token.
    pub(crate) fn open(&self) -> Result<Session, Failure> {
        let token = self.token()?.ok_or(Failure::NoToken)?;
        self.session(Some(&token))
    }

    /// A session for operations that need no token.
    pub(crate) fn open_public(&self) -> Result<Session, Failure> {
        self.session(None)
    }

    /// Where answers go, for commands that ask nobody.
    pub(crate) fn output(&self) -> Output {
        Output { format: self.output }
    }

    fn session(&self, token: Option<&Secret>) -> Result<Session, Failure> {
        Ok(Session {
            client: Client::new(&self.endpoint, token, USER_AGENT)?,
            project: self.project.clone().filter(|it| !it.is_empty()),
            now: Timestamp::now(),
            out: self.output(),
        })
    }

    fn token(&self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.token_file {
            return read_token(path).map(Some);
        }
        if let Some(token) = env::var("LOCKSTEP_TOKEN").ok().filter(|it| !it.is_empty()) {
            return Ok(Some(Secret::new(token)));
        }
        match env::var_os("LOCKSTEP_TOKEN_FILE").filter(|it| !it.is_empty()) {
            Some(path) => read_token(Path::new(&path)).map(Some),
            None => Ok(None),
        }
    }
}

fn read_token(path: &Path) -> Result<Secret, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(error) => Err(Failure::TokenFile { path: path.to_owned(), error }),
    }
}

/// The text of a file; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}

/// One command's conversation with the daemon.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) out: Output,
    /// When the command began; ages are counted to it.
    pub(crate) now: Timestamp,
    project: Option<String>,
}

impl Session {
    pub(crate) fn project(&self) -> Result<String, Failure> {
        self.project.clone().ok_or(Failure::NoProject)
    }
}

/// Where answers go: stdout for what was asked for, stderr for everything beside it.
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// Writes an answer: the value as JSON, or for people what `text` makes of it.
    pub(crate) fn answer<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.text(&serde_json::to_string_pretty(value)?),
            Format::Table => self.text(&text(value)),
        }
    }

    /// Writes one of many answers: the value as one line of JSON, or for people one of text.
    pub(crate) fn item<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.text(&serde_json::to_string(value)?),
            Format::Table => self.text(&text(value)),
        }
    }

    /// Says something beside the answer, to people only.
    pub(crate) fn note(&self, text: impl Display) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => Ok(writeln!(io::stderr(), "{text}")?),
        }
    }

    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
        Ok(stdout.flush()?)
    }
}
