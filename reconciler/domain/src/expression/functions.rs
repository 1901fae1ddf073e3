//! What an expression can call.
//!
//! The language's own functions come from the library; those over texts and versions are written
//! here, because the library's text functions can make texts of any size.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use cel::{
    Context, DeclarationError, ExecutionError, FunctionContext, Value, common::value::CowVal,
};
use regex::{Regex, RegexBuilder};

use super::guard::Budget;
use crate::version::{Constraint, Version};

/// Every function that is always there, with the least and most arguments, the receiver included.
const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("bool", 1, 1),
    ("bytes", 1, 1),
    ("contains", 2, 2),
    ("double", 1, 1),
    ("duration", 1, 1),
    ("dyn", 1, 1),
    ("endsWith", 2, 2),
    ("getDate", 1, 2),
    ("getDayOfMonth", 1, 2),
    ("getDayOfWeek", 1, 2),
    ("getDayOfYear", 1, 2),
    ("getFullYear", 1, 2),
    ("getHours", 1, 2),
    ("getMilliseconds", 1, 2),
    ("getMinutes", 1, 2),
    ("getMonth", 1, 2),
    ("getSeconds", 1, 2),
    ("int", 1, 1),
    ("join", 1, 2),
    ("lowerAscii", 1, 1),
    ("matches", 2, 2),
    ("replace", 3, 3),
    ("semver_compare", 2, 2),
    ("semver_match", 2, 2),
    ("size", 1, 1),
    ("split", 2, 2),
    ("startsWith", 2, 2),
    ("string", 1, 1),
    ("substring", 2, 3),
    ("timestamp", 1, 1),
    ("trim", 1, 1),
    ("type", 1, 1),
    ("uint", 1, 1),
    ("upperAscii", 1, 1),
];

/// What a call of `matches` is rewritten to: the library's own compiles its pattern at every call
/// and lets it grow to megabytes.
pub(super) const MATCHES: &str = "@matches";

/// The largest compiled size of a pattern, in bytes.
const PATTERN_SIZE: usize = 1 << 18;

/// The work of compiling a pattern.
const PATTERN_FEE: usize = 1 << 15;

/// The functions that are expanded when an expression is parsed; known for hints.
const MACROS: [&str; 7] = ["all", "exists", "exists_one", "existsOne", "filter", "has", "map"];

/// The names of types, which `type(x) == int` reads.
pub(super) const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// How many arguments a function takes, the receiver included, if it is always there.
pub(super) fn arity(name: &str) -> Option<RangeInclusive<usize>> {
    let (_, low, high) = FUNCTIONS.iter().find(|(known, ..)| *known == name)?;
    Some(*low..=*high)
}

/// The names of all functions that are always there.
pub(super) fn names<'n>() -> impl Iterator<Item = &'n str> {
    FUNCTIONS.iter().map(|(name, ..)| *name).chain(MACROS)
}

/// Whether this identifier is the name of a type.
pub(super) fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Whether a function name is a word and not an operator.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !(name.starts_with('_') && name.ends_with('_') && name.len() < 6)
}

/// Adds the functions that the library does not bring, as far as the expression may call them: what it
/// calls stands in its source.
pub(super) fn install(
    context: &mut Context<'_, '_>,
    source: &str,
    budget: &Budget,
) -> Result<(), DeclarationError> {
    let table: [(&str, Plain); 9] = [
        ("join", join),
        ("lowerAscii", |args, _| Ok(text(args, 0)?.to_ascii_lowercase().into())),
        ("replace", replace),
        ("semver_compare", semver_compare),
        ("semver_match", semver_match),
        ("split", split),
        ("substring", substring),
        ("trim", |args, _| Ok(text(args, 0)?.trim().into())),
        ("upperAscii", |args, _| Ok(text(args, 0)?.to_ascii_uppercase().into())),
    ];
    for (name, function) in table.into_iter().filter(|(name, _)| source.contains(name)) {
        let arity = arity(name).unwrap_or(0..=0);
        add(context, name, arity, budget, function)?;
    }
    if source.contains("matches") {
        add(context, MATCHES, 2..=2, budget, matcher())?;
    }
    Ok(())
}

/// What a function yields: a value, or why it cannot.
pub(super) type Outcome = Result<Value, String>;

type Plain = fn(&[Value], &Budget) -> Outcome;

/// A function as the library calls it.
pub(super) type Native = Box<
    dyn for<'c, 'k> Fn(&mut FunctionContext<'c, 'k>) -> Result<CowVal<'c, 'k>, ExecutionError>
        + Send
        + Sync,
>;

/// Adds one function whose result is charged to the budget.
pub(super) fn add(
    context: &mut Context<'_, '_>,
    name: &str,
    arity: RangeInclusive<usize>,
    budget: &Budget,
    function: impl Fn(&[Value], &Budget) -> Outcome + Send + Sync + 'static,
) -> Result<(), DeclarationError> {
    let (budget, label) = (budget.clone(), name.to_owned());
    let native: Native = Box::new(move |call| {
        let values = call.this.iter().chain(&call.args);
        let values: Vec<Value> =
            values.map(|value| Value::try_from(value.as_ref())).collect::<Result<_, _>>()?;
        if !arity.contains(&values.len()) {
            return Err(ExecutionError::invalid_argument_count(*arity.start(), values.len()));
        }
        let failed = |message| ExecutionError::function_error(&label, message);
        let value = function(&values, &budget).map_err(failed)?;
        let value = CowVal::Owned(value.try_into()?);
        budget.charge_value(value.as_ref())?;
        Ok(value)
    });
    context.add_function(name, native)
}

fn text(args: &[Value], index: usize) -> Result<&str, String> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("takes a text, not {}", other.type_of())),
        None => Err("lacks an argument".to_owned()),
    }
}

fn join(args: &[Value], budget: &Budget) -> Outcome {
    let Some(Value::List(items)) = args.first() else {
        return Err("takes a list of texts".to_owned());
    };
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    reserve(budget, items.len().saturating_mul(separator.len()))?;
    let texts: Vec<&str> = (0..items.len()).map(|i| text(items, i)).collect::<Result<_, _>>()?;
    Ok(texts.join(separator).into())
}

fn replace(args: &[Value], budget: &Budget) -> Outcome {
    let (whole, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    reserve(budget, whole.matches(from).count().saturating_mul(to.len()))?;
    Ok(whole.replace(from, to).into())
}

/// `matches` with bounded patterns, each compiled once for an evaluation.
fn matcher() -> impl Fn(&[Value], &Budget) -> Outcome + Send + Sync {
    let compiled: Mutex<HashMap<String, Regex>> = Mutex::default();
    move |args, budget| {
        let (whole, pattern) = (text(args, 0)?, text(args, 1)?);
        let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = compiled.get(pattern) {
            return Ok(Value::Bool(regex.is_match(whole)));
        }
        reserve(budget, PATTERN_FEE)?;
        let regex = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
        let regex = regex.map_err(|_| "takes a regular expression of moderate size".to_owned())?;
        let matches = regex.is_match(whole);
        compiled.insert(pattern.to_owned(), regex);
        Ok(Value::Bool(matches))
    }
}

fn split(args: &[Value], budget: &Budget) -> Outcome {
    let (whole, separator) = (text(args, 0)?, text(args, 1)?);
    if separator.is_empty() {
        return Err("takes a separator that is not empty".to_owned());
    }
    let count = whole.matches(separator).count().saturating_add(1);
    reserve(budget, count.saturating_mul(size_of::<Value>()))?;
    let parts: Vec<Value> = whole.split(separator).map(Value::from).collect();
    Ok(Value::List(Arc::new(parts)))
}

/// `text.substring(start)` and `text.substring(start, end)`, counted in characters.
fn substring(args: &[Value], _: &Budget) -> Outcome {
    let whole = text(args, 0)?;
    let length = whole.chars().count();
    let position = |index: usize| match args.get(index) {
        Some(Value::Int(at)) => usize::try_from(*at)
            .ok()
            .filter(|at| *at <= length)
            .ok_or_else(|| format!("position {at} is outside a text of {length} characters")),
        Some(other) => Err(format!("takes positions, not {}", other.type_of())),
        None => Ok(length),
    };
    let (start, end) = (position(1)?, position(2)?);
    let Some(count) = end.checked_sub(start) else {
        return Err(format!("the end {end} is before the start {start}"));
    };
    Ok(whole.chars().skip(start).take(count).collect::<String>().into())
}

/// -1, 0 or 1 by semantic version precedence.
fn semver_compare(args: &[Value], _: &Budget) -> Outcome {
    Ok(Value::Int(version(args, 0)?.precedence(&version(args, 1)?) as i64))
}

/// Whether a version is in a range.
fn semver_match(args: &[Value], _: &Budget) -> Outcome {
    let range: Constraint = text(args, 1)?.parse().map_err(|e| format!("{e}"))?;
    Ok(Value::Bool(range.matches(&version(args, 0)?)))
}

/// A version is a text, or the object that an artifact's version is.
fn version(args: &[Value], index: usize) -> Result<Version, String> {
    let object = match args.get(index) {
        Some(Value::Map(map)) => map.get(&cel::objects::KeyRef::String("text")),
        other => other,
    };
    match object {
        Some(Value::String(text)) => Version::loose(text).map_err(|error| error.to_string()),
        _ => Err("takes a version: a text or an artifact's version".to_owned()),
    }
}

fn reserve(budget: &Budget, bytes: usize) -> Result<(), String> {
    budget.charge(bytes as u64).map_err(|_| "makes too large a value".to_owned())
}
