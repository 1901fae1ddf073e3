//! Tags: made once, found again, and taken away only while they are what was made.
//!
//! An annotated tag is made of nothing but its request, so it has the same id each time, and its trailer
//! makes it nobody else's. A lightweight one is only a name for a commit: who gave it is not to be seen.

use git2::Oid;

use super::commit::{Signature, Trailer, full_message};
use super::engine::{Remote, Sent};
use super::error::GitError;
use super::id::{CommitId, Revision, tag_ref};
use super::mirror::Job;
use super::signing::write_tag;
use super::url::RepoUrl;

/// Looks at a tag that others make and remove at the same time.
const LOOKS_MAX: u32 = 3;

/// A tag to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRequest {
    /// The repository.
    pub repo: RepoUrl,
    /// The name, without `refs/tags/`.
    pub tag: String,
    /// The commit.
    pub commit: CommitId,
    /// What it says; absent: a lightweight one.
    pub annotation: Option<Annotation>,
}

/// What an annotated tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Who made it, and when.
    pub tagger: Signature,
    /// The message without the trailer.
    pub message: String,
    /// The trailer that no other tag has.
    pub trailer: Trailer,
}

/// How a tag came to be where it is. `object` is the commit, or the annotation that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagOutcome {
    /// It was made now.
    Made {
        /// What the name is at.
        object: String,
    },
    /// It was there before.
    AlreadyThere {
        /// What the name is at.
        object: String,
    },
}

/// A tag to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntagRequest {
    /// The repository.
    pub repo: RepoUrl,
    /// The name, without `refs/tags/`.
    pub tag: String,
    /// What it is at.
    pub object: CommitId,
}

/// What became of a tag that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UntagOutcome {
    /// It is gone, now or before.
    Gone,
    /// It is at something else, and stays.
    Elsewhere {
        /// What the name is at.
        object: String,
    },
}

pub(super) async fn tag(remote: &Remote, request: TagRequest) -> Result<TagOutcome, GitError> {
    let (reference, tag) = (tag_ref(&request.tag)?, request.tag.clone());
    remote.ensure(&request.commit).await?;
    let asked = request.clone();
    let wanted = remote.run(move |job| object(job, &asked)).await?;
    let object = wanted.to_string();
    for _ in 0..LOOKS_MAX {
        match remote.reference(&reference).await? {
            Some(there) if there == wanted => return Ok(TagOutcome::AlreadyThere { object }),
            // Its annotation says whose it is, whatever key had signed it.
            Some(there) if is_ours(remote, &request, there).await? => {
                return Ok(TagOutcome::AlreadyThere { object: there.to_string() });
            }
            Some(there) => {
                let (repo, there) = (remote.repo.clone(), there.to_string());
                return Err(GitError::TagTaken { repo, tag, there, wanted: object });
            }
            None => {}
        }
        match remote.send_to(&reference, Some(wanted), None).await? {
            Sent::Accepted => return Ok(TagOutcome::Made { object }),
            // Somebody was faster; what is there now says with what.
            Sent::Moved => {}
            Sent::Refused(reason) => return Err(refused(remote, tag, reason)),
        }
    }
    Err(refused(remote, tag, "others make and remove it at the same time".to_owned()))
}

/// What the tag is at if it is there as it was to be made; absent: it is not there.
///
/// # Errors
/// [`GitError::TagTaken`], and the network's.
pub(super) async fn find(remote: &Remote, request: TagRequest) -> Result<Option<String>, GitError> {
    let (reference, tag) = (tag_ref(&request.tag)?, request.tag.clone());
    remote.ensure(&request.commit).await?;
    let asked = request.clone();
    let wanted = remote.run(move |job| object(job, &asked)).await?;
    match remote.reference(&reference).await? {
        None => Ok(None),
        Some(there) if there == wanted => Ok(Some(there.to_string())),
        Some(there) if is_ours(remote, &request, there).await? => Ok(Some(there.to_string())),
        Some(there) => {
            let (repo, there) = (remote.repo.clone(), there.to_string());
            Err(GitError::TagTaken { repo, tag, there, wanted: wanted.to_string() })
        }
    }
}

/// What the name is at; absent: there is no such tag.
pub(super) async fn at(remote: &Remote, tag: &str) -> Result<Option<String>, GitError> {
    let there = remote.reference(&tag_ref(tag)?).await?;
    Ok(there.map(|there| there.to_string()))
}

pub(super) async fn untag(
    remote: &Remote,
    request: UntagRequest,
) -> Result<UntagOutcome, GitError> {
    let (reference, ours) = (tag_ref(&request.tag)?, request.object.oid());
    for _ in 0..LOOKS_MAX {
        match remote.reference(&reference).await? {
            None => return Ok(UntagOutcome::Gone),
            Some(there) if there != ours => {
                return Ok(UntagOutcome::Elsewhere { object: there.to_string() });
            }
            Some(_) => {}
        }
        match remote.send_to(&reference, None, Some(ours)).await? {
            Sent::Accepted => return Ok(UntagOutcome::Gone),
            Sent::Moved => {}
            Sent::Refused(reason) => return Err(refused(remote, request.tag, reason)),
        }
    }
    let reason = "others make and remove it at the same time".to_owned();
    Err(refused(remote, request.tag, reason))
}

/// What the name is to be at; an annotation is written to the mirror, without a name there.
fn object(job: &Job, request: &TagRequest) -> Result<Oid, GitError> {
    let commit = job.commit(&request.commit)?;
    let Some(Annotation { tagger, message, trailer }) = &request.annotation else {
        return Ok(commit.id());
    };
    tagger.check("tagger")?;
    let message = full_message(message, std::slice::from_ref(trailer))?;
    write_tag(job, &request.tag, commit.id(), &tagger.to_git(job)?, &message)
}

/// Whether what a name is at is the annotation of this very request, made with another key.
async fn is_ours(remote: &Remote, request: &TagRequest, there: Oid) -> Result<bool, GitError> {
    let Some(annotation) = &request.annotation else { return Ok(false) };
    match remote.fetch(&Revision::Tag(request.tag.clone())).await {
        Ok(commit) if commit == request.commit => {}
        Ok(_) | Err(GitError::TagNotFound { .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    let line = annotation.trailer.line();
    remote
        .run(move |job| {
            let Ok(tag) = job.repository.find_tag(there) else { return Ok(false) };
            let text =
                String::from_utf8_lossy(tag.message_bytes().unwrap_or_default()).into_owned();
            Ok(text.lines().any(|said| said == line))
        })
        .await
}

fn refused(remote: &Remote, tag: String, reason: String) -> GitError {
    GitError::TagRefused { repo: remote.repo.clone(), tag, reason }
}
