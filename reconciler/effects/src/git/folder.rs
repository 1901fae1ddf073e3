//! A folder held open by its descriptor. Everything is done relative to it and never through a
//! symbolic link, so that nobody who renames folders meanwhile can lead us elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// An open folder.
pub(super) struct Folder(OwnedFd);

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File {
        executable: bool,
        size: u64,
    },
    Folder,
    Link,
    /// A device, a socket or a pipe.
    Special,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, folder_flags(), Mode::empty())?))
    }

    pub(super) fn enter(&self, name: &[u8]) -> io::Result<Self> {
        let name = OsStr::from_bytes(name);
        Ok(Self(rustix::fs::openat(&self.0, name, folder_flags(), Mode::empty())?))
    }

    pub(super) fn make(&self, name: &[u8]) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.0, OsStr::from_bytes(name), Mode::from_raw_mode(0o755))?;
        self.enter(name)
    }

    /// Writes a new file; fails if anything stands at the name.
    pub(super) fn write(&self, name: &[u8], content: &[u8], executable: bool) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let name = OsStr::from_bytes(name);
        let file = rustix::fs::openat(&self.0, name, flags | OFlags::CLOEXEC, mode)?;
        File::from(file).write_all(content)
    }

    /// Makes a new symbolic link; fails if anything stands at the name.
    pub(super) fn link(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(OsStr::from_bytes(target), &self.0, OsStr::from_bytes(name))?)
    }

    /// Reads a file that has at most `limit` bytes; `None` if it has more.
    pub(super) fn read(&self, name: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        // Without NONBLOCK, a pipe put here meanwhile would hold the thread for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.0, OsStr::from_bytes(name), flags, Mode::empty())?;
        let mut content = Vec::new();
        File::from(file).take(limit.saturating_add(1)).read_to_end(&mut content)?;
        Ok(Some(content).filter(|content| content.len() as u64 <= limit))
    }

    pub(super) fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.0, OsStr::from_bytes(name), Vec::new())?;
        Ok(target.into_bytes())
    }

    /// The names in the folder, sorted, without `.` and `..`.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec()).into_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn kind(&self, name: &[u8]) -> io::Result<Kind> {
        let name = OsStr::from_bytes(name);
        let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let executable = stat.st_mode & 0o100 != 0;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File { executable, size },
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Special,
        })
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
