//! Committing: the effects of a promotion, in order.
//!
//! What could not be prepared is prepared here, when its inputs exist: only inside what was approved,
//! and a plan that nobody could judge before is judged before it is applied, and held to its envelope. Steps of a group are
//! carried out side by side: `lanes`.

mod lanes;
mod remains;
mod seen;

use jiff::Timestamp;
use serde_json::Value;

pub(super) use self::remains::{PERHAPS, effects_done, remains_after};
use super::prepare::deadline;
use super::promotion::{Act, Move, Run};
use super::walk::refusal;
use super::{Waiting, earlier, envelope, inside, stale, unchanged, undo, verify};
use crate::duration;
use crate::expression::Scope;
use crate::id::StepName;
use crate::infra::judge;
use crate::policy::{GateKind, Joined, RollbackOn};
use crate::promotion::{Ending, Event, Finish, Frozen, Node, NodeRun, State};
use crate::scope::{layered, scope};
use crate::secret;
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    ApplyCall, Asks, Call, HttpCall, Interruption, Nature, Retry, Step, StepOutcome,
    WorkdirContext, together,
};
use crate::template::DEFERRED;

pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let Some(frozen) = &snapshot.state.frozen else { return Move::default() };
    let mut steps = frozen.stage.steps.as_slice();
    while let Some(first) = steps.first() {
        let (group, rest) = steps.split_at(together(steps));
        steps = rest;
        if first.lane.is_some() {
            match lanes::next(snapshot, frozen, group, now) {
                None => continue,
                Some(next) => return next,
            }
        }
        match step_next(snapshot, frozen, first, now) {
            StepNext::Done => {}
            StepNext::Move(next) => return *next,
            StepNext::Failed(cause) => {
                return failed(snapshot, RollbackOn::PromotionFailed, cause);
            }
        }
    }
    verify::begin(snapshot, frozen)
}

/// Where a step stands.
enum StepNext {
    /// It needs nothing more.
    Done,
    /// It needs this.
    Move(Box<Move>),
    /// It failed for good, and the promotion with it.
    Failed(String),
}

fn step_next(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &Step,
    now: Timestamp,
) -> StepNext {
    if snapshot.state.passed_over.contains_key(&step.name) {
        return StepNext::Done;
    }
    let node = Node::Step(step.name.clone());
    match snapshot.state.nodes.get(&node) {
        Some(run) => match proceed(snapshot, step, run, now) {
            Advance::Done => StepNext::Done,
            Advance::Move(next) => StepNext::Move(next),
            Advance::Failed(message) if step.control.continue_on_error => {
                StepNext::Move(Box::new(pass_over(step, true, message)))
            }
            Advance::Failed(message) => {
                StepNext::Failed(format!("step {} failed: {message}", step.name))
            }
        },
        None if is_complete(&snapshot.state, step) => StepNext::Done,
        None => match start(snapshot, frozen, step, now) {
            Ok(next) => StepNext::Move(Box::new(next)),
            Err(message) => StepNext::Failed(format!("step {} cannot run: {message}", step.name)),
        },
    }
}

/// Decides about a step that started.
fn proceed(snapshot: &PromotionSnapshot, step: &Step, run: &NodeRun, now: Timestamp) -> Advance {
    match stale::refused(run) {
        Some(refused) => stale::step(snapshot, step, refused, now),
        None => advance(snapshot, &Node::Step(step.name.clone()), run, now),
    }
}

fn pass_over(step: &Step, failed: bool, message: String) -> Move {
    Move::append(Event::PassedOver { step: step.name.clone(), failed, message })
}

/// Where a node that started once stands.
pub(super) enum Advance {
    /// It is done.
    Done,
    /// It needs this.
    Move(Box<Move>),
    /// It failed for good.
    Failed(String),
}

/// Decides about a node that started: resume, retry, give up.
pub(super) fn advance(
    snapshot: &PromotionSnapshot,
    node: &Node,
    run: &NodeRun,
    now: Timestamp,
) -> Advance {
    let again = |resumed, since| {
        let step = step_of(snapshot, node);
        let call =
            run.call.asking(asks_again(run)).begun(if resumed { run.started_at } else { now });
        let waiting = waits_outside(snapshot, node, &call);
        let next = Move::act(Act::Run(vec![Run {
            node: node.clone(),
            call: Box::new(call),
            rebuild: rebuild_for(snapshot, node),
            resumed,
            too_early: false,
            deadline: earlier(
                step.and_then(|step| deadline(step, since)),
                seen::until(snapshot, node, &run.call, since),
            ),
        }]));
        Advance::Move(Box::new(Move { waiting, ..next }))
    };
    let Some((at, outcome)) = &run.outcome else {
        if let Some(call) = run.call.inside() {
            let next = inside::next(snapshot, node, call, run.started_at, now);
            return Advance::Move(Box::new(next));
        }
        // What waits for people looks again and again in the time that it has; what was cut off by a crash gets its
        // time anew, or it would be broken off before it could look whether it had happened.
        let waits = !waits_outside(snapshot, node, &run.call).is_empty();
        return again(true, if waits { run.started_at } else { now });
    };
    let (message, retry, wished) = match outcome {
        StepOutcome::Done { .. } => return Advance::Done,
        StepOutcome::Uncertain { message } => {
            let message = format!("{}: {message}", describe(node));
            return Advance::Move(Box::new(stuck(snapshot, message)));
        }
        StepOutcome::Interrupted { by: Interruption::Abort } => {
            return Advance::Move(Box::new(broken_off(snapshot, node, run, now)));
        }
        StepOutcome::Interrupted { by: Interruption::Timeout } if run.call.only_asks() => {
            ("it was looked for, and no answer came in time".to_owned(), true, None)
        }
        StepOutcome::Interrupted { by: Interruption::Timeout } => {
            (overdue(snapshot, node), true, None)
        }
        StepOutcome::Interrupted { by: Interruption::Beside } => {
            let message = "it was broken off: a step that is carried out beside it failed";
            (message.to_owned(), false, None)
        }
        // What ends after somebody asked for its end, ends because of it.
        StepOutcome::Failed { message, .. }
            if is_step(node) && snapshot.state.aborted_at.is_some_and(|asked| asked < *at) =>
        {
            return Advance::Move(Box::new(match seen::next(snapshot, node, run, message, now) {
                Some(next) => next,
                None => aborted(snapshot, node, message),
            }));
        }
        StepOutcome::Failed { message, retry, retry_after, .. } => {
            (message.clone(), *retry, *retry_after)
        }
    };
    // What nobody carries out has no attempts: its time is over once.
    let retry = retry && run.call.is_carried_out();
    let due = if run.call.only_asks() {
        Retry::OF_UNDO.due(run.looks, *at, wished)
    } else {
        retry_of(snapshot, node).due(run.attempts, *at, wished)
    };
    let due = due.filter(|_| retry);
    // Whoever asks for the end while it waits for another attempt, asks for the end of the promotion.
    let ends_here = due.is_some() && snapshot.state.abort.is_some() && is_step(node);
    match due.filter(|_| snapshot.state.abort.is_none()) {
        // What failed later than now, failed before the clock was put back.
        Some(due) if due <= now || *at > now => again(false, now),
        Some(due) => Advance::Move(Box::new(Move::wait(Waiting {
            subject: format!("promotion {}", snapshot.promotion.id),
            reason: "StepFailed",
            message: format!("{} failed and runs again at {due}: {message}", describe(node)),
            until: Some(due),
        }))),
        None => match seen::next(snapshot, node, run, &message, now) {
            Some(next) => Advance::Move(Box::new(next)),
            None if ends_here => Advance::Move(Box::new(aborted(snapshot, node, &message))),
            None => Advance::Failed(with_its_cause(run, message)),
        },
    }
}

/// Why a node failed that was looked for in the end: how it had ended itself, and what the look said.
fn with_its_cause(run: &NodeRun, look: String) -> String {
    match &run.own_end {
        Some(StepOutcome::Failed { message, .. }) if run.call.only_asks() => {
            format!("{message}; {look}")
        }
        Some(
            StepOutcome::Failed { .. }
            | StepOutcome::Done { .. }
            | StepOutcome::Uncertain { .. }
            | StepOutcome::Interrupted { .. },
        )
        | None => look,
    }
}

/// How a call is made again: what was only looked for is not carried out any more.
fn asks_again(run: &NodeRun) -> Asks {
    match (run.call.only_asks(), run.may_have_happened()) {
        (true, _) => Asks::Only,
        (false, true) => Asks::First,
        (false, false) => Asks::No,
    }
}

/// How a node is tried again. An undo goes by the step that it undoes, if that says anything: what would not
/// come to be at once may not go at once.
fn retry_of(snapshot: &PromotionSnapshot, node: &Node) -> Retry {
    let own = |step: Option<&Step>| step.and_then(|step| step.control.retry);
    match node {
        Node::Step(_) | Node::Replan(_) | Node::Excess(_) => {
            own(step_of(snapshot, node)).unwrap_or(Retry::USUAL)
        }
        Node::UndoPlan(step) | Node::Undo(step) => {
            let undone = step_of(snapshot, &Node::Step(step.clone()));
            own(undone)
                .filter(|own| own.attempts >= Retry::OF_UNDO.attempts)
                .unwrap_or(Retry::OF_UNDO)
        }
    }
}

/// The end of a promotion whose running step was broken off because a person asked for it.
fn broken_off(snapshot: &PromotionSnapshot, node: &Node, run: &NodeRun, now: Timestamp) -> Move {
    if let Some(next) = seen::next(snapshot, node, run, "it was broken off", now) {
        return next;
    }
    let (message, remaining) = (abort_message(snapshot, node), effects_done(snapshot));
    Move::append(Event::Finished(Finish::new(Ending::Aborted, message, remaining)))
}

/// The end of a promotion whose running step came to an end of its own after the abort.
pub(super) fn aborted(snapshot: &PromotionSnapshot, node: &Node, end: &str) -> Move {
    let message = format!("{}; it ended so: {end}", abort_message(snapshot, node));
    let remaining = effects_done(snapshot);
    Move::append(Event::Finished(Finish::new(Ending::Aborted, message, remaining)))
}

fn abort_message(snapshot: &PromotionSnapshot, node: &Node) -> String {
    match &snapshot.state.abort {
        Some((by, reason)) => format!("aborted by {by} during {}: {reason}", describe(node)),
        None => format!("aborted during {}", describe(node)),
    }
}

pub(super) fn is_step(node: &Node) -> bool {
    match node {
        Node::Step(_) | Node::Replan(_) | Node::Excess(_) => true,
        Node::UndoPlan(_) | Node::Undo(_) => false,
    }
}

fn overdue(snapshot: &PromotionSnapshot, node: &Node) -> String {
    let timeout = step_of(snapshot, node).and_then(|step| step.control.timeout);
    match timeout {
        Some(timeout) => {
            format!("it was broken off: it took longer than its {}", duration::print(timeout))
        }
        None => "it was broken off: it took too long".to_owned(),
    }
}

/// The step that a node carries out. An undo is no step's own: it has no control.
pub(super) fn step_of<'a>(snapshot: &'a PromotionSnapshot, node: &Node) -> Option<&'a Step> {
    let steps = &snapshot.state.frozen.as_ref()?.stage.steps;
    let named = |name: &str| steps.iter().find(|step| step.name.as_str() == name);
    match node {
        Node::Step(name) => named(name.as_str()),
        Node::Replan(name) => named(named(name.as_str())?.config.get("plan")?.as_str()?),
        // People take the time that the envelope gives them.
        Node::Excess(_) | Node::UndoPlan(_) | Node::Undo(_) => None,
    }
}

/// What a call waits for that looks again and again, for those who look on.
fn waits_outside(snapshot: &PromotionSnapshot, node: &Node, call: &Call) -> Vec<Waiting> {
    let waiting = call.waits_for().map(|(what, until)| Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "Waiting",
        message: format!("{} waits for {what}, until {until}", describe(node)),
        until: Some(until),
    });
    waiting.into_iter().collect()
}

/// What is to be written down of a run that was begun and that nobody carries out any more, where it
/// must not be carried out once more: nobody knows how it ended.
#[must_use]
pub fn given_up(run: &Run) -> Option<Event> {
    let message = unrepeatable(&run.call).filter(|_| run.resumed)?;
    let outcome = Box::new(StepOutcome::Uncertain { message });
    Some(Event::Outcome { node: run.node.clone(), outcome })
}

/// A call that must not be repeated when it is not known whether it was carried out.
fn unrepeatable(call: &Call) -> Option<String> {
    match call {
        // A question may be asked again however often.
        Call::Http(HttpCall { poll: Some(_), .. }) => None,
        Call::Http(http) if http.at_most_once && http.confirm.is_none() => Some(format!(
            "the daemon stopped while {} {} was being sent; it is not known whether the receiver \
             saw it, and the step is marked to be sent at most once",
            http.method, http.url,
        )),
        Call::Run(run) if run.is_at_most_once() => Some(format!(
            "the daemon stopped while `{}` was running; it is not known what it had done, and the step is \
             marked to be run at most once",
            run.program(),
        )),
        Call::GitClone(_)
        | Call::YamlUpdate(_)
        | Call::GitCommit(_)
        | Call::GitPush(_)
        | Call::GitRevert(_)
        | Call::GitTag(_)
        | Call::GitUntag(_)
        | Call::TfPlan(_)
        | Call::TfApply(_)
        | Call::TfOutput(_)
        | Call::TfImport(_)
        | Call::Http(_)
        | Call::File(_)
        | Call::Download(_)
        | Call::Oci(_)
        | Call::Render(_)
        | Call::Chart(_)
        | Call::Parse(_)
        | Call::PullRequest(_)
        | Call::Run(_)
        | Call::Compose { .. }
        | Call::Fail { .. }
        | Call::Ask(_)
        | Call::Keep(_)
        | Call::Wait(_) => None,
    }
}

pub(super) fn rebuild_for(snapshot: &PromotionSnapshot, node: &Node) -> Vec<(StepName, Call)> {
    match node {
        Node::Step(step) => snapshot.state.rebuild(step),
        Node::Replan(_) => {
            step_of(snapshot, node).map_or_else(Vec::new, |plan| as_planned(&snapshot.state, plan))
        }
        Node::Excess(_) => Vec::new(),
        Node::UndoPlan(step) | Node::Undo(step) => undo::rebuild(&snapshot.state, step),
    }
}

/// The files that a plan saw: what later steps change in the same directory came after it.
fn as_planned(state: &State, plan: &Step) -> Vec<(StepName, Call)> {
    let steps = state.frozen.iter().flat_map(|frozen| &frozen.stage.steps);
    let before: Vec<&StepName> =
        steps.map(|step| &step.name).take_while(|name| **name != plan.name).collect();
    let mut calls = state.rebuild(&plan.name);
    calls.retain(|(step, _)| before.contains(&step));
    calls
}

/// The local calls that fill a working directory with what the plan saw that a node applied.
#[must_use]
pub fn files_of_apply(state: &State, node: &Node) -> Vec<(StepName, Call)> {
    match node {
        Node::Step(step) | Node::Replan(step) => {
            let steps = state.frozen.as_ref().map_or(&[][..], |frozen| &frozen.stage.steps);
            let named = |name: &str| steps.iter().find(|step| step.name.as_str() == name);
            let plan =
                named(step.as_str()).and_then(|step| named(step.config.get("plan")?.as_str()?));
            plan.map_or_else(Vec::new, |plan| as_planned(state, plan))
        }
        Node::Excess(_) => Vec::new(),
        Node::UndoPlan(step) | Node::Undo(step) => undo::rebuild(state, step),
    }
}

/// Whether a step needs nothing more after the preparation. One whose outputs were taken from a
/// plan runs again, against the applied state.
fn is_complete(state: &State, step: &Step) -> bool {
    let prepared = state.prepared.get(&step.name);
    // Of an effect only a look was taken.
    step.uses.nature() != Nature::Effect && prepared.is_some_and(|prepared| prepared.call.is_some())
}

/// The first move of a step.
///
/// # Errors
/// Why it cannot be carried out.
fn start(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    step: &Step,
    now: Timestamp,
) -> Result<Move, String> {
    if let Some((by, reason)) = &snapshot.state.abort {
        let message = format!("aborted by {by} before step {}: {reason}", step.name);
        let finish = Finish::new(Ending::Aborted, message, effects_done(snapshot));
        return Ok(Move::append(Event::Finished(finish)));
    }
    let scope = scope(&snapshot.promotion, frozen, &snapshot.state);
    if let Some(why) = refusal(step, &scope)? {
        return Ok(pass_over(step, false, why));
    }
    let call = call_of(snapshot, step, &layered(&scope, &step.within)?, now)?;
    if let Some(refused) = call.as_apply().and_then(|apply| refuse(snapshot, step, apply)) {
        return Err(refused);
    }
    if let Some(apply) = call.as_apply() {
        match envelope::fits(snapshot, step, apply, now) {
            envelope::Fits::Yes => {}
            envelope::Fits::Next(next) => return Ok(*next),
            envelope::Fits::No(message) => return Err(message),
        }
    }
    let (node, call) = (Node::Step(step.name.clone()), Box::new(call));
    if !call.is_carried_out() {
        return Ok(Move::append(Event::Intent { node, call, epoch: None }));
    }
    let (rebuild, deadline) = (snapshot.state.rebuild(&step.name), deadline(step, now));
    Ok(Move::act(Act::Run(vec![Run {
        node,
        call,
        rebuild,
        resumed: false,
        too_early: false,
        deadline,
    }])))
}

/// The call of a step after the commit, inside what was approved.
fn call_of(
    snapshot: &PromotionSnapshot,
    step: &Step,
    scope: &Scope,
    now: Timestamp,
) -> Result<Call, String> {
    let state = &snapshot.state;
    let (config, secrets) = secret::rendered(&step.config, scope)?;
    let approved = state.change_set.iter().flat_map(|set| &set.steps).find(|s| s.name == step.name);
    if let Some(approved) = approved
        && let Some(path) = leaves_envelope(&approved.config, &config, String::new())
    {
        return Err(format!("its argument {path} is not what was approved"));
    }
    let records = state.records_before(&step.name);
    let context = WorkdirContext {
        project: &snapshot.project,
        promotion: &snapshot.promotion.id,
        step: &step.name,
        started_at: snapshot.promotion.created_at,
        begins_at: now,
        steps: state.frozen.as_ref().map_or(&[], |frozen| &frozen.stage.steps),
        records: &records,
        prepared: state.prepared.get(&step.name).map(|prepared| &prepared.record),
    };
    let call = Call::new(step.uses, &config, &context).map_err(|error| error.to_string())?;
    Ok(unchanged::decided(snapshot, call.with_secrets(secrets), now))
}

/// Why a plan that was made only after the commit, so that no gate saw it, may not be applied.
pub(super) fn refuse(
    snapshot: &PromotionSnapshot,
    step: &Step,
    apply: &ApplyCall,
) -> Option<String> {
    let plan_step = step.config.get("plan").and_then(Value::as_str)?;
    if snapshot.state.prepared.contains_key(plan_step) {
        return None;
    }
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let joined = Joined::of(&policies, &snapshot.promotion.stage);
    let asking = joined.asking(GateKind::Infra);
    // What holds at the commit holds for all that it began.
    let at = snapshot.state.committed_at.unwrap_or(Timestamp::MAX);
    let skipped = snapshot.promotion.bypass.as_ref().is_some_and(|bypass| {
        bypass.gates.contains(&GateKind::Infra)
            && joined.may_bypass(GateKind::Infra, &asking, &bypass.groups, at)
            && bypass.expires.is_none_or(|end| end > at)
    });
    let violations = judge(&apply.plan.summary, &joined.infra);
    let reasons: Vec<String> = violations.into_iter().map(|violation| violation.reason).collect();
    (!skipped && !reasons.is_empty()).then(|| {
        format!("the plan of step {plan_step} breaks the infra rules: {}", reasons.join("; "))
    })
}

/// The first place where rendered arguments differ from the approved ones other than by a value
/// that was marked as deferred.
fn leaves_envelope(approved: &Value, rendered: &Value, path: String) -> Option<String> {
    if approved.get(DEFERRED).is_some() {
        let is_scalar = !matches!(rendered, Value::Array(_) | Value::Object(_));
        return (!is_scalar).then_some(path);
    }
    match (approved, rendered) {
        (Value::Object(approved), Value::Object(rendered)) => {
            if let Some(extra) = rendered.keys().find(|key| !approved.contains_key(*key)) {
                return Some(format!("{path}.{extra}"));
            }
            approved.iter().find_map(|(key, value)| {
                let found = rendered.get(key).unwrap_or(&Value::Null);
                leaves_envelope(value, found, format!("{path}.{key}"))
            })
        }
        (Value::Array(approved), Value::Array(rendered)) if approved.len() == rendered.len() => {
            approved
                .iter()
                .zip(rendered)
                .enumerate()
                .find_map(|(at, (a, r))| leaves_envelope(a, r, format!("{path}[{at}]")))
        }
        (approved, rendered) => (approved != rendered).then_some(path),
    }
}

/// A failure after the commit: undone where the policies say so, else left as it is.
pub(super) fn failed(snapshot: &PromotionSnapshot, trigger: RollbackOn, cause: String) -> Move {
    let policies: Vec<_> = snapshot.policies.iter().map(|p| p.spec.clone()).collect();
    let undo = Joined::of(&policies, &snapshot.promotion.stage).rollback.contains(&trigger);
    if undo {
        return Move::append(Event::Unwinding { cause });
    }
    Move::append(Event::Finished(Finish {
        ending: Ending::Failed,
        message: cause,
        remaining: effects_done(snapshot),
        as_before: false,
    }))
}

pub(super) fn stuck(snapshot: &PromotionSnapshot, message: String) -> Move {
    let remaining = effects_done(snapshot);
    Move::append(Event::Finished(Finish::new(Ending::Stuck, message, remaining)))
}

pub(super) fn describe(node: &Node) -> String {
    match node {
        Node::Step(step) => format!("step {step}"),
        Node::Replan(step) => format!("the plan that is made anew for step {step}"),
        Node::Excess(step) => format!("the question about the plan that step {step} applies"),
        Node::UndoPlan(step) => format!("the plan that undoes step {step}"),
        Node::Undo(step) => format!("the undo of step {step}"),
    }
}
