//! The outer process of a sandbox: stays outside, makes the namespaces, says who is who in them, and carries
//! signals in and the end out.
//!
//! It has one thread and does nothing while the program runs. When it dies, the first process of the namespaces
//! is killed, and the kernel ends all others with it.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};

use super::egress::Proxy;
use super::kernel::{self, Cloned};
use super::lend::lend;
use super::spec::{Network, NotMade, Report, Spec, Stage};
use super::{channel, inner};

/// The first argument by which a program knows that it is to be a sandbox.
pub const ARGUMENT: &str = "sandbox";

/// Largest specification.
const SPEC_MAX_BYTES: u64 = 16 << 20;
/// The user that the program is inside.
pub(super) const INSIDE: u32 = 1000;
/// How long the outer process sleeps at most.
const SLEEP: Duration = Duration::from_secs(3600);
/// Namespaces that every sandbox has of its own.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Is the sandbox: reads from standard input what to run, and how. To be called on the main thread of a process
/// that has no other, for the first argument [`ARGUMENT`]; `args` are those after it.
pub fn sandbox_main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    match args.next() {
        None => {}
        Some(first) if first == super::egress::ARGUMENT => return super::egress::proxy_main(args),
        Some(_) => {
            eprintln!("usage: {ARGUMENT} (started by the daemon, not by hand)");
            return ExitCode::from(2);
        }
    }
    if let Err(error) = kernel::close_inherited() {
        eprintln!("sandbox: what was left open cannot be closed: {error}");
        return ExitCode::from(2);
    }
    let spec = match read_spec() {
        Ok(spec) => spec,
        Err(error) => {
            eprintln!("sandbox: cannot read what to run: {error}");
            return ExitCode::from(2);
        }
    };
    match supervise(&spec) {
        Ok(code) => code,
        Err(not_made) => {
            let report = Report::NotMade(not_made);
            if let Err(error) = create_report(&spec).and_then(|mut file| tell(&mut file, &report)) {
                eprintln!("sandbox: {report:?}, and that cannot be reported: {error}");
            }
            ExitCode::from(126)
        }
    }
}

pub(super) fn tell(file: &mut std::fs::File, report: &Report) -> io::Result<()> {
    file.write_all(&serde_json::to_vec(report)?)
}

fn create_report(spec: &Spec) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(&spec.report)
}

fn read_spec() -> io::Result<Spec> {
    let mut text = Vec::new();
    io::stdin().lock().take(SPEC_MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn supervise(spec: &Spec) -> Result<ExitCode, NotMade> {
    let report = create_report(spec).map_err(Stage::Order.failed())?;
    if let Some(identity) = spec.identity {
        for share in spec.shares.iter().filter(|share| share.lent) {
            lend(&share.path, identity.uid, identity.gid).map_err(Stage::Identity.failed())?;
        }
        rustix::thread::set_thread_groups(&[])
            .map_err(|error| Stage::Identity.failed()(error.into()))?;
    }
    kernel::hold_signals().map_err(Stage::Namespaces.failed())?;
    let (mut here, there) = UnixStream::pair().map_err(Stage::Namespaces.failed())?;
    let network = if spec.network == Network::Host { 0 } else { libc::CLONE_NEWNET };
    let init = match kernel::clone_into(NAMESPACES | network).map_err(Stage::Namespaces.failed())? {
        Cloned::Child => {
            drop(here);
            inner::run(spec, there, report);
        }
        Cloned::Parent(init) => init,
    };
    drop((there, report));
    let proxy = prepare(spec, init, &mut here);
    if let Err(not_made) = proxy {
        // It may have died of the same, and says so first.
        rustix::process::kill_process(init, Signal::KILL).ok();
        wait_for(init).map_err(Stage::Namespaces.failed())?;
        return if is_reported(spec) { Ok(ExitCode::from(126)) } else { Err(not_made) };
    }
    let ended = carry(init);
    drop((proxy, here));
    ended.map_err(Stage::Namespaces.failed())
}

/// Says who is who inside, and serves the proxy once its socket is there.
fn prepare(spec: &Spec, init: Pid, here: &mut UnixStream) -> Result<Option<Proxy>, NotMade> {
    map_ids(spec, init).map_err(Stage::Identity.failed())?;
    here.write_all(&[0]).map_err(Stage::Identity.failed())?;
    let Network::Egress(policy) = &spec.network else { return Ok(None) };
    let proxy = channel::receive(here)
        .and_then(|listener| Proxy::start(listener, policy, spec.identity))
        .map_err(Stage::Network.failed())?;
    here.write_all(&[0]).map_err(Stage::Network.failed())?;
    Ok(Some(proxy))
}

/// One user and one group are inside; all others are nobody there.
fn map_ids(spec: &Spec, init: Pid) -> io::Result<()> {
    let of = |file: &str| format!("/proc/{}/{file}", init.as_raw_nonzero());
    let (uid, gid) = match spec.identity {
        Some(identity) => (identity.uid, identity.gid),
        None => {
            // Without a right over groups only whoever gives up to change them may say who is who.
            std::fs::write(of("setgroups"), "deny")?;
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
        }
    };
    std::fs::write(of("uid_map"), format!("{INSIDE} {uid} 1\n"))?;
    std::fs::write(of("gid_map"), format!("{INSIDE} {gid} 1\n"))
}

/// Hands signals in until the first process of the namespaces has ended; then none of them is left.
fn carry(init: Pid) -> io::Result<ExitCode> {
    loop {
        match kernel::next_signal(SLEEP)? {
            Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP) => {
                rustix::process::kill_process(init, Signal::INT)?;
            }
            Some(_) | None => {
                if let Some(code) = ended(init, WaitOptions::NOHANG)? {
                    return Ok(code);
                }
            }
        }
    }
}

fn wait_for(init: Pid) -> io::Result<()> {
    ended(init, WaitOptions::empty()).map(drop)
}

fn ended(init: Pid, options: WaitOptions) -> io::Result<Option<ExitCode>> {
    let Some((_, status)) = rustix::process::waitpid(Some(init), options)? else { return Ok(None) };
    let code = status.exit_status().unwrap_or(137);
    Ok(Some(ExitCode::from(u8::try_from(code).unwrap_or(1))))
}

fn is_reported(spec: &Spec) -> bool {
    std::fs::metadata(&spec.report).is_ok_and(|report| report.len() > 0)
}
