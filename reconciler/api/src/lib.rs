//! The public contract between `lockstepd` and its clients: the provider, the command line, and
//! anything else that speaks HTTP.
//!
//! ```text
//! v1/<noun>    what is said on the wire, one file per noun
//! problem      how a refusal is said (RFC 9457), with codes that programs branch on
//! operation    one table of every operation: method, path, who may, request, answer
//! openapi      the OpenAPI 3.1 document, generated from the table and the types
//! client       a typed client over the same types
//! ```
//!
//! The crate knows no domain: durations, versions and expressions are strings here, and whoever
//! receives them parses them at its edge. A request refuses fields that it does not know, so a
//! misspelt gate is an error and not a hole; an answer may gain fields, and clients ignore those
//! that they do not know.

#[macro_use]
mod wire_enum;

pub mod client;
pub mod openapi;
pub mod operation;
pub mod problem;
pub mod v1;

/// The response header that carries the version of the daemon; its presence is how a client knows
/// that it speaks to one.
pub const VERSION_HEADER: &str = "lockstep-version";

/// The version of this contract's implementation, as both halves send and compare it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
