//! How long a promotion may wait, and what becomes of it then. Every wait has an end:
//!
//! | it waits for | at most | then |
//! |---|---|---|
//! | gates, definitions that come to rest, freight of other warehouses, the slot; a preparation that does not end | `max_wait` of its policies, since it was asked for or went back to its gates | it ends *expired*; nothing was changed |
//! | a window or a freeze that is about its undo | `max_undo_wait` of its policies, since the undo was decided | it is *stuck*, with what remains |
//! | another attempt, of a preparation, a step or an undo | as many as its `retry` says | it fails, or is stuck |
//! | time, a condition, people: `wait`, `wait_for_approval`, `get_input`, pull requests | the `timeout` of the step | what the step says |
//! | measurements | the `deadline` of the verification | it ends *inconclusive* |
//! | whoever looks at a rehearsal | a quarter of an hour | it ends *rehearsed* |
//!
//! The first two are decided here, the others where they are waited for.

use std::time::Duration;

use jiff::Timestamp;

use super::promotion::{Act, Move};
use super::{Waiting, commit, earlier};
use crate::duration;
use crate::policy::{Joined, Policy};
use crate::promotion::{Ending, Event, Finish, Phase};
use crate::snapshot::PromotionSnapshot;

/// A wait that has an end.
struct Limit {
    /// How long.
    most: Duration,
    /// When it is over.
    until: Timestamp,
    /// Whose it is, in words.
    of: String,
}

/// Until when a promotion waits at most before it commits; absent: it waits no longer, or is a rehearsal,
/// which has an end of its own.
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
    if limit.until <= now && !comes_to_its_end(&next) {
        let Limit { most, until, of } = limit;
        let most = duration::print(most);
        let message =
            format!("did not commit within {most} ({of}), until {until}: {}", reasons(&next));
        return Move::append(Event::Finished(Finish::new(Ending::Expired, message, Vec::new())));
    }
    let mut next = within(next, limit.until);
    if let Some(Act::Prepare { deadline, .. }) = &mut next.act {
        *deadline = earlier(*deadline, Some(limit.until));
    }
    next
}

/// An undo that waits: for so long, and no longer.
pub(super) fn before_undo(snapshot: &PromotionSnapshot, waiting: Waiting, now: Timestamp) -> Move {
    let Some(since) = snapshot.state.unwinding_at else { return Move::wait(waiting) };
    let limit =
        limit(snapshot, since, |joined| joined.max_undo_wait, |policy| policy.max_undo_wait);
    if limit.until > now {
        return within(Move::wait(waiting), limit.until);
    }
    let Limit { most, until, of } = limit;
    let (most, why) = (duration::print(most), waiting.message);
    let cause = snapshot.state.unwinding.clone().unwrap_or_default();
    let message = format!("{cause}; not undone within {most} ({of}), until {until}: {why}");
    commit::stuck(snapshot, message)
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
        Some(Act::Commit | Act::Probe { .. }) => true,
        Some(Act::Append(event)) => matches!(**event, Event::Finished(_)),
        Some(Act::Prepare { .. } | Act::Run(_) | Act::Measure(_)) | None => false,
    }
}

fn reasons(next: &Move) -> String {
    let blocking = || next.gates.iter().filter(|gate| !gate.lets_pass());
    let gates = blocking().map(|gate| format!("gate {}: {}", gate.kind.name(), gate.message));
    // Each of these gates is told of among the reasons for waiting, before everything else.
    let others = next.waiting.iter().skip(blocking().count()).map(|other| other.message.clone());
    let reasons: Vec<String> = gates.chain(others).collect();
    if reasons.is_empty() { "it was still being prepared".to_owned() } else { reasons.join("; ") }
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
    Limit { most, until: since.checked_add(most).unwrap_or(Timestamp::MAX), of }
}
