//! The loop, the HTTP server and the configuration of `lockstepd`.
//!
//! ```text
//!  main      arguments, logging, signals                    -> bin lockstepd
//!  config    what can be configured, parsed and checked
//!  clock     the only one
//!  worker    the loop: claim, decide (domain), carry out (effects), append (store)
//!  server    the HTTP API: parse, authorise, answer
//!  convert   between wire types and domain types, one file per noun
//!  secrets   what projects hold: sealed in the store, opened for effects
//!  panics    what is told of a fault of our own
//!  crash     aborts on order at named boundaries, for the tests of crash safety
//! ```
//!
//! This is the only crate that knows all the others. It holds no rule about freight, stages or
//! policies, no SQL and no git.

pub mod clock;
pub mod config;
mod convert;
pub mod crash;
pub mod panics;
mod secrets;
mod server;
mod service;
mod worker;

pub use secrets::{AllowedSources, KeyringError, RotateError, Rotated};
pub use service::{
    Service, StartError, VerifyError, rotate_key, rotate_signing_key, verify_ledger,
};
pub use worker::LookLimits;
