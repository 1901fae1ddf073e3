//! Calls on repositories: what they commit on, and what a push brings.

use super::arguments::Arguments;
use super::{CallError, WorkdirContext, mark};
use crate::step::{
    Asks, Checkout, CheckoutAt, CloneCall, CloneRecord, CommitCall, IfMoved, PushCall, Record,
    Step, StepKind, TagCall, TagNote,
};

pub(super) fn clone(arguments: &Arguments<'_>) -> Result<CloneCall, CallError> {
    let mut checkouts = Vec::new();
    for (dir, checkout) in arguments.map("checkout")? {
        let checkout = Arguments(checkout);
        let at = match checkout.optional_text("commit")? {
            Some(commit) => CheckoutAt::Commit(commit),
            None => CheckoutAt::Branch(checkout.text("branch")?),
        };
        let (paths, create) = (checkout.texts("paths")?, checkout.flag("create")?);
        checkouts.push(Checkout { dir: dir.clone(), at, create, paths });
    }
    Ok(CloneCall { repo: arguments.text("repo")?, checkouts })
}

pub(super) fn commit(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<CommitCall, CallError> {
    let dir = arguments.text("dir")?;
    let (clone, base) =
        checkout_of(context, &dir).ok_or_else(|| CallError::NoCheckout { dir: dir.clone() })?;
    Ok(CommitCall {
        repo: clone.repo.clone(),
        base: base.clone(),
        paths: clone.paths.get(&dir).cloned().unwrap_or_default(),
        message: with_those_before(context, &dir, arguments.text("message")?),
        author_name: arguments.author_name()?,
        author_email: arguments.author_email()?,
        date: context.started_at,
        mark: mark(context.promotion, context.step),
        dir,
    })
}

/// The message of a commit that also holds what was committed in the same checkout and is not pushed before: it is
/// made on what was checked out, so it takes the place of those before, and says what they said. Whether one is
/// pushed is seen from the steps: during the preparation nothing is pushed yet.
fn with_those_before(context: &WorkdirContext<'_>, dir: &str, message: String) -> String {
    let mut before: Option<&str> = None;
    for step in context.steps.iter().take_while(|step| step.name != *context.step) {
        let record = context.records.get(&step.name);
        let cloned = record.and_then(Record::as_clone);
        if cloned.is_some_and(|clone| clone.commits.contains_key(dir)) {
            before = None;
        }
        if let Some(commit) = record.and_then(Record::as_commit).filter(|it| it.dir == dir) {
            before = commit.commit.as_ref().map(|_| commit.message.as_str());
        }
        if step.uses == StepKind::GitPush && pushes(context, step, dir) {
            before = None;
        }
    }
    match before {
        Some(said) if !said.is_empty() && said != message => format!("{said}\n\n{message}"),
        Some(_) | None => message,
    }
}

/// Whether a step pushes what is committed in a directory: it names it as one of the commits there does.
fn pushes(context: &WorkdirContext<'_>, push: &Step, dir: &str) -> bool {
    let commits = context.steps.iter().filter(|step| {
        let record = context.records.get(&step.name).and_then(Record::as_commit);
        record.is_some_and(|commit| commit.dir == dir)
    });
    commits.into_iter().any(|commit| commit.config.get("dir") == push.config.get("dir"))
}

pub(super) fn push(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<PushCall, CallError> {
    let dir = arguments.text("dir")?;
    let committed = context.records.iter().rev().find_map(|(step, record)| {
        let commit = record.as_commit().filter(|commit| commit.dir == dir)?;
        Some((step, commit))
    });
    let Some((committer, record)) = committed else { return Err(CallError::NoCommit { dir }) };
    let checkout = checkout_of(context, &dir).map(|(clone, _)| clone);
    let own = checkout.and_then(|clone| clone.branches.get(&dir));
    let Some(branch) = arguments.optional_text("branch")?.or_else(|| own.cloned()) else {
        return Err(CallError::NoBranch { dir });
    };
    let is_own = own.is_some_and(|own| *own == branch);
    let stands_on = checkout.filter(|_| is_own).and_then(|clone| clone.commits.get(&dir)).cloned();
    Ok(PushCall {
        own: pushed_before(context, &dir, &branch),
        repo: record.repo.clone(),
        branch,
        commit: record.commit.clone(),
        mark: mark(context.promotion, committer),
        if_moved: arguments
            .word(StepKind::GitPush, "if_moved")?
            .and_then(|word| IfMoved::from_word(&word))
            .unwrap_or_default(),
        stands_on,
        asks: Asks::No,
    })
}

/// The commits of a checkout that steps before pushed to a branch: what is committed there now stands on them, so
/// to say, and holds what they brought.
fn pushed_before(context: &WorkdirContext<'_>, dir: &str, branch: &str) -> Vec<String> {
    let (mut marks, mut pushed) = (Vec::new(), Vec::new());
    for (step, record) in context.records {
        if record.as_clone().is_some_and(|clone| clone.commits.contains_key(dir)) {
            marks.clear();
            pushed.clear();
        }
        if record.as_commit().is_some_and(|commit| commit.dir == dir) {
            marks.push(mark(context.promotion, step));
        }
        let push = record.as_push().filter(|push| push.branch == branch);
        pushed.extend(push.filter(|it| marks.contains(&it.mark)).and_then(|it| it.commit.clone()));
    }
    pushed
}

pub(super) fn tag(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<TagCall, CallError> {
    let commit = arguments.text("commit")?;
    if commit.len() != 40 || !commit.chars().all(|c| c.is_ascii_hexdigit()) {
        let expected = "the 40 digits of a commit (a push with nothing to push gives none)";
        return Err(CallError::Type { path: "commit".to_owned(), expected, found: commit });
    }
    let note = match arguments.optional_text("message")? {
        None => None,
        Some(message) => Some(TagNote {
            message,
            author_name: arguments.author_name()?,
            author_email: arguments.author_email()?,
            date: context.started_at,
            mark: mark(context.promotion, context.step),
        }),
    };
    let (repo, tag) = (arguments.text("repo")?, arguments.text("tag")?);
    Ok(TagCall { repo, tag, commit, note, asks: Asks::No })
}

fn checkout_of<'a>(
    context: &'a WorkdirContext<'_>,
    dir: &str,
) -> Option<(&'a CloneRecord, &'a String)> {
    context.records.values().rev().filter_map(Record::as_clone).find_map(|clone| {
        let commit = clone.commits.get(dir)?;
        Some((clone, commit))
    })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use jiff::Timestamp;

    use super::*;
    use crate::id::StepName;
    use crate::step::CommitRecord;

    fn clone_of(dir: &str) -> Record {
        Record::Clone(CloneRecord {
            repo: "https://git.example/app".to_owned(),
            commits: IndexMap::from([(dir.to_owned(), "0".repeat(40))]),
            branches: IndexMap::new(),
            paths: std::collections::BTreeMap::new(),
        })
    }

    fn committed(dir: &str, message: &str, changed: bool) -> Record {
        Record::Commit(CommitRecord {
            dir: dir.to_owned(),
            repo: "https://git.example/app".to_owned(),
            base: "0".repeat(40),
            commit: changed.then(|| "1".repeat(40)),
            message: message.to_owned(),
            files: Vec::new(),
        })
    }

    #[test]
    fn a_commit_says_what_those_said_that_it_takes_the_place_of() {
        // A step without a record has not run.
        let check = |before: &[(StepKind, &str, Option<Record>)], expected: &str| {
            let name = |at: usize| format!("step_{at}").parse::<StepName>().expect("a name");
            let steps: Vec<Step> = before
                .iter()
                .enumerate()
                .map(|(at, (uses, dir, _))| {
                    Step::new(name(at), *uses, serde_json::json!({ "dir": dir }))
                })
                .collect();
            let records = before.iter().enumerate();
            let records =
                records.filter_map(|(at, (_, _, it))| Some((name(at), it.clone()?))).collect();
            let context = WorkdirContext {
                project: &"shop".parse().expect("a name"),
                promotion: &"dev.1".parse().expect("an id"),
                step: &"last".parse().expect("a name"),
                started_at: Timestamp::UNIX_EPOCH,
                begins_at: Timestamp::UNIX_EPOCH,
                steps: &steps,
                records: &records,
                prepared: None,
            };
            assert_eq!(with_those_before(&context, "app", "last".to_owned()), expected);
        };
        let (cloned, first) = (clone_of("app"), committed("app", "first", true));
        let clone = (StepKind::GitClone, "app", Some(cloned));
        let commit = |dir, record| (StepKind::GitCommit, dir, Some(record));
        let push = |dir| (StepKind::GitPush, dir, None);
        check(std::slice::from_ref(&clone), "last");
        check(&[clone.clone(), commit("app", first.clone())], "first\n\nlast");
        let both = committed("app", "first\n\nmore", true);
        let all = [clone.clone(), commit("app", first.clone()), commit("app", both)];
        check(&all, "first\n\nmore\n\nlast");
        check(&[clone.clone(), commit("app", committed("app", "last", true))], "last");
        check(&[clone.clone(), commit("app", committed("app", "", true))], "last");
        // What is pushed before says it there, and what is of another checkout, too.
        check(&[clone.clone(), commit("app", first.clone()), push("app")], "last");
        check(&[clone.clone(), commit("app", first.clone()), push("web")], "first\n\nlast");
        check(&[clone.clone(), commit("web", committed("web", "other", true))], "last");
        check(&[clone.clone(), commit("app", committed("app", "none", false))], "last");
        check(&[clone.clone(), commit("app", first.clone()), clone.clone()], "last");
    }
}
