//! Years of promotions in minutes: the decisions of the domain under a seeded clock, with everything failing.
//!
//! One seed is one run: what there is, what people do, what fails and when. Nothing else has a say: no clock, no
//! thread, no file. The decisions are the real ones (`reconciler_domain::plan`); what is round them is written
//! anew, with the same order of moves as the daemon's worker and the same guards as the store, so that it can be
//! stopped, killed and lied to between any two of its moves.
//!
//! ```text
//!   scenario, pipeline     what a seed stands for
//!          │
//!        world ── agenda   what happens next, by simulated time
//!          │
//!   ┌──────┼──────────┬───────────┐
//! people  replica ─► store     outside
//!          │  jobs under leases,   git, registries, infra, HTTP, metrics:
//!          │  in several processes look before they act, and count what they did
//!          └─► domain::plan
//!
//!        watch             what must hold after every event
//!        bug               deliberate bugs that it must find
//! ```
//!
//! At the end of a run everything is healed: then all of it has to settle, and the newest freight has to be
//! everywhere.

mod agenda;
mod bug;
mod fate;
mod outside;
mod people;
mod pipeline;
mod replica;
mod run;
mod scenario;
mod store;
mod trace;
mod watch;
mod world;

pub use bug::{Bug, UnknownBug};
pub use run::{Failure, Report, run};
pub use scenario::{Faults, Scenario};
pub use watch::{Tally, Violation};
