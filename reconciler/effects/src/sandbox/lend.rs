//! Hands a tree over to the user that a contained program runs as, through no link.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

/// Makes everything below a path, and the path itself, this user's.
pub(super) fn lend(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let top = rustix::fs::open(path, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&top)?;
    if found.st_uid != uid.as_raw() {
        rustix::fs::fchown(&top, Some(uid), Some(gid))?;
    }
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        lend_inside(top, uid, gid)?;
    }
    Ok(())
}

fn lend_inside(top: OwnedFd, uid: Uid, gid: Gid) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut open = vec![top];
    while let Some(dir) = open.pop() {
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let found = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if found.st_uid != uid.as_raw() {
                let link = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(dir.as_fd(), name, Some(uid), Some(gid), link)?;
            }
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                open.push(rustix::fs::openat(&dir, name, flags, Mode::empty())?);
            }
        }
    }
    Ok(())
}
