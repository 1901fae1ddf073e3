//! Walking values by their schema.

use indexmap::IndexMap;

use super::proposed::{Level, could_stem_from};
use super::validate::elements;
use crate::cty::{Path, Step, Value};
use crate::schema::{Attribute, Block, BlockNesting, Nested, Nesting};

/// Calls `visit` for every attribute inside a value, outer before inner.
pub(crate) fn each<'v>(
    block: &Block,
    value: &'v Value,
    path: &Path,
    visit: &mut dyn FnMut(&Attribute, &'v Value, &Path),
) {
    attributes(&block.attributes, value, path, visit);
    for (name, nested) in &block.blocks {
        let Some(value) = value.get(name) else { continue };
        let path = path.field(name);
        match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => each(&nested.block, value, &path, visit),
            BlockNesting::List | BlockNesting::Set | BlockNesting::Map => {
                let is_set = nested.nesting == BlockNesting::Set;
                for (value, path) in elements(value, &path, is_set) {
                    each(&nested.block, value, &path, visit);
                }
            }
        }
    }
}

fn attributes<'v>(
    attributes: &IndexMap<String, Attribute>,
    value: &'v Value,
    path: &Path,
    visit: &mut dyn FnMut(&Attribute, &'v Value, &Path),
) {
    for (name, attribute) in attributes {
        let Some(value) = value.get(name) else { continue };
        let path = path.field(name);
        visit(attribute, value, &path);
        if let Some(nested) = attribute.as_nested() {
            objects(nested, value, &path, visit);
        }
    }
}

fn objects<'v>(
    nested: &Nested,
    value: &'v Value,
    path: &Path,
    visit: &mut dyn FnMut(&Attribute, &'v Value, &Path),
) {
    if nested.nesting == Nesting::Single {
        return attributes(&nested.attributes, value, path, visit);
    }
    for (value, path) in elements(value, path, nested.nesting == Nesting::Set) {
        attributes(&nested.attributes, value, &path, visit);
    }
}

/// An attribute in a value that is being made, beside the same place in two others.
pub(super) struct Visit<'a, 'v> {
    pub(super) attribute: &'a Attribute,
    pub(super) path: &'a Path,
    /// The value being made.
    pub(super) value: &'a mut Value,
    /// The configuration, or whatever is followed.
    pub(super) config: &'v Value,
    /// The state before; null where there was nothing.
    pub(super) prior: &'v Value,
    /// Whether the object or block around the attribute was there before.
    pub(super) existed: bool,
}

/// Calls `visit` for every attribute that is both in the value and in `config`, outer before
/// inner. Lists are matched by position, maps by key; a set element goes with the configuration
/// it could stem from, and has nothing before it.
pub(super) fn each_mut(
    block: &Block,
    (value, config, prior): (&mut Value, &Value, &Value),
    path: &Path,
    visit: &mut dyn FnMut(Visit<'_, '_>),
) {
    attributes_mut(&block.attributes, (value, config, prior), path, visit);
    for (name, nested) in &block.blocks {
        let prior = prior.get(name).unwrap_or(&Value::Null);
        let (Value::Map(fields), Some(config)) = (&mut *value, config.get(name)) else { continue };
        let Some(value) = fields.get_mut(name) else { continue };
        let path = path.field(name);
        let level = Level::Block(&nested.block);
        let mut inner = |value: &mut Value, config: &Value, prior: &Value, path: &Path| {
            each_mut(&nested.block, (value, config, prior), path, visit);
        };
        match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => inner(value, config, prior, &path),
            BlockNesting::List | BlockNesting::Map => {
                elements_mut((value, config, prior), &path, &mut inner);
            }
            BlockNesting::Set => set_mut(level, (value, config), &path, &mut inner),
        }
    }
}

type Inner<'f> = dyn FnMut(&mut Value, &Value, &Value, &Path) + 'f;

fn attributes_mut(
    attributes: &IndexMap<String, Attribute>,
    (value, config, prior): (&mut Value, &Value, &Value),
    path: &Path,
    visit: &mut dyn FnMut(Visit<'_, '_>),
) {
    let existed = !prior.is_null();
    for (name, attribute) in attributes {
        let prior = prior.get(name).unwrap_or(&Value::Null);
        let (Value::Map(fields), Some(config)) = (&mut *value, config.get(name)) else { continue };
        let Some(value) = fields.get_mut(name) else { continue };
        let path = &path.field(name);
        visit(Visit { attribute, path, value: &mut *value, config, prior, existed });
        let Some(nested) = attribute.as_nested() else { continue };
        let level = Level::Nested(nested);
        let mut inner = |value: &mut Value, config: &Value, prior: &Value, path: &Path| {
            attributes_mut(&nested.attributes, (value, config, prior), path, visit);
        };
        match nested.nesting {
            Nesting::Single => inner(value, config, prior, path),
            Nesting::List | Nesting::Map => elements_mut((value, config, prior), path, &mut inner),
            Nesting::Set => set_mut(level, (value, config), path, &mut inner),
        }
    }
}

fn elements_mut(
    (value, config, prior): (&mut Value, &Value, &Value),
    path: &Path,
    inner: &mut Inner<'_>,
) {
    match (value, config) {
        (Value::List(values), Value::List(configs)) => {
            let priors = prior.as_list().unwrap_or_default();
            for (index, (value, config)) in values.iter_mut().zip(configs).enumerate() {
                let prior = priors.get(index).unwrap_or(&Value::Null);
                inner(value, config, prior, &path.index(index));
            }
        }
        (Value::Map(values), Value::Map(configs)) => {
            for (key, value) in values {
                let Some(config) = configs.get(key) else { continue };
                inner(value, config, prior.get(key).unwrap_or(&Value::Null), &path.key(key));
            }
        }
        _ => {}
    }
}

fn set_mut(
    level: Level<'_>,
    (value, config): (&mut Value, &Value),
    path: &Path,
    inner: &mut Inner<'_>,
) {
    let (Value::List(values), Value::List(configs)) = (value, config) else { return };
    let mut unused: Vec<&Value> = configs.iter().collect();
    for value in values {
        let found = unused.iter().position(|config| could_stem_from(level, value, config));
        if let Some(found) = found {
            inner(value, unused.remove(found), &Value::Null, &path.step(Step::Element));
        }
    }
}
