//! The two calls into libgit2 that Rust cannot check.
#![expect(
    unsafe_code,
    reason = "registering a transport and setting search paths change libgit2's global state"
)]

use std::sync::OnceLock;

use git2::ConfigLevel;
use git2::transport::Transport;

use super::super::error::GitError;
use super::{SCHEME, Session, Subtransport};

static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();

/// Registers the transport and cuts libgit2 off from configuration files outside the mirrors.
/// Runs once per process; must come before any other use of libgit2 in it.
pub(in super::super) fn install() -> Result<(), GitError> {
    let result = INSTALLED.get_or_init(|| install_once().map_err(|e| e.message().to_owned()));
    result.clone().map_err(|why| GitError::Setup { what: "libgit2", why })
}

fn install_once() -> Result<(), git2::Error> {
    let levels =
        [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global];
    for level in levels {
        // SAFETY: the call must not run beside other calls of libgit2. The `OnceLock` admits one
        // thread, and every use of libgit2 in this process comes after `Git::open`.
        unsafe { git2::opts::set_search_path(level, "")? };
    }
    // SAFETY: must not run beside the creation of transports; the same argument as above.
    unsafe {
        git2::transport::register(SCHEME, |remote| {
            let unknown = || git2::Error::from_str("no such session");
            let session = remote.url().ok().and_then(Session::find).ok_or_else(unknown)?;
            Transport::smart(remote, session.stateless(), Subtransport { session })
        })
    }
}
