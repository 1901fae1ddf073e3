//! Instants as people think of them: how long ago, or how long until.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long ago, in the largest unit that is there at least twice, such as `3h`; in the future,
/// `in 3h`.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    if seconds < 0 { format!("in {}", span(-seconds)) } else { span(seconds) }
}

/// The same, or a dash.
pub(super) fn age_or_dash(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| age(at, now))
}

/// An instant to the second, for what people plan by.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn span(seconds: i64) -> String {
    match [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")].iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{DAY, HOUR, MINUTE, age};

    #[test]
    fn the_largest_unit_that_fits_twice() {
        let check = |seconds| age(Timestamp::UNIX_EPOCH, Timestamp::constant(seconds, 0));
        assert_eq!(check(0), "0s");
        assert_eq!(check(2 * MINUTE - 1), "119s");
        assert_eq!(check(2 * MINUTE), "2m");
        assert_eq!(check(2 * HOUR - 1), "119m");
        assert_eq!(check(47 * HOUR), "47h");
        assert_eq!(check(400 * DAY), "400d");
        assert_eq!(check(-3 * HOUR), "in 3h");
    }
}
