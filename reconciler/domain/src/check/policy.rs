//! Checks of promotion policies.

use std::collections::BTreeSet;

use super::{Problem, ProblemKind};
use crate::policy::{GateKind, Mode, Policy};

/// Checks a policy by itself.
#[must_use]
pub fn check_policy(policy: &Policy) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |path: &str, kind, message: String| {
        problems.push(Problem { path: path.to_owned(), kind, message });
    };
    if policy.stages.is_empty() {
        let message = "a policy selects at least one stage, by name or glob".to_owned();
        add("stages.names", ProblemKind::Missing, message);
    }
    for (at, pattern) in policy.stages.iter().enumerate() {
        if let Err(error) = globset::Glob::new(pattern) {
            add(&format!("stages.names[{at}]"), ProblemKind::Glob, error.to_string());
        }
    }
    if policy.mode == Mode::Automatic && policy.has_gates() {
        let message = "a policy of mode automatic has no gates; use mode gated to let automation \
                       promote once every gate passes"
            .to_owned();
        add("mode", ProblemKind::Conflict, message);
    }
    check_approvals(policy, &mut problems);
    check_bypass(policy, &mut problems);
    problems
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
