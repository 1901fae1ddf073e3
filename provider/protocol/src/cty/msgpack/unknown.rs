//! Unknown values and what is promised about them.

use rmp::encode::{write_bool, write_ext_meta, write_map_len, write_str, write_uint};

use super::REFINED;
use super::decode::{DecodeError, Decoder};
use super::encode::{EncodeError, write_number};
use crate::cty::{Bound, Path, Refinement, Type, Value};

/// Longer bodies are not read by the client.
const MAX_BODY: usize = 1024;

const NULLNESS: u64 = 1;
const PREFIX: u64 = 2;
const MIN: u64 = 3;
const MAX: u64 = 4;
const MIN_LENGTH: u64 = 5;
const MAX_LENGTH: u64 = 6;

/// Reads the body of a refined unknown. A promise that cannot be read is none: the value is
/// unknown in any case.
pub(super) fn decode(body: &[u8], ty: &Type) -> Value {
    let mut decoder = Decoder { bytes: body, depth: 0 };
    match promises(&mut decoder) {
        Ok((_, true)) => Value::Null,
        Ok((refinement, false)) => Value::unknown_with(refinement.for_type(ty)),
        Err(_) => Value::unknown(),
    }
}

/// What is promised, and whether it is that the value will be null.
fn promises(decoder: &mut Decoder<'_>) -> Result<(Refinement, bool), DecodeError> {
    let root = Path::root();
    let marker = decoder.marker()?;
    let count = decoder.map_length(marker, &root, "a map of promises")?;
    let (mut refinement, mut null) = (Refinement::default(), false);
    for _ in 0..count {
        let marker = decoder.marker()?;
        let key = decoder.integer(marker)?.and_then(|key| u64::try_from(key).ok());
        let marker = decoder.marker()?;
        match key {
            Some(NULLNESS) => {
                null = decoder.bool(marker, &root)?;
                refinement.not_null = !null;
            }
            Some(PREFIX) => {
                let bytes = decoder.chunk(marker, &root, "a prefix")?;
                let prefix = str::from_utf8(bytes).map_err(|_| DecodeError::Utf8(root.clone()))?;
                refinement.prefix = Some(prefix.to_owned());
            }
            Some(MIN) => refinement.min = Some(bound(decoder, marker)?),
            Some(MAX) => refinement.max = Some(bound(decoder, marker)?),
            Some(MIN_LENGTH) => refinement.min_length = length(decoder, marker)?,
            Some(MAX_LENGTH) => refinement.max_length = length(decoder, marker)?,
            // A promise of a newer kind has a form that we do not know: stop here.
            _ => break,
        }
    }
    Ok((refinement, null))
}

fn bound(decoder: &mut Decoder<'_>, marker: rmp::Marker) -> Result<Bound, DecodeError> {
    let root = Path::root();
    decoder.array_length(marker, &root, "a bound")?;
    let marker = decoder.marker()?;
    let value = decoder.number(marker, &root)?;
    let marker = decoder.marker()?;
    let inclusive = decoder.bool(marker, &root)?;
    Ok(Bound { value, inclusive })
}

fn length(decoder: &mut Decoder<'_>, marker: rmp::Marker) -> Result<Option<u64>, DecodeError> {
    Ok(decoder.integer(marker)?.and_then(|length| u64::try_from(length).ok()))
}

/// Writes an unknown, with its promises as far as they can be made of `ty` and fit.
pub(super) fn encode(
    out: &mut Vec<u8>,
    refinement: Option<&Refinement>,
    ty: &Type,
) -> Result<(), EncodeError> {
    let refinement = refinement.map(|refinement| refinement.for_type(ty));
    if let Some(refinement) = refinement.filter(|refinement| !refinement.is_empty()) {
        let body = body(&refinement)?;
        if body.len() <= MAX_BODY {
            let length = u32::try_from(body.len()).expect("at most the limit above");
            write_ext_meta(out, length, REFINED)?;
            out.extend(body);
            return Ok(());
        }
    }
    out.extend([0xd4, 0, 0]);
    Ok(())
}

fn body(refinement: &Refinement) -> Result<Vec<u8>, EncodeError> {
    let Refinement { not_null, prefix, min, max, min_length, max_length } = refinement;
    let bounds = [(MIN, min), (MAX, max)];
    let lengths = [(MIN_LENGTH, min_length), (MAX_LENGTH, max_length)];
    let count = u32::from(*not_null)
        + u32::from(prefix.is_some())
        + bounds.iter().map(|(_, bound)| u32::from(bound.is_some())).sum::<u32>()
        + lengths.iter().map(|(_, length)| u32::from(length.is_some())).sum::<u32>();
    let mut out = Vec::new();
    write_map_len(&mut out, count)?;
    if *not_null {
        write_uint(&mut out, NULLNESS)?;
        write_bool(&mut out, false).map_err(EncodeError::write)?;
    }
    if let Some(prefix) = prefix {
        write_uint(&mut out, PREFIX)?;
        write_str(&mut out, prefix)?;
    }
    for (key, bound) in bounds {
        if let Some(Bound { value, inclusive }) = bound {
            write_uint(&mut out, key)?;
            rmp::encode::write_array_len(&mut out, 2)?;
            write_number(&mut out, value)?;
            write_bool(&mut out, *inclusive).map_err(EncodeError::write)?;
        }
    }
    for (key, length) in lengths {
        if let Some(length) = length {
            write_uint(&mut out, key)?;
            write_uint(&mut out, *length)?;
        }
    }
    Ok(out)
}
