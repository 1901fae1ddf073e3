//! Effects whose end nobody saw: they are looked for, once whatever was on its way has had time to arrive, and
//! only what no look tells is left to a person.

use std::time::Duration;

use jiff::Timestamp;

use super::super::Waiting;
use super::super::promotion::{Act, Move, Run};
use super::{abort_message, deadline, describe, earlier, is_step, rebuild_for, step_of, stuck};
use crate::promotion::{ARRIVES, Node, NodeRun};
use crate::snapshot::PromotionSnapshot;
use crate::step::{Asks, Call, Retry, Unseen};

/// What cannot be known of an effect whose end nobody saw.
const UNKNOWN: &str = "it is not known whether it happened: look there, then promote again";

/// How long what was on its way has to arrive where a person waits for the end.
const ARRIVES_ABORTED: Duration = Duration::from_secs(1);
/// A look is broken off so long after somebody asked for the end, which is promised within five seconds.
const ABORT: Duration = Duration::from_secs(4);
/// A look gets so long in any case: where a worker died, that promise is broken already.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Whether a run may have changed something although nobody saw it: the last one, or one before it, if none since
/// came to an end that says so.
pub(super) fn is_unknown(run: &NodeRun) -> bool {
    run.may_have_happened() && run.outcome.is_some() && run.call.unseen() == Unseen::Unknown
}

/// The next move about a node that is not carried out any more and may have happened: it is looked for, or a
/// person has to. Absent: it has not happened, or does no harm. `why` says in words how it ended.
pub(super) fn next(
    snapshot: &PromotionSnapshot,
    node: &Node,
    run: &NodeRun,
    why: &str,
    now: Timestamp,
) -> Option<Move> {
    let (at, _) = run.outcome.as_ref().filter(|_| is_unknown(run))?;
    if !run.call.can_be_asked_about() || was_looked_for(snapshot, node, run) {
        return Some(unknown(snapshot, node, run, why));
    }
    if let Some(waiting) = arriving(snapshot, node, run, why, now) {
        return Some(Move::wait(waiting));
    }
    let step = step_of(snapshot, node);
    let call = run.call.asking(Asks::Only);
    let deadline =
        earlier(step.and_then(|step| deadline(step, now)), until(snapshot, node, &call, *at));
    let (node, call, rebuild) = (node.clone(), Box::new(call), rebuild_for(snapshot, node));
    Some(Move::act(Act::Run(vec![Run {
        node,
        call,
        rebuild,
        resumed: false,
        too_early: false,
        deadline,
    }])))
}

/// Why what nobody saw the end of is not looked for yet; absent: it is time.
pub(super) fn arriving(
    snapshot: &PromotionSnapshot,
    node: &Node,
    run: &NodeRun,
    why: &str,
    now: Timestamp,
) -> Option<Waiting> {
    let (at, _) = run.outcome.as_ref()?;
    let due = at.checked_add(arrives(snapshot, node, &run.call)).unwrap_or(Timestamp::MAX);
    // What ended later than now, ended before the clock was put back.
    (due > now && *at <= now).then(|| Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "StepUnseen",
        message: format!("{} is looked for at {due}: {why}", describe(node)),
        until: Some(due),
    })
}

/// Whether the last run was a look that counts: one that somebody's wish for the end broke off does not, unless
/// clocks are so wrong that all of them seem to have begun before.
fn was_looked_for(snapshot: &PromotionSnapshot, node: &Node, run: &NodeRun) -> bool {
    let wanted = is_step(node) && snapshot.state.abort.is_some();
    let asked = snapshot.state.aborted_at.filter(|_| wanted);
    let knew = asked.is_none_or(|asked| asked < run.started_at);
    run.call.only_asks() && (knew || run.looks > Retry::OF_UNDO.attempts)
}

/// The end of a promotion of which nobody can know what it did.
fn unknown(snapshot: &PromotionSnapshot, node: &Node, run: &NodeRun, why: &str) -> Move {
    let aborted = snapshot.state.abort.is_some() && is_step(node);
    let message = match (aborted, run.call.only_asks()) {
        (true, true) => format!("{}; {why}; {UNKNOWN}", abort_message(snapshot, node)),
        (true, false) => format!("{}; {UNKNOWN}", abort_message(snapshot, node)),
        (false, _) => format!("{}: {why}; {UNKNOWN}", describe(node)),
    };
    stuck(snapshot, message)
}

/// How long what was sent may take to arrive. The receiver of a request is asked until it tells.
fn arrives(snapshot: &PromotionSnapshot, node: &Node, call: &Call) -> Duration {
    if matches!(call, Call::Http(_)) {
        Duration::ZERO
    } else if snapshot.state.abort.is_some() && is_step(node) {
        ARRIVES_ABORTED
    } else {
        ARRIVES
    }
}

/// When a look that was due at `since` is broken off because somebody asked for the end; absent: nobody did, or it
/// is no look.
pub(super) fn until(
    snapshot: &PromotionSnapshot,
    node: &Node,
    call: &Call,
    since: Timestamp,
) -> Option<Timestamp> {
    let is_look = call.only_asks() && is_step(node) && snapshot.state.abort.is_some();
    let asked = snapshot.state.aborted_at.filter(|_| is_look)?;
    Some(asked.checked_add(ABORT).ok()?.max(since.checked_add(LOOK).ok()?))
}
