//! How much room a working directory takes, and how much there is.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode};

use super::{DIR_FLAGS, WorkDir, WorkdirError, io};

/// Bytes of one block in `stat`, whatever the file system's own are (POSIX `st_blocks`).
const BLOCK: u64 = 512;

impl WorkDir {
    /// Bytes that the directory takes on the disk with all that it holds. Counted only until they are
    /// more than `limit`.
    ///
    /// # Errors
    /// [`WorkdirError::Io`].
    pub fn size(&self, limit: u64) -> Result<u64, WorkdirError> {
        let failed = |errno: rustix::io::Errno| io("measure", self.path.display(), errno.into());
        let top = rustix::fs::openat(&self.dir, ".", DIR_FLAGS, Mode::empty()).map_err(failed)?;
        let (mut open, mut size) = (vec![top], 0_u64);
        while let Some(dir) = open.pop() {
            size = size.saturating_add(count(&dir, &mut open).map_err(failed)?);
            if size > limit {
                break;
            }
        }
        Ok(size)
    }
}

/// Bytes of the entries of a directory; the directories among them go to `open`. Links are not followed.
fn count(dir: &OwnedFd, open: &mut Vec<OwnedFd>) -> rustix::io::Result<u64> {
    let mut size = 0_u64;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = CString::from(entry.file_name());
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match rustix::fs::statat(dir, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // A tool may tidy up beside us.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        size = size.saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = DIR_FLAGS | rustix::fs::OFlags::NOFOLLOW;
            open.push(rustix::fs::openat(dir, name.as_c_str(), flags, Mode::empty())?);
        }
    }
    Ok(size)
}

/// Bytes that this process may still write where `path` is.
///
/// # Errors
/// The file system does not say.
pub fn free(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::WorkRoot;

    #[test]
    fn what_a_directory_takes_is_counted_without_its_links() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("large"), vec![1; 1 << 20]).unwrap();
        let root = WorkRoot::open(temp.path().join("work")).unwrap();
        let dir = root.create(&"k".parse().unwrap()).unwrap();
        assert_eq!(dir.size(u64::MAX).unwrap(), 0);
        dir.write(&"a/b/c".parse().unwrap(), &[1; 100_000]).unwrap();
        let before = dir.size(u64::MAX).unwrap();
        assert!((100_000..200_000).contains(&before), "{before}");
        std::os::unix::fs::symlink(temp.path().join("large"), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(temp.path(), dir.path().join("folder")).unwrap();
        assert!(dir.size(u64::MAX).unwrap() < 300_000);
        dir.write(&"d".parse().unwrap(), &[1; 500_000]).unwrap();
        assert!(dir.size(1).unwrap() > 1);
    }
}
