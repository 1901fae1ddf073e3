//! The conformance vectors that this crate answers for, one check per category.
//!
//! A runner over all categories includes this file by its path and asks each such file in turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use reconciler_domain::{
    availability::{Availability, Because, availability},
    duration,
    expression::Scope,
    filter::{PathFilter, TagFilter},
    freight::{Freight, FreightFacts},
    id::StageName,
    infra::Plan,
    soak::Soak,
    stage::Request,
    template::Template,
    url::{RepositoryKind, normalize},
    version::{Constraint, SelectOptions, Version, select, select_lexical},
    window::{Action, NextChange, Schedule, Window},
};
use serde_json::{Value, json};

/// The categories of this file.
pub(crate) const CATEGORIES: [&str; 10] = [
    "freight_availability",
    "lexical_select",
    "path_filter",
    "plan_summary",
    "semver_parse",
    "semver_select",
    "tag_filter",
    "template",
    "url_normalize",
    "window",
];

/// Runs one case: `None` if the category is not one of this file's, otherwise what differs.
pub(crate) fn run(category: &str, input: &Value, expect: &Value) -> Option<Result<(), String>> {
    let got = match category {
        "freight_availability" => freight_availability(input, expect),
        "lexical_select" => lexical_select(input),
        "path_filter" => path_filter(input),
        "plan_summary" => plan_summary(input),
        "semver_parse" => semver_parse(input),
        "semver_select" => semver_select(input),
        "tag_filter" => tag_filter(input),
        "template" => template(input),
        "url_normalize" => url_normalize(input),
        "window" => window(input, expect),
        _ => return None,
    };
    Some(if got == *expect { Ok(()) } else { Err(format!("expected {expect}, got {got}")) })
}

fn text<'v>(input: &'v Value, name: &str) -> &'v str {
    input[name].as_str().unwrap_or_else(|| panic!("`{name}` is a text in {input}"))
}

fn texts(input: &Value, name: &str) -> Vec<String> {
    let items = input[name].as_array().unwrap_or_else(|| panic!("`{name}` is a list in {input}"));
    items.iter().map(|item| item.as_str().expect("a list of texts").to_owned()).collect()
}

fn limit(input: &Value) -> usize {
    let limit = input["limit"].as_u64().expect("`limit` is a number");
    usize::try_from(limit).expect("a small limit")
}

fn refused() -> Value {
    json!({"error": true})
}

fn tags_filter(input: &Value) -> TagFilter {
    TagFilter::new(&texts(input, "allow"), &texts(input, "ignore")).expect("valid patterns")
}

fn freight_availability(input: &Value, expect: &Value) -> Value {
    let facts = freight_facts(input);
    let requests: Vec<Request> =
        input["requests"].as_array().expect("a list").iter().map(stage_request).collect();
    let asked = requests.iter().position(|request| request.warehouse == facts.freight.warehouse);
    let soak = asked.and_then(|at| input["requests"][at]["soak_seconds"].as_u64()).unwrap_or(0);
    let stage: StageName = text(input, "stage").parse().expect("a stage's name");
    let now = text(input, "now").parse().expect("an instant");
    let in_stages = asked.and_then(|at| input["requests"][at]["soak_in_seconds"].as_object());
    let in_stages = in_stages.into_iter().flatten().map(|(stage, seconds)| {
        let seconds = Duration::from_secs(seconds.as_u64().expect("seconds"));
        (stage.parse().expect("a stage's name"), seconds)
    });
    let soak = Soak { everywhere: Duration::from_secs(soak), in_stages: in_stages.collect() };
    let found = availability(&stage, &requests, &facts, &soak, now);
    let (kind, soaked) = match &found {
        Availability::Available { because, soak } => {
            let kind = match because {
                Because::Approved => "approved",
                Because::Direct => "direct",
                Because::Verified => "verified",
            };
            (kind, Some(soak))
        }
        Availability::NotRequested => ("not_requested", None),
        Availability::NotVerified { .. } => ("not_verified", None),
        Availability::NotSoaked { soak, .. } => ("not_soaked", Some(soak)),
    };
    let soaked: BTreeMap<&str, u64> = soaked
        .into_iter()
        .flatten()
        .map(|(stage, held)| (stage.as_str(), held.as_secs()))
        .collect();
    let mut got = json!({
        "available": found.is_available(),
        "reason_kind": kind,
        "soak_seconds": soaked,
    });
    // A case says only what it is about.
    let fields = got.as_object_mut().expect("an object");
    fields.retain(|name, _| expect.get(name).is_some());
    got
}

fn stage_request(request: &Value) -> Request {
    let field = |name: &str, default: Value| request.get(name).cloned().unwrap_or(default);
    let request = json!({
        "warehouse": request["warehouse"],
        "direct": field("direct", json!(false)),
        "from": field("from", json!([])),
        "matching": field("match", json!("any")),
    });
    serde_json::from_value(request).expect("a request")
}

fn freight_facts(input: &Value) -> FreightFacts {
    let freight: Freight = serde_json::from_value(json!({
        "id": "0".repeat(40),
        "warehouse": input["freight"]["warehouse"],
        "artifacts": {},
        "created_at": "2024-01-01T00:00:00Z",
        "sequence": 1,
    }))
    .expect("freight");
    let mut facts = FreightFacts::new(freight);
    let approved = texts(input, "approved_for").into_iter();
    facts.approved_for =
        approved.map(|stage| (stage.parse().expect("a stage"), facts.freight.created_at)).collect();
    let read = "the facts of the case have the form of ours";
    facts.verified_in = serde_json::from_value(input["verified_in"].clone()).expect(read);
    facts.stays = serde_json::from_value(input["in_stage"].clone()).expect(read);
    facts
}

fn semver_parse(input: &Value) -> Value {
    let strict = input["strict"].as_bool().expect("`strict` is a truth value");
    let read = if strict { Version::strict } else { Version::loose };
    match read(text(input, "tag")) {
        Ok(version) => json!({"ok": true, "canonical": version.canonical()}),
        Err(_) => json!({"ok": false}),
    }
}

fn semver_select(input: &Value) -> Value {
    let constraint = match input.get("constraint").and_then(Value::as_str) {
        Some(range) => match range.parse::<Constraint>() {
            Ok(constraint) => Some(constraint),
            Err(_) => return refused(),
        },
        None => None,
    };
    let filter = tags_filter(input);
    let options = SelectOptions {
        strict: input["strict"].as_bool().expect("`strict` is a truth value"),
        filter: &filter,
        constraint: constraint.as_ref(),
        limit: limit(input),
    };
    let tags = texts(input, "tags");
    let selected = select(tags.iter().map(String::as_str), &options);
    json!({"selected": selected.iter().map(Version::tag).collect::<Vec<_>>()})
}

fn tag_filter(input: &Value) -> Value {
    let filter = tags_filter(input);
    let tags = texts(input, "tags");
    json!({"kept": tags.iter().filter(|tag| filter.keeps(tag)).collect::<Vec<_>>()})
}

fn lexical_select(input: &Value) -> Value {
    let tags = texts(input, "tags");
    let tags = tags.iter().map(String::as_str);
    json!({"selected": select_lexical(tags, &tags_filter(input), limit(input))})
}

fn path_filter(input: &Value) -> Value {
    match PathFilter::new(&texts(input, "include"), &texts(input, "exclude")) {
        Ok(filter) => {
            let changed = texts(input, "changed");
            json!({"matches": filter.matches(changed.iter().map(String::as_str))})
        }
        Err(_) => refused(),
    }
}

fn url_normalize(input: &Value) -> Value {
    let kind = match text(input, "kind") {
        "git" => RepositoryKind::Git,
        "image" => RepositoryKind::Image,
        "chart" => RepositoryKind::Chart,
        other => panic!("unknown kind {other}"),
    };
    json!({"normalized": normalize(kind, text(input, "url"))})
}

fn plan_summary(input: &Value) -> Value {
    let summary = Plan::from_value(&input["plan_json"]).expect("a readable plan").summary();
    json!({
        "create": summary.create,
        "update": summary.update,
        "replace": summary.replace,
        "delete": summary.delete,
        "no_op": summary.no_op,
        "addresses": summary.addresses,
        "has_changes": summary.has_changes,
    })
}

fn template(input: &Value) -> Value {
    let mut scope = Scope::new();
    for (name, value) in input["vars"].as_object().expect("`vars` is an object") {
        scope.set(name, value.clone());
    }
    match Template::parse(text(input, "text")).and_then(|template| template.render(&scope)) {
        Ok(value) => json!({"type": type_name(&value), "value": value}),
        Err(_) => refused(),
    }
}

fn window(input: &Value, expect: &Value) -> Value {
    let windows: Vec<Window> =
        input["windows"].as_array().expect("a list").iter().map(one_window).collect();
    let schedule = Schedule::of([windows.as_slice()], Action::Promote, &BTreeSet::new());
    let at: Vec<Timestamp> =
        texts(input, "at").iter().map(|at| at.parse().expect("an instant")).collect();
    let open: Vec<bool> = at.iter().map(|at| schedule.open_at(*at)).collect();
    let mut got = json!({"open": open});
    if expect.get("next_change").is_some() {
        let last = at.last().expect("an instant is asked about");
        got["next_change"] = match schedule.next_change(*last) {
            NextChange::At(at) => json!(at.to_string()),
            NextChange::NotBefore(at) => json!(format!("not before {at}")),
            NextChange::Never => Value::Null,
        };
    }
    got
}

fn one_window(window: &Value) -> Window {
    let duration = duration::parse(text(window, "duration")).expect("a duration");
    let mut fields = json!({
        "name": "window",
        "kind": window["kind"],
        "rule": window["rrule"],
        "duration": duration,
        "timezone": window["timezone"],
        "actions": ["promote"],
    });
    if let Some(start) = window.get("dtstart") {
        fields["start"] = start.clone();
    }
    serde_json::from_value(fields).expect("a window")
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}
