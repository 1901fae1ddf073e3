//! The file of an SSH key: one that is there, or one that is there for an operation only.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Secret;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The file of a private key. One that was written goes with the last of its clones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    There(PathBuf),
    Written(Arc<Written>),
}

#[derive(Debug, PartialEq, Eq)]
struct Written(PathBuf);

impl KeyFile {
    /// A file that is there already.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self(Place::There(path.to_owned()))
    }

    /// Writes a key into a new file of a folder, for this user only.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(folder: &Path, key: &Secret) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let written = Self(Place::Written(Arc::new(Written(path))));
        file.write_all(key.expose().trim_end().as_bytes())?;
        // ssh wants the last line ended.
        file.write_all(b"\n")?;
        Ok(written)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.0 {
            Place::There(path) => path,
            Place::Written(written) => &written.0,
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // What stays behind is removed when the effects are opened again.
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_written_key_is_private_and_goes_with_its_last_user() {
        let dir = tempfile::tempdir().unwrap();
        let one = KeyFile::write(&dir.path().join("keys"), &Secret::new("KEY\n\n")).unwrap();
        let other = one.clone();
        let path = one.path().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "KEY\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(one);
        assert!(other.path().exists());
        drop(other);
        assert!(!path.exists());
    }

    #[test]
    fn a_key_that_was_there_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        drop(KeyFile::of(file.path()));
        assert!(file.path().exists());
    }
}
