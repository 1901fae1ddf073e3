//! Gates that cannot fail, or cannot pass, whatever is promoted.

use super::Warning;
use crate::duration;
use crate::expression::{Expression, Scope};
use crate::policy::Policy;
use crate::verification::{Check, Verification};

/// Conditions, infra rules, tickets and attestations of a policy that look at nothing.
pub(super) fn of_policy(new: &Policy) -> Vec<Warning> {
    let conditions = new.conditions.iter().enumerate().map(|(at, condition)| {
        let what = format!("Condition {} of policy {}", condition.name, new.name);
        (format!("conditions[{at}].when"), what, &condition.when)
    });
    let rules = new.infra.iter().flat_map(|infra| &infra.rules).enumerate().map(|(at, rule)| {
        let what = format!("Infra rule {} of policy {}", rule.name, new.name);
        (format!("infra.rules[{at}].when"), what, &rule.when)
    });
    let tickets = new.tickets.iter().enumerate().map(|(at, ticket)| {
        let what = format!("Ticket {} of policy {}", ticket.name, new.name);
        (format!("tickets[{at}].success"), what, &ticket.success)
    });
    let attestations = new.attestations.iter().enumerate().map(|(at, attestation)| {
        let what = format!("Attestation {} of policy {}", attestation.name, new.name);
        (format!("attestations[{at}].success"), what, &attestation.success)
    });
    let asked: Vec<_> = tickets.chain(attestations).collect();
    let deaf = asked.iter().filter_map(|(path, what, when)| deaf(path, what, when));
    let all = conditions.chain(rules).chain(asked.iter().cloned());
    all.filter_map(|(path, what, when)| constant(path, &what, when)).chain(deaf).collect()
}

/// A condition on an answer that looks at something, but not at the answer.
fn deaf(path: &str, what: &str, expression: &Expression) -> Option<Warning> {
    let references = expression.references();
    let hears = |root| references.iter().any(|reference| reference.root() == root);
    if references.is_empty() || hears("response") || hears("payload") {
        return None;
    }
    Some(Warning {
        change: 0,
        path: path.to_owned(),
        summary: "This gate does not listen".to_owned(),
        detail: format!(
            "{what} asks, but `{}` does not look at the answer: whatever it is, the gate says the same.",
            expression.source()
        ),
    })
}

/// Checks of a verification that look at nothing, or that may fail more often than they are made.
pub(super) fn of_verification(new: &Verification) -> Vec<Warning> {
    let (mut http, mut prometheus) = (0, 0);
    let mut warnings = Vec::new();
    for (name, check) in &new.checks {
        let (kind, at) = match check {
            Check::Http(_) => ("http", &mut http),
            Check::Prometheus(_) => ("prometheus", &mut prometheus),
        };
        let path = format!("{kind}[{at}].success");
        *at += 1;
        let what = format!("Check {name} of verification {}", new.name);
        let success = Expression::parse(check.success());
        warnings.extend(success.ok().and_then(|success| constant(path, &what, &success)));
    }
    warnings.extend(never_fails(new));
    warnings
}

/// An expression that names nothing gives the same for everything.
fn constant(path: String, what: &str, expression: &Expression) -> Option<Warning> {
    if !expression.references().is_empty() {
        return None;
    }
    let (summary, never) = match expression.holds(&Scope::new()).ok()? {
        true => ("This gate lets everything through", "never fail"),
        false => ("This gate lets nothing through", "never pass"),
    };
    let detail = format!(
        "{what} can {never}: `{}` looks at nothing that could change it.",
        expression.source()
    );
    Some(Warning { change: 0, path, summary: summary.to_owned(), detail })
}

/// A check fails with one failure more than it may have. Where there is no time for so many, it can only be
/// undecided.
fn never_fails(new: &Verification) -> Option<Warning> {
    let time = new.deadline.checked_sub(new.initial_delay)?;
    let made = time.as_nanos().checked_div(new.interval.as_nanos())?.saturating_add(1);
    if u128::from(new.failure_limit) < made {
        return None;
    }
    Some(Warning {
        change: 0,
        path: "failure_limit".to_owned(),
        summary: "This verification cannot fail".to_owned(),
        detail: format!(
            "A check of verification {} fails with failure {}, but every {} there are only {made} \
             measurements before its deadline of {}: what is bad ends as unknown.",
            new.name,
            u64::from(new.failure_limit) + 1,
            duration::print(new.interval),
            duration::print(new.deadline),
        ),
    })
}
