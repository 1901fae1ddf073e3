//! Undoing: the effects of a failed promotion in reverse, each as crash-safe as the effect itself.
//!
//! A push is undone by a revert, a pull request by closing it or, once it is merged, by a revert, an
//! apply by planning and applying the module of the last succeeded promotion against the same state,
//! under the same infra rules; the first promotion's by destroying only what it created. What cannot
//! be undone leaves the promotion *stuck*, with what remains; it is never called rolled back. Only
//! what was said (requests, comments, a pull request that was closed) has no undo by nature: it is
//! told, and leaves nothing stuck.

pub(super) mod infra;
mod pull_request;
mod run;

use jiff::Timestamp;

use super::Waiting;
use super::commit::{self, Advance, advance, stuck};
use super::expiry;
use super::promotion::{Act, Move, Run};
use crate::freeze::Asker;
use crate::gate::{Closed, Times};
use crate::id::StepName;
use crate::policy::Joined;
use crate::promotion::{Ending, Event, Finish, Frozen, Node, State, UndoPlan};
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    Asks, Call, KeepCall, Kept, Nature, OciCall, OciPutBack, OciRecord, PullRequestCall,
    PullRequestRecord, PushRecord, Record, RevertCall, Step, StepKind, StepOutcome, TagMove,
    TagRecord, UntagCall, mark,
};
use crate::window::Action as WindowAction;

/// What an undo would do, in its order, for the change set.
pub(super) fn describe(frozen: &Frozen, state: &State) -> Vec<UndoPlan> {
    let happens = |step: &&Step| {
        step.uses.nature() == Nature::Effect
            && !step.uses.only_waits()
            && !state.passed_over.contains_key(&step.name)
    };
    let steps = &frozen.stage.steps;
    let effects = steps.iter().rev().filter(happens);
    effects
        .map(|step| {
            let (possible, description) = match step.uses {
                StepKind::GitPush => describe_git_push(step, steps),
                StepKind::GitTag => describe_tag(&step.config),
                StepKind::OciPush => describe_push(state, &step.name),
                StepKind::OciAttach => (
                    true,
                    "takes away what was attached; stuck if the registry removes nothing"
                        .to_owned(),
                ),
                StepKind::TfApply => infra::describe(frozen, state, &step.config),
                StepKind::GitOpenPr => {
                    (true, "closes it, if it is open and of this promotion".to_owned())
                }
                StepKind::GitWaitForPr | StepKind::GitMergePr => {
                    (true, "reverts what was merged, if that is one commit; else stuck".to_owned())
                }
                StepKind::GitClosePr => {
                    (false, "has no undo: what was closed stays closed".to_owned())
                }
                StepKind::GitCommentPr => {
                    (false, "has no undo: what was said stays said".to_owned())
                }
                StepKind::SetMetadata => (
                    true,
                    "puts back what was noted before, where nobody noted more since".to_owned(),
                ),
                StepKind::SetAlias => {
                    (true, "gives the alias back, if it was not given on since".to_owned())
                }
                StepKind::AuditEvent => {
                    (false, "has no undo: what is in the ledger stays".to_owned())
                }
                StepKind::Http => (false, "has no undo: what was sent stays sent".to_owned()),
                StepKind::RunEffect => run::describe(&step.config),
                StepKind::GitClone
                | StepKind::YamlUpdate
                | StepKind::GitCommit
                | StepKind::TfPlan
                | StepKind::TfDestroy
                | StepKind::TfImport
                | StepKind::TfOutput
                | StepKind::GitClear
                | StepKind::Tar
                | StepKind::Untar
                | StepKind::Download
                | StepKind::Copy
                | StepKind::Delete
                | StepKind::Write
                | StepKind::Template
                | StepKind::YamlMerge
                | StepKind::YamlParse
                | StepKind::JsonUpdate
                | StepKind::JsonParse
                | StepKind::TomlUpdate
                | StepKind::TomlParse
                | StepKind::HclUpdate
                | StepKind::HclParse
                | StepKind::KustomizeSetImage
                | StepKind::OciPull
                | StepKind::KustomizeBuild
                | StepKind::HelmTemplate
                | StepKind::HelmUpdateChart
                | StepKind::ComposeOutput
                | StepKind::Run
                | StepKind::Fail
                | StepKind::Wait
                | StepKind::WaitForApproval
                | StepKind::GetInput
                | StepKind::Task => (true, String::new()),
            };
            UndoPlan { step: step.name.clone(), description, possible }
        })
        .collect()
}

/// A branch that is named, or that is checked out whether it is there or not, may be one that the push makes.
fn describe_git_push(push: &Step, steps: &[Step]) -> (bool, String) {
    let named = push.config.get("branch").is_some_and(|branch| !branch.is_null());
    let dir = push.config.get("dir").and_then(serde_json::Value::as_str).unwrap_or_default();
    let begins = |step: &Step| {
        let checkout = step.config.get("checkout").and_then(|checkout| checkout.get(dir));
        step.uses == StepKind::GitClone && checkout.is_some_and(|it| it["create"] == true)
    };
    let what = if !named && !steps.iter().any(begins) {
        "reverts the commit; stuck if others changed the same lines"
    } else {
        "deletes the branch if the push made it and nobody pushed since, else reverts the commit; stuck if \
         others changed the same lines"
    };
    (true, what.to_owned())
}

/// Without an annotation nobody can say whose a tag is that was there.
fn describe_tag(config: &serde_json::Value) -> (bool, String) {
    let what = if config.get("message").is_none_or(serde_json::Value::is_null) {
        "takes the tag away, unless it was there when it was to be made"
    } else {
        "takes the tag away"
    };
    (true, what.to_owned())
}

fn describe_push(state: &State, step: &StepName) -> (bool, String) {
    let found = state.prepared.get(step).and_then(|prepared| prepared.record.as_oci());
    let what = match found {
        Some(OciRecord::Looked(moved)) if !moved.changes() => {
            "leaves the tag, which is there already".to_owned()
        }
        Some(OciRecord::Looked(TagMove { tag, before: Some(before), .. })) => {
            format!("puts tag {tag} back at {before}; stuck if others moved it")
        }
        Some(_) | None => {
            "takes the tag away; stuck if the registry removes none, or others moved it".to_owned()
        }
    };
    (true, what)
}

/// An undo that has not begun waits for the windows and freezes that are about it. They are few: by
/// default neither is. Once begun, it goes on.
fn not_the_time(snapshot: &PromotionSnapshot, now: Timestamp) -> Option<Waiting> {
    let began = |node: &Node| match node {
        Node::Step(_) | Node::Replan(_) | Node::Excess(_) => false,
        Node::UndoPlan(_) | Node::Undo(_) => true,
    };
    if snapshot.state.nodes.keys().any(began) {
        return None;
    }
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let promotion = &snapshot.promotion;
    let joined = Joined::of(&policies, &promotion.stage);
    let (stage, freezes) = (&promotion.stage, snapshot.freezes.as_slice());
    let by = Asker { name: &promotion.requester, groups: &promotion.groups };
    let times = Times { stage, joined: &joined, freezes };
    let Closed { reason, message, until } = times.closed(WindowAction::Rollback, by, now)?;
    Some(Waiting {
        subject: format!("promotion {}", promotion.id),
        reason,
        message: format!("its undo waits: {message}"),
        until,
    })
}

pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let Some(frozen) = &snapshot.state.frozen else { return Move::default() };
    if let Some(waiting) = not_the_time(snapshot, now) {
        return expiry::before_undo(snapshot, waiting, now);
    }
    for step in frozen.stage.steps.iter().rev() {
        let next = match changed(&snapshot.state, &step.name) {
            None => run::undo_perhaps(snapshot, &step.name, now),
            Some(record) => undo_record(snapshot, frozen, &step.name, record, now),
        };
        if let Some(next) = next {
            return next;
        }
    }
    finish(snapshot, frozen)
}

/// The next move for what a step changed; absent: it is undone, or cannot be.
fn undo_record(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    record: &Record,
    now: Timestamp,
) -> Option<Move> {
    match record {
        Record::Push(push) => undo_push(snapshot, frozen, step, push, now),
        Record::Tag(tag) => undo_tag(snapshot, step, tag, now),
        Record::Oci(oci) => undo_in_registry(snapshot, step, oci, now),
        Record::PullRequest(PullRequestRecord::Opened(opened)) => {
            pull_request::undo_open(snapshot, step, opened, now)
        }
        Record::PullRequest(PullRequestRecord::Merged(merged)) => {
            pull_request::undo_merge(snapshot, frozen, step, merged, now)
        }
        Record::Applied(applied) => infra::undo(snapshot, frozen, step, &applied.created, now),
        Record::Kept(kept) => undo_kept(snapshot, step, kept, now),
        Record::Ran(_) => run::undo(snapshot, step, now),
        Record::None
        | Record::Clone(_)
        | Record::Commit(_)
        | Record::Charts(_)
        | Record::Imports(_)
        | Record::Plan(_)
        | Record::Sent
        | Record::Stale => None,
    }
}

/// Every step that can be undone is: what remains has no undo.
fn finish(snapshot: &PromotionSnapshot, frozen: &Frozen) -> Move {
    let state = &snapshot.state;
    let cause = state.unwinding.clone().unwrap_or_default();
    let mut kept = Vec::new();
    let mut remaining = Vec::new();
    for step in &frozen.stage.steps {
        let sent = step.uses == StepKind::Http && was_done(state, &step.name);
        remaining.extend(
            sent.then(|| format!("step {}: its request was sent and has no undo", step.name)),
        );
        remaining
            .extend(unsure(state, &step.name).map(|what| format!("step {}: {what}", step.name)));
        remaining.extend(run::remains(state, &step.name));
        let done = state.nodes.get(&Node::Step(step.name.clone()));
        let done = done.filter(|_| was_done(state, &step.name));
        let stays =
            done.and_then(|run| run.call.as_pull_request()).and_then(PullRequestCall::stays);
        remaining.extend(stays.map(|what| format!("step {}: {what}", step.name)));
        if let Some(merged) = pull_request::merged_by(state, &step.name)
            .filter(|merged| !pull_request::can_revert(merged))
        {
            let what = format!("{}, not as one commit: take it back by hand", merged.describe());
            kept.push(format!("step {}: {what}", step.name));
        }
        if let Some(Record::Tag(TagRecord { repo, tag, made: false, .. })) =
            changed(state, &step.name)
        {
            let what = format!("tag {tag} of {repo} was there when it was to be made, and stays");
            remaining.push(format!("step {}: {what}", step.name));
        }
        kept.extend(left(state, &step.name).map(|what| format!("step {}: {what}", step.name)));
        kept.extend(infra::kept(state, frozen, &step.name));
    }
    let (ending, message) = if kept.is_empty() {
        (Ending::RolledBack, format!("undone: {cause}"))
    } else {
        (Ending::Stuck, format!("undone only in part: {cause}"))
    };
    remaining.splice(0..0, kept);
    Move::append(Event::Finished(Finish::new(ending, message, remaining)))
}

/// What a step changed outside, whether it ended well or not.
fn changed<'a>(state: &'a State, step: &StepName) -> Option<&'a Record> {
    state.nodes.get(&Node::Step(step.clone()))?.changed()
}

/// What has no undo and may have happened, of a step that did not come to a good end.
fn unsure(state: &State, step: &StepName) -> Option<String> {
    let run = state.nodes.get(&Node::Step(step.clone()))?;
    match run.changed() {
        Some(Record::Sent) => commit::remains_after(&run.call, &Record::Sent),
        Some(_) => None,
        // A program that names its undo has run it by now.
        None if run.call.as_run().is_some_and(|call| call.undo().is_some()) => None,
        None => run.may_have_changed().then(|| commit::PERHAPS.to_owned()),
    }
}

fn was_done(state: &State, step: &StepName) -> bool {
    let run = state.nodes.get(&Node::Step(step.clone()));
    run.is_some_and(|run| matches!(run.outcome, Some((_, StepOutcome::Done { .. }))))
}

/// What an undo could not take away.
fn left<'a>(state: &'a State, step: &StepName) -> Option<&'a str> {
    let undo = state.nodes.get(&Node::Undo(step.clone()))?;
    match &undo.outcome.as_ref()?.1 {
        StepOutcome::Done { record: Record::Oci(OciRecord::Left { what }), .. } => Some(what),
        StepOutcome::Done { .. }
        | StepOutcome::Failed { .. }
        | StepOutcome::Uncertain { .. }
        | StepOutcome::Interrupted { .. } => None,
    }
}

/// The next move for one node of an undo; absent: it is done.
fn node(
    snapshot: &PromotionSnapshot,
    node: Node,
    call: impl FnOnce() -> Call,
    now: Timestamp,
) -> Option<Move> {
    let Some(run) = snapshot.state.nodes.get(&node) else {
        let call = Box::new(call());
        if !call.is_carried_out() {
            return Some(Move::append(Event::Intent { node, call, epoch: None }));
        }
        return Some(Move::act(Act::Run(vec![Run {
            call,
            rebuild: rebuild(&snapshot.state, node.step()),
            resumed: false,
            too_early: false,
            deadline: None,
            node,
        }])));
    };
    match advance(snapshot, &node, run, now) {
        Advance::Done => None,
        Advance::Move(next) => Some(*next),
        Advance::Failed(message) => {
            let what = super::commit::describe(&node);
            Some(stuck(snapshot, format!("{what} failed: {message}")))
        }
    }
}

fn undo_push(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    push: &PushRecord,
    now: Timestamp,
) -> Option<Move> {
    let commit = push.commit.as_ref()?;
    let call = || RevertCall {
        created: push.created,
        may_be_gone: pull_request::is_source(&snapshot.state, &push.repo, &push.branch),
        ..revert(snapshot, frozen, step, (&push.repo, &push.branch, commit))
    };
    node(snapshot, Node::Undo(step.clone()), || Call::GitRevert(call()), now)
}

/// The revert of a commit of a branch of a repository.
fn revert(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    (repo, branch, commit): (&str, &str, &str),
) -> RevertCall {
    let (author_name, author_email) = author_of(&snapshot.state, frozen);
    RevertCall {
        repo: repo.to_owned(),
        branch: branch.to_owned(),
        commit: commit.to_owned(),
        author_name,
        author_email,
        date: snapshot.promotion.created_at,
        mark: mark(&snapshot.promotion.id, step),
        created: false,
        may_be_gone: false,
        asks: Asks::No,
    }
}

fn undo_tag(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    tag: &TagRecord,
    now: Timestamp,
) -> Option<Move> {
    if !tag.made {
        return None;
    }
    let TagRecord { repo, tag, object, .. } = tag.clone();
    let call = || Call::GitUntag(UntagCall { repo, tag, object, asks: Asks::No });
    node(snapshot, Node::Undo(step.clone()), call, now)
}

fn undo_kept(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    kept: &Kept,
    now: Timestamp,
) -> Option<Move> {
    let changes = kept.changes.clone();
    if changes.is_empty() {
        return None;
    }
    let call = || Call::Keep(KeepCall::PutBack { changes });
    node(snapshot, Node::Undo(step.clone()), call, now)
}

fn undo_in_registry(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    record: &OciRecord,
    now: Timestamp,
) -> Option<Move> {
    let call = match record {
        OciRecord::Pushed(moved) if moved.changes() => {
            let TagMove { repo, tag, digest, before } = moved.clone();
            OciCall::PutBack(OciPutBack { repo, tag, digest, before, asks: Asks::No })
        }
        OciRecord::Attached(attached) => OciCall::Detach(attached.clone()),
        OciRecord::Pushed(_)
        | OciRecord::Pulled { .. }
        | OciRecord::Looked(_)
        | OciRecord::Left { .. } => return None,
    };
    node(snapshot, Node::Undo(step.clone()), || Call::Oci(call), now)
}

/// Author of the commits of this promotion: that of the step that made the commit.
fn author_of(state: &State, frozen: &Frozen) -> (String, String) {
    let calls = frozen.stage.steps.iter().filter_map(|step| {
        let run = state.nodes.get(&Node::Step(step.name.clone())).map(|run| &run.call);
        run.or_else(|| state.prepared.get(&step.name).and_then(|done| done.call.as_ref()))
    });
    match calls.into_iter().find_map(Call::as_commit) {
        Some(commit) => (commit.author_name.clone(), commit.author_email.clone()),
        None => ("Lockstep".to_owned(), "lockstep@localhost".to_owned()),
    }
}

/// What fills the working directory of an undo: the previous promotion's trees, or for the undo of
/// a first promotion its own.
pub(super) fn rebuild(state: &State, step: &StepName) -> Vec<(StepName, Call)> {
    let before = state.frozen.as_ref().and_then(|frozen| {
        let previous = frozen.previous.as_ref()?;
        let (plan, _) = infra::previous_plan(previous, &infra::applied_plan(state, step)?.call)?;
        Some((previous, plan))
    });
    match before {
        Some((previous, plan)) => previous.calls_for(plan).cloned().collect(),
        None => state.rebuild(step),
    }
}
