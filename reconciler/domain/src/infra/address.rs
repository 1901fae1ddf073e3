//! Addresses of resources, and patterns over them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The address of a resource instance: `module.shop["eu"].aws_db_instance.main[0]`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// An address as a plan prints it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The module that it is in, as an address; empty for the root module.
    #[must_use]
    pub fn module(&self) -> &str {
        let inside = self.parts().1.map_or(0, str::len);
        self.0[..self.0.len() - inside].trim_end_matches('.')
    }

    /// The type of the resource; empty if it is no resource's address.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        let resource = self.parts().1.unwrap_or_default();
        let resource = resource.strip_prefix("data.").unwrap_or(resource);
        resource.split('.').next().unwrap_or_default()
    }

    /// What declares it: the names of the calls of modules, and the resource inside them, without indices; absent:
    /// it is no resource's address.
    pub(super) fn declared(&self) -> Option<(Vec<&str>, String)> {
        let (calls, resource) = self.parts();
        let bare =
            |segment: &'_ str| segment.split_once('[').map_or(segment.len(), |(it, _)| it.len());
        let segments = segments(&self.0);
        let names = segments[..calls].iter().skip(1).step_by(2);
        let resource = self::segments(resource?);
        let resource: Vec<&str> = resource.iter().map(|it| &it[..bare(it)]).collect();
        Some((names.map(|name| &name[..bare(name)]).collect(), resource.join(".")))
    }

    /// The calls of modules, and the resource inside them.
    fn parts(&self) -> (usize, Option<&str>) {
        let segments = segments(&self.0);
        let calls = segments.chunks(2).take_while(|pair| pair.len() == 2 && pair[0] == "module");
        let calls = calls.count() * 2;
        let before: usize = segments[..calls].iter().map(|segment| segment.len() + 1).sum();
        (calls, self.0.get(before..).filter(|resource| !resource.is_empty()))
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Address {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most `**` of a pattern: each is tried at every segment of an address, inside the others.
const MAX_DEEP_WILDCARDS: usize = 4;

/// A pattern of addresses.
///
/// `*` stands for any part of one segment, `**` for any number of segments. A segment without an
/// index covers every instance, and a pattern that ends in a module covers everything in it:
/// `aws_db_instance.*` is every database of the root module, `**.aws_db_instance.*` every one
/// anywhere, `module.net` and `module.net.**` everything in that module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct AddressGlob {
    text: String,
    segments: Vec<String>,
}

/// Why a text is not a pattern of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address pattern: {reason}")]
pub struct AddressGlobError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl AddressGlob {
    /// Whether the address matches.
    #[must_use]
    pub fn matches(&self, address: &Address) -> bool {
        let address = segments(address.as_str());
        matches_from(&self.segments, &address, false)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Matches the rest of a pattern with the rest of an address; `in_module` says that what was
/// matched last is a module call with its name.
fn matches_from(pattern: &[String], address: &[&str], in_module: bool) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return address.is_empty() || in_module;
    };
    if first == "**" {
        return (0..=address.len()).any(|skip| matches_from(rest, &address[skip..], false));
    }
    let Some((head, tail)) = address.split_first() else { return false };
    if !matches_segment(first, head) {
        return false;
    }
    if *head == "module"
        && let (Some((name, rest)), Some((call, tail))) = (rest.split_first(), tail.split_first())
        && name != "**"
    {
        return matches_segment(name, call) && matches_from(rest, tail, true);
    }
    matches_from(rest, tail, false)
}

fn matches_segment(pattern: &str, segment: &str) -> bool {
    let name = segment.split_once('[').map_or(segment, |(name, _)| name);
    wildcard(pattern, if pattern.contains('[') { segment } else { name })
}

/// Whether the text is the pattern with every `*` replaced by something, without backtracking
/// further than the last star.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

/// Splits at the dots outside of indices.
fn segments(address: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let (mut start, mut in_index, mut in_text, mut escaped) = (0, false, false, false);
    for (at, byte) in address.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' if in_index => in_text = !in_text,
            b'[' if !in_text => in_index = true,
            b']' if !in_text => in_index = false,
            b'.' if !in_index => {
                segments.push(&address[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    segments.push(&address[start..]);
    segments
}

impl FromStr for AddressGlob {
    type Err = AddressGlobError;

    fn from_str(text: &str) -> Result<Self, AddressGlobError> {
        let refuse = |reason| Err(AddressGlobError { text: text.to_owned(), reason });
        let segments: Vec<String> = segments(text).into_iter().map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return refuse("a segment is empty");
        }
        if segments.iter().any(|segment| segment != "**" && segment.contains("**")) {
            return refuse("`**` must be a whole segment");
        }
        if segments.iter().filter(|segment| *segment == "**").count() > MAX_DEEP_WILDCARDS {
            return refuse("it has more than 4 `**`");
        }
        if segments.iter().any(|segment| segment.contains('[') != segment.ends_with(']')) {
            return refuse("an index is not closed by `]`");
        }
        if text.contains(char::is_whitespace) && !text.contains('"') {
            return refuse("it contains a blank");
        }
        Ok(Self { text: text.to_owned(), segments })
    }
}

impl TryFrom<Cow<'_, str>> for AddressGlob {
    type Error = AddressGlobError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, AddressGlobError> {
        text.parse()
    }
}

impl From<AddressGlob> for String {
    fn from(glob: AddressGlob) -> Self {
        glob.text
    }
}

impl fmt::Display for AddressGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for AddressGlob {
    fn schema_name() -> Cow<'static, str> {
        "AddressGlob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A pattern of resource addresses: * within a segment, ** across them.",
            "examples": ["aws_db_instance.*", "**.aws_db_instance.*", "module.net.**"],
        })
    }
}
