//! Typed scalars: how they are read, and how they are written so that every reader agrees.

use std::sync::LazyLock;

use granit_parser::ScalarStyle;
use regex::Regex;

use super::document::Token;

/// A YAML scalar by type.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// Any other number, infinities and NaN included.
    Float(f64),
    /// Text.
    String(String),
}

/// A JSON value that is a list or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a list or an object is no scalar; set each of its values by its own key")]
pub struct NotAScalar;

impl TryFrom<&serde_json::Value> for Scalar {
    type Error = NotAScalar;

    fn try_from(value: &serde_json::Value) -> Result<Self, NotAScalar> {
        use serde_json::Value;
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => number
                .as_i128()
                .map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Int),
            Value::String(text) => Self::String(text.clone()),
            Value::Array(_) | Value::Object(_) => return Err(NotAScalar),
        })
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Scalar {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl Scalar {
    /// The value of a token under the YAML 1.2 core schema; a tagged one is text.
    pub(super) fn read(token: &Token) -> Self {
        if token.style != ScalarStyle::Plain || token.tag.is_some() {
            return Self::String(token.text.clone());
        }
        read_core(&token.text)
    }

    /// Whether a token means this value to readers of YAML 1.1 and of YAML 1.2.
    pub(super) fn reads_back_from(&self, token: &Token) -> bool {
        match self {
            Self::String(text) => {
                let typed = token.style == ScalarStyle::Plain && token.tag.is_none();
                token.text == *text && !(typed && is_ambiguous(text))
            }
            Self::Float(value) if value.is_nan() => {
                matches!(Self::read(token), Self::Float(read) if read.is_nan())
            }
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => {
                Self::read(token) == *self
            }
        }
    }

    /// The token to write where one of style `old` stood, inside a flow collection or not.
    pub(super) fn render(&self, old: ScalarStyle, in_flow: bool) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => render_float(*value),
            Self::String(text) => render_string(text, old, in_flow),
        }
    }
}

fn render_string(text: &str, old: ScalarStyle, in_flow: bool) -> String {
    let single = old == ScalarStyle::SingleQuoted && text.chars().all(is_plain_char);
    let was_quoted = matches!(old, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
    if single {
        format!("'{}'", text.replace('\'', "''"))
    } else if !was_quoted && is_safe_plain(text, in_flow) {
        text.to_owned()
    } else {
        double_quoted(text)
    }
}

/// A text as a scalar of block style, quoted where it would not read back.
pub(super) fn plain_or_quoted(text: &str) -> String {
    render_string(text, ScalarStyle::Plain, false)
}

/// A text as a scalar of flow style, quoted where it would not read back.
pub(super) fn plain_or_quoted_in_flow(text: &str) -> String {
    render_string(text, ScalarStyle::Plain, true)
}

/// YAML 1.2.2, section 10.3.2.
fn read_core(text: &str) -> Scalar {
    static INT: LazyLock<Regex> = LazyLock::new(|| regex(r"^[-+]?[0-9]+$"));
    static FLOAT: LazyLock<Regex> =
        LazyLock::new(|| regex(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"));
    let typed = match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
        "true" | "True" | "TRUE" => Some(Scalar::Bool(true)),
        "false" | "False" | "FALSE" => Some(Scalar::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            Some(Scalar::Float(f64::INFINITY))
        }
        "-.inf" | "-.Inf" | "-.INF" => Some(Scalar::Float(f64::NEG_INFINITY)),
        ".nan" | ".NaN" | ".NAN" => Some(Scalar::Float(f64::NAN)),
        // An integer beyond 128 bits is still a number.
        text if INT.is_match(text) => {
            text.parse().map(Scalar::Int).or_else(|_| text.parse().map(Scalar::Float)).ok()
        }
        text if FLOAT.is_match(text) => text.parse().ok().map(Scalar::Float),
        text => with_radix(text),
    };
    typed.unwrap_or_else(|| Scalar::String(text.to_owned()))
}

fn with_radix(text: &str) -> Option<Scalar> {
    let (digits, radix) = match (text.strip_prefix("0o"), text.strip_prefix("0x")) {
        (Some(octal), _) => (octal, 8),
        (None, Some(hexadecimal)) => (hexadecimal, 16),
        (None, None) => return None,
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { i128::from_str_radix(digits, radix).ok().map(Scalar::Int) } else { None }
}

/// Whether some reader takes the bare text for something other than a string: the union of the YAML 1.1
/// type repository (bool, int, float, merge, null, timestamp, value) and the YAML 1.2 core schema.
fn is_ambiguous(text: &str) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"(?i)^(|~|null|y|yes|n|no|true|false|on|off|<<|=|[-+]?\.?(inf|infinity|nan))$")
    });
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?x)^[-+]? (
                0b[01_]+ | 0o[0-7_]+ | 0x[0-9a-fA-F_]+
              | [0-9][0-9_]* (:[0-5]?[0-9])+ (\.[0-9_]*)?
              | ([0-9][0-9_]*)? \.? [0-9_]* ([eE][-+]?[0-9_]+)?
            )$",
        )
    });
    static DATE: LazyLock<Regex> = LazyLock::new(|| regex(r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"));
    WORD.is_match(text) || NUMBER.is_match(text) || DATE.is_match(text)
}

/// Whether the text can stand bare. Stricter than the grammar, so that no reader is surprised.
fn is_safe_plain(text: &str, in_flow: bool) -> bool {
    const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@`";
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
        return false;
    };
    !INDICATORS.contains(first)
        && first != ' '
        && last != ' '
        && last != ':'
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(is_plain_char)
        && !(in_flow && text.contains([',', '[', ']', '{', '}', ':']))
        && !is_ambiguous(text)
}

/// Printable under YAML 1.2 section 5.1, without what some reader takes for a line break or a mark.
fn is_plain_char(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_plain_char(c) => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// A float that YAML 1.1 takes for a float too: with a point, and a signed exponent.
fn render_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let shortest = format!("{value:?}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return shortest };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant that the tests compile")
}
