//! A parsed YAML stream, with the byte position of every scalar of its first document.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag};
use regex::Regex;

use super::{KeyPath, YamlEditError};

/// Deeper nesting is refused.
pub(super) const DEPTH_MAX: usize = 128;

/// What the parser reported; comments are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Scalar(Token),
    Alias(usize),
    Start(Collection),
    End,
    DocumentStart,
    DocumentEnd,
}

/// A scalar token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The text after quotes and escapes; empty for a missing value.
    pub(super) text: String,
    pub(super) style: ScalarStyle,
    pub(super) tag: Option<String>,
    pub(super) anchor: usize,
    pub(super) span: Range<usize>,
}

/// The start of a list or a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collection {
    pub(super) mapping: bool,
    pub(super) flow: bool,
    pub(super) anchor: usize,
    pub(super) tag: Option<String>,
}

/// A node of the first document.
#[derive(Debug)]
struct Node {
    item: usize,
    /// Where it stands; of a block collection only where it begins.
    span: Range<usize>,
    /// Nodes of the list, or keys and values by turns.
    children: Vec<usize>,
    /// Whether it stands inside a flow collection.
    in_flow: bool,
    /// Whether it is a key or a value of a mapping.
    in_mapping: bool,
}

#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    items: Vec<Item>,
    nodes: Vec<Node>,
    /// Start of each comment by its end, which is where a missing list item after it seems to be.
    comments: HashMap<usize, usize>,
    /// Item by the anchor that names it.
    anchored: HashMap<usize, usize>,
}

impl Collection {
    pub(super) fn is_mapping(&self) -> bool {
        self.mapping
    }
}

impl Item {
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "a scalar",
            Self::Alias(_) => "an alias",
            Self::Start(Collection { mapping: true, .. }) => "a mapping",
            Self::Start(Collection { mapping: false, .. }) => "a list",
            Self::End | Self::DocumentStart | Self::DocumentEnd => "nothing",
        }
    }

    /// Equal but for the position.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => {
                (&a.text, a.style, a.anchor, &a.tag) == (&b.text, b.style, b.anchor, &b.tag)
            }
            (a, b) => a == b,
        }
    }
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, YamlEditError> {
        let mut builder = Builder {
            document: Self {
                text,
                items: Vec::new(),
                nodes: Vec::new(),
                comments: HashMap::new(),
                anchored: HashMap::new(),
            },
            open: Vec::new(),
            documents: 0,
        };
        for event in Parser::new_from_str_with_options(text, Options::default()) {
            let (event, span) = event.map_err(|error| invalid(&error))?;
            builder.take(event, &span)?;
        }
        builder.document.refuse_duplicate_keys()?;
        Ok(builder.document)
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn item(&self, index: usize) -> &Item {
        &self.items[index]
    }

    /// The item at a path of the first document.
    pub(super) fn find(&self, key: &KeyPath) -> Result<usize, YamlEditError> {
        let missing = || YamlEditError::KeyNotFound { key: key.clone() };
        let mut node = self.nodes.first().ok_or_else(missing)?;
        for part in key.parts() {
            let Item::Start(collection) = &self.items[node.item] else { return Err(missing()) };
            let child = if collection.mapping {
                let mut pairs = node.children.chunks_exact(2);
                pairs.find(|pair| self.key_text(pair[0]) == Some(part)).map(|pair| pair[1])
            } else {
                part.parse().ok().and_then(|index: usize| node.children.get(index).copied())
            };
            node = &self.nodes[child.ok_or_else(missing)?];
        }
        Ok(node.item)
    }

    /// The item itself, or the one that it is an alias of.
    pub(super) fn follow(&self, item: usize) -> usize {
        let target = match &self.items[item] {
            Item::Alias(anchor) => self.anchored.get(anchor).copied(),
            Item::Scalar(_) | Item::Start(_) | Item::End => None,
            Item::DocumentStart | Item::DocumentEnd => None,
        };
        target.unwrap_or(item)
    }

    /// The node of the document itself; absent: there is no document.
    pub(super) fn root(&self) -> Option<usize> {
        (!self.nodes.is_empty()).then_some(0)
    }

    /// The node itself, or the one that it is an alias of.
    pub(super) fn follow_node(&self, node: usize) -> usize {
        let item = self.follow(self.nodes[node].item);
        let found = self.nodes.binary_search_by_key(&item, |node| node.item);
        found.unwrap_or(node)
    }

    pub(super) fn item_of(&self, node: usize) -> &Item {
        &self.items[self.nodes[node].item]
    }

    /// Which of the items the node is.
    pub(super) fn item_index(&self, node: usize) -> usize {
        self.nodes[node].item
    }

    pub(super) fn children(&self, node: usize) -> &[usize] {
        &self.nodes[node].children
    }

    pub(super) fn in_flow(&self, item: usize) -> bool {
        self.node_of(item).is_some_and(|node| node.in_flow)
    }

    /// What to replace, by what, so that `rendered` becomes the scalar; `None` if its form is not one that
    /// can be edited.
    pub(super) fn replacement(
        &self,
        item: usize,
        rendered: &str,
    ) -> Option<(Range<usize>, String)> {
        let Item::Scalar(token) = &self.items[item] else { return None };
        match token.style {
            ScalarStyle::Literal | ScalarStyle::Folded => self.replace_block(&token.span, rendered),
            ScalarStyle::Plain if token.span.is_empty() => {
                let (at, before) = self.empty_place(item, token)?;
                Some((at..at, format!("{before}{rendered}")))
            }
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                Some((token.span.clone(), rendered.to_owned()))
            }
        }
    }

    /// A block scalar goes with its indicator; a comment after the indicator and the blank lines after the
    /// text stay.
    fn replace_block(&self, span: &Range<usize>, rendered: &str) -> Option<(Range<usize>, String)> {
        static HEADER: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?:^|[ \t])([|>][0-9+-]{0,2})([ \t]+#.*|[ \t]*)$")
                .expect("the pattern is a constant that the tests compile")
        });
        let before = self.text[..span.start].trim_end();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let header = HEADER.captures(&before[line_start..])?;
        let (indicator, comment) = (header.get(1)?, header.get(2)?);
        let body = &self.text[span.clone()];
        let tail = &body[body.trim_end().len()..];
        let tail = &tail[tail.find(['\r', '\n']).unwrap_or(tail.len())..];
        let replacement = format!("{rendered}{}{tail}", comment.as_str());
        Some((line_start + indicator.start()..span.end, replacement))
    }

    /// Where a missing value belongs, and what must stand before it.
    fn empty_place(&self, item: usize, token: &Token) -> Option<(usize, &'static str)> {
        let node = self.node_of(item)?;
        let mut at = token.span.start;
        if token.anchor != 0 || token.tag.is_some() {
            return Some((at, " "));
        }
        if node.in_mapping {
            let rest = &self.text[at..];
            let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            let has_colon = rest[spaces..].starts_with(':');
            return Some(if has_colon { (at + spaces + 1, " ") } else { (at, ": ") });
        }
        while let Some(comment) = self.comments.get(&at) {
            at = self.text[..*comment].trim_end().len();
        }
        Some((at, " "))
    }

    fn node_of(&self, item: usize) -> Option<&Node> {
        let index = self.nodes.binary_search_by_key(&item, |node| node.item).ok()?;
        self.nodes.get(index)
    }

    /// Whether the node is an alias.
    pub(super) fn is_alias(&self, node: usize) -> bool {
        matches!(self.item_of(node), Item::Alias(_))
    }

    /// The number of the anchor that names the node; 0: none does.
    pub(super) fn anchor_of(&self, node: usize) -> usize {
        match self.item_of(node) {
            Item::Scalar(token) => token.anchor,
            Item::Start(collection) => collection.anchor,
            Item::Alias(_) | Item::End | Item::DocumentStart | Item::DocumentEnd => 0,
        }
    }

    /// For each anchor that aliases stand for: the first and the last node that is one.
    pub(super) fn aliases(&self) -> BTreeMap<usize, (usize, usize)> {
        let mut aliases = BTreeMap::new();
        for (node, Node { item, .. }) in self.nodes.iter().enumerate() {
            if let Item::Alias(anchor) = &self.items[*item] {
                aliases.entry(*anchor).or_insert((node, node)).1 = node;
            }
        }
        aliases
    }

    /// Whether the node or anything in it has a tag. Aliases are not followed.
    pub(super) fn holds_tag(&self, node: usize) -> bool {
        (node..=self.last_of(node)).any(|node| match self.item_of(node) {
            Item::Scalar(token) => token.tag.is_some(),
            Item::Start(collection) => collection.tag.is_some(),
            Item::Alias(_) | Item::End | Item::DocumentStart | Item::DocumentEnd => false,
        })
    }

    /// What comes after the first document.
    pub(super) fn later_items(&self) -> &[Item] {
        let end = self.items.iter().position(|item| *item == Item::DocumentEnd);
        end.map_or(&[], |end| &self.items[end + 1..])
    }

    /// Where a scalar, an alias or a flow collection stands, without its tag and anchor.
    pub(super) fn token_of(&self, node: usize) -> Option<Range<usize>> {
        let block = matches!(self.item_of(node), Item::Start(Collection { flow: false, .. }));
        (!block).then(|| self.nodes[node].span.clone())
    }

    /// Where an entry of a flow mapping stands, from its key to the end of its value.
    pub(super) fn flow_entry(&self, node: usize, index: usize) -> Option<Range<usize>> {
        let pair = self.nodes[node].children.chunks_exact(2).nth(index)?;
        let (key, value) = (self.token_of(pair[0])?, self.token_of(pair[1])?);
        if !value.is_empty() {
            return Some(key.start..value.end);
        }
        let at = key.end.max(value.start);
        let rest = &self.text[at..];
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let has_colon = rest[spaces..].starts_with(':');
        Some(key.start..if has_colon { at + spaces + 1 } else { at })
    }

    /// Where the token of a scalar stands.
    pub(super) fn span_of(&self, node: usize) -> Option<Range<usize>> {
        match self.item_of(node) {
            Item::Scalar(token) => Some(token.span.clone()),
            Item::Alias(_) | Item::Start(_) | Item::End => None,
            Item::DocumentStart | Item::DocumentEnd => None,
        }
    }

    /// Where an entry of a block mapping stands: from its key to the end of its last line. Comments and blank
    /// lines behind that belong to what follows.
    pub(super) fn entry(&self, node: usize, index: usize) -> Option<Range<usize>> {
        let pair = self.nodes[node].children.chunks_exact(2).nth(index)?;
        let key = self.span_of(pair[0])?;
        let last = self.last_of(pair[1]);
        let ends = (pair[1]..=last).filter_map(|node| self.span_of(node));
        let inner = ends.filter(|span| !span.is_empty()).map(|span| span.end).max();
        // A block scalar ends behind its line.
        let inner = self.text[..inner.unwrap_or(key.end).max(key.end)].trim_end().len();
        let following = (last + 1..self.nodes.len()).filter_map(|node| self.span_of(node));
        let next = following.filter(|span| !span.is_empty()).map(|span| span.start).next();
        let bound = next.map_or(self.text.len(), |next| {
            self.text[..next].rfind('\n').map_or(0, |newline| newline + 1)
        });
        let mut end = inner;
        let mut at = inner;
        for line in self.text.get(inner..bound)?.split_inclusive('\n') {
            let said = line.trim();
            if at > inner && (line.starts_with("---") || line.starts_with("...")) {
                break;
            }
            let is_own = at == inner || !(said.is_empty() || said.starts_with('#'));
            at += line.len();
            if is_own {
                end = at;
            }
        }
        Some(key.start..end)
    }

    /// The last node inside a node, or itself.
    pub(super) fn last_of(&self, node: usize) -> usize {
        self.nodes[node].children.last().map_or(node, |child| self.last_of(*child))
    }

    fn key_text(&self, node: usize) -> Option<&str> {
        match &self.items[self.nodes[node].item] {
            Item::Scalar(token) => Some(&token.text),
            Item::Alias(_) | Item::Start(_) | Item::End => None,
            Item::DocumentStart | Item::DocumentEnd => None,
        }
    }

    /// Two equal keys in one mapping: readers disagree on which one counts.
    fn refuse_duplicate_keys(&self) -> Result<(), YamlEditError> {
        for node in &self.nodes {
            if !matches!(&self.items[node.item], Item::Start(Collection { mapping: true, .. })) {
                continue;
            }
            let mut seen = HashSet::new();
            for key in node.children.iter().step_by(2) {
                if let Item::Scalar(token) = &self.items[self.nodes[*key].item]
                    && !seen.insert(&token.text)
                {
                    let (line, column) = self.line_and_column(token.span.start);
                    let reason = format!("key `{}` is there twice", token.text);
                    return Err(YamlEditError::InvalidYaml { line, column, reason });
                }
            }
        }
        Ok(())
    }

    pub(super) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Turns events into items and, for the first document, nodes.
struct Builder<'a> {
    document: Document<'a>,
    /// The open collections: their nodes in the first document, placeholders in later ones.
    open: Vec<Option<usize>>,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlEditError> {
        let range = span.byte_range().unwrap_or_default();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let missing = style == ScalarStyle::Plain && range.is_empty();
                let text = if missing { String::new() } else { text.into_owned() };
                let tag = tag.as_deref().map(Tag::original);
                let span = range.clone();
                self.add(Item::Scalar(Token { text, style, tag, anchor, span }), anchor, range);
            }
            Event::Alias(anchor) => {
                self.add(Item::Alias(anchor), 0, range);
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.enter(false, style, anchor, tag.as_deref(), span)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.enter(true, style, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(node) = self.open.pop().flatten() {
                    self.document.nodes[node].span.end = range.end;
                }
                self.document.items.push(Item::End);
            }
            Event::DocumentStart(..) => {
                self.documents += 1;
                self.document.items.push(Item::DocumentStart);
            }
            Event::DocumentEnd => self.document.items.push(Item::DocumentEnd),
            Event::Comment(..) => {
                self.document.comments.insert(range.end, range.start);
            }
            // The start and the end of the stream, and metadata that the options leave off.
            _ => {}
        }
        Ok(())
    }

    fn enter(
        &mut self,
        mapping: bool,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), YamlEditError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlEditError::InvalidYaml {
                line: span.start.line(),
                column: span.start.col() + 1,
                reason: format!("it is nested more than {DEPTH_MAX} levels deep"),
            });
        }
        let flow = style == StructureStyle::Flow;
        let tag = tag.map(Tag::original);
        let item = Item::Start(Collection { mapping, flow, anchor, tag });
        let node = self.add(item, anchor, span.byte_range().unwrap_or_default());
        self.open.push(node);
        Ok(())
    }

    fn add(&mut self, item: Item, anchor: usize, span: Range<usize>) -> Option<usize> {
        let index = self.document.items.len();
        self.document.items.push(item);
        if self.documents != 1 {
            return None;
        }
        if anchor != 0 {
            self.document.anchored.insert(anchor, index);
        }
        let node = self.document.nodes.len();
        let parent = self.open.last().copied().flatten();
        let (mut in_flow, mut in_mapping) = (false, false);
        if let Some(parent) = parent {
            self.document.nodes[parent].children.push(node);
            if let Item::Start(collection) = &self.document.items[self.document.nodes[parent].item]
            {
                in_flow = collection.flow;
                in_mapping = collection.mapping;
            }
        }
        let children = Vec::new();
        self.document.nodes.push(Node { item: index, span, children, in_flow, in_mapping });
        Some(node)
    }
}

fn invalid(error: &ScanError) -> YamlEditError {
    YamlEditError::InvalidYaml {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        reason: error.info().clone(),
    }
}
