//! Groups that nobody is in, and windows that bind fewer than they seem to.

use std::collections::BTreeSet;

use super::Warning;
use crate::freeze::Freeze;
use crate::policy::Policy;
use crate::preview::People;
use crate::window::{Action, Window, WindowKind};

/// Groups of windows and bypasses that no token has: a name that is misspelt matches nobody.
pub(super) fn of_policy(new: &Policy, people: &People) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (at, window) in new.windows.iter().enumerate() {
        let spec = window.spec();
        let of = format!("window {} of policy {}", window.name(), new.name);
        let idle = match spec.kind {
            WindowKind::Allow => "it opens nothing for that group",
            WindowKind::Deny => "it stops nobody of that group",
        };
        let about = format!("{of} is about group");
        warnings.extend(unknown(
            &spec.groups,
            people,
            &format!("windows[{at}].groups"),
            &about,
            idle,
        ));
        let (exempts, idle) = (format!("{of} exempts group"), "nobody is exempt by it");
        let path = format!("windows[{at}].exempt");
        warnings.extend(unknown(&spec.exempt, people, &path, &exempts, idle));
    }
    for (at, bypass) in new.bypass.iter().enumerate() {
        let gives = format!("bypass {} of policy {} is a right of group", bypass.name, new.name);
        let path = format!("bypass[{at}].groups");
        warnings.extend(unknown(&bypass.groups, people, &path, &gives, "nobody has it by that"));
    }
    warnings
}

/// Groups that a freeze excepts and that no token has.
pub(super) fn of_freeze(new: &Freeze, people: &People) -> Vec<Warning> {
    let excepts = format!("freeze {} excepts group", new.name);
    unknown(&new.except.groups, people, "except.groups", &excepts, "nobody is excepted by that")
}

fn unknown(
    groups: &BTreeSet<String>,
    people: &People,
    path: &str,
    subject: &str,
    then: &str,
) -> Vec<Warning> {
    let unknown = groups.iter().filter(|group| people.of_group(group) == 0);
    let warning = |group: &String| Warning {
        change: 0,
        path: path.to_owned(),
        summary: "Nobody is in this group".to_owned(),
        detail: format!(
            "{} {group}, but nobody has a token with that group: {then}.",
            capital(subject)
        ),
    };
    unknown.map(warning).collect()
}

/// Allow windows that are all limited to groups bind those groups alone.
pub(super) fn unbound(new: &Policy) -> Option<Warning> {
    let allowing = |action: Action| {
        let opens = move |window: &&Window| {
            window.spec().kind == WindowKind::Allow && window.spec().actions.contains(&action)
        };
        new.windows.iter().filter(opens)
    };
    let is_unbound = |action: &Action| {
        allowing(*action).next().is_some()
            && allowing(*action).all(|window| !window.spec().groups.is_empty())
    };
    let actions = [Action::Promote, Action::Rollback, Action::Bypass];
    let actions: Vec<Action> = actions.into_iter().filter(is_unbound).collect();
    let first = allowing(*actions.first()?).next()?;
    let at = new.windows.iter().position(|window| window == first)?;
    let groups = actions.iter().flat_map(|action| allowing(*action));
    let groups: BTreeSet<&str> =
        groups.flat_map(|window| &window.spec().groups).map(String::as_str).collect();
    let groups: Vec<&str> = groups.into_iter().collect();
    let actions: Vec<&str> = actions.into_iter().map(Action::name).collect();
    Some(Warning {
        change: 0,
        path: format!("windows[{at}].groups"),
        summary: "These windows do not bind everybody".to_owned(),
        detail: format!(
            "Every allow window of policy {} about {} is limited to groups ({}): no allow window \
             binds whoever is in none of them, automation among them. One without groups says when \
             it is open for everybody else.",
            new.name,
            actions.join(", "),
            groups.join(", "),
        ),
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
