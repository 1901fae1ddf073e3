//! Secrets that the daemon reads for projects: from files and variables that its configuration
//! allows, and from nothing else. Whoever defines a credential could otherwise read every file of
//! the daemon.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::{Component, Path, PathBuf};

use reconciler_domain::credential::Origin;

use super::safe::{LENGTH_MAX, LENGTH_MIN};

/// What projects may have read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedSources {
    /// Directories; their files, however deep.
    pub dirs: Vec<PathBuf>,
    /// Environment variables; a `*` at the end stands for anything.
    pub variables: BTreeSet<String>,
}

impl AllowedSources {
    /// Why a source is not allowed, judged by its name alone.
    pub(crate) fn refusal(&self, origin: &Origin) -> Option<String> {
        match origin {
            Origin::Stored(_) => None,
            Origin::Env(name) => (!self.allows_variable(name)).then(|| {
                format!(
                    "the daemon's configuration does not allow variable {name:?}: its operator \
                     adds it to secret_variables"
                )
            }),
            Origin::File(path) => (!self.allows_file(Path::new(path))).then(|| {
                format!(
                    "the daemon's configuration does not allow file {path:?}: its operator adds \
                     the directory to secret_dirs"
                )
            }),
        }
    }

    /// Reads a secret now.
    ///
    /// # Errors
    /// It is not allowed, not there, or no secret; never with its content.
    pub(crate) fn read(&self, origin: &Origin) -> Result<String, String> {
        if let Some(refusal) = self.refusal(origin) {
            return Err(refusal);
        }
        let (what, text) = match origin {
            Origin::Stored(_) => return Err("it is stored".to_owned()),
            Origin::Env(name) => {
                let what = format!("variable {name:?}");
                let text = std::env::var(name);
                (what.clone(), text.map_err(|_| format!("{what} of the daemon is not set"))?)
            }
            Origin::File(path) => (format!("file {path:?}"), self.read_file(Path::new(path))?),
        };
        let text = text.trim();
        if (LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) {
            return Ok(text.to_owned());
        }
        Err(format!(
            "{what} has {} bytes; a secret has between {LENGTH_MIN} and {LENGTH_MAX}",
            text.len()
        ))
    }

    fn allows_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => allowed == name,
        })
    }

    fn allows_file(&self, path: &Path) -> bool {
        let plain = path.components().all(|part| !matches!(part, Component::ParentDir));
        plain && self.dirs.iter().any(|dir| path.starts_with(dir) && path != dir)
    }

    /// Reads a file that really is where it seems: links out of the directories are not followed to
    /// their end.
    fn read_file(&self, path: &Path) -> Result<String, String> {
        let failed = |error| format!("file {path:?} of the daemon cannot be read: {error}");
        let file = File::open(path).map_err(failed)?;
        let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(failed)?;
        let inside =
            self.dirs.iter().any(|dir| dir.canonicalize().is_ok_and(|dir| real.starts_with(dir)));
        if !inside {
            return Err(format!("file {path:?} leads out of the directories that are allowed"));
        }
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("{path:?} is not a file"));
        }
        let mut text = String::new();
        let limit = u64::try_from(LENGTH_MAX).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_string(&mut text).map_err(failed)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_is_allowed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        for file in [inside.join("deep/a"), outside.join("b")] {
            fs::write(file, "hunter2-hunter2\n").unwrap();
        }
        symlink(outside.join("b"), inside.join("link")).unwrap();
        symlink(inside.join("deep/a"), inside.join("good")).unwrap();
        fs::write(inside.join("short"), "x").unwrap();
        let allowed = AllowedSources { dirs: vec![inside.clone()], ..AllowedSources::default() };
        let read = |path: &str| allowed.read(&Origin::File(format!("{}/{path}", inside.display())));
        assert_eq!(read("deep/a").as_deref(), Ok("hunter2-hunter2"));
        assert_eq!(read("good").as_deref(), Ok("hunter2-hunter2"));
        for (path, why) in [
            ("link", "leads out"),
            ("../out/b", "does not allow"),
            ("", "does not allow"),
            ("deep", "not a file"),
            ("none", "cannot be read"),
            ("short", "has 1 bytes"),
        ] {
            let error = read(path).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{path}: {error}");
        }
        let file = outside.join("b").display().to_string();
        assert!(allowed.read(&Origin::File(file)).unwrap_err().contains("does not allow"));
    }

    #[test]
    fn variables_are_allowed_by_name_or_beginning() {
        let variables = ["GIT_TOKEN", "SHOP_*"].map(str::to_owned).into();
        let allowed = AllowedSources { variables, ..AllowedSources::default() };
        for (name, expect) in
            [("GIT_TOKEN", true), ("GIT_TOKEN_2", false), ("SHOP_KEY", true), ("PATH", false)]
        {
            let refused = allowed.refusal(&Origin::Env(name.to_owned()));
            assert_eq!(refused.is_none(), expect, "{name}: {refused:?}");
        }
        let unset = allowed.read(&Origin::Env("SHOP_NEVER_SET".to_owned())).unwrap_err();
        assert!(unset.contains("is not set"), "{unset}");
    }
}
