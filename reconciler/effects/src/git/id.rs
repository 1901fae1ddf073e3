//! Names of things in a repository: commits, and what a caller asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::GitError;

/// A commit's id: 40 lower-case hexadecimal digits (SHA-1 object format).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// Text that is not a commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a commit id: 40 lower-case hexadecimal digits are needed")]
pub struct CommitIdError(String);

/// What to fetch or to check out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// The tip of a branch, without `refs/heads/`.
    Branch(String),
    /// The commit that a tag leads to, without `refs/tags/`.
    Tag(String),
    /// This commit.
    Commit(CommitId),
}

impl CommitId {
    /// The 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn oid(&self) -> git2::Oid {
        git2::Oid::from_str(&self.0).expect("checked when the id was parsed")
    }
}

impl From<git2::Oid> for CommitId {
    fn from(oid: git2::Oid) -> Self {
        Self(oid.to_string())
    }
}

impl FromStr for CommitId {
    type Err = CommitIdError;

    fn from_str(text: &str) -> Result<Self, CommitIdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 40 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CommitIdError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = CommitIdError;

    fn try_from(text: String) -> Result<Self, CommitIdError> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `refs/heads/NAME`, refused unless git would take it.
pub(super) fn branch_ref(name: &str) -> Result<String, GitError> {
    full_ref("refs/heads/", name)
}

/// `refs/tags/NAME`, refused unless git would take it.
pub(super) fn tag_ref(name: &str) -> Result<String, GitError> {
    full_ref("refs/tags/", name)
}

fn full_ref(prefix: &str, name: &str) -> Result<String, GitError> {
    let full = format!("{prefix}{name}");
    // `:` and `*` are already refused by git's own rule, so the name is safe in a refspec.
    if name.len() <= 255 && !name.starts_with('-') && git2::Reference::is_valid_name(&full) {
        Ok(full)
    } else {
        Err(GitError::RefName { name: name.chars().take(255).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_ids() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(id.parse::<CommitId>().map(String::from).as_deref(), Ok(id));
        for bad in ["", "0123", &id.to_uppercase(), &format!("{id}0"), &id.replace('0', "g")] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ref_names() {
        for good in ["main", "env/prod", "release-1.0"] {
            assert_eq!(branch_ref(good).ok(), Some(format!("refs/heads/{good}")));
        }
        for bad in ["", "-x", "a b", "a..b", "a:b", "a*", "x.lock", "a\n", "/a", "a//b"] {
            assert!(branch_ref(bad).is_err(), "{bad}");
        }
    }
}
