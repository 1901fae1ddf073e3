//! Merging into a text: what one file says over another is spliced in, and the rest stays as it is written.
//!
//! Scalars are replaced in place, entries of mappings are replaced, added behind the last one, or taken out, in
//! the style of their mapping. Of what the other file does not name no token is written anew. The result is read
//! back, and held against the text token by token; what does not come out as it should is refused.

mod flow;
mod verify;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::document::{Document, Item};
use super::value::{data_of, merge, names, read, without_nulls, write};
use super::{KeyPath, Scalar, YamlEditError};

/// The first document of a text with `over` merged into it, as [`merge`] does it with data.
///
/// # Errors
/// [`YamlEditError`]; among them that a change would reach what aliases stand for.
pub fn merge_into(text: &str, over: &Map<String, Value>) -> Result<String, YamlEditError> {
    let mut wanted = match read(text)? {
        Value::Null => Value::Object(Map::new()),
        data => data,
    };
    merge(&mut wanted, Value::Object(over.clone()));
    // The positions below are of lines that all have an end, without a byte order mark.
    let (mark, lines) = text.split_at(text.len() - text.trim_start_matches('\u{feff}').len());
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let added = if lines.is_empty() || lines.ends_with('\n') { "" } else { newline };
    let lines = format!("{lines}{added}");

    let document = Document::parse(&lines)?;
    let mut edits = Edits {
        text: &lines,
        document: &document,
        newline,
        aliases: document.aliases(),
        pieces: Vec::new(),
        path: Vec::new(),
    };
    edits.root(over)?;
    let Some(path) = edits.pieces.first().map(|piece| piece.path.clone()) else {
        return Ok(text.to_owned());
    };
    let edited = edits.spliced();
    let edited = edited.strip_suffix(added).unwrap_or(&edited);
    let edited = format!("{mark}{edited}");
    match verify::is_merged(text, &edited, over, &wanted) {
        true => Ok(edited),
        false => Err(unsafe_at(&path)),
    }
}

/// What is to become of the value of an entry.
enum Change {
    /// It stays.
    Keep,
    /// The entry goes.
    Remove,
    /// Something in this mapping changes.
    Within,
    /// Its scalar becomes another one.
    Set(Scalar),
    /// It becomes this.
    Put(Value),
}

/// A piece of the text to replace.
struct Piece {
    range: Range<usize>,
    replacement: String,
    /// Whose entry it is.
    path: Vec<String>,
}

/// What is to change in a text, on the way through its document.
struct Edits<'d> {
    text: &'d str,
    document: &'d Document<'d>,
    newline: &'static str,
    /// The first and the last alias of each anchor.
    aliases: BTreeMap<usize, (usize, usize)>,
    pieces: Vec<Piece>,
    /// Where we are.
    path: Vec<String>,
}

impl Edits<'_> {
    fn root(&mut self, over: &Map<String, Value>) -> Result<(), YamlEditError> {
        let document = self.document;
        let token = match document.root() {
            Some(root) => match document.item_of(root) {
                Item::Start(collection) if collection.mapping => {
                    return self.root_mapping(root, over);
                }
                Item::Scalar(token) if !token.span.is_empty() => Some(token.span.clone()),
                Item::Scalar(_) => None,
                _ => return Err(unsafe_at(&[])),
            },
            None => None,
        };
        let lines = self.lines_of(over)?;
        if lines.is_empty() {
            return Ok(());
        }
        match token {
            // A null that is written as such.
            Some(token) => self.replace(token, lines.trim_end().to_owned()),
            // Nothing but comments.
            None => self.replace(self.text.len()..self.text.len(), lines),
        }
        Ok(())
    }

    fn root_mapping(
        &mut self,
        root: usize,
        over: &Map<String, Value>,
    ) -> Result<(), YamlEditError> {
        let document = self.document;
        if let Some(token) = document.token_of(root) {
            if self.is_bare_empty(root) {
                let lines = self.lines_of(over)?;
                if !lines.is_empty() {
                    self.replace(token, lines.trim_end().to_owned());
                }
                return Ok(());
            }
            return self.flow_mapping(root, over, self.is_shared(root));
        }
        if self.block_mapping(root, over, self.is_shared(root))? {
            let last = (document.children(root).len() / 2).saturating_sub(1);
            let (Some(first), Some(last)) = (document.entry(root, 0), document.entry(root, last))
            else {
                return Err(unsafe_at(&[]));
            };
            self.replace(first.start..last.end, format!("{{}}{}", self.newline));
        }
        Ok(())
    }

    /// Merges into a block mapping. If that leaves nothing of it, nothing is to change in it, but all of it (yes).
    fn block_mapping(
        &mut self,
        node: usize,
        over: &Map<String, Value>,
        shared: bool,
    ) -> Result<bool, YamlEditError> {
        let names = names(self.document, node)?;
        let before = self.pieces.len();
        let count = self.document.children(node).len() / 2;
        let (mut left, mut added) = (count, Vec::new());
        for (key, value) in over {
            self.path.push(key.clone());
            match names.get(key) {
                Some(index) => left -= usize::from(self.block_entry(node, *index, value, shared)?),
                None if value.is_null() => {}
                None => {
                    let lines = self.added(key, value, shared, self.column_of(node)?)?;
                    added.push(Piece { range: 0..0, replacement: lines, path: self.path.clone() });
                }
            }
            self.path.pop();
        }
        if left == 0 && added.is_empty() {
            self.pieces.truncate(before);
            return Ok(true);
        }
        let last = self.document.entry(node, count.saturating_sub(1));
        let end = last.ok_or_else(|| unsafe_at(&self.path))?.end;
        self.pieces.extend(added.into_iter().map(|piece| Piece { range: end..end, ..piece }));
        Ok(false)
    }

    /// Merges into an entry of a block mapping; says whether the entry goes.
    fn block_entry(
        &mut self,
        node: usize,
        index: usize,
        value: &Value,
        shared: bool,
    ) -> Result<bool, YamlEditError> {
        let child = self.document.children(node)[index * 2 + 1];
        match (self.change(child, value, shared)?, value) {
            (Change::Keep, _) => {}
            (Change::Remove, _) => {
                let place = self.document.entry(node, index);
                let place = place.ok_or_else(|| unsafe_at(&self.path))?;
                let line = line_start(self.text, place.start);
                if !self.text[line..place.start].trim().is_empty() {
                    return Err(unsafe_at(&self.path));
                }
                self.replace(line..place.end, String::new());
                return Ok(true);
            }
            (Change::Within, Value::Object(over)) => {
                let shared = shared || self.is_shared(child);
                if self.is_bare_empty(child) {
                    let value = without_nulls(value.clone());
                    if value.as_object().is_some_and(|entries| !entries.is_empty()) {
                        self.refuse_merge_keys(&value)?;
                        self.may_change(shared)?;
                        self.put(node, index, &value)?;
                    }
                } else if self.document.token_of(child).is_some() {
                    self.flow_mapping(child, over, shared)?;
                } else if self.block_mapping(child, over, shared)? {
                    self.put(node, index, &Value::Object(Map::new()))?;
                }
            }
            (Change::Within, _) => {}
            (Change::Set(scalar), _) => {
                let (range, replacement) = self.set(child, &scalar)?;
                self.replace(range, replacement);
            }
            (Change::Put(value), _) => self.put(node, index, &value)?,
        }
        Ok(false)
    }

    /// Writes the value of an entry of a block mapping anew.
    fn put(&mut self, node: usize, index: usize, value: &Value) -> Result<(), YamlEditError> {
        let key = self.document.span_of(self.document.children(node)[index * 2]);
        let (Some(key), Some(place)) = (key, self.document.entry(node, index)) else {
            return Err(unsafe_at(&self.path));
        };
        let column = place.start - line_start(self.text, place.start);
        let lines = rendered("k", value, column, self.newline);
        self.replace(place, format!("{}{}", &self.text[key], &lines[column + 1..]));
        Ok(())
    }

    /// What becomes of a value over which the other file has this one.
    fn change(&self, node: usize, over: &Value, shared: bool) -> Result<Change, YamlEditError> {
        let followed = self.document.follow_node(node);
        let is_mapping =
            matches!(self.document.item_of(followed), Item::Start(found) if found.mapping);
        let change = match over {
            Value::Null => Change::Remove,
            Value::Object(_) if is_mapping && !self.document.is_alias(node) => {
                return Ok(Change::Within);
            }
            Value::Object(_) if is_mapping => {
                let data = data_of(self.document, followed)?;
                let mut wanted = data.clone();
                merge(&mut wanted, over.clone());
                if wanted == data {
                    return Ok(Change::Keep);
                }
                return Err(YamlEditError::Shared { key: self.path.join(".") });
            }
            over => {
                let value = without_nulls(over.clone());
                let tagged = self.document.holds_tag(followed);
                if !tagged && data_of(self.document, followed)? == value {
                    return Ok(Change::Keep);
                }
                self.refuse_merge_keys(&value)?;
                match (self.document.item_of(node), Scalar::try_from(&value)) {
                    // A tag would say something else of the new one.
                    (Item::Scalar(_), Ok(scalar)) if !tagged => Change::Set(scalar),
                    _ => Change::Put(value),
                }
            }
        };
        self.may_change(shared || self.is_used_outside(node))?;
        Ok(change)
    }

    /// The lines of a new entry.
    fn added(
        &self,
        key: &str,
        value: &Value,
        shared: bool,
        column: usize,
    ) -> Result<String, YamlEditError> {
        self.may_change(shared)?;
        let value = without_nulls(value.clone());
        self.refuse_merge_keys(&Value::Object(Map::from_iter([(key.to_owned(), value.clone())])))?;
        Ok(rendered(key, &value, column, self.newline))
    }

    /// The lines of a whole document.
    fn lines_of(&self, over: &Map<String, Value>) -> Result<String, YamlEditError> {
        let entries = over.iter().filter(|(_, value)| !value.is_null());
        entries.map(|(key, value)| self.added(key, value, false, 0)).collect()
    }

    fn set(&self, node: usize, scalar: &Scalar) -> Result<(Range<usize>, String), YamlEditError> {
        let document = self.document;
        let place = match document.item_of(node) {
            Item::Scalar(token) => {
                let item = document.item_index(node);
                let rendered = scalar.render(token.style, document.in_flow(item));
                document.replacement(item, &rendered)
            }
            _ => None,
        };
        place.ok_or_else(|| unsafe_at(&self.path))
    }

    /// `{}` with nothing behind it on its line and nothing that belongs to it: it can give way to lines.
    fn is_bare_empty(&self, node: usize) -> bool {
        let Some(token) = self.document.token_of(node) else { return false };
        let rest = self.text[token.end..].lines().next().unwrap_or_default();
        let empty =
            self.text[token].trim_start_matches('{').trim_end_matches('}').trim().is_empty();
        let is_mapping = matches!(self.document.item_of(node), Item::Start(found) if found.mapping);
        let bare = self.document.anchor_of(node) == 0 && !self.document.holds_tag(node);
        is_mapping && bare && empty && rest.trim().is_empty()
    }

    /// The column in which the keys of a block mapping stand.
    fn column_of(&self, node: usize) -> Result<usize, YamlEditError> {
        let first = self.document.children(node).first();
        let first = first.and_then(|first| self.document.span_of(*first));
        let first = first.ok_or_else(|| unsafe_at(&self.path))?;
        Ok(first.start - line_start(self.text, first.start))
    }

    /// Whether aliases stand for the node.
    fn is_shared(&self, node: usize) -> bool {
        self.aliases.contains_key(&self.document.anchor_of(node))
    }

    /// Whether something beside the node stands for it or for anything in it.
    fn is_used_outside(&self, node: usize) -> bool {
        let last = self.document.last_of(node);
        (node..=last).any(|inner| {
            let aliases = self.aliases.get(&self.document.anchor_of(inner));
            aliases.is_some_and(|(first, end)| *first < node || *end > last)
        })
    }

    fn may_change(&self, shared: bool) -> Result<(), YamlEditError> {
        if shared { Err(YamlEditError::Shared { key: self.path.join(".") }) } else { Ok(()) }
    }

    /// `<<` is an instruction, which is not read as one: as data it cannot be carried over.
    fn refuse_merge_keys(&self, value: &Value) -> Result<(), YamlEditError> {
        fn holds(value: &Value) -> bool {
            match value {
                Value::Object(entries) => {
                    entries.iter().any(|(key, value)| key == "<<" || holds(value))
                }
                Value::Array(items) => items.iter().any(holds),
                _ => false,
            }
        }
        if holds(value) { Err(unsafe_at(&self.path)) } else { Ok(()) }
    }

    fn replace(&mut self, range: Range<usize>, replacement: String) {
        self.pieces.push(Piece { range, replacement, path: self.path.clone() });
    }

    /// The text with all that changes. Where two entries end at one place the inner one gets its own first.
    fn spliced(&mut self) -> String {
        let order = |piece: &Piece| {
            (piece.range.start, piece.range.end, std::cmp::Reverse(piece.path.len()))
        };
        self.pieces.sort_by_key(order);
        let mut edited = String::with_capacity(self.text.len() + 64);
        let mut copied = 0;
        for piece in &self.pieces {
            edited.push_str(self.text.get(copied..piece.range.start).unwrap_or_default());
            edited.push_str(&piece.replacement);
            copied = copied.max(piece.range.end);
        }
        edited.push_str(&self.text[copied..]);
        edited
    }
}

/// An entry as lines, indented by so many columns.
fn rendered(key: &str, value: &Value, column: usize, newline: &str) -> String {
    let whole = Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
    let indent = " ".repeat(column);
    write(&whole).lines().map(|line| format!("{indent}{line}{newline}")).collect()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn unsafe_at(path: &[String]) -> YamlEditError {
    let parts = if path.is_empty() { vec!["(the whole file)".to_owned()] } else { path.to_vec() };
    YamlEditError::Unsafe { key: KeyPath(parts) }
}

#[cfg(test)]
mod tests;
