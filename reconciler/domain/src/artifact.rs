//! Artifacts: one version that a subscription found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::version::Version;

/// One version of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Artifact {
    /// A commit of a git repository.
    Git(GitCommit),
    /// An image of an OCI registry.
    Image(ImageVersion),
}

/// A commit that a git subscription found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitCommit {
    /// The repository's URL as subscribed.
    pub repo: String,
    /// The branch it was found on.
    pub branch: String,
    /// The commit id, 40 hexadecimal digits.
    pub commit: String,
    /// First line of the message, at most 80 characters.
    pub subject: String,
    /// The author as `Name <email>`.
    pub author: String,
    /// When it was committed.
    pub committed_at: Timestamp,
}

/// An image version that an image subscription found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageVersion {
    /// Registry and repository, without tag.
    pub repo: String,
    /// The tag it was found by.
    pub tag: String,
    /// The digest that the tag meant when it was found.
    pub digest: String,
    /// When the image says that it was built.
    pub created_at: Option<Timestamp>,
}

impl Artifact {
    /// The text that identifies the content; part of a freight's id.
    ///
    /// The tag belongs to an image's identity: the same digest under another version is another
    /// release to people and to semver rules.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            Self::Git(git) => format!("git|{}|{}", git.repo, git.commit),
            Self::Image(image) => format!("image|{}|{}@{}", image.repo, image.tag, image.digest),
        }
    }

    /// A short form for people: `main@1a2b3c4d5e`, `1.4.2`.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Git(git) => format!("{}@{}", git.branch, &git.commit[..git.commit.len().min(10)]),
            Self::Image(image) => image.tag.clone(),
        }
    }

    /// Who wrote it, as far as the artifact says.
    #[must_use]
    pub fn author(&self) -> Option<&str> {
        match self {
            Self::Git(git) => Some(&git.author),
            Self::Image(_) => None,
        }
    }

    /// Its version: an image's tag, or the last word of a commit's subject (`release 1.2.3`), where
    /// that reads as one.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Git(git) => Version::loose(git.subject.split_whitespace().last()?).ok(),
            Self::Image(image) => Version::loose(&image.tag).ok(),
        }
    }

    /// The value that expressions see under `freight.<subscription>`.
    ///
    /// Fields that the kind does not have are absent, as is `version` where it has none.
    #[must_use]
    pub fn scope(&self) -> Value {
        match self {
            Self::Git(git) => {
                let mut value = json!({
                    "repo": git.repo,
                    "branch": git.branch,
                    "commit": git.commit,
                    "subject": git.subject,
                    "author": git.author,
                    "committed_at": git.committed_at.to_string(),
                });
                insert_version(&mut value, self.version());
                value
            }
            Self::Image(image) => {
                let mut value = json!({
                    "repo": image.repo,
                    "tag": image.tag,
                    "digest": image.digest,
                    "ref": format!("{}:{}", image.repo, image.tag),
                    "pinned": format!("{}@{}", image.repo, image.digest),
                });
                if let Some(created_at) = image.created_at {
                    value["created_at"] = Value::String(created_at.to_string());
                }
                insert_version(&mut value, self.version());
                value
            }
        }
    }
}

fn insert_version(value: &mut Value, version: Option<Version>) {
    if let Some(version) = version {
        value["version"] = version.to_value();
    }
}
