//! The client's rules for schemas, so that a schema it would refuse fails in a test of ours.

use super::{
    Attribute, AttributeType, Block, BlockNesting, Check, Identity, Mode, NestedBlock, Nesting,
    Rule, Schema,
};
use crate::cty::{Path, Type, conform::conform};

/// Root names that mean something else in a `resource` or `data` block.
const RESERVED_IN_RESOURCE: [&str; 7] =
    ["connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"];
/// Root names that mean something else in a `provider` block of either tool.
const RESERVED_IN_PROVIDER: [&str; 3] = ["alias", "for_each", "version"];

/// What is wrong with the schema of a resource or data source.
#[must_use]
pub fn resource(schema: &Schema) -> Vec<String> {
    reserved(schema, &RESERVED_IN_RESOURCE).into_iter().chain(schema.check()).collect()
}

/// What is wrong with the schema of the provider.
#[must_use]
pub fn provider(schema: &Schema) -> Vec<String> {
    reserved(schema, &RESERVED_IN_PROVIDER).into_iter().chain(schema.check()).collect()
}

/// What is wrong with an identity.
#[must_use]
pub fn identity(identity: &Identity) -> Vec<String> {
    let mut checker = Checker::default();
    for (name, attribute) in &identity.attributes {
        let path = Path::attribute(name);
        checker.name(name, &path);
        let is_primitive = |ty: &Type| matches!(ty, Type::String | Type::Number | Type::Bool);
        let is_flat = match &attribute.ty {
            Type::List(element) => is_primitive(element),
            ty => is_primitive(ty),
        };
        if !is_flat {
            checker.problem(&path, "an identity holds primitives and lists of them");
        }
    }
    if !identity.attributes.values().any(|attribute| attribute.required) {
        checker.problems.push("an import must give something".to_owned());
    }
    checker.problems
}

/// The attributes that are computed where there is nobody to compute them: what has only a
/// configuration. Those with a default are ours to fill in.
#[must_use]
pub fn no_computed(schema: &Schema) -> Vec<String> {
    named(schema, "there is only a configuration, so nothing is computed", |attribute| {
        attribute.mode == Mode::Computed
            || (attribute.mode == Mode::OptionalComputed && attribute.default.is_none())
    })
}

/// The attributes that are write-only where nothing is kept anyway.
#[must_use]
pub fn no_write_only(schema: &Schema) -> Vec<String> {
    let problem = "nothing is kept, so nothing is write-only";
    named(schema, problem, |attribute| attribute.write_only)
}

fn named(schema: &Schema, problem: &str, is_wrong: impl Fn(&Attribute) -> bool) -> Vec<String> {
    let mut paths = Vec::new();
    schema.block.each_attribute(&Path::root(), &mut |attribute, path| {
        if is_wrong(attribute) {
            paths.push(format!("{path}: {problem}"));
        }
    });
    paths
}

fn reserved(schema: &Schema, names: &[&str]) -> Vec<String> {
    let taken = schema.block.attributes.keys().chain(schema.block.blocks.keys());
    let taken = taken.filter(|name| names.contains(&name.as_str()));
    taken.map(|name| format!("{name}: the name is reserved")).collect()
}

/// What is wrong with a block, and everything inside it.
#[must_use]
pub fn block(block: &Block) -> Vec<String> {
    let mut checker = Checker::default();
    checker.block(block, &Path::root());
    checker.problems
}

#[derive(Default)]
struct Checker {
    problems: Vec<String>,
}

impl Checker {
    fn problem(&mut self, path: &Path, problem: &str) {
        self.problems.push(format!("{path}: {problem}"));
    }

    fn name(&mut self, name: &str, path: &Path) {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(valid) {
            self.problem(path, "a name has only lower case letters, digits and underscores");
        }
    }

    fn block(&mut self, block: &Block, path: &Path) {
        for (name, attribute) in &block.attributes {
            self.attribute(attribute, name, &path.field(name));
        }
        let is_there =
            |name: &str| block.attributes.contains_key(name) || block.blocks.contains_key(name);
        self.rules(&block.rules, is_there, path);
        for (name, nested) in &block.blocks {
            let path = path.field(name);
            if block.attributes.contains_key(name) {
                self.problem(&path, "both an attribute and a block");
            }
            self.name(name, &path);
            self.nested_block(nested, &path);
            self.block(&nested.block, &path);
        }
    }

    fn rules(&mut self, rules: &[Rule], is_there: impl Fn(&str) -> bool, path: &Path) {
        for name in rules.iter().flat_map(Rule::names) {
            if !is_there(name) {
                self.problem(&path.field(name), "a rule names it, and it is not there");
            }
        }
    }

    fn checks(&mut self, checks: &[Check], ty: &Type, path: &Path) {
        for check in checks {
            let fits = match check {
                Check::Length(_) | Check::Pattern(..) => *ty == Type::String,
                Check::Range(_) | Check::Whole => *ty == Type::Number,
                Check::OneOf(values) => {
                    values.iter().all(|value| conform(value.clone(), ty).is_ok())
                }
                Check::Size(_) => matches!(ty, Type::List(_) | Type::Set(_) | Type::Map(_)),
                Check::Unique => matches!(ty, Type::List(_)),
                Check::Each(check) => match ty {
                    Type::List(element) | Type::Set(element) | Type::Map(element) => {
                        self.checks(std::slice::from_ref(check), element, path);
                        true
                    }
                    _ => false,
                },
                Check::Code(_) => true,
            };
            if !fits {
                let problem = format!("a check that it is {check:?} does not fit its type");
                self.problem(path, &problem);
            }
        }
    }

    fn nested_block(&mut self, nested: &NestedBlock, path: &Path) {
        if nested.max.is_some_and(|max| max == 0 || nested.min > max) {
            self.problem(path, "the greatest number of blocks is below the least, or zero");
        }
        let bounded = nested.min > 0 || nested.max.is_some();
        match nested.nesting {
            BlockNesting::Single if nested.min > 1 || nested.max.is_some_and(|max| max > 1) => {
                self.problem(path, "a single block is there once at most");
            }
            BlockNesting::Group | BlockNesting::Map if bounded => {
                self.problem(path, "the number of blocks cannot be bounded here");
            }
            BlockNesting::Single
            | BlockNesting::Group
            | BlockNesting::Map
            | BlockNesting::List
            | BlockNesting::Set => {}
        }
        match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => {}
            BlockNesting::List | BlockNesting::Map | BlockNesting::Set => {
                if nested.block.ty().has_dynamic() {
                    self.problem(path, "repeated blocks cannot hold dynamic types");
                }
            }
        }
        if nested.nesting == BlockNesting::Set && holds_write_only(&nested.block) {
            self.problem(path, "a set cannot hold write-only attributes");
        }
    }

    fn attribute(&mut self, attribute: &Attribute, name: &str, path: &Path) {
        self.name(name, path);
        self.checks(&attribute.checks, &attribute.ty(), path);
        if attribute.mode == Mode::Computed && !attribute.checks.is_empty() {
            self.problem(path, "what nobody configures is not checked");
        }
        if attribute.write_only && attribute.mode.is_computed() {
            self.problem(path, "a write-only attribute cannot be computed");
        }
        if attribute.stable && !attribute.mode.is_computed() {
            self.problem(path, "only a computed attribute can be stable");
        }
        if let Some(default) = &attribute.default {
            if conform(default.clone(), &attribute.ty()).is_err() {
                self.problem(path, "the default is of another type");
            }
            if !attribute.mode.is_computed() || !attribute.mode.is_optional() {
                self.problem(path, "an attribute with a default is optional and computed");
            }
        }
        match &attribute.ty {
            AttributeType::Value(ty) => self.ty(ty, path),
            AttributeType::Nested(nested) => {
                if nested.nesting != Nesting::Single && nested.element_ty().has_dynamic() {
                    self.problem(path, "a collection cannot hold dynamic types");
                }
                let holds_write_only = nested.attributes.values().any(is_write_only);
                if nested.nesting == Nesting::Set && holds_write_only {
                    self.problem(path, "a set cannot hold write-only attributes");
                }
                self.rules(&nested.rules, |name| nested.attributes.contains_key(name), path);
                for (name, attribute) in &nested.attributes {
                    self.attribute(attribute, name, &path.field(name));
                }
            }
        }
    }

    fn ty(&mut self, ty: &Type, path: &Path) {
        match ty {
            Type::String | Type::Number | Type::Bool | Type::Dynamic => {}
            Type::List(element) | Type::Set(element) | Type::Map(element) => {
                if element.has_dynamic() {
                    self.problem(path, "a collection cannot hold dynamic types");
                }
            }
            Type::Tuple(elements) => elements.iter().for_each(|ty| self.ty(ty, path)),
            Type::Object(attributes) => attributes.values().for_each(|ty| self.ty(ty, path)),
        }
    }
}

fn is_write_only(attribute: &Attribute) -> bool {
    let nested = attribute.as_nested();
    attribute.write_only
        || nested.is_some_and(|nested| nested.attributes.values().any(is_write_only))
}

fn holds_write_only(block: &Block) -> bool {
    block.attributes.values().any(is_write_only)
        || block.blocks.values().any(|nested| holds_write_only(&nested.block))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block: Block, problems: &[&str]) {
        assert_eq!(Schema::new(block).check(), problems);
    }

    #[test]
    fn a_good_schema_has_no_problems() {
        let rule = Block::new()
            .attribute("name", Attribute::string().required())
            .attribute("tags", Attribute::map(Type::String))
            .attribute("id", Attribute::string().computed().stable());
        check(
            Block::new()
                .attribute("name", Attribute::string().required().force_new())
                .attribute("mode", Attribute::string().default("auto"))
                .attribute("free", Attribute::typed(Type::Dynamic))
                .block("rule", NestedBlock::list(rule).min(1).max(3)),
            &[],
        );
    }

    #[test]
    fn what_the_client_refuses_is_a_problem() {
        check(
            Block::new()
                .attribute("Name", Attribute::string())
                .attribute("secret", Attribute::string().computed().write_only())
                .attribute("kept", Attribute::string().stable())
                .attribute("long", Attribute::number().length(1..))
                .conflicting(["kept", "gone"])
                .attribute("odd", Attribute::string().default(7))
                .attribute("open", Attribute::list(Type::Dynamic))
                .attribute("rule", Attribute::string())
                .block("rule", NestedBlock::map(Block::new()).max(1))
                .block("one", NestedBlock::single(Block::new()).max(2))
                .block(
                    "keys",
                    NestedBlock::set(
                        Block::new().attribute("key", Attribute::string().write_only()),
                    ),
                )
                .block(
                    "free",
                    NestedBlock::list(
                        Block::new().attribute("any", Attribute::typed(Type::Dynamic)),
                    ),
                ),
            &[
                "Name: a name has only lower case letters, digits and underscores",
                "secret: a write-only attribute cannot be computed",
                "kept: only a computed attribute can be stable",
                "long: a check that it is 1 or more characters long does not fit its type",
                "odd: the default is of another type",
                "open: a collection cannot hold dynamic types",
                "gone: a rule names it, and it is not there",
                "rule: both an attribute and a block",
                "rule: the number of blocks cannot be bounded here",
                "one: a single block is there once at most",
                "keys: a set cannot hold write-only attributes",
                "free: repeated blocks cannot hold dynamic types",
            ],
        );
    }

    #[test]
    fn reserved_names_are_refused_at_the_root() {
        let schema = Schema::new(Block::new().attribute("count", Attribute::number()));
        assert_eq!(resource(&schema), ["count: the name is reserved"]);
        assert!(provider(&schema).is_empty());
    }
}
