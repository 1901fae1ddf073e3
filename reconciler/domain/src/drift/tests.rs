#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::infra::{AttributeChange, Plan};
use crate::step::PlanCall;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn basis() -> Basis {
    let plan: PlanCall = serde_json::from_value(json!({
        "dir": "infra/db", "vars": {}, "var_files": [], "state": "db", "tool": null,
        "lock_timeout": { "secs": 60, "nanos": 0 }, "timeout": { "secs": 60, "nanos": 0 }, "destroy": [],
    }))
    .unwrap();
    Basis {
        promotion: "prod.3".parse().unwrap(),
        step: "apply".parse().unwrap(),
        applied_at: at(0),
        plan,
        rebuild: Vec::new(),
        left: Left::Unknown,
    }
}

fn snapshot(every: Option<u64>) -> DriftSnapshot {
    let stage = json!({
        "name": "prod", "labels": {}, "vars": {}, "requests": [], "steps": [], "verifications": [],
        "choose": "latest",
        "drift": every.map(|every| json!({ "every": { "secs": every * 60, "nanos": 0 } })),
    });
    DriftSnapshot {
        project: "shop".parse().unwrap(),
        stage: serde_json::from_value(stage).unwrap(),
        bases: vec![basis()],
        settled: Some("prod.3".parse().unwrap()),
        settled_at: Some(at(0)),
        slot: None,
        record: None,
        asked_at: None,
    }
}

/// A record of a look that took from one minute to another.
fn looked(began: i64, ended: i64, failures: u32) -> DriftRecord {
    DriftRecord {
        began_at: at(began),
        ended_at: at(ended),
        failures,
        states: vec![StateDrift::of(&basis(), Found::Clean)],
    }
}

const ANY: Allowance<'static> = Allowance { begun: &[], per_hour: 60 };

/// Whether a stage is looked at in a minute, and else in which minutes the next decision is made.
fn check(snapshot: &DriftSnapshot, now: i64, expect: Option<std::ops::RangeInclusive<i64>>) {
    match (next(snapshot, ANY, at(now)), expect) {
        (LookPlan::Look, None) => {}
        (LookPlan::Wait(Some(until)), Some(expect)) => {
            assert!(at(*expect.start()) <= until && until <= at(*expect.end()), "{now}: {until}");
        }
        (plan, expect) => panic!("{now}: {plan:?}, not {expect:?}"),
    }
}

#[test]
fn a_stage_is_looked_at_when_its_time_is_over() {
    let watched = snapshot(Some(60));
    check(&watched, 1, Some(60..=66));
    check(&watched, 66, None);
    // It counts from the end of a look, however long that took.
    let slow = DriftSnapshot { record: Some(looked(60, 130, 0)), ..watched.clone() };
    check(&slow, 131, Some(190..=196));
    check(&slow, 196, None);
    // A promotion since then has seen everything itself.
    let promoted = DriftSnapshot { settled_at: Some(at(180)), ..slow };
    check(&promoted, 196, Some(240..=246));
    let nothing = |snapshot: &DriftSnapshot| {
        assert_eq!(next(snapshot, ANY, at(10_000)), LookPlan::Wait(None));
        assert_eq!(snapshot.bases.is_empty().then(|| snapshot.due()).flatten(), None);
    };
    nothing(&snapshot(None));
    nothing(&DriftSnapshot { bases: Vec::new(), asked_at: Some(at(1)), ..watched.clone() });
    nothing(&DriftSnapshot { slot: Some("prod.4".parse().unwrap()), ..watched });
}

#[test]
fn what_fails_is_tried_again_less_and_less_often() {
    let failed = |failures, every| {
        let record = Some(looked(0, 10, failures));
        DriftSnapshot { record, ..snapshot(Some(every)) }
    };
    for (failures, after) in [(1, 5), (2, 10), (3, 20), (4, 40), (7, 320), (8, 360), (30, 360)] {
        check(&failed(failures, 360), 11, Some(10 + after..=10 + after));
    }
    // Where looks come more often than that, failures make them seldom.
    for (failures, after) in [(1, 2), (2, 4), (6, 60), (9, 60)] {
        check(&failed(failures, 2), 11, Some(10 + after..=10 + after));
    }
    // A promotion may have mended it.
    let promoted = DriftSnapshot { settled_at: Some(at(20)), ..failed(8, 360) };
    check(&promoted, 21, Some(380..=416));
}

#[test]
fn what_is_asked_for_is_done_once_whatever_else_holds() {
    let asked = DriftSnapshot { asked_at: Some(at(5)), ..snapshot(None) };
    check(&asked, 5, None);
    let none = Allowance { begun: &[at(5)], per_hour: 1 };
    assert_eq!(next(&asked, none, at(5)), LookPlan::Look);
    // A look that was under way already may have missed what is asked for, whatever the clock says.
    for began in [4, 9] {
        let missed = DriftSnapshot { record: Some(looked(began, began + 1, 0)), ..asked.clone() };
        check(&missed, 10, None);
    }
    let done = DriftSnapshot { record: Some(looked(4, 4, 0)), asked_at: None, ..asked };
    assert_eq!(next(&done, ANY, at(6)), LookPlan::Wait(None));
}

#[test]
fn the_budget_holds_looks_back_until_one_is_an_hour_ago() {
    let due = snapshot(Some(1));
    let begun = [at(10), at(20), at(30)];
    let plan = |per_hour, now| next(&due, Allowance { begun: &begun, per_hour }, at(now));
    assert_eq!(plan(4, 31), LookPlan::Look);
    assert_eq!(plan(3, 31), LookPlan::Wait(Some(at(70))));
    assert_eq!(plan(2, 31), LookPlan::Wait(Some(at(80))));
    assert_eq!(plan(3, 70), LookPlan::Look);
}

proptest! {
    #[test]
    fn looks_are_spread_by_at_most_a_tenth(every in 1_u64..43_200, ended in 0_i64..1_000_000) {
        let record = Some(DriftRecord { ended_at: at(ended), ..looked(0, 0, 0) });
        let snapshot = DriftSnapshot { record, ..snapshot(Some(every)) };
        let wait = snapshot.due().unwrap().duration_since(at(ended));
        let wait = Duration::try_from(wait).unwrap();
        prop_assert!(wait >= minutes(every) && wait <= minutes(every) + minutes(every) / 10);
        prop_assert_eq!(snapshot.due(), snapshot.clone().due());
    }
}

fn resource(address: &str, action: &str, before: &Value, after: &Value) -> Value {
    json!({
        "address": address, "mode": "managed",
        "change": {
            "actions": [action], "before": before, "after": after,
            "before_sensitive": { "password": true }, "after_sensitive": { "password": true },
        },
    })
}

/// The plan of a look in which these are in the state, and these drifted.
fn plan(there: &[&str], drift: &[Value]) -> Plan {
    let resources: Vec<Value> = there.iter().map(|at| json!({ "address": at })).collect();
    Plan::from_value(&json!({
        "format_version": "1.2",
        "resource_drift": drift,
        "output_changes": { "url": { "actions": ["update"], "before": "a", "after": "b" } },
        "prior_state": { "values": { "root_module": {
            "child_modules": [{ "address": "module.net", "resources": resources }],
        } } },
        "configuration": { "root_module": { "module_calls": { "net": { "module": { "resources": [
            { "address": "a.x", "expressions": { "size": {}, "password": {} } },
        ] } } } } },
    }))
    .unwrap()
}

fn left(addresses: &[&str]) -> Left {
    Left::Known(addresses.iter().map(|address| Address::new(*address)).collect())
}

const X: &str = "module.net[\"eu\"].a.x[0]";

#[test]
fn a_look_says_what_differs_and_no_secret() {
    assert_eq!(found(&plan(&[X], &[]), &left(&[X])), Found::Clean);
    let (was, is) = (
        json!({ "size": 1, "password": "hunter2", "etag": "a" }),
        json!({ "size": 2, "password": "hunter3", "etag": "b" }),
    );
    let told = found(&plan(&[X], &[resource(X, "update", &was, &is)]), &left(&[X]));
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("hunter"), "{text}");
    let Found::Drifted(summary) = told else { panic!("{told:?}") };
    let drift = &summary.resources[0];
    let names: Vec<&str> = drift.attributes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, drift.configured), (vec!["etag", "password", "size"], true));
    assert_eq!(summary.outputs, ["url".to_owned()].into());
    assert_eq!(
        summary.describe(),
        "`module.net[\"eu\"].a.x[0]` was changed outside (etag, password, size)"
    );
    // What only the provider says is told apart.
    let is = json!({ "size": 1, "password": "hunter2", "etag": "b" });
    let told = found(&plan(&[X], &[resource(X, "update", &was, &is)]), &left(&[X]));
    let Found::Drifted(summary) = told else { panic!("{told:?}") };
    assert!(!summary.resources[0].configured);
}

#[test]
fn what_is_gone_is_no_clean_state() {
    let told = |plan: &Plan, left: &Left| match found(plan, left) {
        Found::Drifted(summary) => summary.describe(),
        other => format!("{other:?}"),
    };
    let deleted = [resource(X, "delete", &json!({ "size": 1 }), &Value::Null)];
    assert_eq!(told(&plan(&[], &deleted), &left(&[X])), format!("`{X}` was deleted outside"));
    let gone = "`a.y` is no longer in the state";
    assert_eq!(told(&plan(&[X], &[]), &left(&[X, "a.y"])), gone);
    // Nothing is left of the state.
    let empty = Plan::from_value(&json!({ "format_version": "1.2" })).unwrap();
    assert_eq!(told(&empty, &left(&["a.y"])), gone);
    assert_eq!(found(&empty, &Left::Unknown), Found::unknown("its state is missing or empty"));
    // The last apply had removed the last resource.
    assert_eq!(found(&empty, &left(&[])), Found::Clean);
    assert_eq!(lost(&left(&[])), Found::Clean);
    // Somebody removed it outside: the tool knows of no state any more, but of that.
    let emptied = json!({ "format_version": "1.2", "resource_drift": deleted });
    let emptied = Plan::from_value(&emptied).unwrap();
    for left in [Left::Unknown, left(&[]), left(&[X])] {
        assert_eq!(told(&emptied, &left), format!("`{X}` was deleted outside"));
    }
    let both = format!("{gone}, `{X}` was deleted outside");
    assert_eq!(told(&emptied, &left(&[X, "a.y"])), both);
}

#[test]
fn what_was_found_counts_until_the_state_is_applied_again() {
    let drift = Drift {
        address: Address::new(X),
        action: Action::Delete,
        attributes: Vec::new(),
        configured: true,
    };
    let summary = DriftSummary { resources: vec![drift], ..DriftSummary::default() };
    let states = vec![StateDrift::of(&basis(), Found::Drifted(summary))];
    let mut record = DriftRecord::new(Some(&looked(0, 1, 2)), at(2), at(3), states);
    assert_eq!((record.standing(), record.failures), (Standing::Drifted, 0));
    let by: PromotionId = "prod.4".parse().unwrap();
    assert!(!record.outdate(&[basis()], &[], &by));
    let applied = Basis { applied_at: at(9), promotion: by.clone(), ..basis() };
    assert!(record.outdate(&[applied], &[], &by));
    assert_eq!(record.standing(), Standing::Unknown);
    assert_eq!(record.describe(), "db: not looked at since promotion prod.4 changed it");
    assert!(record.states[0].drifted().is_none());
    // What another promotion has not applied is as it was; what is no state of the stage any more is forgotten.
    let mut other = looked(0, 1, 0);
    let older = Basis { applied_at: at(9), ..basis() };
    assert!(!other.outdate(&[older], &[], &by));
    let mut gone = looked(0, 1, 0);
    assert!(gone.outdate(&[], &[], &by) && gone.states.is_empty());
    // An apply that failed may have changed it all the same.
    let mut half = looked(0, 1, 0);
    let unsure = |promotion: &PromotionId| Unsure {
        promotion: promotion.clone(),
        state: basis().plan.state_key(),
    };
    let earlier = basis().promotion;
    assert!(!half.outdate(&[basis()], &[unsure(&earlier)], &by));
    assert!(half.outdate(&[basis()], &[unsure(&by)], &by));
    assert_eq!(half.states[0].outdated_by, Some(by.clone()));
    assert!(other.outdate_all(&by) && !other.outdate_all(&by));

    let failing = |before: &DriftRecord| {
        let states = vec![StateDrift::of(&basis(), Found::unknown("no network"))];
        DriftRecord::new(Some(before), at(4), at(5), states)
    };
    let failed = failing(&looked(0, 1, 2));
    assert_eq!((failed.standing(), failed.failures), (Standing::Unknown, 3));
    assert!(failed.differs(&record) && !failed.differs(&failed));
    assert!(failing(&record).states[0].drifted().is_none());

    // Who cannot look does not know that it was mended.
    record.states[0].outdated_by = None;
    let twice = failing(&failing(&record));
    assert_eq!(twice.standing(), Standing::Unknown);
    assert_eq!(
        twice.describe(),
        format!("db: could not be looked at: no network; before, `{X}` was deleted outside")
    );
    assert_eq!(twice.states[0].drifted(), record.states[0].drifted());
}

/// A record of a look that found this number of resources, with an attribute that reads so.
fn full(count: usize, value: &str) -> DriftRecord {
    let drift = |number: usize| Drift {
        address: Address::new(format!("a.x[{number:04}]")),
        action: Action::Update,
        attributes: vec![AttributeChange {
            name: "seen_at".to_owned(),
            before: String::new(),
            after: value.to_owned(),
        }],
        configured: number == count - 1,
    };
    let resources = (0..count).map(drift).collect();
    let found = Found::Drifted(DriftSummary { resources, ..DriftSummary::default() });
    DriftRecord::new(None, at(0), at(1), vec![StateDrift::of(&basis(), found)])
}

#[test]
fn only_what_is_another_is_news() {
    let unknown = |why: &str| {
        DriftRecord::new(None, at(0), at(1), vec![StateDrift::of(&basis(), Found::unknown(why))])
    };
    assert!(!unknown("request 1").differs(&unknown("request 2")));
    assert!(!full(2, "noon").differs(&full(2, "one")));
    assert!(full(2, "noon").differs(&full(3, "noon")));
    assert!(full(300, "noon").differs(&full(301, "noon")));
    assert!(full(2, "noon").differs(&unknown("request 1")));
    let mut named = full(2, "noon");
    let Found::Drifted(summary) = &mut named.states[0].found else { panic!() };
    summary.resources[0].attributes[0].name = "size".to_owned();
    assert!(named.differs(&full(2, "noon")));
}

#[test]
fn a_record_keeps_so_much_and_says_that_there_is_more() {
    let full = full(250, "noon");
    let summary = full.states[0].drifted().unwrap();
    assert_eq!((summary.resources.len(), summary.more), (KEPT_MAX, 50));
    // What a plan may write over is kept.
    let configured = summary.configured().unwrap();
    assert_eq!((configured.resources.len(), configured.more), (1, 0));
    assert!(summary.describe().ends_with("and 245 more"), "{}", summary.describe());
    let why = Found::unknown("ü".repeat(5000));
    let record = DriftRecord::new(None, at(0), at(1), vec![StateDrift::of(&basis(), why)]);
    assert!(record.describe().chars().count() < 1100);
}
