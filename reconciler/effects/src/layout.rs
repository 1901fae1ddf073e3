//! Where things are kept below the data directory.
//!
//! ```text
//! mirrors/                               git mirrors; may be lost
//! work/PROJECT/PROMOTION/                working directories, their markers, scratch; may be lost
//! states/PROJECT/STAGE/NAME/             embedded states, as they are now
//! versions/PROJECT/STAGE/NAME/WORKSPACE/ what they were, sealed; see [`crate::states`]
//! plans/PROJECT/PROMOTION/               stored plans, until the promotion has ended
//! runs/PROJECT/RUN/                      what is known of an apply, and its log
//! looks/PROJECT/STAGE/NUMBER/            directories of looks at drift; emptied at start
//! keys/                                  SSH keys while an operation needs them; emptied at start
//! ```

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use reconciler_domain::id::{ProjectName, PromotionId, StageName};

const LOOKS: &str = "looks";
pub(crate) const STATE_FILE: &str = "terraform.tfstate";
/// File systems take 255 bytes for one name.
const NAME_MAX: usize = 200;

/// The data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Opens the directory, making it (mode 0700) if it is missing.
    pub(crate) fn open(data_dir: &Path) -> std::io::Result<Self> {
        make_private_dir(data_dir)?;
        // Absolute, so that it holds for children whatever their working directory.
        let layout = Self(data_dir.canonicalize()?);
        // What a process left that was killed.
        remove_tree(&layout.keys())?;
        let looks = layout.0.join(LOOKS);
        if let Err(error) = remove_tree(&looks) {
            // Processes that are just being ended may still write there. No look needs it: each has a directory of
            // its own.
            tracing::warn!(dir = %looks.display(), %error, "what looks have left is not removed yet");
        }
        Ok(layout)
    }

    pub(crate) fn look(&self, project: &ProjectName, stage: &StageName) -> PathBuf {
        self.0.join(LOOKS).join(project.as_str()).join(stage.as_str())
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    pub(crate) fn mirrors(&self) -> PathBuf {
        self.0.join("mirrors")
    }

    pub(crate) fn work(&self, project: &ProjectName, promotion: &PromotionId) -> PathBuf {
        self.0.join("work").join(project.as_str()).join(promotion.as_str())
    }

    /// The embedded state `name` of a stage; absent: the name is too long to be one.
    pub(crate) fn state(
        &self,
        project: &ProjectName,
        stage: &StageName,
        name: &str,
    ) -> Option<PathBuf> {
        let stage = self.0.join("states").join(project.as_str()).join(stage.as_str());
        Some(stage.join(plain(name)?).join(STATE_FILE))
    }

    pub(crate) fn all_plans(&self) -> PathBuf {
        self.0.join("plans")
    }

    pub(crate) fn plans(&self, project: &ProjectName, promotion: &PromotionId) -> PathBuf {
        self.all_plans().join(project.as_str()).join(promotion.as_str())
    }

    pub(crate) fn runs(&self, project: &ProjectName) -> PathBuf {
        self.0.join("runs").join(project.as_str())
    }
}

/// Removes a directory with all that is in it, if it is there; also where a program that was run made directories
/// that nobody may write to.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let _unopened = open_up(path);
            std::fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Lets the owner change every directory below; links are not followed.
fn open_up(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a directory with its parents, each for this user only.
pub(crate) fn make_private_dir(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The text as one file name, different for different texts: what is not a letter, a digit, `-`,
/// `_` or an inner `.` becomes `%` and two hexadecimal digits.
pub(crate) fn plain(text: &str) -> Option<String> {
    use std::fmt::Write as _;
    let mut name = String::new();
    for (at, byte) in text.bytes().enumerate() {
        let keeps = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if keeps || (byte == b'.' && at > 0) {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02x}").expect("writing to a string does not fail");
        }
    }
    (!name.is_empty() && name.len() <= NAME_MAX).then_some(name)
}

/// The text that has this file name; absent: [`plain`] gives no text this name.
pub(crate) fn read_plain(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (plain(&text).as_deref() == Some(name)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(plain(text).as_deref(), expect, "{text:?}");
        assert_eq!(expect.and_then(read_plain).as_deref(), expect.map(|_| text), "{text:?}");
    }

    #[test]
    fn a_name_that_nothing_has_is_read_as_none() {
        for name in ["", ".hidden", "a/b", "%", "%2", "%zz", "%2F", "%41", "%ff", "a b"] {
            assert_eq!(read_plain(name), None, "{name:?}");
        }
    }

    #[test]
    fn names_are_one_component_each() {
        check("network", Some("network"));
        check("src/modules/db.v2", Some("src%2fmodules%2fdb.v2"));
        check(".", Some("%2e"));
        check("..", Some("%2e."));
        check("100%", Some("100%25"));
        check("größe", Some("gr%c3%b6%c3%9fe"));
        check("", None);
        check(&"x".repeat(201), None);
    }

    #[test]
    fn a_tree_is_removed_though_nobody_may_write_to_its_directories() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        let deep = tree.join("module/cache");
        std::fs::create_dir_all(&deep)?;
        std::fs::create_dir(&outside)?;
        std::fs::write(deep.join("file"), "x")?;
        std::os::unix::fs::symlink(&outside, tree.join("link"))?;
        for dir in [&deep, &outside] {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o500))?;
        }
        open_up(&tree)?;
        let mode = |path: &Path| Ok(std::fs::metadata(path)?.permissions().mode() & 0o777);
        let modes: std::io::Result<Vec<u32>> =
            [&deep, &outside].map(|dir| mode(dir)).into_iter().collect();
        assert_eq!(modes?, [0o700, 0o500]);
        remove_tree(&tree)?;
        remove_tree(&tree)?;
        assert!(!tree.exists() && outside.exists());
        Ok(())
    }
}
