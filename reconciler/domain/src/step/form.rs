//! Forms: the part of JSON Schema that says which values a person may give.
//!
//! A form is an object schema whose properties hold texts, numbers, truth values, or lists of those.
//! Every keyword that is not known is refused: a rule that would not be checked is not accepted.
//! Patterns are those of the `regex` crate, whose time is linear.

use indexmap::IndexMap;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Most bytes of a form.
const FORM_MAX: usize = 16 * 1024;
/// Largest compiled pattern, in bytes.
const PATTERN_SIZE: usize = 1 << 18;

/// What may be given.
#[derive(Debug, Clone)]
pub struct Form {
    properties: IndexMap<String, Property>,
    required: Vec<String>,
    additional: bool,
}

/// Something wrong with a form, or with values for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Misfit {
    /// Where: `properties.replicas.minimum` of a form, `zones[1]` of values.
    pub path: String,
    /// What is wrong and what is expected.
    pub message: String,
}

/// What one value has to be.
#[derive(Debug, Clone)]
struct Property {
    holds: Holds,
    allowed: Option<Vec<Value>>,
    default: Option<Value>,
}

#[derive(Debug, Clone)]
enum Holds {
    Text { least: u64, most: u64, pattern: Option<Regex> },
    Number { whole: bool, least: f64, most: f64 },
    Bool,
    List { of: Box<Property>, least: u64, most: u64 },
}

/// Keywords that explain and decide nothing.
const WORDS: [&str; 4] = ["title", "description", "examples", "$comment"];

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(schema: &Value) -> Result<Self, Vec<Misfit>> {
        let mut reader = Reader { misfits: Vec::new() };
        let form = reader.form(schema);
        if reader.misfits.is_empty() { Ok(form) } else { Err(reader.misfits) }
    }

    /// Names of the values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.properties.keys().map(String::as_str)
    }

    /// Whether values of other names may be given.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.additional
    }

    /// Whether the value of this name is a text.
    #[must_use]
    pub fn is_text(&self, name: &str) -> bool {
        let property = self.properties.get(name);
        property.is_some_and(|property| matches!(property.holds, Holds::Text { .. }))
    }

    /// Whether the value of this name is a list.
    #[must_use]
    pub fn is_list(&self, name: &str) -> bool {
        let property = self.properties.get(name);
        property.is_some_and(|property| matches!(property.holds, Holds::List { .. }))
    }

    /// The values with the defaults of what was not given.
    ///
    /// # Errors
    /// Everything in which they are not what the form asks for.
    pub fn fill(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let mut values = given.clone();
        for (name, property) in &self.properties {
            match (given.get(name), &property.default) {
                (Some(value), _) => property.check(value, name, &mut misfits),
                (None, Some(default)) => drop(values.insert(name.clone(), default.clone())),
                (None, None) if self.required.contains(name) => {
                    misfits.push(misfit(name, "is required"));
                }
                (None, None) => {}
            }
        }
        for name in given.keys().filter(|name| !self.properties.contains_key(*name)) {
            if !self.additional {
                let known: Vec<&str> = self.names().collect();
                misfits.push(misfit(name, super::did_you_mean(name, &known)));
            }
        }
        if misfits.is_empty() { Ok(values) } else { Err(misfits) }
    }
}

impl Property {
    fn check(&self, value: &Value, path: &str, misfits: &mut Vec<Misfit>) {
        let before = misfits.len();
        match (&self.holds, value) {
            (Holds::Text { least, most, pattern }, Value::String(text)) => {
                let length = text.chars().count() as u64;
                if !(*least..=*most).contains(&length) {
                    misfits.push(misfit(
                        path,
                        format!("has {length} characters, expected {}", range(*least, *most)),
                    ));
                }
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    misfits.push(misfit(path, format!("does not match `{pattern}`")));
                }
            }
            (Holds::Number { whole, least, most }, Value::Number(number)) => {
                let given = number.as_f64().unwrap_or(f64::NAN);
                if *whole && given.fract() != 0.0 {
                    misfits.push(misfit(path, format!("expected a whole number, found {number}")));
                }
                if given < *least || given > *most {
                    misfits.push(misfit(
                        path,
                        format!("is {number}, expected {}", bounds(*least, *most)),
                    ));
                }
            }
            (Holds::Bool, Value::Bool(_)) => {}
            (Holds::List { of, least, most }, Value::Array(items)) => {
                let length = items.len() as u64;
                if !(*least..=*most).contains(&length) {
                    misfits.push(misfit(
                        path,
                        format!("has {length} elements, expected {}", range(*least, *most)),
                    ));
                }
                for (at, item) in items.iter().enumerate() {
                    of.check(item, &format!("{path}[{at}]"), misfits);
                }
            }
            (holds, other) => {
                misfits.push(misfit(path, format!("expected {}, found {other}", holds.word())));
            }
        }
        let allowed = self.allowed.as_ref().filter(|allowed| !allowed.contains(value));
        if let Some(allowed) = allowed.filter(|_| misfits.len() == before) {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            misfits.push(misfit(
                path,
                format!("expected one of {}, found {value}", allowed.join(", ")),
            ));
        }
    }
}

impl Holds {
    fn word(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a text",
            Self::Number { whole: true, .. } => "a whole number",
            Self::Number { whole: false, .. } => "a number",
            Self::Bool => "true or false",
            Self::List { .. } => "a list",
        }
    }
}

/// Reads a schema and collects what is wrong with it.
struct Reader {
    misfits: Vec<Misfit>,
}

impl Reader {
    fn form(&mut self, schema: &Value) -> Form {
        let mut form =
            Form { properties: IndexMap::new(), required: Vec::new(), additional: false };
        if schema.to_string().len() > FORM_MAX {
            self.wrong("", format!("is larger than {FORM_MAX} bytes"));
            return form;
        }
        let Some(given) = schema.as_object() else {
            self.wrong("", "expected an object schema");
            return form;
        };
        if given.get("type").is_some_and(|holds| holds != "object") {
            self.wrong("type", "a form is an object");
        }
        for (name, value) in given {
            match name.as_str() {
                "type" | "$schema" | "$id" => {}
                "properties" => match value.as_object() {
                    Some(properties) => {
                        for (name, schema) in properties {
                            let property =
                                self.property(schema, &format!("properties.{name}"), true);
                            form.properties.extend(property.map(|read| (name.clone(), read)));
                        }
                    }
                    None => self.wrong("properties", "expected an object"),
                },
                "required" => match texts(value) {
                    Some(names) => form.required = names,
                    None => self.wrong("required", "expected a list of names"),
                },
                "additionalProperties" => match value.as_bool() {
                    Some(open) => form.additional = open,
                    None => self.wrong("additionalProperties", "expected true or false"),
                },
                other => self.keyword(other, ""),
            }
        }
        let unknown =
            |name: &&String| !given["properties"].get(name.as_str()).is_some_and(Value::is_object);
        for name in form.required.clone().iter().filter(unknown) {
            self.wrong("required", format!("there is no property {name:?}"));
        }
        form
    }

    fn property(&mut self, schema: &Value, path: &str, outer: bool) -> Option<Property> {
        let Some(given) = schema.as_object() else {
            self.wrong(path, "expected an object");
            return None;
        };
        let holds = match given.get("type").and_then(Value::as_str) {
            Some("string") => self.text(given, path),
            Some(word @ ("integer" | "number")) => self.number(given, path, word == "integer"),
            Some("boolean") => self.of_keywords(given, path, &[]).then_some(Holds::Bool),
            Some("array") if outer => self.list(given, path),
            _ => {
                let words = "string, integer, number, boolean";
                let more = if outer { ", array" } else { "" };
                self.wrong(&format!("{path}.type"), format!("expected one of {words}{more}"));
                None
            }
        }?;
        let allowed = match given.get("enum") {
            None => None,
            Some(Value::Array(values)) if !values.is_empty() => Some(values.clone()),
            Some(_) => {
                self.wrong(&format!("{path}.enum"), "expected a list of values");
                None
            }
        };
        let property = Property { holds, allowed, default: given.get("default").cloned() };
        if let Some(default) = property.default.as_ref().filter(|value| !is_template(value)) {
            property.check(default, &format!("{path}.default"), &mut self.misfits);
        }
        Some(property)
    }

    fn text(&mut self, given: &Map<String, Value>, path: &str) -> Option<Holds> {
        let known = self.of_keywords(given, path, &["minLength", "maxLength", "pattern"]);
        let (least, most) =
            (self.count(given, path, "minLength"), self.count(given, path, "maxLength"));
        let pattern = given.get("pattern").and_then(|pattern| {
            let regex = pattern
                .as_str()
                .map(|text| RegexBuilder::new(text).size_limit(PATTERN_SIZE).build());
            if let Some(Ok(regex)) = regex {
                return Some(regex);
            }
            self.wrong(
                &format!("{path}.pattern"),
                "expected a regular expression of moderate size",
            );
            None
        });
        known.then_some(Holds::Text {
            least: least.unwrap_or(0),
            most: most.unwrap_or(u64::MAX),
            pattern,
        })
    }

    fn number(&mut self, given: &Map<String, Value>, path: &str, whole: bool) -> Option<Holds> {
        let known = self.of_keywords(given, path, &["minimum", "maximum"]);
        let mut bound = |name: &str, usual: f64| match given.get(name) {
            None => usual,
            Some(value) => value.as_f64().unwrap_or_else(|| {
                self.wrong(&format!("{path}.{name}"), "expected a number");
                usual
            }),
        };
        let (least, most) = (bound("minimum", f64::NEG_INFINITY), bound("maximum", f64::INFINITY));
        known.then_some(Holds::Number { whole, least, most })
    }

    fn list(&mut self, given: &Map<String, Value>, path: &str) -> Option<Holds> {
        let known = self.of_keywords(given, path, &["items", "minItems", "maxItems"]);
        let (least, most) =
            (self.count(given, path, "minItems"), self.count(given, path, "maxItems"));
        let items = given.get("items").cloned().unwrap_or_default();
        let of = Box::new(self.property(&items, &format!("{path}.items"), false)?);
        known.then_some(Holds::List {
            of,
            least: least.unwrap_or(0),
            most: most.unwrap_or(u64::MAX),
        })
    }

    fn count(&mut self, given: &Map<String, Value>, path: &str, name: &str) -> Option<u64> {
        let value = given.get(name)?;
        if value.as_u64().is_none() {
            self.wrong(&format!("{path}.{name}"), "expected a whole number from 0");
        }
        value.as_u64()
    }

    /// Whether there are no keywords but these and those that every property may have.
    fn of_keywords(&mut self, given: &Map<String, Value>, path: &str, known: &[&str]) -> bool {
        let before = self.misfits.len();
        for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
            if !["type", "enum", "default"].contains(&name.as_str()) {
                self.keyword(name, path);
            }
        }
        self.misfits.len() == before
    }

    fn keyword(&mut self, name: &str, path: &str) {
        if !WORDS.contains(&name) {
            let at = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.wrong(&at, "is no keyword that is checked here");
        }
    }

    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.misfits.push(misfit(path, message));
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Whether it is known only once it is rendered.
fn is_template(value: &Value) -> bool {
    value.to_string().contains("{{")
}

fn range(least: u64, most: u64) -> String {
    if most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") }
}

fn bounds(least: f64, most: f64) -> String {
    match (least.is_finite(), most.is_finite()) {
        (true, true) => format!("{least} to {most}"),
        (true, false) => format!("at least {least}"),
        (false, _) => format!("at most {most}"),
    }
}

fn misfit(path: &str, message: impl Into<String>) -> Misfit {
    Misfit { path: path.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(misfits: &[Misfit]) -> Vec<String> {
        misfits.iter().map(ToString::to_string).collect()
    }

    fn check_form(schema: &Value, expect: &[&str]) {
        let found = Form::parse(schema)
            .map(drop)
            .map_err(|misfits| told(&misfits))
            .err()
            .unwrap_or_default();
        assert_eq!(found, expect, "for {schema}");
    }

    fn form() -> Form {
        Form::parse(&json!({
            "type": "object",
            "title": "How many?",
            "properties": {
                "replicas": { "type": "integer", "minimum": 1, "maximum": 9 },
                "ratio": { "type": "number", "default": 0.5 },
                "ticket": { "type": "string", "pattern": "^OPS-[0-9]+$", "maxLength": 10 },
                "zone": { "type": "string", "enum": ["a", "b"] },
                "tags": { "type": "array", "items": { "type": "string", "minLength": 1 }, "maxItems": 2 },
                "sure": { "type": "boolean", "default": false },
            },
            "required": ["replicas", "sure"],
        }))
        .expect("well formed")
    }

    fn check(given: &Value, expect: Result<Value, &[&str]>) {
        let values = given.as_object().expect("an object");
        let found = form().fill(values).map(Value::Object).map_err(|misfits| told(&misfits));
        let expect = expect.map_err(|lines| lines.iter().map(|l| (*l).to_owned()).collect());
        assert_eq!(found, expect, "for {given}");
    }

    #[test]
    fn what_is_given_is_held_to_the_form_and_filled_up() {
        check(
            &json!({ "replicas": 3, "ticket": "OPS-1", "zone": "b", "tags": ["x"] }),
            Ok(json!({ "replicas": 3, "ticket": "OPS-1", "zone": "b", "tags": ["x"],
                "ratio": 0.5, "sure": false })),
        );
        check(&json!({}), Err(&["replicas: is required"]));
        check(
            &json!({ "replicas": 2.5, "zone": "c", "ticket": "ops", "tags": ["", "x", "y"], "sure": "yes", "replica": 1 }),
            Err(&[
                "replicas: expected a whole number, found 2.5",
                "ticket: does not match `^OPS-[0-9]+$`",
                "zone: expected one of \"a\", \"b\", found \"c\"",
                "tags: has 3 elements, expected 0 to 2",
                "tags[0]: has 0 characters, expected at least 1",
                "sure: expected true or false, found \"yes\"",
                "replica: did you mean \"replicas\"?",
            ]),
        );
        check(&json!({ "replicas": 10 }), Err(&["replicas: is 10, expected 1 to 9"]));
    }

    #[test]
    fn what_would_not_be_checked_is_refused() {
        check_form(&json!({}), &[]);
        check_form(&json!([]), &[": expected an object schema"]);
        check_form(&json!({ "type": "string" }), &["type: a form is an object"]);
        check_form(
            &json!({ "properties": {
                "a": { "type": "string", "format": "email" },
                "b": { "type": "object" },
                "c": { "type": "integer", "default": "x", "minimum": "1" },
                "d": { "type": "string", "pattern": "(" },
                "e": { "type": "array", "items": { "type": "array" } },
            }, "required": ["f"], "$ref": "https://x.example" }),
            &[
                "properties.a.format: is no keyword that is checked here",
                "properties.b.type: expected one of string, integer, number, boolean, array",
                "properties.c.minimum: expected a number",
                "properties.c.default: expected a whole number, found \"x\"",
                "properties.d.pattern: expected a regular expression of moderate size",
                "properties.e.items.type: expected one of string, integer, number, boolean",
                "$ref: is no keyword that is checked here",
                "required: there is no property \"f\"",
            ],
        );
    }
}
