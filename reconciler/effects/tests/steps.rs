//! The door against real git, real infra and real servers, with everything that can go away going
//! away in between.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "steps/calls.rs"]
mod calls;
#[path = "steps/charts.rs"]
mod charts;
#[path = "steps/checks.rs"]
mod checks;
#[path = "steps/credentials.rs"]
mod credentials;
#[path = "steps/failing.rs"]
mod failing;
#[path = "support/forge.rs"]
mod forge;
#[path = "support/githttp.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod githttp;
#[path = "steps/harness.rs"]
mod harness;
#[path = "steps/images.rs"]
mod images;
#[path = "steps/inquiries.rs"]
mod inquiries;
#[path = "steps/losing.rs"]
mod losing;
#[path = "steps/modules.rs"]
mod modules;
#[path = "steps/pull_requests.rs"]
mod pull_requests;
#[path = "steps/registries.rs"]
mod registries;
#[path = "steps/renderers.rs"]
mod renderers;
#[path = "steps/rendering.rs"]
mod rendering;
#[path = "steps/running.rs"]
mod running;
#[path = "support/sealing.rs"]
mod sealing;
#[path = "steps/sources.rs"]
mod sources;
#[path = "steps/states.rs"]
mod states;
#[path = "effects/support.rs"]
mod support;
#[path = "steps/unchanged.rs"]
mod unchanged;
#[path = "steps/world.rs"]
mod world;
