//! Change sets.

use reconciler_api::v1;
use reconciler_domain::promotion::{ChangeSet, PlannedStep, StepPlan};
use reconciler_domain::step::{Layer, StepKind};
use reconciler_domain::template::DEFERRED;
use serde_json::Value;

/// Says a change set on the wire; `patches` are left out of listings.
pub(super) fn change_set(set: &ChangeSet, patches: bool) -> v1::ChangeSet {
    v1::ChangeSet {
        digest: set.digest.clone(),
        files: set
            .files
            .iter()
            .flat_map(|of| of.files.iter().map(move |file| (of, file)))
            .map(|(of, file)| v1::FileChange {
                repo: of.repo.clone(),
                branch: of.branch.clone().unwrap_or_default(),
                path: file.path.clone(),
                old_blob: file.old_blob.clone(),
                new_blob: file.new_blob.clone(),
                patch: patches.then(|| file.patch.clone()),
            })
            .collect(),
        infra: set
            .infra
            .iter()
            .map(|change| v1::InfraPlan {
                step: change.step.to_string(),
                dir: change.dir.clone(),
                create: change.summary.create,
                update: change.summary.update,
                replace: change.summary.replace,
                delete: change.summary.delete,
                lines: change.summary.lines(),
                digest: change.digest.to_string(),
            })
            .collect(),
        calls: calls(set),
        deferred: deferred(set),
        undo: set
            .undo
            .iter()
            .map(|undo| v1::UndoDescription {
                step: undo.step.to_string(),
                description: undo.description.clone(),
                possible: undo.possible,
            })
            .collect(),
    }
}

fn calls(set: &ChangeSet) -> Vec<v1::PlannedCall> {
    let text =
        |config: &Value, name: &str| config.get(name).and_then(Value::as_str).map(str::to_owned);
    set.steps
        .iter()
        .filter(|step| step.uses == StepKind::Http)
        .map(|step| v1::PlannedCall {
            step: step.name.to_string(),
            method: text(&step.config, "method").unwrap_or_else(|| "GET".to_owned()),
            url: text(&step.config, "url").unwrap_or_default(),
        })
        .collect()
}

/// The arguments of a step, one line each; what must wait is shown as its template, with the inputs that
/// a task was handed as templates.
fn arguments(step: &PlannedStep) -> Vec<String> {
    let mut lines = Vec::new();
    flatten(&step.config, "", &mut lines);
    for layer in &step.within {
        let Layer::Task { inputs, .. } = layer else { continue };
        for (name, handed) in inputs {
            if let Some(text) = handed.value.as_str().filter(|text| text.contains("{{")) {
                lines.push(format!("inputs.{name} = {text}"));
            }
        }
    }
    lines
}

fn flatten(value: &Value, path: &str, lines: &mut Vec<String>) {
    if let Some(preview) = value.get(DEFERRED) {
        lines.push(format!("{path} = {}", preview.as_str().unwrap_or_default()));
        return;
    }
    let inside =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                flatten(entry, &inside(name), lines);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(item, &format!("{path}[{at}]"), lines);
            }
        }
        Value::String(text) => lines.push(format!("{path} = {text}")),
        Value::Null | Value::Bool(_) | Value::Number(_) => lines.push(format!("{path} = {value}")),
    }
}

fn deferred(set: &ChangeSet) -> Vec<v1::DeferredStep> {
    set.steps
        .iter()
        .filter_map(|step| match &step.plan {
            StepPlan::Deferred { waits_for } => Some(v1::DeferredStep {
                step: step.name.to_string(),
                uses: step.uses.name().to_owned(),
                arguments: arguments(step),
                expressions: waits_for.clone(),
            }),
            StepPlan::Prepared | StepPlan::Effect | StepPlan::PassedOver { .. } => None,
        })
        .collect()
}
