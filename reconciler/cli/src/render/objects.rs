//! Projects, verifications and tasks, and what every defined object shares.

use jiff::Timestamp;
use reconciler_api::v1::{
    Condition, ConditionStatus, Meta, Project, Step, Task, TaskInput, Verification,
};

use super::age::age;
use super::{Show, joined, section};

impl Show for Project {
    const HEADER: &'static [&'static str] = &["NAME", "READY", "DESCRIPTION", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec } = self;
        vec![meta.name.clone(), ready(meta), spec.description.clone(), age(meta.created_at, now)]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        vec![definition(&self.meta, now), conditions(&self.meta)]
    }
}

impl Show for Verification {
    const HEADER: &'static [&'static str] =
        &["NAME", "READY", "CHECKS", "COUNT", "INTERVAL", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec } = self;
        let http = spec.http.iter().map(|it| format!("{} (http)", it.name));
        let prometheus = spec.prometheus.iter().map(|it| format!("{} (prometheus)", it.name));
        vec![
            meta.name.clone(),
            ready(meta),
            joined(http.chain(prometheus)),
            spec.count.to_string(),
            spec.interval.clone(),
            age(meta.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let http = self.spec.http.iter().map(|it| (&it.name, &it.url, &it.success));
        let prometheus = self.spec.prometheus.iter().map(|it| (&it.name, &it.query, &it.success));
        let row = |(name, asks, success): (&String, &String, &String)| {
            vec![name.clone(), asks.clone(), success.clone()]
        };
        vec![
            section(
                "checks",
                &["NAME", "ASKS", "SUCCESS"],
                http.chain(prometheus).map(row).collect(),
            ),
            definition(&self.meta, now),
            conditions(&self.meta),
        ]
    }
}

impl Show for Task {
    const HEADER: &'static [&'static str] = &["NAME", "INPUTS", "STEPS", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec } = self;
        vec![
            meta.name.clone(),
            joined(spec.inputs.iter().map(|input| input.name.clone())),
            joined(spec.steps.iter().map(|step| step.name.clone())),
            age(meta.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let input = |TaskInput { name, holds, default, description }: &TaskInput| {
            let default = default.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            vec![name.clone(), holds.as_str().to_owned(), default, description.clone()]
        };
        let step = |step: &Step| {
            let uses = match step.config.get("task").and_then(serde_json::Value::as_str) {
                Some(task) if step.uses == "task" => format!("task {task}"),
                Some(_) | None => step.uses.clone(),
            };
            vec![step.name.clone(), uses]
        };
        vec![
            section(
                "inputs",
                &["NAME", "TYPE", "DEFAULT", "DESCRIPTION"],
                self.spec.inputs.iter().map(input).collect(),
            ),
            section("steps", &["NAME", "USES"], self.spec.steps.iter().map(step).collect()),
            definition(&self.meta, now),
            conditions(&self.meta),
        ]
    }
}

/// Whether all conditions hold; else the reason of the first that does not.
pub(super) fn ready(meta: &Meta) -> String {
    let Some(first) = meta.conditions.first() else { return "-".to_owned() };
    let wrong = |it: &&Condition| it.status != ConditionStatus::True;
    match meta.conditions.iter().find(wrong).unwrap_or(first) {
        Condition { status: ConditionStatus::True, .. } => "yes".to_owned(),
        Condition { status: ConditionStatus::False, reason, .. } => format!("no: {reason}"),
        Condition { status: ConditionStatus::Unknown, reason, .. } => format!("unknown: {reason}"),
    }
}

/// Who defined it last.
pub(super) fn definition(meta: &Meta, now: Timestamp) -> String {
    let Meta { generation, changed_by, changed_at, .. } = meta;
    format!("generation {generation}, changed by {changed_by} {} ago", age(*changed_at, now))
}

pub(super) fn conditions(meta: &Meta) -> String {
    let row = |it: &Condition| {
        vec![it.kind.clone(), it.status.to_string(), it.reason.clone(), it.message.clone()]
    };
    let rows = meta.conditions.iter().map(row).collect();
    section("conditions", &["TYPE", "STATUS", "REASON", "MESSAGE"], rows)
}
