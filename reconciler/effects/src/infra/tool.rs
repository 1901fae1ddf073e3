//! Which program runs the modules.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::process::{Command, ProcessError};

const VERSION_DEADLINE: Duration = Duration::from_secs(30);

/// A program found on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Which of the two it is.
    pub kind: ToolKind,
    /// Its full path.
    pub path: PathBuf,
    /// What it says that it is.
    pub version: semver::Version,
}

/// The two programs that speak the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ToolKind {
    /// `tofu`.
    OpenTofu,
    /// `terraform`.
    Terraform,
}

/// What the operator or a stage asks for: `auto`, `tofu`, `terraform`, or an absolute path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolPreference {
    /// `tofu` if it is on the `PATH`, else `terraform`.
    #[default]
    Auto,
    /// This one, from the `PATH`.
    Kind(ToolKind),
    /// This file.
    Path(PathBuf),
}

/// Why there is no tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Neither a name nor an absolute path.
    #[error("`{preference}` names no infra tool: write auto, tofu, terraform, or an absolute path")]
    InvalidPreference {
        /// The text.
        preference: String,
    },
    /// Not on the `PATH`.
    #[error("no {wanted} on the PATH; install it, or give its absolute path in the configuration")]
    NotFound {
        /// What was looked for.
        wanted: String,
    },
    /// It does not run.
    #[error("`{path}` cannot be asked for its version")]
    Process {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: ProcessError,
    },
    /// It is something else.
    #[error("`{path}` is neither OpenTofu nor Terraform: to `version` it says `{said}`")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The beginning of its answer.
        said: String,
    },
}

impl ToolKind {
    /// The program's file name.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::OpenTofu => "tofu",
            Self::Terraform => "terraform",
        }
    }
}

impl fmt::Display for ToolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

impl FromStr for ToolPreference {
    type Err = ToolError;

    fn from_str(text: &str) -> Result<Self, ToolError> {
        match text {
            "auto" => Ok(Self::Auto),
            "tofu" => Ok(Self::Kind(ToolKind::OpenTofu)),
            "terraform" => Ok(Self::Kind(ToolKind::Terraform)),
            path if Path::new(path).is_absolute() => Ok(Self::Path(path.into())),
            other => Err(ToolError::InvalidPreference { preference: other.to_owned() }),
        }
    }
}

impl Tool {
    /// Finds the preferred tool on this process's `PATH` and asks it for its version.
    ///
    /// # Errors
    /// [`ToolError`].
    pub async fn detect(
        preference: &ToolPreference,
        cancel: &CancellationToken,
    ) -> Result<Self, ToolError> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let path = match preference {
            ToolPreference::Path(path) => path.clone(),
            ToolPreference::Kind(kind) => find(&search, &[*kind])?,
            ToolPreference::Auto => find(&search, &[ToolKind::OpenTofu, ToolKind::Terraform])?,
        };
        let answer = Command::new(&path)
            .arg("version")
            .inherit("PATH")
            .env("CHECKPOINT_DISABLE", "1")
            .deadline(VERSION_DEADLINE)
            .run(cancel)
            .await
            .map_err(|source| ToolError::Process { path: path.clone(), source })?;
        let said = answer.stdout.text();
        let first = said.lines().next().unwrap_or_default();
        let unknown =
            || ToolError::Unknown { path: path.clone(), said: first.chars().take(80).collect() };
        let (name, version) = first.split_once(" v").ok_or_else(unknown)?;
        let kind = match name {
            "OpenTofu" => ToolKind::OpenTofu,
            "Terraform" => ToolKind::Terraform,
            _ => return Err(unknown()),
        };
        let version = version.trim().parse().map_err(|_| unknown())?;
        Ok(Self { kind, path, version })
    }
}

fn find(search: &std::ffi::OsStr, kinds: &[ToolKind]) -> Result<PathBuf, ToolError> {
    kinds.iter().find_map(|kind| on_path(search, kind.program())).ok_or_else(|| {
        let names: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        ToolError::NotFound { wanted: names.join(" or ") }
    })
}

/// The first program of this name on a search path.
pub(crate) fn on_path(search: &std::ffi::OsStr, name: &str) -> Option<PathBuf> {
    let mut dirs = std::env::split_paths(search).filter(|dir| dir.is_absolute());
    dirs.find_map(|dir| Some(dir.join(name)).filter(|path| is_executable(path)))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn fake(dir: &Path, name: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn tofu_wins_wherever_it_stands_on_the_path() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let search = std::env::join_paths([first.path(), second.path()]).unwrap();
        let both = [ToolKind::OpenTofu, ToolKind::Terraform];
        insta::assert_snapshot!(find(&search, &both).unwrap_err(), @"no `tofu` or `terraform` on the PATH; install it, or give its absolute path in the configuration");
        fake(first.path(), "terraform");
        assert_eq!(find(&search, &both).unwrap(), first.path().join("terraform"));
        fake(second.path(), "tofu");
        assert_eq!(find(&search, &both).unwrap(), second.path().join("tofu"));
        assert_eq!(find(&search, &both[1..]).unwrap(), first.path().join("terraform"));
    }

    #[test]
    fn preferences_are_names_or_absolute_paths() {
        assert_eq!(
            "tofu".parse::<ToolPreference>().unwrap(),
            ToolPreference::Kind(ToolKind::OpenTofu)
        );
        assert_eq!("/x/y".parse::<ToolPreference>().unwrap(), ToolPreference::Path("/x/y".into()));
        assert!("bin/tofu".parse::<ToolPreference>().is_err());
    }
}
