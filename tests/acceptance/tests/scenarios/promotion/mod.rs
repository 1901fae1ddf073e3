//! Freight on its way.

mod abort;
mod evidence;
mod gates;
mod lanes;
mod modules;
mod people;
mod programs;
mod registry;
mod rehearsal;
mod stale;
mod steps;
mod tickets;
mod together;
mod undo;
mod units;
mod verification;
