//! Ephemeral resources: what is open for one run, and in no state or plan.

mod token;

pub(crate) use token::Token;
