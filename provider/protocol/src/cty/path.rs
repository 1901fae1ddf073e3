//! Where in a value something is.

use std::fmt;

use crate::wire::tfplugin6::{AttributePath, attribute_path};

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into an attribute of an object, or a block of this type.
    Attribute(String),
    /// Into an element of a map.
    Key(String),
    /// Into an element of a list or tuple.
    Index(usize),
    /// Into some element of a set. The client cannot address one: its paths end before.
    Element,
}

/// The way from the root of a value to a place inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The whole value.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// An attribute of the root.
    #[must_use]
    pub fn attribute(name: impl Into<String>) -> Self {
        Self::root().field(name)
    }

    /// The attribute `name` of what is here.
    #[must_use]
    pub fn field(&self, name: impl Into<String>) -> Self {
        self.step(Step::Attribute(name.into()))
    }

    /// The map element `key` of what is here.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// The list element at `index` of what is here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// One step further.
    #[must_use]
    pub fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the whole value.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn below(mut self, step: Step) -> Self {
        self.0.insert(0, step);
        self
    }

    /// The path as far as the client can address it.
    #[must_use]
    pub fn to_wire(&self) -> AttributePath {
        use attribute_path::step::Selector;
        let steps = self.0.iter().map_while(|step| {
            let selector = match step {
                Step::Attribute(name) => Selector::AttributeName(name.clone()),
                Step::Key(key) => Selector::ElementKeyString(key.clone()),
                Step::Index(index) => Selector::ElementKeyInt(i64::try_from(*index).ok()?),
                Step::Element => return None,
            };
            Some(attribute_path::Step { selector: Some(selector) })
        });
        AttributePath { steps: steps.collect() }
    }
}

/// As a user would write the reference: `git[0].labels["team"]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if place == 0 => f.write_str(name)?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Element => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
