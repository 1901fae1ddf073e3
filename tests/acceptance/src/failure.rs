//! Why the harness, or a claim about the system under test, failed.

use std::fmt;

use reconciler_api::client::ClientError;

/// What happened, where, and what the programs involved said. `Debug` is the same text, so that a
/// test that returns or unwraps it shows it as it is.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// What the harness answers.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same failure with more to read below it.
    #[must_use]
    pub fn with(self, heading: &str, text: &str) -> Self {
        Self(format!("{}\n--- {heading} ---\n{}", self.0, text.trim_end()))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self(error.to_string())
    }
}

/// Says where an error happened.
pub trait At<T> {
    /// The error as a failure, behind what was being done.
    ///
    /// # Errors
    /// The error itself.
    fn at(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> At<T> for Result<T, E> {
    fn at(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
