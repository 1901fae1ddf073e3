//! The reference part of a schema's documentation page, in the registry's Markdown.

use std::fmt::Write as _;

use super::{
    Attribute, AttributeType, Block, BlockNesting, Check, ForceNew, Mode, NestedBlock, Nesting,
    Rule, Schema,
};
use crate::cty::{Path, Type};

/// The `## Schema` section of a page: what is required, optional and read-only, then one
/// section for each nested schema.
#[must_use]
pub fn render(schema: &Schema) -> String {
    let mut page = Page { text: String::from("## Schema\n"), nested: Vec::new() };
    page.body(Body::of_block(&schema.block), &Path::root());
    while !page.nested.is_empty() {
        let (path, body) = page.nested.remove(0);
        let anchor = anchor(&path);
        page.write(format_args!("\n<a id=\"{anchor}\"></a>\n### Nested Schema for `{path}`\n"));
        page.body(body, &path);
    }
    page.text
}

struct Page<'s> {
    text: String,
    nested: Vec<(Path, Body<'s>)>,
}

struct Body<'s> {
    attributes: Vec<(&'s String, &'s Attribute)>,
    blocks: Vec<(&'s String, &'s NestedBlock)>,
    rules: &'s [Rule],
}

impl<'s> Body<'s> {
    fn of_block(block: &'s Block) -> Self {
        Self {
            attributes: block.attributes.iter().collect(),
            blocks: block.blocks.iter().collect(),
            rules: &block.rules,
        }
    }
}

impl<'s> Page<'s> {
    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text.write_fmt(arguments).expect("writing to a string cannot fail");
    }

    fn body(&mut self, mut body: Body<'s>, path: &Path) {
        body.attributes.sort_by_key(|(name, _)| *name);
        body.blocks.sort_by_key(|(name, _)| *name);
        let of_mode = |wanted: fn(Mode) -> bool| {
            let attributes = body.attributes.iter().copied();
            attributes.filter(|(_, attribute)| wanted(attribute.mode)).collect::<Vec<_>>()
        };
        let of_blocks = |required: bool| {
            let blocks = body.blocks.iter().copied();
            blocks.filter(|(_, block)| (block.min > 0) == required).collect::<Vec<_>>()
        };
        self.group("Required", &of_mode(|mode| mode == Mode::Required), &of_blocks(true), path);
        self.group("Optional", &of_mode(Mode::is_optional), &of_blocks(false), path);
        self.group("Read-Only", &of_mode(|mode| mode == Mode::Computed), &[], path);
        if !body.rules.is_empty() {
            let rules: Vec<String> = body.rules.iter().map(Rule::words).collect();
            self.write(format_args!("\n{}\n", rules.join(" ")));
        }
    }

    fn group(
        &mut self,
        title: &str,
        attributes: &[(&'s String, &'s Attribute)],
        blocks: &[(&'s String, &'s NestedBlock)],
        path: &Path,
    ) {
        if attributes.is_empty() && blocks.is_empty() {
            return;
        }
        self.write(format_args!("\n### {title}\n\n"));
        for (name, attribute) in attributes {
            self.attribute(name, attribute, &path.field(*name));
        }
        for (name, nested) in blocks {
            let path = path.field(*name);
            let kind = block_kind(nested);
            self.line(
                name,
                &kind,
                &nested.block.description,
                nested.block.deprecated.as_deref(),
                Some(&path),
            );
            self.nested.push((path, Body::of_block(&nested.block)));
        }
    }

    fn attribute(&mut self, name: &str, attribute: &'s Attribute, path: &Path) {
        let deprecated = attribute.deprecated.as_deref();
        let mut description = attribute.description.clone();
        if let Some(default) = &attribute.default {
            let default = crate::cty::json::to_plain(default);
            let separator = if description.is_empty() { "" } else { " " };
            description = format!("{description}{separator}Default: `{default}`.");
        }
        let checks: Vec<String> = attribute.checks.iter().filter_map(Check::words).collect();
        if !checks.is_empty() {
            let separator = if description.is_empty() { "" } else { " " };
            description = format!("{description}{separator}Must be {}.", checks.join("; "));
        }
        let mut kind = attribute_kind(attribute);
        for (is, note) in [
            (attribute.sensitive, "Sensitive"),
            (attribute.write_only, "Write-only"),
            (matches!(attribute.force_new, Some(ForceNew::Always)), "Forces replacement"),
            (matches!(attribute.force_new, Some(ForceNew::If(_))), "May force replacement"),
        ] {
            if is {
                kind = format!("{kind}, {note}");
            }
        }
        match &attribute.ty {
            AttributeType::Value(_) => self.line(name, &kind, &description, deprecated, None),
            AttributeType::Nested(nested) => {
                self.line(name, &kind, &description, deprecated, Some(path));
                let attributes = nested.attributes.iter().collect();
                let body = Body { attributes, blocks: Vec::new(), rules: &nested.rules };
                self.nested.push((path.clone(), body));
            }
        }
    }

    fn line(
        &mut self,
        name: &str,
        kind: &str,
        description: &str,
        deprecated: Option<&str>,
        nested: Option<&Path>,
    ) {
        let deprecated = deprecated.map(|why| format!("**Deprecated:** {why}"));
        let nested =
            nested.map(|path| format!("(see [below for nested schema](#{}))", anchor(path)));
        let description = Some(description.trim().to_owned()).filter(|text| !text.is_empty());
        let parts = [Some(format!("- `{name}` ({kind})")), deprecated, description, nested];
        let line: Vec<String> = parts.into_iter().flatten().collect();
        self.write(format_args!("{}\n", line.join(" ")));
    }
}

fn anchor(path: &Path) -> String {
    format!("nestedschema--{}", path.to_string().replace('.', "--"))
}

fn block_kind(nested: &NestedBlock) -> String {
    let kind = match nested.nesting {
        BlockNesting::Single | BlockNesting::Group => "Block",
        BlockNesting::List => "Block List",
        BlockNesting::Set => "Block Set",
        BlockNesting::Map => "Block Map",
    };
    let min = if nested.min > 0 { format!(", Min: {}", nested.min) } else { String::new() };
    let max = nested.max.map(|max| format!(", Max: {max}")).unwrap_or_default();
    format!("{kind}{min}{max}")
}

fn attribute_kind(attribute: &Attribute) -> String {
    match &attribute.ty {
        AttributeType::Value(ty) => type_kind(ty),
        AttributeType::Nested(nested) => String::from(match nested.nesting {
            Nesting::Single => "Attributes",
            Nesting::List => "Attributes List",
            Nesting::Set => "Attributes Set",
            Nesting::Map => "Attributes Map",
        }),
    }
}

fn type_kind(ty: &Type) -> String {
    match ty {
        Type::String => String::from("String"),
        Type::Number => String::from("Number"),
        Type::Bool => String::from("Boolean"),
        Type::Dynamic => String::from("Dynamic"),
        Type::List(element) => format!("List of {}", type_kind(element)),
        Type::Set(element) => format!("Set of {}", type_kind(element)),
        Type::Map(element) => format!("Map of {}", type_kind(element)),
        Type::Tuple(_) => String::from("Tuple"),
        Type::Object(attributes) => {
            let attributes: Vec<String> = attributes
                .iter()
                .map(|(name, ty)| format!("`{name}`: {}", type_kind(ty)))
                .collect();
            format!("Object {{{}}}", attributes.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_section_for_each_kind_and_nested_schema() {
        let git = Block::new()
            .describe("Commits of a repository.")
            .attribute("name", Attribute::string().required().describe("Key of the subscription."))
            .attribute("branch", Attribute::string().default("main").describe("Branch."))
            .attribute("tag", Attribute::string().one_of(["newest", "oldest"]).describe("Tag."))
            .conflicting(["branch", "tag"]);
        let schema = Schema::new(
            Block::new()
                .attribute("name", Attribute::string().required().force_new().describe("Its name."))
                .attribute("token", Attribute::string().write_only().sensitive())
                .attribute("old", Attribute::bool().deprecated("Use `token`."))
                .attribute("id", Attribute::string().computed())
                .block("git", NestedBlock::list(git).min(1).max(5)),
        );
        insta::assert_snapshot!(render(&schema), @r##"
        ## Schema

        ### Required

        - `name` (String, Forces replacement) Its name.
        - `git` (Block List, Min: 1, Max: 5) Commits of a repository. (see [below for nested schema](#nestedschema--git))

        ### Optional

        - `old` (Boolean) **Deprecated:** Use `token`.
        - `token` (String, Sensitive, Write-only)

        ### Read-Only

        - `id` (String)

        <a id="nestedschema--git"></a>
        ### Nested Schema for `git`

        ### Required

        - `name` (String) Key of the subscription.

        ### Optional

        - `branch` (String) Branch. Default: `"main"`.
        - `tag` (String) Tag. Must be one of "newest", "oldest".

        At most one of `branch`, `tag` may be set.
        "##);
    }
}
