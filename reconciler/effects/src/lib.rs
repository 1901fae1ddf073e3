//! Everything that touches the outside: git, registries, infra runs, HTTP, metrics.
pub mod edit;
pub mod git;
pub mod http;
pub mod metrics;
pub mod process;
pub mod workdir;
pub mod infra;
