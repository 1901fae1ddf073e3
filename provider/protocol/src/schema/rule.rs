//! Rules for configured values: what one attribute may hold, and which go together.
//!
//! A rule is data, so that one text of it checks, explains and stands in the reference page. A
//! value that is not known yet breaks no rule; of a collection, those elements that are known
//! are checked. No message quotes a value: it may be a secret.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use regex::Regex;

use crate::cty::{Number, Path, Step, Value};
use crate::plan::Violation;

/// Checks a known value that is not null; the error is shown at the attribute.
pub type Validate = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// What a value of an attribute must be.
#[derive(Clone)]
pub enum Check {
    /// Text of so many characters.
    Length(Bounds),
    /// Text that a pattern matches, and how the pattern is put into words.
    Pattern(Regex, String),
    /// One of these values.
    OneOf(Vec<Value>),
    /// A number in a range.
    Range(Bounds),
    /// A number without a fraction.
    Whole,
    /// A collection of so many elements.
    Size(Bounds),
    /// A list without the same element twice.
    Unique,
    /// A collection whose elements each pass a check, and are not null.
    Each(Box<Self>),
    /// Whatever code says.
    Code(Validate),
}

/// Two ends, both inside; none where there is no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: Option<i64>,
    /// The greatest.
    pub max: Option<i64>,
}

impl Bounds {
    /// The bounds of a range.
    #[must_use]
    pub fn of(range: &impl RangeBounds<i64>) -> Self {
        let min = match range.start_bound() {
            Bound::Included(min) => Some(*min),
            Bound::Excluded(below) => below.checked_add(1),
            Bound::Unbounded => None,
        };
        let max = match range.end_bound() {
            Bound::Included(max) => Some(*max),
            Bound::Excluded(above) => above.checked_sub(1),
            Bound::Unbounded => None,
        };
        Self { min, max }
    }

    fn hold(self, count: usize) -> bool {
        self.hold_number(&Number::from(count))
    }

    fn hold_number(self, number: &Number) -> bool {
        self.min.is_none_or(|min| *number >= Number::from(min))
            && self.max.is_none_or(|max| *number <= Number::from(max))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => write!(f, "{min}"),
            (Some(min), Some(max)) => write!(f, "{min} to {max}"),
            (Some(min), None) => write!(f, "{min} or more"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (None, None) => f.write_str("any number of"),
        }
    }
}

impl Check {
    /// What it asks for, as it ends the sentence "must be"; none for code, which has no words.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        Some(match self {
            Self::Length(bounds) => format!("{bounds} characters long"),
            Self::Pattern(_, words) => words.clone(),
            Self::OneOf(values) => {
                let values: Vec<String> = values
                    .iter()
                    .map(|value| crate::cty::json::to_plain(value).to_string())
                    .collect();
                format!("one of {}", values.join(", "))
            }
            Self::Range(bounds) => bounds.to_string(),
            Self::Whole => "a whole number".to_owned(),
            Self::Size(bounds) => format!("{bounds} elements"),
            Self::Unique => "distinct".to_owned(),
            Self::Each(check) => format!("each {}", check.words()?),
            Self::Code(_) => return None,
        })
    }

    /// Finds what breaks it. The value is not null.
    pub(crate) fn test(&self, value: &Value, path: &Path, found: &mut Vec<Violation>) {
        let value = value.undynamic();
        if value.is_unknown() {
            return;
        }
        match self {
            Self::Each(check) => check.test_elements(value, path, found),
            Self::Code(_) if !value.is_wholly_known() => {}
            Self::Code(code) => {
                if let Err(problem) = code(value) {
                    found.push(Violation::new(path, problem));
                }
            }
            check if check.holds(value) => {}
            check => {
                let words = check.words().unwrap_or_default();
                found.push(Violation::new(path, format!("It must be {words}.")));
            }
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Length(bounds) => {
                value.as_str().is_none_or(|text| bounds.hold(text.chars().count()))
            }
            Self::Pattern(pattern, _) => value.as_str().is_none_or(|text| pattern.is_match(text)),
            Self::OneOf(values) => values.contains(value),
            Self::Range(bounds) => value.as_number().is_none_or(|it| bounds.hold_number(it)),
            Self::Whole => value.as_number().is_none_or(Number::is_integer),
            Self::Size(bounds) => size(value).is_none_or(|size| bounds.hold(size)),
            Self::Unique => value.as_list().is_none_or(is_distinct),
            // Both are looked at before.
            Self::Each(_) | Self::Code(_) => true,
        }
    }

    fn test_elements(&self, value: &Value, path: &Path, found: &mut Vec<Violation>) {
        let mut test = |value: &Value, path: Path| match value {
            Value::Null => found.push(Violation::new(&path, "It must not be null.")),
            value => self.test(value, &path, found),
        };
        match value {
            Value::List(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    test(value, path.step(Step::Index(index)));
                }
            }
            Value::Map(elements) => {
                for (key, value) in elements {
                    test(value, path.key(key));
                }
            }
            Value::Null
            | Value::Unknown(_)
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Dynamic(_) => {}
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().as_deref().unwrap_or("code"))
    }
}

fn size(value: &Value) -> Option<usize> {
    value
        .as_list()
        .map(<[Value]>::len)
        .or_else(|| value.as_map().map(std::collections::BTreeMap::len))
}

fn is_distinct(elements: &[Value]) -> bool {
    let mut known: Vec<&Value> = elements.iter().filter(|value| value.is_wholly_known()).collect();
    known.sort_by(|left, right| left.canonical_cmp(right));
    known.windows(2).all(|pair| pair[0] != pair[1])
}

/// Which attributes and blocks of one block, or of one object, go together. One is set when it
/// is not null, and not a block that is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One of them, and no more.
    ExactlyOne(Vec<String>),
    /// One of them, or several.
    AtLeastOne(Vec<String>),
    /// One of them, or none.
    AtMostOne(Vec<String>),
    /// All of them, or none.
    Together(Vec<String>),
    /// The first only with all the others.
    Needs(String, Vec<String>),
}

/// Whether something is set, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Yes,
    No,
    Perhaps,
}

impl Set {
    fn of(value: Option<&Value>) -> Self {
        match value.map(Value::undynamic) {
            None | Some(Value::Null) => Self::No,
            Some(Value::Unknown(refinement)) => {
                let is_there = refinement.as_ref().is_some_and(|refinement| refinement.not_null);
                if is_there { Self::Yes } else { Self::Perhaps }
            }
            Some(_) => Self::Yes,
        }
    }
}

impl Rule {
    /// All the names in it.
    pub(crate) fn names(&self) -> Vec<&String> {
        match self {
            Self::ExactlyOne(names)
            | Self::AtLeastOne(names)
            | Self::AtMostOne(names)
            | Self::Together(names) => names.iter().collect(),
            Self::Needs(name, others) => std::iter::once(name).chain(others).collect(),
        }
    }

    /// The rule as a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::ExactlyOne(names) => format!("Exactly one of {} must be set.", list(names)),
            Self::AtLeastOne(names) => format!("At least one of {} must be set.", list(names)),
            Self::AtMostOne(names) => format!("At most one of {} may be set.", list(names)),
            Self::Together(names) => format!("All of {} must be set, or none.", list(names)),
            Self::Needs(name, others) => format!("`{name}` needs {}.", list(others)),
        }
    }

    /// Finds what breaks it in an object. `is_block` says which names are repeated blocks, of
    /// which an empty collection is none.
    pub(crate) fn test(
        &self,
        object: &Value,
        is_block: impl Fn(&str) -> bool,
        path: &Path,
        found: &mut Vec<Violation>,
    ) {
        let is_set = |name: &String| {
            let value = object.get(name);
            let is_nowhere = is_block(name) && value.and_then(size) == Some(0);
            if is_nowhere { Set::No } else { Set::of(value) }
        };
        let those = |names: &'_ [String], wanted: Set| {
            let found = names.iter().filter(|name| is_set(name) == wanted);
            found.cloned().collect::<Vec<_>>()
        };
        let mut broken = |at: Path| found.push(Violation::new(&at, self.words()));
        match self {
            Self::ExactlyOne(names) | Self::AtMostOne(names) => {
                // At all but the first, so that each is named where it stands.
                for name in those(names, Set::Yes).iter().skip(1) {
                    broken(path.field(name));
                }
                if matches!(self, Self::ExactlyOne(_)) && those(names, Set::No).len() == names.len()
                {
                    broken(path.clone());
                }
            }
            Self::AtLeastOne(names) => {
                if those(names, Set::No).len() == names.len() {
                    broken(path.clone());
                }
            }
            Self::Together(names) => {
                let (set, unset) = (those(names, Set::Yes), those(names, Set::No));
                if let (Some(name), false) = (set.first(), unset.is_empty()) {
                    broken(path.field(name));
                }
            }
            Self::Needs(name, others) => {
                if is_set(name) == Set::Yes && !those(others, Set::No).is_empty() {
                    broken(path.field(name));
                }
            }
        }
    }

    /// Of names that exclude each other, those that a configuration made from `object` leaves
    /// out: all but the first that is set.
    pub(crate) fn left_out(&self, object: &Value) -> Vec<&String> {
        match self {
            Self::ExactlyOne(names) | Self::AtMostOne(names) => {
                let is_set = |name: &&String| Set::of(object.get(name)) == Set::Yes;
                names.iter().filter(is_set).skip(1).collect()
            }
            Self::AtLeastOne(_) | Self::Together(_) | Self::Needs(..) => Vec::new(),
        }
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Attribute;

    fn check(attribute: &Attribute, value: impl Into<Value>, problems: &[&str]) {
        let found = attribute.problems(&value.into(), &Path::attribute("a"));
        let found: Vec<String> =
            found.iter().map(|it| format!("{}: {}", it.path, it.problem)).collect();
        assert_eq!(found, problems);
    }

    #[test]
    fn values_are_checked() {
        let name = Attribute::string().length(1..=3).matches("^[a-z]*$", "lower case letters");
        check(&name, "abc", &[]);
        check(
            &name,
            "ABCD",
            &["a: It must be 1 to 3 characters long.", "a: It must be lower case letters."],
        );
        check(&name, Value::unknown(), &[]);
        check(&name, Value::Null, &[]);
        let size = Attribute::number().range(1..).whole();
        check(&size, 0, &["a: It must be 1 or more."]);
        check(
            &size,
            Value::Number("1.5".parse().expect("a number")),
            &["a: It must be a whole number."],
        );
        let mode = Attribute::string().one_of(["on", "off"]);
        check(&mode, "no", &[r#"a: It must be one of "on", "off"."#]);
        check(&Attribute::string().length(..5), "äöüß", &[]);
    }

    #[test]
    fn elements_are_checked_as_far_as_they_are_known() {
        let list = Attribute::list(crate::cty::Type::String)
            .size(1..=3)
            .unique()
            .each(Check::Length(Bounds { min: Some(1), max: None }));
        check(&list, Value::list(["a", "b"]), &[]);
        check(&list, Value::list([""; 0]), &["a: It must be 1 to 3 elements."]);
        check(
            &list,
            Value::List(vec!["a".into(), "a".into(), Value::unknown()]),
            &["a: It must be distinct."],
        );
        check(
            &list,
            Value::List(vec!["".into(), Value::Null, Value::unknown()]),
            &["a[0]: It must be 1 or more characters long.", "a[1]: It must not be null."],
        );
    }

    #[test]
    fn rules_name_what_breaks_them() {
        let text = |names: &[&str]| Value::object(names.iter().map(|name| (*name, Value::from(1))));
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let check = |rule: Rule, object: Value, paths: &[&str]| {
            let mut found = Vec::new();
            rule.test(&object, |name| name == "block", &Path::attribute("in"), &mut found);
            let found: Vec<String> = found.iter().map(|it| it.path.to_string()).collect();
            assert_eq!(found, paths, "{rule:?} of {object:?}");
        };
        check(Rule::ExactlyOne(names()), text(&["a"]), &[]);
        check(Rule::ExactlyOne(names()), text(&["a", "b"]), &["in.b"]);
        check(Rule::ExactlyOne(names()), text(&[]), &["in"]);
        check(Rule::ExactlyOne(names()), text(&[]).with("a", Value::unknown()), &[]);
        check(Rule::AtMostOne(names()), text(&[]), &[]);
        check(Rule::AtLeastOne(names()), text(&[]), &["in"]);
        check(Rule::Together(names()), text(&["b"]), &["in.b"]);
        check(Rule::Together(names()), text(&["b"]).with("a", Value::unknown()), &[]);
        check(Rule::Needs("a".to_owned(), vec!["b".to_owned()]), text(&["a"]), &["in.a"]);
        check(Rule::Needs("a".to_owned(), vec!["b".to_owned()]), text(&["b"]), &[]);
        let with_block = vec!["a".to_owned(), "block".to_owned()];
        let empty = text(&["a"]).with("block", Value::List(Vec::new()));
        check(Rule::ExactlyOne(with_block), empty, &[]);
    }
}
