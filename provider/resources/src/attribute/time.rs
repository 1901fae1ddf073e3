//! Attributes about time: lengths, instants, wall clocks and their zones.

use jiff::Timestamp;
use provider_protocol::cty::Value;
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

/// An instant, as RFC 3339 has it. Two texts of the same instant are no change.
pub(crate) fn instant() -> Attribute {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
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
