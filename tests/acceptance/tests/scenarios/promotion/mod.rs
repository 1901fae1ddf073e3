//! Freight on its way.

mod gates;
mod lanes;
mod people;
mod programs;
mod registry;
mod steps;
mod together;
mod undo;
mod verification;
