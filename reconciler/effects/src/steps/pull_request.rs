//! Pull requests.
//!
//! What was opened or said is known by its [`Marker`], and looked for before it is done. A look that
//! finds nothing new ends the call without an outcome: the same call looks again later, and nobody is
//! kept waiting meanwhile.

use std::time::Duration;

use reconciler_domain::step::{
    Asks, AwaitCall, CloseCall, CommentCall, ForgeKind, MergeCall, MergedRecord, OpenCall,
    OpenedRecord, PullRequestAt, PullRequestCall, PullRequestRecord, Record, Seen,
};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::git::{self, mark};
use super::{Done, Halt, RunContext};
use crate::forge::{
    Forge, ForgeError, Marker, Merging, NewPullRequest, PullRequest, Readiness, Standing, connect,
};
use crate::git::{CommitId, RepoUrl};
use crate::scoped::Scoped;

/// Pause until a merge that was accepted is looked at again.
const MERGING: Duration = Duration::from_secs(2);
/// Looks at a merge that was accepted, before it is left for another attempt.
const LOOKS_MAX: u32 = 15;

pub(super) async fn carry_out(
    effects: &Scoped,
    cx: &RunContext,
    call: &PullRequestCall,
    interrupt: &CancellationToken,
) -> Result<Done, Halt> {
    match call {
        PullRequestCall::Open(call) => open(effects, cx, call).await,
        PullRequestCall::Await(call) => wait(effects, cx, call).await,
        PullRequestCall::Merge(call) => merge(effects, cx, call, interrupt).await,
        PullRequestCall::Close(call) => close(effects, cx, call).await,
        PullRequestCall::Comment(call) => comment(effects, cx, call).await,
    }
}

/// A pull request of a repository, and the forge that speaks about it.
struct Subject<'a> {
    forge: Box<dyn Forge + 'a>,
    repo: RepoUrl,
}

impl<'a> Subject<'a> {
    fn of(effects: &'a Scoped, cx: &RunContext, kind: ForgeKind, repo: &str) -> Result<Self, Halt> {
        let repo = git::repo(repo)?;
        let forge = connect(effects, kind, &repo, cx.now).map_err(|error| halt(&error))?;
        Ok(Self { forge, repo })
    }

    fn at(effects: &'a Scoped, cx: &RunContext, at: &PullRequestAt) -> Result<Self, Halt> {
        Self::of(effects, cx, at.forge, &at.repo)
    }

    /// The pull requests for the branches of a call.
    async fn find(&self, call: &OpenCall) -> Result<Vec<PullRequest>, Halt> {
        let found = self.forge.find(&call.source, &call.target).await;
        found.map_err(|error| halt(&error))
    }

    async fn read(&self, number: u64) -> Result<PullRequest, Halt> {
        self.forge.read(number).await.map_err(|error| halt(&error))
    }
}

async fn open(effects: &Scoped, cx: &RunContext, call: &OpenCall) -> Result<Done, Halt> {
    let subject = Subject::of(effects, cx, call.forge, &call.repo)?;
    let marker = Marker::new(&mark(cx, &call.mark));
    let found = subject.find(call).await?;
    if let Some(ours) = found.iter().find(|pull| marker.is_in(&pull.body)) {
        return opened(&subject, call, ours, true).await;
    }
    if call.asks == Asks::Only {
        return Err(Halt::absent(format_args!(
            "{} has no pull request of this promotion from {:?} into {:?}",
            call.repo, call.source, call.target,
        )));
    }
    // What it is not opened for is not open.
    unopened(effects, cx, &subject, call, &marker, &found).await
}

/// Opens one, unless there is nothing to open it for. It was looked for, and is not there.
async fn unopened(
    effects: &Scoped,
    cx: &RunContext,
    subject: &Subject<'_>,
    call: &OpenCall,
    marker: &Marker,
    found: &[PullRequest],
) -> Result<Done, Halt> {
    let (forge, git) = (&subject.forge, effects.git());
    let tip = git.remote_tip(&subject.repo, &call.source).await;
    let Some(tip) = tip.map_err(|error| git::halt(&error))? else {
        if call.nothing_pushed {
            return Ok(nothing_to_merge());
        }
        return Err(Halt::never(format_args!(
            "{} has no branch {:?} to open a pull request for: push it before",
            call.repo, call.source,
        ))
        .seen(Seen::No));
    };
    let there = git.contains(&subject.repo, &call.target, &tip).await;
    if there.map_err(|error| git::halt(&error))? {
        return Ok(nothing_to_merge());
    }
    if let Some(other) = found.iter().find(|pull| matches!(pull.standing, Standing::Open(_))) {
        return adopt(subject, cx, call, other).await;
    }
    let body = marker.put_on(&call.description);
    let OpenCall { source, target, title, draft, .. } = call;
    let new = NewPullRequest { source, target, title, body: &body, draft: *draft };
    if let Some(made) = forge.open(&new).await.map_err(|error| sent(&error))? {
        return opened(subject, call, &made, true).await;
    }
    // It was opened in between, be it by a request of ours whose answer was lost.
    let found = subject.find(call).await.map_err(|halt| halt.seen(Seen::Perhaps))?;
    match found.iter().find(|pull| marker.is_in(&pull.body)) {
        Some(ours) => opened(subject, call, ours, true).await,
        None => Err(Halt::later(format_args!(
            "{} says that there is an open pull request from {source:?} into {target:?}, and does not \
             list it yet",
            call.repo,
        ))
        .seen(Seen::Perhaps)),
    }
}

/// One that somebody else opened. A forge has one open pull request for two branches, and that of
/// another promotion of the project serves as well: it is merged with what is on its branch.
async fn adopt(
    subject: &Subject<'_>,
    cx: &RunContext,
    call: &OpenCall,
    other: &PullRequest,
) -> Result<Done, Halt> {
    if Marker::is_of_project(cx.project.as_str(), &other.body) {
        return opened(subject, call, other, false).await;
    }
    Err(Halt::never(format_args!(
        "pull request {} of {} ({}) is open from {:?} into {:?} already, and was not opened by this \
         project: close it, or use another branch",
        other.number, call.repo, other.url, call.source, call.target,
    ))
    .seen(Seen::No))
}

async fn opened(
    subject: &Subject<'_>,
    call: &OpenCall,
    pull: &PullRequest,
    made: bool,
) -> Result<Done, Halt> {
    let head = pull.head.clone().unwrap_or_default();
    let (forge, repo, source) = (call.forge, call.repo.clone(), call.source.clone());
    let (number, target, mark) = (pull.number, call.target.clone(), call.mark.clone());
    let record = OpenedRecord { forge, repo, number, source, target, head, made, mark };
    let record = Record::PullRequest(PullRequestRecord::Opened(record));
    let is_open = matches!(pull.standing, Standing::Open(_));
    if made && is_open && !call.labels.is_empty() {
        if call.asks == Asks::Only {
            let what =
                "it is open, and was to get labels, of which it is not known whether it has them";
            return Err(with_record(Halt::never(what).seen(Seen::No), record));
        }
        let labelled = subject.forge.label(pull.number, &call.labels).await;
        labelled.map_err(|error| with_record(halt(&error), record.clone()))?;
    }
    let state = match pull.standing {
        Standing::Open(_) => "open",
        Standing::Merged { .. } => "merged",
        Standing::Closed => "closed",
    };
    let outputs = [
        ("number", Value::from(pull.number)),
        ("url", Value::from(pull.url.as_str())),
        ("state", Value::from(state)),
    ];
    Ok(Done::new(outputs, record))
}

fn nothing_to_merge() -> Done {
    let outputs = [("number", Value::Null), ("url", Value::Null), ("state", Value::from("none"))];
    Done::new(outputs, Record::None)
}

async fn wait(effects: &Scoped, cx: &RunContext, call: &AwaitCall) -> Result<Done, Halt> {
    let Some(number) = call.at.number else { return Ok(nothing_merged()) };
    let subject = Subject::at(effects, cx, &call.at)?;
    let last = match subject.forge.read(number).await {
        Ok(PullRequest { standing: Standing::Open(_), .. }) => {
            Halt::not_yet("it is open".to_owned(), call.interval)
        }
        Ok(pull) => match pull.standing.clone() {
            Standing::Merged { commit } => {
                same_target(&call.at, call.target.as_deref(), &pull)?;
                return merged(effects, &subject, &call.at, &pull, commit).await;
            }
            Standing::Closed | Standing::Open(_) => return Err(closed(&call.at, &pull)),
        },
        // Somebody who is asked for days is away now and then.
        Err(error) if error.may_pass() => {
            let pause = error.retry_after().unwrap_or_default().max(call.interval);
            Halt::not_yet(crate::explain(&error), pause)
        }
        Err(error) => return Err(halt(&error)),
    };
    match last {
        Halt::NotYet { message, .. } if call.until <= cx.now => Err(Halt::never(format_args!(
            "{} was neither merged nor closed by {}; the last look: {message}",
            call.at.describe(),
            call.until,
        ))),
        other => Err(other),
    }
}

async fn merge(
    effects: &Scoped,
    cx: &RunContext,
    call: &MergeCall,
    interrupt: &CancellationToken,
) -> Result<Done, Halt> {
    let (Some(number), Some(head)) = (call.at.number, &call.head) else {
        return Ok(nothing_merged());
    };
    let subject = Subject::at(effects, cx, &call.at)?;
    let pull = subject.read(number).await?;
    let readiness = match may_merge(effects, &subject, call, pull, head).await? {
        May::Merge(readiness) => readiness,
        May::Be(done) => return Ok(*done),
    };
    // It is open, and until the forge is asked nothing changes that.
    let open = |halt: Halt| halt.seen(Seen::No);
    if call.asks == Asks::Only {
        return Err(Halt::absent(format_args!("{} is not merged", call.at.describe())));
    }
    if interrupt.is_cancelled() {
        return Err(open(Halt::never("it was broken off before the forge was asked to merge")));
    }
    if let Readiness::NotYet { why, certain } = readiness {
        return Err(open(not_now(cx, call, why, certain)));
    }
    brings_no_more(effects, &subject, call, head).await.map_err(open)?;
    // From here on it may be merged, whatever is answered.
    let perhaps = || perhaps_merged(call, number);
    match subject.forge.merge(number, call.method, head).await {
        Ok(Merging::Accepted) => {}
        Ok(Merging::NotNow(why)) => {
            // Unless somebody else merged it in between.
            let pull = subject.read(number).await?;
            return match may_merge(effects, &subject, call, pull, head).await? {
                May::Be(done) => Ok(*done),
                May::Merge(_) => Err(open(not_now(cx, call, why, true))),
            };
        }
        Err(error) if error.may_pass() => return Err(with_record(sent(&error), perhaps())),
        Err(error) => return Err(sent(&error)),
    }
    seen_merged(effects, &subject, call, (number, head), interrupt)
        .await
        .map_err(|halt| with_record(halt.seen(Seen::Perhaps), perhaps()))
}

/// Waits for a merge that the forge has accepted: most are done by then.
async fn seen_merged(
    effects: &Scoped,
    subject: &Subject<'_>,
    call: &MergeCall,
    (number, head): (u64, &str),
    interrupt: &CancellationToken,
) -> Result<Done, Halt> {
    for _ in 0..LOOKS_MAX {
        let pull = subject.read(number).await?;
        if let May::Be(done) = may_merge(effects, subject, call, pull, head).await? {
            return Ok(*done);
        }
        tokio::select! {
            () = interrupt.cancelled() => return Err(Halt::Interrupted),
            () = tokio::time::sleep(MERGING) => {}
        }
    }
    Err(Halt::later(format_args!(
        "the forge has accepted the merge of {}, which is still open: look at what it says",
        call.at.describe(),
    )))
}

/// What is on record of a merge that was asked for and whose end nobody saw.
fn perhaps_merged(call: &MergeCall, number: u64) -> Record {
    let (repo, target) = (call.at.repo.clone(), call.target.clone().unwrap_or_default());
    let record = MergedRecord { repo, number, target, commit: None, whole: false };
    Record::PullRequest(PullRequestRecord::Merged(record))
}

/// Who may edit a pull request may lead it into another branch than the one that was approved.
fn same_target(at: &PullRequestAt, target: Option<&str>, pull: &PullRequest) -> Result<(), Halt> {
    match target {
        Some(target) if target != pull.target => Err(Halt::never(format_args!(
            "{} ({}) leads into branch {:?} now, and was opened for {target:?}: somebody changed it; put \
             that right, and promote again",
            at.describe(),
            pull.url,
            pull.target,
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What was approved is what this promotion committed. What somebody else had pushed to the branch
/// before would be merged with it.
async fn brings_no_more(
    effects: &Scoped,
    subject: &Subject<'_>,
    call: &MergeCall,
    head: &str,
) -> Result<(), Halt> {
    let (Some(most), Some(target)) = (call.brings, &call.target) else { return Ok(()) };
    let head = git::commit_id(&subject.repo, head)?;
    let brings = effects.git().ahead(&subject.repo, target, &head, most + 1).await;
    if brings.map_err(|error| git::halt(&error))? <= most {
        return Ok(());
    }
    Err(Halt::never(format_args!(
        "{} brings more commits than the {most} that this promotion made and that were approved: its \
         branch had others before; give each promotion a branch of its own, or name the `commit` that \
         may be merged",
        call.at.describe(),
    )))
}

/// What may be done about a pull request that is to be merged.
enum May {
    /// It is open, with the commit that was approved.
    Merge(Readiness),
    /// It is merged.
    Be(Box<Done>),
}

async fn may_merge(
    effects: &Scoped,
    subject: &Subject<'_>,
    call: &MergeCall,
    pull: PullRequest,
    head: &str,
) -> Result<May, Halt> {
    let is_another = pull.head.as_ref().is_some_and(|found| found != head);
    let seen = match &pull.standing {
        Standing::Open(_) | Standing::Closed => Seen::No,
        Standing::Merged { .. } if is_another => Seen::No,
        Standing::Merged { .. } => Seen::Unsaid,
    };
    let may = may_as_it_is(effects, subject, call, pull, (head, is_another)).await;
    may.map_err(|halt| halt.seen(seen))
}

async fn may_as_it_is(
    effects: &Scoped,
    subject: &Subject<'_>,
    call: &MergeCall,
    pull: PullRequest,
    (head, is_another): (&str, bool),
) -> Result<May, Halt> {
    same_target(&call.at, call.target.as_deref(), &pull)?;
    let found = pull.head.clone().unwrap_or_default();
    match pull.standing.clone() {
        Standing::Closed => Err(closed(&call.at, &pull)),
        Standing::Open(_) if is_another => Err(Halt::never(format_args!(
            "{} is at commit {found} now, not at {head} as was approved: somebody pushed to its branch; \
             look at it, and promote again",
            call.at.describe(),
        ))),
        Standing::Merged { .. } if is_another => Err(Halt::never(format_args!(
            "{} was merged by somebody with commit {found}, not with {head} as was approved: look at what \
             is on branch {:?} now",
            call.at.describe(),
            pull.target,
        ))),
        Standing::Merged { .. } if pull.head.is_none() => Err(Halt::never(format_args!(
            "{} is merged, and the forge does not say with which commit: see whether {head} is on branch \
             {:?}",
            call.at.describe(),
            pull.target,
        ))),
        Standing::Open(readiness) => Ok(May::Merge(readiness)),
        Standing::Merged { commit } => {
            let done = merged(effects, subject, &call.at, &pull, commit).await?;
            Ok(May::Be(Box::new(done)))
        }
    }
}

/// A merge that has to wait, or that there is no time to wait for.
fn not_now(cx: &RunContext, call: &MergeCall, why: String, certain: bool) -> Halt {
    if cx.now < call.until {
        return Halt::not_yet(why, call.interval);
    }
    let message = format!("{} cannot be merged now: {why}", call.at.describe());
    if certain { Halt::never(message) } else { Halt::later(message) }
}

async fn merged(
    effects: &Scoped,
    subject: &Subject<'_>,
    at: &PullRequestAt,
    pull: &PullRequest,
    commit: Option<String>,
) -> Result<Done, Halt> {
    let id = |text: &String| text.parse::<CommitId>().ok();
    let whole = match commit.as_ref().and_then(id) {
        None => false,
        Some(commit) => {
            let head = pull.head.as_ref().and_then(id);
            let git = effects.git();
            let whole = git.is_whole(&subject.repo, &pull.target, &commit, head.as_ref()).await;
            whole.map_err(|error| git::halt(&error))?
        }
    };
    let outputs = [
        ("commit", commit.as_deref().map_or(Value::Null, Value::from)),
        ("merged", Value::Bool(true)),
    ];
    let (repo, number, target) = (at.repo.clone(), pull.number, pull.target.clone());
    let record = MergedRecord { repo, number, target, commit, whole };
    Ok(Done::new(outputs, Record::PullRequest(PullRequestRecord::Merged(record))))
}

fn nothing_merged() -> Done {
    Done::new([("commit", Value::Null), ("merged", Value::Bool(false))], Record::None)
}

async fn close(effects: &Scoped, cx: &RunContext, call: &CloseCall) -> Result<Done, Halt> {
    let done = || Done { outputs: Map::new(), record: Record::None };
    let Some(number) = call.at.number else { return Ok(done()) };
    let subject = Subject::at(effects, cx, &call.at)?;
    let pull = subject.read(number).await?;
    let is_ours =
        call.mark.as_ref().is_none_or(|value| Marker::new(&mark(cx, value)).is_in(&pull.body));
    match pull.standing {
        Standing::Closed => Ok(done()),
        Standing::Merged { .. } => Err(Halt::never(format_args!(
            "{} ({}) is merged into branch {:?}, so it cannot be closed: take it back by hand if it \
             should not be",
            call.at.describe(),
            pull.url,
            pull.target,
        ))),
        Standing::Open(_) if !is_ours => Err(Halt::never(format_args!(
            "{} ({}) does not say any more that this promotion opened it; close it by hand if it should \
             not be",
            call.at.describe(),
            pull.url,
        ))),
        Standing::Open(_) => {
            subject.forge.close(number).await.map_err(|error| sent(&error))?;
            Ok(done())
        }
    }
}

async fn comment(effects: &Scoped, cx: &RunContext, call: &CommentCall) -> Result<Done, Halt> {
    let said = |url: Value| Done::new([("url", url)], Record::None);
    let Some(number) = call.at.number else { return Ok(said(Value::Null)) };
    let subject = Subject::at(effects, cx, &call.at)?;
    let marker = Marker::new(&mark(cx, &call.mark));
    let comments = subject.forge.comments(number).await.map_err(|error| halt(&error))?;
    if let Some(ours) = comments.into_iter().find(|comment| marker.is_in(&comment.body)) {
        return Ok(said(ours.url.into()));
    }
    let comment = subject.forge.comment(number, &marker.put_on(&call.text)).await;
    Ok(said(comment.map_err(|error| sent(&error))?.url.into()))
}

fn closed(at: &PullRequestAt, pull: &PullRequest) -> Halt {
    Halt::never(format_args!("{} ({}) was closed without being merged", at.describe(), pull.url))
}

/// The end of a change.
fn sent(error: &ForgeError) -> Halt {
    halt(error).seen(if error.may_have_been_sent() { Seen::Perhaps } else { Seen::Unsaid })
}

fn halt(error: &ForgeError) -> Halt {
    if error.may_pass() {
        Halt::later_after(crate::explain(error), error.retry_after())
    } else {
        Halt::never(crate::explain(error))
    }
}

/// The same with what was changed before.
fn with_record(halt: Halt, record: Record) -> Halt {
    match halt {
        Halt::Failed { message, retry, retry_after, seen, .. } => {
            Halt::Failed { message, retry, retry_after, record: Box::new(record), seen }
        }
        other @ (Halt::Uncertain { .. } | Halt::NotYet { .. } | Halt::Interrupted) => other,
    }
}
