//! How expressions see the answer to an HTTP request.

use reconciler_domain::expression::{Expression, Scope};
use serde_json::{Value, json};

use crate::http::Response;

/// Characters of a body that a message quotes.
const EXCERPT_CHARS: usize = 300;

/// `response.status`, `response.headers`, `response.body` and `response.json`.
///
/// The body is read as JSON only if one of the expressions looks at it: a large answer must not
/// fail a condition that asks for the status. What is not JSON is null there.
pub(crate) fn scope<'a>(
    response: &Response,
    expressions: impl IntoIterator<Item = &'a Expression>,
) -> Scope {
    let reads_json = |expression: &Expression| {
        expression.references().iter().any(|reference| reference.touches(&["response", "json"]))
    };
    let body = if expressions.into_iter().any(reads_json) {
        response.json().unwrap_or(Value::Null)
    } else {
        Value::Null
    };
    let mut scope = Scope::new();
    scope.set(
        "response",
        json!({
            "status": response.status,
            "headers": response.headers,
            "body": response.text(),
            "json": body,
        }),
    );
    scope
}

/// The status and the beginning of the body, on one line.
pub(crate) fn excerpt(response: &Response) -> String {
    let text = capped(&response.text(), EXCERPT_CHARS);
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        format!("{} without a body", response.status)
    } else {
        format!("{}: {}", response.status, words.join(" "))
    }
}

/// At most this many characters, with a sign where it was cut.
pub(crate) fn capped(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
