//! Checking a configuration by the rules of its schema.

use indexmap::IndexMap;

use super::Violation;
use crate::cty::{Path, Step, Value};
use crate::schema::{Attribute, Block, BlockNesting, NestedBlock, Nesting, Rule};

/// Checks a configuration by the rules of its schema: values that are known and not null, and
/// which go together. `write_only_allowed` says whether the client keeps write-only values out
/// of its state.
#[must_use]
pub fn validate(block: &Block, config: &Value, write_only_allowed: bool) -> Vec<Violation> {
    let mut check = Check { write_only_allowed, found: Vec::new() };
    check.block(block, config, &Path::root());
    check.found
}

struct Check {
    write_only_allowed: bool,
    found: Vec<Violation>,
}

impl Check {
    fn block(&mut self, block: &Block, value: &Value, path: &Path) {
        if value.as_map().is_none() {
            return;
        }
        self.attributes(&block.attributes, value, path);
        self.rules(&block.rules, value, |name| block.blocks.contains_key(name), path);
        for (name, nested) in &block.blocks {
            self.nested_block(nested, value.get(name).unwrap_or(&Value::Null), &path.field(name));
        }
    }

    fn nested_block(&mut self, nested: &NestedBlock, value: &Value, path: &Path) {
        let is_set = match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => {
                return self.block(&nested.block, value, path);
            }
            BlockNesting::Set => true,
            BlockNesting::List | BlockNesting::Map => false,
        };
        for (value, path) in elements(value, path, is_set) {
            self.block(&nested.block, value, &path);
        }
    }

    fn attributes(&mut self, attributes: &IndexMap<String, Attribute>, value: &Value, path: &Path) {
        for (name, attribute) in attributes {
            if let Some(value) = value.get(name).filter(|value| !value.is_null()) {
                self.attribute(attribute, value, &path.field(name));
            }
        }
    }

    fn attribute(&mut self, attribute: &Attribute, value: &Value, path: &Path) {
        if attribute.write_only && !self.write_only_allowed {
            let problem = "Write-only attributes need Terraform 1.11 or OpenTofu 1.11. With an \
                           older version the value would be kept in the state.";
            self.found.push(Violation::new(path, problem));
        }
        self.found.extend(attribute.problems(value, path));
        let Some(nested) = attribute.as_nested() else { return };
        let mut object = |value: &Value, path: &Path| {
            if value.as_map().is_some() {
                self.attributes(&nested.attributes, value, path);
                self.rules(&nested.rules, value, |_| false, path);
            }
        };
        let is_set = match nested.nesting {
            Nesting::Single => return object(value, path),
            Nesting::Set => true,
            Nesting::List | Nesting::Map => false,
        };
        for (value, path) in elements(value, path, is_set) {
            object(value, &path);
        }
    }

    fn rules(
        &mut self,
        rules: &[Rule],
        value: &Value,
        is_block: impl Fn(&str) -> bool,
        path: &Path,
    ) {
        for rule in rules {
            rule.test(value, &is_block, path, &mut self.found);
        }
    }
}

pub(super) fn elements<'v>(value: &'v Value, path: &Path, is_set: bool) -> Vec<(&'v Value, Path)> {
    match value {
        Value::List(elements) => elements
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let step = if is_set { Step::Element } else { Step::Index(index) };
                (value, path.step(step))
            })
            .collect(),
        Value::Map(elements) => {
            elements.iter().map(|(key, value)| (value, path.key(key))).collect()
        }
        Value::Null
        | Value::Unknown(_)
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Dynamic(_) => Vec::new(),
    }
}
