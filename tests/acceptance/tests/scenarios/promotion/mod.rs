//! Freight on its way.

mod gates;
mod lanes;
mod people;
mod registry;
mod together;
mod undo;
mod verification;
