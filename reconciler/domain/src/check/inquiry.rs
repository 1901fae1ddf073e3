//! Checks of tickets and attestations.

use std::time::Duration;

use serde_json::Value;

use super::secret::check_sent;
use super::stage::check_texts;
use super::verification::response_names;
use super::{Problem, ProblemKind, Surroundings, expression};
use crate::duration;
use crate::expression::{Expression, Names, Shape};
use crate::id::{StageName, SubscriptionName};
use crate::inquiry::{
    EVERY_LEAST, EVERY_MOST, INQUIRIES_MAX, Origin, TIMEOUT_MOST, WebRequest, repeated,
};
use crate::policy::Policy;
use crate::scope::inquiry_names;
use crate::secret::with_secret;
use crate::stage::Stage;
use crate::template::Template;
use crate::warehouse::Source;

/// What the conditions of an attestation may name beside what its promotion is.
fn payload_names() -> Names {
    Names::new().name("payload", Shape::Any)
}

pub(super) fn check_inquiries(
    policy: &Policy,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    let tickets = policy.tickets.iter().map(|it| it.name.as_str());
    check_named("tickets", tickets, problems);
    for (at, ticket) in policy.tickets.iter().enumerate() {
        let path = format!("tickets[{at}]");
        check_pace(&path, ticket.every, ticket.request.timeout, problems);
        check_request(policy, &ticket.request, &path, around, problems);
        let conditions = [("success", Some(&ticket.success)), ("failure", ticket.failure.as_ref())];
        for (field, condition) in conditions {
            let path = format!("{path}.{field}");
            check_condition(policy, condition, &response_names(), &path, around, problems);
        }
    }
    let attestations = policy.attestations.iter().map(|it| it.name.as_str());
    check_named("attestations", attestations, problems);
    for (at, attestation) in policy.attestations.iter().enumerate() {
        let path = format!("attestations[{at}]");
        let timeout = match &attestation.origin {
            Origin::Web(request) => {
                check_request(policy, request, &path, around, problems);
                request.timeout
            }
            Origin::Referrer { artifact, kind, timeout, .. } => {
                if kind.is_empty() {
                    let message = "the artifact type, or the type of the predicate";
                    problems.push(Problem::new(
                        format!("{path}.type"),
                        ProblemKind::Missing,
                        message,
                    ));
                }
                check_artifact(policy, artifact, &format!("{path}.artifact"), around, problems);
                *timeout
            }
        };
        check_pace(&path, attestation.every, timeout, problems);
        let (success, path) = (Some(&attestation.success), format!("{path}.success"));
        check_condition(policy, success, &payload_names(), &path, around, problems);
    }
}

fn check_named<'a>(
    what: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    problems: &mut Vec<Problem>,
) {
    for (at, _) in names.clone().enumerate().filter(|(_, name)| name.is_empty()) {
        let message = format!("a name that no other of the {what} of the policy has");
        problems.push(Problem::new(format!("{what}[{at}].name"), ProblemKind::Missing, message));
    }
    for (at, name) in repeated(names.clone()) {
        let message = format!("two {what} are named {name:?}");
        problems.push(Problem::new(format!("{what}[{at}].name"), ProblemKind::Duplicate, message));
    }
    if names.count() > INQUIRIES_MAX {
        let message = format!("at most {INQUIRIES_MAX} in one policy");
        problems.push(Problem::new(what, ProblemKind::Invalid, message));
    }
}

fn check_pace(path: &str, every: Duration, timeout: Duration, problems: &mut Vec<Problem>) {
    if !(EVERY_LEAST..=EVERY_MOST).contains(&every) {
        let (least, most) = (duration::print(EVERY_LEAST), duration::print(EVERY_MOST));
        let message = format!("between {least} and {most}");
        problems.push(Problem::new(format!("{path}.every"), ProblemKind::Invalid, message));
    }
    if timeout.is_zero() || timeout > TIMEOUT_MOST {
        let message = format!("longer than 0s, at most {}", duration::print(TIMEOUT_MOST));
        problems.push(Problem::new(format!("{path}.timeout"), ProblemKind::Invalid, message));
    }
}

/// The stages that the policy selects.
fn selected<'a>(
    policy: &'a Policy,
    around: &'a Surroundings<'_>,
) -> impl Iterator<Item = (&'a StageName, &'a Stage)> {
    let stages = around.stages.iter().filter(|(name, _)| policy.selects(name));
    stages.map(|(name, stage)| (*name, *stage))
}

/// Problems for one of the stages, said once for each.
fn for_stage(name: &StageName, found: Vec<Problem>, problems: &mut Vec<Problem>) {
    problems.extend(found.into_iter().map(|problem| Problem {
        message: format!("for stage {name}: {}", problem.message),
        ..problem
    }));
}

fn check_request(
    policy: &Policy,
    request: &WebRequest,
    path: &str,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    if !is_method(&request.method) {
        let message = format!("{:?} is no HTTP method", request.method);
        problems.push(Problem::new(format!("{path}.method"), ProblemKind::Invalid, message));
    }
    let headers = request.headers.iter();
    let headers = headers.map(|(name, text)| (format!("{path}.headers.{name}"), text));
    let url = [(format!("{path}.url"), &request.url)];
    let body = request.body.iter().map(|body| (format!("{path}.body"), body));
    for (path, text) in url.into_iter().chain(headers).chain(body) {
        if let Err(error) = Template::parse(text) {
            problems.push(Problem::new(path, ProblemKind::Expression, error.to_string()));
            continue;
        }
        let text = Value::from(text.as_str());
        check_sent(Some(&request.url), &text, &path, around, problems);
        for (name, stage) in selected(policy, around) {
            let mut found = Vec::new();
            let names = with_secret(&inquiry_names(stage, &around.warehouses));
            check_texts(&text, &path, &names, &mut found);
            for_stage(name, found, problems);
        }
    }
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn check_condition(
    policy: &Policy,
    condition: Option<&Expression>,
    answer: &Names,
    path: &str,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    let Some(condition) = condition else { return };
    for (name, stage) in selected(policy, around) {
        let mut found = Vec::new();
        let names = inquiry_names(stage, &around.warehouses).and(answer);
        expression(condition.source(), &names, path, &mut found);
        for_stage(name, found, problems);
    }
}

/// An attestation is about an image of one of the warehouses that the stage requests.
fn check_artifact(
    policy: &Policy,
    artifact: &SubscriptionName,
    path: &str,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    for (name, stage) in selected(policy, around) {
        let warehouses =
            stage.requests.iter().filter_map(|it| around.warehouses.get(&it.warehouse));
        let sources: Vec<&Source> =
            warehouses.filter_map(|warehouse| warehouse.subscriptions.get(artifact)).collect();
        let (kind, message) = match sources.as_slice() {
            [Source::Image(_)] => continue,
            [Source::Git(_)] => (ProblemKind::Invalid, format!("{artifact} is no image")),
            [] => (
                ProblemKind::Unknown,
                format!("no warehouse that it requests has a subscription {artifact}"),
            ),
            _ => (
                ProblemKind::Conflict,
                format!("several warehouses that it requests have a subscription {artifact}"),
            ),
        };
        for_stage(name, vec![Problem::new(path, kind, message)], problems);
    }
}
