//! Real binaries driven from outside: terraform or tofu, lockstepd, git, a registry, Prometheus.
