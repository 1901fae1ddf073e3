//! The first process of the namespaces: builds what the program sees, gives up every right, starts the program
//! and looks after it.
//!
//! Whatever the program leaves behind ends with this process.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{Gid, Uid};

use super::outer::{INSIDE, tell};
use super::spec::{Beyond, Excess, Network, NotMade, Report, Spec, Stage};
use super::view::View;
use super::watch::Watch;
use super::{channel, egress, kernel, loopback, wall};
use crate::process::{Command, Status, taken_up};

/// Is the first process; does not come back.
pub(super) fn run(spec: &Spec, mut outside: UnixStream, mut report: File) -> ! {
    let ended = enter(spec, &mut outside).map_or_else(Report::NotMade, |()| carry_out(spec));
    let code = match &ended {
        Report::Ended { code: Some(code), .. } => *code,
        Report::Ended { signal: Some(signal), .. } => 128 + signal,
        Report::Ended { .. } | Report::Exceeded { .. } | Report::Lost => 137,
        Report::NotStarted { .. } | Report::NotMade(_) => 126,
    };
    if let Err(error) = tell(&mut report, &ended) {
        eprintln!("sandbox: the end cannot be reported: {error}");
    }
    std::process::exit(code)
}

/// Everything up to the point at which no right is left.
fn enter(spec: &Spec, outside: &mut UnixStream) -> Result<(), NotMade> {
    told(outside).map_err(Stage::Identity.failed())?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Stage::Namespaces.failed()(error.into()))?;
    // Signals for the group of the outer process come through it.
    rustix::process::setpgid(None, None)
        .map_err(|error| Stage::Namespaces.failed()(error.into()))?;
    kernel::forget_keys().map_err(Stage::Walls.failed())?;
    // Where the file is not writable, nested namespaces stay possible; they give no right outside.
    std::fs::write("/proc/sys/user/max_user_namespaces", "0").ok();
    reach(spec, outside).map_err(Stage::Network.failed())?;
    let view = View::open(spec).map_err(Stage::Files.failed())?;
    become_nobody(spec).map_err(Stage::Identity.failed())?;
    view.enter(spec).map_err(Stage::Files.failed())?;
    limit(spec).map_err(Stage::Limits.failed())?;
    wall::give_up_rights(spec).map_err(|message| NotMade { stage: Stage::Walls, message })?;
    let mut alone = || -> io::Result<()> {
        // Changing the user has forgotten it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        outside.set_nonblocking(true)?;
        match outside.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(_) => Err(io::Error::other("whoever started it is gone")),
            Err(error) => Err(error),
        }
    };
    alone().map_err(Stage::Walls.failed())
}

fn told(outside: &mut UnixStream) -> io::Result<()> {
    outside.read_exact(&mut [0])
}

fn reach(spec: &Spec, outside: &mut UnixStream) -> io::Result<()> {
    rustix::system::sethostname(b"sandbox")?;
    match &spec.network {
        Network::Host => Ok(()),
        Network::None => loopback::up(),
        Network::Egress(_) => {
            loopback::up()?;
            let listener = std::net::TcpListener::bind(egress::ADDRESS)?;
            channel::send(outside, &listener.into())?;
            told(outside)
        }
    }
}

/// From the user of the outer process to the one that is known inside. The capabilities over these namespaces
/// stay until the view is built, and are dropped before the program starts: neither user is root.
fn become_nobody(spec: &Spec) -> io::Result<()> {
    if spec.identity.is_some() {
        let (uid, gid) = (Uid::from_raw(INSIDE), Gid::from_raw(INSIDE));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    Ok(())
}

fn limit(spec: &Spec) -> io::Result<()> {
    let limits = &spec.limits;
    // This process is one, too.
    let processes = limits.processes.saturating_add(1);
    for (resource, most) in [
        (Resource::Nproc, processes),
        (Resource::Fsize, limits.disk),
        (Resource::Data, limits.memory),
        (Resource::Nofile, limits.open_files),
        (Resource::Core, 0),
    ] {
        // Not above what the daemon itself has.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |max| max.min(most));
        let both = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(resource, both)?;
    }
    Ok(())
}

/// The program, from its start to its end.
fn carry_out(spec: &Spec) -> Report {
    let watch = match Watch::new(spec) {
        Ok(watch) => watch,
        Err(error) => return Report::NotMade(Stage::Limits.failed()(error)),
    };
    let program = match start(spec) {
        Ok(program) => program,
        Err(error) => {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            return Report::NotStarted { message: error.to_string(), is_missing };
        }
    };
    look_after(spec, program, watch).unwrap_or_else(|error| {
        eprintln!("sandbox: the program is out of sight: {error}");
        Report::Lost
    })
}

/// It leads a group of its own, and its signals are as usual.
fn start(spec: &Spec) -> io::Result<Pid> {
    let mut command = Command::new(&spec.program)
        .args(&spec.args)
        .current_dir(&spec.dir)
        .envs(taken_up())
        .to_std();
    command.stdin(Stdio::null());
    command.arg0(&spec.program);
    let child = command.spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("no process"))
}

fn look_after(spec: &Spec, program: Pid, mut watch: Watch) -> io::Result<Report> {
    let mut asked: Option<Excess> = None;
    loop {
        let signal = kernel::next_signal(watch.due())?;
        if let Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP) = signal {
            interrupt(program)?;
        }
        let ended = reap(program)?;
        // Once more at the end: what it left is there.
        let excess = if ended.is_some() || watch.due().is_zero() { watch.look() } else { None };
        match (excess, spec.limits.beyond) {
            (Some((excess, _)), Beyond::End) => return Ok(exceeded(spec, excess)),
            (Some((excess, factor)), Beyond::AskFirst) if factor >= 2 => {
                return Ok(exceeded(spec, excess));
            }
            (Some((excess, _)), Beyond::AskFirst) if asked.is_none() => {
                asked = Some(excess);
                interrupt(program)?;
            }
            (Some(_), Beyond::AskFirst) | (None, _) => {}
        }
        if let Some(Status { code, signal }) = ended {
            return Ok(Report::Ended { code, signal });
        }
    }
}

fn exceeded(spec: &Spec, excess: Excess) -> Report {
    let limit = match excess {
        Excess::Memory => spec.limits.memory,
        Excess::Disk => spec.limits.disk,
    };
    Report::Exceeded { excess, limit }
}

fn interrupt(program: Pid) -> io::Result<()> {
    match rustix::process::kill_process(program, Signal::INT) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the end of whatever has ended; that of the program if it has.
fn reap(program: Pid) -> io::Result<Option<Status>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => {
                let signal = status.terminating_signal();
                return Ok(Some(Status { code: status.exit_status(), signal }));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(rustix::io::Errno::CHILD) => return Err(io::Error::other("the program is gone")),
            Err(error) => return Err(error.into()),
        }
    }
}
