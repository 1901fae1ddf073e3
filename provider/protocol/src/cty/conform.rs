//! Bringing a value into the form that a type demands.

use std::collections::BTreeMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::types::MAX_DEPTH;
use super::{Dynamic, Path, Refinement, Step, Type, Value};

/// Why a value is not of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {}: {problem}", if path.is_root() { String::from("the root") } else { path.to_string() })]
pub struct ConformError {
    /// Where in the value.
    pub path: Path,
    /// What is wrong there.
    pub problem: String,
}

/// The value as a value of `ty`: text in normalization form C, sets in canonical order and
/// without duplicates, attributes that an object leaves out added as null, values at a dynamic
/// place given the type that their shape has.
///
/// # Errors
///
/// When the value is of another type, or an object has an attribute that the type has not.
pub fn conform(value: Value, ty: &Type) -> Result<Value, ConformError> {
    walk(value, ty, &Path::root())
}

fn walk(value: Value, ty: &Type, path: &Path) -> Result<Value, ConformError> {
    if path.steps().len() > MAX_DEPTH {
        return Err(mismatch(path, format!("nests deeper than {MAX_DEPTH}")));
    }
    match (ty, value) {
        (_, Value::Null) => Ok(Value::Null),
        (_, Value::Unknown(refinement)) => Ok(unknown(refinement, ty)),
        (Type::Dynamic, value) => dynamic(value, path),
        (Type::String, Value::String(text)) => Ok(Value::String(normalized(text))),
        (Type::Number, value @ Value::Number(_)) | (Type::Bool, value @ Value::Bool(_)) => {
            Ok(value)
        }
        (Type::List(element), Value::List(values)) => {
            elements(values, |_| element, path, Step::Index).map(Value::List)
        }
        (Type::Set(element), Value::List(values)) => {
            let values = elements(values, |_| element, path, |_| Step::Element)?;
            Ok(Value::List(canonical_set(values)))
        }
        (Type::Tuple(types), Value::List(values)) if types.len() == values.len() => {
            elements(values, |index| &types[index], path, Step::Index).map(Value::List)
        }
        (Type::Map(element), Value::Map(values)) => map(values, element, path),
        (Type::Object(attributes), Value::Map(values)) => object(values, attributes, path),
        // A value from a dynamic place may go where its type is demanded.
        (ty, Value::Dynamic(dynamic)) => walk(dynamic.value, ty, path),
        (ty, value) => Err(mismatch(path, format!("{} where {ty} belongs", kind(&value)))),
    }
}

fn unknown(refinement: Option<Box<Refinement>>, ty: &Type) -> Value {
    refinement
        .map_or(Value::Unknown(None), |refinement| Value::unknown_with(refinement.for_type(ty)))
}

fn dynamic(value: Value, path: &Path) -> Result<Value, ConformError> {
    let Value::Dynamic(inner) = value.into_dynamic() else {
        return Ok(Value::unknown());
    };
    let Dynamic { ty, value } = *inner;
    if ty == Type::Dynamic {
        // Nothing is known of the type, so this is null or unknown, or has lost its way.
        return walk(value, &Type::Dynamic, path);
    }
    let value = walk(value, &ty, path)?;
    Ok(Value::Dynamic(Box::new(Dynamic { ty, value })))
}

fn elements<'t>(
    values: Vec<Value>,
    ty: impl Fn(usize) -> &'t Type,
    path: &Path,
    step: impl Fn(usize) -> Step,
) -> Result<Vec<Value>, ConformError> {
    let values = values.into_iter().enumerate();
    values.map(|(index, value)| walk(value, ty(index), &path.step(step(index)))).collect()
}

fn map(
    values: BTreeMap<String, Value>,
    element: &Type,
    path: &Path,
) -> Result<Value, ConformError> {
    let values = values.into_iter().map(|(key, value)| {
        let value = walk(value, element, &path.key(&key))?;
        Ok((normalized(key), value))
    });
    values.collect::<Result<_, _>>().map(Value::Map)
}

fn object(
    mut values: BTreeMap<String, Value>,
    attributes: &BTreeMap<String, Type>,
    path: &Path,
) -> Result<Value, ConformError> {
    let conformed = attributes.iter().map(|(name, ty)| {
        let value = values.remove(name).unwrap_or_default();
        Ok((name.clone(), walk(value, ty, &path.field(name))?))
    });
    let conformed = conformed.collect::<Result<_, _>>()?;
    match values.keys().next() {
        None => Ok(Value::Map(conformed)),
        Some(name) => Err(mismatch(&path.field(name), "no such attribute".to_owned())),
    }
}

/// Sorted, and each value once. Elements that are not wholly known stay: they may turn out to
/// be different.
pub(crate) fn canonical_set(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by(Value::canonical_cmp);
    values.dedup_by(|later, earlier| later == earlier && earlier.is_wholly_known());
    values
}

pub(crate) fn normalized(text: String) -> String {
    if is_nfc(&text) { text } else { text.nfc().collect() }
}

fn mismatch(path: &Path, problem: String) -> ConformError {
    ConformError { path: path.clone(), problem }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Unknown(_) => "an unknown",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
        Value::Dynamic(_) => "a dynamic value",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn values_take_the_form_of_their_type() {
        let ty = Type::object([
            ("name", Type::String),
            ("zones", Type::set(Type::String)),
            ("free", Type::Dynamic),
            ("left_out", Type::Number),
        ]);
        let value = Value::object([
            ("name", Value::from("cafe\u{301}")),
            ("zones", Value::list(["b", "a", "b"])),
            ("free", Value::list([1, 2])),
        ]);
        let conformed = conform(value, &ty).unwrap();
        assert_eq!(conformed.get("name").unwrap().as_str(), Some("caf\u{e9}"));
        assert_eq!(conformed.get("zones"), Some(&Value::list(["a", "b"])));
        assert_eq!(conformed.get("left_out"), Some(&Value::Null));
        let Some(Value::Dynamic(dynamic)) = conformed.get("free") else { unreachable!() };
        assert_eq!(dynamic.ty.to_string(), "tuple([number, number])");
    }

    #[test]
    fn unknown_set_elements_stay_apart() {
        let value = Value::List(vec![Value::unknown(), Value::unknown()]);
        let conformed = conform(value, &Type::set(Type::String)).unwrap();
        assert_eq!(conformed.as_list().unwrap().len(), 2);
    }

    fn check(value: Value, ty: &Type, error: &str) {
        assert_eq!(conform(value, ty).unwrap_err().to_string(), error);
    }

    #[test]
    fn other_types_are_refused_where_they_are() {
        let ty = Type::object([("a", Type::list(Type::Bool))]);
        check(
            Value::from("x"),
            &ty,
            "at the root: a string where object({a = list(bool)}) belongs",
        );
        check(
            Value::object([("a", Value::list(["x"]))]),
            &ty,
            "at a[0]: a string where bool belongs",
        );
        check(Value::object([("b", Value::Null)]), &ty, "at b: no such attribute");
        check(
            Value::list([1]),
            &Type::Tuple(vec![]),
            "at the root: a list where tuple([]) belongs",
        );
    }
}
