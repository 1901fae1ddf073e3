//! Everything that touches the outside: git, registries, infra runs, HTTP, metrics.
