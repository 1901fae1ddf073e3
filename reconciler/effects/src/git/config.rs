//! What the git room needs to know from its owner.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::credentials::{Anonymous, CredentialSource};
use crate::http::EgressPolicy;

/// Settings of [`Git::open`](super::Git::open).
#[derive(Clone)]
pub struct GitConfig {
    /// Folder of the mirrors; made if missing, used by this process only.
    pub mirrors: PathBuf,
    /// Credentials per repository.
    pub credentials: Arc<dyn CredentialSource>,
    /// Whether paths and `file://` may be used. Off unless the operator owns every path that a
    /// user could name.
    pub allow_local: bool,
    /// Blocking git operations at a time.
    pub workers: usize,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Limits of sizes.
    pub caps: Caps,
    /// Which hosts http(s) may reach. Open to private addresses by default, because git servers
    /// often have one; a daemon sets its own policy here. `ssh` is not judged by it.
    pub egress: EgressPolicy,
    /// How `ssh` is run.
    pub ssh: SshConfig,
    /// Cancelling it ends all running operations.
    pub shutdown: CancellationToken,
}

/// Deadlines of one exchange with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Without a byte arriving.
    pub idle: Duration,
    /// For the whole operation.
    pub total: Duration,
}

/// Limits of sizes; reaching one is an error, never a silent cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// A list of refs, in bytes.
    pub advertisement: u64,
    /// A pack that we fetch, in bytes.
    pub fetch: u64,
    /// A pack that we push, in bytes.
    pub push: u64,
    /// One file of a checkout or a commit, in bytes.
    pub file: u64,
    /// A whole checkout, in bytes.
    pub checkout: u64,
    /// Files of one checkout or working directory.
    pub files: u64,
    /// Text of one file's patch, in bytes; a longer one is cut and marked.
    pub patch: usize,
    /// Text of all patches of one diff, in bytes; what is beyond is left out and marked.
    pub patches: usize,
}

/// How the `ssh` program is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshConfig {
    /// The program, `ssh` on the PATH by default.
    pub program: PathBuf,
    /// Value of `StrictHostKeyChecking`.
    pub host_keys: HostKeys,
    /// Another file of known hosts than the user's.
    pub known_hosts: Option<PathBuf>,
}

/// Trust in host keys, `StrictHostKeyChecking` of `ssh_config(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeys {
    /// Only hosts that are known already.
    Known,
    /// Hosts seen for the first time are learnt; a changed key is refused.
    LearnNew,
}

impl GitConfig {
    /// Mirrors under `mirrors`, no credentials, no local repositories, two workers.
    #[must_use]
    pub fn new(mirrors: impl Into<PathBuf>) -> Self {
        Self {
            mirrors: mirrors.into(),
            credentials: Arc::new(Anonymous),
            allow_local: false,
            workers: 2,
            timeouts: Timeouts::default(),
            caps: Caps::default(),
            egress: EgressPolicy::with_private(),
            ssh: SshConfig::default(),
            shutdown: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for GitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitConfig")
            .field("mirrors", &self.mirrors)
            .field("allow_local", &self.allow_local)
            .field("workers", &self.workers)
            .field("timeouts", &self.timeouts)
            .field("caps", &self.caps)
            .field("egress", &self.egress)
            .field("ssh", &self.ssh)
            .finish_non_exhaustive()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}

impl Default for Caps {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            advertisement: 64 * MIB,
            fetch: 4096 * MIB,
            push: 256 * MIB,
            file: 64 * MIB,
            checkout: 4096 * MIB,
            files: 1_000_000,
            patch: 64 << 10,
            patches: 1 << 20,
        }
    }
}

impl Default for SshConfig {
    fn default() -> Self {
        Self { program: PathBuf::from("ssh"), host_keys: HostKeys::Known, known_hosts: None }
    }
}
