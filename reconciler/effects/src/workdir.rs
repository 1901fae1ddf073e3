//! Working directories: scratch space for one key each, below one root.
//!
//! A working directory can be lost at any time; whoever uses it rebuilds it from what it was made of.
//! Every path inside is resolved by the kernel beneath the directory and through no symbolic link
//! (`openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`), so content that was cloned or rendered into
//! it cannot point a later read or write anywhere else, also not in a race.
//!
//! It refuses `..`, absolute paths, symbolic links and special files; it does not know what the
//! directories are for.

mod name;
mod space;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use self::name::KEY_MAX;
pub use self::name::{RelPath, WorkKey};
pub use self::space::free;

const DIR_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// `openat2` answers `EAGAIN` when a rename elsewhere raced with it; it says to try again.
const OPEN_ATTEMPTS_MAX: usize = 64;

/// The directory below which all working directories live. Mode 0700.
#[derive(Debug, Clone)]
pub struct WorkRoot {
    dir: Arc<OwnedFd>,
    path: PathBuf,
}

/// One working directory.
#[derive(Debug, Clone)]
pub struct WorkDir {
    dir: Arc<OwnedFd>,
    path: PathBuf,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The file name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link or a special file: listed, never opened.
    Other,
}

/// Why something in a working directory could not be done.
#[derive(Debug, thiserror::Error)]
pub enum WorkdirError {
    /// The key cannot name a directory.
    #[error(
        "`{key}` cannot name a working directory: use letters, digits, `.`, `_`, `-`, at most {KEY_MAX} bytes"
    )]
    InvalidKey {
        /// The key.
        key: String,
    },
    /// The path is not a plain relative path.
    #[error("path `{path}` is refused: give a path relative to the working directory without `..`")]
    InvalidPath {
        /// The path.
        path: String,
    },
    /// Nothing is there.
    #[error("`{path}` does not exist in the working directory")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The path goes through a symbolic link or out of the directory.
    #[error(
        "path `{path}` goes through a symbolic link or leaves the working directory, which is refused"
    )]
    Escape {
        /// The path.
        path: String,
    },
    /// Something other than a regular file.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// The file is larger than the caller allows.
    #[error("`{path}` is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The path.
        path: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The file is not UTF-8.
    #[error("`{path}` is not valid UTF-8 text")]
    NotText {
        /// The path.
        path: String,
    },
    /// The operating system failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
}

impl WorkRoot {
    /// Opens the root, making it (mode 0700) if it is missing.
    ///
    /// # Errors
    /// [`WorkdirError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, WorkdirError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = path.into();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE.bits())
            .create(&path)
            .map_err(|source| io("create", path.display(), source))?;
        // A canonical root keeps the paths handed to children valid whatever their working directory.
        let path = path.canonicalize().map_err(|source| io("resolve", path.display(), source))?;
        let dir = rustix::fs::open(&path, DIR_FLAGS, Mode::empty())
            .map_err(|errno| io("open", path.display(), errno.into()))?;
        Ok(Self { dir: Arc::new(dir), path })
    }

    /// Makes the working directory of `key`, or opens the one that is there.
    ///
    /// # Errors
    /// [`WorkdirError`].
    pub fn create(&self, key: &WorkKey) -> Result<WorkDir, WorkdirError> {
        make_dir(&self.dir, Path::new(key.as_str()))
            .map_err(|errno| io("create", key.as_str(), errno.into()))?;
        self.open_dir(key)
    }

    /// Opens the working directory of `key`.
    ///
    /// # Errors
    /// [`WorkdirError::NotFound`] if there is none.
    pub fn open_dir(&self, key: &WorkKey) -> Result<WorkDir, WorkdirError> {
        let dir = open_beneath(&self.dir, Path::new(key.as_str()), DIR_FLAGS, Mode::empty())
            .map_err(|errno| refusal("open", key.as_str(), errno))?;
        Ok(WorkDir { dir: Arc::new(dir), path: self.path.join(key.as_str()) })
    }

    /// Removes the working directory of `key` with all that it holds. Nothing to remove is success.
    ///
    /// # Errors
    /// [`WorkdirError::Io`].
    pub fn remove(&self, key: &WorkKey) -> Result<(), WorkdirError> {
        match std::fs::remove_dir_all(self.path.join(key.as_str())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io("remove", key.as_str(), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// All of it as one directory, for what is deeper than keys.
    #[must_use]
    pub(crate) fn whole(&self) -> WorkDir {
        WorkDir { dir: Arc::clone(&self.dir), path: self.path.clone() }
    }

    /// The keys that have a directory, in order: what a start-up sweep goes through.
    ///
    /// # Errors
    /// [`WorkdirError::Io`].
    pub fn keys(&self) -> Result<Vec<WorkKey>, WorkdirError> {
        let entries = list_dir(&self.dir, ".")?;
        Ok(entries
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::Directory)
            .filter_map(|entry| entry.name.parse().ok())
            .collect())
    }
}

impl WorkDir {
    /// The absolute path, for a child's working directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The absolute path of something that exists inside, checked at this moment. For handing to a child
    /// program; reads and writes of our own go through the other methods, which cannot be raced.
    ///
    /// # Errors
    /// [`WorkdirError::NotFound`], [`WorkdirError::Escape`].
    pub fn resolve(&self, path: &RelPath) -> Result<PathBuf, WorkdirError> {
        open_beneath(&self.dir, path.for_open(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| refusal("resolve", path, errno))?;
        Ok(self.path.join(path.as_path()))
    }

    /// Whether a file or directory is there.
    ///
    /// # Errors
    /// [`WorkdirError::Escape`].
    pub fn exists(&self, path: &RelPath) -> Result<bool, WorkdirError> {
        match self.resolve(path) {
            Ok(_) => Ok(true),
            Err(WorkdirError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a regular file of at most `limit_bytes`.
    ///
    /// # Errors
    /// [`WorkdirError::TooLarge`], [`WorkdirError::NotAFile`], [`WorkdirError::NotFound`].
    pub fn read(&self, path: &RelPath, limit_bytes: u64) -> Result<Vec<u8>, WorkdirError> {
        let bytes = self.head(path, limit_bytes.saturating_add(1))?;
        if bytes.len() as u64 > limit_bytes {
            return Err(WorkdirError::TooLarge { path: path.to_string(), limit_bytes });
        }
        Ok(bytes)
    }

    /// Reads the first `limit_bytes` of a regular file, or all of it.
    ///
    /// # Errors
    /// [`WorkdirError::NotAFile`], [`WorkdirError::NotFound`].
    pub fn head(&self, path: &RelPath, limit_bytes: u64) -> Result<Vec<u8>, WorkdirError> {
        // Non-blocking, so that a FIFO planted in a clone does not hang the reader.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = open_beneath(&self.dir, path.for_open(), flags, Mode::empty())
            .map_err(|errno| refusal("read", path, errno))?;
        let file = File::from(fd);
        let meta = file.metadata().map_err(|source| io("inspect", path, source))?;
        if !meta.is_file() {
            return Err(WorkdirError::NotAFile { path: path.to_string() });
        }
        let mut bytes = Vec::new();
        file.take(limit_bytes)
            .read_to_end(&mut bytes)
            .map_err(|source| io("read", path, source))?;
        Ok(bytes)
    }

    /// Reads a UTF-8 text of at most `limit_bytes`.
    ///
    /// # Errors
    /// As [`WorkDir::read`], and [`WorkdirError::NotText`].
    pub fn read_to_string(&self, path: &RelPath, limit_bytes: u64) -> Result<String, WorkdirError> {
        String::from_utf8(self.read(path, limit_bytes)?)
            .map_err(|_| WorkdirError::NotText { path: path.to_string() })
    }

    /// Writes a file so that a reader, or a crash, sees either the old or the whole new content: a
    /// temporary file beside it, synced, renamed over it, and the directory synced. Missing directories
    /// are made. The mode of a file that is replaced stays; a new file gets 0600.
    ///
    /// # Errors
    /// [`WorkdirError`].
    pub fn write(&self, path: &RelPath, bytes: &[u8]) -> Result<(), WorkdirError> {
        let (Some(parent), Some(name)) = (path.as_path().parent(), path.as_path().file_name())
        else {
            return Err(WorkdirError::InvalidPath { path: path.to_string() });
        };
        let parent = self.make_dirs(parent, path)?;
        let mode = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Err(WorkdirError::NotAFile { path: path.to_string() });
            }
            Ok(stat) => Mode::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => FILE_MODE,
            Err(errno) => return Err(refusal("inspect", path, errno)),
        };
        write_atomic(&parent, Path::new(name), bytes, mode)
            .map_err(|source| io("write", path, source))
    }

    /// Whether a file's owner may execute it.
    ///
    /// # Errors
    /// [`WorkdirError::NotFound`], [`WorkdirError::Escape`].
    pub fn is_executable(&self, path: &RelPath) -> Result<bool, WorkdirError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = open_beneath(&self.dir, path.for_open(), flags, Mode::empty())
            .map_err(|errno| refusal("inspect", path, errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| refusal("inspect", path, errno))?;
        Ok(Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR))
    }

    /// Lets a file's owner execute it, or not.
    ///
    /// # Errors
    /// [`WorkdirError::NotFound`], [`WorkdirError::Escape`].
    pub fn set_executable(&self, path: &RelPath, executable: bool) -> Result<(), WorkdirError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let failed = |errno| refusal("change", path, errno);
        let fd = open_beneath(&self.dir, path.for_open(), flags, Mode::empty()).map_err(failed)?;
        let before = Mode::from_raw_mode(rustix::fs::fstat(&fd).map_err(failed)?.st_mode);
        let mode = if executable { before | Mode::XUSR } else { before - Mode::XUSR };
        rustix::fs::fchmod(&fd, mode).map_err(failed)
    }

    /// Makes a directory with its parents and returns its absolute path. One that is there is success.
    ///
    /// # Errors
    /// [`WorkdirError`].
    pub fn create_dir(&self, path: &RelPath) -> Result<PathBuf, WorkdirError> {
        self.make_dirs(path.as_path(), path)?;
        Ok(self.path.join(path.as_path()))
    }

    /// Removes a file, a link, or a directory with all that it holds. Nothing to remove is success.
    ///
    /// # Errors
    /// [`WorkdirError`].
    pub fn remove(&self, path: &RelPath) -> Result<(), WorkdirError> {
        let (Some(parent), Some(name)) = (path.as_path().parent(), path.as_path().file_name())
        else {
            return Err(WorkdirError::InvalidPath { path: path.to_string() });
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let parent = match open_beneath(&self.dir, parent, DIR_FLAGS, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(refusal("open", path, errno)),
        };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // The standard library's walk is relative to open directories and follows no link. The magic
            // path names the directory that was opened above, whatever its name is now.
            Err(Errno::ISDIR) => {
                let opened = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&parent));
                std::fs::remove_dir_all(Path::new(&opened).join(name))
                    .map_err(|source| io("remove", path, source))
            }
            Err(errno) => Err(refusal("remove", path, errno)),
        }
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// [`WorkdirError`].
    pub fn list(&self, path: &RelPath) -> Result<Vec<Entry>, WorkdirError> {
        let dir = open_beneath(&self.dir, path.for_open(), DIR_FLAGS, Mode::empty())
            .map_err(|errno| refusal("list", path, errno))?;
        list_dir(&dir, &path.to_string())
    }

    fn make_dirs(&self, dirs: &Path, whole: &RelPath) -> Result<OwnedFd, WorkdirError> {
        let failed = |errno| refusal("create", whole, errno);
        let mut here =
            open_beneath(&self.dir, Path::new("."), DIR_FLAGS, Mode::empty()).map_err(failed)?;
        for name in dirs {
            make_dir(&here, Path::new(name)).map_err(failed)?;
            here =
                open_beneath(&here, Path::new(name), DIR_FLAGS, Mode::empty()).map_err(failed)?;
        }
        Ok(here)
    }
}

/// Writes `name` in `dir` with temporary file, fsync, rename and fsync of the directory.
pub(crate) fn write_atomic(
    dir: impl AsFd,
    name: &Path,
    bytes: &[u8],
    mode: Mode,
) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let temporary =
        format!(".write-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&dir, &temporary, flags, mode)?;
    let written = (|| {
        // The umask may have narrowed the mode.
        rustix::fs::fchmod(&fd, mode)?;
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(&dir, &temporary, &dir, name)?;
        Ok(rustix::fs::fsync(&dir)?)
    })();
    if written.is_err() {
        rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty()).ok();
    }
    written
}

const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_beneath(dir: impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..OPEN_ATTEMPTS_MAX {
        match rustix::fs::openat2(&dir, path, flags, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

fn make_dir(dir: impl AsFd, name: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdirat(dir, name, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn list_dir(dir: impl AsFd, shown: &str) -> Result<Vec<Entry>, WorkdirError> {
    let failed = |errno: Errno| io("list", shown, errno.into());
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "." || name == ".." {
            continue;
        }
        // Some file systems leave the type out of the listing.
        let file_type = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        let kind = match file_type {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile => EntryKind::File,
            _ => EntryKind::Other,
        };
        entries.push(Entry { name, kind });
    }
    entries.sort();
    Ok(entries)
}

fn refusal(action: &'static str, path: impl std::fmt::Display, errno: Errno) -> WorkdirError {
    match errno {
        Errno::NOENT => WorkdirError::NotFound { path: path.to_string() },
        Errno::LOOP | Errno::XDEV => WorkdirError::Escape { path: path.to_string() },
        errno => io(action, path, errno.into()),
    }
}

fn io(action: &'static str, path: impl std::fmt::Display, source: std::io::Error) -> WorkdirError {
    WorkdirError::Io { action, path: path.to_string(), source }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn rel(path: &str) -> RelPath {
        path.parse().unwrap()
    }

    fn scratch() -> (tempfile::TempDir, WorkDir) {
        let temp = tempfile::tempdir().unwrap();
        let root = WorkRoot::open(temp.path().join("work")).unwrap();
        let dir = root.create(&"k1".parse().unwrap()).unwrap();
        (temp, dir)
    }

    #[test]
    fn a_written_file_reads_back_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_temp, dir) = scratch();
        dir.write(&rel("a/b/run.sh"), b"one").unwrap();
        let path = dir.resolve(&rel("a/b/run.sh")).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        dir.write(&rel("a/b/run.sh"), b"two").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(dir.read(&rel("a/b/run.sh"), 3).unwrap(), b"two");
        assert!(matches!(dir.read(&rel("a/b/run.sh"), 2), Err(WorkdirError::TooLarge { .. })));
        let names: Vec<_> = dir.list(&rel("a/b")).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["run.sh"], "no temporary file stays");
    }

    #[test]
    fn symbolic_links_lead_nowhere() {
        let (temp, dir) = scratch();
        let outside = temp.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(&outside, dir.path().join("dir")).unwrap();
        std::os::unix::fs::symlink(outside.join("secret"), dir.path().join("file")).unwrap();
        for path in ["dir/secret", "file", "dir"] {
            assert!(matches!(dir.read(&rel(path), 10), Err(WorkdirError::Escape { .. })), "{path}");
            assert!(dir.write(&rel(path), b"x").is_err(), "{path}");
            assert!(dir.resolve(&rel(path)).is_err(), "{path}");
        }
        dir.remove(&rel("dir")).unwrap();
        assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "s");
    }

    #[test]
    fn a_directory_swapped_for_a_link_is_never_followed() {
        let (temp, dir) = scratch();
        let outside = temp.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        dir.create_dir(&rel("d")).unwrap();
        let base = dir.path().to_owned();
        let target = outside.clone();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = stop.clone();
        let racer = std::thread::spawn(move || {
            std::os::unix::fs::symlink(&target, base.join("l")).unwrap();
            while !seen.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    base.join("d"),
                    rustix::fs::CWD,
                    base.join("l"),
                    rustix::fs::RenameFlags::EXCHANGE,
                )
                .unwrap();
            }
        });
        let mut landed = 0;
        for turn in 0..2000 {
            landed += u32::from(dir.write(&rel(&format!("d/f{}", turn % 4)), b"x").is_ok());
        }
        stop.store(true, Ordering::Relaxed);
        racer.join().unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(landed > 0, "some writes met the real directory");
    }

    #[test]
    fn a_fifo_does_not_hang_the_reader() {
        let (_temp, dir) = scratch();
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), FileType::Fifo, FILE_MODE, 0)
            .unwrap();
        assert!(matches!(dir.read(&rel("pipe"), 10), Err(WorkdirError::NotAFile { .. })));
        assert!(matches!(dir.read(&rel("."), 10), Err(WorkdirError::NotAFile { .. })));
    }

    #[test]
    fn removing_takes_all_and_twice_is_fine() {
        let (temp, dir) = scratch();
        let root = WorkRoot::open(temp.path().join("work")).unwrap();
        dir.write(&rel("a/b/c"), b"x").unwrap();
        dir.remove(&rel("a")).unwrap();
        dir.remove(&rel("a/b")).unwrap();
        assert!(!dir.exists(&rel("a")).unwrap());
        let key: WorkKey = "k1".parse().unwrap();
        assert_eq!(root.keys().unwrap(), std::slice::from_ref(&key));
        root.remove(&key).unwrap();
        root.remove(&key).unwrap();
        assert_eq!(root.keys().unwrap(), []);
        assert!(matches!(root.open_dir(&key), Err(WorkdirError::NotFound { .. })));
    }
}
