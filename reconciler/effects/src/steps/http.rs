//! Sending a request whose answer is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use reconciler_domain::expression::Expression;
use reconciler_domain::step::{HttpCall, Record};
use serde_json::{Map, Value};
use url::Url;

use super::{Done, Halt, RunContext};
use crate::answer;
use crate::http::{Request, Response};
use crate::scoped::Scoped;

/// A longer pause is not waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

pub(super) async fn send(effects: &Scoped, cx: &RunContext, call: &HttpCall) -> Result<Done, Halt> {
    let success = expression("success", &call.success)?;
    let mut outputs = Vec::new();
    for (name, text) in &call.outputs {
        outputs.push((name, expression(&format!("outputs.{name}"), text)?));
    }
    let request = request(effects, call)?;
    let response = match effects.http().send(request, effects.cancel()).await {
        Ok(response) => response,
        Err(error) if error.may_have_been_sent() && call.at_most_once => {
            return Err(Halt::Uncertain {
                message: format!(
                    "{} {}: {}; the receiver may have acted on it, and the step is marked to be \
                     sent at most once: look there",
                    call.method,
                    shown(&call.url),
                    crate::explain(&error),
                ),
            });
        }
        Err(error) => return Err(Halt::of(&error, error.is_retryable())),
    };
    judge(call, &success, &outputs, &response, cx.now)
}

fn judge(
    call: &HttpCall,
    success: &Expression,
    outputs: &[(&String, Expression)],
    response: &Response,
    now: Timestamp,
) -> Result<Done, Halt> {
    let all = outputs.iter().map(|(_, expression)| expression).chain([success]);
    let scope = answer::scope(response, all);
    let target = format!("{} {}", call.method, shown(&call.url));
    let said = format!("{target} answered {}", answer::excerpt(response));
    if !success.holds(&scope).map_err(|error| Halt::never(format_args!("{said}; {error}")))? {
        let passing = response.status >= 500 || response.status == 429;
        let message = format!("{said}, which `success` ({success}) does not accept");
        return Err(if passing && !call.at_most_once {
            Halt::later_after(message, retry_after(response, now))
        } else {
            Halt::never(message)
        });
    }
    let mut values = Map::new();
    for (name, expression) in outputs {
        let value = expression.evaluate(&scope);
        let value = value
            .map_err(|error| Halt::never(format_args!("{said}, but output {name:?}: {error}")))?;
        values.insert((*name).clone(), value);
    }
    Ok(Done { outputs: values, record: Record::None })
}

/// The pause that the receiver asks for: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let text = response.headers.get("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(RETRY_AFTER_MAX.as_secs())));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let pause = Duration::try_from(date.duration_since(now)).ok()?;
    Some(pause.min(RETRY_AFTER_MAX))
}

fn request(effects: &Scoped, call: &HttpCall) -> Result<Request, Halt> {
    let url: Url = call
        .url
        .parse()
        .map_err(|error| Halt::never(format_args!("URL {}: {error}", shown(&call.url))))?;
    let method = Method::from_bytes(call.method.as_bytes())
        .map_err(|_| Halt::never(format_args!("{:?} is not an HTTP method", call.method)))?;
    let request = introduced(effects, method, url, &call.headers)?.timeout(call.timeout);
    let is_typed = call.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    Ok(match &call.body {
        None => request,
        Some(Value::String(text)) => request.body(text.clone()),
        Some(json) if is_typed => request.body(json.to_string()),
        Some(json) => request.header("Content-Type", "application/json").body(json.to_string()),
    })
}

/// A request with these headers, and with the project's own login for the address where they have none.
pub(super) fn introduced(
    effects: &Scoped,
    method: Method,
    url: Url,
    headers: &BTreeMap<String, String>,
) -> Result<Request, Halt> {
    let has_login = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    let login = if has_login { Ok(None) } else { effects.own_authorization(&url) };
    let login = login.map_err(Halt::later)?;
    let mut request = Request::new(method, url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    Ok(match &login {
        Some(login) => request.header("Authorization", login),
        None => request,
    })
}

fn expression(what: &str, text: &str) -> Result<Expression, Halt> {
    Expression::parse(text).map_err(|error| Halt::never(format_args!("{what}: {error}")))
}

/// The URL without its query, which may hold secrets.
pub(super) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}
