//! The process between the daemon and an apply, so that neither the daemon's death nor its upgrade ends it.
//!
//! The shim leads a session of its own, ignores the signals that would end it politely, and does five
//! things: claim the run directory, start the tool, record who runs, wait, write down the end. The tool dies
//! with the shim (parent-death signal), so a run directory without an exit record whose shim is gone means
//! that nothing goes on. It is the daemon's own program under another first argument and starts no run time.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use super::record::{self, Contained, Exit, ProcessId, Spec};
use crate::process::{Command, Status, ignore_polite_signals};
use crate::sandbox::conclude;

/// The first argument by which a program knows that it is to be the shim.
pub const ARGUMENT: &str = "infra-shim";

/// What the shim says when the run is its own.
pub(super) const CLAIMED: &str = "claimed";
/// What it says when another shim was first.
pub(super) const TAKEN: &str = "taken";

/// The program to start as the shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    pub(crate) program: PathBuf,
}

impl Shim {
    /// This program, by the file that runs, even if another has its name by now. Its `main` must call
    /// [`shim_main`] when the first argument is [`ARGUMENT`], before it starts any thread.
    #[must_use]
    pub fn current() -> Self {
        Self { program: PathBuf::from("/proc/self/exe") }
    }

    /// Another program whose `main` does the same.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }
}

/// Is the shim: `args` are the arguments after [`ARGUMENT`]. To be called on the main thread of a process
/// that has no other.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(run_dir) = args.into_iter().next().map(PathBuf::from) else {
        eprintln!("usage: {ARGUMENT} RUN_DIRECTORY (started by the daemon, not by hand)");
        return ExitCode::from(2);
    };
    match supervise(&run_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("infra shim of {}: {error}", run_dir.display());
            ExitCode::FAILURE
        }
    }
}

fn supervise(run_dir: &Path) -> std::io::Result<()> {
    ignore_polite_signals()?;
    let spec: Spec = record::read(run_dir, record::SPEC)?
        .ok_or_else(|| std::io::Error::other("the run directory holds no specification"))?;
    let me = ProcessId::of(std::process::id().cast_signed())?
        .ok_or_else(|| std::io::Error::other("/proc does not show this process"))?;
    if !record::claim(run_dir, record::SHIM, &me)? {
        return say(TAKEN);
    }
    // The daemon may be gone already; the run is ours all the same.
    say(CLAIMED).ok();
    let exit = run(run_dir, &spec).unwrap_or_else(|error| Exit {
        code: None,
        signal: None,
        at: jiff::Timestamp::now(),
        error: Some(error.to_string()),
    });
    record::write(run_dir, record::EXIT, &exit)
}

/// Runs the tool to its end. An error means that it did not start.
fn run(run_dir: &Path, spec: &Spec) -> std::io::Result<Exit> {
    let stdout = File::create_new(run_dir.join(record::STDOUT))?;
    let stderr = File::create_new(run_dir.join(record::STDERR))?;
    let mut command = Command::new(&spec.program)
        .args(&spec.args)
        .current_dir(&spec.dir)
        .envs(std::env::vars_os())
        .to_std();
    let input = if spec.contained.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(input).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn()?;
    if let (Some(contained), Some(mut stdin)) = (&spec.contained, child.stdin.take())
        && let Err(error) = stdin.write_all(contained.order.as_bytes())
    {
        // One that does not read it ends, and nothing has begun.
        eprintln!("cannot tell the sandbox what to run: {error}");
    }
    if let Some(id) = ProcessId::of(child.id().cast_signed())?
        && let Err(error) = record::write(run_dir, record::CHILD, &id)
    {
        // Without the record nobody can interrupt it, but it must not be cut off for that.
        eprintln!("cannot record the process: {error}");
    }
    let mut status = Status::of(child.wait()?);
    if let Some(Contained { report, .. }) = &spec.contained {
        status = match conclude(report, "the tool") {
            Ok(status) => status,
            Err(error) if error.is_before_the_start() => return Err(std::io::Error::other(error)),
            // It had begun, and was killed.
            Err(error) => {
                writeln!(&stderr, "{error}")?;
                Status { code: None, signal: Some(libc::SIGKILL) }
            }
        };
    }
    for log in [stdout, stderr] {
        if let Err(error) = log.sync_all() {
            eprintln!("cannot sync a log: {error}");
        }
    }
    let Status { code, signal } = status;
    Ok(Exit { code, signal, at: jiff::Timestamp::now(), error: None })
}

fn say(word: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{word}")?;
    stdout.flush()
}
