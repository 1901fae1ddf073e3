//! Edits of configuration text that change only what was asked for.

pub mod yaml;
