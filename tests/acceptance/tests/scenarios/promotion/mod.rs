//! Freight on its way.

mod gates;
mod people;
mod together;
mod undo;
mod verification;
