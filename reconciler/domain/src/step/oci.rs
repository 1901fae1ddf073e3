//! Calls on registries, and what they leave behind.
//!
//! A digest names content for ever, a tag does not: every call that changes a registry names what it puts
//! there by digest, and [`OciPush`] names what the tag was at when that was prepared, too. Found somewhere
//! else, the tag is left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Asks;
use crate::image::ImageReference;

/// What to do with a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "oci")]
pub enum OciCall {
    /// `oci_pull`.
    Pull(OciPull),
    /// What an `oci_push` will do, before anything is done.
    Look(OciLook),
    /// `oci_push`.
    Push(OciPush),
    /// The undo of an `oci_push`.
    PutBack(OciPutBack),
    /// `oci_attach`.
    Attach(OciAttach),
    /// The undo of an `oci_attach`.
    Detach(OciDetach),
}

/// One layer of an artifact to put into the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciPull {
    /// The repository: `registry.example.com/shop/chart`.
    pub repo: String,
    /// Which artifact of it.
    pub at: ArtifactAt,
    /// Which entry of an index: `linux/amd64`; absent: the only one.
    pub platform: Option<String>,
    /// Which of its layers.
    pub layer: ArtifactLayer,
    /// Where it goes, below the working directory.
    pub to: String,
    /// Most bytes that are taken.
    pub max_bytes: u64,
}

/// Which artifact of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactAt {
    /// What the digest names.
    Digest(String),
    /// What the tag is at.
    Tag(String),
    /// What the tag was at when it was first looked up: for a rebuild.
    Pinned {
        /// The tag.
        tag: String,
        /// What it was at.
        digest: String,
    },
}

/// Which layer of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactLayer {
    /// The only one.
    Only,
    /// The only one of a media type.
    MediaType(String),
    /// The one that has this file name.
    File(String),
}

/// An artifact to copy, and the tag that it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciLook {
    /// The repository that it is in.
    pub from: String,
    /// What it is, there.
    pub digest: String,
    /// The repository that it goes to.
    pub repo: String,
    /// The tag that it gets there.
    pub tag: String,
    /// What is added to its annotations, which makes it another artifact.
    pub annotations: BTreeMap<String, String>,
}

/// An artifact to copy, with what a look has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciPush {
    /// What goes where.
    pub wanted: OciLook,
    /// What it is, there: another than its source has only because of the annotations.
    pub digest: String,
    /// What the tag was at; absent: there was none.
    pub before: Option<String>,
    /// Most bytes that are copied.
    pub max_bytes: u64,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// A tag to put back, if it is still where it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciPutBack {
    /// The repository.
    pub repo: String,
    /// The tag.
    pub tag: String,
    /// What it was put at.
    pub digest: String,
    /// What it was at before; absent: there was none.
    pub before: Option<String>,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// A file to attach to an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciAttach {
    /// The repository of the artifact.
    pub repo: String,
    /// What the artifact is.
    pub subject: String,
    /// What is attached, as a media type.
    pub artifact_type: String,
    /// The file, below the working directory.
    pub path: String,
    /// The media type of the file.
    pub media_type: String,
    /// The annotations of what is attached.
    pub annotations: BTreeMap<String, String>,
    /// Promotion and step: makes it this step's own, and another step's another.
    pub mark: String,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// Something attached to take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciDetach {
    /// The repository.
    pub repo: String,
    /// What it is attached to.
    pub subject: String,
    /// What it is.
    pub digest: String,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// What a call on a registry left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "oci")]
pub enum OciRecord {
    /// An artifact was looked up: what it is.
    Pulled {
        /// What it is.
        digest: String,
    },
    /// What an `oci_push` will find and do.
    Looked(TagMove),
    /// A tag is where it should be.
    Pushed(TagMove),
    /// Something is attached.
    Attached(OciDetach),
    /// Something could not be taken away, and stays.
    Left {
        /// What, and why.
        what: String,
    },
}

/// A tag, with what it is at before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// The repository.
    pub repo: String,
    /// The tag.
    pub tag: String,
    /// What it is at afterwards.
    pub digest: String,
    /// What it was at; absent: there was none.
    pub before: Option<String>,
}

impl OciCall {
    /// Whether it is only looked for; absent: it changes nothing.
    pub(super) fn asks(&self) -> Option<Asks> {
        match self {
            Self::Push(OciPush { asks, .. })
            | Self::PutBack(OciPutBack { asks, .. })
            | Self::Attach(OciAttach { asks, .. })
            | Self::Detach(OciDetach { asks, .. }) => Some(*asks),
            Self::Pull(_) | Self::Look(_) => None,
        }
    }

    pub(super) fn asks_mut(&mut self) -> Option<&mut Asks> {
        match self {
            Self::Push(OciPush { asks, .. })
            | Self::PutBack(OciPutBack { asks, .. })
            | Self::Attach(OciAttach { asks, .. })
            | Self::Detach(OciDetach { asks, .. }) => Some(asks),
            Self::Pull(_) | Self::Look(_) => None,
        }
    }

    /// The same call for a rebuild: a tag stays at what it was when it was first looked up.
    #[must_use]
    pub fn pinned(mut self, record: Option<&OciRecord>) -> Self {
        if let (Self::Pull(pull), Some(OciRecord::Pulled { digest })) = (&mut self, record)
            && let ArtifactAt::Tag(tag) = &pull.at
        {
            pull.at = ArtifactAt::Pinned { tag: tag.clone(), digest: digest.clone() };
        }
        self
    }
}

impl TagMove {
    /// Whether the tag is at something else afterwards.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.before.as_ref() != Some(&self.digest)
    }
}

/// The part of a reference that names one artifact for ever.
pub(super) fn with_digest(text: &str) -> Result<(String, String), String> {
    let reference = reference(text)?;
    match &reference.digest {
        Some(digest) => Ok((repo_of(&reference), digest.clone())),
        None => Err(format!(
            "{text:?} names no digest: a tag may be at something else by the time it is used; \
             write REPO@sha256:…, as `{{{{ freight.NAME.pinned }}}}` gives it"
        )),
    }
}

/// A repository and a tag of it.
pub(super) fn with_tag(text: &str) -> Result<(String, String), String> {
    let reference = reference(text)?;
    match &reference {
        ImageReference { tag: Some(tag), digest: None, .. } => {
            Ok((repo_of(&reference), tag.clone()))
        }
        ImageReference { digest: Some(_), .. } => {
            Err(format!("{text:?} names a digest: what is pushed has its own; write REPO:TAG"))
        }
        ImageReference { tag: None, digest: None, .. } => {
            Err(format!("{text:?} names no tag: write REPO:TAG"))
        }
    }
}

/// A repository and an artifact of it. A digest wins over a tag.
pub(super) fn with_either(text: &str) -> Result<(String, ArtifactAt), String> {
    let reference = reference(text)?;
    let at = match (&reference.tag, &reference.digest) {
        (_, Some(digest)) => ArtifactAt::Digest(digest.clone()),
        (Some(tag), None) => ArtifactAt::Tag(tag.clone()),
        (None, None) => {
            return Err(format!(
                "{text:?} names neither tag nor digest: write REPO:TAG or REPO@DIGEST"
            ));
        }
    };
    Ok((repo_of(&reference), at))
}

fn reference(text: &str) -> Result<ImageReference, String> {
    let text = text.strip_prefix("oci://").unwrap_or(text);
    let reference: ImageReference = text.parse().map_err(|error| format!("{error}"))?;
    match &reference.digest {
        Some(digest) if !digest.starts_with("sha256:") => Err(format!(
            "{text:?} has a digest that is no sha256, which is the only one that is used"
        )),
        Some(_) | None => Ok(reference),
    }
}

fn repo_of(reference: &ImageReference) -> String {
    format!("{}/{}", reference.registry, reference.repository)
}
