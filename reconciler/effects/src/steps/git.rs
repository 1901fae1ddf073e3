//! Commits, pushes, tags and their undo.
//!
//! A commit is made of nothing but its call, so it has the same id each time. On a branch it is
//! recognised by that id, or by its trailer where others had pushed before and it was re-applied.

mod seen;

use reconciler_domain::step::{
    Asks, CommitCall, CommitRecord, FileChange, IfMoved, PushCall, PushRecord, Record, RevertCall,
    Seen, TagCall, TagRecord, UntagCall,
};
use serde_json::{Map, Value};

use super::workspace::{Workspace, rel_path};
use super::{Done, Halt, RunContext};
use crate::git::{
    self, Annotation, Class, CommitId, CommitOutcome, CommitRequest, FileDiff, Git, GitError,
    NewCommit, PushOutcome, PushRequest, RepoUrl, RepoUrlError, Retracted, RevertConflict,
    RevertOutcome, RevertRequest, Signature, Source, TagOutcome, TagRequest, Trailer, UntagOutcome,
    UntagRequest,
};
use crate::scoped::Scoped;
use crate::workdir::WorkDir;

/// Attempts before a branch that others keep moving is left for a later attempt of the step.
const ATTEMPTS_MAX: u32 = 10;

pub(super) async fn commit(
    effects: &Scoped,
    cx: &RunContext,
    dir: &WorkDir,
    call: &CommitCall,
) -> Result<Done, Halt> {
    let repo = repo(&call.repo)?;
    let base = commit_id(&repo, &call.base)?;
    let path = rel_path(&call.dir)?;
    let tree = dir.resolve(&path).map_err(|error| Halt::of(&error, false))?;
    let author = signature(&call.author_name, &call.author_email, call.date);
    let git = effects.git();
    let request = CommitRequest {
        repo: repo.clone(),
        base: base.clone(),
        source: Source::WorkingTree { dir: tree, paths: call.paths.clone() },
        committer: author.clone(),
        author,
        message: call.message.clone(),
        trailers: vec![Trailer::promotion(&mark(cx, &call.mark)).map_err(|error| halt(&error))?],
    };
    let made = match git.commit(request).await.map_err(|error| halt(&error))? {
        CommitOutcome::Committed(made) => Some(made),
        CommitOutcome::Unchanged { .. } => None,
    };
    let files = match &made {
        Some(NewCommit { commit, .. }) => files(git, &repo, &base, commit).await?,
        None => Vec::new(),
    };
    let commit = made.map(|made| made.commit.to_string());
    let outputs = [
        ("changed", Value::Bool(commit.is_some())),
        ("commit", Value::from(commit_text(commit.as_ref()))),
    ];
    let record = CommitRecord {
        dir: call.dir.clone(),
        repo: call.repo.clone(),
        base: call.base.clone(),
        commit,
        message: call.message.clone(),
        files,
    };
    Ok(Done::new(outputs, Record::Commit(record)))
}

async fn files(
    git: &Git,
    repo: &RepoUrl,
    base: &CommitId,
    commit: &CommitId,
) -> Result<Vec<FileChange>, Halt> {
    let diffs = git.diff(repo, base, commit).await.map_err(|error| halt(&error))?;
    let change = |diff: FileDiff| {
        let patch = match (diff.truncated, diff.patch.is_empty()) {
            (false, _) => diff.patch,
            (true, true) => "(the difference is too large to be shown)\n".to_owned(),
            (true, false) => format!("{}\n(cut)\n", diff.patch),
        };
        FileChange { path: diff.path, old_blob: diff.old_blob, new_blob: diff.new_blob, patch }
    };
    Ok(diffs.into_iter().map(change).collect())
}

pub(super) async fn push(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    call: &PushCall,
) -> Result<Done, Halt> {
    let Some(commit) = &call.commit else { return Ok(pushed(call, None, false)) };
    let repo = repo(&call.repo)?;
    if call.asks == Asks::Only {
        return seen::push(effects, cx, &repo, call, commit).await;
    }
    let stands_on = call.stands_on.as_deref().map(|commit| commit_id(&repo, commit));
    let own = call.own.iter().map(|commit| commit_id(&repo, commit));
    let request = PushRequest {
        own: own.collect::<Result<_, _>>()?,
        stands_on: stands_on.transpose()?,
        branch: call.branch.clone(),
        commit: commit_id(&repo, commit)?,
        trailer: Trailer::promotion(&mark(cx, &call.mark)).map_err(|error| halt(&error))?,
        create: true,
        if_moved: match call.if_moved {
            IfMoved::Rebase => git::IfMoved::Rebase,
            IfMoved::Merge => git::IfMoved::Merge,
            IfMoved::Fail => git::IfMoved::Fail,
        },
        max_attempts: ATTEMPTS_MAX,
        repo,
    };
    let git = effects.git();
    let outcome = match git.push(request.clone()).await {
        // The clone cache was lost since the commit was made. The same call makes the same commit.
        Err(GitError::CommitNotFound { .. }) if workspace.commit_again(commit).await? => {
            git.push(request).await
        }
        outcome => outcome,
    };
    match outcome.map_err(|error| sent(&error))? {
        PushOutcome::Pushed { commit, previous_tip, .. } => {
            Ok(pushed(call, Some(&commit), previous_tip.is_none()))
        }
        PushOutcome::AlreadyThere { commit } => Ok(pushed(call, Some(&commit), false)),
    }
}

/// `created`: whether the branch was seen to be made. Where the first commit of one that was not there is on it as
/// it was made, nobody else can have made it.
fn pushed(call: &PushCall, commit: Option<&CommitId>, created: bool) -> Done {
    let commit = commit.map(ToString::to_string);
    let first = call.stands_on.as_deref().is_some_and(git::is_unborn);
    let created = created || (first && commit.is_some() && commit == call.commit);
    let outputs = [
        ("commit", Value::from(commit_text(commit.as_ref()))),
        ("branch", Value::from(call.branch.as_str())),
    ];
    let (repo, branch, mark) = (call.repo.clone(), call.branch.clone(), call.mark.clone());
    Done::new(outputs, Record::Push(PushRecord { repo, branch, commit, mark, created }))
}

pub(super) async fn revert(
    effects: &Scoped,
    cx: &RunContext,
    call: &RevertCall,
) -> Result<Done, Halt> {
    let repo = repo(&call.repo)?;
    if call.asks == Asks::Only {
        return seen::revert(effects, cx, &repo, call).await;
    }
    let author = signature(&call.author_name, &call.author_email, call.date);
    let commit = commit_id(&repo, &call.commit)?;
    if call.created {
        // With what others pushed since it stays, and only ours goes.
        match effects.git().retract(&repo, &call.branch, &commit).await {
            Ok(Retracted::Gone) => return Ok(Done { outputs: Map::new(), record: Record::None }),
            // The server keeps it, as it keeps its default branch: what was put there goes all the same.
            Ok(Retracted::Moved) | Err(GitError::Rejected { .. }) => {}
            Err(error) => return Err(sent(&error)),
        }
    }
    let request = RevertRequest {
        branch: call.branch.clone(),
        message: format!("Undo {} of promotion {}\n", &call.commit[..10], cx.promotion),
        commit,
        committer: author.clone(),
        author,
        trailer: Trailer::undo(&mark(cx, &call.mark)).map_err(|error| halt(&error))?,
        max_attempts: ATTEMPTS_MAX,
        repo,
    };
    let outcome = match effects.git().revert(request).await {
        Err(GitError::BranchNotFound { .. }) if call.may_be_gone => {
            return Ok(Done { outputs: Map::new(), record: Record::None });
        }
        outcome => outcome.map_err(|error| sent(&error))?,
    };
    match outcome {
        RevertOutcome::Reverted { commit, .. } | RevertOutcome::AlreadyReverted { commit } => {
            Ok(reverted(call, &commit))
        }
        RevertOutcome::NothingToRevert { .. } => {
            Ok(Done { outputs: Map::new(), record: Record::None })
        }
        RevertOutcome::Conflict { tip, files } => Err(conflict(call, &tip, &files).seen(Seen::No)),
    }
}

fn reverted(call: &RevertCall, commit: &CommitId) -> Done {
    let record = PushRecord {
        repo: call.repo.clone(),
        branch: call.branch.clone(),
        commit: Some(commit.to_string()),
        mark: String::new(),
        created: false,
    };
    Done::new([("commit", Value::from(commit.as_str()))], Record::Push(record))
}

pub(super) async fn tag(effects: &Scoped, cx: &RunContext, call: &TagCall) -> Result<Done, Halt> {
    let repo = repo(&call.repo)?;
    let annotation = match &call.note {
        None => None,
        Some(note) => Some(Annotation {
            tagger: signature(&note.author_name, &note.author_email, note.date),
            message: note.message.clone(),
            trailer: Trailer::promotion(&mark(cx, &note.mark)).map_err(|error| halt(&error))?,
        }),
    };
    let annotated = annotation.is_some();
    let commit = commit_id(&repo, &call.commit)?;
    let request = TagRequest { tag: call.tag.clone(), commit, annotation, repo };
    if call.asks == Asks::Only {
        return seen::tag(effects, request, call).await;
    }
    let (object, made) = match effects.git().tag(request).await.map_err(|error| sent(&error))? {
        TagOutcome::Made { object } => (object, true),
        // Its annotation is of this step and of no other.
        TagOutcome::AlreadyThere { object } => (object, annotated),
    };
    Ok(tagged(call, object, made))
}

fn tagged(call: &TagCall, object: String, made: bool) -> Done {
    let outputs = [("tag", Value::from(call.tag.as_str())), ("made", Value::Bool(made))];
    let (repo, tag) = (call.repo.clone(), call.tag.clone());
    Done::new(outputs, Record::Tag(TagRecord { repo, tag, object, made }))
}

pub(super) async fn untag(effects: &Scoped, call: &UntagCall) -> Result<Done, Halt> {
    let repo = repo(&call.repo)?;
    if call.asks == Asks::Only {
        return seen::untag(effects, &repo, call).await;
    }
    let object = commit_id(&repo, &call.object)?;
    let request = UntagRequest { repo, tag: call.tag.clone(), object };
    match effects.git().untag(request).await.map_err(|error| sent(&error))? {
        UntagOutcome::Gone => Ok(Done { outputs: Map::new(), record: Record::None }),
        UntagOutcome::Elsewhere { object } => Err(Halt::never(format_args!(
            "tag {:?} of {} is at {object} now, not at {} as this promotion made it; decide by hand \
             what it should be at",
            call.tag, call.repo, call.object,
        ))),
    }
}

/// What remains of our commit where others wrote since, for a person to decide.
fn conflict(call: &RevertCall, tip: &CommitId, files: &[RevertConflict]) -> Halt {
    let blob = |id: &Option<String>| id.clone().unwrap_or_else(|| "no file".to_owned());
    let file = |file: &RevertConflict| {
        format!(
            "{}: {} (ours {}, now {}, before {})",
            file.path,
            file.why,
            blob(&file.ours),
            blob(&file.present),
            blob(&file.before),
        )
    };
    let files: Vec<String> = files.iter().map(file).collect();
    Halt::never(format_args!(
        "commit {} cannot be undone on branch {:?} of {} at {tip}: {}; decide by hand what these \
         files should hold",
        call.commit,
        call.branch,
        call.repo,
        files.join("; "),
    ))
}

/// An absent commit is the empty text, so that templates can print it.
fn commit_text(commit: Option<&String>) -> &str {
    commit.map_or("", String::as_str)
}

/// The mark as it stands outside, where other projects may have promotions of the same name.
pub(super) fn mark(cx: &RunContext, mark: &str) -> String {
    format!("{}/{mark}", cx.project)
}

fn signature(name: &str, email: &str, time: jiff::Timestamp) -> Signature {
    Signature { name: name.to_owned(), email: email.to_owned(), time }
}

pub(super) fn repo(text: &str) -> Result<RepoUrl, Halt> {
    // The text itself is not repeated: what is refused may hold a password.
    text.parse().map_err(|error: RepoUrlError| Halt::of(&error, false))
}

pub(super) fn commit_id(repo: &RepoUrl, text: &str) -> Result<CommitId, Halt> {
    text.parse().map_err(|error| Halt::never(format_args!("{repo}: {error}")))
}

/// The end of a call that changes something on the server.
fn sent(error: &GitError) -> Halt {
    let seen = if error.is_open() {
        Seen::Perhaps
    } else if error.is_not_made() {
        Seen::No
    } else {
        Seen::Unsaid
    };
    halt(error).seen(seen)
}

pub(super) fn halt(error: &GitError) -> Halt {
    match error.class() {
        Class::Retry => Halt::later_after(crate::explain(error), error.retry_after()),
        Class::Never => Halt::of(error, false),
    }
}
