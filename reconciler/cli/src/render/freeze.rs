//! Freezes.

use jiff::Timestamp;
use reconciler_api::v1::{
    Freeze, FreezeExceptions, FreezeScope, FreezeSpec, FreezeWindow, InstanceFreeze, Meta,
    StageFreeze, StoppedPromotion,
};

use super::age::{age, instant};
use super::objects::definition;
use super::{Show, joined, list, or_dash};
use crate::commands::AnyFreeze;

/// What both kinds of freezes say in a row.
struct Row<'a> {
    meta: &'a Meta,
    spec: &'a FreezeSpec,
    active: bool,
    begins_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
}

impl Row<'_> {
    fn cells(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, active, begins_at, ends_at } = self;
        let active = match (active, begins_at) {
            (true, _) => "yes",
            (false, Some(_)) => "not yet",
            (false, None) => "no: it is over",
        };
        vec![
            meta.name.clone(),
            active.to_owned(),
            joined(spec.actions.iter().map(ToString::to_string)),
            or_dash(begins_at.or(spec.from).map(instant)),
            or_dash(ends_at.or(spec.until).map(instant)),
            meta.changed_by.clone(),
            age(meta.created_at, now),
            spec.reason.clone(),
        ]
    }
}

impl Show for Freeze {
    const HEADER: &'static [&'static str] =
        &["NAME", "ACTIVE", "ABOUT", "FROM", "UNTIL", "BY", "AGE", "WHY"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        let (active, begins_at, ends_at) = (status.active, status.begins_at, status.ends_at);
        Row { meta, spec, active, begins_at, ends_at }.cells(now)
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

impl Show for InstanceFreeze {
    const HEADER: &'static [&'static str] = Freeze::HEADER;

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        let (active, begins_at, ends_at) = (status.active, status.begins_at, status.ends_at);
        Row { meta, spec: &spec.in_project(), active, begins_at, ends_at }.cells(now)
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        let projects = spec.except.projects.iter().map(|project| format!("project {project}"));
        let others = exceptions(&spec.in_project().except);
        let goes_on: Vec<String> = projects.chain(others).collect();
        let stopped = |it: &StoppedPromotion| format!("{} of {}", it.promotion, it.project);
        let mut waiting: Vec<String> = status.waiting.iter().map(stopped).collect();
        let told = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        match (told, status.waiting_total - told.min(status.waiting_total)) {
            (_, 0) => {}
            (0, total) => waiting.push(format!("{total} promotions")),
            (_, more) => waiting.push(format!("{more} more")),
        }
        vec![
            spec.window.as_ref().map(window).unwrap_or_default(),
            list("lets go on", &goes_on),
            list("keeps from committing", &waiting),
            definition(meta, now),
        ]
    }
}

impl Show for AnyFreeze {
    const HEADER: &'static [&'static str] =
        &["NAME", "OF", "ACTIVE", "ABOUT", "FROM", "UNTIL", "BY", "AGE", "WHY"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let (of, mut row) = match self {
            Self::Own(freeze) => (freeze.meta.project.as_str(), freeze.row(now)),
            Self::Instance(freeze) => ("every project", freeze.row(now)),
        };
        row.insert(1, of.to_owned());
        row
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        match self {
            Self::Own(freeze) => freeze.details(now),
            Self::Instance(freeze) => freeze.details(now),
        }
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
        let StageFreeze { name, scope, reason, author, actions, until } = freeze;
        let name = match scope {
            FreezeScope::Project => name.clone(),
            FreezeScope::Instance => format!("{name}, every project"),
        };
        let about = joined(actions.iter().map(ToString::to_string));
        let until = until.map(|it| format!(" until {}", instant(it))).unwrap_or_default();
        format!("frozen by {author} ({name}; {about}){until}: {reason}")
    };
    let lines: Vec<String> = freezes.iter().map(line).collect();
    lines.join("\n")
}
