//! The primitives against real programs and servers, and against servers that misbehave.
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod contained_infra;
mod http;
mod infra;
mod metrics;
mod oci;
mod oci_login;
mod process;
mod sandbox;
#[path = "../support/sealing.rs"]
mod sealing;
mod states;
mod support;
