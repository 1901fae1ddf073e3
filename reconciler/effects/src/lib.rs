//! Everything that touches the outside: git, registries, infra runs, HTTP, metrics.
pub mod edit;
pub mod http;
pub mod metrics;
pub mod process;
pub mod workdir;
