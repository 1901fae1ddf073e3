//! What the author of a freeze should know.

use jiff::Timestamp;

use super::{Warning, named};
use crate::freeze::{Freeze, Reach};
use crate::id::{ProjectName, StageName};
use crate::snapshot::Definitions;
use crate::window::{Action, NextChange};

/// `project` is absent where nothing of it is judged.
pub(super) fn of_freeze(
    definitions: &Definitions,
    project: Option<&ProjectName>,
    new: &Freeze,
    now: Timestamp,
) -> Vec<Warning> {
    if let Some(over) = over(new, now) {
        return vec![over];
    }
    if !project.is_some_and(|project| new.concerns_project(project)) {
        return Vec::new();
    }
    idle(definitions, new).or_else(|| traps_undo(definitions, new, now)).into_iter().collect()
}

fn stops_nothing(path: &str, detail: String) -> Warning {
    let summary = "This freeze stops nothing".to_owned();
    Warning { change: 0, path: path.to_owned(), summary, detail }
}

/// A freeze that has ended stops nothing.
fn over(new: &Freeze, now: Timestamp) -> Option<Warning> {
    if new.runs_at(now) || new.begins_after(now).is_some() {
        return None;
    }
    let end = match new.until {
        Some(until) if until <= now => format!("it ended at {until}"),
        Some(until) => format!("no occurrence of its window begins before {until}"),
        None => "its window has no further occurrence".to_owned(),
    };
    Some(stops_nothing("until", format!("Freeze {} does not run again: {end}.", new.name)))
}

/// A freeze of the project that excepts every stage of it stops nothing. One of every project may well
/// except all that one of them has.
fn idle(definitions: &Definitions, new: &Freeze) -> Option<Warning> {
    let mut stages = definitions.stages.keys();
    let excepts_all = !definitions.stages.is_empty() && !stages.any(|stage| new.concerns(stage));
    (new.reach == Reach::Project && excepts_all).then(|| {
        let detail = format!("Freeze {} excepts every stage of the project.", new.name);
        stops_nothing("except.stages", detail)
    })
}

/// A stage whose failed promotions are undone by policy keeps what failed for as long as a freeze
/// runs that is about rollback.
fn traps_undo(definitions: &Definitions, new: &Freeze, now: Timestamp) -> Option<Warning> {
    if !new.actions.contains(&Action::Rollback) {
        return None;
    }
    let undoes = |stage: &&StageName| {
        let mut policies = definitions.policies.iter().map(|policy| &policy.spec);
        policies.any(|policy| policy.selects(stage) && !policy.rollback.is_empty())
    };
    let concerned = definitions.stages.keys().filter(|stage| new.concerns(stage));
    let trapped: Vec<&StageName> = concerned.filter(undoes).collect();
    if trapped.is_empty() {
        return None;
    }
    let begins = if new.runs_at(now) { now } else { new.begins_after(now)? };
    let fails = if begins == now { "now".to_owned() } else { format!("at {begins}") };
    let undone = match new.ends_after(begins) {
        NextChange::At(at) | NextChange::NotBefore(at) => format!("before {at}"),
        NextChange::Never => "until somebody ends the freeze".to_owned(),
    };
    Some(Warning {
        change: 0,
        path: "actions".to_owned(),
        summary: "This freeze traps what fails".to_owned(),
        detail: format!(
            "A promotion to {} that fails {fails} would not be undone {undone}: policies ask for \
             the undo, and freeze {} is about rollback. Leave rollback out of its actions to let \
             what fails be undone.",
            named(&trapped),
            new.name,
        ),
    })
}
