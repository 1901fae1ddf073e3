//! Why a call failed.

use std::error::Error;
use std::time::Duration;

use crate::problem::{Problem, ProblemCode};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is not one.
    #[error("{endpoint:?} is no endpoint: {reason}")]
    InvalidEndpoint {
        /// What was given, without secrets.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The token cannot stand in a header.
    #[error("the token is empty or has characters that a token cannot have")]
    InvalidToken,
    /// The user agent cannot stand in a header.
    #[error("{user_agent:?} cannot be a user agent")]
    InvalidUserAgent {
        /// What was given.
        user_agent: String,
    },
    /// A name cannot stand in a path.
    #[error("{text:?} is no name")]
    InvalidName {
        /// What was given.
        text: String,
    },
    /// No connection came about, or what stands before the daemon cannot reach it.
    #[error("cannot reach lockstepd at {endpoint}: {reason}")]
    Unreachable {
        /// Where the daemon should be.
        endpoint: String,
        /// The cause, as far down as it is known.
        reason: String,
    },
    /// The connection broke before the answer was whole.
    #[error(
        "the connection to lockstepd at {endpoint} broke before its answer was whole: {reason}"
    )]
    Lost {
        /// Where the daemon is.
        endpoint: String,
        /// The cause, as far down as it is known.
        reason: String,
    },
    /// The daemon took too long.
    #[error("lockstepd at {endpoint} did not answer within {} s", after.as_secs())]
    Timeout {
        /// Where the daemon is.
        endpoint: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The daemon does not accept the token, or none was sent.
    #[error("lockstepd at {endpoint} does not accept the token: {problem}")]
    Unauthorized {
        /// Where the daemon is.
        endpoint: String,
        /// What it said.
        problem: Box<Problem>,
    },
    /// The daemon refused.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Something else answered.
    #[error("what answers at {endpoint} is not lockstepd: {answered}")]
    NotLockstep {
        /// Where the daemon should be.
        endpoint: String,
        /// What came instead.
        answered: String,
    },
    /// The daemon is of another version, and it or this client cannot read what the other sent.
    #[error(
        "lockstepd {server} at {endpoint} does not understand this client, {client}, or the other \
         way round: {reason}"
    )]
    VersionMismatch {
        /// Where the daemon is.
        endpoint: String,
        /// The daemon's version.
        server: String,
        /// The client's version.
        client: &'static str,
        /// What cannot be read.
        reason: String,
    },
    /// The daemon is of the same version, and its answer cannot be read: a fault of ours.
    #[error("the answer of lockstepd at {endpoint} cannot be read: {reason}")]
    Unreadable {
        /// Where the daemon is.
        endpoint: String,
        /// What cannot be read.
        reason: String,
    },
}

impl ClientError {
    /// What the daemon said, if it refused.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) | Self::Unauthorized { problem, .. } => Some(problem),
            Self::InvalidEndpoint { .. }
            | Self::InvalidToken
            | Self::InvalidUserAgent { .. }
            | Self::InvalidName { .. }
            | Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::NotLockstep { .. }
            | Self::VersionMismatch { .. }
            | Self::Unreadable { .. } => None,
        }
    }

    /// The code of what the daemon said, if it refused.
    #[must_use]
    pub fn code(&self) -> Option<ProblemCode> {
        self.problem().map(|problem| problem.code)
    }

    /// Whether the daemon could not be asked, or said that it cannot serve just now, so that
    /// nothing is known.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Lost { .. } | Self::Timeout { .. })
            || self.code() == Some(ProblemCode::Unavailable)
    }

    /// Whether something answered that this client cannot speak to: another version, or no daemon.
    /// One answer of a daemon of the same version that cannot be read says nothing of the others.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::NotLockstep { .. } | Self::VersionMismatch { .. })
    }

    /// Whether the daemon may have done what it was asked although there is no answer.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Timeout { .. })
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Problem(problem) => return problem.hint.clone(),
            Self::InvalidEndpoint { .. } => "write it as http://HOST:PORT or https://HOST",
            Self::InvalidToken => "take it as `lockstep token create` or the token file shows it",
            Self::InvalidUserAgent { .. } => "use visible ASCII characters",
            Self::InvalidName { .. } => "names have letters, digits and hyphens",
            Self::Unreachable { .. } => {
                "is lockstepd running there, and does a firewall let through?"
            }
            Self::Lost { .. } => "was lockstepd stopped, or something between here and it?",
            Self::Timeout { .. } => "is it overloaded? its log says what it does",
            Self::Unauthorized { .. } => {
                "use a token of this daemon that is neither revoked nor expired; \
                 the first is in the file that lockstepd names at its start"
            }
            Self::NotLockstep { .. } => "check scheme, host, port and path of the endpoint",
            Self::VersionMismatch { .. } => "use the client and the daemon of one release",
            Self::Unreadable { .. } => "this is a fault of ours: please report it with the message",
        };
        Some(hint.to_owned())
    }
}

/// The message of the last cause, where the operating system speaks.
pub(super) fn deepest(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
