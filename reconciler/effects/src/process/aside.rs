//! An environment that is carried past programs which it is not meant for.
//!
//! The loader of every program reads the environment before its first line runs, and variables such as
//! `LD_PRELOAD` have it load code. Whoever stands between us and the program must not see them by their names.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::Command;

/// What the names of variables begin with on the way. No step may name one like it.
const PREFIX: &[u8] = b"LOCKSTEP_INSIDE_";

impl Command {
    /// The same with its whole environment set aside: whoever is started on the way sees no variable by its
    /// name, until [`taken_up`] gives the names back.
    pub(crate) fn set_aside(mut self) -> Self {
        let own = std::mem::take(&mut self.env);
        let inherited = std::mem::take(&mut self.inherit).into_iter();
        let inherited = inherited.filter_map(|name| std::env::var_os(&name).map(|at| (name, at)));
        self.env = inherited.chain(own).map(|(name, value)| (aside(&name), value)).collect();
        self
    }
}

fn aside(name: &OsString) -> OsString {
    OsString::from_vec([PREFIX, name.as_bytes()].concat())
}

/// What was set aside of this process's environment, by its own names.
pub(crate) fn taken_up() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.as_bytes().strip_prefix(PREFIX)?;
        Some((OsString::from_vec(name.to_vec()), value))
    })
}
