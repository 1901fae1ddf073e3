//! The `ssh` program as the stream that libgit2 wants: one process for the whole conversation.
//!
//! ssh never asks anything (`BatchMode`), gets a bare environment, and is killed with the stream.

use std::future::Future;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::config::{HostKeys, SshConfig, Timeouts};
use super::super::credentials::Credentials;
use super::super::error::GitError;
use super::super::http::Program;
use super::super::url::{RepoUrl, SshAddress};
use super::{Link, Session};

/// Variables of our environment that ssh gets.
const ENVIRONMENT: [&str; 4] = ["HOME", "PATH", "SSH_AUTH_SOCK", "USER"];
const MAX_STDERR: u64 = 16 << 10;
const EXIT_WAIT: Duration = Duration::from_secs(5);

/// How to reach one repository by ssh.
pub(in super::super) struct SshLink {
    address: SshAddress,
    config: SshConfig,
    credentials: Credentials,
    timeouts: Timeouts,
    deadline: Instant,
    cancel: CancellationToken,
}

/// A running `ssh`.
pub(super) struct SshStream {
    session: Arc<Session>,
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    complaints: Option<JoinHandle<String>>,
    received: u64,
}

impl SshLink {
    pub(in super::super) fn new(
        repo: &RepoUrl,
        address: &SshAddress,
        config: &SshConfig,
        credentials: Credentials,
        timeouts: Timeouts,
        cancel: CancellationToken,
    ) -> Result<Self, GitError> {
        if matches!(credentials, Credentials::Basic { .. } | Credentials::Bearer(_)) {
            let why = "ssh needs a key file, not a password or token".to_owned();
            return Err(GitError::CredentialsMissing { repo: repo.clone(), why });
        }
        let (address, config) = (address.clone(), config.clone());
        let deadline = Instant::now() + timeouts.total;
        Ok(Self { address, config, credentials, timeouts, deadline, cancel })
    }

    fn command(&self, program: Program) -> Command {
        let mut command = Command::new(&self.config.program);
        command.env_clear().env("LC_ALL", "C");
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.args(self.options());
        if let Some(port) = self.address.port {
            command.arg("-p").arg(port.to_string());
        }
        let host = &self.address.host;
        let target = match &self.address.user {
            Some(user) => format!("{user}@{host}"),
            None => host.clone(),
        };
        let path = self.address.path.replace('\'', r"'\''");
        command.arg("--").arg(target).arg(format!("{} '{path}'", program.name()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    fn options(&self) -> Vec<String> {
        let host_keys = match self.config.host_keys {
            HostKeys::Known => "yes",
            HostKeys::LearnNew => "accept-new",
        };
        let seconds = |d: Duration| d.as_secs().max(1);
        let mut settings = vec![
            "BatchMode=yes".to_owned(),
            format!("StrictHostKeyChecking={host_keys}"),
            format!("ConnectTimeout={}", seconds(self.timeouts.connect)),
            format!("ServerAliveInterval={}", seconds(self.timeouts.idle)),
            "ServerAliveCountMax=1".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "PermitLocalCommand=no".to_owned(),
        ];
        let quoted = |path: &Path| format!("\"{}\"", path.display());
        if let Some(file) = &self.config.known_hosts {
            settings.push(format!("UserKnownHostsFile={}", quoted(file)));
        }
        if let Some(key) = self.key() {
            settings.push("IdentitiesOnly=yes".to_owned());
            settings.push(format!("IdentityFile={}", quoted(key)));
        }
        settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect()
    }

    fn key(&self) -> Option<&Path> {
        match &self.credentials {
            Credentials::SshKey(file) => Some(file.path()),
            Credentials::Anonymous | Credentials::Basic { .. } | Credentials::Bearer(_) => None,
        }
    }

    async fn within<T>(
        &self,
        repo: &RepoUrl,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, GitError> {
        let repo = repo.clone();
        let idle = Instant::now() + self.timeouts.idle;
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(GitError::Cancelled { repo }),
            done = work => done.map_err(|e| GitError::Unreachable { repo, why: e.to_string() }),
            () = tokio::time::sleep_until(idle.min(self.deadline)) => {
                Err(GitError::Timeout { repo, phase: "talking to ssh", after: self.timeouts.idle })
            }
        }
    }
}

impl SshStream {
    pub(super) fn start(session: Arc<Session>, program: Program) -> io::Result<Self> {
        // Pipes of a child are registered with the runtime, which this blocking thread is outside of.
        let runtime = session.runtime.clone();
        let _inside = runtime.enter();
        let link = ssh(&session);
        let started = link.command(program).spawn();
        let mut child = started.map_err(|error| {
            let why = format!("{} cannot be started: {error}", link.config.program.display());
            session.fail(GitError::Setup { what: "ssh", why })
        })?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(stderr)) = pipes else {
            unreachable!("all three pipes are asked for");
        };
        let complaints = Some(runtime.spawn(read_complaints(stderr)));
        Ok(Self { session, child, input, output, complaints, received: 0 })
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<usize, GitError> {
        let session = Arc::clone(&self.session);
        let work = ssh(&session).within(&session.repo, self.output.read(into));
        let length = session.runtime.block_on(work)?;
        self.received += length as u64;
        let limit = session.caps.fetch;
        if self.received > limit {
            let what = "the pack to fetch".to_owned();
            return Err(GitError::TooLarge { repo: session.repo.clone(), what, limit });
        }
        if length == 0 { session.runtime.block_on(self.ended()).map(|()| 0) } else { Ok(length) }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, GitError> {
        let session = Arc::clone(&self.session);
        let work = ssh(&session).within(&session.repo, self.input.write(bytes));
        match session.runtime.block_on(work) {
            // A broken pipe says less than what ssh wrote before it went.
            Err(GitError::Unreachable { .. }) => {
                session.runtime.block_on(self.ended())?;
                let why = "ssh ended early".to_owned();
                Err(GitError::Unreachable { repo: session.repo.clone(), why })
            }
            other => other,
        }
    }

    /// What the end of the output means.
    async fn ended(&mut self) -> Result<(), GitError> {
        let status = tokio::time::timeout(EXIT_WAIT, self.child.wait()).await;
        let complaint = match self.complaints.take() {
            Some(task) => task.await.unwrap_or_default(),
            None => String::new(),
        };
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(_) | Err(_)) | Err(_) => Err(self.explain(&complaint)),
        }
    }

    fn explain(&self, complaint: &str) -> GitError {
        let repo = self.session.repo.clone();
        let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
        let why = ssh(&self.session).credentials.presentable(last.unwrap_or("ssh failed"));
        let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        if has(&["Permission denied", "Host key verification failed", "publickey"]) {
            return GitError::CredentialsRefused { repo, why };
        }
        if has(&["does not appear to be a git repository", "epository not found"]) {
            return GitError::RepositoryNotFound { repo };
        }
        GitError::Unreachable { repo, why }
    }
}

impl Read for SshStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.receive(into).map_err(|error| self.session.fail(error))
    }
}

impl Write for SshStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map_err(|error| self.session.fail(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ssh(session: &Session) -> &SshLink {
    match &session.link {
        Link::Ssh(link) => link,
        Link::Http(_) => unreachable!("this stream is made for ssh sessions only"),
    }
}

async fn read_complaints(stderr: ChildStderr) -> String {
    let mut bytes = Vec::new();
    let read = stderr.take(MAX_STDERR).read_to_end(&mut bytes).await;
    // What was read before a failure still explains more than the failure.
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}
