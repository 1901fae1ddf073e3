//! The git room against git's own server over HTTP, over an ssh stand-in, and against servers
//! that misbehave.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "git/errors.rs"]
mod errors;
#[path = "git/files.rs"]
mod files;
#[path = "git/fixture.rs"]
mod fixture;
#[path = "support/githttp.rs"]
mod githttp;
#[path = "git/landing.rs"]
mod landing;
#[path = "git/reading.rs"]
mod reading;
#[path = "git/signing.rs"]
mod signing;
#[path = "git/tagging.rs"]
mod tagging;
#[path = "git/together.rs"]
mod together;
#[path = "git/unborn.rs"]
mod unborn;
#[path = "git/undoing.rs"]
mod undoing;
