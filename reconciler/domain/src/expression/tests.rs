#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::version::Version;

fn artifact() -> Shape {
    Shape::object([
        ("tag", Shape::Scalar),
        ("commit", Shape::Scalar),
        ("version", Shape::version()),
    ])
}

fn names() -> Names {
    Names::new()
        .name("freight", Shape::object([("api", artifact()), ("infra", artifact())]))
        .name("steps", Shape::object([("out", Shape::open([("url", Shape::Scalar)]))]))
        .name(
            "vars",
            Shape::object([("replicas", Shape::Scalar), ("zones", Shape::list(artifact()))]),
        )
        .name("stage", Shape::Scalar)
        .function("secret", Function::new(2..=2, Shape::Scalar))
        .function(
            "freight_from",
            Function::by_name(BTreeMap::from([(
                "shop".to_owned(),
                Shape::object([("api", artifact())]),
            )])),
        )
}

fn scope() -> Scope {
    let version = |tag| Version::loose(tag).unwrap().to_value();
    let mut scope = Scope::new();
    scope.set(
        "freight",
        json!({
            "api": {"tag": "v2.1.0", "version": version("v2.1.0")},
            "infra": {"tag": "2.0.3-rc.1", "version": version("2.0.3-rc.1")},
        }),
    );
    scope.set("list", json!([3, 1, 2])).set("big", json!(u64::MAX));
    scope.set("thousand", Value::from((0..1000).collect::<Vec<i32>>()));
    scope.define("secret", |args| match args {
        [Value::String(name), Value::String(_)] => Ok(json!(format!("of {name}"))),
        _ => Err("takes two texts".to_owned()),
    });
    scope
}

fn value(text: &str, expected: &Value) {
    let value = Expression::parse(text).unwrap().evaluate(&scope());
    assert_eq!(value.as_ref(), Ok(expected), "{text}");
}

#[test]
fn evaluates() {
    value("freight.api.version.major == freight.infra.version.major", &json!(true));
    value("freight['api'].tag", &json!("v2.1.0"));
    value("semver_compare(freight.infra.version, '2.0.3')", &json!(-1));
    value("semver_match(freight.api.tag, '^2.1')", &json!(true));
    value("semver_match(freight.infra.version, '~2.0.0')", &json!(false));
    value("freight.api.tag.split('.').map(p, p.trim()).join('-')", &json!("v2-1-0"));
    value("'a-b-c'.replace('-', '')", &json!("abc"));
    value("'größe'.substring(2, 4).upperAscii() + 'X'.lowerAscii()", &json!("öß".to_owned() + "x"));
    value("['x', 'y'].join()", &json!("xy"));
    value("secret('db', 'password')", &json!("of db"));
    value("list.filter(x, x > 1).size()", &json!(2));
    value("list.map(x, x > 1, x * 2)", &json!([6, 4]));
    value("list.exists_one(x, x == 3)", &json!(true));
    value("big", &json!(u64::MAX));
    value("freight.api.tag.matches('^v[0-9]') && matches('a', 'a')", &json!(true));
    value("thousand.filter(x, string(x).matches('^9+$')).size()", &json!(3));
    value("{'b': 1, 'a': [2.5, null]}", &json!({"a": [2.5, null], "b": 1}));
    value("type(1) == int && has(freight.api.tag) && !has(freight.api.digest)", &json!(true));
    value("timestamp('2026-01-02T03:04:05Z')", &json!("2026-01-02T03:04:05+00:00"));
    value("string(duration('90s'))", &json!("90s"));
}

#[test]
fn guarding_keeps_the_meaning_of_loops() {
    // An element's error does not matter if another element decides.
    value("[1, 2, 3].all(e, 6 / (2 - e) == 6)", &json!(false));
    value("[2, 0].exists(e, 6 / (2 - e) == 3)", &json!(true));
    value("list.map(x, list.map(y, x * y))", &json!([[9, 3, 6], [3, 1, 2], [6, 2, 4]]));
    value("{'a': 1, 'b': 2}.all(k, k < 'c')", &json!(true));
}

fn fails(text: &str) -> String {
    Expression::parse(text).unwrap().evaluate(&scope()).unwrap_err().failure.to_string()
}

#[test]
fn failures_say_what_and_print_no_values() {
    assert_snapshot!(fails("nope.a"), @"unknown name `nope`");
    assert_snapshot!(fails("freight.web"), @"there is no `web`");
    assert_snapshot!(fails("freight.api.tag + 1"), @"`+` does not take string and int");
    assert_snapshot!(fails("freight.api.version >= freight.infra.version"), @"`>=` does not take map and map");
    assert_snapshot!(fails("list[3]"), @"there is no element 3");
    assert_snapshot!(fails("1 / (list[1] - 1)"), @"division by zero");
    assert_snapshot!(fails("9223372036854775807 + list[0]"), @"overflow in `+`");
    assert_snapshot!(fails("semver_match('2', '=~1')"), @"semver_match: `=~1` is not a version range: expected one of `= != > < >= <= ~ ^` at position 0, found `=`");
    assert_snapshot!(fails("semver_compare('two', '2')"), @"semver_compare: `two` is not a semantic version: expected a number at position 0");
    assert_snapshot!(fails("secret(1, 2)"), @"secret: takes two texts");
    assert_snapshot!(fails("int(secret('a', 'b'))"), @"int: string parse error: invalid digit found in string");
    assert_snapshot!(fails("'abc'.substring(2, 1)"), @"substring: the end 1 is before the start 2");
    assert_snapshot!(fails("'a'.matches('(')"), @"matches: takes a regular expression of moderate size");
    assert_snapshot!(fails("'a'.matches(1)"), @"matches: takes a text, not int");
    assert_snapshot!(fails("b'abc'"), @"the result is a bytes, which has no text form: convert it with string()");
    assert_snapshot!(fails("0.0 / 0.0"), @"the result is a float, which has no text form: convert it with string()");
    assert_snapshot!(Expression::parse("1 + 1").unwrap().holds(&scope()).unwrap_err(), @"`1 + 1`: a condition must be true or false, this is a number");
}

#[test]
fn work_is_bounded() {
    let doubling = format!("['0123456789']{}.size()", ".map(x, x + x + x + x)".repeat(14));
    let listing = format!("[1]{}.size()", ".map(x, [x, x, x, x, x, x])".repeat(14));
    let replacing = format!(
        "'{}'{}",
        "a".repeat(900),
        format!(".replace('a', '{}')", "a".repeat(900)).repeat(3)
    );
    for text in [
        &doubling,
        &listing,
        &replacing,
        "thousand.all(x, thousand.all(y, x + y >= 0))",
        "thousand.map(x, thousand.map(y, [x, y]))",
        "thousand.exists(x, thousand.exists(y, x * y < 0)) || true",
        "thousand.all(x, 'a'.matches('a' + string(x)) || true)",
    ] {
        let error = Expression::parse(text).unwrap().evaluate(&scope()).unwrap_err();
        assert_eq!(error.failure, EvaluationFailure::Exhausted, "{text}");
    }
    value("thousand.filter(x, x % 2 == 0).map(x, x + 1).size()", &json!(500));
    let mut long = Scope::new();
    long.set("l", Value::from(vec![0; MAX_LIST + 1]));
    let error = Expression::parse("size(l)").unwrap().evaluate(&long).unwrap_err();
    assert_snapshot!(error, @"`size(l)`: `l` holds a list of 10001 elements, at most 10000 are accepted");
}

#[test]
fn a_path_gives_what_the_language_gives() {
    let mut scope = Scope::new();
    let long = "x".repeat(10_000);
    scope.set(
        "a",
        json!({ "none": null, "yes": true, "text": "t", "long": long, "least": i64::MIN,
            "most": u64::MAX, "half": 0.5, "whole": 1.0, "list": [1], "map": { "b": { "c": 1 } } }),
    );
    for path in [
        "a.none",
        "a.yes",
        "a.text",
        "a.long",
        "a.least",
        "a.most",
        "a.half",
        "a.whole",
        "a.list",
        "a.map",
        "a.map.b.c",
        "a.gone",
        "a.text.gone",
        "a.list.gone",
        "gone.a",
    ] {
        let by = |text: &str| Expression::parse(text).unwrap().evaluate(&scope);
        // `dyn` changes nothing, but is no path.
        let (plain, whole) = (by(path), by(&format!("dyn({path})")));
        assert_eq!(plain.map_err(|e| e.failure), whole.map_err(|e| e.failure), "{path}");
    }
}

fn refused(text: &str) -> String {
    Expression::parse(text).unwrap_err().to_string()
}

#[test]
fn limits_of_the_text() {
    assert_snapshot!(refused(""), @"the expression is empty (offset 0)");
    assert_snapshot!(refused("a +"), @"mismatched input '<EOF>' expecting expression (offset 3)");
    assert_snapshot!(refused("a\n  + ]"), @"unexpected token (offset 6)");
    assert_snapshot!(refused("a b"), @"mismatched input 'b' expecting <EOF> (offset 2)");
    assert_snapshot!(refused("'abc"), @"unterminated string literal (offset 0)");
    assert_snapshot!(refused(&"[".repeat(4000)), @"expression recursion limit exceeded: 64 (offset 0)");
    assert_snapshot!(refused(&"(".repeat(5000)), @"the expression is longer than 4096 bytes (offset 4096)");
    assert_snapshot!(refused(&format!("1{}", " + 1".repeat(900))), @"the expression is nested more than 24 levels deep (offset 0)");
    assert_snapshot!(refused(&format!("[{}]", "1, ".repeat(1100))), @"the expression has more than 1000 parts (offset 0)");
    assert_snapshot!(refused("l.all(a, l.all(b, l.all(c, a)))"), @"more than 2 loops stand inside each other (offset 0)");
    assert_snapshot!(refused("a.b{c: 1}"), @"messages are not supported: `a.b{…}` (offset 0)");
    assert_snapshot!(refused("a.?b"), @"unsupported syntax '.?' (offset 1)");
}

#[test]
fn the_deepest_expression_fits_a_worker_with_room_to_spare() {
    let worker = std::thread::Builder::new().stack_size(3 << 19);
    worker.spawn(evaluate_the_deepest).unwrap().join().unwrap();
}

fn evaluate_the_deepest() {
    let sum = format!("1{}", " + 1".repeat(MAX_DEPTH - 1));
    value(&sum, &json!(MAX_DEPTH));
    let nested = format!("{}1{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(Expression::parse(&nested).unwrap().evaluate(&scope()).is_ok());
    let calls = format!("{}1{}", "string(".repeat(MAX_DEPTH - 1), ")".repeat(MAX_DEPTH - 1));
    value(&calls, &json!("1"));
    let negations = format!("{}true", "!".repeat(MAX_DEPTH));
    value(&negations, &json!(true));
    let methods = format!("'a'{}", ".trim()".repeat(MAX_DEPTH - 1));
    value(&methods, &json!("a"));
    let choices = format!("{}1{}", "true ? (".repeat(MAX_DEPTH - 1), ") : 0".repeat(MAX_DEPTH - 1));
    value(&choices, &json!(1));
    let paid = format!("{}list[0]{}", "[[".repeat(5), "][0]][0]".repeat(5));
    value(&paid, &json!(3));
}

fn mistakes(text: &str) -> String {
    let errors = Expression::parse(text).unwrap().check(&names()).unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn unknown_names_are_mistakes() {
    assert_snapshot!(mistakes("frieght.api.tag"), @"unknown name `frieght`, did you mean `freight`? (offset 0)");
    assert_snapshot!(mistakes("1 + freight.apj.tag"), @"`freight` has no field `apj`, did you mean `api`? (offset 12)");
    assert_snapshot!(mistakes("freight['web'].tag"), @"`freight` has no field `web`, there are: api, infra (offset 8)");
    assert_snapshot!(mistakes("freight.api.version.majr > 1 && stag == 'x'"), @r#"
    `freight.api.version` has no field `majr`, did you mean `major`? (offset 20)
    unknown name `stag`, did you mean `stage`? (offset 32)
    "#);
    assert_snapshot!(mistakes("stage.name"), @"`stage` has no fields (offset 6)");
    assert_snapshot!(mistakes("vars.zones.tag"), @"`vars.zones` is a list, use an index or a loop (offset 11)");
    assert_snapshot!(mistakes("vars.zones.all(z, z.tagg != '' && x)"), @r#"
    `z` has no field `tagg`, did you mean `tag`? (offset 20)
    unknown name `x`, there are: freight, stage, steps, vars, z (offset 34)
    "#);
    assert_snapshot!(mistakes("has(freight.api.digest)"), @"`freight.api` has no field `digest`, there are: commit, tag, version (offset 16)");
    assert_snapshot!(mistakes("steps.uot.url"), @"`steps` has no field `uot`, did you mean `out`? (offset 6)");
    assert_snapshot!(mistakes("secrt('a', 'b')"), @"unknown function `secrt`, did you mean `secret`? (offset 0)");
    assert_snapshot!(mistakes("secret('a')"), @"`secret` takes 2 arguments, not 1 (offset 0)");
    assert_snapshot!(mistakes("stage.startWith('p')"), @"unknown function `startWith`, did you mean `startsWith`? (offset 6)");
    assert_snapshot!(mistakes("freight_from('shoop').api.tag"), @r#"`freight_from` knows no "shoop", did you mean `shop`? (offset 0)"#);
    assert_snapshot!(mistakes("freight_from(stage).api.tag"), @"`freight_from` takes a literal text, not a computed one (offset 0)");
    assert_snapshot!(mistakes("freight_from('shop').web.tag"), @"`freight_from(…)` has no field `web`, there are: api (offset 21)");
    assert_snapshot!(mistakes("freight.api.version == '1.2.3'"), @"`freight.api.version` never equals a literal: compare its `.text`, its numbers, or use semver_match and semver_compare (offset 12)");
}

#[test]
fn known_names_are_none() {
    for text in [
        "freight.api.version.major == freight.infra.version.major",
        "freight_from('shop').api.version.text.startsWith('v')",
        "steps.out.url + steps.out.anything.deep",
        "vars.zones.filter(z, z.tag.matches('^v')).map(z, z.commit).size() > int(vars.replicas)",
        "vars.zones[0].commit == secret('a', 'b')",
        "(stage == 'prod' ? freight.api : freight.infra).tag",
        "type(stage) == string && [freight.api][0].version.patch > 0",
        "freight.all(name, name != '')",
        "freight.api.version == freight.infra.version",
    ] {
        assert_eq!(Expression::parse(text).unwrap().check(&names()), Ok(()), "{text}");
    }
}

#[test]
fn references_name_what_is_read() {
    let check = |text: &str, expected: &[&str]| {
        let expression = Expression::parse(text).unwrap();
        let found: Vec<String> = expression.references().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("steps.out.url + steps['out'].id", &["steps.out.id", "steps.out.url"]);
    check("steps[stage].url", &["stage", "steps"]);
    check("l.map(x, x.a + steps.out.url)", &["l", "steps.out.url"]);
    check("freight_from('shop').api.tag", &["freight_from(\"shop\").api.tag"]);
    check("secret(vars.name, 'key')", &["vars.name", "secret(…, \"key\")"]);
    check("size(l) > 1 && l.exists(x, x == int('1')) && type(l) == list", &["l"]);
    check("has(a.b) ? 1 : 2", &["a.b"]);
    let reference = Reference::Path(vec!["steps".into(), "out".into()]);
    assert!(reference.touches(&["steps", "out", "url"]) && reference.touches(&["steps"]));
    assert!(!reference.touches(&["steps", "other"]));
}

#[test]
fn travels_as_text() {
    let expression: Expression = serde_json::from_str("\"a > 1\"").unwrap();
    assert_eq!(serde_json::to_string(&expression).unwrap(), "\"a > 1\"");
    assert!(serde_json::from_str::<Expression>("\"a >\"").is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        drop(Expression::parse(&text));
    }

    #[test]
    fn nothing_that_parses_panics(
        text in "(list|freight|api|x|1|2\\.5|'a'|\\.|\\(|\\)|\\[|\\]|\\{|\\}|:|,|\\+|-|/|%|\\?|==|<|&&|\\|\\||!| in |size|map|all|has|split|\"){1,16}"
    ) {
        if let Ok(expression) = Expression::parse(&text) {
            let outcome = expression.evaluate(&scope());
            let panicked = matches!(
                outcome,
                Err(EvaluationError { failure: EvaluationFailure::Panicked, .. })
            );
            prop_assert!(!panicked, "{}", text);
            drop(expression.check(&names()));
        }
    }
}
