//! What the shim leaves in a run directory, and how a process is known again.
//!
//! A process id alone may belong to somebody else by now. With its start time, and the id of the boot that
//! the start time counts from, it names one process for ever.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) const SPEC: &str = "spec.json";
pub(super) const SHIM: &str = "shim.json";
pub(super) const CHILD: &str = "child.json";
pub(super) const EXIT: &str = "exit.json";
pub(super) const STDOUT: &str = "stdout.jsonl";
pub(super) const STDERR: &str = "stderr.log";
pub(super) const SHIM_LOG: &str = "shim.log";

const RECORD_MAX_BYTES: u64 = 1 << 20;

/// What the shim is to run. The environment is inherited, so that no secret is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) program: PathBuf,
    pub(super) args: Vec<PathBuf>,
    pub(super) dir: PathBuf,
    /// What it reads from its standard input, and where its sandbox reports the end; absent: it is the tool
    /// itself.
    #[serde(default)]
    pub(super) contained: Option<Contained>,
}

/// A tool in a sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Contained {
    /// What the sandbox is to be.
    pub(super) order: String,
    /// The report.
    pub(super) report: PathBuf,
}

/// One process of one boot of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// In clock ticks since boot: field 22 of `/proc/PID/stat`, see `proc_pid_stat(5)`.
    start_time: u64,
    boot_id: String,
}

/// How the tool ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exit {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) at: jiff::Timestamp,
    /// Why it did not start, if it did not.
    pub(super) error: Option<String>,
}

/// A line of `/proc/PID/stat`.
struct Stat {
    state: char,
    session: i32,
    start_time: u64,
}

impl ProcessId {
    /// The process with this number at this moment, if there is one that still runs.
    pub(crate) fn of(pid: i32) -> std::io::Result<Option<Self>> {
        let boot_id = boot_id()?;
        Ok(stat(pid).filter(Stat::runs).map(|stat| Self {
            pid,
            start_time: stat.start_time,
            boot_id,
        }))
    }

    pub(crate) fn is_alive(&self) -> std::io::Result<bool> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }

    /// The running processes of the session that this process leads or led, itself included. While one of
    /// them runs, the kernel gives the number to no other process.
    pub(super) fn session_members(&self) -> std::io::Result<Vec<i32>> {
        if boot_id()? != self.boot_id {
            return Ok(Vec::new());
        }
        let mut members = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let ours = |stat: &Stat| {
                stat.runs() && stat.session == self.pid && stat.start_time >= self.start_time
            };
            if stat(pid).as_ref().is_some_and(ours) {
                members.push(pid);
            }
        }
        Ok(members)
    }
}

impl Stat {
    /// A zombie has ended; only its parent has not looked yet.
    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Reads a record; `None` if it is not there (yet).
pub(super) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> std::io::Result<Option<T>> {
    let file = match File::open(dir.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(RECORD_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Writes a record: seen whole or not at all, also after a crash.
pub(super) fn write(dir: &Path, name: &str, record: &impl Serialize) -> std::io::Result<()> {
    let fd = open_dir(dir)?;
    let mode = Mode::RUSR | Mode::WUSR;
    crate::workdir::write_atomic(fd, Path::new(name), &serde_json::to_vec(record)?, mode)
}

/// Writes a record that must be the first of its name. Of several writers one gets `true`.
pub(super) fn claim(dir: &Path, name: &str, record: &impl Serialize) -> std::io::Result<bool> {
    let temporary = format!("{name}.{}", std::process::id());
    write(dir, &temporary, record)?;
    // A hard link fails if the name is taken, and shows the whole content at once.
    let linked = std::fs::hard_link(dir.join(&temporary), dir.join(name));
    std::fs::remove_file(dir.join(&temporary))?;
    rustix::fs::fsync(open_dir(dir)?)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_dir(dir: &Path) -> std::io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::empty())?)
}

pub(super) fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, field 2, stands in parentheses and may hold anything; counting starts after it.
fn parse_stat(line: &str) -> Option<Stat> {
    let mut fields = line[line.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Stat { state, session, start_time })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let line = "42 (a) b (c) S 1 40 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.session, stat.start_time), ('S', 41, 987_654));
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let me = ProcessId::of(std::process::id().cast_signed()).unwrap().unwrap();
        assert!(me.is_alive().unwrap());
        assert!(!ProcessId { start_time: me.start_time + 1, ..me.clone() }.is_alive().unwrap());
        assert!(!ProcessId { boot_id: "other".to_owned(), ..me }.is_alive().unwrap());
    }

    #[test]
    fn only_the_first_claim_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(claim(dir.path(), "c", &1).unwrap());
        assert!(!claim(dir.path(), "c", &2).unwrap());
        assert_eq!(read::<i32>(dir.path(), "c").unwrap(), Some(1));
        assert_eq!(read::<i32>(dir.path(), "d").unwrap(), None);
    }
}
