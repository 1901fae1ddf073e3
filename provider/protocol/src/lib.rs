//! The Terraform/OpenTofu plugin protocol, version 6: values, schemas, the plan rules and the
//! server.
//!
//! - [`cty`]: types and values, and their forms on the wire.
//! - [`schema`]: what resources are configured with and how their plans behave; the client's
//!   rules for schemas; the reference pages.
//! - [`plan`]: the rules of planning and applying, as pure functions.
//! - [`provider`]: the traits that a provider implements.
//! - [`serve`]: the process around it: handshake, mutual TLS, logs, panics, the end.
//! - [`hide`]: secrets, which no diagnostic and no log line shows.
//! - [`wire`]: the generated messages.
//!
//! Only protocol 6 is spoken, up to its minor 11, and only what is offered through [`provider`]:
//! no deferred answers, no state stores, no computed blocks, no provider metadata, no type system
//! of old. What a client does not know it never asks for.

pub mod cty;
mod diagnostic;
pub mod plan;
mod plugin;
pub mod provider;
pub mod schema;
mod secret;
mod server;
pub mod wire;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use plugin::{serve, service};
pub use secret::hide;
pub use server::Service;
