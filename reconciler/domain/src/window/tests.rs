use jiff::civil::date;
use jiff::tz::TimeZone;

use super::*;

fn spec(kind: WindowKind, rule: &str, duration: &str, zone: &str) -> WindowSpec {
    WindowSpec {
        name: "w".to_owned(),
        kind,
        rule: rule.parse().expect("a rule"),
        start: None,
        duration: crate::duration::parse(duration).expect("a duration"),
        timezone: zone.parse().expect("a zone"),
        actions: [Action::Promote].into(),
        groups: BTreeSet::new(),
        exempt: BTreeSet::new(),
    }
}

fn window(kind: WindowKind, rule: &str, duration: &str, zone: &str) -> Window {
    Window::new(spec(kind, rule, duration, zone)).expect("a window")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

#[track_caller]
fn refused(text: &str, reason: &str) {
    let error = text.parse::<Recurrence>().expect_err("it is no rule").to_string();
    assert!(error.contains(reason), "{text:?} gives {error:?}, not {reason:?}");
}

#[test]
fn malformed_rules_say_what_is_wrong() {
    refused("", "\"\" is not NAME=VALUE");
    refused("BYHOUR=9", "FREQ is missing");
    refused("FREQ=WEEKLI", "there is no FREQ=WEEKLI; did you mean \"WEEKLY\"?");
    refused("FREQ=SECONDLY", "FREQ=SECONDLY is no window");
    refused("FREQ=DAILY;BYHUOR=9", "there is no part \"BYHUOR\"; did you mean \"BYHOUR\"?");
    refused("FREQ=DAILY;BYHOUR=24", "\"24\" in BYHOUR is not a number from 0 to 23");
    refused("FREQ=DAILY;BYHOUR=9;BYHOUR=10", "BYHOUR stands twice");
    refused("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is not a number from 1 to 400");
    refused("FREQ=DAILY;COUNT=1000000", "COUNT=1000000 is not a number from 1 to 366");
    refused("FREQ=DAILY;COUNT=1;UNTIL=20260101", "COUNT and UNTIL exclude each other");
    refused("FREQ=DAILY;UNTIL=soon", "UNTIL=soon is not a date");
    refused("FREQ=WEEKLY;BYDAY=MON", "\"MON\" in BYDAY is not one of MO");
    refused("FREQ=WEEKLY;BYDAY=1MO", "BYDAY has numbers only in MONTHLY and YEARLY");
    refused("FREQ=WEEKLY;BYDAY=é", "in BYDAY is not one of MO");
    refused("FREQ=MONTHLY;BYMONTHDAY=0", "\"0\" in BYMONTHDAY is not a number");
    refused("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO belongs to YEARLY rules");
    refused("FREQ=DAILY;BYSETPOS=1", "BYSETPOS picks from what another BY part gives");
    refused("FREQ=HOURLY;BYMINUTE=0,5,10,15,20", "it starts 120 times a day");
}

#[track_caller]
fn no_window(change: impl FnOnce(&mut WindowSpec), field: &str, message: &str) {
    let mut spec = spec(WindowKind::Allow, "FREQ=DAILY;BYHOUR=9", "1h", "UTC");
    change(&mut spec);
    let error = Window::new(spec).expect_err("it is no window");
    assert_eq!((error.field, error.message.as_str()), (field, message));
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let rule = |text: &str| text.parse::<Recurrence>().expect("a rule");
    no_window(
        |spec| spec.duration = Duration::ZERO,
        "duration",
        "an occurrence lasts longer than 0s and at most 366d",
    );
    no_window(
        |spec| spec.rule = rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
        "rule",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30 never fires: no day from 1970-01-01 on fits it",
    );
    no_window(
        |spec| {
            spec.rule = rule("FREQ=DAILY;UNTIL=20200101");
            spec.start = Some(date(2026, 1, 1).at(0, 0, 0, 0));
        },
        "rule",
        "FREQ=DAILY;UNTIL=20200101 never fires: no day from 2026-01-01 on fits it",
    );
    no_window(
        |spec| spec.rule = rule("FREQ=WEEKLY;BYHOUR=9"),
        "rule",
        "FREQ=WEEKLY without BYDAY counts from a start: set `start`, such as 2026-01-05T09:00:00",
    );
    no_window(
        |spec| spec.rule = rule("FREQ=DAILY;COUNT=3"),
        "rule",
        "COUNT counts from a start: set `start`, such as 2026-01-05T09:00:00",
    );
}

#[test]
fn zones_are_names() {
    assert_eq!("europe/berlin".parse::<Zone>().map(String::from), Ok("Europe/Berlin".to_owned()));
    let error = "Europe/Berln".parse::<Zone>().expect_err("no zone").to_string();
    assert!(error.contains("(did you mean \"Europe/Berlin\"?)"), "{error}");
    for bad in ["", "+02:00", "CET-1CEST", "Local"] {
        assert!(bad.parse::<Zone>().is_err(), "{bad:?}");
    }
}

#[test]
fn it_opens_when_it_says() {
    let office =
        window(WindowKind::Allow, "FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9", "7h", "Europe/Berlin");
    let night = window(WindowKind::Deny, "FREQ=WEEKLY;BYDAY=TU", "24h", "Europe/Berlin");
    let set = [office, night];
    let schedule = Schedule::of([set.as_slice()], Action::Promote, &BTreeSet::new());
    // A Monday in summer, before, in and after; then a Tuesday, which is denied.
    let monday = at("2026-07-06T06:59:59Z");
    assert!(!schedule.open_at(monday));
    assert_eq!(schedule.next_opening(monday), NextChange::At(at("2026-07-06T07:00:00Z")));
    assert!(schedule.open_at(at("2026-07-06T07:00:00Z")));
    assert!(!schedule.open_at(at("2026-07-07T08:00:00Z")));
    let closing: Vec<&str> =
        schedule.closed_by(at("2026-07-07T08:00:00Z")).iter().map(|w| w.name()).collect();
    assert_eq!(closing, ["w"]);
    let after = schedule.next_opening(at("2026-07-06T14:00:00Z"));
    assert_eq!(after, NextChange::At(at("2026-07-13T07:00:00Z")));
}

#[test]
fn policies_must_all_be_open() {
    let early = [window(WindowKind::Allow, "FREQ=DAILY;BYHOUR=8", "2h", "UTC")];
    let late = [window(WindowKind::Allow, "FREQ=DAILY;BYHOUR=9", "2h", "UTC")];
    let both = Schedule::of([early.as_slice(), &late], Action::Promote, &BTreeSet::new());
    let open = |hour: &str| both.open_at(at(&format!("2026-07-06T{hour}:30:00Z")));
    assert_eq!([open("08"), open("09"), open("10")], [false, true, false]);
    assert_eq!(
        both.next_opening(at("2026-07-06T10:00:00Z")),
        NextChange::At(at("2026-07-07T09:00:00Z"))
    );
}

#[test]
fn a_window_concerns_whom_it_says() {
    let mut spec = spec(WindowKind::Deny, "FREQ=DAILY", "24h", "UTC");
    spec.groups = ["dev".to_owned()].into();
    spec.exempt = ["sre".to_owned()].into();
    let window = Window::new(spec).expect("a window");
    let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert!(window.concerns(Action::Promote, &groups(&["dev"])));
    assert!(!window.concerns(Action::Promote, &groups(&["dev", "sre"])));
    assert!(!window.concerns(Action::Promote, &groups(&[])));
    assert!(!window.concerns(Action::Rollback, &groups(&["dev"])));
}

#[test]
fn windows_that_never_pause_end_the_search() {
    let always = [window(WindowKind::Allow, "FREQ=DAILY", "1d", "UTC")];
    let schedule = Schedule::of([always.as_slice()], Action::Promote, &BTreeSet::new());
    let now = at("2026-07-06T10:00:00Z");
    assert!(schedule.open_at(now));
    assert!(matches!(schedule.next_change(now), NextChange::NotBefore(_)));
    // In Berlin the day of 25 hours is longer than the window.
    let berlin = [window(WindowKind::Allow, "FREQ=DAILY", "1d", "Europe/Berlin")];
    let schedule = Schedule::of([berlin.as_slice()], Action::Promote, &BTreeSet::new());
    assert_eq!(schedule.next_change(now), NextChange::At(at("2026-10-25T22:00:00Z")));
}

#[test]
fn what_is_stored_is_read_back() {
    let mut spec = spec(WindowKind::Allow, "RRULE:FREQ=DAILY;COUNT=3", "90m", "Asia/Kathmandu");
    spec.start = Some(date(2026, 7, 6).at(9, 0, 0, 0));
    let window = Window::new(spec).expect("a window");
    let text = serde_json::to_string(&window).expect("JSON");
    assert_eq!(serde_json::from_str::<Window>(&text).expect("a window"), window);
    assert_eq!(window.next_start(at("2026-07-08T03:15:00Z")), None);
}

/// Every start of the rule between two days, found day by day from what the RFC says of a filter,
/// and not from periods.
#[test]
fn rules_fire_on_the_days_they_name() {
    let cases: [(&str, &[&str]); 8] = [
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", &["2024-01-01", "2024-12-30"]),
        ("FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU", &["2024-12-29"]),
        ("FREQ=YEARLY;BYDAY=20MO", &["2024-05-13"]),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", &["2024-03-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR", &["2024-09-13", "2024-12-13"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1;BYMONTH=6,9", &["2024-06-03", "2024-09-02"]),
        ("FREQ=YEARLY;BYYEARDAY=60,-1", &["2024-02-29", "2024-12-31"]),
        ("FREQ=DAILY;BYMONTH=1;BYMONTHDAY=1,31", &["2024-01-01", "2024-01-31"]),
    ];
    for (rule, days) in cases {
        let window = window(WindowKind::Allow, rule, "1h", "UTC");
        let mut found = Vec::new();
        let mut last = at("2023-12-31T12:00:00Z");
        while let Some(next) = window.next_start(last).filter(|n| *n < at("2025-01-01T00:00:00Z")) {
            found.push(TimeZone::UTC.to_datetime(next).date().to_string());
            last = next;
        }
        assert_eq!(found, days, "{rule}");
    }
}

#[test]
fn hours_recur_with_their_interval() {
    let mut spec = spec(WindowKind::Allow, "FREQ=HOURLY;INTERVAL=5;BYMINUTE=30", "10m", "UTC");
    spec.start = Some(date(2024, 1, 1).at(22, 0, 0, 0));
    let window = Window::new(spec).expect("a window");
    assert_eq!(window.next_start(at("2024-01-01T00:00:00Z")), Some(at("2024-01-01T22:30:00Z")));
    assert_eq!(window.next_start(at("2024-01-01T22:30:00Z")), Some(at("2024-01-02T03:30:00Z")));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> impl Strategy<Value = (String, u64, &'static str)> {
        let rule = prop_oneof![
            (0..24_i8, 0..60_i8).prop_map(|(h, m)| format!("FREQ=DAILY;BYHOUR={h};BYMINUTE={m}")),
            (0..24_i8).prop_map(|h| format!("FREQ=WEEKLY;BYDAY=MO,SA;BYHOUR={h}")),
            (1..32_i8).prop_map(|d| format!("FREQ=MONTHLY;BYMONTHDAY={d};BYHOUR=2")),
            (1..54_i8).prop_map(|w| format!("FREQ=YEARLY;BYWEEKNO={w};BYDAY=TU")),
            Just("FREQ=HOURLY;BYMINUTE=15,45".to_owned()),
        ];
        let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
        (rule, 1..100_000_u64, prop::sample::select(zones.to_vec()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Nothing changes before the next change, and something does then.
        #[test]
        fn changes_are_where_they_are_said(
            windows in prop::collection::vec((rules(), any::<bool>()), 1..4),
            seconds in 1_700_000_000_i64..1_800_000_000,
            samples in prop::collection::vec(0.0..1.0_f64, 4),
        ) {
            let windows: Vec<Window> = windows
                .iter()
                .map(|((rule, length, zone), deny)| {
                    let kind = if *deny { WindowKind::Deny } else { WindowKind::Allow };
                    let mut spec = spec(kind, rule, "1h", zone);
                    spec.duration = Duration::from_secs(*length);
                    Window::new(spec).expect("a window")
                })
                .collect();
            let set = windows.as_slice();
            let schedule = Schedule::of([set], Action::Promote, &BTreeSet::new());
            let from = Timestamp::from_second(seconds).expect("an instant");
            let open = schedule.open_at(from);
            let next = schedule.next_change(from);
            let end = next.earliest().unwrap_or(Timestamp::from_second(1_900_000_000).expect("an instant"));
            if let NextChange::At(at) = next {
                prop_assert_ne!(schedule.open_at(at), open);
            }
            let length = (end.as_second() - seconds - 1).max(0);
            for sample in samples {
                let offset = (sample * length as f64) as i64;
                let at = Timestamp::from_second(seconds + offset).expect("an instant");
                prop_assert_eq!(schedule.open_at(at), open, "at {}", at);
            }
            prop_assert_eq!(schedule.closed_by(from).is_empty(), open);
        }
    }
}
