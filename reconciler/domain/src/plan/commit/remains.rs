//! What stays changed outside when a promotion ends where it is, in words.

use crate::promotion::Node;
use crate::snapshot::PromotionSnapshot;
use crate::step::{Call, OciDetach, OciRecord, Record, StepOutcome};

/// What this promotion changed and what stays changed when it ends here.
pub(in crate::plan) fn effects_done(snapshot: &PromotionSnapshot) -> Vec<String> {
    let nodes = &snapshot.state.nodes;
    nodes
        .iter()
        .filter_map(|(node, run)| {
            let Node::Step(step) = node else { return None };
            let undone = nodes
                .get(&Node::Undo(step.clone()))
                .is_some_and(|undo| matches!(undo.outcome, Some((_, StepOutcome::Done { .. }))));
            if undone {
                return None;
            }
            let what = match run.outcome.as_ref().map(|(_, outcome)| outcome) {
                Some(StepOutcome::Done { record, .. }) => remains_of(&run.call, record),
                Some(StepOutcome::Uncertain { message }) => Some(message.clone()),
                Some(StepOutcome::Failed { .. } | StepOutcome::Interrupted { .. }) => {
                    let perhaps = run.may_have_changed().then_some(PERHAPS);
                    let changed = run.changed().and_then(|record| remains_after(&run.call, record));
                    changed.or_else(|| perhaps.map(str::to_owned))
                }
                None => Some("it was started, and its end is not known".to_owned()),
            };
            what.map(|what| format!("step {step}: {what}"))
        })
        .collect()
}

/// What is told of an effect whose end nobody saw.
pub(in crate::plan) const PERHAPS: &str =
    "nobody saw how it ended, and it is not known whether it happened";

/// What stays of a call that was done.
fn remains_of(call: &Call, record: &Record) -> Option<String> {
    match call {
        Call::Http(http) => Some(format!("{} {} was sent", http.method, http.url)),
        Call::PullRequest(call) => call.stays().or_else(|| remains(record)),
        // What had nothing to do was not applied.
        Call::TfApply(apply) if !apply.plan.summary.has_changes => None,
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
        | Call::File(_)
        | Call::Download(_)
        | Call::Oci(_)
        | Call::Render(_)
        | Call::Chart(_)
        | Call::Parse(_)
        | Call::Run(_)
        | Call::Compose { .. }
        | Call::Fail { .. }
        | Call::Ask(_)
        | Call::Keep(_)
        | Call::Wait(_) => remains(record),
    }
}

/// What stays of a call that failed.
pub(in crate::plan) fn remains_after(call: &Call, record: &Record) -> Option<String> {
    match (record, call) {
        (Record::Sent, Call::Http(http)) => Some(format!(
            "{} {} was sent, and may have been acted on although the answer was not as wanted",
            http.method, http.url
        )),
        (record, _) => remains(record),
    }
}

fn remains(record: &Record) -> Option<String> {
    match record {
        Record::Push(push) => push
            .commit
            .as_ref()
            .map(|commit| format!("commit {commit} is on branch {} of {}", push.branch, push.repo)),
        Record::Tag(tag) => tag.made.then(|| format!("tag {} was made in {}", tag.tag, tag.repo)),
        Record::PullRequest(record) => record.remains(),
        Record::Applied(applied) if applied.created.is_empty() => {
            Some("its plan is applied, as far as it got".to_owned())
        }
        Record::Applied(applied) => Some(format!("created {}", applied.created.join(", "))),
        Record::Oci(oci) => remains_in_registry(oci),
        Record::Kept(kept) => kept.remains(),
        Record::Ran(ran) => Some(format!("its program ran ({})", ran.ended)),
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

fn remains_in_registry(record: &OciRecord) -> Option<String> {
    match record {
        OciRecord::Pushed(moved) => moved
            .changes()
            .then(|| format!("tag {} of {} is at {}", moved.tag, moved.repo, moved.digest)),
        OciRecord::Attached(OciDetach { repo, subject, digest, .. }) => {
            Some(format!("{digest} is attached to {repo}@{subject}"))
        }
        OciRecord::Left { what } => Some(what.clone()),
        OciRecord::Pulled { .. } | OciRecord::Looked(_) => None,
    }
}
