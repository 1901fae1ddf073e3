//! Promotions, their steps and their events.

use jiff::Timestamp;
use reconciler_api::v1::{self, StepState};
use reconciler_domain::gate::Gate;
use reconciler_domain::id::ProjectName;
use reconciler_domain::plan::Move;
use reconciler_domain::promotion::{
    Ending, Entry, Event, Finish, Node, NodeRun, Phase, Promotion, State, StepPlan,
};
use reconciler_domain::step::{
    Interruption, Kept, Nature, Record, Said, Step, StepOutcome, Unseen,
};
use reconciler_domain::verification::Measured;

use super::change_set::change_set;
use super::explain::{gate, waiting};
use super::question::question;
use reconciler_convert::wire_bypass_gate;

/// Says a promotion on the wire, with its whole log known.
pub(crate) fn promotion(
    project: &ProjectName,
    promotion: &Promotion,
    log: &[Entry],
    state: &State,
    next: &Move,
    token: u64,
) -> v1::Promotion {
    let frozen = state.frozen.as_ref();
    v1::Promotion {
        collection: frozen
            .iter()
            .flat_map(|frozen| &frozen.collection)
            .map(|(warehouse, freight)| (warehouse.to_string(), freight.id.to_string()))
            .collect(),
        change_set: state.change_set.as_ref().map(|set| change_set(set, true)),
        gates: next.gates.iter().flat_map(|judged: &Gate| gate(judged)).collect(),
        approvals: approvals(log, state),
        steps: frozen
            .iter()
            .flat_map(|frozen| &frozen.stage.steps)
            .map(|step| step_run(step, state))
            .collect(),
        measurements: state.measurements.iter().map(measurement).collect(),
        waiting: next.waiting.iter().map(waiting).collect(),
        waits_until: next.waits_until,
        error: error(state),
        remaining: state.finish.iter().flat_map(|(_, f)| f.remaining.clone()).collect(),
        token: v1::WorldToken(token),
        committed_at: state.committed_at,
        finished_at: state.finish.as_ref().map(|(at, _)| *at),
        ..promotion_row(project, promotion, state.phase(), state.finish.as_ref().map(|(at, _)| *at))
    }
}

/// Says what a listing knows of a promotion.
pub(crate) fn promotion_row(
    project: &ProjectName,
    promotion: &Promotion,
    at: Phase,
    finished_at: Option<Timestamp>,
) -> v1::Promotion {
    v1::Promotion {
        id: promotion.id.to_string(),
        project: project.to_string(),
        stage: promotion.stage.to_string(),
        freight: promotion.freight.to_string(),
        along: promotion.along.values().map(ToString::to_string).collect(),
        collection: std::collections::BTreeMap::new(),
        phase: phase(at),
        requester: promotion.requester.to_string(),
        reason: promotion.reason.clone(),
        rollback: promotion.rollback,
        rehearsal: promotion.rehearsal,
        vars: promotion.vars.clone(),
        bypass: promotion.bypass.as_ref().map(|bypass| v1::Bypass {
            gates: bypass.gates.iter().filter_map(|gate| wire_bypass_gate(*gate)).collect(),
            reason: bypass.reason.clone(),
            expires: bypass.expires,
        }),
        change_set: None,
        gates: Vec::new(),
        approvals: Vec::new(),
        steps: Vec::new(),
        measurements: Vec::new(),
        waiting: Vec::new(),
        waits_until: None,
        error: None,
        remaining: Vec::new(),
        token: v1::WorldToken(0),
        created_at: promotion.created_at,
        committed_at: None,
        finished_at,
    }
}

/// Says a phase on the wire.
pub(crate) fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Preparing => v1::Phase::Preparing,
        Phase::Waiting => v1::Phase::Waiting,
        Phase::Committing => v1::Phase::Committing,
        Phase::Verifying => v1::Phase::Verifying,
        Phase::Unwinding => v1::Phase::Unwinding,
        Phase::Ended(Ending::Succeeded) => v1::Phase::Succeeded,
        Phase::Ended(Ending::Failed) => v1::Phase::Failed,
        Phase::Ended(Ending::RolledBack) => v1::Phase::RolledBack,
        Phase::Ended(Ending::Stuck) => v1::Phase::Stuck,
        Phase::Ended(Ending::Aborted) => v1::Phase::Aborted,
        Phase::Ended(Ending::Superseded) => v1::Phase::Superseded,
        Phase::Ended(Ending::Expired) => v1::Phase::Expired,
        Phase::Ended(Ending::Inconclusive) => v1::Phase::Inconclusive,
        Phase::Ended(Ending::Rehearsed) => v1::Phase::Rehearsed,
    }
}

fn approvals(log: &[Entry], state: &State) -> Vec<v1::PromotionApproval> {
    let present = state.change_set.as_ref().map(|set| set.digest.as_str());
    log.iter()
        .filter_map(|entry| match &entry.event {
            Event::Approved(approval) => Some(v1::PromotionApproval {
                by: approval.by.clone(),
                groups: approval.groups.iter().cloned().collect(),
                digest: approval.digest.clone(),
                comment: approval.comment.clone(),
                at: entry.at,
                void: present != Some(approval.digest.as_str()),
            }),
            _ => None,
        })
        .collect()
}

fn step_run(step: &Step, state: &State) -> v1::StepRun {
    let node = Node::Step(step.name.clone());
    let run = state.nodes.get(&node);
    let undo = state.nodes.get(&Node::Undo(step.name.clone()));
    let mut shown = v1::StepRun {
        name: step.name.to_string(),
        uses: step.uses.name().to_owned(),
        state: step_state(step, state, run, undo),
        started_at: run.map(|run| run.started_at),
        finished_at: run.and_then(|run| run.outcome.as_ref()).map(|(at, _)| *at),
        outputs: std::collections::BTreeMap::new(),
        error: undo.and_then(error_of).or_else(|| run.and_then(error_of)).or_else(|| {
            let passed = state.passed_over.get(&step.name).filter(|passed| passed.failed);
            passed.map(|passed| passed.message.clone())
        }),
        question: question(&step.name, state),
    };
    if let Some((outputs, _)) = state.done(&step.name) {
        shown.outputs = outputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    shown
}

fn step_state(
    step: &Step,
    state: &State,
    run: Option<&NodeRun>,
    undo: Option<&NodeRun>,
) -> StepState {
    match undo.map(|undo| undo.outcome.as_ref().map(|(_, outcome)| outcome)) {
        Some(Some(StepOutcome::Done { .. })) => return StepState::Undone,
        Some(Some(
            StepOutcome::Failed { .. }
            | StepOutcome::Uncertain { .. }
            | StepOutcome::Interrupted { .. },
        )) => return StepState::UndoFailed,
        Some(None) => return StepState::Running,
        None => {}
    }
    match run.map(|run| run.outcome.as_ref().map(|(_, outcome)| outcome)) {
        Some(None) => StepState::Running,
        Some(Some(StepOutcome::Done { .. })) => StepState::Succeeded,
        Some(Some(StepOutcome::Uncertain { .. })) => StepState::Uncertain,
        Some(Some(StepOutcome::Failed { .. } | StepOutcome::Interrupted { .. })) => {
            match run.filter(|run| run.may_have_happened()).map(|run| run.call.unseen()) {
                Some(Unseen::Unknown) => StepState::Uncertain,
                Some(Unseen::Nothing | Unseen::Tolerable) | None => StepState::Failed,
            }
        }
        None if state.passed_over.get(&step.name).is_some_and(|passed| passed.failed) => {
            StepState::Failed
        }
        None if state.passed_over.contains_key(&step.name) => StepState::Skipped,
        // It asks before it begins.
        None if state.question(&step.name).is_some() => StepState::Running,
        // Of an effect only a look was taken.
        None if is_prepared(step, state) => StepState::Prepared,
        None if is_deferred(step, state) => StepState::Deferred,
        None => StepState::Pending,
    }
}

fn is_prepared(step: &Step, state: &State) -> bool {
    step.uses.nature() != Nature::Effect && state.prepared.contains_key(&step.name)
}

fn is_deferred(step: &Step, state: &State) -> bool {
    let mut planned = state.change_set.iter().flat_map(|set| &set.steps);
    planned.any(|planned| {
        planned.name == step.name && matches!(planned.plan, StepPlan::Deferred { .. })
    })
}

fn error_of(run: &NodeRun) -> Option<String> {
    match run.outcome.as_ref().map(|(_, outcome)| outcome)? {
        StepOutcome::Failed { message, .. } | StepOutcome::Uncertain { message } => {
            Some(message.clone())
        }
        StepOutcome::Done { .. } => None,
        StepOutcome::Interrupted { by } => Some(broken_off(*by).to_owned()),
    }
}

fn broken_off(by: Interruption) -> &'static str {
    match by {
        Interruption::Timeout => "broken off: it took longer than its timeout",
        Interruption::Beside => "broken off: a step that is carried out beside it failed",
        Interruption::Abort => "broken off: the promotion was aborted",
    }
}

fn error(state: &State) -> Option<String> {
    let finished = state.finish.as_ref().map(|(_, finish)| finish);
    match finished {
        Some(Finish { ending: Ending::Succeeded | Ending::Rehearsed, .. }) => None,
        Some(finish) => Some(finish.message.clone()),
        None => state
            .unwinding
            .clone()
            .or_else(|| state.prepare_failure.as_ref().map(|failure| failure.message.clone())),
    }
}

fn measurement(taken: &reconciler_domain::verification::Measurement) -> v1::Measurement {
    let (verification, check) = taken.check.split_once('/').unwrap_or(("", &taken.check));
    v1::Measurement {
        verification: verification.to_owned(),
        check: check.to_owned(),
        at: taken.at,
        verdict: match taken.measured {
            Measured::Pass => v1::Verdict::Pass,
            Measured::Fail => v1::Verdict::Fail,
            Measured::Unknown => v1::Verdict::Unknown,
        },
        value: (!taken.evidence.is_null()).then(|| taken.evidence.to_string()),
        message: taken.detail.clone(),
    }
}

/// Says a log entry on the wire.
pub(crate) fn event(entry: &Entry) -> v1::PromotionEvent {
    let (step, message) = describe(&entry.event);
    let kind = entry.event.label().to_owned();
    let epoch = entry.event.epoch();
    v1::PromotionEvent { seq: entry.seq, at: entry.at, kind, step, message, epoch }
}

fn describe(event: &Event) -> (Option<String>, String) {
    match event {
        Event::PrepareStarted(frozen) if frozen.attempt == 1 => (None, "preparing".to_owned()),
        Event::PrepareStarted(_) => {
            (None, "preparing anew: something it was made from changed".to_owned())
        }
        Event::StepPrepared(done) => (Some(done.step.to_string()), "prepared".to_owned()),
        Event::PassedOver { step, message, .. } => {
            (Some(step.to_string()), format!("passed over: {message}"))
        }
        Event::PrepareFailed { step, message, .. } => {
            (step.as_ref().map(ToString::to_string), format!("preparation failed: {message}"))
        }
        Event::Prepared(set) => (None, format!("change set {} is ready", set.digest)),
        Event::Approved(approval) => (None, format!("approved by {}", approval.by)),
        Event::Probed { moved } if moved.is_empty() => {
            (None, "nothing moved since it was prepared".to_owned())
        }
        Event::Probed { moved } => (None, format!("moved meanwhile: {}", moved.join(", "))),
        Event::Committed { skipped } if skipped.is_empty() => (None, "committed".to_owned()),
        Event::Committed { skipped } => {
            let told = skipped.iter().map(|it| format!("{} ({})", it.gate.name(), it.message));
            let told: Vec<String> = told.collect();
            (None, format!("committed past {}", told.join(", ")))
        }
        Event::SentBack { why } => (None, format!("back to the gates: {why}")),
        Event::Intent { node, .. } => (Some(node.step().to_string()), starting(node).to_owned()),
        Event::Outcome { node, outcome } => (Some(node.step().to_string()), ended(node, outcome)),
        Event::Answered(answer) => {
            let said = match answer.said {
                Said::Approved => "approved by",
                Said::Refused => "refused by",
                Said::Given(_) => "values given by",
            };
            (Some(answer.step.to_string()), format!("{said} {}", answer.by))
        }
        Event::Verifying { checks, .. } => {
            (None, format!("every step is done; {} checks to pass", checks.len()))
        }
        Event::Reverifying { by, reason, checks } => {
            let why = reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            (None, format!("verified anew, asked by {by}{why}: {} checks to pass", checks.len()))
        }
        Event::Measured(taken) => (None, format!("check {}: {}", taken.check, taken.detail)),
        Event::Unwinding { cause } => (None, format!("undoing: {cause}")),
        Event::AbortRequested { by, reason } => (None, format!("abort asked by {by}: {reason}")),
        Event::Finished(finish) => {
            let left = match finish.remaining.as_slice() {
                [] => String::new(),
                remaining => format!("; what is left: {}", remaining.join("; ")),
            };
            (None, format!("{}: {}{left}", finish.ending.label(), finish.message))
        }
    }
}

fn starting(node: &Node) -> &'static str {
    match node {
        Node::Step(_) => "running",
        Node::Replan(_) => "planning anew",
        Node::Excess(_) => "the plan is outside its envelope",
        Node::UndoPlan(_) => "planning the undo",
        Node::Undo(_) => "undoing",
    }
}

fn ended(node: &Node, outcome: &StepOutcome) -> String {
    let done = match node {
        Node::Step(_) => "done",
        Node::Replan(_) => "planned anew",
        Node::Excess(_) => "the plan is agreed to",
        Node::UndoPlan(_) => "the undo is planned",
        Node::Undo(_) => "undone",
    };
    match outcome {
        StepOutcome::Done { record: Record::Kept(Kept { audit: Some(audit), .. }), .. } => {
            format!("{done}: {}", audit.message)
        }
        StepOutcome::Done { .. } => done.to_owned(),
        StepOutcome::Failed { message, .. } => format!("failed: {message}"),
        StepOutcome::Uncertain { message } => format!("uncertain: {message}"),
        StepOutcome::Interrupted { by } => broken_off(*by).to_owned(),
    }
}
