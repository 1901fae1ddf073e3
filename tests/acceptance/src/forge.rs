//! A forge: the pull requests of one repository that git serves beside it. It is a stand-in, written from
//! the public descriptions; a merge is made in the real repository.

use std::path::Path;

use axum::Router;

use crate::{At as _, Outcome};

#[expect(dead_code, reason = "shared with tests that also make the forge misbehave")]
#[path = "../../../reconciler/effects/tests/support/forge.rs"]
mod stand_in;

use stand_in::{Dialect, How, Standing};

/// The repository that it is about, as a git server makes it.
pub const REPOSITORY: &str = stand_in::REPOSITORY;

/// A forge that speaks as GitHub Enterprise Server does. Clones are the same one.
#[derive(Clone)]
pub struct Forge(stand_in::Forge);

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: usize,
    /// What it says.
    pub body: String,
    /// The branch that is to be merged.
    pub source: String,
    /// Whether it is open.
    pub open: bool,
    /// What was said about it, the oldest first.
    pub comments: Vec<String>,
    /// The commit by which it was merged, if it was.
    pub commit: Option<String>,
}

impl Forge {
    /// A forge of the repository below this folder, for whoever has the token.
    pub(crate) fn beside(root: &Path, token: &str) -> Self {
        let bare = root.join(format!("{REPOSITORY}.git"));
        Self(stand_in::Forge::new(Dialect::GitHub, &bare, Some(token)))
    }

    pub(crate) fn router(&self) -> Router {
        self.0.router()
    }

    /// Its pull requests, the oldest first.
    #[must_use]
    pub fn pulls(&self) -> Vec<PullRequest> {
        let pulls = self.0.pulls().into_iter().map(|pull| PullRequest {
            number: pull.number,
            body: pull.body,
            source: pull.source,
            open: pull.standing == Standing::Open,
            comments: pull.comments,
            commit: match pull.standing {
                Standing::Merged { commit, .. } => Some(commit),
                Standing::Open | Standing::Closed => None,
            },
        });
        pulls.collect()
    }

    /// How often somebody asked for something.
    #[must_use]
    pub fn looks(&self) -> usize {
        self.0.looks()
    }

    /// A person merges one; answers with the commit.
    ///
    /// # Errors
    /// It is not open, or git fails.
    pub fn merge(&self, number: usize) -> Outcome<String> {
        self.0.merge(number, How::Merge).at("merging by hand")
    }
}
