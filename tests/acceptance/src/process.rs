//! Children: started in groups of their own, gone with their guard or with this process.
//!
//! A guard that is dropped kills the whole group. Where no guard is dropped, because this process
//! is killed, the kernel kills the child: it is started by `setpriv --pdeathsig`. That signal comes
//! when the *thread* that started the child ends, so one thread that never ends starts them all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::{At as _, Failure, Outcome};

/// How long a killed child may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How long a server may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// Other ports that are tried when somebody else was faster.
const PORTS_TRIED: u32 = 5;
/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 60;

/// The program of this name on the `PATH`.
///
/// # Errors
/// There is none; the message names the Debian package.
pub fn program(name: &str) -> Outcome<PathBuf> {
    find(name).ok_or_else(|| {
        let package = match name {
            "git" | "docker-registry" | "prometheus" => format!("; install it: apt install {name}"),
            _ => String::new(),
        };
        Failure::new(format!("{name} is not on the PATH{package}"))
    })
}

/// The program of this name on the `PATH`, if there is one.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// One of our own binaries: in `LOCKSTEP_BIN_DIR`, else beside this program.
///
/// # Errors
/// It is not built.
pub fn binary(name: &str) -> Outcome<PathBuf> {
    let dirs = match std::env::var_os("LOCKSTEP_BIN_DIR") {
        Some(dir) => vec![PathBuf::from(dir)],
        None => {
            let own = std::env::current_exe().at("the path of this program")?;
            own.ancestors().skip(1).take(2).map(Path::to_owned).collect()
        }
    };
    let found = dirs.iter().map(|dir| dir.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure::new(format!("{name} is not built; build it: cargo build --workspace --bins"))
    })
}

/// A port of loopback that was free a moment ago.
///
/// # Errors
/// There is none.
pub fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).at("asking for a free port")?;
    Ok(listener.local_addr().at("asking for a free port")?.port())
}

/// A temporary folder with a name that tells what is in it.
///
/// # Errors
/// It cannot be made.
pub fn folder(what: &str) -> Outcome<TempDir> {
    let made = tempfile::Builder::new().prefix(&format!("{what}-")).tempdir();
    made.at(format_args!("a folder for {what}"))
}

/// The same for programs that run as any user.
///
/// # Errors
/// It cannot be made.
pub fn open_folder(what: &str) -> Outcome<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let made = folder(what)?;
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(made.path(), all).at(format_args!("a folder for {what}"))?;
    Ok(made)
}

/// What a program that ran to its end did.
#[derive(Debug, Clone)]
pub struct Run {
    /// The command line, for people.
    pub command: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// Itself, if it ended well.
    ///
    /// # Errors
    /// It did not; with everything that it said.
    pub fn ok(self) -> Outcome<Self> {
        self.ended_with(0)
    }

    /// Itself, if it ended with this exit code.
    ///
    /// # Errors
    /// It did not; with everything that it said.
    pub fn ended_with(self, code: i32) -> Outcome<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let ended = self.code.map_or("by a signal".to_owned(), |code| format!("with {code}"));
        let failure = Failure::new(format!("`{}` ended {ended}, not with {code}", self.command));
        Err(failure.with("stdout", &self.stdout).with("stderr", &self.stderr))
    }

    /// Both streams, stdout first.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end, without input. At the deadline its group is killed.
///
/// # Errors
/// It does not start, or does not end in time. An exit code is no error here.
pub async fn run(command: &Command, deadline: Duration) -> Outcome<Run> {
    let name = shown(command);
    let dir = folder("output")?;
    let (stdout, stderr) = (dir.path().join("stdout"), dir.path().join("stderr"));
    let began = Instant::now();
    let mut process = Process::start(command, &stdout, &stderr).await?;
    let ended = tokio::time::timeout(deadline, process.child.wait()).await;
    let read =
        |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let (stdout, stderr) = (read(&stdout), read(&stderr));
    let Ok(status) = ended else {
        let text = format!("`{name}` did not end within {:.0} s", deadline.as_secs_f64());
        return Err(Failure::new(text).with("stdout", &stdout).with("stderr", &stderr));
    };
    let code = status.at(&name)?.code();
    Ok(Run { command: name, code, stdout, stderr, took: began.elapsed() })
}

/// A running child and everything in its group; dropping it kills them.
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
    /// Whether dropping it kills its group.
    guarded: bool,
}

impl Process {
    /// Starts a program that writes its log to a file, which is appended to.
    ///
    /// # Errors
    /// It does not start.
    pub async fn logged(command: &Command, log: &Path) -> Outcome<Self> {
        Self::start(command, log, log).await
    }

    /// Starts a server on a free port of loopback and waits until it accepts connections.
    ///
    /// # Errors
    /// It ends before, or does not listen in time; with its log.
    pub async fn listening(
        log: &Path,
        mut command: impl FnMut(u16) -> Outcome<Command>,
    ) -> Outcome<(Self, u16)> {
        let mut tries = 1;
        loop {
            let port = free_port()?;
            let mut process = Self::logged(&command(port)?, log).await?;
            match process.accepts(port).await {
                Ok(()) => return Ok((process, port)),
                Err(_)
                    if tries < PORTS_TRIED && process.log().contains("address already in use") =>
                {
                    tries += 1;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn start(command: &Command, stdout: &Path, stderr: &Path) -> Outcome<Self> {
        let name = shown(command);
        let open = |path: &Path| -> Outcome<Stdio> {
            let file = File::options().create(true).append(true).open(path);
            Ok(file.at(path.display())?.into())
        };
        let mut tethered = tethered(command)?;
        tethered.stdin(Stdio::null()).stdout(open(stdout)?).stderr(open(stderr)?);
        let child = spawn(tethered).await.at(format_args!("starting `{name}`"))?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = id.ok_or_else(|| Failure::new(format!("`{name}` ended at once")))?;
        Ok(Self { name, child, group, log: stderr.to_owned(), guarded: true })
    }

    async fn accepts(&mut self, port: u16) -> Outcome {
        let began = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            self.check_running()?;
            if began.elapsed() > LISTENS_WITHIN {
                let text = format!("`{}` does not listen on port {port}", self.name);
                return Err(Failure::new(text).with("its log", &self.log_tail()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Its number, which is that of its group, too.
    #[must_use]
    pub fn id(&self) -> Pid {
        self.group
    }

    /// Nothing, while it runs.
    ///
    /// # Errors
    /// It has ended; with the end of its log.
    pub fn check_running(&mut self) -> Outcome {
        match self.child.try_wait().at(&self.name)? {
            None => Ok(()),
            Some(status) => {
                let text = format!("`{}` ended: {status}", self.name);
                Err(Failure::new(text).with("its log", &self.log_tail()))
            }
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It does not within `deadline`; with the end of its log.
    pub async fn ended(&mut self, deadline: Duration) -> Outcome<ExitStatus> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(status) => status.at(&self.name),
            Err(_) => {
                let text = format!("`{}` still runs after {deadline:?}", self.name);
                Err(Failure::new(text).with("its log", &self.log_tail()))
            }
        }
    }

    /// Sends SIGTERM and waits until it is gone.
    ///
    /// # Errors
    /// It is not within `deadline`; with the end of its log.
    pub async fn terminate(&mut self, deadline: Duration) -> Outcome<ExitStatus> {
        if self.child.id().is_some() {
            rustix::process::kill_process(self.group, Signal::TERM).at(&self.name)?;
        }
        self.ended(deadline).await
    }

    /// `kill -9` of this one process, and nothing else.
    ///
    /// # Errors
    /// It is not gone in time.
    pub async fn kill(&mut self) -> Outcome<ExitStatus> {
        if self.child.id().is_some() {
            rustix::process::kill_process(self.group, Signal::KILL).at(&self.name)?;
        }
        self.ended(GONE_WITHIN).await
    }

    /// Lets go of it: what is still in its group lives on.
    pub fn forget(mut self) {
        self.guarded = false;
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.guarded {
            return;
        }
        // The group outlives its leader where a grandchild is still there.
        let _gone = rustix::process::kill_process_group(self.group, Signal::KILL);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < GONE_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The last lines of a log.
#[must_use]
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The processes whose command line or working directory is in `dir`.
#[must_use]
pub fn in_folder(dir: &Path) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let inside = |entry: fs::DirEntry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let of_it = line.contains(&*dir.to_string_lossy()) || cwd.starts_with(dir);
        (of_it && id != std::process::id().cast_signed()).then_some((id, line))
    };
    entries.filter_map(inside).collect()
}

/// Kills what left its group on purpose and still works in `dir`.
pub(crate) fn kill_in_folder(dir: &Path) {
    for (id, _) in in_folder(dir) {
        if let Some(id) = Pid::from_raw(id) {
            let _gone = rustix::process::kill_process(id, Signal::KILL);
        }
    }
}

fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The same command, in a group of its own and killed when this process ends.
fn tethered(command: &Command) -> Outcome<Command> {
    use std::os::unix::process::CommandExt as _;
    let mut tethered = Command::new(program("setpriv")?);
    tethered.args(["--pdeathsig", "KILL", "--"]);
    tethered.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tethered.env(name, value),
            None => tethered.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        tethered.current_dir(dir);
    }
    tethered.process_group(0);
    Ok(tethered)
}

struct Order {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

async fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for Order { command, runtime, reply } in taken {
                let _within = runtime.enter();
                let child = tokio::process::Command::from(command).spawn();
                // Who waits no longer gets no child: dropping it here leaves it to the group's end.
                drop(reply.send(child));
            }
        });
        orders
    });
    let (reply, spawned) = oneshot::channel();
    let order = Order { command, runtime: Handle::current(), reply };
    spawner.send(order).expect("the spawner never ends");
    spawned.await.expect("the spawner answers every order")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_run_has_both_streams_and_the_code() -> Outcome {
        let run = run(&shell("echo out; echo err >&2; exit 3"), Duration::from_secs(60)).await?;
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str(), run.code),
            ("out\n", "err\n", Some(3))
        );
        let text = run.ok().map_err(|failure| failure.to_string());
        let expected = "`sh -c echo out; echo err >&2; exit 3` ended with 3, not with 0\n\
                        --- stdout ---\nout\n--- stderr ---\nerr";
        assert_eq!(text.err().as_deref(), Some(expected));
        Ok(())
    }

    #[tokio::test]
    async fn a_dropped_child_takes_its_children_along() -> Outcome {
        let dir = tempfile::tempdir().at("a folder")?;
        let (log, started) = (dir.path().join("log"), dir.path().join("started"));
        let script = format!("cd {0}; sleep 600 & touch started; wait", dir.path().display());
        let process = Process::logged(&shell(&script), &log).await?;
        crate::wait::eventually(Duration::from_secs(60), "both run", async || {
            let both = in_folder(dir.path()).len() >= 2;
            if started.exists() && both { Ok(()) } else { Err(Failure::new("not yet")) }
        })
        .await?;
        drop(process);
        crate::wait::eventually(Duration::from_secs(60), "both are gone", async || {
            let left = in_folder(dir.path());
            if left.is_empty() { Ok(()) } else { Err(Failure::new(format!("{left:?}"))) }
        })
        .await
    }
}
