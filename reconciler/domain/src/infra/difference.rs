//! What a plan that was made again would do otherwise than the one before it.

use std::collections::BTreeMap;

use super::{Action, Address, PlanSummary, PlannedChange};

/// Differences that are told one by one; of more only the number is.
const TOLD_MAX: usize = 10;

/// How what `after` would do differs from what `before` would have done, a clause for each address, such as
/// "would delete `db.main`". Empty where nothing that may be shown differs.
#[must_use]
pub fn difference(before: &PlanSummary, after: &PlanSummary) -> Vec<String> {
    let (was, is) = (by_place(before), by_place(after));
    let mut told = Vec::new();
    for (place, change) in &is {
        match was.get(place) {
            None => told.push(would(change)),
            Some(old) if old.action != change.action => {
                let instead = gerund(old.action);
                told.push(format!("{} instead of {instead} it", would(change)));
            }
            Some(old) if old != change => told.push(otherwise(old, change)),
            Some(_) => {}
        }
    }
    for (place, old) in &was {
        if !is.contains_key(place) {
            told.push(format!("would no longer {} `{}`", verb(old.action), old.address));
        }
    }
    let names = before.outputs.keys().chain(after.outputs.keys());
    let mut names: Vec<&String> =
        names.filter(|name| before.outputs.get(*name) != after.outputs.get(*name)).collect();
    names.sort();
    names.dedup();
    told.extend(names.into_iter().map(|name| format!("output `{name}` would be another")));
    let more = told.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        told.truncate(TOLD_MAX);
        told.push(format!("and {more} more"));
    }
    told
}

/// Changes by where they are; an address may also have deposed objects.
fn by_place(summary: &PlanSummary) -> BTreeMap<(&Address, Option<&str>), &PlannedChange> {
    let changes = summary.changes.iter();
    changes.map(|change| ((&change.address, change.deposed.as_deref()), change)).collect()
}

fn would(change: &PlannedChange) -> String {
    format!("would {} `{}`", verb(change.action), change.address)
}

/// The same is done at an address, but not in the same way.
fn otherwise(old: &PlannedChange, new: &PlannedChange) -> String {
    let differ = |name: &str| {
        let of = |change: &PlannedChange| {
            change.attributes.iter().find(|attribute| attribute.name == name).cloned()
        };
        of(old) != of(new)
    };
    let attributes = old.attributes.iter().chain(&new.attributes);
    let mut names: Vec<&str> = attributes.map(|attribute| attribute.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| differ(name));
    let verb = verb(new.action);
    match names.as_slice() {
        [] => format!("would {verb} `{}` otherwise", new.address),
        names => format!("would {verb} `{}` otherwise ({})", new.address, names.join(", ")),
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::NoOp => "move",
        Action::Read => "read",
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Forget => "forget",
    }
}

fn gerund(action: Action) -> &'static str {
    match action {
        Action::NoOp => "moving",
        Action::Read => "reading",
        Action::Create => "creating",
        Action::Update => "updating",
        Action::Replace => "replacing",
        Action::Delete => "deleting",
        Action::Forget => "forgetting",
    }
}
