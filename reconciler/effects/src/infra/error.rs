//! What can go wrong in an infra operation, told apart by what one does about it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::backend::BackendError;
use crate::process::{Output, ProcessError};
use crate::sandbox::SandboxError;

/// A message of the tool about the configuration or the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// One line.
    pub summary: String,
    /// The explanation; may be empty.
    #[serde(default)]
    pub detail: String,
    /// The address of the resource that it is about.
    #[serde(default)]
    pub address: Option<String>,
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The operation failed.
    Error,
    /// The operation went on.
    Warning,
}

/// Who holds a state lock, as far as the tool tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockHolder {
    /// The lock's id, which a forced unlock needs.
    pub id: Option<String>,
    /// User and host of the holder.
    pub who: Option<String>,
    /// What the holder does.
    pub operation: Option<String>,
}

/// Why an operation on a module gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum InfraError {
    /// The tool said that it failed.
    #[error("{operation} failed in `{dir}` ({status}): {}", shown(diagnostics, text))]
    Failed {
        /// The sub-command.
        operation: &'static str,
        /// The module's directory.
        dir: PathBuf,
        /// How the tool ended.
        status: String,
        /// What the tool said, if it said it in its machine-readable form.
        diagnostics: Vec<Diagnostic>,
        /// What the tool said otherwise.
        text: String,
    },
    /// Another run holds the lock of the state.
    #[error(
        "{operation} in `{dir}` did not get the state lock{holder}; wait for that run, or unlock if it is dead"
    )]
    StateLocked {
        /// The sub-command.
        operation: &'static str,
        /// The module's directory.
        dir: PathBuf,
        /// Who has it.
        holder: LockHolder,
    },
    /// The state changed while the plan was made.
    #[error("the state of `{dir}` changed while the plan was made; plan again")]
    StateMoved {
        /// The module's directory.
        dir: PathBuf,
    },
    /// The plan file is not the one that was meant.
    #[error("plan file `{file}` has digest {found}, not {wanted}; it is not applied")]
    OtherPlan {
        /// The file.
        file: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The SHA-256 that was asked for.
        wanted: String,
    },
    /// The child gave no output.
    #[error("{operation} in `{dir}` could not be run to its end")]
    Process {
        /// The sub-command.
        operation: &'static str,
        /// The module's directory.
        dir: PathBuf,
        /// The reason.
        #[source]
        source: ProcessError,
    },
    /// It could not be contained, or went beyond its limits.
    #[error("{operation} in `{dir}` could not be run to its end")]
    Sandbox {
        /// The sub-command.
        operation: &'static str,
        /// The module's directory.
        dir: PathBuf,
        /// The reason.
        #[source]
        source: SandboxError,
    },
    /// The answer is larger than allowed.
    #[error(
        "{operation} in `{dir}` gave more than {limit_bytes} bytes; split the module or raise the limit"
    )]
    TooLarge {
        /// The sub-command.
        operation: &'static str,
        /// The module's directory.
        dir: PathBuf,
        /// The limit.
        limit_bytes: usize,
    },
    /// The answer cannot be read.
    #[error("{operation} in `{dir}` gave an answer that is not understood")]
    Malformed {
        /// The sub-command.
        operation: &'static str,
        /// The module's directory.
        dir: PathBuf,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// The module's files do not tell where its state is.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The request contradicts itself.
    #[error("{operation} is not run: {reason}")]
    Refused {
        /// The sub-command.
        operation: &'static str,
        /// What to change.
        reason: &'static str,
    },
    /// A file of ours cannot be read or written.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
}

impl InfraError {
    /// Whether the same operation may well succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StateLocked { .. } | Self::StateMoved { .. } => true,
            Self::Sandbox { source, .. } => match source {
                SandboxError::NotMade { .. } | SandboxError::Lost { .. } => true,
                SandboxError::Unavailable(_)
                | SandboxError::Exceeded { .. }
                | SandboxError::NotStarted { .. }
                | SandboxError::Process(_) => false,
            },
            Self::Failed { .. } | Self::OtherPlan { .. } | Self::Process { .. } => false,
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::Backend(_) => false,
            Self::Refused { .. } | Self::Io { .. } => false,
        }
    }

    /// The error that a failed child stands for.
    pub(super) fn of(operation: &'static str, dir: PathBuf, output: &Output) -> Self {
        let diagnostics = super::log::diagnostics(&output.stdout.bytes);
        let text = plain(&output.stderr.tail());
        if let Some(holder) = lock_holder(&diagnostics, &text) {
            return Self::StateLocked { operation, dir, holder };
        }
        Self::Failed { operation, dir, status: output.status.to_string(), diagnostics, text }
    }

    /// Whether a provider is nowhere to be had, however often one asks.
    pub(crate) fn misses_a_provider(&self) -> bool {
        let Self::Failed { operation: "init", text, diagnostics, .. } = self else { return false };
        let said = |text: &str| text.contains("search locations");
        said(text) || diagnostics.iter().any(|it| said(&it.summary) || said(&it.detail))
    }

    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(who) = &self.who {
            write!(f, ", which {who} holds")?;
        }
        if let Some(operation) = &self.operation {
            write!(f, " for {operation}")?;
        }
        if let Some(id) = &self.id {
            write!(f, " (lock {id})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = &self.address {
            write!(f, "{address}: ")?;
        }
        f.write_str(&self.summary)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// The holder named by a failure to get the state lock; `None` if that is not what failed.
pub(super) fn lock_holder(diagnostics: &[Diagnostic], text: &str) -> Option<LockHolder> {
    const SUMMARY: &str = "Error acquiring the state lock";
    let told = match diagnostics.iter().find(|diagnostic| diagnostic.summary == SUMMARY) {
        Some(diagnostic) => &diagnostic.detail,
        None if text.contains(SUMMARY) => text,
        None => return None,
    };
    let field = |name: &str| {
        told.lines()
            .filter_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .find(|value| !value.is_empty())
    };
    Some(LockHolder { id: field("ID"), who: field("Who"), operation: field("Operation") })
}

fn shown(diagnostics: &[Diagnostic], text: &str) -> String {
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    if errors.is_empty() { text.to_owned() } else { errors.join("; ") }
}

/// The text without the frame that the tools draw around messages for people.
fn plain(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches(['╷', '│', '╵']).trim())
        .filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
