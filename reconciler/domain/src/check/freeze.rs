//! Checks of freezes.

use super::{Problem, ProblemKind};
use crate::freeze::{Freeze, Reach};
use crate::glob::Glob;

/// Checks a freeze: that it says why, and that it can run.
#[must_use]
pub fn check_freeze(freeze: &Freeze) -> Vec<Problem> {
    let mut problems = Vec::new();
    if freeze.reason.trim().is_empty() {
        let message = "a freeze says why, to whoever it stops";
        problems.push(Problem::new("reason", ProblemKind::Missing, message));
    }
    if let (Some(from), Some(until)) = (freeze.from, freeze.until)
        && until <= from
    {
        let message = "it is not after `from`: the freeze would never run";
        problems.push(Problem::new("until", ProblemKind::Never, message));
    }
    if freeze.actions.is_empty() {
        let message = "a freeze is about at least one of promote, rollback, bypass";
        problems.push(Problem::new("actions", ProblemKind::Missing, message));
    }
    if freeze.reach == Reach::Project && !freeze.except.projects.is_empty() {
        let message = "only a freeze of the whole instance has projects to except";
        problems.push(Problem::new("except.projects", ProblemKind::Invalid, message));
    }
    let globs = [("projects", &freeze.except.projects), ("stages", &freeze.except.stages)];
    for (field, patterns) in globs {
        for (at, pattern) in patterns.iter().enumerate() {
            if let Err(error) = Glob::of_names(pattern) {
                let path = format!("except.{field}[{at}]");
                problems.push(Problem::new(path, ProblemKind::Glob, error.to_string()));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::freeze::{Exceptions, actions_default};

    #[test]
    fn a_freeze_must_be_able_to_stop_something() {
        let whole = Freeze {
            name: "audit".parse().expect("a name"),
            reach: Reach::Project,
            reason: "books close".to_owned(),
            from: "2026-12-20T00:00:00Z".parse().ok(),
            until: "2027-01-02T00:00:00Z".parse().ok(),
            window: None,
            actions: actions_default(),
            except: Exceptions::default(),
        };
        assert_eq!(check_freeze(&whole), []);
        let broken = || vec!["dev[".to_owned()];
        let except = Exceptions { stages: broken(), projects: broken(), ..Exceptions::default() };
        let odd = Freeze {
            reason: " ".to_owned(),
            until: whole.from,
            actions: BTreeSet::new(),
            except,
            ..whole
        };
        let told: Vec<String> = check_freeze(&odd).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(told[0], "reason: a freeze says why, to whoever it stops");
        assert_eq!(told[1], "until: it is not after `from`: the freeze would never run");
        assert!(told[2].starts_with("actions: a freeze is about"), "{told:?}");
        assert!(told[3].starts_with("except.projects: only a freeze of the whole"), "{told:?}");
        assert!(told[4].starts_with("except.projects[0]: not a glob"), "{told:?}");
        assert!(told[5].starts_with("except.stages[0]: not a glob"), "{told:?}");
        let except = Exceptions { projects: vec!["lab-*".to_owned()], ..Exceptions::default() };
        let instance = Freeze { reach: Reach::Instance, reason: "x".to_owned(), except, ..odd };
        let told: Vec<String> = check_freeze(&instance).iter().map(ToString::to_string).collect();
        assert!(!told.iter().any(|problem| problem.contains("projects")), "{told:?}");
    }
}
