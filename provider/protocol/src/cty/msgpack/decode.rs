//! Reading values.

use std::collections::BTreeMap;

use rmp::Marker;

use super::{REFINED, unknown};
use crate::cty::conform::{canonical_set, normalized};
use crate::cty::types::{MAX_DEPTH, TypeError};
use crate::cty::{Dynamic, Number, NumberError, Path, Step, Type, Value};

/// Why bytes are not a value of the type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside the value.
    #[error("value ends early")]
    Short,
    /// There are bytes after the value.
    #[error("{0} bytes after the value")]
    Trailing(usize),
    /// Something else is where the type demands a value of its own.
    #[error("at {path}: marker {marker:#04x} where {expected} belongs")]
    Mismatch {
        /// Where in the value.
        path: Path,
        /// The first byte of what is there.
        marker: u8,
        /// What belongs there.
        expected: String,
    },
    /// An object or tuple has other parts than its type.
    #[error("at {path}: {problem}")]
    Shape {
        /// Where in the value.
        path: Path,
        /// What is wrong.
        problem: String,
    },
    /// Text is not UTF-8.
    #[error("at {0}: text is not UTF-8")]
    Utf8(Path),
    /// A number cannot be read.
    #[error("at {path}: {source}")]
    Number {
        /// Where in the value.
        path: Path,
        /// What is wrong with it.
        source: NumberError,
    },
    /// The type that comes with a value at a dynamic place cannot be read.
    #[error("at {path}: {source}")]
    Type {
        /// Where in the value.
        path: Path,
        /// What is wrong with it.
        source: TypeError,
    },
    /// The value nests too deep.
    #[error("value nests deeper than {MAX_DEPTH}")]
    Deep,
}

/// Reads a value of `ty`.
///
/// # Errors
///
/// When the bytes are anything but exactly one value of `ty`.
pub fn decode(bytes: &[u8], ty: &Type) -> Result<Value, DecodeError> {
    let mut decoder = Decoder { bytes, depth: 0 };
    let value = decoder.value(ty, &Path::root())?;
    match decoder.bytes.len() {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}

pub(super) struct Decoder<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) depth: usize,
}

impl<'b> Decoder<'b> {
    pub(super) fn value(&mut self, ty: &Type, path: &Path) -> Result<Value, DecodeError> {
        if self.depth > MAX_DEPTH {
            return Err(DecodeError::Deep);
        }
        let before = self.bytes;
        let marker = self.marker()?;
        if marker == Marker::Null {
            return Ok(Value::Null);
        }
        if let Some(length) = self.ext_length(marker)? {
            return self.extension(length, ty);
        }
        self.depth += 1;
        let value = match ty {
            Type::String => self.text(marker, path).map(|text| Value::String(normalized(text)))?,
            Type::Number => self.number(marker, path).map(Value::Number)?,
            Type::Bool => self.bool(marker, path).map(Value::Bool)?,
            Type::Dynamic => self.dynamic(marker, path)?,
            Type::List(element) => Value::List(self.elements(
                marker,
                path,
                "a list",
                |_| Some(element),
                Step::Index,
            )?),
            Type::Set(element) => {
                let element = |_| Some(&**element);
                let values = self.elements(marker, path, "a set", element, |_| Step::Element)?;
                Value::List(canonical_set(values))
            }
            Type::Tuple(types) => self.tuple(marker, types, path)?,
            Type::Map(element) => self.map(marker, element, path)?,
            Type::Object(attributes) => self.object(marker, attributes, path)?,
        };
        self.depth -= 1;
        debug_assert!(self.bytes.len() < before.len(), "a value takes at least its marker");
        Ok(value)
    }

    fn extension(&mut self, length: usize, ty: &Type) -> Result<Value, DecodeError> {
        let [kind] = self.array()?;
        let body = self.take(length)?;
        if kind.cast_signed() != REFINED {
            return Ok(Value::unknown());
        }
        Ok(unknown::decode(body, ty))
    }

    fn elements<'t>(
        &mut self,
        marker: Marker,
        path: &Path,
        what: &str,
        ty: impl Fn(usize) -> Option<&'t Type>,
        step: impl Fn(usize) -> Step,
    ) -> Result<Vec<Value>, DecodeError> {
        let length = self.array_length(marker, path, what)?;
        let mut values = Vec::new();
        for index in 0..length {
            let Some(ty) = ty(index) else { break };
            values.push(self.value(ty, &path.step(step(index)))?);
        }
        Ok(values)
    }

    fn tuple(&mut self, marker: Marker, types: &[Type], path: &Path) -> Result<Value, DecodeError> {
        let length = self.array_length(marker, path, "a tuple")?;
        if length != types.len() {
            let problem = format!("{length} elements in a tuple of {}", types.len());
            return Err(DecodeError::Shape { path: path.clone(), problem });
        }
        let types = types.iter().enumerate();
        let values = types.map(|(index, ty)| self.value(ty, &path.index(index)));
        values.collect::<Result<_, _>>().map(Value::List)
    }

    fn map(&mut self, marker: Marker, element: &Type, path: &Path) -> Result<Value, DecodeError> {
        let length = self.map_length(marker, path, "a map")?;
        let mut values = BTreeMap::new();
        for _ in 0..length {
            let key = self.key(path)?;
            let value = self.value(element, &path.key(&key))?;
            values.insert(key, value);
        }
        Ok(Value::Map(values))
    }

    fn object(
        &mut self,
        marker: Marker,
        attributes: &BTreeMap<String, Type>,
        path: &Path,
    ) -> Result<Value, DecodeError> {
        let shape = |problem| DecodeError::Shape { path: path.clone(), problem };
        let length = self.map_length(marker, path, "an object")?;
        if length != attributes.len() {
            return Err(shape(format!("{length} attributes in an object of {}", attributes.len())));
        }
        let mut values = BTreeMap::new();
        for _ in 0..length {
            let name = self.key(path)?;
            let Some(ty) = attributes.get(&name) else {
                return Err(shape(format!("no attribute {name:?} in the type")));
            };
            let value = self.value(ty, &path.field(&name))?;
            if values.insert(name, value).is_some() {
                return Err(shape("an attribute twice".to_owned()));
            }
        }
        Ok(Value::Map(values))
    }

    fn dynamic(&mut self, marker: Marker, path: &Path) -> Result<Value, DecodeError> {
        let length = self.array_length(marker, path, "a type and a value")?;
        if length != 2 {
            let problem = format!("{length} parts where a type and a value belong");
            return Err(DecodeError::Shape { path: path.clone(), problem });
        }
        let marker = self.marker()?;
        let wire = self.chunk(marker, path, "a type")?;
        let ty = Type::from_wire(wire)
            .map_err(|source| DecodeError::Type { path: path.clone(), source })?;
        let value = self.value(&ty, path)?;
        Ok(match ty {
            Type::Dynamic => value,
            ty => Value::Dynamic(Box::new(Dynamic { ty, value })),
        })
    }

    fn key(&mut self, path: &Path) -> Result<String, DecodeError> {
        let marker = self.marker()?;
        self.text(marker, path).map(normalized)
    }

    fn text(&mut self, marker: Marker, path: &Path) -> Result<String, DecodeError> {
        let bytes = self.chunk(marker, path, "a string")?;
        let text = str::from_utf8(bytes).map_err(|_| DecodeError::Utf8(path.clone()))?;
        Ok(text.to_owned())
    }

    pub(super) fn bool(&mut self, marker: Marker, path: &Path) -> Result<bool, DecodeError> {
        match marker {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            other => Err(mismatch(path, other, "a boolean")),
        }
    }

    pub(super) fn number(&mut self, marker: Marker, path: &Path) -> Result<Number, DecodeError> {
        let wrong = |source| DecodeError::Number { path: path.clone(), source };
        if let Some(integer) = self.integer(marker)? {
            return Ok(Number::from(integer));
        }
        match marker {
            Marker::F32 => {
                let float = f32::from_be_bytes(self.array()?);
                Number::from_f64(f64::from(float)).map_err(wrong)
            }
            Marker::F64 => Number::from_f64(f64::from_be_bytes(self.array()?)).map_err(wrong),
            _ => {
                let bytes = self.chunk(marker, path, "a number")?;
                let text = str::from_utf8(bytes).map_err(|_| DecodeError::Utf8(path.clone()))?;
                text.parse().map_err(wrong)
            }
        }
    }

    pub(super) fn integer(&mut self, marker: Marker) -> Result<Option<i128>, DecodeError> {
        Ok(Some(match marker {
            Marker::FixPos(int) => i128::from(int),
            Marker::FixNeg(int) => i128::from(int),
            Marker::U8 => i128::from(u8::from_be_bytes(self.array()?)),
            Marker::U16 => i128::from(u16::from_be_bytes(self.array()?)),
            Marker::U32 => i128::from(u32::from_be_bytes(self.array()?)),
            Marker::U64 => i128::from(u64::from_be_bytes(self.array()?)),
            Marker::I8 => i128::from(i8::from_be_bytes(self.array()?)),
            Marker::I16 => i128::from(i16::from_be_bytes(self.array()?)),
            Marker::I32 => i128::from(i32::from_be_bytes(self.array()?)),
            Marker::I64 => i128::from(i64::from_be_bytes(self.array()?)),
            _ => return Ok(None),
        }))
    }

    pub(super) fn marker(&mut self) -> Result<Marker, DecodeError> {
        let [byte] = self.array()?;
        Ok(Marker::from_u8(byte))
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, left) = self.bytes.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.bytes = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, left) = self.bytes.split_first_chunk().ok_or(DecodeError::Short)?;
        self.bytes = left;
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, DecodeError> {
        self.array().map(|bytes| usize::from(u8::from_be_bytes(bytes)))
    }

    fn length16(&mut self) -> Result<usize, DecodeError> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn length32(&mut self) -> Result<usize, DecodeError> {
        let length = self.array().map(u32::from_be_bytes)?;
        usize::try_from(length).map_err(|_| DecodeError::Short)
    }

    pub(super) fn array_length(
        &mut self,
        marker: Marker,
        path: &Path,
        what: &str,
    ) -> Result<usize, DecodeError> {
        match marker {
            Marker::FixArray(length) => Ok(usize::from(length)),
            Marker::Array16 => self.length16(),
            Marker::Array32 => self.length32(),
            other => Err(mismatch(path, other, what)),
        }
    }

    pub(super) fn map_length(
        &mut self,
        marker: Marker,
        path: &Path,
        what: &str,
    ) -> Result<usize, DecodeError> {
        match marker {
            Marker::FixMap(length) => Ok(usize::from(length)),
            Marker::Map16 => self.length16(),
            Marker::Map32 => self.length32(),
            other => Err(mismatch(path, other, what)),
        }
    }

    /// The bytes of a string, or of a binary in its place.
    pub(super) fn chunk(
        &mut self,
        marker: Marker,
        path: &Path,
        what: &str,
    ) -> Result<&'b [u8], DecodeError> {
        let length = match marker {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 | Marker::Bin8 => self.length8()?,
            Marker::Str16 | Marker::Bin16 => self.length16()?,
            Marker::Str32 | Marker::Bin32 => self.length32()?,
            other => return Err(mismatch(path, other, what)),
        };
        self.take(length)
    }

    fn ext_length(&mut self, marker: Marker) -> Result<Option<usize>, DecodeError> {
        Ok(Some(match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => self.length8()?,
            Marker::Ext16 => self.length16()?,
            Marker::Ext32 => self.length32()?,
            _ => return Ok(None),
        }))
    }
}

fn mismatch(path: &Path, marker: Marker, expected: &str) -> DecodeError {
    DecodeError::Mismatch {
        path: path.clone(),
        marker: marker.to_u8(),
        expected: expected.to_owned(),
    }
}
