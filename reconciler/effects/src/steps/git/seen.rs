//! Pushes, tags and their undo whose end nobody saw: they are looked for, and nothing is sent.

use reconciler_domain::step::{PushCall, Record, RevertCall, TagCall, UntagCall};
use serde_json::Map;

use super::super::{Done, Halt, RunContext};
use super::{commit_id, halt, mark, pushed, reverted, tagged};
use crate::git::{CommitId, GitError, Mark, RepoUrl, TagRequest, Trailer};
use crate::scoped::Scoped;

pub(super) async fn push(
    effects: &Scoped,
    cx: &RunContext,
    repo: &RepoUrl,
    call: &PushCall,
    commit: &str,
) -> Result<Done, Halt> {
    let since = call.stands_on.as_deref().map(|commit| commit_id(repo, commit)).transpose()?;
    let wanted = Mark {
        commit: Some(commit_id(repo, commit)?),
        trailer: Trailer::promotion(&mark(cx, &call.mark)).map_err(|error| halt(&error))?,
        since,
    };
    match observed(effects, repo, &call.branch, &wanted).await? {
        Some(commit) => Ok(pushed(call, Some(&commit), false)),
        None => Err(Halt::absent(format_args!(
            "commit {commit} is not on branch {:?} of {repo}",
            call.branch
        ))),
    }
}

pub(super) async fn revert(
    effects: &Scoped,
    cx: &RunContext,
    repo: &RepoUrl,
    call: &RevertCall,
) -> Result<Done, Halt> {
    if call.created || call.may_be_gone {
        let tip = effects.git().remote_tip(repo, &call.branch).await;
        if tip.map_err(|error| halt(&error))?.is_none() {
            return Ok(Done { outputs: Map::new(), record: Record::None });
        }
    }
    let wanted = Mark {
        commit: None,
        trailer: Trailer::undo(&mark(cx, &call.mark)).map_err(|error| halt(&error))?,
        since: Some(commit_id(repo, &call.commit)?),
    };
    match observed(effects, repo, &call.branch, &wanted).await? {
        Some(commit) => Ok(reverted(call, &commit)),
        None => Err(Halt::absent(format_args!(
            "branch {:?} of {repo} has no commit that takes {} back",
            call.branch, call.commit,
        ))),
    }
}

async fn observed(
    effects: &Scoped,
    repo: &RepoUrl,
    branch: &str,
    wanted: &Mark,
) -> Result<Option<CommitId>, Halt> {
    effects.git().observe(repo, branch, wanted).await.map_err(|error| halt(&error))
}

pub(super) async fn tag(
    effects: &Scoped,
    request: TagRequest,
    call: &TagCall,
) -> Result<Done, Halt> {
    // Its annotation is of this step and of no other.
    let annotated = request.annotation.is_some();
    match effects.git().find_tag(request).await {
        Ok(Some(object)) => Ok(tagged(call, object, annotated)),
        Ok(None) => Err(Halt::absent(format_args!("{} has no tag {:?}", call.repo, call.tag))),
        Err(error @ GitError::TagTaken { .. }) => Err(Halt::absent(error)),
        Err(error) => Err(halt(&error)),
    }
}

pub(super) async fn untag(
    effects: &Scoped,
    repo: &RepoUrl,
    call: &UntagCall,
) -> Result<Done, Halt> {
    let there = effects.git().tag_object(repo, &call.tag).await.map_err(|error| halt(&error))?;
    match there {
        None => Ok(Done { outputs: Map::new(), record: Record::None }),
        Some(there) => {
            Err(Halt::absent(format_args!("tag {:?} of {repo} is still at {there}", call.tag)))
        }
    }
}
