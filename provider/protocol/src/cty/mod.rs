//! The value system that the client and the provider share.
//!
//! A [`Value`] carries no type of its own: everything that walks one is led by a [`Type`] (or a
//! schema, which implies one). That keeps values small, and puts every conformance question in
//! one place, [`conform`].

mod build;
pub mod conform;
pub mod json;
pub mod msgpack;
mod number;
mod path;
mod refinement;
mod types;
mod value;

pub use build::infer_type;
pub use number::{Number, NumberError};
pub use path::{Path, Step};
pub use refinement::{Bound, Refinement};
pub use types::{Type, TypeError};
pub use value::{Dynamic, Value};
