//! Undoing what was done about pull requests: one that is open is closed, one that is merged is reverted.

use jiff::Timestamp;

use super::super::promotion::Move;
use super::{changed, node, revert};
use crate::id::StepName;
use crate::promotion::{Frozen, Node, NodeRun, State};
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    Call, CloseCall, MergedRecord, OpenedRecord, PullRequestAt, PullRequestCall, Record, is_same,
};

/// One that was opened here is closed, unless it is known to have been merged: then a revert takes it
/// back, or nobody can.
pub(super) fn undo_open(
    snapshot: &PromotionSnapshot,
    step: &StepName,
    opened: &OpenedRecord,
    now: Timestamp,
) -> Option<Move> {
    let is_it = |merged: &MergedRecord| {
        is_same(&merged.repo, &opened.repo) && merged.number == opened.number
    };
    let mut steps = snapshot.state.nodes.keys().map(Node::step);
    let is_merged = steps.any(|step| merged_by(&snapshot.state, step).is_some_and(is_it));
    if !opened.made || is_merged {
        return None;
    }
    let OpenedRecord { forge, repo, number, mark, .. } = opened.clone();
    let at = PullRequestAt { forge, repo, number: Some(number) };
    let call = || Call::PullRequest(PullRequestCall::Close(CloseCall { at, mark: Some(mark) }));
    node(snapshot, Node::Undo(step.clone()), call, now)
}

pub(super) fn undo_merge(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &StepName,
    merged: &MergedRecord,
    now: Timestamp,
) -> Option<Move> {
    if !can_revert(merged) {
        return None;
    }
    let commit = merged.commit.as_ref()?;
    let call = || revert(snapshot, frozen, step, (&merged.repo, &merged.target, commit));
    node(snapshot, Node::Undo(step.clone()), || Call::GitRevert(call()), now)
}

pub(super) fn can_revert(merged: &MergedRecord) -> bool {
    merged.whole && merged.commit.is_some()
}

/// Whether this promotion opened, or found open, a pull request from the branch.
pub(super) fn is_source(state: &State, repo: &str, branch: &str) -> bool {
    let is_there = |run: &&NodeRun| {
        let record = run.changed().and_then(Record::as_pull_request);
        record.is_some_and(|record| record.as_opened().is_some())
    };
    let runs = state.nodes.values().filter(is_there);
    let calls = runs.filter_map(|run| run.call.as_pull_request());
    let mut opened = calls.filter_map(|call| match call {
        PullRequestCall::Open(open) => Some(open),
        PullRequestCall::Await(_)
        | PullRequestCall::Merge(_)
        | PullRequestCall::Close(_)
        | PullRequestCall::Comment(_) => None,
    });
    opened.any(|open| is_same(&open.repo, repo) && open.source == branch)
}

/// The pull request that a step merged, or saw merged.
pub(super) fn merged_by<'a>(state: &'a State, step: &StepName) -> Option<&'a MergedRecord> {
    changed(state, step)?.as_pull_request()?.as_merged()
}
