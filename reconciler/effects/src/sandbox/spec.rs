//! What a contained program may see and use, and how it ended: what the two sides of a sandbox tell each other.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http::EgressPolicy;

/// What one contained program may see and use.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Files and directories of this machine that it sees, beside programs, libraries and certificates. A later
    /// one may lie inside an earlier one.
    pub shares: Vec<Share>,
    /// What it may reach.
    pub network: Network,
    /// How much it may use.
    pub limits: Limits,
    /// A private directory for what the sandbox itself writes down; not among the shares.
    pub notes: PathBuf,
}

/// A file or directory of this machine inside the sandbox, under its own path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its absolute path.
    pub path: PathBuf,
    /// A second path at which it is seen.
    pub also_at: Option<PathBuf>,
    /// What may be done to it.
    pub access: Access,
    /// Whether it is ours, and handed over to the user that the program runs as where that is another.
    pub lent: bool,
}

/// What may be done to a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read and execute.
    Read,
    /// Change, too.
    Write,
}

/// What a contained program may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Itself.
    None,
    /// What the policy opens, over HTTP and HTTPS and through a proxy that the environment names.
    Egress(EgressPolicy),
    /// All that this machine reaches.
    Host,
}

/// How much a contained program may use, with everything that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads at once.
    pub processes: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// What the writable shares may grow by, in bytes; also the largest file.
    pub disk: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// What happens to a program that goes beyond memory or disk.
    pub beyond: Beyond,
}

/// What happens to a program that goes beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// It is ended.
    End,
    /// It is interrupted, and ended at twice the limit: for what must not be cut off.
    AskFirst,
}

/// What was gone beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// The memory of all processes.
    Memory,
    /// What was written.
    Disk,
}

impl Share {
    /// A directory of ours, to read.
    pub fn read(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), also_at: None, access: Access::Read, lent: true }
    }

    /// A directory of ours, to change.
    pub fn write(path: impl Into<PathBuf>) -> Self {
        Self { access: Access::Write, ..Self::read(path) }
    }

    /// Somebody else's, to be used as it is.
    pub fn foreign(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { path: path.into(), also_at: None, access, lent: false }
    }

    /// The same, seen at this path as well.
    #[must_use]
    pub fn at(self, path: impl Into<PathBuf>) -> Self {
        Self { also_at: Some(path.into()), ..self }
    }
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        })
    }
}

/// Who a contained program is outside, where the daemon is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What the outer process of a sandbox reads from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) dir: PathBuf,
    pub(super) shares: Vec<Share>,
    pub(super) network: Network,
    pub(super) limits: Limits,
    /// The user outside; absent: the daemon's own, which has no rights to give up.
    pub(super) identity: Option<Identity>,
    /// Where the report goes.
    pub(super) report: PathBuf,
    /// Time between two looks at what is used.
    pub(super) look: Duration,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program, by itself: exit code, or signal.
    Ended { code: Option<i32>, signal: Option<i32> },
    /// The program, because it went beyond a limit of so many bytes.
    Exceeded { excess: Excess, limit: u64 },
    /// The program ran, and its end was not seen.
    Lost,
    /// The program could not be started.
    NotStarted { message: String, is_missing: bool },
    /// The sandbox could not be made.
    NotMade(NotMade),
}

/// Why there is no sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NotMade {
    pub(super) stage: Stage,
    pub(super) message: String,
}

/// What was being set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// What it is to run, and where.
    Order,
    /// The namespaces.
    Namespaces,
    /// Which user it runs as.
    Identity,
    /// What it sees.
    Files,
    /// What it reaches.
    Network,
    /// What it may use.
    Limits,
    /// Rights, and Landlock.
    Walls,
}

impl Stage {
    pub(super) fn failed(self) -> impl Fn(std::io::Error) -> NotMade {
        move |error| NotMade { stage: self, message: error.to_string() }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Order => "its specification",
            Self::Namespaces => "namespaces",
            Self::Identity => "the unprivileged user",
            Self::Files => "its files",
            Self::Network => "its network",
            Self::Limits => "its limits",
            Self::Walls => "rights and Landlock",
        })
    }
}
