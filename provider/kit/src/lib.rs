//! What the tests of a provider need, beside the provider. Never a part of one: it is a crate, and
//! no feature of the protocol's, so that no product can be built with it.
//!
//! - [`terraform`]: a directory in which a real Terraform or OpenTofu runs the real binary, and
//!   [`scenario`]: the life of a resource in it, from its plan to its end.
//! - [`host`] and [`client`]: the client's side of the wire, for what the tool at hand cannot do:
//!   a process started as a plugin, or a provider in this very process.
//! - [`core`]: what a client does between the calls, and holds a provider to, as pure rules; and
//!   [`arbitrary`]: schemas, configurations and states to hold it to them with.
//!
//! Everything here panics when an expectation fails, with what it found: it runs in tests only.

pub mod arbitrary;
pub mod client;
pub mod core;
pub mod host;
pub mod scenario;
mod schema;
pub mod terraform;

pub use schema::read as read_schema;
