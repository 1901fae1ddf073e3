//! The Terraform/OpenTofu plugin protocol, version 6: values, schemas, the plan rules and the
//! server.

pub mod cty;
mod diagnostic;
pub mod provider;
pub mod schema;
pub mod wire;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
