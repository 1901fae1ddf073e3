//! Freight on its way.

mod gates;
mod people;
mod registry;
mod together;
mod undo;
mod verification;
