//! What the benchmarks of the daemon share: a data directory full of promotions, the real `lockstepd`
//! over it, and what the machine does at this minute.
#![allow(dead_code, reason = "each of the benchmarks uses a part of it")]

pub(crate) mod daemon;
pub(crate) mod machine;
pub(crate) mod pipeline;
