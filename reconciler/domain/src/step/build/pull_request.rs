//! Calls about pull requests.

use std::time::Duration;

use super::super::pull_request::{
    AwaitCall, CloseCall, CommentCall, ForgeKind, MergeCall, MergeMethod, OpenCall, PullRequestAt,
    PullRequestCall,
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
    Ok(PullRequestCall::Await(AwaitCall {
        at: at(arguments, StepKind::GitWaitForPr)?,
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
    let head = match (given, at.number) {
        (Some(commit), _) => Some(commit),
        (None, Some(number)) => {
            let pushed = pushed_head(context, &at.repo, number);
            Some(pushed.ok_or(CallError::NoHead { number })?)
        }
        (None, None) => None,
    };
    let wait = arguments.duration("wait")?.unwrap_or_default();
    let (interval, until) = (interval(arguments)?, context.after(wait));
    Ok(PullRequestCall::Merge(MergeCall { at, method, head, interval, until }))
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

/// What this promotion wants to be merged: what it pushed, or what was there when it opened the pull
/// request.
fn pushed_head(context: &WorkdirContext<'_>, repo: &str, number: u64) -> Option<String> {
    let opened = context.records.values().rev().find_map(|record| {
        let opened = record.as_pull_request()?.as_opened()?;
        (opened.number == number && is_same(&opened.repo, repo)).then_some(opened)
    })?;
    let pushed = pushes(context, repo, &opened.source).rev().flatten().next();
    Some(pushed.unwrap_or(&opened.head).clone())
}

/// Whether two URLs are the same repository but for how they end.
fn is_same(one: &str, other: &str) -> bool {
    fn trimmed(repo: &str) -> &str {
        let repo = repo.trim_end_matches('/');
        repo.strip_suffix(".git").unwrap_or(repo)
    }
    trimmed(one) == trimmed(other)
}
