//! Freight on its way.

mod abort;
mod branches;
mod evidence;
mod gates;
mod lanes;
mod modules;
mod people;
mod polls;
mod programs;
mod registry;
mod rehearsal;
mod stale;
mod steps;
mod tickets;
mod together;
mod undo;
mod units;
mod unseen;
mod verification;
