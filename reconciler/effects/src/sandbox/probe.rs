//! What a machine offers for containing programs, found out by doing it, and said in words.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::spec::{Beyond, Limits, Network, NotMade, Report, Spec, Stage};
use super::{contained, outer, wall};
use crate::process::Command;

/// What a machine offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Whether Landlock stands behind the namespaces.
    pub landlock: bool,
}

/// Why a program cannot be contained here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("programs cannot be contained here: {what}; {remedy}")]
pub struct Missing {
    /// What failed.
    pub what: String,
    /// What to set.
    pub remedy: String,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.landlock {
            true => "namespaces and Landlock",
            false => "namespaces, without Landlock (add `landlock` to the kernel's `lsm=` list)",
        })
    }
}

/// Makes a sandbox around nothing in particular.
pub(super) fn probe(program: &Path) -> Result<Offer, Missing> {
    let other = |error: std::io::Error| Missing {
        what: format!("the daemon's own program cannot be tried: {error}"),
        remedy: "look at the permissions of the temporary directory and of lockstepd".to_owned(),
    };
    let notes = contained::private_dir().map_err(other)?;
    let report = try_out(program, &notes).map_err(other);
    std::fs::remove_dir_all(&notes).ok();
    match report? {
        Report::Ended { code: Some(0), .. } => Ok(Offer { landlock: wall::has_landlock() }),
        Report::NotMade(not_made) => Err(explain(&not_made)),
        report @ (Report::Ended { .. }
        | Report::Exceeded { .. }
        | Report::Lost
        | Report::NotStarted { .. }) => Err(other(std::io::Error::other(format!("{report:?}")))),
    }
}

fn try_out(program: &Path, notes: &Path) -> std::io::Result<Report> {
    let spec = Spec {
        program: "/bin/true".into(),
        args: Vec::new(),
        dir: "/tmp".into(),
        shares: Vec::new(),
        network: Network::None,
        limits: Limits {
            processes: 8,
            memory: 1 << 30,
            disk: 1 << 20,
            open_files: 64,
            beyond: Beyond::End,
        },
        identity: contained::identity(),
        report: notes.join(contained::REPORT),
        look: Duration::from_secs(1),
    };
    let mut command = Command::new(program).arg(outer::ARGUMENT).to_std();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read says by its end why.
        stdin.write_all(&serde_json::to_vec(&spec)?).ok();
    }
    let output = child.wait_with_output()?;
    contained::read_report(&spec.report)?.ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        std::io::Error::other(format!("it ended with {} and said {said:?}", output.status))
    })
}

/// What stands in the way, as far as the kernel's settings tell.
fn explain(not_made: &NotMade) -> Missing {
    let setting =
        |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let what = format!("{} cannot be set up ({})", not_made.stage, not_made.message);
    let closed = [
        (
            "kernel.unprivileged_userns_clone",
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "1",
        ),
        ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces", "0", "10000"),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "0",
        ),
    ];
    for (name, path, bad, good) in closed {
        if setting(path).as_deref() == Some(bad) {
            let remedy = format!(
                "`{name}` is {bad}: set `sysctl {name}={good}`, or allow it for lockstepd alone"
            );
            return Missing { what, remedy };
        }
    }
    let remedy = match not_made.stage {
        Stage::Namespaces | Stage::Identity => {
            "in a container, allow it user namespaces (its seccomp profile refuses `clone` with \
             CLONE_NEWUSER) or run lockstepd outside of it"
        }
        Stage::Files => {
            "in a container, run it with an unmasked /proc (`--security-opt systempaths=unconfined`); \
             the kernel has to be 5.12 or newer"
        }
        Stage::Order | Stage::Network | Stage::Limits | Stage::Walls => {
            "look at what the kernel and its security modules refuse (dmesg)"
        }
    };
    Missing { what, remedy: remedy.to_owned() }
}
