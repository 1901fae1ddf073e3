//! Calls about pull requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::pull_request::{
    AwaitCall, CloseCall, CommentCall, ForgeKind, MergeCall, MergeMethod, OpenCall, OpenedRecord,
    PullRequestAt, PullRequestCall, is_same,
};
use super::{Arguments, CallError, Record, StepKind, WorkdirContext, mark};
use crate::step::{Asks, PushRecord};

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
        asks: Asks::No,
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
            let opened = opened.ok_or(CallError::NoHead { number })?;
            let pushed = pushed_head(context, opened).ok_or(CallError::NoHead { number })?;
            (Some(pushed), Some(made(context, opened)))
        }
        (None, None) => (None, None),
    };
    let target = opened.map(|opened| opened.target.clone());
    let wait = arguments.duration("wait")?.unwrap_or_default();
    let (interval, until) = (interval(arguments)?, context.after(wait));
    let asks = Asks::No;
    Ok(PullRequestCall::Merge(MergeCall {
        at,
        method,
        target,
        head,
        brings,
        interval,
        until,
        asks,
    }))
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
    pushed_to(context, repo, branch).map(|push| push.commit.as_ref())
}

fn pushed_to<'a>(
    context: &'a WorkdirContext<'_>,
    repo: &'a str,
    branch: &'a str,
) -> impl DoubleEndedIterator<Item = &'a PushRecord> {
    let pushes = context.records.values().filter_map(Record::as_push);
    pushes.filter(move |push| push.branch == branch && is_same(&push.repo, repo))
}

/// The pull request, as this promotion opened it.
fn opened<'a>(context: &'a WorkdirContext<'_>, at: &PullRequestAt) -> Option<&'a OpenedRecord> {
    let mut opened =
        context.records.values().rev().filter_map(|record| record.as_pull_request()?.as_opened());
    opened.find(|opened| Some(opened.number) == at.number && is_same(&opened.repo, &at.repo))
}

/// What this promotion wants to be merged: what it pushed last.
fn pushed_head(context: &WorkdirContext<'_>, opened: &OpenedRecord) -> Option<String> {
    pushes(context, &opened.repo, &opened.source).rev().flatten().next().cloned()
}

/// How many commits this promotion has on the source of a pull request: what it pushed there, with
/// its own commits that this stands on.
fn made(context: &WorkdirContext<'_>, opened: &OpenedRecord) -> usize {
    let there = pushed_to(context, &opened.repo, &opened.source);
    let marks: Vec<&str> = there.map(|push| push.mark.as_str()).collect();
    // By directory, what the line of commits that was pushed stands on.
    let mut lines = BTreeMap::<&str, &str>::new();
    let mut count = 0;
    for (step, record) in context.records.iter().rev() {
        let Some(made) = record.as_commit() else { continue };
        let Some(commit) = &made.commit else { continue };
        let goes_on = lines.get(made.dir.as_str()) == Some(&commit.as_str());
        if goes_on || marks.contains(&mark(context.promotion, step).as_str()) {
            lines.insert(&made.dir, &made.base);
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use jiff::Timestamp;

    use super::*;
    use crate::step::{CommitRecord, PullRequestRecord};

    const REPO: &str = "https://git.example/app";

    fn commit(dir: &str, base: &str, commit: &str) -> Record {
        Record::Commit(CommitRecord {
            dir: dir.to_owned(),
            repo: REPO.to_owned(),
            base: base.to_owned(),
            commit: Some(commit.to_owned()),
            message: String::new(),
            files: Vec::new(),
        })
    }

    fn push(branch: &str, mark: &str) -> Record {
        Record::Push(PushRecord {
            repo: format!("{REPO}.git"),
            branch: branch.to_owned(),
            commit: Some("reapplied".to_owned()),
            mark: mark.to_owned(),
            created: true,
        })
    }

    #[test]
    fn only_commits_that_were_pushed_to_the_source_may_be_merged() {
        let opened = OpenedRecord {
            forge: ForgeKind::Gitea,
            repo: REPO.to_owned(),
            number: 1,
            source: "change".to_owned(),
            target: "main".to_owned(),
            head: "reapplied".to_owned(),
            made: true,
            mark: "prod.1/pr".to_owned(),
        };
        let check = |records: &[(&str, Record)], count: usize| {
            let named = records
                .iter()
                .map(|(name, record)| (name.parse().expect("a name"), record.clone()));
            let records: IndexMap<_, _> = named.collect();
            let context = WorkdirContext {
                project: &"shop".parse().expect("a name"),
                promotion: &"prod.1".parse().expect("an id"),
                step: &"merge".parse().expect("a name"),
                started_at: Timestamp::UNIX_EPOCH,
                begins_at: Timestamp::UNIX_EPOCH,
                steps: &[],
                records: &records,
                prepared: None,
            };
            assert_eq!(made(&context, &opened), count, "{records:?}");
        };
        let one = || ("one", commit("src", "base", "c1"));
        let two = || ("two", commit("src", "c1", "c2"));
        let pr = || ("pr", Record::PullRequest(PullRequestRecord::Opened(opened.clone())));
        check(&[one(), ("push", push("change", "prod.1/one")), pr()], 1);
        check(&[one(), two(), ("push", push("change", "prod.1/two")), pr()], 2);
        // What comes after the push is not there, nor what goes elsewhere.
        check(&[one(), ("push", push("change", "prod.1/one")), two(), pr()], 1);
        let live = ("live", commit("live", "base", "c3"));
        let elsewhere = ("other", push("main", "prod.1/live"));
        check(&[live.clone(), elsewhere.clone(), one(), ("push", push("change", "prod.1/one"))], 1);
        check(&[live, elsewhere, pr()], 0);
        // Another checkout of the same directory begins a line of its own.
        let anew = ("two", commit("src", "main", "c2"));
        check(&[one(), anew, ("push", push("change", "prod.1/two"))], 1);
    }
}
