//! Which state, and where its files are.

use std::fmt;

use reconciler_domain::id::{ProjectName, StageName};

use crate::layout::{STATE_FILE, plain, read_plain};
use crate::workdir::RelPath;

/// The workspace of a module that names none.
pub const DEFAULT_WORKSPACE: &str = "default";

/// Below the directory of a state: those of other workspaces.
pub(super) const OTHER_WORKSPACES: &str = "terraform.tfstate.d";

const VERSION_END: &str = ".version";

/// An embedded state. All of its parts are one file name each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateName {
    /// The project.
    pub project: ProjectName,
    /// The stage.
    pub stage: StageName,
    name: String,
    workspace: String,
}

impl StateName {
    /// The state of this name, by default a module's directory, in a workspace; absent: none can have it.
    #[must_use]
    pub fn new(
        project: &ProjectName,
        stage: &StageName,
        name: &str,
        workspace: Option<&str>,
    ) -> Option<Self> {
        plain(name)?;
        let workspace = workspace.unwrap_or(DEFAULT_WORKSPACE);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let plain = workspace.bytes().all(letter) && (1..=90).contains(&workspace.len());
        let starts =
            workspace.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
        (plain && starts).then(|| Self {
            project: project.clone(),
            stage: stage.clone(),
            name: name.to_owned(),
            workspace: workspace.to_owned(),
        })
    }

    /// The one whose directories have these names.
    pub(super) fn read(
        project: &ProjectName,
        stage: &str,
        name: &str,
        workspace: &str,
    ) -> Option<Self> {
        Self::new(project, &stage.parse().ok()?, &read_plain(name)?, Some(workspace))
    }

    /// Its name, as the steps have it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its workspace.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The file that tools write, in the tree of states.
    pub(super) fn current(&self) -> RelPath {
        let dir = self.dir();
        if self.workspace == DEFAULT_WORKSPACE {
            return path(&format!("{dir}/{STATE_FILE}"));
        }
        path(&format!("{dir}/{OTHER_WORKSPACES}/{}/{STATE_FILE}", self.workspace))
    }

    /// Where what is damaged of it is put aside, in the tree of states.
    pub(super) fn aside(&self, sha256: &str) -> RelPath {
        path(&format!("{}.damaged-{}", self.current(), sha256.get(..12).unwrap_or(sha256)))
    }

    /// The directory of its versions, in the tree of versions.
    pub(super) fn versions(&self) -> RelPath {
        path(&format!("{}/{}", self.dir(), self.workspace))
    }

    /// The file of a version, in the tree of versions.
    pub(super) fn version(&self, number: u64) -> RelPath {
        path(&format!("{}/{}/{number:010}{VERSION_END}", self.dir(), self.workspace))
    }

    /// The file that names a version which waits to be put back, in the tree of versions.
    pub(super) fn waiting(&self) -> RelPath {
        path(&format!("{}/{}/waits", self.dir(), self.workspace))
    }

    /// The file which says what the state is the result of, in the tree of versions.
    pub(super) fn known(&self) -> RelPath {
        path(&format!("{}/{}/known", self.dir(), self.workspace))
    }

    /// The file of its lock, in the tree of versions.
    pub(super) fn lock(&self) -> RelPath {
        path(&format!("{}/{}/lock", self.dir(), self.workspace))
    }

    /// The file which says that the state was removed on purpose, in the tree of versions.
    pub(super) fn removed(&self) -> RelPath {
        path(&format!("{}/{}/removed", self.dir(), self.workspace))
    }

    fn dir(&self) -> String {
        let name = plain(&self.name).expect("it was checked when this was made");
        format!("{}/{}/{name}", self.project, self.stage)
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.stage, self.name)?;
        if self.workspace != DEFAULT_WORKSPACE {
            write!(f, " in workspace {}", self.workspace)?;
        }
        Ok(())
    }
}

/// A path that is made of checked names.
pub(super) fn path(text: &str) -> RelPath {
    text.parse().expect("names have no dots alone and no slashes")
}

/// The number of the version in a file of this name.
pub(super) fn version_number(file: &str) -> Option<u64> {
    file.strip_suffix(VERSION_END)?.parse().ok()
}
