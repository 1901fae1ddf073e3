//! Drift.

use jiff::Timestamp;
use reconciler_api::v1::{DriftAction, DriftedResource, StageDrift, StateDrift};

use super::age::age;
use super::{or_dash, section, table as plain};

/// Stages, one in a row.
pub(crate) fn table(stages: &[StageDrift], now: Timestamp) -> String {
    if stages.is_empty() {
        return "none".to_owned();
    }
    let header = &["STAGE", "DRIFT", "LOOKED", "NEXT", "WHAT"];
    plain(header, stages.iter().map(|stage| row(stage, now)))
}

/// One stage, with what differs in each of its states.
pub(crate) fn one(stage: &StageDrift, now: Timestamp) -> String {
    let mut parts = vec![table(std::slice::from_ref(stage), now)];
    let states: Vec<Vec<String>> = stage.states.iter().map(state).collect();
    let header = ["STATE", "WORKSPACE", "APPLIED BY", "DRIFT", "WHY"];
    parts.push(section("states", &header, states));
    for state in stage.states.iter().filter(|state| !state.resources.is_empty()) {
        let mut lines = vec![format!("drift in {}", state.state)];
        lines.extend(state.resources.iter().flat_map(resource));
        lines.extend(state.outputs.iter().map(|output| format!("  ~ output.{output}")));
        parts.push(lines.join("\n"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn row(stage: &StageDrift, now: Timestamp) -> Vec<String> {
    let next = match (&stage.waits_for, stage.asked, stage.next_look_at) {
        (Some(promotion), true, _) => format!("after {promotion}"),
        (None, true, _) => "now".to_owned(),
        (_, false, Some(at)) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        (_, false, None) => "-".to_owned(),
    };
    vec![
        stage.stage.clone(),
        stage.standing.to_string(),
        or_dash(stage.looked_at.map(|at| format!("{} ago", age(at, now)))),
        next,
        stage.message.clone(),
    ]
}

fn state(state: &StateDrift) -> Vec<String> {
    vec![
        state.state.clone(),
        state.workspace.clone(),
        format!("{}, step {}", state.promotion, state.step),
        state.standing.to_string(),
        or_dash(state.why.clone()),
    ]
}

fn resource(resource: &DriftedResource) -> Vec<String> {
    let (mark, what) = match resource.action {
        DriftAction::Changed if resource.configured => ("~", ""),
        DriftAction::Changed => ("~", " (only what its provider computes)"),
        DriftAction::Deleted => ("-", " (deleted)"),
        DriftAction::Lost => ("?", " (no longer in the state)"),
    };
    let mut lines = vec![format!("  {mark} {}{what}", resource.address)];
    lines.extend(resource.attributes.iter().map(|attribute| {
        format!("      {}: {} -> {}", attribute.name, attribute.before, attribute.after)
    }));
    lines
}
