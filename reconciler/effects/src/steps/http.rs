//! Sending a request whose answer is judged; one that changes nothing, again until it is as wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use reconciler_domain::duration;
use reconciler_domain::expression::{EvaluationError, Expression, Scope};
use reconciler_domain::step::{Asks, ConfirmCall, HttpCall, Poll, Record};
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

/// How long it is asked whether a request has happened, while nothing tells: so many times its timeout.
const CONFIRM_PATIENCE: u32 = 20;
/// First pause between two of these questions; each is twice as long as the one before.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);
/// The longest of them, unless the receiver asks for a longer one.
const CONFIRM_PAUSE_MAX: Duration = Duration::from_secs(30);

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
        /// Whether the receiver says that it did nothing with the request.
        turned_away: bool,
        retry_after: Option<Duration>,
    },
}

pub(super) async fn send(effects: &Scoped, cx: &RunContext, call: &HttpCall) -> Result<Done, Halt> {
    let conditions = Conditions::of(call)?;
    if let Some(confirm) = call.confirm.as_deref().filter(|_| call.asks != Asks::No) {
        if let Some(outputs) = confirmed(effects, cx, call, confirm, &conditions).await? {
            return Ok(Done { outputs, record: Record::None });
        }
        if call.asks == Asks::Only {
            let target = format!("{} {}", call.method, shown(&call.url));
            return Err(Halt::never(format_args!(
                "{target} has not happened, and is not sent any more"
            )));
        }
    }
    match call.poll {
        Some(poll) => look(effects, cx, call, &conditions, poll).await,
        None => once(effects, cx, call, &conditions).await,
    }
}

/// Sends what is sent once, and finds out whether it was where its answer does not say so.
async fn once(
    effects: &Scoped,
    cx: &RunContext,
    call: &HttpCall,
    conditions: &Conditions<'_>,
) -> Result<Done, Halt> {
    match ask(effects, cx, call, conditions).await? {
        Answer::Good(outputs) => Ok(Done { outputs, record: Record::None }),
        Answer::NotGood { message, turned_away: true, retry_after, .. }
            if call.confirm.is_none() =>
        {
            Err(Halt::later_after(message, retry_after))
        }
        Answer::NotGood { message, may_pass: true, retry_after, .. } => {
            match (&call.confirm, call.at_most_once) {
                (None, false) => Err(sent(call, Halt::later_after(message, retry_after))),
                (None, true) => Err(sent(call, Halt::never(message))),
                (Some(confirm), _) => {
                    match confirmed(effects, cx, call, confirm, conditions).await? {
                        Some(outputs) => Ok(Done { outputs, record: Record::None }),
                        None => Err(Halt::later_after(message, retry_after)),
                    }
                }
            }
        }
        Answer::NotGood { message, may_pass: false, .. } => Err(sent(call, Halt::never(message))),
    }
}

/// Asks once what is asked until it is as wanted. It changes nothing, so whoever asks next needs to know nothing
/// of this time: between two of them nobody waits.
async fn look(
    effects: &Scoped,
    cx: &RunContext,
    call: &HttpCall,
    conditions: &Conditions<'_>,
    poll: Poll,
) -> Result<Done, Halt> {
    let (last, pause) = match ask(effects, cx, call, conditions).await {
        Ok(Answer::Good(outputs)) => return Ok(Done { outputs, record: Record::None }),
        Ok(Answer::NotGood { message, retry_after, .. }) => (message, retry_after),
        Err(Halt::Failed { message, retry: true, retry_after, .. }) => (message, retry_after),
        Err(halt) => return Err(halt),
    };
    let pause = pause.unwrap_or_default().max(poll.interval);
    if cx.now.checked_add(pause).is_ok_and(|next| next < poll.until) {
        return Err(Halt::not_yet(last, pause));
    }
    let timeout = duration::print(poll.timeout);
    Err(Halt::never(format_args!("it was not so within {timeout}; the last: {last}")))
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
        Ok(response) => conditions.judge(call, &response, cx.now).map_err(|halt| sent(call, halt)),
        Err(error)
            if error.may_have_been_sent()
                && call.poll.is_none()
                && (call.at_most_once || call.confirm.is_some()) =>
        {
            let said = format!("{} {}: {}", call.method, shown(&call.url), crate::explain(&error));
            let Some(confirm) = &call.confirm else {
                return Err(Halt::Uncertain {
                    message: format!(
                        "{said}; the receiver may have acted on it, and the step is marked to be sent at \
                         most once: look there"
                    ),
                });
            };
            match confirmed(effects, cx, call, confirm, conditions).await? {
                Some(outputs) => Ok(Answer::Good(outputs)),
                None => Err(Halt::later(format_args!("{said}; it has not happened"))),
            }
        }
        Err(error) if error.may_have_been_sent() => {
            Err(sent(call, Halt::of(&error, error.is_retryable())))
        }
        Err(error) => Err(Halt::of(&error, error.is_retryable())),
    }
}

/// Whether a receiver may act on the request: RFC 9110, section 9.2.1.
pub(super) fn changes(call: &HttpCall) -> bool {
    !matches!(call.method.as_str(), "GET" | "HEAD")
}

/// A failure after which the receiver may have acted on the request all the same.
fn sent(call: &HttpCall, halt: Halt) -> Halt {
    match halt {
        Halt::Failed { message, retry, retry_after, record: _, seen } if changes(call) => {
            Halt::Failed { message, retry, retry_after, record: Box::new(Record::Sent), seen }
        }
        halt => halt,
    }
}

/// Asks whether the request of a call has happened: its outputs, or none, if it has not. The question is
/// repeated while nothing tells, for it changes nothing.
///
/// # Errors
/// It cannot be told.
async fn confirmed(
    effects: &Scoped,
    cx: &RunContext,
    call: &HttpCall,
    confirm: &ConfirmCall,
    conditions: &Conditions<'_>,
) -> Result<Option<Map<String, Value>>, Halt> {
    let end = Instant::now() + call.timeout * CONFIRM_PATIENCE;
    let mut usual = CONFIRM_PAUSE;
    loop {
        let (said, wanted) = match told(effects, cx, call, confirm, conditions).await? {
            Told::Happened(outputs) => return Ok(Some(outputs)),
            Told::NotHappened => return Ok(None),
            Told::Nothing { said, retry_after } => (said, retry_after),
        };
        let next = Instant::now() + wanted.unwrap_or_default().max(usual);
        if next >= end {
            return Err(riddle(call, &said));
        }
        usual = (usual * 2).min(CONFIRM_PAUSE_MAX);
        tokio::select! {
            () = effects.cancel().cancelled() => return Err(Halt::Interrupted),
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// What an answer says of a request that was sent before.
enum Told {
    /// It has happened, with these outputs.
    Happened(Map<String, Value>),
    /// It has not.
    NotHappened,
    /// Neither; in words.
    Nothing { said: String, retry_after: Option<Duration> },
}

/// Asks once.
async fn told(
    effects: &Scoped,
    cx: &RunContext,
    call: &HttpCall,
    confirm: &ConfirmCall,
    conditions: &Conditions<'_>,
) -> Result<Told, Halt> {
    let nothing = |said: String, retry_after| Ok(Told::Nothing { said, retry_after });
    let target = format!("{} {}", confirm.method, shown(&confirm.url));
    let (request, success, failure) = match question(effects, call, confirm) {
        Ok(question) => question,
        Err(why) => return nothing(format!("{target}: {why}"), None),
    };
    let response = match effects.http().send(request, effects.cancel()).await {
        Ok(response) => response,
        Err(_) if effects.cancel().is_cancelled() => return Err(Halt::Interrupted),
        Err(error) => return nothing(format!("{target}: {}", crate::explain(&error)), None),
    };
    let outputs = conditions.outputs.iter().map(|(_, expression)| expression);
    let scope = answer::scope(&response, outputs.chain([&success, &failure]));
    let said = format!("{target} answered {}", answer::excerpt(&response));
    let pause = retry_after(&response, cx.now);
    match (failure.holds(&scope), success.holds(&scope)) {
        (Ok(true), _) => Ok(Told::NotHappened),
        (Ok(false), Ok(true)) => match conditions.values(&scope, &said) {
            Ok(outputs) => Ok(Told::Happened(outputs)),
            Err(why) => Err(Halt::Uncertain {
                message: format!("it has happened, but what it gave out is not known: {why}"),
            }),
        },
        (Ok(false), Ok(false)) => {
            let neither = "which neither `success` nor `failure` of `confirm` accepts";
            nothing(format!("{said}, {neither}"), pause)
        }
        (Err(error), _) | (Ok(false), Err(error)) => nothing(format!("{said}; {error}"), pause),
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

/// The question and what its answer is judged by, or why it cannot be asked at this moment.
fn question(
    effects: &Scoped,
    call: &HttpCall,
    confirm: &ConfirmCall,
) -> Result<(Request, Expression, Expression), String> {
    let parsed = |text: &str| Expression::parse(text).map_err(|error| error.to_string());
    let (success, failure) = (parsed(&confirm.success)?, parsed(&confirm.failure)?);
    let url: Url = confirm.url.parse().map_err(|error: url::ParseError| error.to_string())?;
    let method =
        Method::from_bytes(confirm.method.as_bytes()).map_err(|error| error.to_string())?;
    let request = with_login(effects, method, url, &confirm.headers)?.timeout(call.timeout);
    Ok((request, success, failure))
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
                // RFC 6585, section 4. A 503 may come from a gateway that has passed the request on.
                turned_away: response.status == 429,
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
    with_login(effects, method, url, headers).map_err(Halt::later)
}

/// The same, or why the login cannot be had.
fn with_login(
    effects: &Scoped,
    method: Method,
    url: Url,
    headers: &BTreeMap<String, String>,
) -> Result<Request, String> {
    let has_login = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    let login = if has_login { Ok(None) } else { effects.own_authorization(&url) };
    let login = login?;
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
