//! Which plans the client accepts.
//!
//! A provider may choose only what is computed and not configured. A configured value is
//! planned as it is, or as it was before if that means the same.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::Violation;
use crate::cty::{Path, Value};
use crate::schema::{Attribute, Block, BlockNesting, Mode, Nested, NestedBlock, Nesting};

/// What makes `planned` an invalid plan for `config` and the state before; empty for a valid
/// one. `prior` is null on create.
#[must_use]
pub fn plan_violations(
    block: &Block,
    prior: &Value,
    config: &Value,
    planned: &Value,
) -> Vec<Violation> {
    let mut check = Check { found: Vec::new() };
    check.block(block, Trio { prior, config, planned }, &Path::root());
    check.found
}

/// The same place in three values.
#[derive(Clone, Copy)]
struct Trio<'v> {
    prior: &'v Value,
    config: &'v Value,
    planned: &'v Value,
}

impl<'v> Trio<'v> {
    fn field(self, name: &str) -> Self {
        let field = |value: &'v Value| value.get(name).unwrap_or(&Value::Null);
        Self { prior: field(self.prior), config: field(self.config), planned: field(self.planned) }
    }

    fn index(self, index: usize) -> Self {
        let element = |value: &'v Value| {
            value.as_list().and_then(|list| list.get(index)).unwrap_or(&Value::Null)
        };
        Self {
            prior: element(self.prior),
            config: element(self.config),
            planned: element(self.planned),
        }
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_map().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
    }
}

struct Check {
    found: Vec<Violation>,
}

impl Check {
    fn violation(&mut self, path: &Path, problem: impl Into<String>) {
        self.found.push(Violation::new(path, problem));
    }

    /// Whether there is something planned on both sides, and it agrees that there is.
    fn exists(&mut self, at: Trio<'_>, path: &Path) -> bool {
        match (at.planned.is_null(), at.config.is_null()) {
            (true, false) => self.violation(path, "is configured, but planned to be absent"),
            (false, true) => self.violation(path, "is not configured, but planned to be there"),
            (true, true) => {}
            (false, false) => return true,
        }
        false
    }

    fn block(&mut self, block: &Block, at: Trio<'_>, path: &Path) {
        if !self.exists(at, path) {
            return;
        }
        self.attributes(&block.attributes, at, path);
        for (name, nested) in &block.blocks {
            self.nested_block(nested, at.field(name), &path.field(name));
        }
    }

    fn nested_block(&mut self, nested: &NestedBlock, at: Trio<'_>, path: &Path) {
        if nested.nesting != BlockNesting::Single && at.planned.is_null() {
            self.violation(path, "no blocks are planned as null, and not as an empty collection");
            return;
        }
        if at.planned == at.config {
            return;
        }
        if at.config.is_unknown() {
            self.violation(path, "blocks that are not known yet are planned as known");
            return;
        }
        if at.planned.is_unknown() {
            self.violation(path, "blocks are planned as unknown");
            return;
        }
        match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => self.block(&nested.block, at, path),
            BlockNesting::List => self.list_blocks(&nested.block, at, path),
            BlockNesting::Map => self.map_blocks(&nested.block, at, path),
            BlockNesting::Set => {
                for element in at.planned.as_list().unwrap_or_default() {
                    self.known_element(element, &path.step(crate::cty::Step::Element));
                }
            }
        }
    }

    fn known_element(&mut self, planned: &Value, path: &Path) -> bool {
        if planned.is_unknown() {
            self.violation(path, "a block is planned as unknown as a whole");
        }
        !planned.is_unknown()
    }

    fn list_blocks(&mut self, block: &Block, at: Trio<'_>, path: &Path) {
        let (planned, configured) = (length(at.planned), length(at.config));
        if planned != configured {
            self.violation(path, format!("{planned} blocks are planned, {configured} configured"));
            return;
        }
        for index in 0..planned {
            let (at, path) = (at.index(index), path.index(index));
            if self.known_element(at.planned, &path) {
                self.block(block, at, &path);
            }
        }
    }

    fn map_blocks(&mut self, block: &Block, at: Trio<'_>, path: &Path) {
        for key in self.common_keys(at, path) {
            let (at, path) = (at.field(key), path.key(key));
            if self.known_element(at.planned, &path) {
                self.block(block, at, &path);
            }
        }
    }

    fn common_keys<'v>(&mut self, at: Trio<'v>, path: &Path) -> Vec<&'v str> {
        let (planned, configured) = (Trio::keys(at.planned), Trio::keys(at.config));
        for key in planned.difference(&configured) {
            self.violation(path, format!("key {key:?} is planned, but not configured"));
        }
        for key in configured.difference(&planned) {
            self.violation(path, format!("key {key:?} is configured, but not planned"));
        }
        planned.intersection(&configured).copied().collect()
    }

    fn attributes(&mut self, attributes: &IndexMap<String, Attribute>, at: Trio<'_>, path: &Path) {
        for (name, attribute) in attributes {
            self.attribute(attribute, at.field(name), &path.field(name));
        }
    }

    fn attribute(&mut self, attribute: &Attribute, at: Trio<'_>, path: &Path) {
        if attribute.write_only {
            if !at.planned.is_null() {
                self.violation(path, "a write-only value is in the plan");
            }
            return;
        }
        let as_configured = at.planned.equals_unrefined(at.config);
        let as_before =
            at.planned.equals_unrefined(at.prior) && !at.prior.is_null() && !at.config.is_null();
        if as_configured || as_before {
            return;
        }
        let chosen = at.config.is_null() && attribute.mode.is_computed();
        if attribute.mode == Mode::Computed || chosen {
            return;
        }
        if at.config.is_null() && !at.planned.is_null() {
            self.violation(path, "is not configured and not computed, but has a planned value");
            return;
        }
        match attribute.as_nested() {
            Some(nested) => self.nested(nested, at, path),
            None if at.prior.is_null() => {
                self.violation(path, "the planned value is not the configured one");
            }
            None => {
                let problem = "the planned value is neither the configured one nor the one before";
                self.violation(path, problem);
            }
        }
    }

    fn nested(&mut self, nested: &Nested, at: Trio<'_>, path: &Path) {
        if !self.exists(at, path) {
            return;
        }
        if at.planned.is_unknown() {
            self.violation(path, "is configured, but planned as unknown");
            return;
        }
        if at.config.is_unknown() && nested.nesting != Nesting::Single {
            self.violation(path, "is not known yet, but planned as known");
            return;
        }
        match nested.nesting {
            Nesting::Single => self.attributes(&nested.attributes, at, path),
            Nesting::List => {
                if self.same_length(at, path) {
                    for index in 0..length(at.planned) {
                        self.attributes(&nested.attributes, at.index(index), &path.index(index));
                    }
                }
            }
            Nesting::Map => {
                if self.same_length(at, path) {
                    for key in self.common_keys(at, path) {
                        self.attributes(&nested.attributes, at.field(key), &path.key(key));
                    }
                }
            }
            // Elements of a set cannot be told apart, so only their number can be wrong. One
            // that is not known yet may turn out equal to another.
            Nesting::Set => {
                if at.planned.is_wholly_known() || length(at.planned) < length(at.config) {
                    self.same_length(at, path);
                }
            }
        }
    }

    fn same_length(&mut self, at: Trio<'_>, path: &Path) -> bool {
        let (planned, configured) = (length(at.planned), length(at.config));
        if planned != configured {
            let problem = format!("{planned} elements are planned, {configured} configured");
            self.violation(path, problem);
        }
        planned == configured
    }
}

fn length(value: &Value) -> usize {
    value.as_list().map(<[Value]>::len).or_else(|| value.as_map().map(BTreeMap::len)).unwrap_or(0)
}
