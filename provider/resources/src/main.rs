//! The binary that Terraform and OpenTofu start.

use std::process::ExitCode;

fn main() -> ExitCode {
    provider_protocol::serve(provider_resources::Lockstep)
}
