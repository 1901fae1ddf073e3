//! Calls about pull requests.

use std::time::Duration;

use super::super::pull_request::{
    AwaitCall, CloseCall, CommentCall, ForgeKind, MergeCall, MergeMethod, OpenCall, OpenedRecord,
    PullRequestAt, PullRequestCall, is_same,
};
use super::{Arguments, CallError, Record, StepKind, WorkdirContext, mark};

/// Pause between looks where the step does not say otherwise.
const INTERVAL: Duration = Duration::from_secs(30);
/// Shortest pause between looks.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Time to be merged in where the step does not say otherwise.
const TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn open(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<PullRequestCall, CallError> {
    let (repo, source) = (arguments.text("repo")?, arguments.text("source")?);
    let pushed: Vec<_> = pushes(context, &repo, &source).map(|commit| commit.is_some()).collect();
    let nothing_pushed = !pushed.is_empty() && !pushed.contains(&true);
    Ok(PullRequestCall::Open(OpenCall {
        forge: forge(arguments, StepKind::GitOpenPr, &repo)?,
        target: arguments.text("target")?,
        title: arguments.text("title")?,
        description: arguments.optional_text("description")?.unwrap_or_default(),
        labels: arguments.texts("labels")?,
        draft: arguments.flag("draft")?,
        nothing_pushed,
        mark: mark(context.promotion, context.step),
        source,
        repo,
    }))
}

pub(super) fn wait(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<PullRequestCall, CallError> {
    let timeout = arguments.duration("timeout")?.unwrap_or(TIMEOUT);
    let at = at(arguments, StepKind::GitWaitForPr)?;
    Ok(PullRequestCall::Await(AwaitCall {
        target: opened(context, &at).map(|opened| opened.target.clone()),
        at,
        interval: interval(arguments)?,
        until: context.after(timeout),
    }))
}

pub(super) fn merge(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<PullRequestCall, CallError> {
    let at = at(arguments, StepKind::GitMergePr)?;
    let method = arguments.word(StepKind::GitMergePr, "method")?;
    let method = method.as_deref().and_then(MergeMethod::from_word).unwrap_or(MergeMethod::Merge);
    if (at.forge, method) == (ForgeKind::GitLab, MergeMethod::Rebase) {
        return Err(CallError::NoSuchMethod);
    }
    let given = arguments.optional_text("commit")?.filter(|commit| !commit.is_empty());
    let opened = opened(context, &at);
    let (head, brings) = match (given, at.number) {
        (Some(commit), _) => (Some(commit), None),
        (None, Some(number)) => {
            let pushed = opened.and_then(|opened| pushed_head(context, opened));
            (Some(pushed.ok_or(CallError::NoHead { number })?), Some(made(context, &at.repo)))
        }
        (None, None) => (None, None),
    };
    let target = opened.map(|opened| opened.target.clone());
    let wait = arguments.duration("wait")?.unwrap_or_default();
    let (interval, until) = (interval(arguments)?, context.after(wait));
    Ok(PullRequestCall::Merge(MergeCall { at, method, target, head, brings, interval, until }))
}

pub(super) fn close(arguments: &Arguments<'_>) -> Result<PullRequestCall, CallError> {
    let at = at(arguments, StepKind::GitClosePr)?;
    Ok(PullRequestCall::Close(CloseCall { at, mark: None }))
}

pub(super) fn comment(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<PullRequestCall, CallError> {
    Ok(PullRequestCall::Comment(CommentCall {
        at: at(arguments, StepKind::GitCommentPr)?,
        text: arguments.text("text")?,
        mark: mark(context.promotion, context.step),
    }))
}

fn at(arguments: &Arguments<'_>, kind: StepKind) -> Result<PullRequestAt, CallError> {
    let repo = arguments.text("repo")?;
    let forge = forge(arguments, kind, &repo)?;
    let number = arguments.count("number", u64::from(u32::MAX))?;
    Ok(PullRequestAt { forge, repo, number })
}

fn forge(arguments: &Arguments<'_>, kind: StepKind, repo: &str) -> Result<ForgeKind, CallError> {
    let named = arguments.word(kind, "forge")?;
    let named = named.as_deref().and_then(ForgeKind::from_word);
    named.or_else(|| ForgeKind::of_repo(repo)).ok_or(CallError::NoForge)
}

fn interval(arguments: &Arguments<'_>) -> Result<Duration, CallError> {
    Ok(arguments.duration("interval")?.unwrap_or(INTERVAL).max(INTERVAL_MIN))
}

/// What this promotion pushed to a branch, step by step; `None`: a step that had nothing to push.
fn pushes<'a>(
    context: &'a WorkdirContext<'_>,
    repo: &'a str,
    branch: &'a str,
) -> impl DoubleEndedIterator<Item = Option<&'a String>> {
    let pushes = context.records.values().filter_map(Record::as_push);
    let here = pushes.filter(move |push| push.branch == branch && is_same(&push.repo, repo));
    here.map(|push| push.commit.as_ref())
}

/// The pull request, as this promotion opened it.
fn opened<'a>(context: &'a WorkdirContext<'_>, at: &PullRequestAt) -> Option<&'a OpenedRecord> {
    let opened =
        context.records.values().rev().filter_map(|record| record.as_pull_request()?.as_opened());
    opened
        .into_iter()
        .find(|opened| Some(opened.number) == at.number && is_same(&opened.repo, &at.repo))
}

/// What this promotion wants to be merged: what it pushed last.
fn pushed_head(context: &WorkdirContext<'_>, opened: &OpenedRecord) -> Option<String> {
    pushes(context, &opened.repo, &opened.source).rev().flatten().next().cloned()
}

/// How many commits this promotion made in a repository.
fn made(context: &WorkdirContext<'_>, repo: &str) -> usize {
    let commits = context.records.values().filter_map(Record::as_commit);
    commits.filter(|made| made.commit.is_some() && is_same(&made.repo, repo)).count()
}
