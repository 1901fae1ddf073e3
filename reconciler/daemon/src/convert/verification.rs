//! Verifications.

use std::time::Duration;

use indexmap::IndexMap;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, VerificationSpec};
use reconciler_domain::duration;
use reconciler_domain::id::VerificationName;
use reconciler_domain::verification::{Check, HttpCheck, PrometheusCheck, Verification};

use super::Fields;

/// Time that a Prometheus query may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a verification.
pub(crate) fn parse_verification(
    name: VerificationName,
    spec: &VerificationSpec,
) -> Result<Verification, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let initial_delay = fields.duration("initial_delay", &spec.initial_delay);
    let interval = fields.duration("interval", &spec.interval);
    let deadline = fields.duration("deadline", &spec.deadline);
    if spec.count == 0 {
        fields.add("count", FieldCode::OutOfBounds, "at least one measurement must pass");
    }
    let mut checks = IndexMap::new();
    for (at, check) in spec.http.iter().enumerate() {
        let path = format!("http[{at}]");
        let parsed = parse_http(&mut fields, &path, check);
        insert(&mut fields, &mut checks, &path, &check.name, parsed.map(Check::Http));
    }
    for (at, check) in spec.prometheus.iter().enumerate() {
        let path = format!("prometheus[{at}]");
        fields.http_url(&format!("{path}.address"), &check.address);
        let parsed = PrometheusCheck {
            address: check.address.clone(),
            query: check.query.clone(),
            timeout: QUERY_TIMEOUT,
            success: check.success.clone(),
        };
        insert(&mut fields, &mut checks, &path, &check.name, Some(Check::Prometheus(parsed)));
    }
    let verification = (|| {
        Some(Verification {
            name,
            description: spec.description.clone(),
            initial_delay: initial_delay?,
            interval: interval?,
            count: spec.count,
            failure_limit: spec.failure_limit,
            deadline: deadline?,
            checks,
        })
    })();
    fields.finish(verification)
}

fn insert(
    fields: &mut Fields,
    checks: &mut IndexMap<String, Check>,
    path: &str,
    name: &str,
    check: Option<Check>,
) {
    let path = format!("{path}.name");
    if name.is_empty() {
        fields.add(&path, FieldCode::Missing, "name the check");
    } else if checks.contains_key(name) {
        fields.add(&path, FieldCode::Duplicate, format!("two checks are named {name:?}"));
    } else if let Some(check) = check {
        checks.insert(name.to_owned(), check);
    }
}

fn parse_http(fields: &mut Fields, path: &str, check: &v1::HttpCheck) -> Option<HttpCheck> {
    fields.http_url(&format!("{path}.url"), &check.url);
    let known = v1::HttpCheck::METHODS;
    if !known.contains(&check.method.as_str()) {
        let message = format!("{:?} is not allowed; use one of {}", check.method, known.join(", "));
        fields.add(&format!("{path}.method"), FieldCode::Invalid, message);
    }
    let timeout = fields.duration(&format!("{path}.timeout"), &check.timeout)?;
    Some(HttpCheck {
        url: check.url.clone(),
        method: check.method.clone(),
        headers: check.headers.clone(),
        body: check.body.clone(),
        timeout,
        success: check.success.clone(),
    })
}

/// Says a verification on the wire.
pub(crate) fn verification_spec(verification: &Verification) -> VerificationSpec {
    let mut spec = VerificationSpec {
        description: verification.description.clone(),
        initial_delay: duration::print(verification.initial_delay),
        interval: duration::print(verification.interval),
        count: verification.count,
        failure_limit: verification.failure_limit,
        deadline: duration::print(verification.deadline),
        http: Vec::new(),
        prometheus: Vec::new(),
    };
    for (name, check) in &verification.checks {
        match check {
            Check::Http(http) => spec.http.push(v1::HttpCheck {
                name: name.clone(),
                url: http.url.clone(),
                method: http.method.clone(),
                headers: http.headers.clone(),
                body: http.body.clone(),
                timeout: duration::print(http.timeout),
                success: http.success.clone(),
            }),
            Check::Prometheus(query) => spec.prometheus.push(v1::PrometheusCheck {
                name: name.clone(),
                address: query.address.clone(),
                query: query.query.clone(),
                success: query.success.clone(),
            }),
        }
    }
    spec
}
