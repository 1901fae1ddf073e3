//! The schema against the check that it stands for, and the committed file against the schema.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "the committed file is a file, whether to write it a variable"
)]

use std::path::Path;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{check_config, split_control};
use super::*;
use crate::check::ProblemKind;

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// `UPDATE=1 cargo test -p reconciler-domain --lib schema` writes the file anew.
#[test]
fn the_committed_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/step.schema.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/step.schema.json is not what the tables say: run UPDATE=1 cargo test -p reconciler-domain --lib schema"
    );
}

#[test]
fn it_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[track_caller]
fn check(step: &Value, wrong: &[&str]) {
    let validator = validator();
    let found: Vec<String> =
        validator.iter_errors(step).map(|error| error.instance_path().to_string()).collect();
    assert_eq!(found, wrong, "{step:#}");
}

#[test]
fn what_is_wrong_is_found_at_its_place() {
    let push = |config: Value| json!({ "name": "push", "uses": "git_push", "config": config });
    check(&push(json!({ "dir": "gitops", "branch": null, "if_moved": "merge" })), &[]);
    check(&push(json!({ "dir": "gitops", "if_moved": "{{ args.policy }}" })), &[]);
    check(&push(json!({ "dir": "gitops", "if_moved": "force" })), &["/config/if_moved"]);
    check(&push(json!({ "dir": 3 })), &["/config/dir"]);
    check(&push(json!({ "dri": "gitops" })), &["/config", "/config"]);
    check(&json!({ "name": "Push", "uses": "git_push", "config": { "dir": "a" } }), &["/name"]);
    check(&json!({ "name": "push", "uses": "git_pushes", "config": {} }), &["/uses"]);
    let control = |control: Value| {
        let mut step = push(json!({ "dir": "gitops" }));
        step["control"] = control;
        step
    };
    check(&control(json!({ "when": "true", "retry": { "attempts": 3 } })), &[]);
    check(&control(json!({ "retries": 3 })), &["/control"]);
}

/// Values as the table asks for, and now and then as it does not.
fn value(holds: &'static FieldType) -> BoxedStrategy<Value> {
    let scalar = match holds {
        FieldType::Text => Just(json!("a")).boxed(),
        FieldType::Bool => any::<bool>().prop_map(Value::from).boxed(),
        FieldType::Integer => (0..9_u8).prop_map(Value::from).boxed(),
        FieldType::Duration => Just(json!("30s")).boxed(),
        FieldType::OneOf(words) => prop::sample::select(*words).prop_map(Value::from).boxed(),
        FieldType::Condition => Just(json!("true")).boxed(),
        FieldType::Any => prop_oneof![Just(json!({ "a": [1] })), Just(json!("b"))].boxed(),
        FieldType::List(inner) => {
            prop::collection::vec(value(inner), 0..3).prop_map(Value::from).boxed()
        }
        FieldType::Map(inner) => prop::collection::btree_map("[a-c]", value(inner), 0..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed(),
        FieldType::Object(table) => object(table),
    };
    prop_oneof![
        30 => scalar,
        1 => Just(json!("{{ args.a }}")),
        1 => prop_oneof![Just(json!(1.5)), Just(json!([true])), Just(json!({})), Just(json!("x"))],
    ]
    .boxed()
}

fn object(table: &'static [Field]) -> BoxedStrategy<Value> {
    let fields: Vec<_> = table.iter().map(argument).collect();
    let stranger = prop::option::weighted(0.03, Just(("stranger".to_owned(), json!(1))));
    (fields, stranger)
        .prop_map(|(fields, stranger)| {
            let given = fields.into_iter().flatten().chain(stranger);
            Value::Object(given.collect::<Map<String, Value>>())
        })
        .boxed()
}

fn argument(field: &'static Field) -> BoxedStrategy<Option<(String, Value)>> {
    let (there, missing, null) = if field.required { (60, 1, 1) } else { (20, 30, 2) };
    prop_oneof![
        there => value(&field.holds).prop_map(Some),
        missing => Just(None),
        null => Just(Some(Value::Null)),
    ]
    .prop_map(|value| value.map(|value| (field.name.to_owned(), value)))
    .boxed()
}

fn config() -> impl Strategy<Value = (StepKind, Value)> {
    let kind = prop::sample::select(StepKind::ALL.to_vec());
    kind.prop_flat_map(|kind| object(fields(kind)).prop_map(move |config| (kind, config)))
}

/// What the tables alone say: not what arguments say of each other.
fn is_as_in_the_table(kind: StepKind, config: &Value) -> bool {
    let mut problems = Vec::new();
    super::super::check::check_table(fields(kind), config, "", &mut problems);
    let written = |kind| matches!(kind, ProblemKind::Expression | ProblemKind::Duration);
    problems.iter().all(|problem| written(problem.kind))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    /// It refuses just what the tables refuse, and so nothing that the whole check accepts.
    #[test]
    fn it_says_what_the_tables_say((kind, config) in config()) {
        thread_local!(static VALIDATOR: Validator = validator());
        let step = json!({ "name": "a", "uses": kind.name(), "config": config });
        let accepted = VALIDATOR.with(|validator| validator.is_valid(&step));
        let (arguments, control) = split_control(&config);
        prop_assume!(control.is_none());
        prop_assert_eq!(accepted, is_as_in_the_table(kind, &arguments), "{:#}", step);
        if check_config(kind, &arguments).is_empty() {
            prop_assert!(accepted);
        }
    }
}
