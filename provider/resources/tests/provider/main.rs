//! The provider as Terraform sees it: its schemas, its pages, its plans, and real runs against
//! a small stand-in for the daemon. Runs against the real daemon are acceptance tests.

#![expect(clippy::unwrap_used, reason = "tests")]

mod actions;
mod away;
mod bad_input;
mod conflicts;
mod daemon;
mod freezes;
mod holds;
mod identity;
mod impact;
mod interrupt;
mod lifecycle;
mod lives;
mod pages;
mod plans;
mod policies;
mod promotions;
mod protection;
mod reads;
mod references;
mod schemas;
mod secrets;
mod slow;
mod stages;
mod states;
mod terraform;
mod tokens;
mod trouble;
mod validate;
mod wire;
