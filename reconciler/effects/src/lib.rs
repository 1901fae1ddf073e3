//! Carries out what the domain decided: everything that touches the outside.
//!
//! ```text
//!                 Effects (the door)
//!        ┌───────────┬───┴─────────┬───────────┐
//!      steps      sources        checks      clean
//!   calls of a    git, image     http,       what ended
//!   promotion     versions       prometheus
//!                                inquiries: tickets and attestations
//!        └───────────┴──────┬──────┴───────────┘
//!   git   forge   infra   oci   http   metrics   edit    one room each
//!   sandbox   process   workdir      what is not trusted, contained; children; files below one directory
//!   states                           the embedded states: versions, one writer at a time
//! ```
//!
//! Every operation is for one project ([`scoped`]): with its logins and its mirrors, and nothing that
//! it gives back holds a secret ([`redact`]).
//!
//! It decides nothing about freight, stages or policy and reads no clock: what happens when comes
//! in with each call. It knows no database: what must be known after a crash is in the log that
//! the caller keeps, or outside, where it is looked for before anything is done again.

pub mod edit;
pub mod git;
pub mod http;
pub mod infra;
pub mod metrics;
pub mod oci;
pub mod process;
pub mod sandbox;
pub mod states;
pub mod workdir;

mod answer;
mod checks;
mod clean;
mod config;
mod credentials;
mod dsse;
mod effects;
mod fault;
mod forge;
mod inquiries;
mod layout;
mod redact;
mod scoped;
mod sources;
mod steps;

pub use config::EffectsConfig;
pub use credentials::{Credential, CredentialError, Held, Holdings, Login, NothingHeld};
pub use effects::{Effects, OpenError};
pub use inquiries::Heard;
pub use steps::{Halted, LookDir, RunContext, Workdir, reseal_plans};

/// Characters of a message that is kept in a log for ever.
const MESSAGE_CHARS: usize = 4_000;

/// An error with its causes, on one line.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    answer::capped(&text, MESSAGE_CHARS)
}

/// Runs file work on a thread where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being shut down and will not poll this again.
            Err(_) => std::future::pending().await,
        },
    }
}
