#![expect(clippy::unwrap_used, reason = "tests")]

use insta::assert_snapshot;
use proptest::prelude::*;

use super::super::value::flow;
use super::*;

fn merged(text: &str, over: &str) -> Result<String, YamlEditError> {
    let Value::Object(over) = read(over)? else { panic!("{over}") };
    merge_into(text, &over)
}

const VALUES: &str = "\
# The shop.
image:
  repository: 'registry.example/shop' # ours
  tag: \"1.0.0\"   # the release

replicas: 2
resources: # of each
  limits:
    memory: 256Mi
hosts:
  - a.example
  - b.example
# The end.
";

#[test]
fn only_what_differs_is_touched() {
    let over = "\
image: { tag: 1.1.0, pullPolicy: Always }
replicas: 2
resources: { limits: { cpu: 1 } }
hosts: [c.example]
debug: true
";
    assert_snapshot!(merged(VALUES, over).unwrap(), @r#"
        # The shop.
        image:
          repository: 'registry.example/shop' # ours
          tag: "1.1.0"   # the release
          pullPolicy: Always

        replicas: 2
        resources: # of each
          limits:
            memory: 256Mi
            cpu: 1
        hosts:
          - c.example
        debug: true
        # The end.
        "#);
    assert_eq!(merged(VALUES, "replicas: 2\nimage: { tag: 1.0.0 }\n").unwrap(), VALUES);
}

#[test]
fn what_is_null_goes() {
    assert_snapshot!(merged(VALUES, "image: { repository: null }\nhosts: null\nnone: null\n").unwrap(), @r#"
        # The shop.
        image:
          tag: "1.0.0"   # the release

        replicas: 2
        resources: # of each
          limits:
            memory: 256Mi
        # The end.
        "#);
    assert_eq!(
        merged("a:\n  b: 1 # c\nd: 2 # e\n", "a: { b: null }\n").unwrap(),
        "a: {}\nd: 2 # e\n"
    );
}

#[test]
fn other_forms() {
    for (text, over, expected) in [
        ("a: {b: 1, c: 2} # x\nd: 3 # y\n", "a: {b: 7}", "a: {b: 7, c: 2} # x\nd: 3 # y\n"),
        ("a: {b: 1}\nd: 3 # y\n", "a: {c: 2}", "a: {b: 1, c: 2}\nd: 3 # y\n"),
        ("a: 1 # x\r\nb:\r\n  c: 2\r\n", "b: {d: 3}", "a: 1 # x\r\nb:\r\n  c: 2\r\n  d: 3\r\n"),
        ("a: 1 # x", "b: 2", "a: 1 # x\nb: 2"),
        ("a: |\n  one\n\n  two\nb: 1 # y\n", "c: 2", "a: |\n  one\n\n  two\nb: 1 # y\nc: 2\n"),
        ("b: 1 # y\na: |\n  one\n  # two\n", "c: 2", "b: 1 # y\na: |\n  one\n  # two\nc: 2\n"),
        ("a: 1 # x\n---\nb: 2\n", "c: 3", "a: 1 # x\nc: 3\n---\nb: 2\n"),
        ("# nothing yet\n", "a: {b: 1}", "# nothing yet\na:\n  b: 1\n"),
        ("", "a: 1", "a: 1\n"),
        ("a: 1 # x\n", "a: {b: 1}", "a:\n  b: 1\n"),
        ("a: # x\nb: 1 # y\n", "a: 7", "a: 7 # x\nb: 1 # y\n"),
        ("a: !Ref x\nb: 1 # y\n", "a: 7", "a: 7\nb: 1 # y\n"),
        ("{a: 1}\n", "b: 2", "{a: 1, b: 2}\n"),
        ("{}\n", "b: [2]", "b:\n  - 2\n"),
        ("null # x\n", "b: 2", "b: 2 # x\n"),
        ("a: {}\nb: {} # y\n", "{a: {c: 1}, b: {c: 1}}", "a:\n  c: 1\nb: {c: 1} # y\n"),
        ("a:\n  b: 1\nc: 2", "{a: {d: 3}, e: 4}", "a:\n  b: 1\n  d: 3\nc: 2\ne: 4"),
        (
            "a:\n  b:\n    c: 1\n",
            "{e: 4, a: {f: 3, b: {d: 2}}}",
            "a:\n  b:\n    c: 1\n    d: 2\n  f: 3\ne: 4\n",
        ),
        ("# x\na: 1\n# y\n", "a: null", "# x\n{}\n# y\n"),
        ("\u{feff}a: 1\n", "b: 2", "\u{feff}a: 1\nb: 2\n"),
    ] {
        assert_eq!(merged(text, over).as_deref(), Ok(expected), "{text:?} {over:?}");
    }
}

#[test]
fn a_tag_does_not_pass_to_what_comes_in_its_place() {
    for (text, over, expected) in [
        ("Bucket: !Ref Main # x\n", "Bucket: my-bucket", "Bucket: my-bucket\n"),
        ("Bucket: !Ref Main\n", "Bucket: Main", "Bucket: Main\n"),
        ("{Bucket: !Ref Main, a: !Ref B}\n", "Bucket: Main", "{Bucket: Main, a: !Ref B}\n"),
        ("l: [!Ref Main]\n", "l: [Main]", "l:\n  - Main\n"),
        ("a: !Foo {b: 1}\n", "a: {b: 1}", "a: !Foo {b: 1}\n"),
        ("a: !Foo\n  b: 1\n", "a: {b: 2}", "a: !Foo\n  b: 2\n"),
        ("a: !Foo {b: 1}\n", "a: {b: 2, c: 3}", "a: !Foo {b: 2, c: 3}\n"),
    ] {
        assert_eq!(merged(text, over).as_deref(), Ok(expected), "{text:?} {over:?}");
        assert_eq!(merged(expected, over).as_deref(), Ok(expected), "again: {over:?}");
    }
    assert_eq!(merged("a: !Foo\n  b: 1\n", "a: {b: null}").unwrap_err().kind(), "unsafe");
}

#[test]
fn neighbours_in_braces_stay_as_they_are_written() {
    for (text, over, expected) in [
        ("i: {r: x, tag: 1.10} # y\n", "i: {p: Always}", "i: {r: x, tag: 1.10, p: Always} # y\n"),
        (
            "b: &b {s: 1}\np: {<<: *b, size: 2}\n",
            "p: {m: 3}",
            "b: &b {s: 1}\np: {<<: *b, size: 2, m: 3}\n",
        ),
        ("x: {a: !Ref B}\n", "x: {c: '1'}", "x: {a: !Ref B, c: \"1\"}\n"),
        (
            "x: {on: yes, n: 010}\r\n",
            "x: {l: [1, {a: 'x, y'}]}",
            "x: {on: yes, n: 010, l: [1, {a: \"x, y\"}]}\r\n",
        ),
        (
            "{n: 010, x: {y: {z: 1}}}\n",
            "{x: {y: {z: 2}, m: 1}, t: a}",
            "{n: 010, x: {y: {z: 2}, m: 1}, t: a}\n",
        ),
        ("x: {a: 1, b: 010, c: 3}\n", "x: {a: null}", "x: {b: 010, c: 3}\n"),
        ("x: {a: 1, b: 010, c: 3}\n", "x: {b: null, c: null, d: 4}", "x: {a: 1, d: 4}\n"),
        ("x: {a: 1, b: 010, c: 3, }\n", "x: {c: null, a: 2}", "x: {a: 2, b: 010, }\n"),
        ("x: {a: 1, }\n", "x: {a: null}", "x: {}\n"),
        ("x: {a: 1}\n", "x: {a: null, b: 2}", "x: {b: 2}\n"),
        ("x: {a: {b: 1}, c: 010}\n", "x: {a: {b: null}}", "x: {a: {}, c: 010}\n"),
        ("x: {a: {b: 1}, c: 010}\n", "x: {a: 7, c: [1]}", "x: {a: 7, c: [1]}\n"),
        ("d: &d 1\nx: {c: *d}\n", "x: {e: 1}", "d: &d 1\nx: {c: *d, e: 1}\n"),
        ("x: {a, b: }\n", "x: {a: 1, b: 2, c: 3}", "x: {a: 1, b: 2, c: 3 }\n"),
        ("x: {a, b: }\n", "x: {c: 3}", "x: {a, b:, c: 3 }\n"),
        (
            "x: {\n  a: 1, # one\n  b: 010 # two\n}\n",
            "x: {c: 3}",
            "x: {\n  a: 1, # one\n  b: 010, c: 3 # two\n}\n",
        ),
        ("x: {\"a\":1}\n", "x: {a: [2], b: 3}", "x: {\"a\": [2], b: 3}\n"),
    ] {
        assert_eq!(merged(text, over).as_deref(), Ok(expected), "{text:?} {over:?}");
    }
}

#[test]
fn what_cannot_be_proved_is_refused_with_its_key() {
    for (text, over) in [
        // The blank lines are the value's: behind them it would be another one.
        ("n: 010\na: |+\n  x\n\n", "k: 1"),
        ("n: 010\n? a\n: 1\n", "a: {b: 1}"),
        ("n: 010\n? a\n: 1\n", "a: null"),
        ("- n: 010\n", "a: 1"),
    ] {
        match merged(text, over) {
            Err(YamlEditError::Unsafe { .. }) => {}
            other => panic!("{text:?} {over:?}: {other:?}"),
        }
    }
    assert_snapshot!(merged("a: 1\n", "b: {<<: {c: 1}}").unwrap_err(), @"key `b` is written in a form in which it cannot be set safely; set it by hand in the usual form first");
}

#[test]
fn keys_are_the_same_as_data_however_they_are_written() {
    for (text, over, expected) in [
        ("v:\n  1.10: stable\n", "v: {1.10: beta}", "v:\n  1.10: beta\n"),
        ("v: {1.10: stable, 0x10: a}\n", "v: {1.1: beta, 16: b}", "v: {1.10: beta, 0x10: b}\n"),
        ("True: a\n8080: b\n", "{true: c, 8080: null}", "True: c\n"),
    ] {
        assert_eq!(merged(text, over).as_deref(), Ok(expected), "{text:?} {over:?}");
    }
    assert_eq!(merged("1.10: a\n1.1: b\n", "c: 1").unwrap_err().kind(), "invalid_yaml");
}

#[test]
fn aliases_and_anchors_that_nobody_else_uses_may_go() {
    let text = "base: &base\n  tag: 010\nprod:\n  <<: *base\n  x: &x 1\n  y: *x\ndev: *base\nz: &z 1\nlast: *z\n";
    for (over, expected) in [
        ("prod: null", text.replace("prod:\n  <<: *base\n  x: &x 1\n  y: *x\n", "")),
        ("prod: 7", text.replace("prod:\n  <<: *base\n  x: &x 1\n  y: *x\n", "prod: 7\n")),
        ("dev: null", text.replace("dev: *base\n", "")),
        ("dev: [1]", text.replace("dev: *base\n", "dev:\n  - 1\n")),
        ("dev: {tag: 10}", text.to_owned()),
    ] {
        assert_eq!(merged(text, over), Ok(expected), "{over}");
    }
    for over in ["prod: {x: null}", "prod: {x: 2}", "z: null", "dev: {tag: 2}"] {
        assert_eq!(merged(text, over).unwrap_err().kind(), "shared", "{over}");
    }
}

#[test]
fn thousands_of_changes_are_made_at_once() {
    let entry = |n: u32, value: u32| format!("  k{n}: {{v: {value}, o: 010}}\n");
    let text = |value| (0..5000).map(|n| entry(n, value)).collect::<String>();
    let over = format!("a:\n{}{}", text(2), "  new: 1\n");
    let edited = merged(&format!("a: # all\n{}", text(1)), &over).unwrap();
    // The other file has 010 as the number that this one has.
    assert_eq!(edited, format!("a: # all\n{}  new: 1\n", text(2)));
}

#[test]
fn what_aliases_stand_for_is_not_changed_behind_their_back() {
    let text = "base: &base # of all\n  tag: 1\ndev: *base\nprod:\n  <<: *base\n  size: 2 # big\n";
    let refused = |over: &str| merged(text, over).unwrap_err();
    assert_snapshot!(refused("base: { tag: 2 }\n"), @"key `base.tag` is what an anchor names, or an alias: a change would reach other places too; write it out by hand first");
    for over in ["dev: { tag: 2 }\n", "base: null\n", "base: [1]\n", "base: { more: 1 }\n"] {
        assert_eq!(refused(over).kind(), "shared", "{over}");
    }
    let edited = merged(text, "prod: { size: 3 }\nbase: { tag: 1 }\nnew: 1\n").unwrap();
    assert_eq!(edited, text.replace("size: 2", "size: 3") + "new: 1\n");
}

/// Any but `<<`, which is refused.
fn key() -> impl Strategy<Value = String> {
    "[a-d]|[ -~]{1,3}".prop_filter("an instruction, not data", |key| key != "<<")
}

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9..9_i64).prop_map(Value::from),
        "[ -~]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn map() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-d]", data(), 0..5).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn it_is_what_merging_the_data_gives(base in map(), over in map()) {
        let text = format!("# begin\n{}# end\n", write(&Value::Object(base.clone())));
        prop_assume!(!base.is_empty());
        let mut wanted = read(&text).unwrap();
        merge(&mut wanted, Value::Object(over.clone()));
        let edited = merge_into(&text, &over).unwrap();
        prop_assert_eq!(read(&edited).unwrap(), wanted, "{}", edited);
        prop_assert_eq!(merge_into(&edited, &over).unwrap(), edited);
    }

    #[test]
    fn so_it_is_in_braces(base in map(), over in map()) {
        let text = format!("# begin\n{} # end\n", flow(&Value::Object(base.clone())));
        let mut wanted = read(&text).unwrap();
        merge(&mut wanted, Value::Object(over.clone()));
        let edited = merge_into(&text, &over).unwrap();
        prop_assert_eq!(read(&edited).unwrap(), wanted, "{}", edited);
        prop_assert_eq!(merge_into(&edited, &over).unwrap(), edited);
    }

    #[test]
    fn arbitrary_text_is_merged_or_refused(
        text in "[a-c:\\-\\[\\]{},&*!|>'\"#%@ \n0-2]{0,40}",
        over in map(),
    ) {
        if let Ok(edited) = merge_into(&text, &over) {
            let mut wanted = match read(&text).unwrap() {
                Value::Null => Value::Object(Map::new()),
                data => data,
            };
            let says_nothing = over.values().all(Value::is_null);
            merge(&mut wanted, Value::Object(over));
            let data = read(&edited).unwrap();
            prop_assert!(data == wanted || says_nothing && edited == text, "{}", edited);
        }
    }
}

#[test]
fn tags_are_found_by_their_key() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(read_tag(text).as_deref(), expected, "{text}");
    };
    check("a: 1\nb: { c: [x, 'y'] }\n", None);
    check("a: 1\nb:\n  c: !secret x\n", Some("b.c"));
    check("b:\n  - x\n  - !!binary aGk=\n", Some("b.1"));
    check("b: { d: x, c: !ref [x] }\n", Some("b.c"));
    check("? !key a\n: x\n", Some("a"));
    check("!whole\na: x\n", Some(""));
    check("a: !!str\n", Some("a"));
    check("a: x\n---\nb: !later x\n", None);
}

fn read_tag(text: &str) -> Option<String> {
    super::super::first_tag(text).unwrap()
}
