//! What the author of a freeze should know.

use jiff::Timestamp;

use super::{Warning, named};
use crate::freeze::Freeze;
use crate::id::StageName;
use crate::snapshot::Definitions;
use crate::window::{Action, NextChange};

pub(super) fn of_freeze(definitions: &Definitions, new: &Freeze, now: Timestamp) -> Vec<Warning> {
    idle(definitions, new, now).or_else(|| traps_undo(definitions, new, now)).into_iter().collect()
}

/// A freeze that has ended, or that excepts every stage, stops nothing.
fn idle(definitions: &Definitions, new: &Freeze, now: Timestamp) -> Option<Warning> {
    let idle = |path: &str, detail: String| {
        let summary = "This freeze stops nothing".to_owned();
        Some(Warning { change: 0, path: path.to_owned(), summary, detail })
    };
    if !new.runs_at(now) && new.begins_after(now).is_none() {
        let end = match new.until {
            Some(until) if until <= now => format!("it ended at {until}"),
            Some(until) => format!("no occurrence of its window begins before {until}"),
            None => "its window has no further occurrence".to_owned(),
        };
        return idle("until", format!("Freeze {} does not run again: {end}.", new.name));
    }
    let mut stages = definitions.stages.keys();
    if !definitions.stages.is_empty() && !stages.any(|stage| new.concerns(stage)) {
        let detail = format!("Freeze {} excepts every stage of the project.", new.name);
        return idle("except.stages", detail);
    }
    None
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
