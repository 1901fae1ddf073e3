//! Everything that touches the outside: git, registries, infra runs, HTTP, metrics.
pub mod edit;
pub mod process;
pub mod workdir;
