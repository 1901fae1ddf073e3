#![expect(clippy::unwrap_used, reason = "tests")]

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::expression::Shape;

fn scope() -> Scope {
    let mut scope = Scope::new();
    scope.set("name", json!("shop")).set("n", json!(42)).set("nothing", Value::Null);
    scope.set("list", json!([1, "a"])).set("whole", json!(2.0));
    scope
}

fn check(text: &str, expected: &Value) {
    assert_eq!(Template::parse(text).unwrap().render(&scope()).unwrap(), *expected, "{text}");
}

#[test]
fn renders() {
    check("{{ nothing }}", &Value::Null);
    check("{{ list }}", &json!([1, "a"]));
    check("list: {{ list }}", &json!("list: [1,\"a\"]"));
    check("{{ whole }}", &json!(2.0));
    check("v{{ whole }}", &json!("v2"));
    check("{{ '}}' + \"{{\" }}", &json!("}}{{"));
    check("{{ {'a': {'b': n}} }}", &json!({"a": {"b": 42}}));
    check("{{ r'\\' + name }}", &json!("\\shop"));
    check("{{ '''it's }}''' }}", &json!("it's }}"));
    check("{{ 'it\\'s' }}", &json!("it's"));
    check("{{ n // don't\n }}!", &json!("42!"));
    check("", &json!(""));
}

fn refused(text: &str) -> String {
    let rendered = Template::parse(text).and_then(|template| template.render(&scope()));
    rendered.unwrap_err().to_string()
}

#[test]
fn errors() {
    assert_snapshot!(refused("a {{ n"), @"`{{` is not closed by `}}` (offset 2)");
    assert_snapshot!(refused("a {{ n // }}"), @"`{{` is not closed by `}}` (offset 2)");
    assert_snapshot!(refused("a {{ }}"), @"the expression is empty (offset 4)");
    assert_snapshot!(refused("a {{ n ++ }}"), @"unexpected token (offset 8)");
    assert_snapshot!(refused("a {{ nothing }}"), @"`nothing` is null and cannot stand inside a text: give it a default");
    assert_snapshot!(refused("a {{ nope }}"), @"`nope`: unknown name `nope`");
}

#[test]
fn checks_names_with_offsets_in_the_text() {
    let names = Names::new().name("vars", Shape::object([("image", Shape::Scalar)]));
    let template = Template::parse("{{ vars.image }}:{{ vars.imag }}").unwrap();
    let errors = template.check(&names).unwrap_err();
    assert_snapshot!(errors[0], @"`vars` has no field `imag`, did you mean `image`? (offset 25)");
}

#[test]
fn documents() {
    let value = json!({"a/b": ["{{ n }}", {"c": "x-{{ name }}"}], "{{ key }}": true});
    let rendered = render_json(&value, &scope()).unwrap();
    assert_eq!(rendered, json!({"a/b": [42, {"c": "x-shop"}], "{{ key }}": true}));

    let broken = json!({"a/b": ["{{ n }}", {"c": "{{ nope.x }}"}]});
    let error = render_json(&broken, &scope()).unwrap_err();
    assert_snapshot!(error, @"at /a~1b/1/c: `nope.x`: unknown name `nope`");

    let names = Names::new().name("n", Shape::Scalar);
    let errors = check_json(&broken, &names).unwrap_err();
    assert_snapshot!(errors[0], @"at /a~1b/1/c: unknown name `nope`, there are: n (offset 3)");
    let references = references_json(&broken).unwrap();
    assert_eq!(references.iter().map(ToString::to_string).collect::<Vec<_>>(), ["n", "nope.x"]);
}

#[test]
fn partial_rendering_keeps_what_waits() {
    let value = json!({
        "url": "https://{{ steps.out.url }}/{{ name }}",
        "count": "{{ n }}",
        "whole": "{{ steps.out.url }}",
    });
    let waits = |reference: &Reference| reference.touches(&["steps", "out"]);
    let partial = render_partial(&value, &scope(), &waits).unwrap();
    assert_eq!(
        partial.value,
        json!({
            "url": {"$deferred": "https://{{ steps.out.url }}/shop"},
            "count": 42,
            "whole": {"$deferred": "{{ steps.out.url }}"},
        })
    );
    let places: Vec<&str> = partial.deferred.iter().map(|deferred| &*deferred.path).collect();
    assert_eq!(places, ["/url", "/whole"]);
    assert_eq!(partial.deferred[0].template, "https://{{ steps.out.url }}/{{ name }}");
    assert_eq!(partial.deferred[0].references[0].to_string(), "steps.out.url");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\{\\{|\\}\\}|'|\"|[a-z {}+.\\\\/]|\\PC){0,20}") {
        if let Ok(template) = Template::parse(&text) {
            drop(template.render(&scope()));
        }
    }

    #[test]
    fn text_without_braces_is_itself(text in "[^{]{0,40}") {
        let rendered = Template::parse(&text).unwrap().render(&Scope::new()).unwrap();
        prop_assert_eq!(rendered, Value::String(text));
    }
}
