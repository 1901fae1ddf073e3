//! The value that a plan starts from: configuration merged with the state before.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::cty::conform::canonical_set;
use crate::cty::{Type, Value};
use crate::schema::{
    Attribute, AttributeType, Block, BlockNesting, Mode, Nested, NestedBlock, Nesting,
};

/// The configuration, with the values that it leaves to the provider taken from `prior`.
///
/// `prior` is wholly known, or null on create. Lists are matched by position, maps by key, sets
/// by what their elements could have been made from.
#[must_use]
pub fn proposed_new(block: &Block, prior: &Value, config: &Value) -> Value {
    if prior.is_null() && config.is_null() {
        return Value::Null;
    }
    if config.is_null() || config.is_unknown() {
        return if prior.is_null() { block.empty_value() } else { prior.clone() };
    }
    let attributes = propose_attributes(&block.attributes, prior, config);
    let blocks = block.blocks.iter().map(|(name, nested)| {
        let config = config.get(name).unwrap_or(&Value::Null);
        let proposed = match prior.get(name) {
            Some(prior) => propose_blocks(nested, prior, config),
            None => propose_blocks(nested, &nested.empty_value(), config),
        };
        (name.clone(), proposed)
    });
    Value::Map(attributes.chain(blocks).collect())
}

/// What the elements of a collection are: blocks, or objects of a nested attribute.
#[derive(Clone, Copy)]
pub(super) enum Level<'s> {
    Block(&'s Block),
    Nested(&'s Nested),
}

impl Level<'_> {
    fn propose(self, prior: &Value, config: &Value) -> Value {
        match self {
            Self::Block(block) => proposed_new(block, prior, config),
            Self::Nested(_) if config.is_null() => Value::Null,
            Self::Nested(nested) => {
                Value::Map(propose_attributes(&nested.attributes, prior, config).collect())
            }
        }
    }
}

fn propose_attributes<'v>(
    attributes: &'v IndexMap<String, Attribute>,
    prior: &'v Value,
    config: &'v Value,
) -> impl Iterator<Item = (String, Value)> + 'v {
    attributes.iter().map(move |(name, attribute)| {
        let prior = prior.get(name).unwrap_or(&Value::Null);
        // Every attribute of an unknown object is unknown.
        let config = match config {
            Value::Unknown(_) => config,
            config => config.get(name).unwrap_or(&Value::Null),
        };
        (name.clone(), propose_attribute(attribute, prior, config))
    })
}

fn propose_attribute(attribute: &Attribute, prior: &Value, config: &Value) -> Value {
    let nested = attribute.as_nested();
    if attribute.mode.is_computed() && config.is_null() {
        // What was configured before is not the provider's to keep.
        let was_configured = attribute.mode == Mode::OptionalComputed
            && nested.is_some_and(|nested| holds_configured(nested, prior));
        return if was_configured { Value::Null } else { prior.clone() };
    }
    match nested {
        None => config.clone(),
        Some(nested) => {
            let level = Level::Nested(nested);
            match nested.nesting {
                _ if config.is_null() || config.is_unknown() => config.clone(),
                Nesting::Single => level.propose(prior, config),
                Nesting::List => propose_list(level, prior, config),
                Nesting::Map => propose_map(level, prior, config),
                Nesting::Set => propose_set(level, prior, config),
            }
        }
    }
}

fn propose_blocks(nested: &NestedBlock, prior: &Value, config: &Value) -> Value {
    if config.is_unknown() {
        return config.clone();
    }
    let level = Level::Block(&nested.block);
    match nested.nesting {
        BlockNesting::Single if config.is_null() => Value::Null,
        BlockNesting::Single | BlockNesting::Group => level.propose(prior, config),
        BlockNesting::List => propose_list(level, prior, config),
        BlockNesting::Map => propose_map(level, prior, config),
        BlockNesting::Set => propose_set(level, prior, config),
    }
}

fn propose_list(level: Level<'_>, prior: &Value, config: &Value) -> Value {
    let Some(elements) = config.as_list() else { return config.clone() };
    let prior = prior.as_list().unwrap_or_default();
    let proposed = elements.iter().enumerate().map(|(index, config)| match prior.get(index) {
        Some(prior) => level.propose(prior, config),
        None => config.clone(),
    });
    Value::List(proposed.collect())
}

fn propose_map(level: Level<'_>, prior: &Value, config: &Value) -> Value {
    let Some(elements) = config.as_map() else { return config.clone() };
    let proposed = elements.iter().map(|(key, config)| {
        let prior = prior.get(key).unwrap_or(&Value::Null);
        (key.clone(), level.propose(prior, config))
    });
    Value::Map(proposed.collect::<BTreeMap<_, _>>())
}

fn propose_set(level: Level<'_>, prior: &Value, config: &Value) -> Value {
    let Some(elements) = config.as_list() else { return config.clone() };
    let mut unused: Vec<&Value> = prior.as_list().unwrap_or_default().iter().collect();
    let proposed = elements.iter().map(|config| {
        let found = unused.iter().position(|prior| could_stem_from(level, prior, config));
        let prior = found.map_or(&Value::Null, |found| unused.remove(found));
        level.propose(prior, config)
    });
    Value::List(canonical_set(proposed.collect()))
}

/// Whether a value of a nested attribute has something in it that only a configuration can have
/// put there.
fn holds_configured(nested: &Nested, value: &Value) -> bool {
    let in_object = |object: &Value| {
        nested.attributes.iter().any(|(name, attribute)| {
            object.get(name).filter(|value| !value.is_null()).is_some_and(|value| {
                !attribute.mode.is_computed()
                    || attribute.as_nested().is_some_and(|nested| holds_configured(nested, value))
            })
        })
    };
    match (nested.nesting, value) {
        (Nesting::Single, object) => in_object(object),
        (Nesting::List | Nesting::Set, Value::List(objects)) => objects.iter().any(in_object),
        (Nesting::Map, Value::Map(objects)) => objects.values().any(in_object),
        (Nesting::List | Nesting::Set | Nesting::Map, _) => false,
    }
}

/// Whether the set element `value` could have been made from `config`: they differ only where
/// the configuration left something to the provider.
pub(super) fn could_stem_from(level: Level<'_>, value: &Value, config: &Value) -> bool {
    if value.equals_unrefined(config) {
        return true;
    }
    let Some(fields) = value.as_map() else { return value.is_null() };
    let attributes = match level {
        Level::Block(block) => &block.attributes,
        Level::Nested(nested) => &nested.attributes,
    };
    let field = |name: &String| Some((fields.get(name)?, config.get(name)?));
    let attributes_could = attributes.iter().all(|(name, attribute)| {
        field(name).is_some_and(|(value, config)| attribute_could_stem(attribute, value, config))
    });
    attributes_could
        && match level {
            Level::Nested(_) => true,
            Level::Block(block) => block.blocks.iter().all(|(name, nested)| {
                field(name).is_some_and(|(value, config)| blocks_could_stem(nested, value, config))
            }),
        }
}

fn attribute_could_stem(attribute: &Attribute, value: &Value, config: &Value) -> bool {
    if value.equals_unrefined(config) {
        return true;
    }
    match &attribute.ty {
        // There is no looking into a set inside a set.
        AttributeType::Value(Type::Set(_)) => false,
        AttributeType::Value(_) => attribute.mode.is_computed() && config.is_null(),
        AttributeType::Nested(nested) => {
            let level = Level::Nested(nested);
            match nested.nesting {
                Nesting::Set => false,
                Nesting::Single => could_stem_from(level, value, config),
                Nesting::List => list_could_stem(level, value, config),
                Nesting::Map => map_could_stem(level, value, config),
            }
        }
    }
}

fn blocks_could_stem(nested: &NestedBlock, value: &Value, config: &Value) -> bool {
    let level = Level::Block(&nested.block);
    value.equals_unrefined(config)
        || match nested.nesting {
            BlockNesting::Set => false,
            BlockNesting::Single | BlockNesting::Group => could_stem_from(level, value, config),
            BlockNesting::List => list_could_stem(level, value, config),
            BlockNesting::Map => map_could_stem(level, value, config),
        }
}

fn list_could_stem(level: Level<'_>, value: &Value, config: &Value) -> bool {
    let values = value.as_list().unwrap_or_default();
    let config = config.as_list().unwrap_or_default();
    let mut pairs = values.iter().zip(config);
    values.len() <= config.len()
        && pairs.all(|(value, config)| could_stem_from(level, value, config))
}

fn map_could_stem(level: Level<'_>, value: &Value, config: &Value) -> bool {
    value.as_map().is_none_or(|values| {
        values.iter().all(|(key, value)| {
            config.get(key).is_some_and(|config| could_stem_from(level, value, config))
        })
    })
}
