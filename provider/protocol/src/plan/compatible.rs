//! Which results of an apply keep what was planned.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::cty::{Path, Type, Value};
use crate::schema::{Attribute, Block, BlockNesting, NestedBlock};

/// What makes `actual` inconsistent with `planned`; empty when every known value of the plan is
/// still there and every promise about an unknown one is kept.
#[must_use]
pub fn apply_violations(block: &Block, planned: &Value, actual: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    compare_block(block, planned, actual, &Path::root(), &mut found);
    found
}

type Found = Vec<Violation>;

fn compare_block(block: &Block, planned: &Value, actual: &Value, path: &Path, found: &mut Found) {
    match (planned.is_null(), actual.is_null()) {
        (true, true) => return,
        (true, false) => {
            return found.push(Violation::new(path, "was planned absent, and is there now"));
        }
        (false, true) => {
            return found.push(Violation::new(path, "was planned to be there, and is absent now"));
        }
        (false, false) => {}
    }
    for (name, attribute) in &block.attributes {
        let (planned, actual) = (field(planned, name), field(actual, name));
        compare_attribute(attribute, &planned, &actual, &path.field(name), found);
    }
    for (name, nested) in &block.blocks {
        let (planned, actual) = (field(planned, name), field(actual, name));
        compare_blocks(nested, &planned, &actual, &path.field(name), found);
    }
}

/// A field of an object; of an unknown object, unknown.
fn field(value: &Value, name: &str) -> Value {
    match value.undynamic() {
        Value::Unknown(_) => Value::unknown(),
        value => value.get(name).cloned().unwrap_or_default(),
    }
}

fn compare_attribute(
    attribute: &Attribute,
    planned: &Value,
    actual: &Value,
    path: &Path,
    found: &mut Found,
) {
    let before = found.len();
    compare(&attribute.ty(), planned, actual, path, found);
    if attribute.sensitive && found.len() > before {
        found.truncate(before);
        found.push(Violation::new(path, "the sensitive value is not the planned one"));
    }
}

fn compare_blocks(
    nested: &NestedBlock,
    planned: &Value,
    actual: &Value,
    path: &Path,
    found: &mut Found,
) {
    let block = &nested.block;
    if matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group) {
        // Blocks that were not known may turn out to be none.
        if !(planned.is_unknown() && actual.is_null()) {
            compare_block(block, planned, actual, path, found);
        }
        return;
    }
    if planned.is_unknown() || actual.is_unknown() || planned.is_null() || actual.is_null() {
        return;
    }
    match (planned, actual) {
        (Value::List(planned), Value::List(actual)) if nested.nesting == BlockNesting::Set => {
            compare_sets(planned, actual, path, found, |planned, actual| {
                let mut found = Vec::new();
                compare_block(block, planned, actual, path, &mut found);
                found.is_empty()
            });
        }
        (Value::List(planned), Value::List(actual)) => {
            if planned.len() != actual.len() {
                let (planned, actual) = (planned.len(), actual.len());
                let problem = format!("{planned} blocks were planned, {actual} are there now");
                return found.push(Violation::new(path, problem));
            }
            for (index, (planned, actual)) in planned.iter().zip(actual).enumerate() {
                compare_block(block, planned, actual, &path.index(index), found);
            }
        }
        (Value::Map(planned), Value::Map(actual)) => {
            for (key, planned, actual) in common(planned, actual, path, found) {
                compare_block(block, planned, actual, &path.key(key), found);
            }
        }
        _ => found.push(Violation::new(path, "is of another type than planned")),
    }
}

fn compare(ty: &Type, planned: &Value, actual: &Value, path: &Path, found: &mut Found) {
    if *ty == Type::Dynamic {
        return compare_dynamic(planned, actual, path, found);
    }
    let mut violation = |problem: &str| found.push(Violation::new(path, problem));
    if let Value::Unknown(refinement) = planned {
        let kept = refinement.as_ref().is_none_or(|refinement| refinement.admits(actual));
        if !kept {
            violation("the value breaks what was promised about it");
        }
        return;
    }
    match (planned.is_null(), actual.is_null()) {
        (true, true) => return,
        (true, false) => return violation("was planned null, and has a value now"),
        (false, true) => return violation("was planned with a value, and is null now"),
        (false, false) => {}
    }
    if actual.is_unknown() {
        return violation("was planned with a value, and is unknown now");
    }
    compare_known(ty, planned, actual, path, found);
}

fn compare_dynamic(planned: &Value, actual: &Value, path: &Path, found: &mut Found) {
    let (planned, actual) = match (planned, actual) {
        // Not even the type was planned.
        (Value::Unknown(_), _) => return,
        (Value::Dynamic(planned), Value::Dynamic(actual)) if planned.ty == actual.ty => {
            (planned, actual)
        }
        (Value::Dynamic(_), Value::Dynamic(_)) => {
            return found.push(Violation::new(path, "is of another type than planned"));
        }
        (planned, actual) if planned.is_null() && actual.is_null() => return,
        _ => return found.push(Violation::new(path, "the value is not the planned one")),
    };
    compare(&planned.ty, &planned.value, &actual.value, path, found);
}

fn compare_known(ty: &Type, planned: &Value, actual: &Value, path: &Path, found: &mut Found) {
    match (ty, planned, actual) {
        (Type::List(element), Value::List(planned), Value::List(actual)) => {
            compare_lists(|_| Some(element), planned, actual, path, found);
        }
        (Type::Tuple(types), Value::List(planned), Value::List(actual)) => {
            compare_lists(|index| types.get(index), planned, actual, path, found);
        }
        (Type::Set(element), Value::List(planned), Value::List(actual)) => {
            compare_sets(planned, actual, path, found, |planned, actual| {
                let mut found = Vec::new();
                compare(element, planned, actual, path, &mut found);
                found.is_empty()
            });
        }
        (Type::Map(element), Value::Map(planned), Value::Map(actual)) => {
            for (key, planned, actual) in common(planned, actual, path, found) {
                compare(element, planned, actual, &path.key(key), found);
            }
        }
        (Type::Object(attributes), Value::Map(planned), Value::Map(actual)) => {
            for (name, planned, actual) in common(planned, actual, path, found) {
                if let Some(ty) = attributes.get(name) {
                    compare(ty, planned, actual, &path.field(name), found);
                }
            }
        }
        _ if planned == actual => {}
        _ => found.push(Violation::new(path, "the value is not the planned one")),
    }
}

fn compare_lists<'t>(
    ty: impl Fn(usize) -> Option<&'t Type>,
    planned: &[Value],
    actual: &[Value],
    path: &Path,
    found: &mut Found,
) {
    if planned.len() != actual.len() {
        let (planned, actual) = (planned.len(), actual.len());
        let problem = format!("{planned} elements were planned, {actual} are there now");
        found.push(Violation::new(path, problem));
    }
    for (index, (planned, actual)) in planned.iter().zip(actual).enumerate() {
        if let Some(ty) = ty(index) {
            compare(ty, planned, actual, &path.index(index), found);
        }
    }
}

/// The elements that are on both sides; those on one side only are violations.
fn common<'v>(
    planned: &'v BTreeMap<String, Value>,
    actual: &'v BTreeMap<String, Value>,
    path: &Path,
    found: &mut Found,
) -> Vec<(&'v str, &'v Value, &'v Value)> {
    let keys = |map: &'v BTreeMap<String, Value>| map.keys().collect::<BTreeSet<_>>();
    for key in keys(planned).difference(&keys(actual)) {
        found.push(Violation::new(path, format!("element {key:?} was planned, and is gone now")));
    }
    for key in keys(actual).difference(&keys(planned)) {
        found.push(Violation::new(path, format!("element {key:?} was not planned")));
    }
    let pairs = planned.iter().filter_map(|(key, planned)| {
        let actual = actual.get(key)?;
        Some((key.as_str(), planned, actual))
    });
    pairs.collect()
}

/// Elements of a set have no identity: each needs some partner on the other side, and there may
/// be fewer in the end but never more.
fn compare_sets(
    planned: &[Value],
    actual: &[Value],
    path: &Path,
    found: &mut Found,
    fits: impl Fn(&Value, &Value) -> bool,
) {
    let lost = planned.iter().any(|planned| !actual.iter().any(|actual| fits(planned, actual)));
    let extra = actual.iter().any(|actual| !planned.iter().any(|planned| fits(planned, actual)));
    if lost {
        found.push(Violation::new(path, "a planned element is not there"));
    } else if extra || actual.len() > planned.len() {
        found.push(Violation::new(path, "there is an element that was not planned"));
    }
}
