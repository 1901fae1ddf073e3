//! How long a promotion may wait, and what becomes of it then. Every wait has an end:
//!
//! | it waits for | at most | then |
//! |---|---|---|
//! | gates, definitions that come to rest, freight of other warehouses, the slot; a preparation that does not end | `max_wait` of its policies, since it was asked for or went back to its gates | it ends *expired*; nothing was changed |
//! | a window or a freeze that is about its undo | `max_undo_wait` of its policies, since the undo was decided | it is *stuck*, with what remains |
//! | another attempt, of a preparation, a step or an undo | as many as its `retry` says | it fails, or is stuck |
//! | time, a condition, people: `wait`, `wait_for_approval`, `get_input`, pull requests | the `timeout` of the step | what the step says |
//! | an answer: `http` with `poll` | the `timeout` of `poll`, since its attempt began | the step fails |
//! | people, about a plan outside its envelope | the `timeout` of the envelope | the step fails |
//! | measurements | the `deadline` of the verification | it ends *inconclusive* |
//! | whoever looks at a rehearsal | a quarter of an hour | it ends *rehearsed* |
//!
//! The first two are decided here, the others where they are waited for. Neither is over while the definitions have
//! not come to rest: a policy that is replaced is gone for a moment, and what it says with it.

use std::time::Duration;

use jiff::Timestamp;

use super::promotion::{Act, Move, settled_at};
use super::{Waiting, commit, earlier};
use crate::duration;
use crate::policy::{Joined, Policy};
use crate::promotion::{Ending, Event, Finish, Phase};
use crate::snapshot::PromotionSnapshot;
use crate::step::Interruption;

/// A wait that has an end.
struct Limit {
    /// How long.
    most: Duration,
    /// When it is over, as the policies are now.
    until: Timestamp,
    /// When what waits so long ends: not before these policies have come to rest.
    ends_at: Timestamp,
    /// Whose it is, in words.
    of: String,
}

/// Until when a promotion waits at most before it commits; absent: it waits no longer, or is a rehearsal,
/// which has an end of its own. Says nothing of how long definitions take to come to rest.
pub(crate) fn waits_until(snapshot: &PromotionSnapshot) -> Option<Timestamp> {
    let before = match snapshot.state.phase() {
        Phase::Preparing | Phase::Waiting => !snapshot.promotion.rehearsal,
        Phase::Committing | Phase::Verifying | Phase::Unwinding | Phase::Ended(_) => false,
    };
    before.then(|| of_commit(snapshot).until)
}

/// A move before the commit: it is only made while there is time for it. What passes every gate goes on,
/// and what ended otherwise did.
pub(super) fn before_commit(snapshot: &PromotionSnapshot, next: Move, now: Timestamp) -> Move {
    let limit = of_commit(snapshot);
    let is_over = limit.ends_at <= now;
    if is_over && !comes_to_its_end(&next) {
        let Limit { most, until, of, .. } = limit;
        let (most, why) = (duration::print(most), reasons(snapshot, &next));
        let message = format!("did not commit within {most} ({of}), until {until}: {why}");
        return Move::append(Event::Finished(Finish::new(Ending::Expired, message, Vec::new())));
    }
    let mut next = within(next, limit.ends_at);
    if let Some(Act::Prepare { ends, .. }) = &mut next.act
        && ends.is_none_or(|(at, _)| limit.ends_at <= at)
    {
        // It is not the step that took too long: nothing is told of it, and the next decision ends the promotion.
        *ends = Some((limit.ends_at, Interruption::Abort));
    }
    if let Some(Act::Probe { last, .. }) = &mut next.act {
        *last = is_over;
    }
    next
}

/// An undo that waits: for so long, and no longer.
pub(super) fn before_undo(snapshot: &PromotionSnapshot, waiting: Waiting, now: Timestamp) -> Move {
    let Some(since) = snapshot.state.unwinding_at else { return Move::wait(waiting) };
    let limit =
        limit(snapshot, since, |joined| joined.max_undo_wait, |policy| policy.max_undo_wait);
    if limit.ends_at > now {
        return within(Move::wait(waiting), limit.ends_at);
    }
    let Limit { most, until, of, .. } = limit;
    let (most, why) = (duration::print(most), waiting.message);
    let cause = snapshot.state.unwinding.clone().unwrap_or_default();
    let message = format!("{cause}; not undone within {most} ({of}), until {until}: {why}");
    commit::stuck(snapshot, message)
}

/// Whether an end follows from definitions, and not from what happened to the promotion: it is appended only if
/// nothing in the project changed since it was decided.
#[must_use]
pub fn is_judged(event: &Event) -> bool {
    let Event::Finished(finish) = event else { return false };
    match finish.ending {
        Ending::Expired | Ending::Stuck => true,
        Ending::Succeeded
        | Ending::Failed
        | Ending::RolledBack
        | Ending::Aborted
        | Ending::Superseded
        | Ending::Rehearsed
        | Ending::Inconclusive => false,
    }
}

fn within(mut next: Move, until: Timestamp) -> Move {
    if next.act.is_none() {
        next.wake_at = earlier(next.wake_at, Some(until));
    }
    next.waits_until = Some(until);
    next
}

/// Whether the move is one of a promotion that waits for nothing any more.
fn comes_to_its_end(next: &Move) -> bool {
    match &next.act {
        Some(Act::Commit { .. } | Act::Probe { .. } | Act::Ask(_)) => true,
        Some(Act::Append(event)) => matches!(**event, Event::Finished(_)),
        Some(Act::Prepare { .. } | Act::Run(_) | Act::Measure(_)) | None => false,
    }
}

fn reasons(snapshot: &PromotionSnapshot, next: &Move) -> String {
    let blocking = || next.gates.iter().filter(|gate| !gate.lets_pass());
    let gates = blocking().map(|gate| format!("gate {}: {}", gate.kind.name(), gate.message));
    // Each of these gates is told of among the reasons for waiting, before everything else.
    let others = next.waiting.iter().skip(blocking().count()).map(|other| other.message.clone());
    let reasons: Vec<String> = gates.chain(others).collect();
    if reasons.is_empty() { still_to_prepare(snapshot, next) } else { reasons.join("; ") }
}

/// What is left to do of a preparation, and why, where nothing else is waited for.
fn still_to_prepare(snapshot: &PromotionSnapshot, next: &Move) -> String {
    let state = &snapshot.state;
    if let Some(Act::Prepare { step, .. }) = &next.act {
        return format!("step {step} was still being prepared");
    }
    let moved = state.probe.as_ref().map(|probe| probe.moved.join("; "));
    if let Some(moved) = moved.filter(|moved| !moved.is_empty()) {
        return format!("it had to be prepared anew: {moved}");
    }
    if let Some(failure) = &state.prepare_failure {
        return format!("it had to be prepared anew: {}", failure.message);
    }
    if state.change_set.is_some() {
        return "it had to be prepared anew: what it was made from had changed".to_owned();
    }
    "it was still being prepared".to_owned()
}

fn of_commit(snapshot: &PromotionSnapshot) -> Limit {
    let since = snapshot.state.sent_back_at.unwrap_or(snapshot.promotion.created_at);
    limit(snapshot, since, |joined| joined.max_wait, |policy| policy.max_wait)
}

fn limit(
    snapshot: &PromotionSnapshot,
    since: Timestamp,
    joined: fn(&Joined<'_>) -> Duration,
    own: fn(&Policy) -> Option<Duration>,
) -> Limit {
    let policies: Vec<_> = snapshot.policies.iter().map(|policy| policy.spec.clone()).collect();
    let all = Joined::of(&policies, &snapshot.promotion.stage);
    let most = joined(&all);
    let asking = all.policies.iter().filter(|policy| own(policy) == Some(most));
    let names: Vec<&str> = asking.map(|policy| policy.name.as_str()).collect();
    let of = match names.as_slice() {
        [] => "no policy says otherwise".to_owned(),
        [one] => format!("policy {one}"),
        several => format!("policies {}", several.join(", ")),
    };
    let until = since.checked_add(most).unwrap_or(Timestamp::MAX);
    let settled = settled_at(snapshot, &all).map_or(until, |(_, settled)| settled);
    Limit { most, until, ends_at: until.max(settled), of }
}
