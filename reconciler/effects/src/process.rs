//! Runs other programs; the only place in the crate that spawns one.
//!
//! A child sees a cleared environment plus what the caller names, a working directory of its own, and leads
//! a process group of its own. It dies with this process (parent-death signal) and with the future that
//! waits for it (the group is killed on drop). Output is captured up to a limit and then read and thrown
//! away, so a talkative child neither blocks nor fills memory.
//!
//! Stopping is polite: `SIGINT` to the group, a grace period, `SIGINT` again, a second grace period, and
//! only then `SIGKILL`.
//!
//! It never goes through a shell and never retries. What a non-zero exit means is the caller's business.

mod aside;
mod child;
mod pidfd;
mod preexec;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

pub(crate) use self::aside::taken_up;
use self::child::Child;
pub(crate) use self::pidfd::PidFd;
use self::preexec::Isolation;
pub(crate) use self::preexec::ignore_polite_signals;

/// Output kept per stream unless [`Command::output_limit`] says otherwise.
const OUTPUT_LIMIT_DEFAULT: usize = 4 << 20;
/// Time a command may take unless [`Command::deadline`] says otherwise.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Time between two steps of stopping unless [`Command::grace`] says otherwise.
const GRACE_DEFAULT: Duration = Duration::from_secs(10);
/// How long the pipes may stay open after the group is gone: only a process that left the group holds them.
const DRAIN_AFTER_EXIT: Duration = Duration::from_secs(2);
/// How much of standard error an error message quotes.
const STDERR_TAIL: usize = 2048;
/// How much of the end of a stream is kept, whatever the limit.
const LAST_BYTES: usize = 32 << 10;

/// A program to run, with everything that it may see.
#[derive(Clone)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    inherit: Vec<OsString>,
    dir: Option<PathBuf>,
    stdin: Vec<u8>,
    output_limit: usize,
    deadline: Duration,
    grace: Duration,
}

/// What a finished child left behind. A non-zero exit is an `Output` too.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Standard output, up to the limit.
    pub stdout: Captured,
    /// Standard error, up to the limit.
    pub stderr: Captured,
    /// From spawn to exit.
    pub took: Duration,
}

/// How a child ended: by itself with a code, or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal number, if a signal ended it.
    pub signal: Option<i32>,
}

impl Status {
    /// Whether the child exited with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self.code == Some(0)
    }

    pub(crate) fn of(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        Self { code: status.code(), signal: status.signal() }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("an unknown status"),
        }
    }
}

/// The kept beginning of an output stream, and its very end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// At most the limit's number of bytes.
    pub bytes: Vec<u8>,
    /// Whether more came than was kept.
    pub truncated: bool,
    /// The last bytes, where more came than was kept.
    last: Vec<u8>,
}

impl Captured {
    /// The text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// All of a stream.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes, truncated: false, last: Vec::new() }
    }

    /// The end of the text; more of it than is told, so that what must not be told can be found first.
    pub(crate) fn end(&self) -> String {
        let end = if self.truncated { &self.last } else { &self.bytes };
        String::from_utf8_lossy(&end[end.len().saturating_sub(LAST_BYTES)..]).into_owned()
    }

    /// The last two kilobytes of the text, trimmed: what an error message quotes.
    #[must_use]
    pub fn tail(&self) -> String {
        let end = if self.truncated { &self.last } else { &self.bytes };
        let from = end.len().saturating_sub(STDERR_TAIL);
        let mut tail = &end[from..];
        // A line that is cut may be half a secret, which nobody would know again.
        let cut = tail.iter().position(|byte| *byte == b'\n').map(|end| &tail[end + 1..]);
        if from > 0
            && let Some(whole_lines) = cut.filter(|lines| !lines.is_empty())
        {
            tail = whole_lines;
        }
        String::from_utf8_lossy(tail).trim().to_owned()
    }

    fn take(&mut self, chunk: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.truncated |= chunk.len() > room;
        self.last.extend_from_slice(&chunk[chunk.len().saturating_sub(LAST_BYTES)..]);
        let excess = self.last.len().saturating_sub(LAST_BYTES);
        self.last.drain(..excess);
    }
}

/// Why a child gave no [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No such program.
    #[error("program `{program}` was not found; install it or give its full path")]
    NotFound {
        /// The program as named.
        program: String,
    },
    /// The operating system refused to start it.
    #[error("cannot start `{program}` in `{dir}`")]
    Spawn {
        /// The program as named.
        program: String,
        /// The working directory it was to run in.
        dir: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The caller cancelled; the child was stopped.
    #[error("`{program}` was stopped because its run was cancelled: {stderr}")]
    Cancelled {
        /// The program as named.
        program: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// It took longer than allowed; the child was stopped.
    #[error(
        "`{program}` was stopped after its deadline of {deadline:?}; raise the deadline or find what it waits for: {stderr}"
    )]
    DeadlineExceeded {
        /// The program as named.
        program: String,
        /// The deadline.
        deadline: Duration,
        /// The end of its standard error.
        stderr: String,
    },
    /// Waiting for it failed.
    #[error("lost track of `{program}`")]
    Wait {
        /// The program as named.
        program: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
}

impl Command {
    /// A command without arguments and with an empty environment. The program is looked up in this
    /// process's `PATH` if it has no slash.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            inherit: Vec::new(),
            dir: None,
            stdin: Vec::new(),
            output_limit: OUTPUT_LIMIT_DEFAULT,
            deadline: DEADLINE_DEFAULT,
            grace: GRACE_DEFAULT,
        }
    }

    /// Adds one argument. Secrets do not belong here: every user of the host can read arguments.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments in order.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets environment variables of the child.
    #[must_use]
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.env.extend(vars.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Passes one of this process's own variables on, if it is set. [`Command::env`] wins over it.
    #[must_use]
    pub fn inherit(mut self, name: impl Into<OsString>) -> Self {
        self.inherit.push(name.into());
        self
    }

    /// Runs the child in `dir`.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Feeds `bytes` to standard input, which is otherwise empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Keeps at most `bytes` of each output stream.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Stops the child when it runs longer than this.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Waits this long after each of the two `SIGINT`s before the next step of stopping.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The program as named.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Its arguments.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// What it reads from standard input.
    pub(crate) fn input(&self) -> &[u8] {
        &self.stdin
    }

    /// The directory that it runs in, if it is not this process's own.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The same child as a standard-library command, for a caller that must talk to it while it runs, such
    /// as a transport over `ssh`. Limits, deadline and stopping are then the caller's duty. The thread that
    /// spawns it must outlive it: the parent-death signal is bound to that thread.
    #[must_use]
    pub fn to_std(&self) -> std::process::Command {
        self.std_with(Isolation::DiesWithParent)
    }

    /// Another program with the same environment and directory.
    pub(crate) fn re_executed(
        mut self,
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = OsString>,
    ) -> Self {
        self.program = program.into();
        self.args = args.into_iter().collect();
        self
    }

    /// Starts a child that leads its own session and outlives this process. Standard output is piped, standard
    /// error goes to `log`.
    pub(crate) fn spawn_detached(
        &self,
        log: std::fs::File,
    ) -> std::io::Result<tokio::process::Child> {
        let mut command = tokio::process::Command::from(self.std_with(Isolation::OwnSession));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()
    }

    fn std_with(&self, isolation: Isolation) -> std::process::Command {
        let mut std = std::process::Command::new(&self.program);
        std.args(&self.args).env_clear();
        for name in &self.inherit {
            if let Some(value) = std::env::var_os(name) {
                std.env(name, value);
            }
        }
        std.envs(&self.env);
        if let Some(dir) = &self.dir {
            std.current_dir(dir);
        }
        preexec::isolate(&mut std, isolation);
        std
    }

    /// Runs the child to its end, or stops it at the deadline or when `cancel` fires.
    ///
    /// # Errors
    /// [`ProcessError`]; a non-zero exit is not an error here.
    pub async fn run(mut self, cancel: &CancellationToken) -> Result<Output, ProcessError> {
        let started = Instant::now();
        let mut child = Child::spawn(&self).await?;
        let (mut stdout, mut stderr) = (Captured::default(), Captured::default());
        let (out_pipe, err_pipe, in_pipe) = child.take_pipes();
        let input = std::mem::take(&mut self.stdin);
        let ended = {
            let drained = async {
                tokio::join!(
                    drain(out_pipe, self.output_limit, &mut stdout),
                    drain(err_pipe, self.output_limit, &mut stderr),
                );
            };
            let streams = async { tokio::join!(drained, feed(in_pipe, input)) };
            tokio::pin!(streams);
            let exit = child.wait_or_stop(self.deadline, self.grace, cancel);
            let (ended, streams_done) = exit_while(exit, &mut streams).await;
            child.kill_group();
            // A process that left the group may hold the pipes for ever; what came so far is kept.
            if !streams_done && tokio::time::timeout(DRAIN_AFTER_EXIT, streams).await.is_err() {
                tracing::debug!(program = %self.name(), "output pipes stayed open after the exit");
            }
            ended
        };
        self.conclude(ended, stdout, stderr, started.elapsed())
    }

    fn conclude(
        &self,
        ended: child::Ended,
        stdout: Captured,
        stderr: Captured,
        took: Duration,
    ) -> Result<Output, ProcessError> {
        match ended {
            child::Ended::Exited(status) => Ok(Output { status, stdout, stderr, took }),
            child::Ended::Cancelled => {
                Err(ProcessError::Cancelled { program: self.name(), stderr: stderr.tail() })
            }
            child::Ended::Overdue => Err(ProcessError::DeadlineExceeded {
                program: self.name(),
                deadline: self.deadline,
                stderr: stderr.tail(),
            }),
            child::Ended::Lost(source) => Err(ProcessError::Wait { program: self.name(), source }),
        }
    }

    fn name(&self) -> String {
        Path::new(&self.program).display().to_string()
    }

    fn dir_name(&self) -> String {
        self.dir.as_deref().unwrap_or(Path::new(".")).display().to_string()
    }
}

/// Shows the names of the variables only: values may be secrets.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("inherit", &self.inherit)
            .field("dir", &self.dir)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Drives `streams` until `exit` is there; tells whether the streams came to their end too.
async fn exit_while<E>(exit: impl Future<Output = E>, streams: impl Future) -> (E, bool) {
    tokio::pin!(exit, streams);
    tokio::select! {
        ended = &mut exit => (ended, false),
        _ = &mut streams => (exit.await, true),
    }
}

/// Reads to the end, keeps the first `limit` bytes and the last few.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, limit: usize, into: &mut Captured) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 16 << 10];
    // A read error ends the capture like an end of file: the exit status tells what matters.
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        into.take(&chunk[..count], limit);
    }
}

/// Writes all input and closes the pipe. A child that does not read its input is not an error.
async fn feed(pipe: Option<tokio::process::ChildStdin>, input: Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    if let Err(error) = pipe.write_all(&input).await {
        tracing::debug!(%error, "the child closed its input early");
    }
}
