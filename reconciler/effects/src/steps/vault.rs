//! Stored plans: files that an apply finds again exactly as they were made, or not at all.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use reconciler_domain::id::StepName;
use reconciler_domain::step::PlanRecord;
use sha2::{Digest as _, Sha256};

use super::{Halt, RunContext, Workdir, blocking};
use crate::infra::{Plan, open_file, read_file, write_file};
use crate::layout::make_private_dir;
use crate::scoped::Scoped;
use crate::workdir::RelPath;

/// What the tool calls the file that pins the versions of providers.
pub(super) const LOCK_FILE: &str = ".terraform.lock.hcl";

/// Keeps a plan, its JSON form and the lock file that it was made with, under a name that holds
/// the plan's digest. The name inside the storage.
pub(super) async fn store(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    plan: &Plan,
    module: &Path,
) -> Result<String, Halt> {
    let dir = effects.layout().plans(&cx.project, &cx.promotion);
    let name = format!("{}-{}.tfplan", stem(cx, step), &plan.digest[..16]);
    let kept = format!("{}/{}/{name}", cx.project, cx.promotion);
    let (draft, json, lock) = (plan.file.clone(), plan.json.clone(), module.join(LOCK_FILE));
    let stored = blocking(move || {
        make_private_dir(&dir)?;
        let file = dir.join(name);
        write_new(&with_suffix(&file, ".json"), json.as_bytes())?;
        if let Some(lock) = read_file(&lock)? {
            write_new(&with_suffix(&file, ".lock"), &lock)?;
        }
        // By its handle: what has its name may be anything that the module's code put there.
        let made = open_file(&draft)?;
        made.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        own(&made)?;
        made.sync_all()?;
        // The plan comes last: where it is, the rest is too.
        std::fs::rename(&draft, &file)?;
        File::open(&dir)?.sync_all()
    });
    stored.await.map_err(|error| io("store the plan of", Path::new(&kept), &error))?;
    Ok(kept)
}

/// The stored plan, if it is still the one that was made.
pub(super) async fn find(effects: &Scoped, plan: &PlanRecord) -> Result<PathBuf, Halt> {
    let name: RelPath = plan.file.parse().map_err(|error: crate::workdir::WorkdirError| {
        Halt::never(format_args!("stored plan {}: {error}", plan.file))
    })?;
    let file = effects.layout().all_plans().join(name.as_path());
    let read = file.clone();
    let Some(bytes) =
        blocking(move || read_if_there(&read)).await.map_err(|error| io("read", &file, &error))?
    else {
        return Err(Halt::never(format_args!(
            "the stored plan {} is gone, so there is nothing to apply; promote again",
            plan.file,
        )));
    };
    let found = hex(&Sha256::digest(&bytes));
    if found != plan.file_digest {
        return Err(Halt::never(format_args!(
            "the stored plan {} was changed: its digest is {found}, approved was {}; it is not \
             applied; promote again",
            plan.file, plan.file_digest,
        )));
    }
    Ok(file)
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

/// Takes a file back from the user that made it.
fn own(file: &File) -> std::io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if std::os::unix::fs::MetadataExt::uid(&file.metadata()?) == uid.as_raw() {
        return Ok(());
    }
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
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
