//! The conformance vectors of values and plans, one function for each category.

use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{
    Bound, Dynamic, Number, Path, Refinement, Step, Type, Value, msgpack,
};
use provider_protocol::plan::{Violation, apply_violations, plan_violations, proposed_new};
use provider_protocol::schema::{Attribute, Block, Nesting};
use serde_json::{Value as Json, json};

/// The categories that [`run`] knows.
pub(crate) const CATEGORIES: [&str; 4] =
    ["cty_msgpack", "plan_valid", "apply_compatible", "proposed_new"];

/// Runs one case of a category.
///
/// # Errors
///
/// With what came out, when it is not what the case expects, and for an unknown category.
pub(crate) fn run(category: &str, input: &Json, expect: &Json) -> Result<(), String> {
    let (found, expect) = match category {
        "cty_msgpack" => (cty_msgpack(input), expect.clone()),
        "plan_valid" => (plan_valid(input), expect.clone()),
        "apply_compatible" => (apply_compatible(input), expect.clone()),
        "proposed_new" => {
            let ty = block(&input["schema"]).ty();
            let expect = value(&expect["proposed"], &ty);
            (format_value(&proposed(input)), format_value(&expect))
        }
        other => return Err(format!("unknown category {other}")),
    };
    if found == expect { Ok(()) } else { Err(format!("found {found}, expected {expect}")) }
}

fn cty_msgpack(input: &Json) -> Json {
    let ty = Type::from_json(&input["type"]).expect("a type");
    let wire = input["msgpack_hex"].as_str().expect("hex");
    let Ok(decoded) = msgpack::decode(&bytes(wire), &ty) else {
        return json!({ "error": true });
    };
    if decoded != value(&input["value"], &ty) {
        return json!({ "decoded": format!("{decoded:?}") });
    }
    let encoded = hex(&msgpack::encode(&decoded, &ty).expect("a value of its type"));
    if encoded == wire {
        json!({ "roundtrip": true })
    } else {
        json!({ "decodes": true, "reencoded_hex": encoded })
    }
}

fn plan_valid(input: &Json) -> Json {
    let block = block(&input["schema"]);
    let part = |name: &str| value(&input[name], &block.ty());
    let found = plan_violations(&block, &part("prior"), &part("config"), &part("planned"));
    json!({ "valid": found.is_empty(), "paths": paths(&found) })
}

fn apply_compatible(input: &Json) -> Json {
    let block = block(&input["schema"]);
    let part = |name: &str| value(&input[name], &block.ty());
    let found = apply_violations(&block, &part("planned"), &part("actual"));
    json!({ "compatible": found.is_empty(), "paths": paths(&found) })
}

fn proposed(input: &Json) -> Value {
    let block = block(&input["schema"]);
    let part = |name: &str| value(&input[name], &block.ty());
    proposed_new(&block, &part("prior"), &part("config"))
}

fn format_value(value: &Value) -> Json {
    Json::String(format!("{value:?}"))
}

/// The paths as a set.
fn paths(violations: &[Violation]) -> Vec<Json> {
    let mut paths: Vec<&Path> = violations.iter().map(|violation| &violation.path).collect();
    paths.sort();
    paths.dedup();
    let step = |step: &Step| match step {
        Step::Attribute(name) | Step::Key(name) => Json::from(name.as_str()),
        Step::Index(index) => Json::from(*index),
        Step::Element => Json::from("*"),
    };
    paths.into_iter().map(|path| path.steps().iter().map(step).collect()).collect()
}

fn block(schema: &Json) -> Block {
    attributes(&schema["attributes"])
        .into_iter()
        .fold(Block::new(), |block, (name, attribute)| block.attribute(name, attribute))
}

fn attributes(schema: &Json) -> Vec<(String, Attribute)> {
    let attributes = schema.as_object().expect("attributes by name").iter();
    attributes.map(|(name, schema)| (name.clone(), attribute(schema))).collect()
}

fn attribute(schema: &Json) -> Attribute {
    let flag = |name: &str| schema[name].as_bool().unwrap_or_default();
    let attribute = match schema.get("nested") {
        None => Attribute::typed(Type::from_json(&schema["type"]).expect("a type")),
        Some(nested) => {
            let nesting = match nested["nesting"].as_str() {
                Some("single") => Nesting::Single,
                Some("list") => Nesting::List,
                Some("set") => Nesting::Set,
                Some("map") => Nesting::Map,
                other => panic!("unknown nesting {other:?}"),
            };
            Attribute::nested(nesting, attributes(&nested["attributes"]))
        }
    };
    let attribute = match (flag("required"), flag("optional"), flag("computed")) {
        (true, _, _) => attribute.required(),
        (false, true, true) => attribute.optional_computed(),
        (false, false, true) => attribute.computed(),
        (false, _, false) => attribute.optional(),
    };
    let attribute = if flag("sensitive") { attribute.sensitive() } else { attribute };
    if flag("write_only") { attribute.write_only() } else { attribute }
}

/// A value in the notation of the vectors.
fn value(json: &Json, ty: &Type) -> Value {
    conform(read(json, ty), ty).expect("a value of the type")
}

fn read(json: &Json, ty: &Type) -> Value {
    if let Some(refinement) = json.get("$unknown") {
        return Value::unknown_with(refinement_of(refinement));
    }
    if let Some(dynamic) = json.get("$dynamic") {
        let ty = Type::from_json(&dynamic["type"]).expect("a type");
        let value = read(&dynamic["value"], &ty);
        return Value::Dynamic(Box::new(Dynamic { ty, value }));
    }
    match (json, ty) {
        (Json::Array(elements), Type::List(ty) | Type::Set(ty)) => {
            Value::List(elements.iter().map(|json| read(json, ty)).collect())
        }
        (Json::Array(elements), Type::Tuple(types)) => {
            Value::List(elements.iter().zip(types).map(|(json, ty)| read(json, ty)).collect())
        }
        (Json::Object(elements), Type::Map(ty)) => {
            Value::object(elements.iter().map(|(key, json)| (key, read(json, ty))))
        }
        (Json::Object(elements), Type::Object(types)) => {
            Value::object(elements.iter().map(|(key, json)| (key, read(json, &types[key]))))
        }
        (json, Type::Number) if !json.is_null() => Value::Number(number(json)),
        (json, _) => Value::from(json),
    }
}

fn number(json: &Json) -> Number {
    let text = json.get("$number").and_then(Json::as_str);
    text.map_or_else(|| json.to_string(), str::to_owned).parse().expect("a number")
}

fn refinement_of(json: &Json) -> Refinement {
    let bound = |name: &str| {
        json.get(name).map(|bound| Bound {
            value: number(&bound["value"]),
            inclusive: bound["inclusive"].as_bool().expect("whether inclusive"),
        })
    };
    Refinement {
        not_null: json["not_null"].as_bool().unwrap_or_default(),
        prefix: json["string_prefix"].as_str().map(str::to_owned),
        min: bound("number_min"),
        max: bound("number_max"),
        min_length: json["length_min"].as_u64(),
        max_length: json["length_max"].as_u64(),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        hex.chars().map(|digit| digit.to_digit(16).expect("hexadecimal")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
