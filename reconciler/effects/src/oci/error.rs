//! What can go wrong with a registry, told apart by what one does about it.

use std::time::Duration;

use super::{Digest, ImageRepo, Platform};
use crate::http::{HttpError, Response};

/// Why a registry gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A repository, tag, digest or platform that cannot be one.
    #[error("`{name}` is not usable: {reason}")]
    InvalidName {
        /// The text.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The registry does not have it, or does not show it to us.
    #[error(
        "`{host}` has no {what} in `{repo}`; check the name, and that the credentials may read it"
    )]
    NotFound {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// What was asked for.
        what: String,
    },
    /// The credentials are missing or not accepted.
    #[error(
        "`{host}` refuses access to `{repo}` ({status}); configure credentials that may pull from it"
    )]
    Unauthorized {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// The HTTP status.
        status: u16,
    },
    /// Too many requests.
    #[error("`{host}` limits requests; `{repo}` must wait{}", waiting(*retry_after))]
    RateLimited {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// The registry fails.
    #[error("`{host}` answers {status} for `{repo}`; the registry has a problem")]
    Unavailable {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// The HTTP status.
        status: u16,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// The registry refuses the request.
    #[error("`{host}` refuses to read `{repo}` ({status}): {said}")]
    Refused {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// The HTTP status; 400 where only the registry's own code for the error is known.
        status: u16,
        /// The beginning of its answer.
        said: String,
    },
    /// The registry does not let itself be changed.
    #[error(
        "`{host}` does not take {what} for `{repo}` ({status}): {said}; check that the credentials may \
         push to it"
    )]
    NotTaken {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// What was sent.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of its answer.
        said: String,
    },
    /// An artifact that is more than is copied.
    #[error("{what} of `{repo}` is more than is taken: {limit}; raise `max_bytes` if it is meant")]
    TooMuch {
        /// The repository with its host.
        repo: String,
        /// What is too much.
        what: String,
        /// The limit that was hit.
        limit: String,
    },
    /// The exchange failed.
    #[error("`{repo}` is out of reach")]
    Exchange {
        /// The repository with its host.
        repo: String,
        /// The reason.
        #[source]
        source: HttpError,
    },
    /// The same after a change was sent: nobody saw whether the registry made it.
    #[error(transparent)]
    Open(Box<Self>),
    /// A list without an end, or beyond the limits.
    #[error("the tags of `{repo}` are more than {limit}; narrow the repository or raise the limit")]
    TooMany {
        /// The repository with its host.
        repo: String,
        /// The limit that was hit.
        limit: String,
    },
    /// The registry's answer makes no sense.
    #[error("`{host}` answers for `{repo}` with something that is no {what}: {reason}")]
    Malformed {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The content is not what its digest says.
    #[error(
        "`{host}` answers for `{repo}` with content of digest {found} instead of {wanted}; do not use it"
    )]
    DigestMismatch {
        /// The registry.
        host: String,
        /// The repository.
        repo: String,
        /// The digest that was asked for.
        wanted: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The image is not there for the platform.
    #[error("`{repo}` at {digest} is not there for {platform}; it is there for {available}")]
    NoPlatform {
        /// The repository with its host.
        repo: String,
        /// The image.
        digest: Digest,
        /// What was asked for.
        platform: Box<Platform>,
        /// What there is.
        available: String,
    },
}

const SAID_CHARS: usize = 200;

impl OciError {
    /// The error that a status means. `what` was asked for; the registry `said` something about it.
    pub(super) fn of_status(
        repo: &ImageRepo,
        what: &str,
        status: u16,
        retry_after: Option<Duration>,
        said: &str,
    ) -> Self {
        let (host, repo) = (repo.host().to_owned(), repo.path().to_owned());
        match status {
            404 => Self::NotFound { host, repo, what: what.to_owned() },
            401 | 403 => Self::Unauthorized { host, repo, status },
            429 => Self::RateLimited { host, repo, retry_after },
            500.. => Self::Unavailable { host, repo, status, retry_after },
            _ => {
                Self::Refused { host, repo, status, said: said.chars().take(SAID_CHARS).collect() }
            }
        }
    }

    /// The error of a change that the registry refuses.
    pub(super) fn of_refusal(repo: &ImageRepo, what: &str, answer: &Response) -> Self {
        let retry_after = answer.retry_after(jiff::Timestamp::now());
        let said = answer.text();
        match answer.status {
            429 | 500.. => Self::of_status(repo, what, answer.status, retry_after, &said),
            status => Self::NotTaken {
                host: repo.host().to_owned(),
                repo: repo.path().to_owned(),
                what: what.to_owned(),
                status,
                said: said.trim().chars().take(SAID_CHARS).collect(),
            },
        }
    }

    pub(super) fn exchange(repo: &ImageRepo, source: HttpError) -> Self {
        Self::Exchange { repo: repo.to_string(), source }
    }

    pub(super) fn malformed(repo: &ImageRepo, what: &'static str, reason: String) -> Self {
        let (host, repo) = (repo.host().to_owned(), repo.path().to_owned());
        Self::Malformed { host, repo, what, reason }
    }

    /// The same as the answer to a change, if that may have been made in spite of it.
    pub(super) fn of_change(self) -> Self {
        let is_open = match &self {
            Self::Exchange { source, .. } => source.may_have_been_sent(),
            Self::Unavailable { .. } => true,
            Self::InvalidName { .. } | Self::NotFound { .. } | Self::Unauthorized { .. } => false,
            Self::RateLimited { .. } | Self::Refused { .. } | Self::NotTaken { .. } => false,
            Self::TooMuch { .. } | Self::TooMany { .. } | Self::Malformed { .. } => false,
            Self::DigestMismatch { .. } | Self::NoPlatform { .. } | Self::Open(_) => false,
        };
        if is_open { self.left_open() } else { self }
    }

    /// The same once something was changed that it does not speak of.
    pub(super) fn left_open(self) -> Self {
        if self.is_open() { self } else { Self::Open(Box::new(self)) }
    }

    /// Whether a change was sent, and nobody saw whether the registry made it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether the same request may well succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unavailable { .. } => true,
            Self::Open(error) => error.is_retryable(),
            // Proxies and caches corrupt content for a while.
            Self::DigestMismatch { .. } => true,
            Self::Exchange { source, .. } => source.is_retryable(),
            Self::InvalidName { .. } | Self::NotFound { .. } | Self::Unauthorized { .. } => false,
            Self::Refused { .. } | Self::TooMany { .. } | Self::Malformed { .. } => false,
            Self::NoPlatform { .. } | Self::NotTaken { .. } | Self::TooMuch { .. } => false,
        }
    }

    /// How long the registry asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            Self::Open(error) => error.retry_after(),
            Self::InvalidName { .. } | Self::NotFound { .. } | Self::Unauthorized { .. } => None,
            Self::Refused { .. } | Self::TooMany { .. } | Self::Malformed { .. } => None,
            Self::DigestMismatch { .. } | Self::NoPlatform { .. } | Self::Exchange { .. } => None,
            Self::NotTaken { .. } | Self::TooMuch { .. } => None,
        }
    }
}

fn waiting(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!(" {} s", wait.as_secs()))
}
