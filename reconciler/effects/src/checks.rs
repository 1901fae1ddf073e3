//! Taking one measurement of a verification.
//!
//! Absence of evidence is `Unknown`: no answer, no sample, a value that is no number, a condition
//! that cannot be evaluated. Only a condition that was evaluated passes or fails.

use http::Method;
use jiff::Timestamp;
use reconciler_domain::expression::{Expression, Scope};
use reconciler_domain::id::ProjectName;
use reconciler_domain::verification::{
    Check, FrozenCheck, HttpCheck, Measured, Measurement, PrometheusCheck,
};
use serde_json::{Value, json};
use url::Url;

use crate::http::Request;
use crate::metrics::{Prometheus, QueryResult, Sample};
use crate::scoped::Scoped;
use crate::{Effects, answer, fault};

/// Characters of a body that are kept as evidence.
const BODY_CHARS: usize = 4_096;
/// Samples that are kept as evidence.
const SAMPLES_MAX: usize = 50;

/// What was seen.
struct Seen {
    measured: Measured,
    detail: String,
    evidence: Value,
}

pub(crate) async fn measure(
    effects: &Effects,
    project: &ProjectName,
    check: &FrozenCheck,
    now: Timestamp,
) -> Measurement {
    let unknown = |detail| Seen { measured: Measured::Unknown, detail, evidence: Value::Null };
    let seen = match Scoped::open(effects, project).await {
        Ok(scoped) => {
            let look = async {
                match &check.check {
                    Check::Http(http) => answer_of(&scoped, http).await,
                    Check::Prometheus(prometheus) => samples_of(&scoped, prometheus, now).await,
                }
            };
            let seen = fault::held(look).await.unwrap_or_else(|said| Err(fault::told(&said)));
            let Seen { measured, detail, evidence } = seen.unwrap_or_else(unknown);
            let (detail, evidence) = (scoped.clean(&detail), scoped.clean_json(evidence));
            Seen { measured, detail, evidence }
        }
        Err(why) => unknown(why),
    };
    let Seen { measured, detail, evidence } = seen;
    Measurement { check: check.name.clone(), at: now, measured, detail, evidence }
}

async fn answer_of(effects: &Scoped, check: &HttpCheck) -> Result<Seen, String> {
    let success = expression(&check.success)?;
    let url = url(&check.url)?;
    let method = Method::from_bytes(check.method.as_bytes())
        .map_err(|_| format!("{:?} is not an HTTP method", check.method))?;
    let is_signed = check.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    let login = if is_signed { None } else { effects.own_authorization(&url)? };
    let mut request = Request::new(method, url).timeout(check.timeout);
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    if let Some(login) = &login {
        request = request.header("Authorization", login);
    }
    if let Some(body) = &check.body {
        request = request.body(body.clone());
    }
    let sent = effects.http().send(request, effects.cancel()).await;
    let response = sent.map_err(|error| crate::explain(&error))?;
    let scope = answer::scope(&response, [&success]);
    let evidence = json!({
        "status": response.status,
        "body": answer::capped(&response.text(), BODY_CHARS),
    });
    Ok(judged(&success, &scope, answer::excerpt(&response), evidence))
}

async fn samples_of(
    effects: &Scoped,
    check: &PrometheusCheck,
    now: Timestamp,
) -> Result<Seen, String> {
    let success = expression(&check.success)?;
    let base = url(&check.address)?;
    let authorization = effects.authorization(&base)?;
    let mut server = Prometheus::new(effects.http().clone(), base);
    if let Some(value) = authorization {
        server = server.header("Authorization", value);
    }
    let result = server.instant(&check.query, Some(now), check.timeout, effects.cancel()).await;
    let samples = match result.map_err(|error| crate::explain(&error))? {
        QueryResult::Scalar(value) => vec![Sample { labels: [].into(), value }],
        QueryResult::Vector(samples) => samples,
        QueryResult::Text(_) => {
            return Err(format!("`{}` gives a text, which is no measurement", check.query));
        }
    };
    if samples.is_empty() {
        return Err(format!("`{}` gives no sample: nothing was measured", check.query));
    }
    let shown: Vec<Value> = samples.iter().take(SAMPLES_MAX).map(shown).collect();
    let evidence = json!({ "count": samples.len(), "samples": shown });
    let detail = match samples.as_slice() {
        [sample] => format!("the value is {}", sample.value),
        many => format!("{} samples", many.len()),
    };
    if let Some(odd) = samples.iter().find(|sample| !sample.value.is_finite()) {
        let detail = format!("a sample is {}, which says nothing: {:?}", odd.value, odd.labels);
        return Ok(Seen { measured: Measured::Unknown, detail, evidence });
    }
    Ok(judged(&success, &result_scope(&samples), detail, evidence))
}

/// `result.samples`, and `result.value` where there is exactly one.
fn result_scope(samples: &[Sample]) -> Scope {
    let all: Vec<Value> = samples.iter().map(shown).collect();
    let mut result = json!({ "samples": all });
    if let [only] = samples {
        result["value"] = json!(only.value);
    }
    let mut scope = Scope::new();
    scope.set("result", result);
    scope
}

fn shown(sample: &Sample) -> Value {
    // JSON has no NaN and no infinities.
    let value = if sample.value.is_finite() {
        json!(sample.value)
    } else {
        Value::from(sample.value.to_string())
    };
    json!({ "labels": sample.labels, "value": value })
}

fn judged(success: &Expression, scope: &Scope, detail: String, evidence: Value) -> Seen {
    let (measured, detail) = match success.holds(scope) {
        Ok(true) => (Measured::Pass, detail),
        Ok(false) => (Measured::Fail, format!("{detail}; `{success}` does not hold")),
        Err(error) => (Measured::Unknown, format!("{detail}; {error}")),
    };
    Seen { measured, detail, evidence }
}

fn expression(text: &str) -> Result<Expression, String> {
    Expression::parse(text).map_err(|error| format!("the condition cannot be read: {error}"))
}

fn url(text: &str) -> Result<Url, String> {
    // The text itself may hold a secret in its query.
    text.parse().map_err(|error| format!("the address is no URL: {error}"))
}
