//! Attributes about time: lengths, instants, wall clocks and their zones.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use provider_protocol::cty::{Type, Value};
use provider_protocol::schema::Attribute;
use reconciler_domain::duration;
use reconciler_domain::window::{Zone, local};

use super::{checked, parsed};
use crate::words::sentence;

/// A length of time. Two texts of the same length are no change.
pub(crate) fn span() -> Attribute {
    let parse = |value: &Value| value.as_str().and_then(|text| duration::parse(text).ok());
    checked(|text| duration::parse(text).map(drop).map_err(|error| sentence(&error.to_string())))
        .equal(move |left, right| parse(left).is_some() && parse(left) == parse(right))
}

/// Lengths of time, under names of a kind.
pub(crate) fn span_map<N: FromStr<Err: Display> + 'static>() -> Attribute {
    let parse = |value: &Value| -> Option<BTreeMap<String, Duration>> {
        let entries = value.as_map()?.iter();
        let read = |text: &Value| text.as_str().and_then(|text| duration::parse(text).ok());
        entries.map(|(name, text)| Some((name.clone(), read(text)?))).collect()
    };
    let map = Attribute::map(Type::String).validate(|value| {
        for (name, text) in value.as_map().into_iter().flatten() {
            name.parse::<N>().map_err(|error| sentence(&error.to_string()))?;
            let Some(text) = text.as_str() else {
                return Err(format!("No value may be null, but {name:?} is."));
            };
            duration::parse(text)
                .map_err(|error| format!("{name:?}: {}", sentence(&error.to_string())))?;
        }
        Ok(())
    });
    map.equal(move |left, right| parse(left).is_some() && parse(left) == parse(right))
}

/// An instant, as RFC 3339 has it. Two texts of the same instant are no change; the daemon keeps
/// microseconds, so what is finer than that does not tell two instants apart.
pub(crate) fn instant() -> Attribute {
    let parse = |value: &Value| {
        let at = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        at.map(Timestamp::as_microsecond)
    };
    checked(|text| match text.parse::<Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not an instant: write it with its zone, such as 2030-01-01T08:00:00Z."
        )),
    })
    .equal(move |left, right| parse(left).is_some() && parse(left) == parse(right))
}

/// A zone by its IANA name.
pub(crate) fn zone() -> Attribute {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Zone>().ok());
    parsed::<Zone>().equal(move |a, b| parse(a).is_some() && parse(a) == parse(b))
}

/// The reading of a wall clock.
pub(crate) fn local_time() -> Attribute {
    let parse = |value: &Value| value.as_str().and_then(|text| local(text).ok());
    checked(|text| local(text).map(drop).map_err(|error| sentence(&error)))
        .equal(move |a, b| parse(a).is_some() && parse(a) == parse(b))
}
