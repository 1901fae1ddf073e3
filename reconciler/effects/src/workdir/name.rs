//! Names that cannot lead anywhere: of working directories, and of what is in them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::WorkdirError;

pub(super) const KEY_MAX: usize = 128;

/// The name of a working directory: a letter or digit, then letters, digits, `.`, `_`, `-`; at most 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkKey(String);

/// A path inside a working directory: relative, without `..` and NUL. `.` is the directory itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(PathBuf);

impl FromStr for WorkKey {
    type Err = WorkdirError;

    fn from_str(key: &str) -> Result<Self, WorkdirError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let starts_well = key.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if starts_well && key.len() <= KEY_MAX && key.bytes().all(plain) {
            Ok(Self(key.to_owned()))
        } else {
            Err(WorkdirError::InvalidKey { key: key.to_owned() })
        }
    }
}

impl WorkKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RelPath {
    type Err = WorkdirError;

    fn from_str(path: &str) -> Result<Self, WorkdirError> {
        use std::path::Component;
        let refused = || WorkdirError::InvalidPath { path: path.to_owned() };
        if path.is_empty() || path.contains('\0') {
            return Err(refused());
        }
        let mut clean = PathBuf::new();
        for component in Path::new(path).components() {
            match component {
                Component::Normal(name) => clean.push(name),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(refused());
                }
            }
        }
        Ok(Self(clean))
    }
}

impl RelPath {
    /// The path below the working directory; empty for the directory itself.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    pub(super) fn for_open(&self) -> &Path {
        if self.0.as_os_str().is_empty() { Path::new(".") } else { &self.0 }
    }
}

impl std::fmt::Display for RelPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.for_open().display())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn keys_and_paths_are_plain() {
        for bad in ["", ".", "..", "a/b", "-a", ".a", "a b", &"x".repeat(129)] {
            assert!(bad.parse::<WorkKey>().is_err(), "{bad:?}");
        }
        for bad in ["", "/etc", "../x", "a/../b", "a/..", "a\0b"] {
            assert!(bad.parse::<RelPath>().is_err(), "{bad:?}");
        }
        assert_eq!("./a//b/.".parse::<RelPath>().unwrap().as_path(), Path::new("a/b"));
    }
}
