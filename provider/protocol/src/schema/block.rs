//! Blocks.

use indexmap::IndexMap;

use super::{Attribute, AttributeType, Rule};
use crate::cty::{Path, Type, Value};

/// The attributes and blocks inside a pair of braces.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Attributes by name.
    pub attributes: IndexMap<String, Attribute>,
    /// Blocks by type name.
    pub blocks: IndexMap<String, NestedBlock>,
    /// Which of them go together.
    pub rules: Vec<Rule>,
    /// What it is, in Markdown.
    pub description: String,
    /// Why not to use it any more, and what to use.
    pub deprecated: Option<String>,
}

impl Block {
    /// An empty block.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, attribute: Attribute) -> Self {
        self.attributes.insert(name.into(), attribute);
        self
    }

    /// Adds a block.
    #[must_use]
    pub fn block(mut self, name: impl Into<String>, block: NestedBlock) -> Self {
        self.blocks.insert(name.into(), block);
        self
    }

    /// Which attributes and blocks go together.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// One of these must be set, and no more.
    #[must_use]
    pub fn exactly_one_of<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.rule(Rule::ExactlyOne(texts(names)))
    }

    /// One of these must be set, or several.
    #[must_use]
    pub fn at_least_one_of<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.rule(Rule::AtLeastOne(texts(names)))
    }

    /// Of these one may be set, and no more.
    #[must_use]
    pub fn conflicting<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.rule(Rule::AtMostOne(texts(names)))
    }

    /// These are set together, or not at all.
    #[must_use]
    pub fn together<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.rule(Rule::Together(texts(names)))
    }

    /// This is set only with all the others.
    #[must_use]
    pub fn needs<N: Into<String>>(
        self,
        name: impl Into<String>,
        others: impl IntoIterator<Item = N>,
    ) -> Self {
        self.rule(Rule::Needs(name.into(), texts(others)))
    }

    /// What it is, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.description = markdown.into();
        self
    }

    /// Not to be used any more; `message` says what to use.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecated = Some(message.into());
        self
    }

    /// The type of its value.
    #[must_use]
    pub fn ty(&self) -> Type {
        let attributes = self.attributes.iter().map(|(name, attribute)| (name, attribute.ty()));
        Type::object(attributes.chain(self.blocks.iter().map(|(name, block)| (name, block.ty()))))
    }

    /// The value of a block with nothing in it.
    #[must_use]
    pub fn empty_value(&self) -> Value {
        let attributes = self.attributes.keys().map(|name| (name, Value::Null));
        let blocks = self.blocks.iter().map(|(name, block)| (name, block.empty_value()));
        Value::object(attributes.chain(blocks))
    }

    /// Gives the blocks that a value leaves out (or has as null) their empty value, at any depth.
    pub(crate) fn fill_blocks(&self, value: &mut Value) {
        let Value::Map(values) = value else { return };
        for (name, nested) in &self.blocks {
            let value = values.entry(name.clone()).or_default();
            if *value == Value::Null {
                *value = nested.empty_value();
            }
            match (nested.nesting, value) {
                (BlockNesting::List | BlockNesting::Set, Value::List(elements)) => {
                    elements.iter_mut().for_each(|element| nested.block.fill_blocks(element));
                }
                (BlockNesting::Map, Value::Map(elements)) => {
                    elements.values_mut().for_each(|element| nested.block.fill_blocks(element));
                }
                (_, value) => nested.block.fill_blocks(value),
            }
        }
    }

    /// Calls `visit` for every attribute inside, outer before inner.
    pub(crate) fn each_attribute(&self, path: &Path, visit: &mut dyn FnMut(&Attribute, &Path)) {
        each_of(&self.attributes, path, visit);
        for (name, nested) in &self.blocks {
            nested.block.each_attribute(&path.field(name), visit);
        }
    }

    pub(super) fn attribute_named(&self, names: &[&str]) -> Option<&Attribute> {
        let (first, rest) = names.split_first()?;
        match self.blocks.get(*first) {
            Some(nested) => nested.block.attribute_named(rest),
            None => attribute_below(self.attributes.get(*first)?, rest),
        }
    }
}

fn texts<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

fn each_of(
    attributes: &IndexMap<String, Attribute>,
    path: &Path,
    visit: &mut dyn FnMut(&Attribute, &Path),
) {
    for (name, attribute) in attributes {
        let path = path.field(name);
        visit(attribute, &path);
        if let Some(nested) = attribute.as_nested() {
            each_of(&nested.attributes, &path, visit);
        }
    }
}

fn attribute_below<'a>(attribute: &'a Attribute, names: &[&str]) -> Option<&'a Attribute> {
    match (&attribute.ty, names.split_first()) {
        (AttributeType::Nested(nested), Some((first, rest))) => {
            attribute_below(nested.attributes.get(*first)?, rest)
        }
        (AttributeType::Value(_) | AttributeType::Nested(_), _) => Some(attribute),
    }
}

/// How blocks of one type are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockNesting {
    /// At most one; null when absent.
    Single,
    /// At most one; its attributes are null when absent.
    Group,
    /// In order.
    List,
    /// Distinct, without order.
    Set,
    /// By their label.
    Map,
}

/// A block type inside a block.
#[derive(Clone, Debug)]
pub struct NestedBlock {
    /// How its blocks are held.
    pub nesting: BlockNesting,
    /// What is inside each.
    pub block: Block,
    /// The least number of blocks.
    pub min: u32,
    /// The greatest number of blocks; none for no limit.
    pub max: Option<u32>,
}

impl NestedBlock {
    fn of(nesting: BlockNesting, block: Block) -> Self {
        Self { nesting, block, min: 0, max: None }
    }

    /// Blocks in order.
    #[must_use]
    pub fn list(block: Block) -> Self {
        Self::of(BlockNesting::List, block)
    }

    /// Distinct blocks without order.
    #[must_use]
    pub fn set(block: Block) -> Self {
        Self::of(BlockNesting::Set, block)
    }

    /// Blocks by label. A `dynamic` block cannot make these from a variable: labels must be
    /// known at validation.
    #[must_use]
    pub fn map(block: Block) -> Self {
        Self::of(BlockNesting::Map, block)
    }

    /// At most one block.
    #[must_use]
    pub fn single(block: Block) -> Self {
        Self::of(BlockNesting::Single, block)
    }

    /// At most one block, whose attributes are there even when it is not.
    #[must_use]
    pub fn group(block: Block) -> Self {
        Self::of(BlockNesting::Group, block)
    }

    /// At least so many blocks.
    #[must_use]
    pub fn min(mut self, min: u32) -> Self {
        self.min = min;
        self
    }

    /// At most so many blocks.
    #[must_use]
    pub fn max(mut self, max: u32) -> Self {
        self.max = Some(max);
        self
    }

    /// The type of the value that holds all of them.
    #[must_use]
    pub fn ty(&self) -> Type {
        let element = self.block.ty();
        match self.nesting {
            BlockNesting::Single | BlockNesting::Group => element,
            BlockNesting::List => Type::list(element),
            BlockNesting::Set => Type::set(element),
            BlockNesting::Map => Type::map(element),
        }
    }

    /// The value when there is none.
    #[must_use]
    pub fn empty_value(&self) -> Value {
        match self.nesting {
            BlockNesting::Single => Value::Null,
            BlockNesting::Group => self.block.empty_value(),
            BlockNesting::List | BlockNesting::Set => Value::List(Vec::new()),
            BlockNesting::Map => Value::Map(std::collections::BTreeMap::new()),
        }
    }
}
