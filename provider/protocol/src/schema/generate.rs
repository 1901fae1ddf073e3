//! The configuration that an object could have been made from.

use indexmap::IndexMap;

use super::{Attribute, AttributeType, Block, BlockNesting, Mode, Nested, NestedBlock, Nesting};
use crate::cty::Value;

impl Block {
    /// A configuration that describes the object of a state: its attributes, but for those that
    /// a configuration cannot give (computed, write-only), those that it should not (deprecated)
    /// and those that say no more than their default; of those that exclude each other the first.
    #[must_use]
    pub fn configuration(&self, state: &Value) -> Value {
        if state.is_null() {
            return Value::Null;
        }
        let attributes = attributes(&self.attributes, state);
        let blocks = self.blocks.iter().map(|(name, nested)| {
            let absent = nested.empty_value();
            let value = match state.get(name) {
                Some(value) if nested.block.deprecated.is_none() => {
                    let of_one = |value: &Value| nested.block.configuration(value);
                    match nested.nesting {
                        BlockNesting::Single | BlockNesting::Group => of_one(value),
                        BlockNesting::List | BlockNesting::Set | BlockNesting::Map => {
                            each(value, of_one)
                        }
                    }
                }
                Some(_) | None => absent,
            };
            (name.clone(), value)
        });
        let mut config = Value::Map(attributes.chain(blocks).collect());
        for name in self.rules.iter().flat_map(|rule| rule.left_out(&config)).collect::<Vec<_>>() {
            let absent = self.blocks.get(name).map_or(Value::Null, NestedBlock::empty_value);
            config.set(name, absent);
        }
        config
    }
}

fn attributes<'v>(
    attributes: &'v IndexMap<String, Attribute>,
    state: &'v Value,
) -> impl Iterator<Item = (String, Value)> + 'v {
    attributes.iter().map(move |(name, attribute)| {
        let value = state.get(name).unwrap_or(&Value::Null);
        (name.clone(), configured(attribute, value))
    })
}

fn configured(attribute: &Attribute, value: &Value) -> Value {
    let is_optional = attribute.mode != Mode::Required;
    let is_default =
        attribute.default.as_ref().is_some_and(|default| attribute.same(default, value));
    let is_left_out = attribute.mode == Mode::Computed
        || attribute.write_only
        || (is_optional && (is_default || attribute.deprecated.is_some()));
    if is_left_out {
        return Value::Null;
    }
    match &attribute.ty {
        AttributeType::Value(_) => value.clone(),
        AttributeType::Nested(nested) => objects(nested, value),
    }
}

fn objects(nested: &Nested, value: &Value) -> Value {
    let of_one = |value: &Value| match value {
        Value::Null => Value::Null,
        value => {
            let mut config = Value::Map(attributes(&nested.attributes, value).collect());
            let rules = nested.rules.iter();
            for name in rules.flat_map(|rule| rule.left_out(&config)).collect::<Vec<_>>() {
                config.set(name, Value::Null);
            }
            config
        }
    };
    match nested.nesting {
        Nesting::Single => of_one(value),
        Nesting::List | Nesting::Set | Nesting::Map => each(value, of_one),
    }
}

fn each(value: &Value, of_one: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::List(elements) => Value::List(elements.iter().map(of_one).collect()),
        Value::Map(elements) => {
            Value::object(elements.iter().map(|(key, value)| (key, of_one(value))))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cty::Type;

    #[test]
    fn what_nobody_would_write_is_left_out() {
        let rule = Block::new()
            .attribute("name", Attribute::string().required())
            .attribute("slot", Attribute::number().computed())
            .attribute("color", Attribute::string().default("gray"));
        let member =
            [("name", Attribute::string().required()), ("joined", Attribute::string().computed())];
        let block = Block::new()
            .attribute("name", Attribute::string().required())
            .attribute("id", Attribute::string().computed())
            .attribute("mode", Attribute::string().default("auto"))
            .attribute("size", Attribute::number().optional_computed())
            .attribute("secret", Attribute::string().write_only())
            .attribute("old", Attribute::string().deprecated("Use name."))
            .attribute("tags", Attribute::set(Type::String))
            .attribute("color", Attribute::string().optional_computed())
            .attribute("code", Attribute::string().optional_computed())
            .conflicting(["color", "code"])
            .attribute("members", Attribute::nested(Nesting::Map, member))
            .block("rule", NestedBlock::list(rule));
        let text = |pairs: &[(&str, &str)]| {
            Value::object(pairs.iter().map(|(name, value)| (*name, Value::from(*value))))
        };
        let state = text(&[("name", "n"), ("id", "1"), ("mode", "auto"), ("old", "x")])
            .with("size", 3)
            .with("color", "red")
            .with("code", "#f00")
            .with("tags", Value::list(["a"]))
            .with("members", Value::object([("ada", text(&[("name", "a"), ("joined", "now")]))]))
            .with(
                "rule",
                Value::List(vec![
                    text(&[("name", "one"), ("color", "gray")]).with("slot", 1),
                    text(&[("name", "two"), ("color", "red")]).with("slot", 2),
                ]),
            );
        let config = block.configuration(&state);
        assert_eq!(
            crate::cty::json::to_plain(&config),
            serde_json::json!({
                "name": "n", "id": null, "mode": null, "size": 3, "secret": null, "old": null,
                "tags": ["a"], "color": "red", "code": null,
                "members": { "ada": { "name": "a", "joined": null } },
                "rule": [
                    { "name": "one", "slot": null, "color": null },
                    { "name": "two", "slot": null, "color": "red" },
                ],
            })
        );
    }
}
