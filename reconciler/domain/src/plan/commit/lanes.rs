//! Carrying out the lanes of a group side by side.
//!
//! Each lane goes on by itself. Once one of them failed for good, or a person asked for the end, nothing
//! new begins: what runs comes to its end, what only waits is broken off, and what was broken off so that
//! nobody knows whether it happened is looked at until that is known. Then the promotion ends as it would
//! have after the one step that failed.

use std::time::Duration;

use jiff::Timestamp;

use super::super::Waiting;
use super::super::promotion::{Act, Move, Run};
use super::seen::{LOOK, arriving, is_unknown, until};
use super::{StepNext, effects_done, failed, step_next, unrepeatable, waits_outside};
use crate::plan::earlier;
use crate::policy::RollbackOn;
use crate::promotion::{Ending, Event, Finish, Frozen, Node, NodeRun};
use crate::snapshot::PromotionSnapshot;
use crate::step::{Asks, Interruption, Step, StepOutcome, lanes};

/// Where a lane stands.
struct Turn<'a> {
    /// What ran last in it, or runs.
    run: Option<&'a NodeRun>,
    node: Node,
    next: Next,
}

enum Next {
    /// Something is to be written down.
    Append(Box<Event>),
    /// Something runs, or is to.
    Run(Run),
    /// It waits.
    Wait,
    /// It cannot go on: the promotion ends so.
    End(Ending, Box<Event>),
    /// It cannot go on as agreed: the promotion goes back to its gates.
    SendBack(Box<Event>),
    /// It failed for good.
    Fail(String),
}

/// The next move of a group; absent: every lane is done.
pub(super) fn next(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    group: &[Step],
    now: Timestamp,
) -> Option<Move> {
    let mut all = Waits::default();
    let mut turns = Vec::new();
    for lane in lanes(group) {
        turns.extend(turn(snapshot, frozen, lane, now, &mut all));
    }
    if turns.is_empty() {
        return None;
    }
    let stopping = snapshot.state.abort.is_some()
        || turns
            .iter()
            .any(|turn| matches!(turn.next, Next::End(..) | Next::SendBack(_) | Next::Fail(_)));
    if stopping {
        return Some(stop(snapshot, turns, all, now));
    }
    let mut runs = Vec::new();
    for turn in turns {
        match turn.next {
            Next::Append(event) => return Some(Move::append(*event)),
            Next::Run(run) => runs.push(run),
            Next::Wait | Next::End(..) | Next::SendBack(_) | Next::Fail(_) => {}
        }
    }
    Some(all.with(runs))
}

/// The first step of a lane that is not done; absent: there is none.
fn turn<'a>(
    snapshot: &'a PromotionSnapshot,
    frozen: &Frozen,
    lane: &[Step],
    now: Timestamp,
    all: &mut Waits,
) -> Option<Turn<'a>> {
    for step in lane {
        let node = under_way(snapshot, step);
        let run = snapshot.state.nodes.get(&node);
        let next = match step_next(snapshot, frozen, step, now) {
            StepNext::Done => continue,
            StepNext::Failed(cause) => Next::Fail(cause),
            StepNext::Move(next) => {
                let Move { act, waiting, wake_at, .. } = *next;
                all.note(waiting, wake_at);
                match act {
                    Some(Act::Append(event)) if sends_back(&event) => Next::SendBack(event),
                    Some(Act::Append(event)) => match ending(&event) {
                        Some(ending) => Next::End(ending, event),
                        None => Next::Append(event),
                    },
                    Some(Act::Run(mut runs)) => match runs.pop() {
                        Some(run) => Next::Run(run),
                        None => Next::Wait,
                    },
                    Some(
                        Act::Prepare { .. }
                        | Act::Probe { .. }
                        | Act::Ask(_)
                        | Act::Commit { .. }
                        | Act::Measure(_),
                    )
                    | None => Next::Wait,
                }
            }
        };
        return Some(Turn { run, node, next });
    }
    None
}

/// The node of a step that runs, or ran last.
fn under_way(snapshot: &PromotionSnapshot, step: &Step) -> Node {
    let others = [Node::Replan(step.name.clone()), Node::Excess(step.name.clone())];
    let is_open =
        |node: &Node| snapshot.state.nodes.get(node).is_some_and(|run| run.outcome.is_none());
    others.into_iter().find(is_open).unwrap_or_else(|| Node::Step(step.name.clone()))
}

/// Whether an entry only says that a step is left out.
fn passes_over(event: &Event) -> bool {
    matches!(event, Event::PassedOver { .. })
}

fn sends_back(event: &Event) -> bool {
    matches!(event, Event::SentBack { .. })
}

fn ending(event: &Event) -> Option<Ending> {
    if let Event::Finished(finish) = event { Some(finish.ending) } else { None }
}

/// The run without its effect, where looking is enough to know whether it was there already.
fn only_asking(snapshot: &PromotionSnapshot, run: Run, now: Timestamp) -> Run {
    let call = Box::new(run.call.asking(Asks::Only));
    // Whoever carried it out is gone, and what it sent may still be on its way.
    let too_early = run.resumed && !run.call.only_asks() && call.only_asks();
    let deadline = earlier(run.deadline, until(snapshot, &run.node, &call, now));
    Run { call, too_early, deadline, ..run }
}

/// What is left to do once no lane may begin anything.
fn stop(
    snapshot: &PromotionSnapshot,
    turns: Vec<Turn<'_>>,
    mut all: Waits,
    now: Timestamp,
) -> Move {
    let (mut runs, mut looks_on) = (Vec::new(), false);
    let (mut end, mut back, mut causes) = (None, None, Vec::new());
    for Turn { run, node, next } in turns {
        let is_open = run.is_some_and(|run| run.outcome.is_none());
        let unknown = run.is_some_and(is_unknown);
        match next {
            Next::Append(event) if is_open || passes_over(&event) => return Move::append(*event),
            Next::Run(run) if is_open => {
                let run = only_asking(snapshot, run, now);
                runs.push(cut_short(snapshot, run, now));
            }
            // What must not be sent twice was not sent, or its end would be unknown for good.
            Next::Run(next) if unknown && unrepeatable(&next.call).is_none() => {
                let why = "what is carried out beside it failed";
                match run.and_then(|run| arriving(snapshot, &node, run, why, now)) {
                    Some(waiting) => {
                        let wake_at = waiting.until;
                        all.note(vec![waiting], wake_at);
                        looks_on = true;
                    }
                    None => runs.push(only_asking(snapshot, next, now)),
                }
            }
            Next::Wait if is_open => {
                let outcome = Box::new(StepOutcome::Interrupted { by: Interruption::Beside });
                return Move::append(Event::Outcome { node, outcome });
            }
            Next::Wait if unknown => looks_on = true,
            // What has not begun does not begin, and what failed is not tried again.
            Next::Append(_) | Next::Run(_) | Next::Wait => {}
            Next::End(Ending::Stuck, event) => end = Some(event),
            Next::End(_, event) => {
                end.get_or_insert(event);
            }
            Next::SendBack(event) => back = Some(event),
            Next::Fail(cause) => causes.push((was_cut_short(run), cause)),
        }
    }
    if looks_on || !runs.is_empty() {
        return all.with(runs);
    }
    // The first that failed by itself is to blame.
    causes.sort_by_key(|(cut_short, _)| *cut_short);
    if let (None, Some(event)) = (&end, back)
        && causes.first().is_none_or(|(cut_short, _)| *cut_short)
        && snapshot.state.abort.is_none()
    {
        return Move::append(*event);
    }
    match (end, causes.into_iter().next()) {
        (Some(event), _) => Move::append(*event),
        (None, Some((_, cause))) => failed(snapshot, RollbackOn::PromotionFailed, cause),
        (None, None) => match &snapshot.state.abort {
            Some((by, reason)) => {
                let message = format!("aborted by {by}: {reason}");
                let finish = Finish::new(Ending::Aborted, message, effects_done(snapshot));
                Move::append(Event::Finished(finish))
            }
            None => all.with(runs),
        },
    }
}

/// What waits for others waits no longer. A look that tells whether anything was sent comes to its end first.
fn cut_short(snapshot: &PromotionSnapshot, run: Run, now: Timestamp) -> Run {
    if waits_outside(snapshot, &run.node, &run.call).is_empty() {
        return run;
    }
    let time = if run.call.only_asks() { LOOK } else { Duration::ZERO };
    Run { deadline: now.checked_add(time).ok(), ..run }
}

fn was_cut_short(run: Option<&NodeRun>) -> bool {
    let end = run.and_then(|run| run.own_end.as_ref());
    match end {
        Some(StepOutcome::Interrupted { by: Interruption::Beside | Interruption::Abort }) => true,
        // What was cut short while it waited for others has its end at that moment.
        Some(StepOutcome::Interrupted { by: Interruption::Timeout }) => {
            run.is_some_and(|run| run.call.waits_for().is_some())
        }
        Some(
            StepOutcome::Done { .. } | StepOutcome::Failed { .. } | StepOutcome::Uncertain { .. },
        )
        | None => false,
    }
}

/// What the lanes wait for.
#[derive(Default)]
struct Waits {
    waiting: Vec<Waiting>,
    wake_at: Option<Timestamp>,
}

impl Waits {
    fn note(&mut self, waiting: Vec<Waiting>, wake_at: Option<Timestamp>) {
        self.waiting.extend(waiting);
        self.wake_at = earlier(self.wake_at, wake_at);
    }

    fn with(self, runs: Vec<Run>) -> Move {
        let Self { waiting, wake_at } = self;
        let act = (!runs.is_empty()).then_some(Act::Run(runs));
        Move { act, waiting, wake_at, ..Move::default() }
    }
}
