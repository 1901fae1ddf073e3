//! Writing values.

use std::collections::BTreeMap;

use rmp::encode::{
    ValueWriteError, write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil,
    write_sint, write_str,
};

use super::unknown;
use crate::cty::{Number, Type, Value};

/// Why a value cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The value is not of the type: it was not brought into form before.
    #[error("value is not of type {0}")]
    Type(Type),
    /// The value is too large for the format.
    #[error("value is too large: {0}")]
    Write(String),
}

impl EncodeError {
    #[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
    pub(super) fn write(error: impl ToString) -> Self {
        Self::Write(error.to_string())
    }
}

impl From<ValueWriteError> for EncodeError {
    fn from(error: ValueWriteError) -> Self {
        Self::write(error)
    }
}

/// Writes a value that has been [brought into the form](crate::cty::conform::conform) of `ty`.
///
/// # Errors
///
/// When the value is not of that type, or is larger than the format can say (4 GiB).
pub fn encode(value: &Value, ty: &Type) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    write(&mut out, value, ty)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value, ty: &Type) -> Result<(), EncodeError> {
    match (ty, value) {
        (_, Value::Null) => write_nil(out).map_err(EncodeError::write)?,
        (ty, Value::Unknown(refinement)) => unknown::encode(out, refinement.as_deref(), ty)?,
        (Type::String, Value::String(text)) => write_str(out, text)?,
        (Type::Number, Value::Number(number)) => write_number(out, number)?,
        (Type::Bool, Value::Bool(truth)) => write_bool(out, *truth).map_err(EncodeError::write)?,
        (Type::List(element) | Type::Set(element), Value::List(values)) => {
            write_array_len(out, length(values.len())?)?;
            values.iter().try_for_each(|value| write(out, value, element))?;
        }
        (Type::Tuple(types), Value::List(values)) if types.len() == values.len() => {
            write_array_len(out, length(values.len())?)?;
            values.iter().zip(types).try_for_each(|(value, ty)| write(out, value, ty))?;
        }
        (Type::Map(element), Value::Map(values)) => {
            write_map_len(out, length(values.len())?)?;
            for (key, value) in values {
                write_str(out, key)?;
                write(out, value, element)?;
            }
        }
        (Type::Object(attributes), Value::Map(values)) if values.len() == attributes.len() => {
            write_object(out, values, attributes)?;
        }
        (Type::Dynamic, Value::Dynamic(dynamic)) => {
            write_array_len(out, 2)?;
            write_bin(out, &dynamic.ty.to_wire())?;
            write(out, &dynamic.value, &dynamic.ty)?;
        }
        (ty, _) => return Err(EncodeError::Type(ty.clone())),
    }
    Ok(())
}

fn write_object(
    out: &mut Vec<u8>,
    values: &BTreeMap<String, Value>,
    attributes: &BTreeMap<String, Type>,
) -> Result<(), EncodeError> {
    write_map_len(out, length(values.len())?)?;
    for ((name, value), (expected, ty)) in values.iter().zip(attributes) {
        if name != expected {
            return Err(EncodeError::Type(Type::Object(attributes.clone())));
        }
        write_str(out, name)?;
        write(out, value, ty)?;
    }
    Ok(())
}

/// An integer where it fits, a float where it is exact and not whole, decimal text elsewhere:
/// a float near 0.1 is another number than the 0.1 of the configuration.
pub(super) fn write_number(out: &mut Vec<u8>, number: &Number) -> Result<(), EncodeError> {
    if let Some(int) = number.as_i64() {
        write_sint(out, int)?;
        return Ok(());
    }
    match number.as_exact_f64().filter(|_| !number.is_integer()) {
        Some(float) => write_f64(out, float)?,
        None => write_str(out, &number.to_string())?,
    }
    Ok(())
}

fn length(length: usize) -> Result<u32, EncodeError> {
    u32::try_from(length).map_err(EncodeError::write)
}
