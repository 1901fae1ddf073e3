//! Runs programs that are not trusted, contained.
//!
//! ```text
//!  lockstepd ── spec on stdin ──► outer ── clone ──► inner (process 1) ── fork ──► the program
//!                                   │  maps one unprivileged user, serves the proxy     │
//!                                   └── signals in, report out ◄── limits, the end ─────┘
//! ```
//!
//! `outer` and `inner` are this program once more, under the first argument [`ARGUMENT`]. The program has user,
//! mount, process, network, IPC and host-name namespaces of its own; it is an unprivileged user inside and
//! outside, also where the daemon is root; it has no capability and can get none; it sees programs, libraries,
//! certificates and what it is given ([`Bounds`]), and Landlock says the same once more. When the outer process is
//! killed, everything inside is.
//!
//! What this does not do: system calls are not filtered, so the kernel itself is in reach, as it is of any
//! unprivileged user. Time of the processor is not limited but by the deadline.

mod channel;
mod contained;
mod egress;
mod inner;
mod kernel;
mod lend;
mod loopback;
mod outer;
mod probe;
mod spec;
mod view;
mod wall;
mod watch;

pub(crate) use contained::conclude;
pub use contained::{Contained, SandboxError};
pub use outer::{ARGUMENT, sandbox_main};
pub use probe::{Missing, Offer};
pub use spec::{Access, Beyond, Bounds, Excess, Limits, Network, Share};

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Whether code that is not trusted runs where it cannot be contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does not run.
    #[default]
    Required,
    /// It runs as the daemon's user, and a warning is logged.
    Preferred,
    /// Nothing is ever contained.
    Off,
}

/// What the owner of the machine says about programs that are contained.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether they have to be.
    pub mode: Mode,
    /// Files and directories of the machine that they may read, beside those of the system.
    pub read: Vec<PathBuf>,
    /// What of the machine infra runs may change, beside their own directories.
    pub write: Vec<PathBuf>,
    /// Whether a step may ask for the network of the machine.
    pub host_network: bool,
    /// What infra runs may reach.
    pub infra_network: Reach,
}

/// What infra runs may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Themselves.
    None,
    /// What the egress policy opens, over HTTP and HTTPS.
    #[default]
    Egress,
    /// All that the machine reaches.
    Host,
}

/// How programs are contained on this machine.
#[derive(Debug, Clone)]
pub struct Sandbox {
    mode: Mode,
    /// This program, or one whose `main` does the same.
    program: PathBuf,
    offer: Arc<OnceLock<Result<Offer, Missing>>>,
}

impl Sandbox {
    /// A sandbox that is made by starting `program` again.
    pub fn new(mode: Mode, program: impl Into<PathBuf>) -> Self {
        Self { mode, program: program.into(), offer: Arc::default() }
    }

    /// Whether it has to be.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What this machine offers: found out once, by making a sandbox.
    ///
    /// # Errors
    /// It cannot be made; with what is missing, and what to set.
    pub fn probe(&self) -> Result<&Offer, &Missing> {
        self.offer.get_or_init(|| probe::probe(&self.program)).as_ref()
    }
}
