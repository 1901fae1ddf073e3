//! The embedded states as people see them: what is there, what was there before, and one writer at a time.
//!
//! ```text
//! states/PROJECT/STAGE/NAME/terraform.tfstate                  what the tools write (in clear text)
//!                           terraform.tfstate.d/WORKSPACE/…    the same, of other workspaces
//! versions/PROJECT/STAGE/NAME/WORKSPACE/0000000012.version     what was there: sealed
//!                                       known                  what the state that is there is the result of
//! ```
//!
//! [`document`] is the little that is read of a state, [`version`] the file of one version, [`lock`] says who may
//! write, [`write`] is what people and other tools write: over HTTP, and older versions.
//!
//! A run of an infra tool may write into the first tree, and so may whatever a module executes. It is read
//! and written through no link, and nothing that decides anything is kept there: versions are in a tree that
//! no sandbox shows.
//!
//! A state that a run could not write (`errored.tfstate`) is kept as a version and *waits*: the next look puts it
//! back where it carries on what is there, and else it is shown to people.
//!
//! A state is kept as a version by looking ([`States::keep`]): before a run, after a run, and whenever somebody
//! asks. What was kept already is not kept twice, so that a look after a crash does no harm and misses nothing.

mod document;
mod error;
mod known;
mod lock;
mod name;
mod seal;
mod version;
mod write;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reconciler_domain::id::ProjectName;
use sha2::{Digest as _, Sha256};

use crate::workdir::{EntryKind, RelPath, WorkDir, WorkRoot, WorkdirError};
pub use document::Document;
pub use error::StateError;
pub(crate) use known::{By, Known};
pub(crate) use lock::Held;
pub use lock::{Holder, LOCK_MAX, RunHolder, StateLock};
pub use name::{DEFAULT_WORKSPACE, StateName};
pub use seal::{NoKey, SealedState, Sealing};
pub use version::{Maker, Version};

/// What is kept of each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Versions.
    pub versions: usize,
    /// Bytes of them all, sealed. The newest is kept whatever it takes.
    pub bytes: u64,
    /// Bytes of a state that can be one.
    pub state_bytes: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { versions: 50, bytes: 1 << 30, state_bytes: 64 << 20 }
    }
}

/// The embedded states of all projects. Cheap to clone. One process at a time has them.
#[derive(Clone)]
pub struct States {
    inner: Arc<Inner>,
}

struct Inner {
    current: WorkDir,
    versions: WorkDir,
    sealing: Arc<dyn Sealing>,
    kept: Kept,
    /// Held while files are looked at and changed.
    turn: Mutex<()>,
    /// States that a run of this process has locked.
    at_work: Mutex<BTreeSet<StateName>>,
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("kept", &self.inner.kept).finish_non_exhaustive()
    }
}

/// A state that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Which.
    pub name: StateName,
    /// What it says of itself; absent: it cannot be read, or a run is writing it.
    pub document: Option<Document>,
    /// Its version; absent: it is not kept yet.
    pub version: Option<Version>,
    /// Its size in bytes.
    pub size: u64,
    /// The version that a run could not write, and that could not be put back.
    pub waits: Option<u64>,
    /// Who may write it, if somebody locked it.
    pub lock: Option<StateLock>,
}

impl States {
    /// Opens the trees below the data directory, making them if they are missing.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn open(
        data_dir: &Path,
        sealing: Arc<dyn Sealing>,
        kept: Kept,
    ) -> Result<Self, WorkdirError> {
        let current = WorkRoot::open(data_dir.join("states"))?.whole();
        let versions = WorkRoot::open(data_dir.join("versions"))?.whole();
        let (turn, at_work) = (Mutex::default(), Mutex::default());
        let inner = Inner { current, versions, sealing, kept, turn, at_work };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Does file work where it may block.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let states = self.clone();
        crate::blocking(move || work(&states)).await
    }

    /// Looks at a state that nothing works on: puts back what waits, where that is safe, and keeps what is there
    /// as a version, unless it is one already. None: there is no state yet.
    ///
    /// # Errors
    /// It cannot be read or kept; [`StateError::Gone`]: it was there, and is not.
    pub fn keep(
        &self,
        name: &StateName,
        by: &Maker,
        at: Timestamp,
    ) -> Result<Option<Version>, StateError> {
        self.keep_under(None, name, by, at)
    }

    /// The same for whoever has the lock of this id: nothing is put back under the lock of another.
    pub(crate) fn keep_under(
        &self,
        own: Option<&str>,
        name: &StateName,
        by: &Maker,
        at: Timestamp,
    ) -> Result<Option<Version>, StateError> {
        let _turn = self.turn();
        let is_free = self.holder(name)?.is_none_or(|held| Some(held.id.as_str()) == own);
        let put_back = if is_free { self.put_back(name) } else { Ok(()) };
        // Whatever is wrong with what waits, what is there is looked at.
        match self.read(name)? {
            Some(bytes) => {
                let kept = self.keep_bytes(name, &bytes, by, at)?;
                put_back.map(|()| Some(kept))
            }
            None => {
                self.not_gone(name)?;
                put_back.map(|()| None)
            }
        }
    }

    /// Whether there is a state that was written to; what cannot be read is one.
    pub(crate) fn is_there(&self, name: &StateName) -> bool {
        let _turn = self.turn();
        !matches!(self.read(name), Ok(None))
    }

    /// What is there now, whoever has the lock; none: somebody removed it, or it never was.
    ///
    /// # Errors
    /// It cannot be read; [`StateError::Gone`]: it was there, and is not.
    pub(crate) fn present(&self, name: &StateName) -> Result<Option<Vec<u8>>, StateError> {
        let _turn = self.turn();
        let found = self.read(name)?;
        if found.is_none() {
            self.not_gone(name)?;
        }
        Ok(found)
    }

    /// Most bytes that a state may have.
    #[must_use]
    pub fn state_limit(&self) -> u64 {
        self.inner.kept.state_bytes
    }

    /// Keeps a state that a run could not write, until the next look.
    ///
    /// # Errors
    /// It is no state, or cannot be kept.
    pub fn keep_unwritten(
        &self,
        name: &StateName,
        bytes: &[u8],
        by: &Maker,
        at: Timestamp,
    ) -> Result<Version, StateError> {
        let _turn = self.turn();
        let version = self.keep_bytes(name, bytes, by, at)?;
        self.inner.versions.write(&name.waiting(), version.number.to_string().as_bytes())?;
        Ok(version)
    }

    /// The versions of a state, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn versions(&self, name: &StateName) -> Result<Vec<Version>, StateError> {
        let _turn = self.turn();
        self.list_versions(name)
    }

    /// What a version is: a state in clear text.
    ///
    /// # Errors
    /// There is no such version, or it does not open.
    pub fn content(&self, name: &StateName, number: u64) -> Result<Vec<u8>, StateError> {
        let _turn = self.turn();
        self.open_version(name, number)
    }

    /// The states of a project that are there, by stage, name and workspace.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self, project: &ProjectName) -> Result<Vec<Current>, StateError> {
        let _turn = self.turn();
        let mut found = Vec::new();
        for stage in self.directories(&self.inner.current, project.as_str())? {
            let below = format!("{project}/{stage}");
            for state in self.directories(&self.inner.current, &below)? {
                let dir = format!("{below}/{state}");
                let mut workspaces = vec![DEFAULT_WORKSPACE.to_owned()];
                let others = format!("{dir}/{}", name::OTHER_WORKSPACES);
                workspaces.extend(self.directories(&self.inner.current, &others)?);
                for workspace in workspaces {
                    let Some(name) = StateName::read(project, &stage, &state, &workspace) else {
                        continue;
                    };
                    found.extend(self.look(name)?);
                }
            }
        }
        Ok(found)
    }

    /// Seals every version under the key that seals now. How many; may be repeated.
    ///
    /// # Errors
    /// One does not open; those before it are sealed anew, and open all the same.
    pub fn reseal(&self) -> Result<usize, StateError> {
        let _turn = self.turn();
        let tree = &self.inner.versions;
        let mut count = 0;
        for project in self.directories(tree, ".")? {
            for stage in self.directories(tree, &project)? {
                for state in self.directories(tree, &format!("{project}/{stage}"))? {
                    let below = format!("{project}/{stage}/{state}");
                    for workspace in self.directories(tree, &below)? {
                        let project = project.parse().ok();
                        let name = project.as_ref().and_then(|project| {
                            StateName::read(project, &stage, &state, &workspace)
                        });
                        count += name.map_or(Ok(0), |name| self.reseal_state(&name))?;
                    }
                }
            }
        }
        Ok(count)
    }

    fn reseal_state(&self, name: &StateName) -> Result<usize, StateError> {
        let numbers = self.numbers(name)?;
        for number in &numbers {
            let path = name.version(*number);
            let file = self.inner.versions.read(&path, version::file_limit(self.inner.kept))?;
            let resealed = version::reseal(self.inner.sealing.as_ref(), name, *number, &file)?;
            self.inner.versions.write(&path, &resealed)?;
        }
        Ok(numbers.len())
    }

    fn look(&self, name: StateName) -> Result<Option<Current>, StateError> {
        let Some(bytes) = self.read_bytes(&name)? else { return Ok(None) };
        let (waits, lock) = (self.waits(&name)?, self.holder(&name)?);
        let document = Document::parse(&bytes).ok();
        let sha256 = sha256(&bytes);
        let version = self.list_versions(&name)?.into_iter().rfind(|kept| kept.sha256 == sha256);
        Ok(Some(Current { name, document, version, size: bytes.len() as u64, waits, lock }))
    }

    /// Puts a state that waits back where it carries on what is there, or what was there last.
    fn put_back(&self, name: &StateName) -> Result<(), StateError> {
        let Some(number) = self.waits(name)? else { return Ok(()) };
        let bytes = self.open_version(name, number)?;
        let waits = Document::parse(&bytes)
            .map_err(|source| StateError::NoState { name: name.to_string(), source })?;
        if self.is_removed(name)? {
            return Ok(());
        }
        let there = match self.read(name)?.map(|there| Document::parse(&there)) {
            Some(Ok(Document { lineage, serial, .. })) => Some((lineage, serial)),
            // A write that had no room leaves nothing, or a part.
            Some(Err(_)) | None => self.newest(name)?.map(|kept| (kept.lineage, kept.serial)),
        };
        let carries_on =
            there.is_none_or(|(lineage, serial)| lineage == waits.lineage && serial < waits.serial);
        if !carries_on {
            return Ok(());
        }
        self.inner.current.write(&name.current(), &bytes)?;
        self.inner.versions.remove(&name.waiting())?;
        tracing::info!(%name, number, "a state that a run could not write is put back");
        Ok(())
    }

    /// Refuses a state that is not there and was, unless it was removed on purpose.
    fn not_gone(&self, name: &StateName) -> Result<(), StateError> {
        if self.is_removed(name)? {
            return Ok(());
        }
        if let Some(Version { number, serial, .. }) = self.newest(name)? {
            return Err(StateError::Gone { name: name.to_string(), number, serial });
        }
        // What a damaged version was, nobody knows.
        let readable = self.list_versions(name)?;
        let mut numbers = self.numbers(name)?.into_iter();
        let is_damaged = |number: &u64| !readable.iter().any(|version| version.number == *number);
        match numbers.rfind(is_damaged) {
            Some(number) => {
                let reason = "its file is damaged, and the state itself is gone".to_owned();
                Err(StateError::Closed { name: name.to_string(), number, reason })
            }
            None => Ok(()),
        }
    }

    fn is_removed(&self, name: &StateName) -> Result<bool, StateError> {
        Ok(self.inner.versions.exists(&name.removed())?)
    }

    /// The version that waits to be put back.
    fn waits(&self, name: &StateName) -> Result<Option<u64>, StateError> {
        match self.inner.versions.read_to_string(&name.waiting(), version::HEADER_MAX) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(WorkdirError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest version that was ever there.
    fn newest(&self, name: &StateName) -> Result<Option<Version>, StateError> {
        let versions = self.list_versions(name)?;
        let was_there = |kept: &Version| !matches!(kept.by, Maker::Unwritten { .. });
        Ok(versions.into_iter().rfind(was_there))
    }

    /// The state that is there, if it was written to.
    fn read(&self, name: &StateName) -> Result<Option<Vec<u8>>, StateError> {
        let bytes = self.read_bytes(name)?;
        // A tool makes the file before its first write.
        Ok(bytes.filter(|bytes| !bytes.trim_ascii().is_empty()))
    }

    fn read_bytes(&self, name: &StateName) -> Result<Option<Vec<u8>>, StateError> {
        let read = self.inner.current.read(&name.current(), self.inner.kept.state_bytes);
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(WorkdirError::NotFound { .. }) => Ok(None),
            Err(WorkdirError::TooLarge { limit_bytes, .. }) => {
                Err(StateError::TooLarge { name: name.to_string(), limit_bytes })
            }
            Err(source) => Err(StateError::Files(source)),
        }
    }

    fn keep_bytes(
        &self,
        name: &StateName,
        bytes: &[u8],
        by: &Maker,
        at: Timestamp,
    ) -> Result<Version, StateError> {
        let Document { serial, lineage, resources, .. } = Document::parse(bytes)
            .map_err(|source| StateError::NoState { name: name.to_string(), source })?;
        let sha256 = sha256(bytes);
        let versions = self.list_versions(name)?;
        // One that is restored as it was is there once more.
        let is_restored = matches!(by, Maker::Restored { .. });
        if let Some(kept) = versions.iter().rfind(|kept| kept.sha256 == sha256 && !is_restored) {
            self.inner.versions.remove(&name.removed())?;
            return Ok(kept.clone());
        }
        let number = versions.last().map_or(1, |last| last.number + 1);
        let size = bytes.len() as u64;
        let by = by.clone();
        let version = Version { number, serial, lineage, resources, at, sha256, size, by };
        let file = version::seal(self.inner.sealing.as_ref(), name, &version, bytes)?;
        self.inner.versions.write(&name.version(number), &file)?;
        // Not before: until then the state is one that was removed.
        self.inner.versions.remove(&name.removed())?;
        self.prune(name)?;
        Ok(version)
    }

    fn open_version(&self, name: &StateName, number: u64) -> Result<Vec<u8>, StateError> {
        let path = name.version(number);
        let file = match self.inner.versions.read(&path, version::file_limit(self.inner.kept)) {
            Err(WorkdirError::NotFound { .. }) => {
                return Err(StateError::NoVersion { name: name.to_string(), number });
            }
            read => read?,
        };
        version::open(self.inner.sealing.as_ref(), name, number, &file)
    }

    fn list_versions(&self, name: &StateName) -> Result<Vec<Version>, StateError> {
        let mut versions = Vec::new();
        for number in self.numbers(name)? {
            let path = name.version(number);
            let head = self.inner.versions.head(&path, version::HEADER_MAX)?;
            match version::header(&head) {
                Some(version) => versions.push(version),
                None => tracing::warn!(%name, number, "this version of a state is damaged"),
            }
        }
        Ok(versions)
    }

    fn numbers(&self, name: &StateName) -> Result<Vec<u64>, StateError> {
        let entries = entries(&self.inner.versions, &name.versions())?;
        let files = entries.into_iter().filter(|entry| entry.kind == EntryKind::File);
        let mut numbers: Vec<u64> =
            files.filter_map(|file| name::version_number(&file.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes the oldest versions where there are too many; never the newest, nor what is there now.
    fn prune(&self, name: &StateName) -> Result<(), StateError> {
        let versions = self.list_versions(name)?;
        let now = self.read_bytes(name)?.map(|bytes| sha256(&bytes));
        let waits = self.waits(name)?;
        let (mut count, mut bytes) = (0, 0);
        for (back, version) in versions.iter().rev().enumerate() {
            (count, bytes) = (count + 1, bytes + version.size);
            let fits = count <= self.inner.kept.versions && bytes <= self.inner.kept.bytes;
            let is_needed = now.as_ref() == Some(&version.sha256) || waits == Some(version.number);
            if back == 0 || fits || is_needed {
                continue;
            }
            self.inner.versions.remove(&name.version(version.number))?;
        }
        Ok(())
    }

    fn directories(&self, tree: &WorkDir, path: &str) -> Result<Vec<String>, StateError> {
        let entries = entries(tree, &name::path(path))?;
        let directories = entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory);
        Ok(directories.map(|entry| entry.name).collect())
    }

    fn at_work(&self) -> MutexGuard<'_, BTreeSet<StateName>> {
        self.inner.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.inner.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entries(tree: &WorkDir, path: &RelPath) -> Result<Vec<crate::workdir::Entry>, StateError> {
    match tree.list(path) {
        Err(WorkdirError::NotFound { .. }) => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
