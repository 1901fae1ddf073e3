//! Looks, while a program runs, at what it uses in all: no limit of the kernel counts that without a control
//! group of its own.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::spec::{Access, Excess, Spec};

/// What an entry of a directory counts at least, in bytes.
const ENTRY_BYTES: u64 = 4096;
/// Blocks of `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// A look takes at most one part in so many of the time.
const SHARE_OF_TIME: u32 = 20;

/// What is looked at, and when next.
pub(super) struct Watch {
    roots: Vec<PathBuf>,
    /// Bytes that were there before.
    before: u64,
    memory: u64,
    disk: u64,
    every: Duration,
    next: Instant,
}

impl Watch {
    pub(super) fn new(spec: &Spec) -> io::Result<Self> {
        let mut roots: Vec<PathBuf> = Vec::new();
        for share in spec.shares.iter().filter(|share| share.access == Access::Write) {
            if !roots.iter().any(|root| share.path.starts_with(root)) {
                roots.push(share.path.clone());
            }
        }
        // Memory of a kind that is not counted as such.
        roots.push("/dev/shm".into());
        let mut watch = Self {
            roots,
            before: 0,
            memory: spec.limits.memory,
            disk: spec.limits.disk,
            every: spec.look,
            next: Instant::now() + spec.look,
        };
        watch.before = watch.used(u64::MAX);
        Ok(watch)
    }

    /// Time until the next look is due.
    pub(super) fn due(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// What was gone beyond, if anything was, and how many times over.
    pub(super) fn look(&mut self) -> Option<(Excess, u64)> {
        let begun = Instant::now();
        let most = self.before.saturating_add(self.disk.saturating_mul(2));
        let grown = self.used(most).saturating_add(unlinked()).saturating_sub(self.before);
        let excess = over(Excess::Disk, grown, self.disk)
            .or_else(|| over(Excess::Memory, memory(self.memory), self.memory));
        let pause = begun.elapsed().saturating_mul(SHARE_OF_TIME).max(self.every);
        self.next = Instant::now() + pause;
        excess
    }

    /// Bytes below the roots; `most` is as much as anybody wants to know.
    fn used(&self, most: u64) -> u64 {
        let mut sum = 0_u64;
        let mut open = self.roots.clone();
        while let Some(dir) = open.pop() {
            if sum > most {
                return sum;
            }
            match entries(&dir) {
                Ok(entries) => {
                    for (path, found) in entries {
                        sum = sum.saturating_add(size(&found));
                        if found.is_dir() {
                            open.push(path);
                        }
                    }
                }
                // So deep that its path cannot be written: nobody needs that.
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return u64::MAX,
                Err(_) => {}
            }
        }
        sum
    }
}

fn over(excess: Excess, used: u64, limit: u64) -> Option<(Excess, u64)> {
    (used > limit).then(|| (excess, used / limit.max(1)))
}

/// What a directory holds. One that was closed to us, its owner, is opened again.
fn entries(dir: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
            std::fs::read_dir(dir)?
        }
        listed => listed?,
    };
    let found = listed.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.path(), entry.metadata().ok()?))
    });
    Ok(found.collect())
}

fn size(found: &Metadata) -> u64 {
    found.blocks().saturating_mul(BLOCK_BYTES).max(ENTRY_BYTES)
}

/// The processes of the sandbox.
fn processes() -> impl Iterator<Item = PathBuf> {
    let listed = std::fs::read_dir("/proc").into_iter().flatten();
    listed.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<i32>().ok()?;
        Some(entry.path())
    })
}

/// Bytes of files that are open and have no name any more.
fn unlinked() -> u64 {
    let mut seen = BTreeSet::new();
    let mut sum = 0_u64;
    for process in processes() {
        for file in std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let Ok(found) = std::fs::metadata(file.path()) else { continue };
            if found.is_file() && found.nlink() == 0 && seen.insert((found.dev(), found.ino())) {
                sum = sum.saturating_add(found.blocks().saturating_mul(BLOCK_BYTES));
            }
        }
    }
    sum
}

/// Bytes of memory in use. What several processes share counts once, where the cheaper sum is beyond the limit.
fn memory(limit: u64) -> u64 {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let resident = |process: &Path| {
        let text = std::fs::read_to_string(process.join("statm")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    };
    let proportional = |process: &Path| {
        let text = std::fs::read_to_string(process.join("smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    let all: Vec<PathBuf> = processes().collect();
    let pages = |process: &PathBuf| resident(process).unwrap_or(0).saturating_mul(page);
    let sum = all.iter().map(pages).fold(0, u64::saturating_add);
    if sum <= limit {
        return sum;
    }
    let fair = |process: &PathBuf| {
        proportional(process).map_or_else(|| pages(process), |kilobytes| kilobytes << 10)
    };
    all.iter().map(fair).fold(0, u64::saturating_add)
}
