//! Sending a request whose answer is judged; one that changes nothing, again until it is as wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use reconciler_domain::duration;
use reconciler_domain::expression::{EvaluationError, Expression, Scope};
use reconciler_domain::step::{ConfirmCall, HttpCall, Record};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::revealed::Revealed;
use super::{Done, Halt, RunContext};
use crate::answer;
use crate::http::{Request, Response};
use crate::scoped::Scoped;

/// A longer pause is not waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How often it is asked whether a request has happened, while nobody answers.
const CONFIRM_ATTEMPTS: u32 = 5;
/// Pause between two of these questions.
const CONFIRM_PAUSE: Duration = Duration::from_secs(2);

/// What an answer is judged by.
struct Conditions<'a> {
    success: Expression,
    failure: Option<Expression>,
    outputs: Vec<(&'a String, Expression)>,
}

/// What a request came to.
enum Answer {
    /// Good, with these outputs.
    Good(Map<String, Value>),
    /// Neither good nor bad, or there is none; in words.
    NotGood {
        message: String,
        /// Whether another attempt may have another answer.
        may_pass: bool,
        retry_after: Option<Duration>,
    },
}

pub(super) async fn send(effects: &Scoped, cx: &RunContext, call: &HttpCall) -> Result<Done, Halt> {
    let conditions = Conditions::of(call)?;
    if let Some(confirm) = call.confirm.as_deref().filter(|_| call.asks_first)
        && let Some(outputs) = confirmed(effects, call, confirm, &conditions).await?
    {
        return Ok(Done { outputs, record: Record::None });
    }
    let Some(poll) = call.poll else {
        return match ask(effects, cx, call, &conditions).await? {
            Answer::Good(outputs) => Ok(Done { outputs, record: Record::None }),
            Answer::NotGood { message, may_pass: true, retry_after }
                if !call.at_most_once || call.confirm.is_some() =>
            {
                Err(Halt::later_after(message, retry_after))
            }
            Answer::NotGood { message, .. } => Err(Halt::never(message)),
        };
    };
    let end = Instant::now() + poll.timeout;
    loop {
        let (last, pause) = match ask(effects, cx, call, &conditions).await {
            Ok(Answer::Good(outputs)) => return Ok(Done { outputs, record: Record::None }),
            Ok(Answer::NotGood { message, retry_after, .. }) => (message, retry_after),
            Err(Halt::Failed { message, retry: true, retry_after, .. }) => (message, retry_after),
            Err(halt) => return Err(halt),
        };
        let next = Instant::now() + pause.unwrap_or_default().max(poll.interval);
        if next >= end {
            let timeout = duration::print(poll.timeout);
            return Err(Halt::never(format_args!(
                "it was not so within {timeout}; the last: {last}"
            )));
        }
        tokio::select! {
            () = effects.cancel().cancelled() => return Err(Halt::Interrupted),
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Sends it once.
async fn ask(
    effects: &Scoped,
    cx: &RunContext,
    call: &HttpCall,
    conditions: &Conditions<'_>,
) -> Result<Answer, Halt> {
    let request = request(effects, call)?;
    match effects.http().send(request, effects.cancel()).await {
        Ok(response) => conditions.judge(call, &response, cx.now),
        Err(error) if error.may_have_been_sent() && call.at_most_once => {
            let said = format!("{} {}: {}", call.method, shown(&call.url), crate::explain(&error));
            let Some(confirm) = &call.confirm else {
                return Err(Halt::Uncertain {
                    message: format!(
                        "{said}; the receiver may have acted on it, and the step is marked to be sent at \
                         most once: look there"
                    ),
                });
            };
            match confirmed(effects, call, confirm, conditions).await? {
                Some(outputs) => Ok(Answer::Good(outputs)),
                None => Err(Halt::later(format_args!("{said}; it has not happened"))),
            }
        }
        Err(error) => Err(Halt::of(&error, error.is_retryable())),
    }
}

/// Asks whether the request of a call has happened: its outputs, or none, if it has not. The question is
/// repeated while nobody answers, for it changes nothing.
///
/// # Errors
/// It cannot be told.
async fn confirmed(
    effects: &Scoped,
    call: &HttpCall,
    confirm: &ConfirmCall,
    conditions: &Conditions<'_>,
) -> Result<Option<Map<String, Value>>, Halt> {
    let success = expression("confirm.success", &confirm.success)?;
    let failure = expression("confirm.failure", &confirm.failure)?;
    let mut asked = 0;
    loop {
        let request = question(effects, call, confirm)?;
        let target = format!("{} {}", confirm.method, shown(&confirm.url));
        let said = match effects.http().send(request, effects.cancel()).await {
            Ok(response) => {
                let outputs = conditions.outputs.iter().map(|(_, expression)| expression);
                let scope = answer::scope(&response, outputs.chain([&success, &failure]));
                let said = format!("{target} answered {}", answer::excerpt(&response));
                let wrong = |error: EvaluationError| riddle(call, &format!("{said}; {error}"));
                if failure.holds(&scope).map_err(wrong)? {
                    return Ok(None);
                }
                if success.holds(&scope).map_err(wrong)? {
                    return conditions.values(&scope, &said).map(Some).map_err(|why| {
                        Halt::Uncertain {
                            message: format!(
                                "it has happened, but what it gave out is not known: {why}"
                            ),
                        }
                    });
                }
                format!("{said}, which neither `success` nor `failure` of `confirm` accepts")
            }
            Err(_) if effects.cancel().is_cancelled() => return Err(Halt::Interrupted),
            Err(error) => format!("{target}: {}", crate::explain(&error)),
        };
        asked += 1;
        if asked == CONFIRM_ATTEMPTS {
            return Err(riddle(call, &said));
        }
        tokio::select! {
            () = effects.cancel().cancelled() => return Err(Halt::Interrupted),
            () = tokio::time::sleep(CONFIRM_PAUSE) => {}
        }
    }
}

/// A person has to find out.
fn riddle(call: &HttpCall, said: &str) -> Halt {
    let target = format!("{} {}", call.method, shown(&call.url));
    Halt::Uncertain {
        message: format!(
            "it is not known whether {target} has happened, and asking did not tell: {said}; look there, \
             then promote again"
        ),
    }
}

fn question(effects: &Scoped, call: &HttpCall, confirm: &ConfirmCall) -> Result<Request, Halt> {
    let bad = |why: &dyn std::fmt::Display| riddle(call, &format!("`confirm`: {why}"));
    let url: Url = confirm.url.parse().map_err(|error: url::ParseError| bad(&error))?;
    let method = Method::from_bytes(confirm.method.as_bytes()).map_err(|error| bad(&error))?;
    Ok(introduced(effects, method, url, &confirm.headers)?.timeout(call.timeout))
}

impl<'a> Conditions<'a> {
    fn of(call: &'a HttpCall) -> Result<Self, Halt> {
        let failure = call.failure.as_deref().map(|text| expression("failure", text));
        let outputs = call.outputs.iter().map(|(name, text)| {
            expression(&format!("outputs.{name}"), text).map(|expression| (name, expression))
        });
        Ok(Self {
            success: expression("success", &call.success)?,
            failure: failure.transpose()?,
            outputs: outputs.collect::<Result<_, _>>()?,
        })
    }

    fn judge(&self, call: &HttpCall, response: &Response, now: Timestamp) -> Result<Answer, Halt> {
        let Self { success, failure, outputs } = self;
        let all = outputs.iter().map(|(_, expression)| expression).chain([success]).chain(failure);
        let scope = answer::scope(response, all);
        let target = format!("{} {}", call.method, shown(&call.url));
        let said = format!("{target} answered {}", answer::excerpt(response));
        let wrong = |error: EvaluationError| Halt::never(format_args!("{said}; {error}"));
        if let Some(failure) = failure
            && failure.holds(&scope).map_err(wrong)?
        {
            return Err(Halt::never(format_args!("{said}, and `failure` ({failure}) holds")));
        }
        if !success.holds(&scope).map_err(wrong)? {
            return Ok(Answer::NotGood {
                message: format!("{said}, which `success` ({success}) does not accept"),
                may_pass: response.status >= 500 || response.status == 429,
                retry_after: retry_after(response, now),
            });
        }
        self.values(&scope, &said).map(Answer::Good).map_err(Halt::never)
    }

    /// The outputs, or which of them an answer does not give.
    fn values(&self, scope: &Scope, said: &str) -> Result<Map<String, Value>, String> {
        let mut values = Map::new();
        for (name, expression) in &self.outputs {
            let value = expression.evaluate(scope);
            let value = value.map_err(|error| format!("{said}, but output {name:?}: {error}"))?;
            values.insert((*name).clone(), value);
        }
        Ok(values)
    }
}

/// The pause that the receiver asks for: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
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
    let secrets = Revealed::open(effects, &call.secrets, &url)?;
    let headers = secrets.headers(&call.headers);
    let request = introduced(effects, method, url, &headers)?.timeout(call.timeout);
    let request = if secrets.is_some() { request.held_here() } else { request };
    let is_typed = call.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    Ok(match &call.body {
        None => request,
        Some(Value::String(text)) => request.body(secrets.text(text)),
        Some(json) if is_typed => request.body(secrets.json(json).to_string()),
        Some(json) => {
            let body = secrets.json(json).to_string();
            request.header("Content-Type", "application/json").body(body)
        }
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
