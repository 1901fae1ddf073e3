//! From an answer to a verdict. Whatever is not clearly one of two things says nothing.

use serde_json::Value;

use super::{Context, Inquiry, Source};
use crate::expression::{Expression, Scope};
use crate::verification::Measured;

impl Inquiry {
    /// The conditions that judge an answer.
    pub fn conditions(&self) -> impl Iterator<Item = &Expression> {
        std::iter::once(&self.success).chain(&self.failure)
    }

    /// Judges the answer of a server: `answer` holds `response`, and `excerpt` is the beginning of it in words.
    ///
    /// An error of the server, a redirect, or a login that is missing says nothing of what was asked.
    #[must_use]
    pub fn judge_response(&self, status: u16, answer: Scope, excerpt: &str) -> (Measured, String) {
        if !tells(status) {
            let message = format!("{excerpt}; such an answer says nothing of what was asked");
            return (Measured::Unknown, message);
        }
        let (measured, why) = self.judge(answer);
        (measured, format!("{excerpt}; {why}"))
    }

    /// Judges a document.
    #[must_use]
    pub fn judge_payload(&self, payload: Value) -> (Measured, String) {
        let mut scope = Scope::new();
        scope.set("payload", payload);
        self.judge(scope)
    }

    fn judge(&self, answer: Scope) -> (Measured, String) {
        let scope = self.context.seen_beside(answer);
        judged(&self.success, self.failure.as_ref(), &scope)
    }
}

/// Whether a status is an answer to what was asked: it is there, or it is not.
fn tells(status: u16) -> bool {
    (200..300).contains(&status) || matches!(status, 404 | 410)
}

fn judged(success: &Expression, failure: Option<&Expression>, scope: &Scope) -> (Measured, String) {
    let refused = failure.map_or(Ok(false), |failure| failure.holds(scope));
    match (refused, success.holds(scope)) {
        (Ok(true), _) => {
            let failure = failure.map_or("", Expression::source);
            (Measured::Fail, format!("`failure` ({failure}) holds"))
        }
        (Err(error), _) | (Ok(false), Err(error)) => (Measured::Unknown, error.to_string()),
        (Ok(false), Ok(true)) => (Measured::Pass, format!("`{success}` holds")),
        (Ok(false), Ok(false)) if failure.is_some() => {
            let message = format!("neither `success` ({success}) nor `failure` holds yet");
            (Measured::Unknown, message)
        }
        (Ok(false), Ok(false)) => (Measured::Fail, format!("`{success}` does not hold")),
    }
}

impl Context {
    /// What there is beside an answer.
    pub(super) fn seen_beside(&self, mut answer: Scope) -> Scope {
        for (name, value) in &self.values {
            answer.set(name, value.clone());
        }
        let freight = self.freight.clone();
        answer.define("freight_from", move |arguments| match arguments {
            [Value::String(name)] => freight.get(name).cloned().ok_or_else(|| {
                format!("no freight of warehouse {name:?} goes with this promotion")
            }),
            _ => Err("freight_from takes the name of one warehouse".to_owned()),
        });
        answer
    }
}

/// Judges an answer that somebody states: a response with `status`, `headers`, `body` and `json`, or a payload.
#[must_use]
pub fn stated(
    (success, failure): (&Expression, Option<&Expression>),
    context: &Context,
    name: &str,
    answer: Value,
) -> (Measured, String) {
    let status = answer.get("status").and_then(Value::as_u64).filter(|_| name == "response");
    if let Some(status) = status
        && !u16::try_from(status).is_ok_and(tells)
    {
        let message = format!("{status}; such an answer says nothing of what was asked");
        return (Measured::Unknown, message);
    }
    let mut scope = Scope::new();
    scope.set(name, answer);
    judged(success, failure, &context.seen_beside(scope))
}

impl Source {
    /// Who is asked, without what may be secret: for those who look on.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Response { request, .. } | Self::Document { request, .. } => {
                let url = request.url.split(['?', '#']).next().unwrap_or(&request.url);
                format!("{} {url}", request.method)
            }
            Self::Referrer { repo, digest, artifact_type, .. } => {
                format!("{artifact_type} attached to {repo}@{digest}")
            }
        }
    }
}
