//! Freezes.

use jiff::Timestamp;
use reconciler_api::v1::{Freeze, FreezeExceptions, FreezeStatus, FreezeWindow, StageFreeze};

use super::age::{age, instant};
use super::objects::definition;
use super::{Show, joined, list, or_dash};

impl Show for Freeze {
    const HEADER: &'static [&'static str] =
        &["NAME", "ACTIVE", "ABOUT", "FROM", "UNTIL", "BY", "AGE", "WHY"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        vec![
            meta.name.clone(),
            active(status).to_owned(),
            joined(spec.actions.iter().map(ToString::to_string)),
            or_dash(status.begins_at.or(spec.from).map(instant)),
            or_dash(status.ends_at.or(spec.until).map(instant)),
            meta.changed_by.clone(),
            age(meta.created_at, now),
            spec.reason.clone(),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.spec.window.as_ref().map(window).unwrap_or_default(),
            list("lets go on", &exceptions(&self.spec.except)),
            list("keeps from committing", &self.status.waiting),
            definition(&self.meta, now),
        ]
    }
}

fn active(status: &FreezeStatus) -> &'static str {
    match (status.active, status.begins_at) {
        (true, _) => "yes",
        (false, Some(_)) => "not yet",
        (false, None) => "no: it is over",
    }
}

fn window(window: &FreezeWindow) -> String {
    let FreezeWindow { rule, duration, timezone, start } = window;
    let start = start.as_ref().map(|start| format!(", from {start} on")).unwrap_or_default();
    format!("recurs for {duration} from {rule} in {timezone}{start}")
}

fn exceptions(except: &FreezeExceptions) -> Vec<String> {
    let FreezeExceptions { stages, principals, groups } = except;
    let stages = stages.iter().map(|stage| format!("stage {stage}"));
    let principals = principals.iter().map(|name| format!("what {name} asks for"));
    let groups = groups.iter().map(|group| format!("what group {group} asks for"));
    stages.chain(principals).chain(groups).collect()
}

/// The freezes that are about a stage, one line each.
pub(super) fn stage_freezes(freezes: &[StageFreeze]) -> String {
    let line = |freeze: &StageFreeze| {
        let StageFreeze { name, reason, author, actions, until } = freeze;
        let about = joined(actions.iter().map(ToString::to_string));
        let until = until.map(|it| format!(" until {}", instant(it))).unwrap_or_default();
        format!("frozen by {author} ({name}; {about}){until}: {reason}")
    };
    let lines: Vec<String> = freezes.iter().map(line).collect();
    lines.join("\n")
}
