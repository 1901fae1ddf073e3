//! What people do with Lockstep, and what goes wrong: real binaries, driven from outside.
//!
//! ```text
//! provider/    terraform or tofu, whichever are there, with our provider
//! promotion/   freight on its way: gates, people, verification, undo
//! crash        the daemon killed at every boundary of pushes, applies and calls
//! boundaries   the same for tags, registries, pull requests and programs
//! pull_requests opened, waited for, merged, taken back
//! disk         the disk full under the daemon, and free again
//! bad_input    what cannot be reached, and what cannot stand
//! cli          the command line
//! states       embedded states: promotions and people, one at a time
//! ```
//!
//! Each scenario has a daemon of its own on a port of its own, so that all run at the same time.
//! Nothing waits for a fixed time: what is waited for is asked for until it is so.

mod bad_input;
mod boundaries;
mod cli;
mod clock;
mod crash;
mod desk;
mod disk;
mod drift;
mod pipeline;
mod promotion;
mod provider;
mod pull_requests;
mod site;
mod states;
mod wire;
