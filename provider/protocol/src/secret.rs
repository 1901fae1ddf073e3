//! Secrets of this process: texts that no diagnostic and no log line shows, whoever wrote it.
//!
//! Values of sensitive and write-only attributes are secrets from when they are first seen. What
//! a provider learns elsewhere (a token from the environment) it tells itself, by [`hide`]. What
//! stands in a URL where credentials stand is one wherever it is found.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use crate::cty::{Path, Value};
use crate::plan;
use crate::schema::Schema;

/// What stands where a secret was.
const MASK: &str = "(sensitive)";
/// Shorter texts are no secrets: whoever guesses finds them, and each message has an `a` in it.
const LEAST: usize = 4;
/// Shorter secrets are hidden only where they stand alone, and not inside of other words.
const SHORT: usize = 8;

/// Every secret, with the forms it takes inside quotes.
static SECRETS: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// Hides a secret of four bytes or more wherever it would be shown from now on.
pub fn hide(secret: &str) {
    if secret.len() < LEAST || is_hidden(secret) {
        return;
    }
    let debug = format!("{secret:?}");
    let json = serde_json::Value::from(secret).to_string();
    let inside = |quoted: &str| quoted[1..quoted.len() - 1].to_owned();
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    secrets.extend([secret.to_owned(), inside(&debug), inside(&json)]);
}

fn is_hidden(secret: &str) -> bool {
    SECRETS.read().unwrap_or_else(PoisonError::into_inner).contains(secret)
}

/// Hides everything that a schema calls sensitive or write-only.
pub(crate) fn hide_in(schema: &Schema, value: &Value) {
    plan::each_attribute(&schema.block, value, &Path::root(), &mut |attribute, value, _| {
        if attribute.sensitive || attribute.write_only {
            hide_value(value);
        }
    });
}

/// Truth values stay: there are only two, and each message would be full of holes.
fn hide_value(value: &Value) {
    match value {
        Value::String(text) => hide(text),
        Value::Number(number) => hide(&number.to_string()),
        Value::List(elements) => elements.iter().for_each(hide_value),
        Value::Map(elements) => elements.values().for_each(hide_value),
        Value::Dynamic(dynamic) => hide_value(&dynamic.value),
        Value::Null | Value::Unknown(_) | Value::Bool(_) => {}
    }
}

/// The text without its secrets.
pub(crate) fn mask(text: &str) -> Cow<'_, str> {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    let mut places: Vec<(usize, usize)> = Vec::new();
    for secret in secrets.iter() {
        let found = text.match_indices(secret.as_str()).map(|(at, _)| (at, at + secret.len()));
        places.extend(found.filter(|place| secret.len() >= SHORT || stands_alone(text, *place)));
    }
    places.extend(credentials(text));
    if places.is_empty() {
        return Cow::Borrowed(text);
    }
    places.sort_unstable();
    let (mut masked, mut done) = (String::with_capacity(text.len()), 0);
    for (start, end) in places {
        if start >= done {
            masked.push_str(&text[done..start]);
            masked.push_str(MASK);
        }
        done = done.max(end);
    }
    masked.push_str(&text[done..]);
    Cow::Owned(masked)
}

/// Where URLs have credentials before their host: a user with a password, or, in HTTP, where a
/// user alone is a token, a user.
fn credentials(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.match_indices("//").filter_map(|(at, slashes)| {
        let start = at + slashes.len();
        let rest = &text[start..];
        let ends = |c: char| c == '/' || c.is_whitespace();
        let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let user = &authority[..authority.rfind('@')?];
        let is_http = text[..at].ends_with("http:") || text[..at].ends_with("https:");
        (!user.is_empty() && (is_http || user.contains(':'))).then(|| (start, start + user.len()))
    })
}

fn stands_alone(text: &str, (start, end): (usize, usize)) -> bool {
    let is_outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    is_outside(text[..start].chars().next_back()) && is_outside(text[end..].chars().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Attribute, Block, NestedBlock};

    #[test]
    fn secrets_are_hidden_in_every_form() {
        hide("correct \"horse\"\n");
        hide("tr0ubador");
        hide("pw9x");
        hide("a");
        let check = |text: &str, masked: &str| assert_eq!(mask(text), masked);
        check("no tr0ubador, no \"tr0ubador\"", "no (sensitive), no \"(sensitive)\"");
        check(&format!("got {:?}", "correct \"horse\"\n"), "got \"(sensitive)\"");
        check("xtr0ubadorx", "x(sensitive)x");
        check("pw9x and apw9xs", "(sensitive) and apw9xs");
        check("a word", "a word");
        check("nothing", "nothing");
    }

    #[test]
    fn credentials_in_urls_are_hidden() {
        let check = |text: &str, masked: &str| assert_eq!(mask(text), masked);
        check("\"https://u:p@x.org/a\" is no URL", "\"https://(sensitive)@x.org/a\" is no URL");
        check("https://token@x.org and //u:p@y", "https://(sensitive)@x.org and //(sensitive)@y");
        check(
            "ssh://git@x.org:22/a and https://x.org/a@b",
            "ssh://git@x.org:22/a and https://x.org/a@b",
        );
    }

    #[test]
    fn overlapping_secrets_leave_nothing() {
        hide("abcdefgh-one");
        hide("one-ijklmnop");
        assert_eq!(mask("<abcdefgh-one-ijklmnop>"), "<(sensitive)>");
    }

    #[test]
    fn schemas_say_what_is_secret() {
        let inner = Block::new().attribute("key", Attribute::string().write_only());
        let schema = Schema::new(
            Block::new()
                .attribute("name", Attribute::string())
                .attribute("tokens", Attribute::list(crate::cty::Type::String).sensitive())
                .block("login", NestedBlock::list(inner)),
        );
        let login = Value::object([("key", Value::from("hidden-in-a-block"))]);
        let value = Value::object([("name", Value::from("shown-as-it-is"))])
            .with("tokens", Value::list(["hidden-in-a-list"]))
            .with("login", Value::List(vec![login]));
        hide_in(&schema, &value);
        assert_eq!(
            mask("hidden-in-a-list hidden-in-a-block shown-as-it-is"),
            "(sensitive) (sensitive) shown-as-it-is"
        );
    }
}
