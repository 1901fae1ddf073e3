//! Checks of verification templates.

use super::{Problem, ProblemKind, expression};
use crate::duration;
use crate::expression::{Names, Shape};
use crate::template::Template;
use crate::verification::{Check, Verification};

/// Checks a verification template by itself.
#[must_use]
pub fn check_verification(verification: &Verification) -> Vec<Problem> {
    let mut problems = Vec::new();
    if verification.checks.is_empty() {
        let message = "a verification needs at least one check".to_owned();
        problems.push(Problem { path: String::new(), kind: ProblemKind::Missing, message });
    }
    for (place, check) in places(verification) {
        let names = match check {
            Check::Http(_) => response_names(),
            Check::Prometheus(_) => result_names(),
        };
        expression(check.success(), &names, &format!("{place}.success"), &mut problems);
    }
    for (path, text) in texts(verification) {
        if let Err(error) = Template::parse(text) {
            problems.push(Problem::new(path, ProblemKind::Expression, error.to_string()));
        }
    }
    check_times(verification, &mut problems);
    problems
}

/// A series of measurements that can end in time, and that is evidence.
fn check_times(verification: &Verification, problems: &mut Vec<Problem>) {
    if verification.count == 0 {
        let message = "at least one measurement: without any there is no evidence";
        problems.push(Problem::new("count", ProblemKind::Invalid, message));
    }
    if verification.interval.is_zero() {
        let message = "measurements would follow each other without a pause";
        problems.push(Problem::new("interval", ProblemKind::Invalid, message));
    }
    let pauses = verification.interval.saturating_mul(verification.count.saturating_sub(1));
    let needed = verification.initial_delay.saturating_add(pauses);
    if needed >= verification.deadline {
        let message = format!(
            "{} measurements need {}, so the deadline of {} passes before the last of them",
            verification.count,
            duration::print(needed),
            duration::print(verification.deadline),
        );
        problems.push(Problem::new("deadline", ProblemKind::Invalid, message));
    }
}

/// Names that the condition on an HTTP answer may use.
#[must_use]
pub fn response_names() -> Names {
    let response = Shape::object([
        ("status", Shape::Scalar),
        ("headers", Shape::open::<String>([])),
        ("body", Shape::Scalar),
        ("json", Shape::Any),
    ]);
    Names::new().name("response", response)
}

/// Names that the condition on a query's result may use.
#[must_use]
pub fn result_names() -> Names {
    let sample = Shape::object([("value", Shape::Scalar), ("labels", Shape::open::<String>([]))]);
    let result = Shape::object([("value", Shape::Scalar), ("samples", Shape::list(sample))]);
    Names::new().name("result", result)
}

/// The templates of a verification, each with its path.
pub(super) fn texts(verification: &Verification) -> Vec<(String, &str)> {
    let mut texts = Vec::new();
    for (path, check) in places(verification) {
        match check {
            Check::Http(http) => {
                texts.push((format!("{path}.url"), http.url.as_str()));
                for (header, value) in &http.headers {
                    texts.push((format!("{path}.headers.{header}"), value.as_str()));
                }
                texts.extend(http.body.as_deref().map(|body| (format!("{path}.body"), body)));
            }
            Check::Prometheus(query) => {
                texts.push((format!("{path}.address"), query.address.as_str()));
                texts.push((format!("{path}.query"), query.query.as_str()));
            }
        }
    }
    texts
}

/// Every check with its place among those of its kind, such as `http[0]`.
fn places(verification: &Verification) -> Vec<(String, &Check)> {
    let mut places = Vec::with_capacity(verification.checks.len());
    let (mut http, mut prometheus) = (0, 0);
    for check in verification.checks.values() {
        let (kind, at) = match check {
            Check::Http(_) => ("http", &mut http),
            Check::Prometheus(_) => ("prometheus", &mut prometheus),
        };
        places.push((format!("{kind}[{at}]"), check));
        *at += 1;
    }
    places
}
