//! What is asked of repositories.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Asks;

/// A pushed commit to take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertCall {
    /// The repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The commit as it is on the branch.
    pub commit: String,
    /// Name of author and committer.
    pub author_name: String,
    /// E-mail address of author and committer.
    pub author_email: String,
    /// Date of author and committer, so that a repeat has the same id.
    pub date: Timestamp,
    /// Value of the `Lockstep-Undo` trailer: promotion and step.
    pub mark: String,
    /// Whether the push made the branch: it is deleted if it is still as it was made.
    #[serde(default)]
    pub created: bool,
    /// Whether the branch is that of a pull request: a forge deletes it once it is merged, and what was on it is
    /// taken back where it went. Any other branch that is gone may live on under another name.
    #[serde(default)]
    pub may_be_gone: bool,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// Trees to put into the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneCall {
    /// The repository's URL.
    pub repo: String,
    /// What to put where, by directory below the working directory.
    pub checkouts: Vec<Checkout>,
}

/// One tree and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Directory below the working directory.
    pub dir: String,
    /// Which tree.
    pub at: CheckoutAt,
    /// Whether a branch that is not there begins empty, instead of being an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create: bool,
    /// Files and folders of the repository to put there; all, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// Which tree of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckoutAt {
    /// A commit's.
    Commit(String),
    /// That of a branch's tip.
    Branch(String),
    /// A commit's, which was the branch's tip when it was first looked up: for a rebuild.
    Pinned {
        /// The branch.
        branch: String,
        /// Its tip then.
        commit: String,
    },
}

/// A commit to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitCall {
    /// Directory of the checkout.
    pub dir: String,
    /// The repository it came from.
    pub repo: String,
    /// The commit it was checked out from.
    pub base: String,
    /// What was checked out of it; all, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The message, without trailers.
    pub message: String,
    /// Name of author and committer.
    pub author_name: String,
    /// E-mail address of author and committer.
    pub author_email: String,
    /// Date of author and committer: the promotion's start, so that a repeat has the same id.
    pub date: Timestamp,
    /// Value of the `Lockstep-Promotion` trailer: promotion and step.
    pub mark: String,
}

/// A commit to push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushCall {
    /// The repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The commit; absent: there was nothing to commit, so nothing to push.
    pub commit: Option<String>,
    /// Value of the commit's `Lockstep-Promotion` trailer.
    pub mark: String,
    /// What is done where others pushed to the branch since.
    #[serde(default, skip_serializing_if = "IfMoved::is_usual")]
    pub if_moved: IfMoved,
    /// The commit that the branch was at when it was checked out: a branch that does not have it any more
    /// was rewritten. Absent: another branch was checked out, or a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_on: Option<String>,
    /// Commits of the same checkout that were pushed to the branch before: this one holds what they brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<String>,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// What a push does where others pushed to the branch since the commit was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfMoved {
    /// Makes the commit again on top of theirs.
    #[default]
    Rebase,
    /// Joins both by a merge commit, so that the commit itself is on the branch.
    Merge,
    /// Does nothing, and fails.
    Fail,
}

impl IfMoved {
    /// The words for them in a step.
    pub const WORDS: &'static [&'static str] = &["rebase", "merge", "fail"];

    /// The one of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "rebase" => Some(Self::Rebase),
            "merge" => Some(Self::Merge),
            "fail" => Some(Self::Fail),
            _ => None,
        }
    }

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A tag to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCall {
    /// The repository.
    pub repo: String,
    /// The name.
    pub tag: String,
    /// The commit.
    pub commit: String,
    /// What it says; absent: it is a lightweight one.
    pub note: Option<TagNote>,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// What an annotated tag says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagNote {
    /// The message, without trailers.
    pub message: String,
    /// Name of the tagger.
    pub author_name: String,
    /// E-mail address of the tagger.
    pub author_email: String,
    /// Date of the tag: the promotion's start, so that a repeat has the same id.
    pub date: Timestamp,
    /// Value of the `Lockstep-Promotion` trailer: promotion and step.
    pub mark: String,
}

/// A tag to take away, if it is still what was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntagCall {
    /// The repository.
    pub repo: String,
    /// The name.
    pub tag: String,
    /// What it is at: the commit, or the annotation that leads to it.
    pub object: String,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}
