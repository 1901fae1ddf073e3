//! Runs `OpenTofu` and Terraform on one root module.
//!
//! ```text
//! Tool::detect ─► Module ─► init ─► plan ───────────► Plan { file, digest, json, state, lock_hash }
//!                                     (child of ours)       │
//!                                                           ▼
//!               daemon ── start_apply ──► shim ──► tofu apply <exactly that file>
//!                 │                        │  own session, survives the daemon
//!                 └── attach / wait ◄── run directory: shim.json child.json stdout.jsonl stderr.log exit.json
//! ```
//!
//! What only reads (`plan`, `output`, `state`) is a child that dies with this process. `apply` changes the
//! world and must not be cut off, so it runs below a small shim, found again by its run directory.
//!
//! Terraform's own rules for an apply that ends early: `SIGINT` makes it finish what it has begun, write
//! its state and release its lock; `SIGKILL` loses what a remote backend had not been sent yet. So nothing
//! here kills an apply except [`run::kill`], which is for a person's order.
//!
//! A service manager that ends the daemon's whole control group ends the shim too; under systemd set
//! `KillMode=process`.
//!
//! All of it runs contained, where the module says how ([`Containment`]).
//!
//! It knows nothing of approvals: whether a plan may be applied is decided elsewhere.

pub mod backend;
pub mod log;
pub mod run;
pub mod shim;

mod contain;
mod error;
pub(crate) mod imports;
pub(crate) mod inputs;
mod module;
mod plan;
mod providers;
mod record;
mod tool;

pub use self::contain::Containment;
pub(crate) use self::contain::{open_file, read_file, write_file};
pub use self::error::{Diagnostic, InfraError, LockHolder, Severity};
pub use self::module::{Init, Module, OutputValue, State, StateId};
pub use self::plan::{Plan, PlanMode, PlanOptions};
pub use self::providers::{PatternError, ProviderPattern, Providers};
pub(crate) use self::record::ProcessId;
pub(crate) use self::tool::on_path;
pub use self::tool::{Tool, ToolError, ToolKind, ToolPreference};
