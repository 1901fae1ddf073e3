//! Stored plans: files that an apply finds again exactly as they were made, or not at all.
//!
//! A plan holds every value of its module in clear text, secrets and the whole state with it. So it is sealed as soon as it is
//! made, under the keys that seal versions of states, and opened only for the tool that applies it: into the directory of
//! that run, from which it goes when the run is over.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reconciler_domain::id::StepName;
use reconciler_domain::step::PlanRecord;
use sha2::{Digest as _, Sha256};

use super::{Halt, RunContext, Workdir, blocking};
use crate::infra::{Plan, open_file, read_file, write_file};
use crate::layout::make_private_dir;
use crate::scoped::Scoped;
use crate::states::{SealedState, Sealing};
use crate::workdir::RelPath;

/// What the tool calls the file that pins the versions of providers.
pub(super) const LOCK_FILE: &str = ".terraform.lock.hcl";
/// How the file of a sealed plan begins. The key's name is the next line, then what is sealed.
const HEAD: &[u8] = b"lockstep sealed plan 1\n";
/// How the names of stored plans end.
const PLAN_END: &str = ".tfplan";

/// A stored plan in clear text.
pub(super) struct Opened {
    /// Its file, beside which the lock file is.
    pub(super) file: PathBuf,
    /// The plan.
    pub(super) bytes: Vec<u8>,
}

/// Keeps a plan, sealed, and the lock file that it was made with, under a name that holds the plan's digest; nothing
/// of it stays in clear text. The name inside the storage.
pub(super) async fn store(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    plan: &Plan,
    module: &Path,
) -> Result<String, Halt> {
    let dir = effects.layout().plans(&cx.project, &cx.promotion);
    let name = format!("{}-{}{PLAN_END}", stem(cx, step), &plan.digest[..16]);
    let kept = format!("{}/{}/{name}", cx.project, cx.promotion);
    let (draft, lock, bound) = (plan.file.clone(), module.join(LOCK_FILE), kept.clone());
    let sealing = Arc::clone(effects.sealing());
    let stored = blocking(move || {
        make_private_dir(&dir)?;
        let file = dir.join(name);
        if let Some(lock) = read_file(&lock)? {
            write_new(&with_suffix(&file, ".lock"), &lock)?;
        }
        // By its handle: what has its name may be anything that the module's code put there.
        let mut made = Vec::new();
        open_file(&draft)?.read_to_end(&mut made)?;
        // The plan comes last, whole or not at all: where it is, the rest is too.
        let partial = with_suffix(&file, ".partial");
        write_new(&partial, &sealed(sealing.as_ref(), &bound, &made)?)?;
        std::fs::rename(&partial, &file)?;
        std::fs::remove_file(&draft)?;
        File::open(&dir)?.sync_all()
    });
    stored.await.map_err(|error| io("store the plan of", Path::new(&kept), &error))?;
    Ok(kept)
}

/// The stored plan, opened, if it is still the one that was made.
pub(super) async fn find(effects: &Scoped, plan: &PlanRecord) -> Result<Opened, Halt> {
    let name: RelPath = plan.file.parse().map_err(|error: crate::workdir::WorkdirError| {
        Halt::never(format_args!("stored plan {}: {error}", plan.file))
    })?;
    let file = effects.layout().all_plans().join(name.as_path());
    let read = file.clone();
    let Some(stored) =
        blocking(move || read_if_there(&read)).await.map_err(|error| io("read", &file, &error))?
    else {
        return Err(Halt::never(format_args!(
            "the stored plan {} is gone, so there is nothing to apply; promote again",
            plan.file,
        )));
    };
    let bytes = opened(effects.sealing().as_ref(), &plan.file, stored).map_err(|reason| {
        Halt::never(format_args!(
            "the stored plan {} was changed, or sealed with another key ({reason}): it is not applied; promote again",
            plan.file,
        ))
    })?;
    let found = hex(&Sha256::digest(&bytes));
    if found != plan.file_digest {
        return Err(Halt::never(format_args!(
            "the stored plan {} was changed: its digest is {found}, approved was {}; it is not \
             applied; promote again",
            plan.file, plan.file_digest,
        )));
    }
    Ok(Opened { file, bytes })
}

/// Writes a plan in clear text for the one run that reads it.
pub(super) fn lay_out(plan: &Opened, at: &Path) -> std::io::Result<()> {
    write_new(at, &plan.bytes)
}

fn sealed(sealing: &dyn Sealing, kept: &str, plan: &[u8]) -> std::io::Result<Vec<u8>> {
    let SealedState { key, bytes } =
        sealing.seal(&bound(kept), plan).map_err(std::io::Error::other)?;
    Ok([HEAD, key.as_bytes(), b"\n", &bytes].concat())
}

/// What was stored, in clear text. What does not begin as sealed plans do was stored before they were sealed.
fn opened(sealing: &dyn Sealing, kept: &str, stored: Vec<u8>) -> Result<Vec<u8>, String> {
    let Some(rest) = stored.strip_prefix(HEAD) else { return Ok(stored) };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (Some(key), Some(bytes)) = (parts.next(), parts.next()) else {
        return Err("its file is damaged".to_owned());
    };
    let key = String::from_utf8(key.to_vec()).map_err(|_| "its file is damaged".to_owned())?;
    sealing.open(&bound(kept), &SealedState { key, bytes: bytes.to_vec() })
}

/// What is sealed, so that a file that was moved does not open.
fn bound(kept: &str) -> Vec<u8> {
    format!("lockstep plan 1\n{kept}").into_bytes()
}

/// Seals every stored plan below the data directory under the key that seals now, those too that were stored before they
/// were sealed. How many; may be repeated.
///
/// # Errors
/// One does not open, or cannot be written; those before it are sealed anew, and open all the same.
pub fn reseal_plans(data_dir: &Path, sealing: &dyn Sealing) -> std::io::Result<usize> {
    let all = data_dir.join("plans");
    let mut count = 0;
    for project in directories(&all)? {
        for promotion in directories(&all.join(&project))? {
            let dir = all.join(&project).join(&promotion);
            for entry in std::fs::read_dir(&dir)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if !name.ends_with(PLAN_END) {
                    continue;
                }
                let (file, kept) = (dir.join(&name), format!("{project}/{promotion}/{name}"));
                let plan = opened(sealing, &kept, std::fs::read(&file)?).map_err(|reason| {
                    std::io::Error::other(format!("stored plan {kept} does not open: {reason}"))
                })?;
                let partial = with_suffix(&file, ".partial");
                write_new(&partial, &sealed(sealing, &kept, &plan)?)?;
                std::fs::rename(&partial, &file)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

fn directories(dir: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Puts the lock file that a plan was made with into a module that was checked out again.
pub(super) fn restore_lock(plan: &Path, module: &Path) -> Result<(), Halt> {
    let lock = with_suffix(plan, ".lock");
    let restored = read_if_there(&lock).and_then(|bytes| match bytes {
        Some(bytes) => write_file(&module.join(LOCK_FILE), &bytes),
        None => Ok(()),
    });
    restored.map_err(|error| io("restore", &lock, &error))
}

fn stem(cx: &RunContext, step: &StepName) -> String {
    match cx.workdir {
        Workdir::Main | Workdir::Lane(_) => step.to_string(),
        Workdir::Undo => format!("{step}-undo"),
    }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file that only this user can read, through to the disk.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read_if_there(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn io(action: &str, path: &Path, error: &std::io::Error) -> Halt {
    Halt::later(format_args!("cannot {action} {}: {error}", path.display()))
}
