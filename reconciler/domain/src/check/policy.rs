//! Checks of promotion policies.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::inquiry::check_inquiries;
use super::{Problem, ProblemKind, Surroundings, expression, unknown};
use crate::duration;
use crate::glob::Glob;
use crate::infra::plan_names;
use crate::policy::{GateKind, Mode, Policy, RATE_MAX, Rate};
use crate::scope::condition_names;
use crate::window::{Action, NextChange, Schedule, Window};

/// Checks a policy, and its conditions against each stage that it selects.
#[must_use]
pub fn check_policy(policy: &Policy, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |path: &str, kind, message: String| {
        problems.push(Problem { path: path.to_owned(), kind, message });
    };
    if policy.stages.is_empty() {
        let message = "a policy selects at least one stage, by name or glob".to_owned();
        add("stages.names", ProblemKind::Missing, message);
    }
    for (at, pattern) in policy.stages.iter().enumerate() {
        if let Err(error) = Glob::of_names(pattern) {
            add(&format!("stages.names[{at}]"), ProblemKind::Glob, error.to_string());
        }
    }
    if policy.mode == Mode::Automatic && policy.has_gates() {
        let message = "a policy of mode automatic has no gates; use mode gated to let automation \
                       promote once every gate passes"
            .to_owned();
        add("mode", ProblemKind::Conflict, message);
    }
    check_age(policy, &mut problems);
    check_waits(policy, &mut problems);
    check_soaks(policy, around, &mut problems);
    check_conditions(policy, around, &mut problems);
    problems.extend(check_windows(&policy.windows));
    for (at, rate) in policy.rates.iter().enumerate() {
        check_rate(&policy.rates[..at], rate, &format!("rates[{at}]"), &mut problems);
    }
    check_inquiries(policy, around, &mut problems);
    check_infra(policy, &mut problems);
    check_approvals(policy, &mut problems);
    check_bypass(policy, &mut problems);
    problems
}

/// Freight is made before it soaks: it may not be too old before it has soaked.
fn check_age(policy: &Policy, problems: &mut Vec<Problem>) {
    let (Some(max_age), Some(soak)) = (policy.max_age, policy.least_soak()) else { return };
    if soak < max_age {
        return;
    }
    let message = format!(
        "freight soaks for {soak} after it was made, and is then older than {max_age}: nothing is \
         ever promoted; let max_age be longer than the soak",
        soak = duration::print(soak),
        max_age = duration::print(max_age),
    );
    problems.push(Problem::new("max_age", ProblemKind::Never, message));
}

/// Nothing is prepared, judged and begun in no time.
fn check_waits(policy: &Policy, problems: &mut Vec<Problem>) {
    let waits = [("max_wait", policy.max_wait), ("max_undo_wait", policy.max_undo_wait)];
    for (path, _) in waits.iter().filter(|(_, wait)| *wait == Some(Duration::ZERO)) {
        let message = "no promotion comes to its end in no time; leave it out for 30 days";
        problems.push(Problem::new(*path, ProblemKind::Never, message));
    }
}

/// A soak that is asked in a stage that is not there would be asked nowhere.
fn check_soaks(policy: &Policy, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    let known: Vec<&str> = around.stages.keys().map(|name| name.as_str()).collect();
    for stage in policy.soak_in.keys() {
        unknown("stage", stage.as_str(), &known, format!("soak_in.{stage}"), problems);
    }
}

fn check_conditions(policy: &Policy, around: &Surroundings<'_>, problems: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    for (at, condition) in policy.conditions.iter().enumerate() {
        let path = format!("conditions[{at}]");
        if !names.insert(&condition.name) {
            let message = format!("two conditions are named {:?}", condition.name);
            problems.push(Problem::new(format!("{path}.name"), ProblemKind::Duplicate, message));
        }
        for (name, stage) in around.stages.iter().filter(|(name, _)| policy.selects(name)) {
            let known = condition_names(stage, &around.warehouses);
            let mut found = Vec::new();
            expression(condition.when.source(), &known, &format!("{path}.when"), &mut found);
            problems.extend(found.into_iter().map(|problem| Problem {
                message: format!("for stage {name}: {}", problem.message),
                ..problem
            }));
        }
    }
}

/// Checks the windows of one policy: their names, and that they open at all. Each action is judged
/// for whoever no window exempts.
#[must_use]
pub fn check_windows(windows: &[Window]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (at, window) in windows.iter().enumerate() {
        if !names.insert(window.name()) {
            let message = format!("two windows are named {:?}", window.name());
            problems.push(Problem::new(
                format!("windows[{at}].name"),
                ProblemKind::Duplicate,
                message,
            ));
        }
    }
    for action in [Action::Promote, Action::Rollback, Action::Bypass] {
        problems.extend(never_opens(windows, action));
    }
    problems
}

fn never_opens(windows: &[Window], action: Action) -> Option<Problem> {
    let schedule = Schedule::of([windows], action, &BTreeSet::new());
    let from = reference(windows);
    let scanned = match schedule.next_opening(from) {
        NextChange::At(_) => return None,
        NextChange::NotBefore(end) => format!("not once from {from} to {end}"),
        NextChange::Never => "not once".to_owned(),
    };
    let closing = schedule.closed_by(from);
    let at = windows.iter().position(|window| closing.iter().any(|c| c.name() == window.name()));
    let names: Vec<&str> = closing.iter().map(|window| window.name()).collect();
    Some(Problem::new(
        format!("windows[{}]", at.unwrap_or(0)),
        ProblemKind::Never,
        format!(
            "the windows never open for {}: {scanned}; at {from} they are closed by {}",
            action.name(),
            names.join(", "),
        ),
    ))
}

/// An instant at which every window has begun; the same whenever it is asked.
fn reference(windows: &[Window]) -> Timestamp {
    let begun = Timestamp::constant(1_767_225_600, 0);
    let starts = windows.iter().filter_map(Window::starts_at);
    starts.fold(begun, Timestamp::max)
}

fn check_rate(before: &[Rate], rate: &Rate, path: &str, problems: &mut Vec<Problem>) {
    let mut add = |field: &str, kind, message: String| {
        problems.push(Problem::new(format!("{path}{field}"), kind, message));
    };
    if before.iter().any(|other| other.name == rate.name) {
        let message = format!("two rates are named {:?}", rate.name);
        add(".name", ProblemKind::Duplicate, message);
    }
    if rate.most.is_none() && rate.cooldown.is_none() && rate.concurrent.is_none() {
        let message = "a rate sets max and per, cooldown, or concurrent".to_owned();
        add("", ProblemKind::Missing, message);
    }
    if let Some(most) = rate.most {
        if !(1..=RATE_MAX).contains(&most.count) {
            let message = format!("a number from 1 to {RATE_MAX}; a hold stops everything");
            add(".max", ProblemKind::Invalid, message);
        }
        if most.per.is_zero() {
            add(".per", ProblemKind::Invalid, "longer than 0s".to_owned());
        }
    }
    if rate.concurrent == Some(0) {
        let message = "at least 1; a hold stops everything".to_owned();
        add(".concurrent", ProblemKind::Invalid, message);
    }
}

fn check_infra(policy: &Policy, problems: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    for (at, rule) in policy.infra.iter().flat_map(|infra| &infra.rules).enumerate() {
        let path = format!("infra.rules[{at}]");
        if !names.insert(&rule.name) {
            let message = format!("two infra rules are named {:?}", rule.name);
            problems.push(Problem::new(format!("{path}.name"), ProblemKind::Duplicate, message));
        }
        expression(rule.when.source(), &plan_names(), &format!("{path}.when"), problems);
    }
}

fn check_approvals(policy: &Policy, problems: &mut Vec<Problem>) {
    let mut add = |path: &str, kind, message: String| {
        problems.push(Problem { path: path.to_owned(), kind, message });
    };
    let mut groups = BTreeSet::new();
    for (at, approvals) in policy.approvals.iter().enumerate() {
        if !groups.insert(&approvals.group) {
            let message = format!("group {:?} is asked twice", approvals.group);
            add(&format!("approvals[{at}].group"), ProblemKind::Duplicate, message);
        }
        if approvals.group.is_empty() {
            let message = "the name of a group".to_owned();
            add(&format!("approvals[{at}].group"), ProblemKind::Missing, message);
        }
        if approvals.count == 0 {
            let message = "at least one approval, or no gate at all".to_owned();
            add(&format!("approvals[{at}].count"), ProblemKind::Invalid, message);
        }
    }
}

fn check_bypass(policy: &Policy, problems: &mut Vec<Problem>) {
    let mut add = |path: &str, kind, message: String| {
        problems.push(Problem { path: path.to_owned(), kind, message });
    };
    let mut names = BTreeSet::new();
    for (at, bypass) in policy.bypass.iter().enumerate() {
        if !names.insert(&bypass.name) {
            let message = format!("two bypass rights are named {:?}", bypass.name);
            add(&format!("bypass[{at}].name"), ProblemKind::Duplicate, message);
        }
        for gate in &bypass.gates {
            if GateKind::bypassable(gate.name()).is_none() {
                let message = format!("gate {} cannot be skipped by right", gate.name());
                add(&format!("bypass[{at}].gates"), ProblemKind::Invalid, message);
            }
        }
        if bypass.groups.is_empty() || bypass.gates.is_empty() {
            let message = "a bypass right names groups and gates".to_owned();
            add(&format!("bypass[{at}]"), ProblemKind::Missing, message);
        }
    }
}
